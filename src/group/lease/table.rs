//! The table of members and leases, as read.

use std::collections::BTreeMap;

use crate::group::MemberId;

/// A member as the table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRecord {
    /// Its name, for people.
    pub name: String,
    /// True if it gives everything up.
    pub leaving: bool,
    /// The fingerprint of its configuration.
    pub fingerprint: u64,
    /// The revision of the record, which each renewal raises.
    pub revision: u64,
}

/// A lease as the table has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaseRecord {
    /// The owner of the partition.
    pub owner: Option<MemberId>,
    /// The revision of the record; 0 when there is none.
    pub revision: u64,
}

/// Everything the members of a group know of each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Those whose record has not expired.
    pub members: BTreeMap<MemberId, MemberRecord>,
    /// By partition; one that nobody ever owned is not there.
    pub leases: BTreeMap<u32, LeaseRecord>,
}
