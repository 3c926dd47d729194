//! Volume-weighted average price, per session and cumulative.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, VALUE};

const NANOS_PER_MINUTE: i64 = 60_000_000_000;
const NANOS_PER_DAY: i64 = 1440 * NANOS_PER_MINUTE;

/// The cumulative average.
pub const CUMULATIVE: Entry = Entry::new(
    "vwap_cumulative",
    (Convention::TaLib, "VWAP"),
    &[],
    VALUE,
    |_| 0,
    |_| Vwap::cumulative().into(),
)
.endless();

/// The average of the session.
pub const SESSION: Entry = Entry::new(
    "vwap",
    (Convention::TradingView, "ta.vwap(hlc3)"),
    &[Param::time("session")],
    VALUE,
    |_| 0,
    |p| Vwap::session(p.bars(0)).into(),
)
.endless();

/// The average of the session with bands.
pub const BANDS: Entry = Entry::new(
    "vwap_bands",
    (Convention::TradingView, "ta.vwap(hlc3, anchor, multiplier)"),
    &[
        Param::real("multiplier", 1.0, 0.01, 100.0),
        Param::time("session"),
    ],
    &["value", "upper", "lower"],
    |_| 0,
    |p| VwapBands::new(p.real(0), p.bars(1)).into(),
)
.endless();

/// `Σ typical price · volume / Σ volume` since the start of the session, or of the series.
///
/// First value at bar 0. A session starts at a fixed time of day in UTC: the first bar at or after
/// it restarts the sum. Until something has traded, the cumulative value is 0 and the session has
/// none. Source: TA-Lib `VWAP` (cumulative), TradingView `ta.vwap` (session).
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Vwap {
    session: Option<Session>,
    money: f64,
    volume: f64,
}

impl Vwap {
    /// Over the whole series.
    #[must_use]
    pub const fn cumulative() -> Self {
        Self {
            session: None,
            money: 0.0,
            volume: 0.0,
        }
    }

    /// Over a session that starts at `minute` of the day in UTC.
    #[must_use]
    pub const fn session(minute: usize) -> Self {
        Self {
            session: Some(Session::new(minute)),
            money: 0.0,
            volume: 0.0,
        }
    }
}

/// Tells the bars that start a session.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Session {
    minute: usize,
    /// The day of the newest bar, counted from the session's start.
    day: Option<i64>,
}

impl Session {
    const fn new(minute: usize) -> Self {
        Self { minute, day: None }
    }

    /// Returns true if the newest bar is the first of a session.
    #[inline]
    fn starts(&mut self, bars: Bars<'_>) -> bool {
        // a minute of the day, below 1440
        #[allow(clippy::cast_possible_wrap)]
        let start = self.minute as i64 * NANOS_PER_MINUTE;
        let day = bars
            .bar()
            .timestamp
            .nanos()
            .saturating_sub(start)
            .div_euclid(NANOS_PER_DAY);
        self.day.replace(day) != Some(day)
    }
}

impl Next<Bars<'_>> for Vwap {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        if self.session.as_mut().is_some_and(|s| s.starts(bars)) {
            self.money = 0.0;
            self.volume = 0.0;
        }
        let volume = bars.bar().volume;
        self.money += bars.typical(bars.len() - 1) * volume;
        self.volume += volume;
        if self.volume > 0.0 {
            Some(self.money / self.volume)
        } else {
            self.session.is_none().then_some(0.0)
        }
    }
}

impl Reset for Vwap {
    fn reset(&mut self) {
        *self = self
            .session
            .map_or_else(Self::cumulative, |s| Self::session(s.minute));
    }
}

/// [`Vwap`] of the session with `± k` volume-weighted population standard deviations of the
/// typical price.
///
/// The deviations are carried as distances from the mean (West's recurrence), so that they
/// are exactly 0 at the first bar of a session. TradingView takes them from `Σ p²·v`, which
/// leaves some 1e-8 of the price there. Source: TradingView `ta.vwap`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct VwapBands {
    multiplier: f64,
    session: Session,
    volume: f64,
    mean: f64,
    /// `Σ volume · (price − mean)²`.
    spread: f64,
}

impl VwapBands {
    /// Bands `multiplier` deviations away; the session starts at `minute` of the day in UTC.
    #[must_use]
    pub const fn new(multiplier: f64, minute: usize) -> Self {
        Self {
            multiplier,
            session: Session::new(minute),
            volume: 0.0,
            mean: 0.0,
            spread: 0.0,
        }
    }
}

impl Next<Bars<'_>> for VwapBands {
    /// Value, upper, lower.
    type Output = [Option<f64>; 3];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        if self.session.starts(bars) {
            self.volume = 0.0;
            self.mean = 0.0;
            self.spread = 0.0;
        }
        let (price, volume) = (bars.typical(bars.len() - 1), bars.bar().volume);
        self.volume += volume;
        if self.volume <= 0.0 {
            return [None; 3];
        }
        let distance = price - self.mean;
        self.mean += distance * (volume / self.volume);
        self.spread += volume * distance * (price - self.mean);
        let half = self.multiplier * (self.spread / self.volume).sqrt();
        [
            Some(self.mean),
            Some(self.mean + half),
            Some(self.mean - half),
        ]
    }
}

impl Reset for VwapBands {
    fn reset(&mut self) {
        *self = Self::new(self.multiplier, self.session.minute);
    }
}
