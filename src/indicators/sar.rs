//! Parabolic stop and reverse.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, Parameters, VALUE};

const PARAMS: &[Param] = &[
    Param::real("acceleration", 0.02, 0.0001, 1.0),
    Param::real("maximum", 0.2, 0.0001, 1.0),
];

fn rising(p: Parameters<'_>) -> Result<(), &'static str> {
    if p.real(0) <= p.real(1) {
        Ok(())
    } else {
        Err("acceleration must not be above maximum")
    }
}

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "sar",
    (Convention::TaLib, "SAR"),
    PARAMS,
    VALUE,
    |_| 1,
    |p| Sar::new(p.real(0), p.real(1)).into(),
)
.fading(|_| 126)
.checked(rising);

/// The variant that differs for good.
pub const TRADINGVIEW: Entry = Entry::new(
    "sar@tv",
    (Convention::TradingView, "ta.sar"),
    PARAMS,
    VALUE,
    |_| 1,
    |p| Sar::tradingview(p.real(0), p.real(1)).into(),
)
.reading(|_| 3)
.fading(|_| 126)
.checked(rising);

/// Wilder's stop: `SAR = SAR₋₁ + AF · (EP − SAR₋₁)`, where `EP` is the extreme price of the
/// trend and `AF` grows by `acceleration` with each new extreme, up to `maximum`; a bar that
/// touches it turns the trend, and the stop becomes the extreme price.
///
/// First value at bar 1. TA-Lib: long first unless `low₋₁ − low` is positive and above
/// `high − high₋₁`; the stop of the next bar is kept outside this bar and the one before.
/// TradingView: long first when the close rose; the stop of a bar is kept outside the two bars
/// before it, and a turn tests before that. 7 to 9 % of the bars differ, for ever. Source:
/// TA-Lib `SAR`, TradingView `ta.sar`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Sar {
    acceleration: f64,
    maximum: f64,
    tradingview: bool,
    trend: Option<Trend>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Trend {
    long: bool,
    /// TA-Lib: the stop of the next bar; TradingView: that of the newest.
    stop: f64,
    extreme: f64,
    factor: f64,
}

impl Sar {
    /// With `0 < acceleration ≤ maximum`.
    #[must_use]
    pub const fn new(acceleration: f64, maximum: f64) -> Self {
        Self {
            acceleration,
            maximum,
            tradingview: false,
            trend: None,
        }
    }

    /// The variant of TradingView.
    #[must_use]
    pub const fn tradingview(acceleration: f64, maximum: f64) -> Self {
        Self {
            tradingview: true,
            ..Self::new(acceleration, maximum)
        }
    }

    fn talib(&mut self, bars: Bars<'_>) -> f64 {
        let (bar, before) = (bars.bar(), bars.back(1));
        let first = self.trend.is_none();
        let mut trend = self.trend.unwrap_or_else(|| {
            let down = before.low - bar.low;
            let long = !(down > 0.0 && down > bar.high - before.high);
            Trend {
                long,
                stop: if long { before.low } else { before.high },
                extreme: if long { bar.high } else { bar.low },
                factor: self.acceleration,
            }
        });
        // the first bar has no bar before it that counts
        let before = if first { bar } else { before };
        let (high, low) = (bar.high.max(before.high), bar.low.min(before.low));
        let touched = if trend.long {
            bar.low <= trend.stop
        } else {
            bar.high >= trend.stop
        };
        let stop = if touched {
            trend.long = !trend.long;
            let stop = if trend.long {
                trend.extreme.min(low)
            } else {
                trend.extreme.max(high)
            };
            trend.factor = self.acceleration;
            trend.extreme = if trend.long { bar.high } else { bar.low };
            stop
        } else {
            trend.advance(bar.high, bar.low, self.acceleration, self.maximum);
            trend.stop
        };
        let next = stop + trend.factor * (trend.extreme - stop);
        trend.stop = if trend.long {
            next.min(low)
        } else {
            next.max(high)
        };
        self.trend = Some(trend);
        stop
    }

    fn pine(&mut self, bars: Bars<'_>) -> f64 {
        let (bar, before) = (bars.bar(), bars.back(1));
        let first = self.trend.is_none();
        let mut trend = self.trend.unwrap_or_else(|| {
            let long = bar.close > before.close;
            Trend {
                long,
                stop: if long { before.low } else { before.high },
                extreme: if long { bar.high } else { bar.low },
                factor: self.acceleration,
            }
        });
        let mut stop = trend.stop + trend.factor * (trend.extreme - trend.stop);
        let touched = if trend.long {
            stop > bar.low
        } else {
            stop < bar.high
        };
        if touched {
            trend.long = !trend.long;
            stop = if trend.long {
                bar.low.min(trend.extreme)
            } else {
                bar.high.max(trend.extreme)
            };
            trend.extreme = if trend.long { bar.high } else { bar.low };
            trend.factor = self.acceleration;
        } else if !first {
            trend.advance(bar.high, bar.low, self.acceleration, self.maximum);
        }
        let second = if first { before } else { bars.back(2) };
        trend.stop = if trend.long {
            stop.min(before.low).min(second.low)
        } else {
            stop.max(before.high).max(second.high)
        };
        self.trend = Some(trend);
        trend.stop
    }
}

impl Trend {
    /// A new extreme in the direction of the trend.
    fn advance(&mut self, high: f64, low: f64, acceleration: f64, maximum: f64) {
        let extreme = if self.long { high } else { low };
        let beyond = if self.long {
            extreme > self.extreme
        } else {
            extreme < self.extreme
        };
        if beyond {
            self.extreme = extreme;
            self.factor = (self.factor + acceleration).min(maximum);
        }
    }
}

impl Next<Bars<'_>> for Sar {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        if bars.len() < 2 {
            return None;
        }
        Some(if self.tradingview {
            self.pine(bars)
        } else {
            self.talib(bars)
        })
    }
}

impl Reset for Sar {
    fn reset(&mut self) {
        self.trend = None;
    }
}
