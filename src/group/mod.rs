//! The division of symbols among the replicas of a group.
//!
//! Symbols fall into a fixed number of [`slots`](SlotSet); the live members of the group divide
//! the slots among themselves by rendezvous hashing. [`Handover`] is the protocol by which a
//! slot passes from one member to the next without a signal lost or doubled: a pure state
//! machine that is told what was heard and what time it is, and answers with what to send.
//!
//! In durable delivery the shares are partitions of a stream, and [`Leases`] decides who has which.
//!
//! Must not know: NATS, the engine, clocks.

mod census;
mod handover;
mod lease;
mod message;
#[cfg(test)]
pub(crate) mod random;
mod roster;
mod seal;
mod slots;

pub use census::{Announcement, Census, Home, Way};
pub use handover::{Action, Handover, MemberView, Phase, Timing};
pub use lease::{LeaseRecord, Leases, MemberRecord, Step, Table};
pub use message::{Direct, MemberId, PROTOCOL, Position, Presence, Vacancy, letter_mark};
pub use roster::Roster;
pub use seal::{Counters, Forgery, Keyring, Place, Purpose, Signed};
pub use slots::{SLOTS, Slot, SlotSet, rendezvous};
