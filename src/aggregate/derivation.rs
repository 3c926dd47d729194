//! The buckets that the bars of one series are gathered in.
//!
//! Invariants: buckets are ordered by timeframe, smallest first; a bucket that is gathered has at
//! least one part; `settled` is the content of the bucket at the horizon ([`Horizon`]) without the
//! parts that can be corrected, so that every bucket since can be folded again.

mod rebuild;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, is_made_of, part_end};
use super::content::Content;
use super::horizon::{Horizon, Moved};
use super::plan::Plan;
use crate::market::{Bar, BarEvent, Finality, Timeframe, Timestamp, Zone};

/// The completeness of a derived bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parts {
    /// Bars of the smallest timeframe that it was derived from.
    #[serde(rename = "parts")]
    pub have: u64,
    /// Bars that it would have if none were missing; `null` where that is not known.
    #[serde(rename = "parts_expected")]
    pub expected: Option<u64>,
}

/// A bar that was derived.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DerivedBar {
    /// Its length.
    pub timeframe: Timeframe,
    /// The bar.
    pub bar: Bar,
    /// Its completeness.
    pub parts: Parts,
    /// False while its bucket is open.
    pub is_final: bool,
}

impl DerivedBar {
    /// The bar of `symbol`, to be taken in.
    #[must_use]
    pub const fn event<'a>(&self, symbol: &'a str) -> BarEvent<'a> {
        BarEvent {
            symbol: Cow::Borrowed(symbol),
            timeframe: self.timeframe,
            bar: self.bar,
            finality: if self.is_final {
                Finality::Final
            } else {
                Finality::Forming
            },
            adjusted: false,
            source: None,
        }
    }
}

/// Room for a content on trial, so that none is allocated.
#[derive(Debug, Default)]
pub struct Scratch(Content);

/// The stage of a bucket's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// It was not seen from its open, so it gives no bar.
    Unseen,
    /// It takes bars.
    Open,
    /// Its bar was handed out.
    Closed,
}

/// The bucket at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    bucket: Bucket,
    expected: u64,
    stage: Stage,
}

/// The bucket of one timeframe that takes the newest bars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Gathering {
    timeframe: Timeframe,
    /// A bucket that opens earlier was not seen from its open.
    seen_since: Timestamp,
    place: Option<Place>,
    settled: Content,
    content: Content,
    /// Formats write it elsewhere.
    #[serde(skip)]
    horizon: Horizon,
}

/// The open buckets of a series, one per derived timeframe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Derivation {
    part: Timeframe,
    /// The newest bar taken in.
    newest: Option<Timestamp>,
    gathered: Vec<Gathering>,
}

