//! The last bars of a series, as columns.
//!
//! Invariants: every column has the same length; the newest `window` bars (or all, if there are
//! fewer) are the contiguous tail of each column; before them are at least `spare` older bars, if
//! there were as many, for windows that end before the newest bar; a column never grows beyond its
//! capacity. Columns are slid back to their front once every `SLACK`-th of a window, which costs a
//! few nanoseconds per bar and half the memory of a mirrored ring.
//!
//! Must not know: what is computed from the bars.

use serde::{Deserialize, Serialize};

use super::columns::{read, read_times, read_values, write, write_times, write_values};
use crate::aggregate::Moved;
use crate::indicators::Bars;
use crate::market::{Bar, Timestamp};

/// A fifth of the window is kept as room to slide in.
const SLACK: usize = 5;

/// Bars that a new series has room for.
const FIRST: usize = 4;

/// The last `window` bars of one series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ring {
    window: usize,
    /// Bars kept before the window. Formats leave it to the configuration.
    #[serde(skip)]
    spare: usize,
    timestamps: Vec<i64>,
    open: Vec<f64>,
    high: Vec<f64>,
    low: Vec<f64>,
    close: Vec<f64>,
    volume: Vec<f64>,
}

impl Ring {
    /// An empty ring of a window of `window` bars (at least one) that keeps `spare` older ones.
    #[must_use]
    pub const fn new(window: usize, spare: usize) -> Self {
        Self {
            window: if window == 0 { 1 } else { window },
            spare,
            timestamps: Vec::new(),
            open: Vec::new(),
            high: Vec::new(),
            low: Vec::new(),
            close: Vec::new(),
            volume: Vec::new(),
        }
    }

    /// Memory of its columns in bytes, once it keeps `bars` bars.
    #[must_use]
    pub const fn full_bytes(bars: usize) -> usize {
        capacity(bars) * size_of::<Bar>()
    }

    /// Number of bars, at most its window.
    #[must_use]
    pub fn len(&self) -> usize {
        self.close.len().min(self.window)
    }

    /// Largest number of bars that it keeps.
    #[must_use]
    pub const fn window(&self) -> usize {
        self.window
    }

    /// Largest number of bars kept: the window and those before it.
    pub const fn room(&self) -> usize {
        self.window + self.spare
    }

    /// Number of bars in a snapshot of it, those before the window included.
    pub fn kept(&self) -> usize {
        self.close.len().min(self.room())
    }

    /// Sets the number of bars kept before the window, which a deserialized ring lacks.
    pub const fn set_spare(&mut self, spare: usize) {
        self.spare = spare;
    }

