//! Stars with a doji in the middle, and the patterns of three doji.

use super::{BEARISH, BULLISH, Candles, found};
use crate::indicators::Bars;
use crate::indicators::entry::{Convention, Entry, Param, VALUE};

/// A long body, a doji, and a body that is not short.
#[inline]
fn doji_between(c: &Candles<'_>) -> bool {
    c.long_body(2) && c.doji(1) && c.long_body(0)
}

pattern! {
    /// A long body, a doji with gaps on both sides of its range, and a body of the other colour
    /// that closes more than the penetration into the first: +100 if the last is white, −100
    /// if it is black.
    ABANDONED_BABY = AbandonedBaby: "abandoned_baby", "CDLABANDONEDBABY", 12, penetration 0.3,
    |c, penetration| {
        let depth = c.body(2) * penetration;
        let alone = if c.white(2) {
            c.black(0)
                && c.low(1) > c.high(2)
                && c.high(0) < c.low(1)
                && c.close(0) < c.close(2) - depth
        } else {
            c.white(0)
                && c.high(1) < c.low(2)
                && c.low(0) > c.high(1)
                && c.close(0) > c.close(2) + depth
        };
        found(alone && doji_between(&c), c.value(0))
    }
}

pattern! {
    /// A long white body, a doji above it, and a black body that is not short and closes more
    /// than the penetration down the first: −100.
    EVENING_DOJI_STAR = EveningDojiStar: "evening_doji_star", "CDLEVENINGDOJISTAR", 12, penetration 0.3,
    |c, penetration| found(
        c.white(2)
            && c.black(0)
            && c.gaps_up(1, 2)
            && c.close(0) < c.close(2) - c.body(2) * penetration
            && doji_between(&c),
        BEARISH,
    )
}

pattern! {
    /// A long black body, a doji below it, and a white body that is not short and closes more
    /// than the penetration up the first: +100.
    MORNING_DOJI_STAR = MorningDojiStar: "morning_doji_star", "CDLMORNINGDOJISTAR", 12, penetration 0.3,
    |c, penetration| found(
        c.black(2)
            && c.white(0)
            && c.gaps_down(1, 2)
            && c.close(0) > c.close(2) + c.body(2) * penetration
            && doji_between(&c),
        BULLISH,
    )
}

pattern! {
    /// Three doji, all by the limit of the first: −100 if the second gaps up and the third is
    /// below it, +100 if the second gaps down and the third is above it.
    TRISTAR = Tristar: "tristar", "CDLTRISTAR", 12,
    |c| {
        let limit = c.very_short(2);
        let doji = (0..3).all(|ago| c.body(ago) <= limit);
        if doji && c.gaps_up(1, 2) && c.top(0) < c.top(1) {
            BEARISH
        } else {
            found(doji && c.gaps_down(1, 2) && c.bottom(0) > c.bottom(1), BULLISH)
        }
    }
}
