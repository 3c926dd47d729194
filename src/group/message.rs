//! The messages between members of a group.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::handover::Phase;
use super::slots::SlotSet;
use crate::market::{SeriesKey, Timestamp};

/// One run of one process: a restarted agent is another member, whatever its name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MemberId(String);

impl MemberId {
    /// From a text that no other process uses, one subject token long.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl AsRef<str> for MemberId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Said to everyone, once a second and at every change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Presence {
    /// The sender.
    pub id: MemberId,
    /// The agent's name, for people.
    pub name: String,
    /// Counts up with every presence and grant of the member.
    pub seq: u64,
    /// The phase of the member.
    pub phase: Phase,
    /// The slots it publishes for.
    pub claims: SlotSet,
    /// Identifies its computation: members that differ cannot copy state from one another.
    pub fingerprint: u64,
    /// The time it has served.
    pub age: Duration,
    /// Asks the others to say theirs at once.
    pub hello: bool,
    /// The newest [`PROTOCOL`] that the member speaks; 0 before it was said.
    #[serde(default)]
    pub protocol: u32,
    /// Slots that no living member is known to hold; members of former versions say nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vacant: Vec<Vacancy>,
}

/// Slots without a holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vacancy {
    /// Which.
    pub slots: SlotSet,
    /// For how long nobody has been heard to hold them.
    pub silent: Duration,
}

/// The protocol of this version. 1 counts the state that it copies ([`Direct::CopyRequest`]); 0 sends
/// [`Direct::State`] and cannot say how much there is of it.
pub const PROTOCOL: u32 = 1;

/// Said to one member.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Direct {
    /// "Keep what you compute for these slots: they are to become yours."
    Offer {
        /// The offering member.
        from: MemberId,
        /// The offered slots.
        slots: SlotSet,
    },
    /// "I keep it."
    Accept {
        /// The accepting member.
        from: MemberId,
        /// The accepted slots.
        slots: SlotSet,
    },
    /// "I published these series up to here and no further: go on."
    Grant {
        /// The member that grants.
        from: MemberId,
        /// The same as [`Presence::seq`].
        seq: u64,
        /// The granted slots.
        slots: SlotSet,
        /// The progress of each series of these slots: published or passed over.
        positions: Vec<Position>,
        /// The dead letters of these slots written since they were offered, by [`letter_mark`].
        letters: Vec<u64>,
    },
    /// "Send me the state of these slots."
    SyncRequest {
        /// The asking member.
        from: MemberId,
        /// Whose state is wanted.
        slots: SlotSet,
    },
    /// Some series of the requested slots.
    State {
        /// Whose state it was.
        from: MemberId,
        /// The series, each as the engine writes it.
        series: Vec<Vec<u8>>,
    },
    /// "That was all of these slots."
    Synced {
        /// Whose state it was.
        from: MemberId,
        /// The slots that are complete now.
        slots: SlotSet,
    },
    /// "Send me the state of these slots, and count it."
    CopyRequest {
        /// The asking member.
        from: MemberId,
        /// The number of the copy, new with every request.
        copy: u64,
        /// Whose state is wanted.
        slots: SlotSet,
    },
    /// The next bytes of a copy. Together, in order, the parts are its records.
    CopyPart {
        /// Whose state it is.
        from: MemberId,
        /// The value of the request.
        copy: u64,
        /// The number of the part, from 0.
        part: u32,
        /// Its bytes.
        bytes: Bytes,
    },
    /// "I have taken so many parts: send more."
    CopyTaken {
        /// The member that asked for the copy.
        from: MemberId,
        /// The value of the request.
        copy: u64,
        /// Parts taken.
        parts: u32,
    },
    /// "That was all of the copy."
    CopyEnd {
        /// Whose state it was.
        from: MemberId,
        /// The value of the request.
        copy: u64,
        /// Parts sent.
        parts: u32,
    },
    /// Positions and letters of the grant with this number that did not fit in its message. They
    /// come before it.
    GrantPart {
        /// The member that grants.
        from: MemberId,
        /// The number of the grant.
        seq: u64,
        /// The value of [`Direct::Grant`].
        positions: Vec<Position>,
        /// The value of [`Direct::Grant`].
        letters: Vec<u64>,
    },
    /// The reset that each series of the grant with this number began with, if any. Sent before the
    /// grant.
    GrantEpochs {
        /// The member that grants.
        from: MemberId,
        /// The number of the grant.
        seq: u64,
        /// By series.
        epochs: Vec<(SeriesKey, u64)>,
    },
    /// Steps of the series of the grant with this number, sent before the grant. They show the
    /// progress of a series where earlier bars can be corrected; its newest bar does not.
    GrantSteps {
        /// The member that grants.
        from: MemberId,
        /// The number of the grant.
        seq: u64,
        /// Step of each series, as the engine counts it.
        steps: Vec<(SeriesKey, u64)>,
    },
}

/// Identifies a dead letter: by the subject where the refused input came in, and its bytes.
#[must_use]
pub fn letter_mark(subject: &str, payload: &[u8]) -> u64 {
    xxh3_64_with_seed(payload, xxh3_64(subject.as_bytes()))
}

/// The progress of a series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The series.
    pub key: SeriesKey,
    /// Its newest bar.
    pub timestamp: Timestamp,
    /// Corrections of that bar.
    pub revision: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMER: &str = r#"{"id":"a","name":"a","seq":3,"phase":"active","claims":
        "0000000000000000000000000000000000000000000000000000000000000001","fingerprint":7,
        "age":{"secs":5,"nanos":0},"hello":false,"protocol":1}"#;

    #[test]
    fn a_presence_of_a_former_version_says_nothing_about_vacant_slots() {
        let presence: Presence = serde_json::from_str(FORMER).unwrap();
        assert_eq!(presence.vacant, []);
        let written = serde_json::to_string(&presence).unwrap();
        assert!(!written.contains("vacant"), "{written}");
    }

    #[test]
    fn vacant_slots_are_read_as_they_were_written() {
        let mut presence: Presence = serde_json::from_str(FORMER).unwrap();
        presence.vacant.push(Vacancy {
            slots: presence.claims,
            silent: Duration::from_millis(1_500),
        });
        let written = serde_json::to_string(&presence).unwrap();
        assert_eq!(
            serde_json::from_str::<Presence>(&written).unwrap(),
            presence
        );
    }
}
