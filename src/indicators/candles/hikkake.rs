//! Hikkake: a false break out of an inside bar, and its confirmation within three bars.

use super::{BEARISH, BULLISH, Candles};
use crate::indicators::entry::{Convention, Entry, VALUE};

/// The bars in which a pattern can be confirmed.
const WINDOW: usize = 3;

/// The range of `ago` lies within that of the bar before.
#[inline]
fn inside(c: &Candles<'_>, ago: usize) -> bool {
    c.high(ago) < c.high(ago + 1) && c.low(ago) > c.low(ago + 1)
}

/// Both ends of the range of `ago` are below those of the bar before (bullish: the break is
/// false), or both are above (bearish).
#[inline]
fn breaks(c: &Candles<'_>, ago: usize) -> Option<f64> {
    let (high, low) = (c.high(ago), c.low(ago));
    if high < c.high(ago + 1) && low < c.low(ago + 1) {
        Some(BULLISH)
    } else if high > c.high(ago + 1) && low > c.low(ago + 1) {
        Some(BEARISH)
    } else {
        None
    }
}

/// The value of a pattern at its own bar, twice that at the first bar within [`WINDOW`] that
/// closes beyond the inside bar, 0 elsewhere.
#[inline]
fn confirmed(c: &Candles<'_>, pattern: impl Fn(usize) -> Option<f64>) -> f64 {
    if let Some(value) = pattern(0) {
        return value;
    }
    // a later pattern takes the place of an earlier one
    let Some((ago, value)) = (1..=WINDOW).find_map(|ago| Some((ago, pattern(ago)?))) else {
        return 0.0;
    };
    let (high, low) = (c.high(ago + 1), c.low(ago + 1));
    let confirms = |at: usize| {
        if value > 0.0 {
            c.close(at) > high
        } else {
            c.close(at) < low
        }
    };
    if confirms(0) && !(1..ago).any(confirms) {
        2.0 * value
    } else {
        0.0
    }
}

pattern! {
    /// An inside bar, then a bar with a lower high and a lower low (+100) or a higher high and a
    /// higher low (−100); ±200 if one of the next three bars is the first to close beyond the
    /// other end of the inside bar.
    HIKKAKE = Hikkake: "hikkake", "CDLHIKKAKE", 5,
    |c| confirmed(&c, |ago| breaks(&c, ago).filter(|_| inside(&c, ago + 1)))
}

pattern! {
    /// [`Hikkake`] after two inside bars, of which the first closes near its low (+100) or near
    /// its high (−100); ±200 if it is confirmed.
    HIKKAKE_MOD = HikkakeMod: "hikkake_mod", "CDLHIKKAKEMOD", 10,
    |c| confirmed(&c, |ago| breaks(&c, ago).filter(|value| {
        let close = c.close(ago + 2);
        inside(&c, ago + 1)
            && inside(&c, ago + 2)
            && if *value > 0.0 {
                close <= c.low(ago + 2) + c.near(ago + 2)
            } else {
                close >= c.high(ago + 2) - c.near(ago + 2)
            }
    }))
}
