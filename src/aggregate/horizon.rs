//! The horizon: the oldest bar that can be corrected, in the buckets of a series.
//!
//! Bars before the horizon are settled. Those in the bucket of the horizon are kept as one content,
//! and those of earlier buckets are forgotten. A later bucket is folded again from that content and
//! the bars that can be corrected.

use serde::{Deserialize, Serialize};

use super::bucket::Bucket;
use super::content::{Content, Part};
use super::trades::Trades;
use crate::market::{Bar, Timestamp};

/// The place of the horizon among the buckets of one timeframe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Horizon {
    /// A bucket that opens earlier was not seen from its open.
    since: Timestamp,
    /// The bucket in which the oldest correctable bar opens. `None` if it was not seen from its
    /// open, or if a bar before the horizon reaches across one of its ends.
    bucket: Option<Bucket>,
}

/// The move of the horizon by a bar that was appended or inserted.
#[derive(Debug, Clone, Copy)]
pub struct Moved {
    /// The bar that can no longer be corrected, if there is one.
    pub leaving: Option<Bar>,
    /// Opening time of the oldest bar that can be corrected now.
    pub oldest: Timestamp,
}

impl Moved {
    /// The same move where only bars that are `inside` leave something behind.
    pub(super) fn inside(&self, inside: impl Fn(Timestamp) -> bool) -> Self {
        Self {
            leaving: self.leaving.filter(|bar| inside(bar.timestamp)),
            oldest: self.oldest,
        }
    }
}

/// The content of a bucket in the making.
pub(super) struct Fold {
    bucket: Bucket,
    content: Content,
    /// False once a bar reaches across an end of the bucket.
    fits: bool,
}

impl Default for Horizon {
    fn default() -> Self {
        Self::since(Timestamp::from_nanos(i64::MIN))
    }
}

impl Horizon {
    /// The horizon of buckets that are gathered from this bar on.
    pub(super) const fn since(since: Timestamp) -> Self {
        Self {
            since,
            bucket: None,
        }
    }

    /// Sets the bucket of the horizon; `None` if that bucket gives no bar.
    pub(super) const fn set(&mut self, bucket: Option<Bucket>) {
        self.bucket = bucket;
    }

    /// True if a bar from `open` to `end` that is settled now belongs to the content of its bucket.
    /// A bar that ends in another bucket spoils the content.
    pub(super) fn keeps(&mut self, open: Timestamp, end: Option<Timestamp>) -> bool {
        self.bucket = self
            .bucket
            .filter(|bucket| !bucket.contains(open) || end.is_some_and(|end| end <= bucket.end));
        self.contains(open)
    }

    /// True if a bar at `open` belongs to the bucket of the horizon.
    pub(super) fn contains(&self, open: Timestamp) -> bool {
        self.bucket.is_some_and(|bucket| bucket.contains(open))
    }

    /// Moves the horizon to another bucket. The bar before it ends at `before`.
    pub(super) fn move_to(&mut self, bucket: Option<Bucket>, before: Option<Timestamp>) {
        self.bucket = bucket.filter(|bucket| {
            bucket.open >= self.since && before.is_none_or(|end| end <= bucket.open)
        });
    }

    /// The first part of the content of `bucket`, which is the bucket of the horizon or a later
    /// one; the correctable bars from `oldest` on follow. `content` is that of the horizon's
    /// bucket. `None` if the bucket gives no bar.
    pub(super) fn settled(
        &self,
        bucket: Bucket,
        oldest: Option<Timestamp>,
        content: &Content,
    ) -> Option<Fold> {
        let is_at_horizon = oldest.is_none_or(|oldest| bucket.open <= oldest);
        let content = match self.bucket {
            Some(settled) if settled == bucket => content.clone(),
            _ if is_at_horizon || bucket.open < self.since => return None,
            _ => Content::default(),
        };
        Some(Fold {
            bucket,
            content,
            fits: true,
        })
    }

    pub(super) fn is_sound(&self, of_oldest: Option<Bucket>) -> bool {
        self.bucket.is_none() || self.bucket == of_oldest
    }
}

impl Fold {
    /// Adds a bar that ends at `end`. Bars come oldest first, and some are of other buckets.
    pub(super) fn take(&mut self, bar: &Bar, end: Option<Timestamp>, trades: Option<&Trades>) {
        let Bucket { open, end: close } = self.bucket;
        if bar.timestamp < open {
            self.fits &= end.is_some_and(|end| end <= open);
        } else if bar.timestamp < close {
            self.fits &= end.is_some_and(|end| end <= close);
            self.content.add(Part::of(bar, trades));
        }
    }

    /// The content, if no bar reaches across an end of the bucket.
    pub(super) fn content(self) -> Option<Content> {
        self.fits.then_some(self.content)
    }
}