impl Gathering {
    fn derived(&self, place: &Place, content: &Content, is_final: bool) -> DerivedBar {
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

    /// The place of a bar that opens at `open`: the bucket at work, or a new one. `None` where bars
    /// do not fill the bucket evenly.
    fn place_of(&self, part: Timeframe, zone: &Zone, open: Timestamp) -> Option<Place> {
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
}

impl Derivation {
    /// Gathers bars of `part` for those timeframes of `plan` that they add up to and that `wanted`
    /// says yes to, `since` the open of the first bar. `None` where there is no such timeframe.
    #[must_use]
    pub fn new(
        plan: &Plan,
        part: Timeframe,
        since: Timestamp,
        wanted: impl Fn(Timeframe) -> bool,
    ) -> Option<Self> {
        let gathered: Vec<Gathering> = plan
            .timeframes()
            .iter()
            .filter(|timeframe| is_made_of(**timeframe, part) && wanted(**timeframe))
            .map(|timeframe| Gathering {
                timeframe: *timeframe,
                seen_since: since,
                place: None,
                settled: Content::default(),
                content: Content::default(),
                horizon: Horizon::since(since),
            })
            .collect();
        (!gathered.is_empty()).then_some(Self {
            part,
            newest: None,
            gathered,
        })
    }

    /// The memory that it takes by `plan`, in bytes.
    #[must_use]
    pub fn bytes(plan: &Plan) -> usize {
        let gathering = size_of::<Gathering>() + 2 * Content::ROOM_ASIDE;
        if plan.is_empty() {
            0
        } else {
            size_of::<Self>() + plan.timeframes().len() * gathering
        }
    }

    /// Buckets that take bars.
    #[must_use]
    pub fn open_buckets(&self) -> usize {
        let places = self.gathered.iter().filter_map(|one| one.place);
        places.filter(|place| place.stage == Stage::Open).count()
    }

    /// The timeframe and the end of each bucket that takes bars, smallest timeframe first.
    pub fn open_ends(&self) -> impl Iterator<Item = (Timeframe, Timestamp)> {
        self.gathered.iter().filter_map(|one| {
            let place = one.place.filter(|place| place.stage == Stage::Open)?;
            Some((one.timeframe, place.bucket.end))
        })
    }

    /// Closes the bucket of `timeframe`, if it still takes bars, and appends its bar to `out`.
    /// Later parts revise that bar.
    pub fn close(&mut self, timeframe: Timeframe, out: &mut Vec<DerivedBar>) {
        let one = self.gathered.iter_mut();
        let Some(one) = one.into_iter().find(|one| one.timeframe == timeframe) else {
            return;
        };
        if let Some(place) = one.place.filter(|place| place.stage == Stage::Open) {
            let stage = Stage::Closed;
            one.place = Some(Place { stage, ..place });
            out.push(one.derived(&place, &one.content, true));
        }
    }

    /// Gives up a timeframe, with its open bucket; false where it is not derived.
    pub fn give_up(&mut self, timeframe: Timeframe) -> bool {
        let before = self.gathered.len();
        self.gathered.retain(|one| one.timeframe != timeframe);
        self.gathered.len() < before
    }

    /// Closes every bucket that ends at `at` or earlier, and appends its bar to `out`: of several,
    /// the one that ends earlier first, and of those that end together the smaller.
    pub fn close_until(&mut self, at: Timestamp, out: &mut Vec<DerivedBar>) {
        while let Some(one) = self
            .gathered
            .iter_mut()
            .filter(|one| {
                one.place
                    .is_some_and(|place| place.stage == Stage::Open && place.bucket.end <= at)
            })
            // the first of several that are equal, and so the smaller
            .min_by_key(|one| one.place.map(|place| place.bucket.end))
        {
            let Some(place) = &mut one.place else { return };
            place.stage = Stage::Closed;
            let place = *place;
            out.push(one.derived(&place, &one.content, true));
        }
    }

    /// Adds a final bar that is later than all before it and has `moved` the horizon. Appends to
    /// `out` the bars of the buckets that it completes, smallest first, and revised bars of buckets
    /// that were closed early. Call [`Self::close_until`] with its open first. Returns the first
    /// timeframe whose bucket it does not fit in: it begins in one and ends in the next, so neither
    /// of the two gives a bar.
    pub fn append(
        &mut self,
        bar: &Bar,
        moved: &Moved,
        zone: &Zone,
        out: &mut Vec<DerivedBar>,
    ) -> Option<Timeframe> {
        let open = bar.timestamp;
        let end = part_end(self.part, zone, open);
        self.newest = Some(open);
        let mut straddled = None;
        for one in &mut self.gathered {
            if !one.append(bar, end, self.part, zone, out) {
                straddled = straddled.or(Some(one.timeframe));
            }
            one.settle(moved, self.part, zone);
        }
        straddled
    }

    /// Follows a bar at `at` that was replaced, or inserted if it has `moved` the horizon. Appends
    /// to `out` the bars of its closed buckets, smallest first, and those of the buckets that it
    /// completes. `correctable` are the bars since the horizon, oldest first. Returns the same as
    /// [`Self::append`]. A bucket that the bar does not fit in keeps the bar that it gave before,
    /// if any.
    pub fn revise(
        &mut self,
        at: Timestamp,
        moved: Option<&Moved>,
        correctable: &[Bar],
        zone: &Zone,
        out: &mut Vec<DerivedBar>,
    ) -> Option<Timeframe> {
        if correctable
            .first()
            .is_none_or(|oldest| at < oldest.timestamp)
        {
            return None;
        }
        let mut straddled = None;
        for one in &mut self.gathered {
            if let Some(moved) = moved {
                one.settle(moved, self.part, zone);
            }
            if !one.revise(at, correctable, self.part, zone, out) {
                straddled = straddled.or(Some(one.timeframe));
            }
        }
        straddled.filter(|_| moved.is_some())
    }

    /// Settles every bar: none of them can be corrected from now on.
    pub fn settle_all(&mut self) {
        for one in &mut self.gathered {
            let place = one.place.filter(|place| place.stage != Stage::Unseen);
            one.horizon.set(place.map(|place| place.bucket));
            one.settled.clone_from(&one.content);
        }
    }

    /// Takes out the horizons, which no format writes with the rest.
    pub fn take_horizons(&mut self) -> Vec<Horizon> {
        let each = self.gathered.iter_mut();
        each.map(|one| std::mem::take(&mut one.horizon)).collect()
    }

    /// Puts back the horizons of [`Self::take_horizons`]; false if they are of other timeframes.
    pub fn put_horizons(&mut self, horizons: Vec<Horizon>) -> bool {
        let fits = horizons.len() == self.gathered.len();
        for (one, horizon) in self.gathered.iter_mut().zip(horizons) {
            one.horizon = horizon;
        }
        fits
    }

    /// Restores the horizons from the rest, which is possible if only the newest bar can be
    /// corrected.
    pub fn put_newest_horizons(&mut self) {
        for one in &mut self.gathered {
            let place = one.place.filter(|place| place.stage != Stage::Unseen);
            one.horizon = Horizon::since(one.seen_since);
            one.horizon.set(place.map(|place| place.bucket));
        }
    }

    /// Appends the bars of the open buckets to `out`, as they would be with a `forming` bar that is
    /// later than all before it, or as they are without one. Changes nothing but `scratch`.
    pub fn peek(
        &self,
        forming: Option<&Bar>,
        zone: &Zone,
        scratch: &mut Scratch,
        out: &mut Vec<DerivedBar>,
    ) {
        let end = forming.and_then(|bar| part_end(self.part, zone, bar.timestamp));
        for one in &self.gathered {
            let Some(bar) = forming else {
                if let Some(place) = one.place.filter(|place| place.stage == Stage::Open) {
                    out.push(one.derived(&place, &one.content, false));
                }
                continue;
            };
            let place = one.place_of(self.part, zone, bar.timestamp);
            let Some(place) = place.filter(|place| place.stage == Stage::Open) else {
                continue;
            };
            if end.is_none_or(|end| end > place.bucket.end) {
                continue;
            }
            let Scratch(content) = scratch;
            if one.place == Some(place) {
                content.clone_from(&one.content);
            } else {
                content.clear();
            }
            content.add(bar);
            out.push(one.derived(&place, content, false));
        }
    }

    /// True if a deserialized state can be worked with: it derives timeframes of `plan` from bars
    /// of `part`, the newest of which opened at `newest` and the oldest correctable one at `oldest`,
    /// and its buckets and numbers are possible.
    #[must_use]
    pub fn is_sound(
        &self,
        plan: &Plan,
        part: Timeframe,
        newest: Option<Timestamp>,
        oldest: Option<Timestamp>,
    ) -> bool {
        let timeframes = || self.gathered.iter().map(|one| one.timeframe);
        self.part == part
            && self.newest == newest
            && !self.gathered.is_empty()
            && timeframes().all(|one| plan.timeframes().contains(&one) && is_made_of(one, part))
            && timeframes().is_sorted_by(|a, b| a.nanos() < b.nanos())
            && self
                .gathered
                .iter()
                .all(|one| one.is_sound(part, plan.calendar(), newest, oldest))
    }
}

impl Gathering {
    /// Adds a bar that ends at `end`; false if it does not fit in a bucket.
    fn append(
        &mut self,
        bar: &Bar,
        end: Option<Timestamp>,
        part: Timeframe,
        zone: &Zone,
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
            self.content.add(bar);
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
    fn settle(&mut self, moved: &Moved, part: Timeframe, zone: &Zone) {
        if let Some(leaving) = &moved.leaving {
            let end = part_end(part, zone, leaving.timestamp);
            if self.horizon.keeps(leaving.timestamp, end) {
                self.settled.add(leaving);
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
    fn revise(
        &mut self,
        at: Timestamp,
        correctable: &[Bar],
        part: Timeframe,
        zone: &Zone,
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
            fold.take(bar, part_end(part, zone, bar.timestamp));
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

    /// Drops the bucket at work, and lets none count that opens before `until`.
    fn spoil(&mut self, until: Timestamp) {
        self.seen_since = self.seen_since.max(until);
        self.place = None;
        self.content.clear();
    }

    fn is_sound(
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

#[cfg(test)]
mod tests;
