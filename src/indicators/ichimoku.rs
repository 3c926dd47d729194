//! Ichimoku kinkō hyō.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, Parameters};
use super::slices::{highest, lowest};

const PARAMS: &[Param] = &[
    Param::bars("tenkan", 9, 1),
    Param::bars("kijun", 26, 1),
    Param::bars("senkou", 52, 1),
    Param::bars("displacement", 26, 1),
];
const OUTPUTS: &[&str] = &["tenkan", "kijun", "lead_a", "lead_b", "span_a", "span_b"];

fn longest(p: Parameters<'_>) -> usize {
    p.bars(0).max(p.bars(1)).max(p.bars(2))
}

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "ichimoku",
    (Convention::TaLib, "ICHIMOKU"),
    PARAMS,
    OUTPUTS,
    |p| longest(p) - 1,
    |p| Ichimoku::new([p.bars(0), p.bars(1), p.bars(2)], p.bars(3)).into(),
)
.reading(|p| longest(p) + p.bars(3) - 1);

/// The variant in which every line starts when it can.
pub const TRADINGVIEW: Entry = Entry::new(
    "ichimoku@tv",
    (Convention::TradingView, "chart indicator Ichimoku"),
    PARAMS,
    OUTPUTS,
    |p| p.bars(0).min(p.bars(1)).min(p.bars(2)) - 1,
    |p| Ichimoku::tradingview([p.bars(0), p.bars(1), p.bars(2)], p.bars(3)).into(),
)
.reading(|p| longest(p) + p.bars(3) - 1);

/// Middles of the range, `(highest high + lowest low) / 2`: tenkan and kijun over their
/// periods, `lead_a` the mean of the two, `lead_b` over the senkou period; `span_a` and
/// `span_b` are the leads as a chart draws them at this bar, those of `displacement − 1` bars
/// ago. (The lagging span is the close drawn in the past, and no value of this bar.)
///
/// TA-Lib: all lines from bar `longest − 1`, the spans `displacement − 1` bars later.
/// TradingView: each line from its own first bar. The values are equal. Windowed. Source:
/// TA-Lib `ICHIMOKU` (0.8.3), TradingView's indicator of the chart.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ichimoku {
    periods: [usize; 3],
    displacement: usize,
    tradingview: bool,
}

impl Ichimoku {
    /// Periods of tenkan, kijun and senkou, and the displacement of the spans, each at least 1.
    #[must_use]
    pub const fn new(periods: [usize; 3], displacement: usize) -> Self {
        Self {
            periods,
            displacement,
            tradingview: false,
        }
    }

    /// The variant of TradingView.
    #[must_use]
    pub const fn tradingview(periods: [usize; 3], displacement: usize) -> Self {
        Self {
            periods,
            displacement,
            tradingview: true,
        }
    }

    /// Tenkan, kijun, and the two leads.
    #[inline]
    fn lines(&self, bars: Bars<'_>) -> [Option<f64>; 4] {
        if !self.tradingview && self.periods.iter().any(|&n| n > bars.len()) {
            return [None; 4];
        }
        let [tenkan, kijun, senkou] = self.periods.map(|n| {
            bars.tail(n)
                .map(|bars| f64::midpoint(highest(bars.high), lowest(bars.low)))
        });
        let lead = tenkan.zip(kijun).map(|(t, k)| f64::midpoint(t, k));
        [tenkan, kijun, lead, senkou]
    }
}

impl Next<Bars<'_>> for Ichimoku {
    /// Tenkan, kijun, the leads, the spans.
    type Output = [Option<f64>; 6];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let [tenkan, kijun, lead_a, lead_b] = self.lines(bars);
        let [_, _, span_a, span_b] = bars
            .ago(self.displacement - 1)
            .map_or([None; 4], |past| self.lines(past));
        [tenkan, kijun, lead_a, lead_b, span_a, span_b]
    }
}

impl Reset for Ichimoku {
    fn reset(&mut self) {}
}
