//! Supertrend.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param};
use super::{Atr, Bars};

const PARAMS: &[Param] = &[
    Param::period(10, 1),
    Param::real("multiplier", 3.0, 0.01, 100.0),
];
const OUTPUTS: &[&str] = &["value", "direction"];

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "supertrend",
    (Convention::TaLib, "SUPERTREND"),
    PARAMS,
    OUTPUTS,
    |p| p.bars(0),
    |p| Supertrend::new(p.bars(0), p.real(1)).into(),
)
.fading(|p| 15 * p.bars(0));

/// The variant with TradingView's seed and sign.
pub const TRADINGVIEW: Entry = Entry::new(
    "supertrend@tv",
    (Convention::TradingView, "ta.supertrend"),
    PARAMS,
    OUTPUTS,
    |p| p.bars(0) - 1,
    |p| Supertrend::tradingview(p.bars(0), p.real(1)).into(),
)
.fading(|p| 15 * p.bars(0));

/// Bands at `(high + low) / 2 ± k · ATR(n)` that only tighten until the close leaves them;
/// the value is the lower band in an uptrend and the upper one in a downtrend, which ends
/// when the close crosses it.
///
/// TA-Lib: first values at bar `n`, up at first, direction +1 up and −1 down. TradingView:
/// the ATR counts bar 0, first values at bar `n − 1`, down at first, direction −1 up and +1
/// down. The two agree after the first turns, but for the sign. Source: TA-Lib `SUPERTREND`,
/// TradingView `ta.supertrend`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Supertrend {
    multiplier: f64,
    tradingview: bool,
    atr: Atr,
    bands: Option<Bands>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Bands {
    upper: f64,
    lower: f64,
    up: bool,
}

impl Supertrend {
    /// The ATR over `period` true ranges, the bands `multiplier` times that away.
    #[must_use]
    pub const fn new(period: usize, multiplier: f64) -> Self {
        Self {
            multiplier,
            tradingview: false,
            atr: Atr::new(period),
            bands: None,
        }
    }

    /// The variant of TradingView.
    #[must_use]
    pub const fn tradingview(period: usize, multiplier: f64) -> Self {
        Self {
            multiplier,
            tradingview: true,
            atr: Atr::tradingview(period),
            bands: None,
        }
    }
}

impl Next<Bars<'_>> for Supertrend {
    /// Value, direction.
    type Output = [Option<f64>; 2];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let Some(atr) = self.atr.next(bars) else {
            return [None; 2];
        };
        let bar = bars.bar();
        let middle = f64::midpoint(bar.high, bar.low);
        let (mut upper, mut lower) = (
            middle + self.multiplier * atr,
            middle - self.multiplier * atr,
        );
        let up = match (self.bands, bars.previous_close()) {
            (Some(old), Some(before)) => {
                if upper >= old.upper && before <= old.upper {
                    upper = old.upper;
                }
                if lower <= old.lower && before >= old.lower {
                    lower = old.lower;
                }
                if old.up {
                    bar.close >= lower
                } else {
                    bar.close > upper
                }
            }
            _ => !self.tradingview,
        };
        self.bands = Some(Bands { upper, lower, up });
        let direction = if up == self.tradingview { -1.0 } else { 1.0 };
        [Some(if up { lower } else { upper }), Some(direction)]
    }
}

impl Reset for Supertrend {
    fn reset(&mut self) {
        self.atr.reset();
        self.bands = None;
    }
}

impl Period for Supertrend {
    fn period(&self) -> usize {
        self.atr.period()
    }
}
