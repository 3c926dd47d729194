//! Patterns of three candles.

use super::{BEARISH, BULLISH, Candles, found};
use crate::indicators::entry::{Convention, Entry, VALUE};

/// A white candle, then two black ones, the first of them above it.
#[inline]
fn crows_above(c: &Candles<'_>) -> bool {
    c.white(2) && c.black(1) && c.black(0) && c.gaps_up(1, 2)
}

pattern! {
    /// A long white body, a black one above it, and a black one that opens within the second and
    /// closes within the first: −100.
    TWO_CROWS = TwoCrows: "two_crows", "CDL2CROWS", 12,
    |c| found(
        crows_above(&c)
            && c.open(0) < c.open(1)
            && c.open(0) > c.close(1)
            && c.close(0) > c.open(2)
            && c.close(0) < c.close(2)
            && c.long_body(2),
        BEARISH,
    )
}

pattern! {
    /// A long body that holds a short one, then a close beyond its open: +100 after black, −100
    /// after white.
    THREE_INSIDE = ThreeInside: "three_inside", "CDL3INSIDE", 12,
    |c| {
        let closes_out = if c.white(2) {
            c.black(0) && c.close(0) < c.open(2)
        } else {
            c.white(0) && c.close(0) > c.open(2)
        };
        found(
            closes_out
                && c.top(1) < c.top(2)
                && c.bottom(1) > c.bottom(2)
                && c.long_body(2)
                && c.body(1) <= c.usual_body(1),
            -c.value(2),
        )
    }
}

pattern! {
    /// A body that holds the one before it, of the other colour, then a close further on: +100
    /// if the second is white, −100 if it is black.
    THREE_OUTSIDE = ThreeOutside: "three_outside", "CDL3OUTSIDE", 3,
    |c| {
        let confirmed = if c.white(1) {
            c.close(1) > c.open(2) && c.open(1) < c.close(2) && c.close(0) > c.close(1)
        } else {
            c.open(1) > c.close(2) && c.close(1) < c.open(2) && c.close(0) < c.close(1)
        };
        found(!c.alike(2, 1) && confirmed, c.value(1))
    }
}

pattern! {
    /// Three black candles that shrink towards the low of the first: a long body with a long
    /// lower shadow, a smaller one with a lower shadow within its range, and a short marubozu
    /// within that of the second: +100.
    THREE_STARS_IN_SOUTH = ThreeStarsInSouth: "three_stars_in_south", "CDL3STARSINSOUTH", 12,
    |c| found(
        (0..3).all(|ago| c.black(ago))
            && c.lower_shadow(2) > c.body(2)
            && c.body(1) < c.body(2)
            && c.open(1) > c.close(2)
            && c.open(1) <= c.high(2)
            && c.low(1) < c.close(2)
            && c.low(1) >= c.low(2)
            && c.low(0) > c.low(1)
            && c.high(0) < c.high(1)
            && c.long_body(2)
            && c.lower_shadow(1) > c.very_short(1)
            && c.short_body(0)
            && c.shaven_bottom(0)
            && c.shaven_head(0),
        BULLISH,
    )
}

/// Three white candles that close higher and higher, the second opening within or near the body
/// of the first.
#[inline]
fn advances(c: &Candles<'_>) -> bool {
    (0..3).all(|ago| c.white(ago))
        && c.close(0) > c.close(1)
        && c.close(1) > c.close(2)
        && c.open(1) > c.open(2)
        && c.open(1) <= c.close(2) + c.near(2)
}

pattern! {
    /// Three white candles that close higher and higher with less and less strength: the bodies
    /// shrink or the upper shadows grow: −100.
    ADVANCE_BLOCK = AdvanceBlock: "advance_block", "CDLADVANCEBLOCK", 12,
    |c| {
        let shrinks = c.body(0) < c.body(1);
        let weakens = || {
            (c.body(1) < c.body(2) - c.far(2) && c.body(0) < c.body(1) + c.near(1))
                || c.body(0) < c.body(1) - c.far(1)
                || (shrinks
                    && c.body(1) < c.body(2)
                    && (c.upper_shadow(0) > c.short_shadow(0)
                        || c.upper_shadow(1) > c.short_shadow(1)))
                || (shrinks && c.upper_shadow(0) > c.body(0))
        };
        found(
            advances(&c)
                && c.open(0) > c.open(1)
                && c.open(0) <= c.close(1) + c.near(1)
                && c.long_body(2)
                && c.upper_shadow(2) < c.short_shadow(2)
                && weakens(),
            BEARISH,
        )
    }
}

pattern! {
    /// Two long white bodies, the second without an upper shadow, and a short one at its top:
    /// −100.
    STALLED_PATTERN = StalledPattern: "stalled_pattern", "CDLSTALLEDPATTERN", 12,
    |c| found(
        advances(&c)
            && c.open(0) >= c.close(1) - c.body(0) - c.near(1)
            && c.long_body(2)
            && c.long_body(1)
            && c.shaven_head(1)
            && c.short_body(0),
        BEARISH,
    )
}

