//! Proof that a message or record was written by a member of the group.
//!
//! A seal is an HMAC-SHA256 with a secret that all members share. It covers the content, the
//! sender, a counter that only grows, the group and the place that the content is meant for (a
//! subject, a record, a partition), so that nothing can be replayed somewhere else. It travels
//! beside the content, in a header: agents that know no secret read what they always read.
//!
//! [`Keyring`] signs and verifies. It does not remember counters; that is [`Counters`] for
//! messages, and the reader's task for records, whose counters belong to the record.
//!
//! Must not know: NATS, clocks, the configuration.

use std::collections::HashMap;
use std::fmt;

use ring::hmac;
use subtle::ConstantTimeEq as _;

/// The version of the format, the first part of every seal.
const VERSION: &str = "1";
/// Separates what is signed here from anything else that might be signed with the same secret.
const DOMAIN: &[u8] = b"technical-analysis-agent seal 1";
const TAG_BYTES: usize = 32;
/// Senders whose counters are remembered; the one silent for longest is forgotten first.
const MAX_SENDERS: usize = 4_096;

/// The kind of content that is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A member's word to all others.
    Presence,
    /// A member's word to all others about how it delivers.
    Delivery,
    /// A member's word to one other.
    Direct,
    /// A member's time mark for all.
    Mark,
    /// A member's record.
    Member,
    /// The record of a partition's owner.
    Lease,
    /// The commit marker of a partition.
    Marker,
}

impl Purpose {
    /// Its name in logs and in what is signed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Presence => "presence",
            Self::Delivery => "announcement of a delivery",
            Self::Direct => "message to a member",
            Self::Mark => "time mark",
            Self::Member => "member record",
            Self::Lease => "lease record",
            Self::Marker => "commit marker",
        }
    }
}

/// The place that sealed content belongs to. The same bytes anywhere else have another seal.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The kind of content.
    pub purpose: Purpose,
    /// The names of the place within the group: a member, a bucket and partition, a batch.
    pub names: &'a [&'a str],
}

/// The reason why content is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Forgery {
    /// There is no seal.
    #[error("it is not signed")]
    Unsigned,
    /// The seal has another format.
    #[error("its signature cannot be read")]
    Unreadable,
    /// No accepted secret gives this seal for this content at this place.
    #[error("it is signed with another secret, or was altered")]
    Wrong,
    /// The counter does not grow.
    #[error("it is a copy of an older one")]
    Replayed,
}

/// The sender and counter of content whose seal is genuine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Signed {
    /// The run of the process that signed it.
    pub sender: String,
    /// The value of the counter.
    pub counter: u64,
}

/// The secrets of a group.
pub struct Keyring {
    group: String,
    signing: Option<hmac::Key>,
    accepted: Vec<hmac::Key>,
    accepts_unsigned: bool,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("secrets", &self.accepted.len())
            .field("accepts_unsigned", &self.accepts_unsigned)
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// The first secret signs, all are accepted, an empty one stands for content without a seal.
    /// Without any secret nothing is signed and everything accepted.
    #[must_use]
    pub fn new<'a>(group: &str, secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let key = |secret: &str| {
            (!secret.is_empty()).then(|| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
        };
        let keys: Vec<Option<hmac::Key>> = secrets.into_iter().map(key).collect();
        Self {
            group: group.to_owned(),
            signing: keys.first().cloned().flatten(),
            accepts_unsigned: keys.iter().any(Option::is_none) || keys.is_empty(),
            accepted: keys.into_iter().flatten().collect(),
        }
    }

    /// Returns whether there is any secret to verify with.
    #[must_use]
    pub const fn verifies(&self) -> bool {
        !self.accepted.is_empty()
    }

    /// The seal of `content`, if this member signs.
    #[must_use]
    pub fn seal(
        &self,
        place: Place<'_>,
        sender: &str,
        counter: u64,
        content: &[u8],
    ) -> Option<String> {
        let key = self.signing.as_ref()?;
        let tag = self.tag(key, place, sender, counter, content);
        let mut seal = format!("{VERSION}.{sender}.{counter}.");
        for byte in tag.as_ref() {
            for digit in [byte >> 4, byte & 15] {
                seal.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        Some(seal)
    }

    /// Verifies `content` at `place`. `None` is content without a seal where that is accepted.
    ///
    /// # Errors
    /// The reason why the content is not accepted.
    pub fn verify(
        &self,
        place: Place<'_>,
        seal: Option<&str>,
        content: &[u8],
    ) -> Result<Option<Signed>, Forgery> {
        if !self.verifies() {
            return Ok(None);
        }
        let Some(seal) = seal else {
            return if self.accepts_unsigned {
                Ok(None)
            } else {
                Err(Forgery::Unsigned)
            };
        };
        let (signed, tag) = parse(seal).ok_or(Forgery::Unreadable)?;
        // every key is tried, so that the time taken does not tell which one it was
        let genuine = self.accepted.iter().fold(false, |genuine, key| {
            let expected = self.tag(key, place, &signed.sender, signed.counter, content);
            genuine | bool::from(expected.as_ref().ct_eq(&tag))
        });
        if genuine {
            Ok(Some(signed))
        } else {
            Err(Forgery::Wrong)
        }
    }

    fn tag(
        &self,
        key: &hmac::Key,
        place: Place<'_>,
        sender: &str,
        counter: u64,
        content: &[u8],
    ) -> hmac::Tag {
        let mut context = hmac::Context::with_key(key);
        // each part behind its length: no two lists of parts give the same bytes
        let mut part = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_le_bytes());
            context.update(bytes);
        };
        part(DOMAIN);
        part(place.purpose.name().as_bytes());
        part(self.group.as_bytes());
        part(&(place.names.len() as u64).to_le_bytes());
        for name in place.names {
            part(name.as_bytes());
        }
        part(sender.as_bytes());
        part(&counter.to_le_bytes());
        part(content);
        context.sign()
    }
}

