//! The variables of the connection to NATS.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;

use super::{derived, secret, section, set, unset};
use crate::config::readers::{any_secret, any_text, path, seconds};
use crate::config::secret::{MASK, Secret, is_cut, mask_urls};

section! {
    NatsValues, "NATS":

    NATS_URL: Vec<ServerAddr> = servers,
        set("nats://localhost:4222", "nats://a:4222,nats://b:4222",
            "one or more servers, comma-separated (`nats://` or `tls://`), each with its own \
             `user:password@` or `token@` if it needs one",
        ).or_file();

    NATS_CREDS_FILE: PathBuf = path,
        unset("/etc/nats/agent.creds", "authentication by a credentials file (one kind at a time)");

    NATS_NKEY_SEED: Secret = nkey_seed,
        secret("SUAEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPL",
            "authentication by the seed of an nkey",
        );

    NATS_USER: String = any_text,
        unset("agent", "authentication by user name, with `NATS_PASSWORD`");

    NATS_PASSWORD: Secret = any_secret,
        secret("correct-horse", "password of `NATS_USER`");

    NATS_TOKEN: Secret = any_secret,
        secret("s3cr3t", "authentication by token");

    NATS_TLS_CA: PathBuf = path,
        unset("/etc/nats/ca.pem", "PEM file of the authority that signed the server's certificate");

    NATS_TLS_CERT: PathBuf = path,
        unset("/etc/nats/client.pem",
            "PEM file of the client certificate, with `NATS_TLS_KEY` (mutual TLS)",
        );

    NATS_TLS_KEY: PathBuf = path,
        unset("/etc/nats/client-key.pem", "PEM file of the client's private key");

    NATS_CONNECT_TIMEOUT: Duration = seconds(0.001..=86_400.0),
        derived("– (retry for ever)", "30", "seconds to wait for the first connection");

    NATS_JETSTREAM_DOMAIN: String = domain,
        unset("hub",
            "use the JetStream of this domain, from a leaf node (see \
             docs/deployment/leaf-nodes.md)",
        );

    NATS_JETSTREAM_PREFIX: String = prefix,
        unset("JS.market.API",
            "use the JetStream API under this prefix, where an account imports it; instead of a \
             domain",
        );
}

fn domain(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b".*>".contains(&byte);
    if text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("must be the name of one domain: ASCII, without spaces and any of . * >".to_owned())
    }
}

fn prefix(text: &str) -> Result<String, String> {
    let token = |token: &str| !token.is_empty() && domain(token).is_ok();
    if text.split('.').all(token) {
        Ok(text.to_owned())
    } else {
        Err(
            "must be the beginning of a subject, such as JS.market.API: tokens of ASCII separated \
             by single dots, without wildcards"
                .to_owned(),
        )
    }
}

fn servers(list: &str) -> Result<Vec<ServerAddr>, String> {
    list.split(',')
        .map(|text| {
            let text = text.trim();
            // it may be half of a password with a comma in it
            let shown = if list.contains('@') && is_cut(text) {
                MASK.to_owned()
            } else {
                mask_urls(text)
            };
            if text.is_empty() {
                return Err("has an empty item; separate servers by single commas".to_owned());
            }
            let unescaped = "; in a user name, password or token, percent-encode everything but \
                             letters, digits and -._~";
            let server: ServerAddr = text.parse().map_err(|error| {
                let hint = if list.contains('@') { unescaped } else { "" };
                format!("`{shown}` is no server address: {error}{hint}")
            })?;
            let (_, rest) = text.split_once("://").unwrap_or(("", text));
            let after = rest.find(['/', '?', '#']).map_or("", |at| &rest[at..]);
            if !matches!(after, "" | "/") {
                let hint = if rest.contains('@') { unescaped } else { "" };
                return Err(format!("`{shown}` goes on after host and port{hint}"));
            }
            for part in [server.username(), server.password()].into_iter().flatten() {
                if percent_decode_str(part).decode_utf8().is_err() {
                    return Err(format!(
                        "the login in `{shown}` is not UTF-8 once it is decoded"
                    ));
                }
            }
            if server.is_websocket() {
                return Err(format!("`{shown}` must begin with nats:// or tls://"));
            }
            if server.host().is_empty() {
                return Err(format!("`{shown}` names no host"));
            }
            Ok(server)
        })
        .collect()
}

/// Only its form is checked here: the checksum is up to the client that uses it.
fn nkey_seed(text: &str) -> Result<Secret, String> {
    let well_formed = text.len() == 58
        && text.starts_with("SU")
        && text.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7'));
    if well_formed {
        Ok(Secret::new(text.to_owned()))
    } else {
        Err("must be the seed of a user nkey: SU and 56 characters of base 32".to_owned())
    }
}
