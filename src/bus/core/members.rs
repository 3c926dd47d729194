//! This member of the group: its part in the protocol, its messages, the copies of state and the
//! hand-overs.

use std::sync::Arc;

use async_nats::Client;

use super::copies::Copies;
use super::inheritance::Inheritance;
use super::messenger::{GroupSubjects, Messenger};
use crate::bus::guard::Guard;
use crate::bus::intake::{Duty, Intake};
use crate::group::{Handover, MemberId, SlotSet};

pub(super) struct Members {
    pub handover: Handover,
    pub messenger: Messenger,
    pub copies: Copies,
    pub inheritance: Inheritance,
}

impl Members {
    pub fn new(
        handover: Handover,
        subjects: GroupSubjects,
        me: MemberId,
        guard: Arc<Guard>,
        client: Client,
    ) -> Self {
        Self {
            handover,
            messenger: Messenger::new(subjects, me, guard, client),
            copies: Copies::default(),
            inheritance: Inheritance::default(),
        }
    }

    /// The slots whose signals this member publishes, keeps and offers.
    pub fn duty(&self) -> Duty {
        Duty {
            holds: *self.handover.holds(),
            keeps: self.inheritance.keeps(),
            offered: self.handover.offered(),
        }
    }

    /// Grants `slots` to the heir with the position of each of their series.
    pub async fn grant(&self, intake: &mut Intake, to: &MemberId, slots: SlotSet, seq: u64) {
        Inheritance::grant(&self.messenger, intake, to, slots, seq).await;
    }

    /// Keeps memory bounded when a grant does not come.
    pub fn limit_kept(&self, intake: &mut Intake) {
        Inheritance::limit_kept(intake, self.handover.offered());
    }

    /// Asks for the state of `slots`.
    pub async fn request_sync(&mut self, to: &MemberId, slots: SlotSet, counted: bool) {
        self.copies
            .request(&self.messenger, to, slots, counted)
            .await;
    }

    /// Takes an offer.
    pub async fn accept(&mut self, to: &MemberId, slots: SlotSet) {
        self.inheritance.accept(&self.messenger, to, slots).await;
    }

    /// Sends the next part of each copy that has room for it.
    pub async fn copy_on(&mut self, intake: &Intake) {
        self.copies.send(&self.messenger, intake).await;
    }

    /// Everything said before is void.
    pub fn restart(&mut self, intake: &mut Intake) {
        self.copies.restart();
        self.inheritance.restart(intake);
    }
}
