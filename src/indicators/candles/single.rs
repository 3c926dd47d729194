//! Patterns of a single candle.

use super::{BULLISH, Candles, found};
use crate::indicators::entry::{Convention, Entry, VALUE};

pattern! {
    /// A long body that opens at its extreme: white without a lower shadow +100, black without
    /// an upper shadow −100.
    BELT_HOLD = BeltHold: "belt_hold", "CDLBELTHOLD", 10,
    |c| {
        let opens_at_end = if c.white(0) { c.shaven_bottom(0) } else { c.shaven_head(0) };
        found(opens_at_end && c.long_body(0), c.value(0))
    }
}

pattern! {
    /// A long body that closes at its extreme: white without an upper shadow +100, black without
    /// a lower shadow −100.
    CLOSING_MARUBOZU = ClosingMarubozu: "closing_marubozu", "CDLCLOSINGMARUBOZU", 10,
    |c| {
        let closes_at_end = if c.white(0) { c.shaven_head(0) } else { c.shaven_bottom(0) };
        found(closes_at_end && c.long_body(0), c.value(0))
    }
}

/// A doji with next to nothing of one shadow, and more of the other.
#[inline]
fn doji_with_one_shadow(c: &Candles<'_>, none: f64, some: f64) -> bool {
    let limit = c.very_short(0);
    c.body(0) <= limit && none < limit && some > limit
}

pattern! {
    /// A doji at the high of its range, with a lower shadow: +100.
    DRAGONFLY_DOJI = DragonflyDoji: "dragonfly_doji", "CDLDRAGONFLYDOJI", 10,
    |c| found(doji_with_one_shadow(&c, c.upper_shadow(0), c.lower_shadow(0)), BULLISH)
}

pattern! {
    /// A doji at the low of its range, with an upper shadow: +100 (as TA-Lib has it).
    GRAVESTONE_DOJI = GravestoneDoji: "gravestone_doji", "CDLGRAVESTONEDOJI", 10,
    |c| found(doji_with_one_shadow(&c, c.lower_shadow(0), c.upper_shadow(0)), BULLISH)
}

pattern! {
    /// A short body between two shadows of more than twice its size: +100 white, −100 black.
    HIGH_WAVE = HighWave: "high_wave", "CDLHIGHWAVE", 10,
    |c| found(c.shadows_longer(0, 2.0 * c.body(0)) && c.short_body(0), c.value(0))
}

pattern! {
    /// A doji with a shadow longer than its body: +100.
    LONG_LEGGED_DOJI = LongLeggedDoji: "long_legged_doji", "CDLLONGLEGGEDDOJI", 10,
    |c| found(
        (c.lower_shadow(0) > c.body(0) || c.upper_shadow(0) > c.body(0)) && c.doji(0),
        BULLISH,
    )
}

pattern! {
    /// A long body between two short shadows: +100 white, −100 black.
    LONG_LINE = LongLine: "long_line", "CDLLONGLINE", 10,
    |c| found(c.shadows_shorter(0, c.short_shadow(0)) && c.long_body(0), c.value(0))
}

pattern! {
    /// A long body with next to no shadows: +100 white, −100 black.
    MARUBOZU = Marubozu: "marubozu", "CDLMARUBOZU", 10,
    |c| found(c.marubozu(0), c.value(0))
}

pattern! {
    /// A doji near the middle of its range, between two shadows longer than its body: +100.
    RICKSHAW_MAN = RickshawMan: "rickshaw_man", "CDLRICKSHAWMAN", 10,
    |c| {
        let middle = c.low(0) + (c.high(0) - c.low(0)) / 2.0;
        let near = c.near(0);
        found(
            c.shadows_longer(0, c.body(0))
                && c.bottom(0) <= middle + near
                && c.top(0) >= middle - near
                && c.doji(0),
            BULLISH,
        )
    }
}

pattern! {
    /// A short body between two short shadows: +100 white, −100 black.
    SHORT_LINE = ShortLine: "short_line", "CDLSHORTLINE", 10,
    |c| found(c.shadows_shorter(0, c.short_shadow(0)) && c.short_body(0), c.value(0))
}

pattern! {
    /// A short body between two shadows longer than it: +100 white, −100 black.
    SPINNING_TOP = SpinningTop: "spinning_top", "CDLSPINNINGTOP", 10,
    |c| found(c.shadows_longer(0, c.body(0)) && c.short_body(0), c.value(0))
}

pattern! {
    /// A doji at the high of its range, with a lower shadow of more than twice its body: +100.
    TAKURI = Takuri: "takuri", "CDLTAKURI", 10,
    |c| found(
        c.lower_shadow(0) > 2.0 * c.body(0) && c.doji(0) && c.shaven_head(0),
        BULLISH,
    )
}