fn parse(seal: &str) -> Option<(Signed, [u8; TAG_BYTES])> {
    let mut parts = seal.split('.');
    if parts.next()? != VERSION {
        return None;
    }
    let (sender, counter, hex) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = counter.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || sender.is_empty() || !digits || hex.len() != 2 * TAG_BYTES {
        return None;
    }
    let mut tag = [0; TAG_BYTES];
    for (byte, pair) in tag.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    let signed = Signed {
        sender: sender.to_owned(),
        counter: counter.parse().ok()?,
    };
    Some((signed, tag))
}

/// The highest counter heard from each sender, for each kind of message.
#[derive(Debug, Default)]
pub struct Counters {
    heard: HashMap<(String, Purpose), Heard>,
    now: u64,
}

#[derive(Debug)]
struct Heard {
    counter: u64,
    /// Counts messages, as there is no clock here.
    at: u64,
}

impl Counters {
    /// Takes a counter in.
    ///
    /// # Errors
    /// [`Forgery::Replayed`] if it is not above all counters of this sender and kind before.
    pub fn advance(&mut self, purpose: Purpose, signed: &Signed) -> Result<(), Forgery> {
        self.now += 1;
        let (counter, at) = (signed.counter, self.now);
        let key = (signed.sender.clone(), purpose);
        if let Some(heard) = self.heard.get_mut(&key) {
            if counter <= heard.counter {
                return Err(Forgery::Replayed);
            }
            *heard = Heard { counter, at };
            return Ok(());
        }
        if self.heard.len() >= MAX_SENDERS {
            let oldest = self.heard.iter().min_by_key(|(_, heard)| heard.at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.heard.remove(&oldest);
            }
        }
        self.heard.insert(key, Heard { counter, at });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: Place<'_> = Place {
        purpose: Purpose::Lease,
        names: &["bucket", "7"],
    };

    fn keyring(secrets: &[&str]) -> Keyring {
        Keyring::new("g", secrets.iter().copied())
    }

    fn signed(sender: &str, counter: u64) -> Signed {
        Signed {
            sender: sender.to_owned(),
            counter,
        }
    }

    #[test]
    fn the_format_does_not_change_between_versions() {
        // from `hmac.new(b"s3cret", message, "sha256")` of Python over the parts written out
        let seal = keyring(&["s3cret"]).seal(HERE, "ME", 5, b"content");
        assert_eq!(
            seal.unwrap(),
            "1.ME.5.97cd0c33b23b0056cd8803c55d679a7c1b752a548b1a66dfebf3031aa1a0296a"
        );
    }

    #[test]
    fn a_seal_is_good_for_its_content_at_its_place_only() {
        let ours = keyring(&["s3cret"]);
        let seal = ours.seal(HERE, "ME", 5, b"content").unwrap();
        let at = |place, seal: &str, content: &[u8]| ours.verify(place, Some(seal), content);
        assert_eq!(at(HERE, &seal, b"content"), Ok(Some(signed("ME", 5))));
        assert_eq!(at(HERE, &seal, b"Content"), Err(Forgery::Wrong));
        for place in [
            Place {
                purpose: Purpose::Marker,
                ..HERE
            },
            Place {
                names: &["bucket", "8"],
                ..HERE
            },
            Place {
                names: &["bucket7", ""],
                ..HERE
            },
            Place {
                names: &["bucket", "7", ""],
                ..HERE
            },
        ] {
            assert_eq!(at(place, &seal, b"content"), Err(Forgery::Wrong));
        }
        for (from, to) in [("ME", "YOU"), (".5.", ".6."), ("1.", "2.")] {
            assert!(at(HERE, &seal.replacen(from, to, 1), b"content").is_err());
        }
        let other = Keyring::new("h", ["s3cret"]);
        let found = other.verify(HERE, Some(&seal), b"content");
        assert_eq!(found, Err(Forgery::Wrong), "another group");
    }

