//! The table of members and leases, as read.

use std::collections::BTreeMap;

use crate::group::MemberId;

/// A member in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRecord {
    /// Its name, for people.
    pub name: String,
    /// True if the member gives up all its partitions.
    pub leaving: bool,
    /// The fingerprint of its configuration.
    pub fingerprint: u64,
    /// The revision of the record, which each renewal raises.
    pub revision: u64,
}

/// A lease in the table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaseRecord {
    /// The owner of the partition.
    pub owner: Option<MemberId>,
    /// The revision of the record; 0 when there is none.
    pub revision: u64,
}

/// All shared knowledge of the members of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Members whose record has not expired.
    pub members: BTreeMap<MemberId, MemberRecord>,
    /// Leases by partition; a partition that never had an owner has none.
    pub leases: BTreeMap<u32, LeaseRecord>,
}
