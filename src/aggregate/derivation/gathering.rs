//! The bucket of one timeframe: it takes bars, closes, and is folded again when one of them changes.

use serde::{Deserialize, Serialize};

use super::{DerivedBar, Parts};
use crate::aggregate::bucket::{Bucket, part_end};
use crate::aggregate::content::{Content, Part};
use crate::aggregate::horizon::{Horizon, Moved};
use crate::aggregate::trades::Trades;
use crate::market::{Bar, Timeframe, Timestamp, Zone};

/// Stage in the life of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// It was not seen from its open, so it gives no bar.
    Unseen,
    /// It takes bars.
    Open,
    /// Its bar was handed out.
    Closed,
}

/// The bucket at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub bucket: Bucket,
    pub expected: u64,
    pub stage: Stage,
}

/// The bucket of one timeframe that takes the newest bars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Gathering {
    pub timeframe: Timeframe,
    /// A bucket that opens earlier was not seen from its open.
    pub seen_since: Timestamp,
    pub place: Option<Place>,
    pub settled: Content,
    pub content: Content,
    /// Formats write it elsewhere.
    #[serde(skip)]
    pub horizon: Horizon,
}

impl Gathering {
    pub fn derived(&self, place: &Place, content: &Content, is_final: bool) -> DerivedBar {
        DerivedBar {
            timeframe: self.timeframe,
            bar: content.bar(place.bucket.open),
            parts: Parts {
                have: content.parts,
                expected: Some(place.expected),
            },
            is_final,
        }
    }

    /// The place of a bar that opens at `open`: the bucket at work, or a new one. `None` if bars do
    /// not fill the bucket evenly.
    pub fn place_of(&self, part: Timeframe, zone: &Zone, open: Timestamp) -> Option<Place> {
        if let Some(place) = self.place.filter(|place| place.bucket.contains(open)) {
            return Some(place);
        }
        let bucket = Bucket::of(self.timeframe, zone, open)?;
        let stage = if bucket.open < self.seen_since {
            Stage::Unseen
        } else {
            Stage::Open
        };
        Some(Place {
            expected: bucket.expected(part, zone)?,
            bucket,
            stage,
        })
    }

    /// Adds a bar that ends at `end`; false if it does not fit in a bucket.
    pub fn append(
        &mut self,
        bar: &Bar,
        end: Option<Timestamp>,
        (part, zone): (Timeframe, &Zone),
        trades: Option<&Trades>,
        out: &mut Vec<DerivedBar>,
    ) -> bool {
        let open = bar.timestamp;
        let place = self.place_of(part, zone, open);
        let (Some(mut place), Some(end)) = (place, end) else {
            self.spoil(end.unwrap_or_else(|| open.after(part.longest_nanos())));
            return false;
        };
        if end > place.bucket.end {
            self.spoil(end);
            return false;
        }
        if self
            .place
            .is_none_or(|at_work| at_work.bucket != place.bucket)
        {
            debug_assert!(
                self.place.is_none_or(|left| left.stage != Stage::Open),
                "a bucket is closed before a later one takes bars"
            );
            self.content.clear();
        }
        if place.stage != Stage::Unseen {
            self.content.add(Part::of(bar, trades));
            let is_complete = end == place.bucket.end && self.content.parts >= place.expected;
            if is_complete || place.stage == Stage::Closed {
                place.stage = Stage::Closed;
                out.push(self.derived(&place, &self.content, true));
            }
        }
        self.place = Some(place);
        true
    }

    /// Moves the horizon: the bars before it are settled.
    pub fn settle(
        &mut self,
        moved: &Moved,
        (part, zone): (Timeframe, &Zone),
        trades: Option<&Trades>,
    ) {
        if let Some(leaving) = &moved.leaving {
            let end = part_end(part, zone, leaving.timestamp);
            if self.horizon.keeps(leaving.timestamp, end) {
                self.settled.add(Part::of(leaving, trades));
            } else {
                self.settled.clear();
            }
        }
        if self.horizon.contains(moved.oldest) {
            return;
        }
        let bucket = match self.place {
            Some(place) if place.bucket.contains(moved.oldest) => {
                (place.stage != Stage::Unseen).then_some(place.bucket)
            }
            _ => Bucket::of(self.timeframe, zone, moved.oldest),
        };
        let leaving = moved.leaving.map(|bar| bar.timestamp);
        let before = leaving.and_then(|open| part_end(part, zone, open));
        self.horizon.move_to(bucket, before);
        self.settled.clear();
    }

    /// Folds the bucket of a bar that was replaced or inserted; false if one of its bars does not
    /// fit in.
    pub fn revise(
        &mut self,
        at: Timestamp,
        correctable: &[Bar],
        (part, zone): (Timeframe, &Zone),
        trades: Option<&Trades>,
        out: &mut Vec<DerivedBar>,
    ) -> bool {
        let at_work = self.place.filter(|place| place.bucket.contains(at));
        let bucket = at_work.map(|place| place.bucket);
        let Some(bucket) = bucket.or_else(|| Bucket::of(self.timeframe, zone, at)) else {
            return true;
        };
        if at_work.is_some_and(|place| place.stage == Stage::Unseen) {
            return true;
        }
        let oldest = correctable.first().map(|bar| bar.timestamp);
        let settled = self.horizon.settled(bucket, oldest, &self.settled);
        let (Some(mut fold), Some(expected)) = (settled, bucket.expected(part, zone)) else {
            return true;
        };
        for bar in correctable {
            fold.take(bar, part_end(part, zone, bar.timestamp), trades);
        }
        let Some(content) = fold.content() else {
            if let Some(end) = part_end(part, zone, at)
                && at_work.is_some_and(|place| place.stage == Stage::Open)
            {
                self.spoil(end);
            }
            return false;
        };
        let mut place = Place {
            bucket,
            expected,
            stage: Stage::Closed,
        };
        if let Some(at_work) = at_work {
            self.content = content;
            let newest = correctable.last();
            let end = newest.and_then(|bar| part_end(part, zone, bar.timestamp));
            let is_complete = end == Some(bucket.end) && self.content.parts >= expected;
            if !is_complete {
                place.stage = at_work.stage;
            }
            self.place = Some(place);
            if place.stage == Stage::Closed {
                out.push(self.derived(&place, &self.content, true));
            }
        } else {
            out.push(self.derived(&place, &content, true));
        }
        true
    }

    /// Drops the bucket at work, and ignores every bucket that opens before `until`.
    pub fn spoil(&mut self, until: Timestamp) {
        self.seen_since = self.seen_since.max(until);
        self.place = None;
        self.content.clear();
    }

    pub fn is_sound(
        &self,
        part: Timeframe,
        zone: &Zone,
        newest: Option<Timestamp>,
        oldest: Option<Timestamp>,
    ) -> bool {
        let of = |at: Option<Timestamp>| at.and_then(|at| Bucket::of(self.timeframe, zone, at));
        let is_of_newest = |place: Place| {
            of(newest) == Some(place.bucket)
                && place.bucket.expected(part, zone) == Some(place.expected)
                && (place.stage == Stage::Unseen || self.content.parts > 0)
        };
        self.settled.is_sound()
            && self.content.is_sound()
            && self.place.is_none_or(is_of_newest)
            && self.horizon.is_sound(of(oldest))
    }
}
