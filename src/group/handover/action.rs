//! The words of the protocol: phases, waits, and what a member has to do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::group::message::MemberId;
use crate::group::slots::SlotSet;

/// The phase of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Listens who else is there.
    Starting,
    /// Copies state from those who are.
    Syncing,
    /// Computes everything and publishes what it holds.
    Active,
    /// Hands everything over.
    Leaving,
    /// Said with the last breath.
    Gone,
}

impl Phase {
    /// True if a member that starts must hear of one in this phase: it serves, or will before.
    #[must_use]
    pub const fn answers(self) -> bool {
        matches!(self, Self::Syncing | Self::Active | Self::Leaving)
    }
}

/// The time limits of the protocol.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Between presences when nothing changes.
    pub heartbeat: Duration,
    /// A member not heard for so long is dead.
    pub silence: Duration,
    /// The time a starting member listens for others, where the network knows of none that serves
    /// or one was heard; otherwise it listens for [`Self::silence`].
    pub settle: Duration,
    /// The time that a grant may be under way before its slot counts as nobody's.
    pub orphan: Duration,
    /// The time that an offer or a request may go unanswered.
    pub patience: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(1),
            silence: Duration::from_secs(3),
            settle: Duration::from_millis(50),
            orphan: Duration::from_millis(300),
            patience: Duration::from_secs(5),
        }
    }
}

/// An action of the caller. Actions are taken in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Tell everyone where this member stands.
    Announce {
        /// Ask them to do the same.
        hello: bool,
    },
    /// Ask `from` for the state of `slots`.
    RequestSync {
        /// The member that holds them.
        from: MemberId,
        /// The wanted slots.
        slots: SlotSet,
        /// True if `from` can count what it sends.
        counted: bool,
    },
    /// Say that `from` did not send the state it was asked for. It is asked for again.
    SyncFailed {
        /// The member that was asked.
        from: MemberId,
    },
    /// Offer `slots` to `to`.
    Offer {
        /// The heir.
        to: MemberId,
        /// The offered slots.
        slots: SlotSet,
    },
    /// Keep the signals of `slots` from the next bar on, then accept them from `to`.
    Accept {
        /// The holder.
        to: MemberId,
        /// The accepted slots.
        slots: SlotSet,
    },
    /// Publish `slots` no more and grant them to `to` with their positions.
    Release {
        /// The heir.
        to: MemberId,
        /// The released slots.
        slots: SlotSet,
        /// The number of the grant.
        seq: u64,
    },
    /// Publish `slots` from the next bar on; nobody else does.
    Take {
        /// The taken slots.
        slots: SlotSet,
    },
    /// Publish `slots` no more; somebody else does.
    Drop {
        /// The dropped slots.
        slots: SlotSet,
    },
    /// Throw away what was kept of `slots`; no grant will come.
    Forget {
        /// The forgotten slots.
        slots: SlotSet,
    },
    /// Everything is known: work off the bars that have waited.
    Activate {
        /// True if members that had state went before all of it was copied.
        cold: bool,
    },
    /// This member was away for too long: let bars wait until the next [`Action::Activate`].
    Restart,
}

/// A member as this one knows it.
#[derive(Debug, Clone)]
pub struct MemberView {
    /// Which.
    pub id: MemberId,
    /// The agent's name.
    pub name: String,
    /// Its phase.
    pub phase: Phase,
    /// Slots it publishes for.
    pub slots: usize,
}