    #[test]
    fn the_first_secret_signs_and_all_are_accepted() {
        let (old, both, new) = (keyring(&["a"]), keyring(&["b", "a"]), keyring(&["b"]));
        let by = |ring: &Keyring| ring.seal(HERE, "ME", 1, b"x").unwrap();
        let is = |ring: &Keyring, seal: &str| ring.verify(HERE, Some(seal), b"x").is_ok();
        assert!(is(&both, &by(&old)) && is(&both, &by(&new)) && is(&new, &by(&both)));
        assert!(!is(&old, &by(&both)) && !is(&new, &by(&old)));
    }

    #[test]
    fn an_empty_secret_accepts_what_is_not_signed_and_nothing_that_is_signed_wrongly() {
        let (strict, rolling) = (keyring(&["a"]), keyring(&["a", ""]));
        assert_eq!(strict.verify(HERE, None, b"x"), Err(Forgery::Unsigned));
        assert_eq!(rolling.verify(HERE, None, b"x"), Ok(None));
        let foreign = keyring(&["b"]).seal(HERE, "ME", 1, b"x");
        let found = rolling.verify(HERE, foreign.as_deref(), b"x");
        assert_eq!(found, Err(Forgery::Wrong));
        // the step before, in which nobody signs yet
        let first = keyring(&["", "a"]);
        assert_eq!(first.seal(HERE, "ME", 1, b"x"), None);
        let seal = strict.seal(HERE, "ME", 1, b"x");
        assert!(first.verify(HERE, seal.as_deref(), b"x").is_ok());
    }

    #[test]
    fn without_a_secret_nothing_is_signed_and_everything_accepted() {
        let open = keyring(&[]);
        assert!(!open.verifies());
        assert_eq!(open.seal(HERE, "ME", 1, b"x"), None);
        assert_eq!(open.verify(HERE, None, b"x"), Ok(None));
        assert_eq!(open.verify(HERE, Some("junk"), b"x"), Ok(None));
    }

    #[test]
    fn counters_grow_for_each_sender_and_kind() {
        let mut counters = Counters::default();
        let mut said = |purpose, sender, n| counters.advance(purpose, &signed(sender, n));
        assert_eq!(said(Purpose::Presence, "a", 3), Ok(()));
        assert_eq!(said(Purpose::Presence, "a", 3), Err(Forgery::Replayed));
        assert_eq!(said(Purpose::Presence, "a", 2), Err(Forgery::Replayed));
        assert_eq!(said(Purpose::Direct, "a", 2), Ok(()));
        assert_eq!(said(Purpose::Presence, "b", 1), Ok(()));
        assert_eq!(said(Purpose::Presence, "a", 9), Ok(()));
    }

    #[test]
    fn what_is_remembered_of_senders_is_bounded_and_those_at_work_are_kept() {
        let mut counters = Counters::default();
        for n in 0..2 * MAX_SENDERS as u64 {
            let passing = signed(&format!("passing-{n}"), 1);
            assert_eq!(counters.advance(Purpose::Presence, &passing), Ok(()));
            let steady = signed("steady", n + 1);
            assert_eq!(counters.advance(Purpose::Presence, &steady), Ok(()));
        }
        assert!(counters.heard.len() <= MAX_SENDERS);
        let replay = counters.advance(Purpose::Presence, &signed("steady", 5));
        assert_eq!(replay, Err(Forgery::Replayed));
    }

    proptest! {
        #[test]
        fn no_text_is_taken_for_a_seal_and_none_panics(text in ".{0,120}") {
            prop_assert!(keyring(&["a"]).verify(HERE, Some(&text), b"x").is_err());
        }

        #[test]
        fn one_wrong_digit_is_noticed(at in 7_usize..71, by in 1_u32..16) {
            let ring = keyring(&["a"]);
            let seal = ring.seal(HERE, "ME", 5, b"x").unwrap();
            let mut text: Vec<char> = seal.chars().collect();
            let digit = text[at].to_digit(16).unwrap();
            text[at] = char::from_digit((digit + by) % 16, 16).unwrap();
            let text: String = text.into_iter().collect();
            prop_assert_eq!(ring.verify(HERE, Some(&text), b"x"), Err(Forgery::Wrong));
        }
    }
}
