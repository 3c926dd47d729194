//! Keltner channel.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::entry::{Convention, Entry, Param};
use super::slices::{float, sum_over};
use super::smoothing::Smoothed;
use super::{Atr, Bars};

const OUTPUTS: &[&str] = &["upper", "middle", "lower"];
const WIDTH: Param = Param::real("multiplier", 2.0, 0.01, 100.0);

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "kc",
    (Convention::TaLib, "KC"),
    &[Param::period(20, 1), Param::bars("atr", 10, 1), WIDTH],
    OUTPUTS,
    |p| (p.bars(0) - 1).max(p.bars(1)),
    |p| Keltner::new(p.bars(0), p.bars(1), p.real(2)).into(),
)
.fading(|p| (7 * p.bars(0)).max(15 * p.bars(1)));

/// The variant of the built-in chart indicator.
pub const CHART: Entry = Entry::new(
    "kc@tv",
    (Convention::TradingView, "chart indicator KC"),
    &[Param::period(20, 1), Param::bars("atr", 10, 1), WIDTH],
    OUTPUTS,
    |p| p.bars(0).max(p.bars(1)) - 1,
    |p| KeltnerTv::chart(p.bars(0), p.bars(1), p.real(2)).into(),
)
.fading(|p| (7 * p.bars(0)).max(15 * p.bars(1)));

/// The variant of `ta.kc`.
pub const PINE: Entry = Entry::new(
    "kc@pine",
    (Convention::TradingView, "ta.kc"),
    &[Param::period(20, 1), WIDTH],
    OUTPUTS,
    |p| p.bars(0) - 1,
    |p| KeltnerTv::pine(p.bars(0), p.real(1)).into(),
)
.fading(|p| 7 * p.bars(0));

/// `middle = EMA(typical price, n)`, `upper, lower = middle ± k · ATR(m)`.
///
/// Both averages are seeded at bar `max(n − 1, m)`, the first with a value, each with the mean
/// of its inputs that end there. Source: TA-Lib `KC`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Keltner {
    multiplier: f64,
    middle: Smoothed,
    range: Smoothed,
}

impl Keltner {
    /// The middle over `period` bars, the width `multiplier` times the mean of `atr` true ranges.
    #[must_use]
    pub const fn new(period: usize, atr: usize, multiplier: f64) -> Self {
        Self {
            multiplier,
            middle: Smoothed::exponential(period),
            range: Smoothed::wilder(atr),
        }
    }
}

impl Next<Bars<'_>> for Keltner {
    /// Upper, middle, lower.
    type Output = [Option<f64>; 3];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let newest = bars.len() - 1;
        let means = if self.middle.is_seeding() {
            let (n, m) = (self.middle.period(), self.range.period());
            if bars.len() < n.max(m + 1) {
                return [None; 3];
            }
            let middle = sum_over(n, |i| bars.typical(newest - i)) / float(n);
            let range = sum_over(m, |i| bars.true_range_at(newest - i)) / float(m);
            self.middle.seed(middle);
            self.range.seed(range);
            (Some(middle), Some(range))
        } else {
            (
                self.middle.push(bars.typical(newest)),
                bars.true_range().and_then(|range| self.range.push(range)),
            )
        };
        channel(means.0, means.1, self.multiplier)
    }
}

impl Reset for Keltner {
    fn reset(&mut self) {
        self.middle.reset();
        self.range.reset();
    }
}

fn channel(middle: Option<f64>, range: Option<f64>, multiplier: f64) -> [Option<f64>; 3] {
    let upper = middle.zip(range).map(|(m, r)| m + r * multiplier);
    let lower = middle.zip(range).map(|(m, r)| m - r * multiplier);
    [upper, middle, lower]
}

/// `middle = EMA(close, n)`, `upper, lower = middle ± k · mean true range`: TradingView's two
/// Keltner channels.
///
/// The chart indicator takes `ta.atr(m)` as the mean, which counts bar 0; `ta.kc` takes the EMA
/// of the true range over `n`, which starts at bar 1, so that its bands begin one bar after
/// its middle. The averages are seeded each on its own.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct KeltnerTv {
    multiplier: f64,
    middle: Smoothed,
    width: Width,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Width {
    Atr(Atr),
    Ema(Smoothed),
}

impl KeltnerTv {
    /// The chart indicator.
    #[must_use]
    pub const fn chart(period: usize, atr: usize, multiplier: f64) -> Self {
        Self {
            multiplier,
            middle: Smoothed::exponential(period),
            width: Width::Atr(Atr::tradingview(atr)),
        }
    }

    /// `ta.kc`.
    #[must_use]
    pub const fn pine(period: usize, multiplier: f64) -> Self {
        Self {
            multiplier,
            middle: Smoothed::exponential(period),
            width: Width::Ema(Smoothed::exponential(period)),
        }
    }
}

impl Next<Bars<'_>> for KeltnerTv {
    /// Upper, middle, lower.
    type Output = [Option<f64>; 3];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let middle = self.middle.push(bars.bar().close);
        let range = match &mut self.width {
            Width::Atr(atr) => atr.next(bars),
            Width::Ema(mean) => bars.true_range().and_then(|range| mean.push(range)),
        };
        channel(middle, range, self.multiplier)
    }
}

impl Reset for KeltnerTv {
    fn reset(&mut self) {
        self.middle.reset();
        match &mut self.width {
            Width::Atr(atr) => atr.reset(),
            Width::Ema(mean) => mean.reset(),
        }
    }
}
