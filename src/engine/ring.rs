//! The last bars of a series, as columns.
//!
//! Invariants: every column has the same length; the newest `window` bars (or all, while
//! there are fewer) are the contiguous tail of each column; a column never grows beyond
//! its capacity. Columns are slid back to their front once every `SLACK`-th of a window,
//! which costs a few nanoseconds per bar and half the memory of a mirrored ring.
//!
//! Must not know: what is computed from the bars.

use serde::{Deserialize, Serialize};

use super::columns::{read, read_times, read_values, write, write_times, write_values};
use crate::indicators::Bars;
use crate::market::{Bar, Timestamp};

/// A quarter of the window is kept as room to slide in.
const SLACK: usize = 4;

/// Bars that a new series has room for.
const FIRST: usize = 4;

/// The last `window` bars of one series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ring {
    window: usize,
    timestamps: Vec<i64>,
    open: Vec<f64>,
    high: Vec<f64>,
    low: Vec<f64>,
    close: Vec<f64>,
    volume: Vec<f64>,
}

impl Ring {
    /// An empty ring that keeps `window` bars (at least one).
    #[must_use]
    pub const fn new(window: usize) -> Self {
        Self {
            window: if window == 0 { 1 } else { window },
            timestamps: Vec::new(),
            open: Vec::new(),
            high: Vec::new(),
            low: Vec::new(),
            close: Vec::new(),
            volume: Vec::new(),
        }
    }

    /// The memory of its columns in bytes, once the window is full.
    #[must_use]
    pub const fn full_bytes(window: usize) -> usize {
        capacity(window) * size_of::<Bar>()
    }

    /// How many bars it holds, at most its window.
    #[must_use]
    pub fn len(&self) -> usize {
        self.close.len().min(self.window)
    }

    /// How many bars it keeps at the most.
    #[must_use]
    pub const fn window(&self) -> usize {
        self.window
    }

    /// Whether it holds no bar.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.close.is_empty()
    }

    /// The newest bar.
    #[must_use]
    pub fn newest(&self) -> Option<Bar> {
        Some(Bar {
            timestamp: Timestamp::from_nanos(*self.timestamps.last()?),
            open: *self.open.last()?,
            high: *self.high.last()?,
            low: *self.low.last()?,
            close: *self.close.last()?,
            volume: *self.volume.last()?,
        })
    }

    /// The window, oldest bar first.
    #[must_use]
    pub fn bars(&self) -> Bars<'_> {
        let from = self.close.len() - self.len();
        Bars {
            timestamps: &self.timestamps[from..],
            open: &self.open[from..],
            high: &self.high[from..],
            low: &self.low[from..],
            close: &self.close[from..],
            volume: &self.volume[from..],
        }
    }

    /// Appends a bar; the oldest leaves once the window is full.
    pub fn push(&mut self, bar: &Bar) {
        if self.close.len() >= capacity(self.window) {
            self.slide();
        } else if self.close.len() == self.close.capacity() {
            self.grow();
        }
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

    /// Puts `bar` in the place of the newest one.
    pub fn replace_newest(&mut self, bar: &Bar) {
        self.pop();
        self.push(bar);
    }

    /// Whether a deserialized ring keeps the invariants.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let n = self.close.len();
        self.window >= 1
            && n <= capacity(self.window)
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

    /// Drops what lies before the window, so that a snapshot holds nothing but the window.
    pub fn compact(&mut self) {
        self.slide();
    }

    /// Appends the window to `out`, in few bytes, and leaves the ring empty.
    pub fn take(&mut self, out: &mut Vec<u8>) {
        self.compact();
        write(&self.len(), out);
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

    /// Makes room for more bars: half as many again, at most what a full window takes.
    fn grow(&mut self) {
        let held = self.close.len();
        let room = (held + held / 2).max(FIRST).min(capacity(self.window));
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
        let before = self.close.len() - self.len();
        self.timestamps.drain(..before);
        for column in self.columns() {
            column.drain(..before);
        }
    }
}

/// Room for the window, for one bar on trial, and for sliding seldom.
const fn capacity(window: usize) -> usize {
    window + window / SLACK + 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

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
        Replace,
        Compact,
        Move,
    }

    proptest! {
        /// The model is a `VecDeque` of whole bars.
        #[test]
        fn the_ring_holds_what_a_bounded_queue_holds(
            window in 1usize..40,
            steps in prop::collection::vec(prop_oneof![
                8 => Just(Step::Push), 2 => Just(Step::Trial), 2 => Just(Step::Replace), 1 => Just(Step::Compact),
                1 => Just(Step::Move),
            ], 0..400),
        ) {
            let mut ring = Ring::new(window);
            let mut model: VecDeque<Bar> = VecDeque::new();
            let mut allocated = 0;
            for (n, step) in (0i64..).zip(steps) {
                match step {
                    Step::Push => {
                        ring.push(&bar(n));
                        model.push_back(bar(n));
                        if model.len() > window { model.pop_front(); }
                    }
                    Step::Trial => {
                        ring.push(&bar(n));
                        let mut expected = model.clone();
                        expected.push_back(bar(n));
                        if expected.len() > window { expected.pop_front(); }
                        prop_assert!(ring.iter().eq(expected.into_iter()));
                        ring.pop();
                    }
                    Step::Replace if model.is_empty() => {}
                    Step::Replace => {
                        ring.replace_newest(&bar(-n));
                        *model.back_mut().unwrap() = bar(-n);
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
                prop_assert!(ring.iter().eq(model.iter().copied()));
                prop_assert_eq!(ring.len(), model.len());
                prop_assert!(ring.is_sound());
                // room for half as many bars again, and for no more than a full window takes
                let most = (ring.close.len() * 3 / 2 + 1).max(FIRST).max(allocated);
                prop_assert!(ring.close.capacity() <= most.min(capacity(window)));
                allocated = ring.close.capacity();
            }
        }
    }
}
