//! The bucket of one timeframe: it takes bars, closes, and is folded again when one of them changes.

use serde::{Deserialize, Serialize};

use super::{DerivedBar, Parts};
use crate::aggregate::Calendar;
use crate::aggregate::bucket::{Bucket, part_end};
use crate::aggregate::content::{Content, Part};
use crate::aggregate::horizon::{Horizon, Moved};
use crate::aggregate::trades::Trades;
use crate::market::{Bar, Timeframe, Timestamp};

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
    pub fn place_of(&self, part: Timeframe, calendar: &Calendar, open: Timestamp) -> Option<Place> {
        if let Some(place) = self.place.filter(|place| place.bucket.contains(open)) {
            return Some(place);
        }
        let bucket = calendar.bucket(self.timeframe, part, open)?;
        let stage = if bucket.open < self.seen_since {
            Stage::Unseen
        } else {
            Stage::Open
        };
        Some(Place {
            expected: calendar.expected(self.timeframe, part, &bucket)?,
            bucket,
            stage,
        })
    }

    /// The bucket at work, if it gives a bar and contains the `newest` bar.
    pub fn place_at(&self, newest: Option<Timestamp>) -> Option<Place> {
        let contains = |place: &Place| newest.is_some_and(|at| place.bucket.contains(at));
        self.place
            .filter(|place| place.stage != Stage::Unseen && contains(place))
    }

    /// Adds a bar that ends at `end`; false if it does not fit in a bucket.
    pub fn append(
        &mut self,
        bar: &Bar,
        end: Option<Timestamp>,
        (part, calendar): (Timeframe, &Calendar),
        trades: Option<&Trades>,
        out: &mut Vec<DerivedBar>,
    ) -> bool {
        let open = bar.timestamp;
        let place = self.place_of(part, calendar, open);
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
            let is_complete = self.is_complete(&place, end, part, calendar);
            if is_complete || place.stage == Stage::Closed {
                place.stage = Stage::Closed;
                out.push(self.derived(&place, &self.content, true));
            }
        }
        self.place = Some(place);
        true
    }

    /// True if the bucket has all of its parts, the last of which ends at `end`.
    fn is_complete(
        &self,
        place: &Place,
        end: Timestamp,
        part: Timeframe,
        calendar: &Calendar,
    ) -> bool {
        end == place.bucket.end && {
            let auctions = calendar.auction_parts(self.timeframe, part, &place.bucket);
            self.content.parts >= place.expected.saturating_add(auctions)
        }
    }

    /// Moves the horizon: the bars before it are settled.
    pub fn settle(
        &mut self,
        moved: &Moved,
        (part, calendar): (Timeframe, &Calendar),
        trades: Option<&Trades>,
    ) {
        if let Some(leaving) = &moved.leaving {
            let end = part_end(part, calendar.zone(), leaving.timestamp);
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
            _ => calendar.bucket(self.timeframe, part, moved.oldest),
        };
        let leaving = moved.leaving.map(|bar| bar.timestamp);
        let before = leaving.and_then(|open| part_end(part, calendar.zone(), open));
        self.horizon.move_to(bucket, before);
        self.settled.clear();
    }

    /// Folds the bucket of a bar that was replaced or inserted; false if one of its bars does not
    /// fit in.
    pub fn revise(
        &mut self,
        at: Timestamp,
        correctable: &[Bar],
        (part, calendar): (Timeframe, &Calendar),
        trades: Option<&Trades>,
        out: &mut Vec<DerivedBar>,
    ) -> bool {
        let at_work = self.place.filter(|place| place.bucket.contains(at));
        let bucket = at_work.map(|place| place.bucket);
        let Some(bucket) = bucket.or_else(|| calendar.bucket(self.timeframe, part, at)) else {
            return true;
        };
        if at_work.is_some_and(|place| place.stage == Stage::Unseen) {
            return true;
        }
        let inside = |bar: &&Bar| !calendar.is_outside(part, bar.timestamp);
        let newest = correctable.last();
        let last = correctable.iter().rev().find(inside);
        // true if every later bar is outside of a session, so that this bucket is at work from now on
        let is_last = last.is_some_and(|bar| bar.timestamp == at) && last != newest;
        let is_first = is_last && at_work.is_none();
        if is_first && bucket.open < self.seen_since {
            self.place = self.place_of(part, calendar, at);
            self.content.clear();
            return true;
        }
        let oldest = correctable.first().map(|bar| bar.timestamp);
        let settled = self.horizon.settled(bucket, oldest, &self.settled);
        let (Some(mut fold), Some(expected)) =
            (settled, calendar.expected(self.timeframe, part, &bucket))
        else {
            return true;
        };
        for bar in correctable.iter().filter(inside) {
            fold.take(bar, part_end(part, calendar.zone(), bar.timestamp), trades);
        }
        let Some(content) = fold.content() else {
            if let Some(end) = part_end(part, calendar.zone(), at)
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
        let at_work = at_work.or_else(|| {
            let newest = newest.filter(|_| is_first)?;
            let stage = if newest.timestamp < bucket.end {
                Stage::Open
            } else {
                Stage::Closed
            };
            Some(Place { stage, ..place })
        });
        if let Some(at_work) = at_work {
            self.content = content;
            let end = newest.and_then(|bar| part_end(part, calendar.zone(), bar.timestamp));
            if end.is_none_or(|end| !self.is_complete(&place, end, part, calendar)) {
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
        calendar: &Calendar,
        newest: Option<Timestamp>,
        oldest: Option<Timestamp>,
    ) -> bool {
        let of =
            |at: Option<Timestamp>| at.and_then(|at| calendar.bucket(self.timeframe, part, at));
        let is_of_newest = |place: Place| {
            let follows =
                |newest: Timestamp| newest >= place.bucket.end && calendar.is_outside(part, newest);
            of(Some(place.bucket.open)) == Some(place.bucket)
                && (of(newest) == Some(place.bucket) || newest.is_some_and(follows))
                && calendar.expected(self.timeframe, part, &place.bucket) == Some(place.expected)
                && (place.stage == Stage::Unseen || self.content.parts > 0)
        };
        self.settled.is_sound()
            && self.content.is_sound()
            && self.place.is_none_or(is_of_newest)
            && self.horizon.is_sound(of(oldest))
    }
}
