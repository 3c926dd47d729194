//! Patterns of two candles.

use super::{BEARISH, BULLISH, Candles, found};
use crate::indicators::entry::{Convention, Entry, VALUE};

pattern! {
    /// Two long bodies of opposite colours that close at the same price: +100 if the second
    /// is white, −100 if it is black.
    COUNTERATTACK = Counterattack: "counterattack", "CDLCOUNTERATTACK", 11,
    |c| found(
        !c.alike(1, 0) && c.equal(1, c.close(0), c.close(1)) && c.long_body(1) && c.long_body(0),
        c.value(0),
    )
}

pattern! {
    /// A long body, then a doji that gaps in its direction: −100 after white, +100 after black.
    DOJI_STAR = DojiStar: "doji_star", "CDLDOJISTAR", 11,
    |c| {
        let gaps = if c.white(1) { c.gaps_up(0, 1) } else { c.gaps_down(0, 1) };
        found(gaps && c.long_body(1) && c.doji(0), -c.value(1))
    }
}

pattern! {
    /// A long body that holds the body of a doji: −100 after white, +100 after black; ±80 where
    /// they share one end.
    HARAMI_CROSS = HaramiCross: "harami_cross", "CDLHARAMICROSS", 11,
    |c| {
        let within = c.top(0) < c.top(1) && c.bottom(0) > c.bottom(1);
        let touches = c.top(0) <= c.top(1) && c.bottom(0) >= c.bottom(1);
        let size = if within { 1.0 } else { 0.8 };
        found(touches && c.long_body(1) && c.doji(0), -c.value(1) * size)
    }
}

pattern! {
    /// A long black body that holds a short black one: +100.
    HOMING_PIGEON = HomingPigeon: "homing_pigeon", "CDLHOMINGPIGEON", 11,
    |c| found(
        c.black(1)
            && c.black(0)
            && c.open(0) < c.open(1)
            && c.close(0) > c.close(1)
            && c.long_body(1)
            && c.body(0) <= c.usual_body(0),
        BULLISH,
    )
}

/// After a long black body, a white one that opens below its low.
#[inline]
fn opens_below(c: &Candles<'_>) -> bool {
    c.black(1) && c.white(0) && c.open(0) < c.low(1) && c.long_body(1)
}

pattern! {
    /// A long black body, then a white one that opens below its low and closes just above its
    /// close: −100.
    IN_NECK = InNeck: "in_neck", "CDLINNECK", 11,
    |c| found(
        opens_below(&c) && c.close(0) >= c.close(1) && c.equal(1, c.close(0), c.close(1)),
        BEARISH,
    )
}

pattern! {
    /// A long black body, then a white one that opens below its low and closes at that low: −100.
    ON_NECK = OnNeck: "on_neck", "CDLONNECK", 11,
    |c| found(opens_below(&c) && c.equal(1, c.close(0), c.low(1)), BEARISH)
}

pattern! {
    /// A long black body, then a white one that opens below its low and closes within the body,
    /// no higher than its middle: −100.
    THRUSTING = Thrusting: "thrusting", "CDLTHRUSTING", 11,
    |c| found(
        opens_below(&c)
            && c.close(0) > c.close(1)
            && !c.equal(1, c.close(0), c.close(1))
            && c.close(0) <= c.close(1) + c.body(1) * 0.5,
        BEARISH,
    )
}

/// Two marubozu of opposite colours with a gap between their ranges.
#[inline]
fn kicks(c: &Candles<'_>) -> bool {
    let gap = if c.white(1) {
        c.high(0) < c.low(1)
    } else {
        c.low(0) > c.high(1)
    };
    gap && !c.alike(1, 0) && c.marubozu(1) && c.marubozu(0)
}

pattern! {
    /// Two marubozu of opposite colours with a gap between them: +100 if the second is white,
    /// −100 if it is black.
    KICKING = Kicking: "kicking", "CDLKICKING", 11,
    |c| found(kicks(&c), c.value(0))
}

pattern! {
    /// Two marubozu of opposite colours with a gap between them: +100 if the longer is white,
    /// −100 if it is black.
    KICKING_BY_LENGTH = KickingByLength: "kicking_by_length", "CDLKICKINGBYLENGTH", 11,
    |c| {
        let longer = usize::from(c.body(0) <= c.body(1));
        found(kicks(&c), c.value(longer))
    }
}

pattern! {
    /// Two black candles that close at the same price: +100.
    MATCHING_LOW = MatchingLow: "matching_low", "CDLMATCHINGLOW", 6,
    |c| found(
        c.black(1) && c.black(0) && c.equal(1, c.close(0), c.close(1)),
        BULLISH,
    )
}

pattern! {
    /// Two candles of opposite colours that open at the same price, the second a belt hold: +100
    /// if that is white, −100 if it is black.
    SEPARATING_LINES = SeparatingLines: "separating_lines", "CDLSEPARATINGLINES", 11,
    |c| {
        let opens_at_end = if c.white(0) { c.shaven_bottom(0) } else { c.shaven_head(0) };
        found(
            !c.alike(1, 0)
                && opens_at_end
                && c.equal(1, c.open(0), c.open(1))
                && c.long_body(0),
            c.value(0),
        )
    }
}
