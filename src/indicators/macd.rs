//! Moving average convergence / divergence.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::entry::{Convention, Entry, Param, fast_before_slow};
use super::slices::mean;
use super::smoothing::Smoothed;
use super::{Bars, last};

const PARAMS: &[Param] = &[
    Param::bars("fast", 12, 1),
    Param::bars("slow", 26, 2),
    Param::bars("signal", 9, 1),
];
pub(super) const OUTPUTS: &[&str] = &["macd", "signal", "histogram"];

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "macd",
    (Convention::TaLib, "MACD"),
    PARAMS,
    OUTPUTS,
    |p| p.bars(1) + p.bars(2) - 2,
    |p| Macd::new(p.bars(0), p.bars(1), p.bars(2)).into(),
)
.fading(|p| 8 * (p.bars(1) + p.bars(2)))
.checked(fast_before_slow);

/// The variant in which every average is seeded on its own.
pub const TRADINGVIEW: Entry = Entry::new(
    "macd@tv",
    (Convention::TradingView, "ta.macd"),
    PARAMS,
    OUTPUTS,
    |p| p.bars(1) - 1,
    |p| MacdTv::new(p.bars(0), p.bars(1), p.bars(2)).into(),
)
.fading(|p| 8 * (p.bars(1) + p.bars(2)))
.checked(fast_before_slow);

/// `line = EMA(fast) − EMA(slow)`, `signal = EMA(line)`, `histogram = line − signal`.
///
/// TA-Lib's seeds: both averages start at bar `slow − 1`, the fast one from the mean of the
/// `fast` closes that end there; the signal starts from the mean of the first `signal` lines.
/// Nothing is said before the signal exists: all three from bar `slow + signal − 2`. Outputs
/// in price units. Source: TA-Lib `MACD`. TradingView's `ta.macd` seeds the fast average at
/// bar `fast − 1` and agrees to 1e-6 after about 150 bars.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Macd {
    fast: Smoothed,
    slow: Smoothed,
    signal: Smoothed,
}

impl Macd {
    /// Averages over `fast` < `slow` bars, the signal over `signal` lines, each at least 1.
    #[must_use]
    pub const fn new(fast: usize, slow: usize, signal: usize) -> Self {
        Self::of(
            Smoothed::exponential(fast),
            Smoothed::exponential(slow),
            Smoothed::exponential(signal),
        )
    }

    /// The averages as they are given.
    pub(super) const fn of(fast: Smoothed, slow: Smoothed, signal: Smoothed) -> Self {
        Self { fast, slow, signal }
    }

    /// The line, from bar `slow − 1` on.
    #[inline]
    fn line(&mut self, bars: Bars<'_>) -> Option<f64> {
        if self.slow.is_seeding() {
            let slow = mean(last(bars.close, self.slow.period())?);
            let fast = mean(last(bars.close, self.fast.period())?);
            self.slow.seed(slow);
            self.fast.seed(fast);
            return Some(fast - slow);
        }
        let close = bars.bar().close;
        Some(self.fast.push(close)? - self.slow.push(close)?)
    }
}

impl Next<Bars<'_>> for Macd {
    /// Line, signal, histogram.
    type Output = [Option<f64>; 3];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let Some(line) = self.line(bars) else {
            return [None; 3];
        };
        self.signal.push(line).map_or([None; 3], |signal| {
            [Some(line), Some(signal), Some(line - signal)]
        })
    }
}

impl Reset for Macd {
    fn reset(&mut self) {
        self.fast.reset();
        self.slow.reset();
        self.signal.reset();
    }
}

/// [`Macd`] with every average seeded on its own: the line from bar `slow − 1`, signal and
/// histogram from bar `slow + signal − 2`. Source: TradingView `ta.macd`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct MacdTv {
    fast: Smoothed,
    slow: Smoothed,
    signal: Smoothed,
}

impl MacdTv {
    /// Averages over `fast` < `slow` bars, the signal over `signal` lines, each at least 1.
    #[must_use]
    pub const fn new(fast: usize, slow: usize, signal: usize) -> Self {
        Self {
            fast: Smoothed::exponential(fast),
            slow: Smoothed::exponential(slow),
            signal: Smoothed::exponential(signal),
        }
    }
}

impl Next<Bars<'_>> for MacdTv {
    /// Line, signal, histogram.
    type Output = [Option<f64>; 3];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let close = bars.bar().close;
        let (Some(fast), Some(slow)) = (self.fast.push(close), self.slow.push(close)) else {
            return [None; 3];
        };
        let line = fast - slow;
        let signal = self.signal.push(line);
        [Some(line), signal, signal.map(|signal| line - signal)]
    }
}

impl Reset for MacdTv {
    fn reset(&mut self) {
        self.fast.reset();
        self.slow.reset();
        self.signal.reset();
    }
}
