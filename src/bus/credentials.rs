//! A `.creds` file: the user's JWT and the seed that proves it is ours.
//!
//! The file is read for every handshake, so that a JWT which is renewed on disk before it expires
//! is the one presented at the next reconnect. async-nats' own `credentials_file` reads it once.

use std::io;
use std::path::Path;

use async_nats::{Auth, AuthError};
use nkeys::KeyPair;

/// The two parts of a file.
struct Credentials {
    jwt: String,
    key: KeyPair,
}

/// Checks that the file at `path` can be used.
pub(super) async fn check(path: &Path) -> io::Result<()> {
    read(path).await.map(drop)
}

/// The answer to the server's `nonce`.
pub(super) async fn answer(path: &Path, nonce: &[u8]) -> Result<Auth, AuthError> {
    let Credentials { jwt, key } = read(path).await.map_err(AuthError::new)?;
    let mut auth = Auth::new();
    auth.jwt = Some(jwt);
    auth.signature = Some(key.sign(nonce).map_err(AuthError::new)?);
    Ok(auth)
}

async fn read(path: &Path) -> io::Result<Credentials> {
    parse(&tokio::fs::read_to_string(path).await?)
        .map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))
}

fn parse(text: &str) -> Result<Credentials, &'static str> {
    let jwt = section(text, "NATS USER JWT").ok_or("it holds no `NATS USER JWT` section")?;
    let seed = section(text, "USER NKEY SEED").ok_or("it holds no `USER NKEY SEED` section")?;
    let key = KeyPair::from_seed(seed).map_err(|_| "its nkey seed is not valid")?;
    Ok(Credentials {
        jwt: jwt.to_owned(),
        key,
    })
}

/// The line after `-----BEGIN name-----`.
fn section<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("BEGIN {name}-"))?;
    let line = rest.lines().nth(1)?.trim();
    (!line.is_empty() && !line.starts_with('-')).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(jwt: &str, seed: &str, end: &str) -> String {
        [
            "-----BEGIN NATS USER JWT-----",
            jwt,
            "------END NATS USER JWT------",
            "",
            "************************* IMPORTANT *************************",
            "NKEY Seed printed below can be used to sign and prove identity.",
            "",
            "-----BEGIN USER NKEY SEED-----",
            seed,
            "------END USER NKEY SEED------",
        ]
        .join(end)
    }

    #[test]
    fn reads_both_sections_with_any_line_ends() {
        let pair = KeyPair::new_user();
        let seed = pair.seed().unwrap();
        for end in ["\n", "\r\n"] {
            let credentials = parse(&file("aaa.bbb-_.ccc", &seed, end)).unwrap();
            assert_eq!(credentials.jwt, "aaa.bbb-_.ccc");
            assert_eq!(credentials.key.public_key(), pair.public_key());
        }
    }

    #[test]
    fn says_what_is_missing() {
        let told = |text: &str| parse(text).err().unwrap();
        let seed = KeyPair::new_user().seed().unwrap();
        assert!(told("").contains("JWT"));
        assert!(told(&file("", &seed, "\n")).contains("JWT"));
        assert!(told(&file("aaa", "", "\n")).contains("SEED"));
        assert!(told(&file("aaa", "SUNONE", "\n")).contains("not valid"));
    }
}
