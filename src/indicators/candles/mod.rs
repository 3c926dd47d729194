//! Candlestick patterns, by TA-Lib's definitions and default candle settings.
//!
//! The value is +100 for a bullish pattern, −100 for a bearish one, and 0 if there is none. Engulfing,
//! harami and harami cross are ±80 if the bodies share one end; hikkake is ±200 once confirmed.
//! "Long", "short", "near" and so on compare with the mean of the 10 bars before (near and far: 5).
//! The mean is computed from the window. TA-Lib carries a running sum, so it may judge a body
//! differently that equals its threshold to the last bit.

/// A candlestick pattern: its entry, its struct and its traits. The first value is at bar `$first`
/// and is computed from the last `$first + 1` candles.
macro_rules! pattern {
    (
        $(#[$doc:meta])*
        $entry:ident = $name:ident: $key:literal, $source:literal, $first:literal,
        |$c:ident| $value:expr
    ) => {
        #[doc = concat!("The entry `", $key, "`.")]
        pub const $entry: Entry = Entry::new(
            $key,
            (Convention::TaLib, $source),
            &[],
            VALUE,
            |_| $first,
            |_| $name.into(),
        );

        stateless! {
            $(#[$doc])*
            #[doc = ""]
            #[doc = concat!("First value at bar ", $first, ". Source: TA-Lib `", $source, "`.")]
            $name: |bars| {
                let $c = Candles::of(bars, $first + 1)?;
                Some($value)
            }
        }
    };
    (
        $(#[$doc:meta])*
        $entry:ident = $name:ident: $key:literal, $source:literal, $first:literal,
        penetration $default:literal, |$c:ident, $penetration:ident| $value:expr
    ) => {
        #[doc = concat!("The entry `", $key, "`.")]
        pub const $entry: Entry = Entry::new(
            $key,
            (Convention::TaLib, $source),
            &[Param::real("penetration", $default, 0.0, 10.0)],
            VALUE,
            |_| $first,
            |p| $name { penetration: p.real(0) }.into(),
        );

        $(#[$doc])*
        #[doc = ""]
        #[doc = concat!("First value at bar ", $first, ". Source: TA-Lib `", $source, "`.")]
        #[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            penetration: f64,
        }

        impl ta::Next<Bars<'_>> for $name {
            type Output = Option<f64>;

            #[inline]
            fn next(&mut self, bars: Bars<'_>) -> Self::Output {
                let $penetration = self.penetration;
                let $c = Candles::of(bars, $first + 1)?;
                Some($value)
            }
        }

        impl ta::Reset for $name {
            fn reset(&mut self) {}
        }
    };
}

use super::Bars;
use super::slices::{float, sum_over};

pub(super) mod dark_cloud_cover;
pub(super) mod doji;
pub(super) mod engulfing;
pub(super) mod evening_star;
pub(super) mod hammer;
pub(super) mod hanging_man;
pub(super) mod harami;
pub(super) mod hikkake;
pub(super) mod inverted_hammer;
pub(super) mod longer;
pub(super) mod morning_star;
pub(super) mod pairs;
pub(super) mod piercing;
pub(super) mod shooting_star;
pub(super) mod single;
pub(super) mod stars;
pub(super) mod three_black_crows;
pub(super) mod three_white_soldiers;
pub(super) mod triples;

/// Value of a recognised bullish pattern.
pub(super) const BULLISH: f64 = 100.0;
/// Value of a recognised bearish pattern.
pub(super) const BEARISH: f64 = -100.0;

/// `value` if the pattern is found, else 0.
#[inline]
pub(super) fn found(pattern: bool, value: f64) -> f64 {
    if pattern { value } else { 0.0 }
}

/// The newest bars as candles, each named by how many bars ago it was.
#[derive(Clone, Copy)]
pub(super) struct Candles<'a>(Bars<'a>);

impl<'a> Candles<'a> {
    /// The candles of a window that holds at least `n`.
    #[inline]
    pub(super) fn of(bars: Bars<'a>, n: usize) -> Option<Self> {
        bars.tail(n).map(Self)
    }

    #[inline]
    fn at(&self, ago: usize) -> usize {
        self.0.len() - 1 - ago
    }

    #[inline]
    pub(super) fn open(&self, ago: usize) -> f64 {
        self.0.open[self.at(ago)]
    }

    #[inline]
    pub(super) fn high(&self, ago: usize) -> f64 {
        self.0.high[self.at(ago)]
    }

    #[inline]
    pub(super) fn low(&self, ago: usize) -> f64 {
        self.0.low[self.at(ago)]
    }

    #[inline]
    pub(super) fn close(&self, ago: usize) -> f64 {
        self.0.close[self.at(ago)]
    }

    /// Closed no lower than it opened.
    #[inline]
    pub(super) fn white(&self, ago: usize) -> bool {
        self.close(ago) >= self.open(ago)
    }

    /// Closed below its open.
    #[inline]
    pub(super) fn black(&self, ago: usize) -> bool {
        !self.white(ago)
    }

    #[inline]
    pub(super) fn body(&self, ago: usize) -> f64 {
        (self.close(ago) - self.open(ago)).abs()
    }

    /// The upper end of the body.
    #[inline]
    pub(super) fn top(&self, ago: usize) -> f64 {
        self.open(ago).max(self.close(ago))
    }

    /// The lower end of the body.
    #[inline]
    pub(super) fn bottom(&self, ago: usize) -> f64 {
        self.open(ago).min(self.close(ago))
    }

    #[inline]
    pub(super) fn upper_shadow(&self, ago: usize) -> f64 {
        self.high(ago) - self.top(ago)
    }

    #[inline]
    pub(super) fn lower_shadow(&self, ago: usize) -> f64 {
        self.bottom(ago) - self.low(ago)
    }

    /// Both shadows are longer than `length`.
    #[inline]
    pub(super) fn shadows_longer(&self, ago: usize, length: f64) -> bool {
        self.upper_shadow(ago) > length && self.lower_shadow(ago) > length
    }

    /// Both shadows are shorter than `length`.
    #[inline]
    pub(super) fn shadows_shorter(&self, ago: usize, length: f64) -> bool {
        self.upper_shadow(ago) < length && self.lower_shadow(ago) < length
    }

    /// The mean body of the ten candles before: `long` above it, `short` below.
    #[inline]
    pub(super) fn usual_body(&self, ago: usize) -> f64 {
        let newest = self.at(ago);
        sum_over(10, |i| {
            let at = newest - 10 + i;
            (self.0.close[at] - self.0.open[at]).abs()
        }) / 10.0
    }

    /// The mean of high − low of the `n` candles before.
    #[inline]
    fn usual_range(&self, ago: usize, n: usize) -> f64 {
        let newest = self.at(ago);
        sum_over(n, |i| {
            let at = newest - n + i;
            self.0.high[at] - self.0.low[at]
        }) / float(n)
    }

    /// Limit of a very short range: a tenth of the usual one, for shadows and the body of a doji.
    #[inline]
    pub(super) fn very_short(&self, ago: usize) -> f64 {
        0.1 * self.usual_range(ago, 10)
    }

    /// A doji: a body of at most a tenth of the usual range.
    #[inline]
    pub(super) fn doji(&self, ago: usize) -> bool {
        self.body(ago) <= self.very_short(ago)
    }

    /// Limit of a short shadow: half of the mean of both shadows of the ten candles before.
    #[inline]
    pub(super) fn short_shadow(&self, ago: usize) -> f64 {
        let newest = self.at(ago);
        let both = sum_over(10, |i| {
            let at = newest - 10 + i;
            let (open, close) = (self.0.open[at], self.0.close[at]);
            (self.0.high[at] - open.max(close)) + (open.min(close) - self.0.low[at])
        });
        both / 10.0 * 0.5
    }

    /// Next to no upper shadow.
    #[inline]
    pub(super) fn shaven_head(&self, ago: usize) -> bool {
        self.upper_shadow(ago) < self.very_short(ago)
    }

    /// Next to no lower shadow.
    #[inline]
    pub(super) fn shaven_bottom(&self, ago: usize) -> bool {
        self.lower_shadow(ago) < self.very_short(ago)
    }

    /// A long body with next to no shadows.
    #[inline]
    pub(super) fn marubozu(&self, ago: usize) -> bool {
        self.long_body(ago) && self.shaven_head(ago) && self.shaven_bottom(ago)
    }

    /// +100 for a white candle, −100 for a black one.
    #[inline]
    pub(super) fn value(&self, ago: usize) -> f64 {
        if self.white(ago) { BULLISH } else { BEARISH }
    }

    /// The two candles have the same colour.
    #[inline]
    pub(super) fn alike(&self, a: usize, b: usize) -> bool {
        self.white(a) == self.white(b)
    }

    /// The body of `ago` lies above that of `before`.
    #[inline]
    pub(super) fn gaps_up(&self, ago: usize, before: usize) -> bool {
        self.bottom(ago) > self.top(before)
    }

    /// The body of `ago` lies below that of `before`.
    #[inline]
    pub(super) fn gaps_down(&self, ago: usize, before: usize) -> bool {
        self.top(ago) < self.bottom(before)
    }

    /// The prices differ by no more than a twentieth of the usual range of five before `ago`.
    #[inline]
    pub(super) fn equal(&self, ago: usize, price: f64, to: f64) -> bool {
        let limit = 0.05 * self.usual_range(ago, 5);
        price <= to + limit && price >= to - limit
    }

    /// A fifth of the usual range of five.
    #[inline]
    pub(super) fn near(&self, ago: usize) -> f64 {
        0.2 * self.usual_range(ago, 5)
    }

    /// Three fifths of the usual range of five.
    #[inline]
    pub(super) fn far(&self, ago: usize) -> f64 {
        0.6 * self.usual_range(ago, 5)
    }

    /// A body below the usual.
    #[inline]
    pub(super) fn short_body(&self, ago: usize) -> bool {
        self.body(ago) < self.usual_body(ago)
    }

    /// A body above the usual.
    #[inline]
    pub(super) fn long_body(&self, ago: usize) -> bool {
        self.body(ago) > self.usual_body(ago)
    }
}