pattern! {
    /// Two white candles of about the same size that open at the same price, both beyond a gap:
    /// +100 above it, −100 below it.
    GAP_SIDE_WHITE = GapSideWhite: "gap_side_white", "CDLGAPSIDESIDEWHITE", 7,
    |c| {
        let up = c.gaps_up(1, 2);
        let beyond = (up && c.gaps_up(0, 2)) || (c.gaps_down(1, 2) && c.gaps_down(0, 2));
        let near = c.near(1);
        found(
            beyond
                && c.white(1)
                && c.white(0)
                && c.body(0) >= c.body(1) - near
                && c.body(0) <= c.body(1) + near
                && c.equal(1, c.open(0), c.open(1)),
            if up { BULLISH } else { BEARISH },
        )
    }
}

pattern! {
    /// Three falling black candles with next to no lower shadow, each opening at the close
    /// before: −100.
    IDENTICAL_THREE_CROWS = IdenticalThreeCrows: "identical_three_crows", "CDLIDENTICAL3CROWS", 12,
    |c| found(
        (0..3).all(|ago| c.black(ago))
            && c.close(2) > c.close(1)
            && c.close(1) > c.close(0)
            && c.equal(2, c.open(1), c.close(2))
            && c.equal(1, c.open(0), c.close(1))
            && (0..3).all(|ago| c.shaven_bottom(ago)),
        BEARISH,
    )
}

pattern! {
    /// A white candle above the close of a black one, then a black one that closes there again:
    /// +100.
    STICK_SANDWICH = StickSandwich: "stick_sandwich", "CDLSTICKSANDWICH", 7,
    |c| found(
        c.black(2)
            && c.white(1)
            && c.black(0)
            && c.low(1) > c.close(2)
            && c.equal(2, c.close(0), c.close(2)),
        BULLISH,
    )
}

pattern! {
    /// A gap, a candle in its direction, and one of the other colour and about the same size that
    /// opens within its body and closes in the gap: +100 after a gap up, −100 after one down.
    TASUKI_GAP = TasukiGap: "tasuki_gap", "CDLTASUKIGAP", 7,
    |c| {
        let closes_in_gap = if c.white(1) {
            c.gaps_up(1, 2)
                && c.black(0)
                && c.open(0) < c.close(1)
                && c.open(0) > c.open(1)
                && c.close(0) < c.open(1)
                && c.close(0) > c.top(2)
        } else {
            c.gaps_down(1, 2)
                && c.white(0)
                && c.open(0) < c.open(1)
                && c.open(0) > c.close(1)
                && c.close(0) > c.open(1)
                && c.close(0) < c.bottom(2)
        };
        found(
            closes_in_gap && (c.body(1) - c.body(0)).abs() < c.near(1),
            c.value(1),
        )
    }
}

pattern! {
    /// A long black body, a black one that opens and closes within it and makes a lower low, and
    /// a short white one that opens above that low: +100.
    UNIQUE_THREE_RIVER = UniqueThreeRiver: "unique_three_river", "CDLUNIQUE3RIVER", 12,
    |c| found(
        c.black(2)
            && c.black(1)
            && c.white(0)
            && c.close(1) > c.close(2)
            && c.open(1) <= c.open(2)
            && c.low(1) < c.low(2)
            && c.open(0) > c.low(1)
            && c.long_body(2)
            && c.short_body(0),
        BULLISH,
    )
}

pattern! {
    /// A long white body, a short black one above it, and a black one that holds the second and
    /// closes above the first: −100.
    UPSIDE_GAP_TWO_CROWS = UpsideGapTwoCrows: "upside_gap_two_crows", "CDLUPSIDEGAP2CROWS", 12,
    |c| found(
        crows_above(&c)
            && c.open(0) > c.open(1)
            && c.close(0) < c.close(1)
            && c.close(0) > c.close(2)
            && c.long_body(2)
            && c.body(1) <= c.usual_body(1),
        BEARISH,
    )
}

pattern! {
    /// Two candles of one colour with a gap in their direction, then one of the other colour that
    /// opens within the second body and closes within the first: +100 if those are white,
    /// −100 if they are black.
    SIDE_GAP_THREE_METHODS = SideGapThreeMethods: "side_gap_three_methods", "CDLXSIDEGAP3METHODS", 2,
    |c| {
        let gaps = if c.white(2) { c.gaps_up(1, 2) } else { c.gaps_down(1, 2) };
        found(
            gaps && c.alike(2, 1)
                && !c.alike(1, 0)
                && c.open(0) < c.top(1)
                && c.open(0) > c.bottom(1)
                && c.close(0) < c.top(2)
                && c.close(0) > c.bottom(2),
            c.value(2),
        )
    }
}