    /// Returns true if it holds no bar.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.close.is_empty()
    }

    /// The newest bar.
    #[must_use]
    pub fn newest(&self) -> Option<Bar> {
        self.back(0)
    }

    /// The window, oldest bar first.
    #[must_use]
    pub fn bars(&self) -> Bars<'_> {
        self.bars_before(0)
    }

    /// The window as it was before the `newer` newest bars, as far as it is kept.
    pub fn bars_before(&self, newer: usize) -> Bars<'_> {
        let to = self.close.len() - newer;
        let from = to.saturating_sub(self.window);
        Bars {
            timestamps: &self.timestamps[from..to],
            open: &self.open[from..to],
            high: &self.high[from..to],
            low: &self.low[from..to],
            close: &self.close[from..to],
            volume: &self.volume[from..to],
        }
    }

    /// The bar with `newer` newer ones, if it is kept.
    pub fn back(&self, newer: usize) -> Option<Bar> {
        let at = self.close.len().checked_sub(newer + 1)?;
        Some(Bar {
            timestamp: Timestamp::from_nanos(self.timestamps[at]),
            open: self.open[at],
            high: self.high[at],
            low: self.low[at],
            close: self.close[at],
            volume: self.volume[at],
        })
    }

    /// The move of the `correctable` newest bars after one was added.
    pub fn moved(&self, correctable: usize) -> Moved {
        let newer = correctable.min(self.len()) - 1;
        let oldest = self
            .back(newer)
            .map_or(i64::MIN, |bar| bar.timestamp.nanos());
        Moved {
            leaving: self.back(correctable),
            oldest: Timestamp::from_nanos(oldest),
        }
    }

    /// The number of bars in the window that are newer than `at`.
    pub fn newer_than(&self, at: Timestamp) -> usize {
        let newest = self.bars().timestamps.iter().rev();
        newest.take_while(|open| **open > at.nanos()).count()
    }

    /// Appends a bar; the oldest leaves once the window is full.
    pub fn push(&mut self, bar: &Bar) {
        self.make_room();
        self.timestamps.push(bar.timestamp.nanos());
        self.open.push(bar.open);
        self.high.push(bar.high);
        self.low.push(bar.low);
        self.close.push(bar.close);
        self.volume.push(bar.volume);
    }

    /// Takes the newest bar away again. Every bar that the [`Self::push`] before it had
    /// in its window is still there, the one that left included.
    pub fn pop(&mut self) {
        self.timestamps.pop();
        self.open.pop();
        self.high.pop();
        self.low.pop();
        self.close.pop();
        self.volume.pop();
    }

    /// Replaces the bar that has `newer` newer ones by `bar`.
    pub fn replace(&mut self, newer: usize, bar: &Bar) {
        let at = self.close.len() - 1 - newer;
        self.timestamps[at] = bar.timestamp.nanos();
        self.open[at] = bar.open;
        self.high[at] = bar.high;
        self.low[at] = bar.low;
        self.close[at] = bar.close;
        self.volume[at] = bar.volume;
    }

    /// Inserts `bar` before the `newer` newest ones; a full window drops its oldest bar.
    pub fn insert(&mut self, newer: usize, bar: &Bar) {
        self.make_room();
        let at = self.close.len() - newer;
        self.timestamps.insert(at, bar.timestamp.nanos());
        self.open.insert(at, bar.open);
        self.high.insert(at, bar.high);
        self.low.insert(at, bar.low);
        self.close.insert(at, bar.close);
        self.volume.insert(at, bar.volume);
    }

    /// Removes the bar that [`Self::insert`] put before the `newer` newest ones.
    pub fn remove(&mut self, newer: usize) {
        let at = self.close.len() - 1 - newer;
        self.timestamps.remove(at);
        for column in self.columns() {
            column.remove(at);
        }
    }

    /// Returns true if a deserialized ring keeps the invariants.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let n = self.close.len();
        self.window >= 1
            && n <= capacity(self.room())
            && self.timestamps.len() == n
            && [&self.open, &self.high, &self.low, &self.volume]
                .iter()
                .all(|column| column.len() == n)
    }

    /// True if every bar is later than the one before it.
    pub fn is_in_order(&self) -> bool {
        let later = |pair: &[i64]| pair[0] < pair[1];
        self.timestamps.windows(2).all(later)
    }

    /// Drops bars beyond those that must be kept, so that equal histories give equal snapshots.
    pub fn compact(&mut self) {
        self.slide();
    }

    /// Appends the bars to `out` in a compact form, and leaves the ring empty.
    pub fn take(&mut self, out: &mut Vec<u8>) {
        self.compact();
        write(&self.kept(), out);
        write_times(&self.timestamps, out);
        self.timestamps.clear();
        for column in self.columns() {
            write_values(column, out);
            column.clear();
        }
    }

    /// Takes off the front of `bytes` what [`Self::take`] has written. Nothing when it is
    /// damaged; the ring is then not to be used.
    pub fn put(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let length = read(bytes)?;
        self.timestamps = read_times(length, bytes)?;
        for column in self.columns() {
            *column = read_values(length, bytes)?;
        }
        Some(())
    }

    fn make_room(&mut self) {
        if self.close.len() >= capacity(self.room()) {
            self.slide();
        } else if self.close.len() == self.close.capacity() {
            self.grow();
        }
    }

    /// Makes room for more bars: half as many again, at most what a full window takes.
    fn grow(&mut self) {
        let held = self.close.len();
        let room = (held + held / 2).max(FIRST).min(capacity(self.room()));
        let more = room.saturating_sub(held);
        self.timestamps.reserve_exact(more);
        for column in self.columns() {
            column.reserve_exact(more);
        }
    }

    /// The bars as values, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Bar> + '_ {
        let bars = self.bars();
        (0..bars.len()).map(move |i| bars.at(i))
    }

    /// Those of values.
    fn columns(&mut self) -> [&mut Vec<f64>; 5] {
        [
            &mut self.open,
            &mut self.high,
            &mut self.low,
            &mut self.close,
            &mut self.volume,
        ]
    }

    fn slide(&mut self) {
        let before = self.close.len() - self.kept();
        self.timestamps.drain(..before);
        for column in self.columns() {
            column.drain(..before);
        }
    }
}

