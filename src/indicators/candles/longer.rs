//! Patterns of four and five candles.

use super::{BULLISH, Candles, found};
use crate::indicators::Bars;
use crate::indicators::entry::{Convention, Entry, Param, VALUE};

pattern! {
    /// Three candles of one colour, each opening within or near the body before and closing
    /// further on, then one of the other colour that takes all of it back: +100 after white,
    /// −100 after black.
    THREE_LINE_STRIKE = ThreeLineStrike: "three_line_strike", "CDL3LINESTRIKE", 8,
    |c| {
        let strikes = if c.white(1) {
            c.close(1) > c.close(2)
                && c.close(2) > c.close(3)
                && c.open(0) > c.close(1)
                && c.close(0) < c.open(3)
        } else {
            c.close(1) < c.close(2)
                && c.close(2) < c.close(3)
                && c.open(0) < c.close(1)
                && c.close(0) > c.open(3)
        };
        let opens_near = |ago: usize| {
            let (open, near) = (c.open(ago), c.near(ago + 1));
            open >= c.bottom(ago + 1) - near && open <= c.top(ago + 1) + near
        };
        found(
            c.alike(3, 2)
                && c.alike(2, 1)
                && !c.alike(1, 0)
                && strikes
                && opens_near(2)
                && opens_near(1),
            c.value(1),
        )
    }
}

pattern! {
    /// A long body, a gap in its direction, two more bars that go further, and one of the other
    /// colour that closes in the gap: +100 if that is white, −100 if it is black.
    BREAKAWAY = Breakaway: "breakaway", "CDLBREAKAWAY", 14,
    |c| {
        let falls = |ago: usize| c.high(ago) < c.high(ago + 1) && c.low(ago) < c.low(ago + 1);
        let rises = |ago: usize| c.high(ago) > c.high(ago + 1) && c.low(ago) > c.low(ago + 1);
        let closes_in_gap = if c.white(4) {
            c.gaps_up(3, 4)
                && rises(2)
                && rises(1)
                && c.close(0) < c.open(3)
                && c.close(0) > c.close(4)
        } else {
            c.gaps_down(3, 4)
                && falls(2)
                && falls(1)
                && c.close(0) > c.open(3)
                && c.close(0) < c.close(4)
        };
        found(
            c.alike(4, 3)
                && c.alike(3, 1)
                && !c.alike(1, 0)
                && closes_in_gap
                && c.long_body(4),
            c.value(0),
        )
    }
}

pattern! {
    /// Two black candles without shadows, a black one that gaps down with an upper shadow into
    /// the body before, and a black one whose range holds it: +100.
    CONCEAL_BABY_SWALLOW = ConcealBabySwallow: "conceal_baby_swallow", "CDLCONCEALBABYSWALL", 13,
    |c| found(
        (0..4).all(|ago| c.black(ago))
            && c.gaps_down(1, 2)
            && c.high(1) > c.close(2)
            && c.high(0) > c.high(1)
            && c.low(0) < c.low(1)
            && (2..4).all(|ago| c.shaven_bottom(ago) && c.shaven_head(ago))
            && c.upper_shadow(1) > c.very_short(1),
        BULLISH,
    )
}

pattern! {
    /// Three falling black candles, a black one with an upper shadow, and a white one that opens
    /// above its body and closes above its high: +100.
    LADDER_BOTTOM = LadderBottom: "ladder_bottom", "CDLLADDERBOTTOM", 14,
    |c| found(
        (1..5).all(|ago| c.black(ago))
            && c.white(0)
            && c.open(4) > c.open(3)
            && c.open(3) > c.open(2)
            && c.close(4) > c.close(3)
            && c.close(3) > c.close(2)
            && c.open(0) > c.open(1)
            && c.close(0) > c.high(1)
            && c.upper_shadow(1) > c.very_short(1),
        BULLISH,
    )
}

pattern! {
    /// A long white body, three short ones that fall from above it and take back less than the
    /// penetration of it, and a white one that closes above their highs: +100.
    MAT_HOLD = MatHold: "mat_hold", "CDLMATHOLD", 14, penetration 0.5,
    |c, penetration| {
        let floor = c.close(4) - c.body(4) * penetration;
        found(
            c.white(4)
                && c.black(3)
                && c.white(0)
                && c.gaps_up(3, 4)
                && (1..3).all(|ago| c.bottom(ago) < c.close(4) && c.bottom(ago) > floor)
                && c.top(2) < c.open(3)
                && c.top(1) < c.top(2)
                && c.open(0) > c.close(1)
                && c.close(0) > c.high(3).max(c.high(2)).max(c.high(1))
                && c.long_body(4)
                && (1..4).all(|ago| c.short_body(ago)),
            BULLISH,
        )
    }
}

pattern! {
    /// A long body, three short ones of the other colour that go back within its range, and a
    /// long one of the first colour that closes beyond it: +100 white, −100 black.
    RISE_FALL_THREE_METHODS = RiseFallThreeMethods: "rise_fall_three_methods", "CDLRISEFALL3METHODS", 14,
    |c| {
        let side = c.value(4).signum();
        let above = |a: f64, b: f64| a * side > b * side;
        found(
            !c.alike(4, 3)
                && c.alike(3, 2)
                && c.alike(2, 1)
                && !c.alike(1, 0)
                && (1..4).all(|ago| c.bottom(ago) < c.high(4) && c.top(ago) > c.low(4))
                && above(c.close(3), c.close(2))
                && above(c.close(2), c.close(1))
                && above(c.open(0), c.close(1))
                && above(c.close(0), c.close(4))
                && c.long_body(4)
                && (1..4).all(|ago| c.short_body(ago))
                && c.long_body(0),
            c.value(4),
        )
    }
}
