//! Text that must not be seen.

use std::fmt;

/// The text shown in place of a secret.
pub const MASK: &str = "********";

/// The schemes of a server's URL.
const SCHEMES: [&str; 4] = ["nats://", "tls://", "ws://", "wss://"];

/// A password, token or seed. Formatting it in any way gives [`MASK`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` out of sight.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, to be handed to whoever authenticates with it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(MASK)
    }
}

/// A comma-separated list of URLs with the passwords and tokens in them masked.
#[must_use]
pub fn mask_urls(list: &str) -> String {
    let mut items: Vec<String> = Vec::new();
    for item in list.split(',') {
        // a comma that should have been escaped cuts a password in two
        match items.last_mut() {
            Some(last) if item.contains('@') && !item.contains("://") && is_cut(last) => {
                last.push(',');
                last.push_str(item);
            }
            _ => items.push(item.to_owned()),
        }
    }
    let masked: Vec<String> = items.iter().map(|item| mask_url(item)).collect();
    masked.join(",")
}

/// Returns whether what follows the last colon is no port: then it may be the start of a password.
pub(super) fn is_cut(item: &str) -> bool {
    let rest = item.split_once("://").map_or(item, |(_, rest)| rest);
    let after = rest.rsplit_once(':').map(|(_, after)| after);
    !rest.contains('@')
        && after.is_some_and(|after| after.parse::<u16>().is_err() && !after.ends_with(']'))
}

fn mask_url(url: &str) -> String {
    // no other text before `://` is a scheme: it may be the start of a login
    let scheme = SCHEMES.iter().find(|scheme| url.starts_with(**scheme));
    let scheme = scheme.copied().unwrap_or_default();
    let rest = &url[scheme.len()..];
    // up to the last `@`: a password that should have been escaped stays masked as well
    match rest.rsplit_once('@') {
        None => url.to_owned(),
        Some((login, host)) => match login.split_once(':') {
            Some((user, _)) => format!("{scheme}{user}:{MASK}@{host}"),
            None => format!("{scheme}{MASK}@{host}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_password_shows_through(
            scheme in prop::sample::select(vec!["", "nats://", "tls://"]),
            user in "[a-z]{0,8}",
            password in "[A-Z0-9@:/?#%!]{1,12}",
            host in "[a-z]{1,8}",
        ) {
            let shown = mask_urls(&format!("{scheme}{user}:{password}@{host}"));
            prop_assert_eq!(shown, format!("{scheme}{user}:{MASK}@{host}"));
        }
    }

    #[test]
    fn a_secret_is_masked_however_it_is_formatted() {
        let secret = Secret::new("hunter2".to_owned());
        for shown in [
            format!("{secret}"),
            format!("{secret:?}"),
            format!("{secret:#?}"),
            format!("{:?}", Some(&secret)),
        ] {
            assert!(
                !shown.contains("hunter2") && shown.contains(MASK),
                "{shown}"
            );
        }
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn only_the_secret_part_of_a_url_is_masked() {
        assert_eq!(
            mask_urls("nats://a:4222,tls://bob:pa@ss@b:4222,nats://tok3n@c"),
            format!("nats://a:4222,tls://bob:{MASK}@b:4222,nats://{MASK}@c")
        );
        assert_eq!(mask_urls("bob:pw@host"), format!("bob:{MASK}@host"));
        // passwords that look like the rest of a scheme
        assert_eq!(mask_urls("://@a"), format!(":{MASK}@a"));
        assert_eq!(mask_urls("bob://pw:x@a"), format!("bob:{MASK}@a"));
        assert_eq!(
            mask_urls("nats://bob:pa,ss@host,nats://[::1]:4222,ann:pw@c"),
            format!("nats://bob:{MASK}@host,nats://[::1]:4222,ann:{MASK}@c")
        );
    }
}