/// Capacity for `bars` bars, one bar on trial, and the room for sliding.
const fn capacity(bars: usize) -> usize {
    bars + bars / SLACK + 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bar(n: i64) -> Bar {
        #[allow(clippy::cast_precision_loss)]
        let x = n as f64;
        Bar {
            timestamp: Timestamp::from_nanos(n),
            open: x,
            high: x + 1.0,
            low: x - 1.0,
            close: x + 0.5,
            volume: x * 2.0,
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push,
        Trial,
        Replace(prop::sample::Index),
        /// Taken away again or not.
        Insert(prop::sample::Index, bool),
        Compact,
        Move,
    }

    fn step() -> impl Strategy<Value = Step> {
        let place = any::<prop::sample::Index>;
        prop_oneof![
            8 => Just(Step::Push),
            2 => Just(Step::Trial),
            2 => place().prop_map(Step::Replace),
            2 => (place(), any::<bool>()).prop_map(|(place, back)| Step::Insert(place, back)),
            1 => Just(Step::Compact),
            1 => Just(Step::Move),
        ]
    }

    proptest! {
        /// The model keeps every bar.
        #[test]
        fn the_ring_holds_what_a_bounded_queue_holds(
            window in 1usize..40,
            spare in 0usize..20,
            steps in prop::collection::vec(step(), 0..400),
        ) {
            let mut ring = Ring::new(window, spare);
            let mut model: Vec<Bar> = Vec::new();
            let mut allocated = 0;
            let window_of = |model: &[Bar]| model[model.len().saturating_sub(window)..].to_vec();
            for (n, step) in (0i64..).zip(steps) {
                let kept = model.len().min(window + spare);
                match step {
                    Step::Push => {
                        ring.push(&bar(n));
                        model.push(bar(n));
                    }
                    Step::Trial => {
                        ring.push(&bar(n));
                        let expected = [&model[..], &[bar(n)]].concat();
                        prop_assert!(ring.iter().eq(window_of(&expected)));
                        ring.pop();
                    }
                    Step::Replace(_) if kept == 0 => {}
                    Step::Replace(place) => {
                        let newer = place.index(kept);
                        ring.replace(newer, &bar(-n));
                        let at = model.len() - 1 - newer;
                        model[at] = bar(-n);
                    }
                    Step::Insert(place, back) => {
                        let newer = place.index(kept + 1).min(window - 1);
                        ring.insert(newer, &bar(-n));
                        if back {
                            ring.remove(newer);
                        } else {
                            model.insert(model.len() - newer, bar(-n));
                        }
                    }
                    Step::Compact => ring.compact(),
                    Step::Move => {
                        let mut bytes = Vec::new();
                        ring.take(&mut bytes);
                        prop_assert!(ring.is_empty());
                        let mut rest = bytes.as_slice();
                        prop_assert_eq!(ring.put(&mut rest), Some(()));
                        prop_assert!(rest.is_empty());
                    }
                }
                prop_assert!(ring.iter().eq(window_of(&model)));
                let kept = model.len().min(window + spare);
                prop_assert_eq!((ring.len(), ring.kept()), (model.len().min(window), kept));
                for newer in 0..kept {
                    let older = &model[..model.len() - newer];
                    prop_assert_eq!(ring.back(newer), older.last().copied());
                    // whole if it keeps this number of bars
                    let bars = ring.bars_before(newer);
                    let whole = older.len().min(window).min(kept - newer);
                    prop_assert!((0..whole).all(|n| bars.back(n) == older[older.len() - 1 - n]));
                }
                prop_assert!(ring.is_sound());
                // room for half as many bars again, and for no more than full columns take
                let most = (ring.close.len() * 3 / 2 + 1).max(FIRST).max(allocated);
                prop_assert!(ring.close.capacity() <= most.min(capacity(window + spare)));
                allocated = ring.close.capacity();
            }
        }

        #[test]
        fn newer_bars_are_counted(window in 1usize..9, at in -2i64..12) {
            let mut ring = Ring::new(window, 3);
            (0..9).for_each(|n| ring.push(&bar(n)));
            let newer = usize::try_from((8 - at).clamp(0, 9)).unwrap().min(window);
            prop_assert_eq!(ring.newer_than(Timestamp::from_nanos(at)), newer);
        }
    }
}
