//! The subjects of the group, and the messages that this member sends there.

use std::sync::Arc;

use async_nats::{Client, HeaderMap, Subject};

use crate::bus::guard::Guard;
use crate::group::{Direct, MemberId, Place, Presence, Purpose, SlotSet};
use crate::wire::{Mark, token};

/// A message to a member stays below this, whatever the server allows.
const CHUNK_BYTES: usize = 256 * 1024;
/// The most bytes a message has beside its series, positions and marks.
const ENVELOPE_BYTES: usize = 4 * 1024;
/// The largest position, in bytes: a symbol, a timeframe, a timestamp, a revision.
pub(super) const POSITION_BYTES: usize = 96;

/// The subjects on which the members of a group talk.
#[derive(Debug, Clone)]
pub(super) struct GroupSubjects {
    pub presence: Subject,
    /// Members that serve are subscribed to it.
    pub serving: Subject,
    /// Time marks for all members.
    pub marks: Subject,
    direct: String,
}

impl GroupSubjects {
    pub fn new(group: &str) -> Self {
        let base = format!("agents.technical.group.{}", token(group));
        Self {
            presence: format!("{base}.presence").into(),
            serving: format!("{base}.serving").into(),
            marks: format!("{base}.marks").into(),
            direct: format!("{base}.to"),
        }
    }

    pub fn direct(&self, member: &MemberId) -> Subject {
        format!("{}.{member}", self.direct).into()
    }
}

/// The place of messages to everyone.
pub(super) const PRESENCE: Place<'static> = Place {
    purpose: Purpose::Presence,
    names: &[],
};

/// The place of time marks.
pub(super) const MARKS: Place<'static> = Place {
    purpose: Purpose::Mark,
    names: &[],
};

/// The place of messages to the member called `to.0`.
pub(super) fn sent_to<'a>(to: &'a [&'a str; 1]) -> Place<'a> {
    Place {
        purpose: Purpose::Direct,
        names: to,
    }
}

/// Sends the messages of this member.
pub(super) struct Messenger {
    pub subjects: GroupSubjects,
    pub me: MemberId,
    guard: Arc<Guard>,
    client: Client,
}

impl Messenger {
    pub const fn new(
        subjects: GroupSubjects,
        me: MemberId,
        guard: Arc<Guard>,
        client: Client,
    ) -> Self {
        Self {
            subjects,
            me,
            guard,
            client,
        }
    }

    /// The bytes of series, positions and marks that fit in a message to a member.
    pub fn room(&self) -> usize {
        let allowed = self.client.max_payload();
        let room = allowed.min(CHUNK_BYTES).saturating_sub(ENVELOPE_BYTES);
        room.max(POSITION_BYTES)
    }

    /// Publishes the presence of this member.
    pub async fn announce(&self, presence: &Presence) {
        match serde_json::to_vec(presence) {
            Ok(json) => {
                let subject = self.subjects.presence.clone();
                self.publish(subject, PRESENCE, json).await;
            }
            Err(error) => tracing::error!(%error, "presence cannot be written"),
        }
    }

    /// Publishes a time mark for all members, this one among them.
    pub async fn mark(&self, mark: Mark) {
        let subject = self.subjects.marks.clone();
        self.publish(subject, MARKS, mark.payload()).await;
    }

    /// Sends `message` to the member `to`.
    pub async fn send(&self, to: &MemberId, message: &Direct) {
        match postcard::to_stdvec(message) {
            Ok(bytes) => {
                let place = [to.as_ref()];
                self.publish(self.subjects.direct(to), sent_to(&place), bytes)
                    .await;
            }
            Err(error) => tracing::error!(%error, "message to a member cannot be written"),
        }
    }

    /// Offers `slots` to the member `to`.
    pub async fn offer(&self, to: &MemberId, slots: SlotSet) {
        let from = self.me.clone();
        self.send(to, &Direct::Offer { from, slots }).await;
    }

    /// Confirms to the giver the parts of its copy that were taken.
    pub async fn confirm(&self, to: &MemberId, copy: u64, parts: u32) {
        let from = self.me.clone();
        self.send(to, &Direct::CopyTaken { from, copy, parts })
            .await;
    }

    async fn publish(&self, subject: Subject, place: Place<'_>, payload: Vec<u8>) {
        let mut headers = HeaderMap::new();
        self.guard.seal(&mut headers, place, &payload);
        let sent = if headers.is_empty() {
            self.client.publish(subject, payload.into()).await
        } else {
            let client = &self.client;
            client
                .publish_with_headers(subject, headers, payload.into())
                .await
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "message to the group cannot be sent");
        }
    }
}
