//! Made-up bars: a random walk in ticks of a cent, the same for the same seed.

use std::fmt::Write as _;

use crate::market::{Timeframe, TimeframeUnit, Timestamp};

/// Nanoseconds in a day.
const DAY: i64 = 86_400_000_000_000;
/// The first Monday after the epoch, where weeks begin.
const MONDAY: i64 = 4 * DAY;

/// The bars to make up.
#[derive(Debug, Clone, Copy)]
pub struct Synthetic {
    /// The number of symbols: `SYN1`, `SYN2` and so on.
    pub symbols: u32,
    /// The number of bars of each symbol.
    pub bars: u32,
    /// The same seed gives the same prices and volumes.
    pub seed: u64,
    /// The length of a bar.
    pub timeframe: Timeframe,
    /// The last bar has closed by then.
    pub end: Timestamp,
}

/// A bar as its source would send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntheticBar {
    /// Whose bar it is.
    pub symbol: String,
    /// The time at which it opens.
    pub time: Timestamp,
    /// The message.
    pub payload: Vec<u8>,
}

/// More bars than there has been time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{bars} bars of {timeframe} begin before 1970; ask for fewer, or for a shorter timeframe")]
pub struct TooManyBars {
    bars: u32,
    timeframe: Timeframe,
}

impl Synthetic {
    /// All bars in the order of time, those of one time in the order of their symbols.
    ///
    /// # Errors
    /// If the first would open before 1970.
    pub fn bars(self) -> Result<impl Iterator<Item = SyntheticBar>, TooManyBars> {
        let first = self.first_period().ok_or(TooManyBars {
            bars: self.bars,
            timeframe: self.timeframe,
        })?;
        let mut walks: Vec<Walk> = (0..self.symbols)
            .map(|number| Walk::new(self.seed, number))
            .collect();
        Ok((0..i64::from(self.bars)).flat_map(move |at| {
            let open_time = self.open(first + at);
            let stamp = open_time.to_string();
            let row: Vec<SyntheticBar> = walks
                .iter_mut()
                .map(|walk| walk.bar(self.timeframe, open_time, &stamp))
                .collect();
            row
        }))
    }

    /// The first period, so that the last bar closes by `end` on the timeframe's grid.
    fn first_period(self) -> Option<i64> {
        let length = self.timeframe.nanos();
        let mut periods = (self.end.nanos() - self.open(0).nanos()).div_euclid(length);
        // months are not of one length
        while self.open(periods) > self.end {
            periods -= 1;
        }
        while self.open(periods + 1) <= self.end {
            periods += 1;
        }
        let first = periods - i64::from(self.bars);
        (first >= 0).then_some(first)
    }

    /// The start of a period, counted from 1970.
    fn open(self, period: i64) -> Timestamp {
        const END: Timestamp = Timestamp::from_nanos(i64::MAX);
        let epoch = Timestamp::from_nanos(0);
        let origin = match self.timeframe.unit() {
            TimeframeUnit::Month => return epoch.months_away(period).unwrap_or(END),
            TimeframeUnit::Week => MONDAY,
            _ => 0,
        };
        Timestamp::from_nanos(origin + period * self.timeframe.nanos())
    }
}

/// The price of one symbol, in cents.
struct Walk {
    symbol: String,
    random: SplitMix64,
    price: u64,
}

impl Walk {
    fn new(seed: u64, number: u32) -> Self {
        let mut random = SplitMix64(seed ^ (u64::from(number) << 32));
        let price = 1_000 + random.below(50_000);
        Self {
            symbol: format!("SYN{}", number + 1),
            random,
            price,
        }
    }

    fn bar(&mut self, timeframe: Timeframe, time: Timestamp, stamp: &str) -> SyntheticBar {
        let open = self.price;
        let (mut high, mut low) = (open, open);
        // a bar of eight trades, each at most 0.2 % away from the one before
        for _ in 0..8 {
            let reach = self.price / 500 + 1;
            let up = self.random.below(2 * reach + 1);
            self.price = (self.price + up).saturating_sub(reach).max(100);
            high = high.max(self.price);
            low = low.min(self.price);
        }
        let volume = 100 + self.random.below(10_000);
        let mut text = String::with_capacity(192);
        let symbol = &self.symbol;
        let _ = write!(
            text,
            r#"{{"symbol":"{symbol}","timeframe":"{timeframe}","timestamp":"{stamp}""#
        );
        let prices = [
            ("open", open),
            ("high", high),
            ("low", low),
            ("close", self.price),
        ];
        for (name, cents) in prices {
            let _ = write!(text, r#","{name}":{}.{:02}"#, cents / 100, cents % 100);
        }
        let _ = write!(text, r#","volume":{volume},"source":"synthetic"}}"#);
        SyntheticBar {
            symbol: symbol.clone(),
            time,
            payload: text.into_bytes(),
        }
    }
}

/// Steele, Lea and Flood's generator: small, fast, and good enough for prices.
struct SplitMix64(u64);

impl SplitMix64 {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `bound`; the bias is far below anything a price would show.
    const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn synthetic(timeframe: &str, end: &str) -> Synthetic {
        Synthetic {
            symbols: 3,
            bars: 40,
            seed: 7,
            timeframe: timeframe.parse().unwrap(),
            end: end.parse().unwrap(),
        }
    }

    #[test]
    fn the_generator_is_the_published_one() {
        // the first outputs of the reference implementation for seed 1234567
        let mut random = SplitMix64(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn the_same_seed_gives_the_same_bars_and_another_seed_others() {
        let one = synthetic("1m", "2026-03-01T12:00:30Z");
        assert_eq!(
            one.bars().unwrap().collect::<Vec<_>>(),
            one.bars().unwrap().collect::<Vec<_>>()
        );
        let other = Synthetic { seed: 8, ..one };
        assert_ne!(
            one.bars().unwrap().collect::<Vec<_>>(),
            other.bars().unwrap().collect::<Vec<_>>()
        );
    }

    #[test]
    fn bars_reach_back_to_1970_and_no_further() {
        let ten_days = synthetic("1d", "1970-01-11T00:00:00Z");
        assert!(
            Synthetic {
                bars: 10,
                ..ten_days
            }
            .bars()
            .is_ok()
        );
        assert!(
            Synthetic {
                bars: 11,
                ..ten_days
            }
            .bars()
            .is_err()
        );
        assert!(
            Synthetic {
                bars: u32::MAX,
                ..ten_days
            }
            .bars()
            .is_err()
        );
    }

    #[test]
    fn bars_are_whole_in_range_and_on_the_grid_before_the_end() {
        for (timeframe, first, last) in [
            ("1m", "2026-03-01T11:20:00Z", "2026-03-01T11:59:00Z"),
            ("1h", "2026-02-27T20:00:00Z", "2026-03-01T11:00:00Z"),
            ("1d", "2026-01-20T00:00:00Z", "2026-02-28T00:00:00Z"),
            // a Monday
            ("1w", "2025-05-19T00:00:00Z", "2026-02-16T00:00:00Z"),
        ] {
            let bars: Vec<Value> = synthetic(timeframe, "2026-03-01T12:00:30Z")
                .bars()
                .unwrap()
                .map(|bar| serde_json::from_slice(&bar.payload).unwrap())
                .collect();
            assert_eq!(bars.len(), 120);
            assert_eq!(bars[0]["timestamp"], first, "{timeframe}");
            assert_eq!(bars[119]["timestamp"], last, "{timeframe}");
            assert_eq!(bars[119]["symbol"], "SYN3");
            for (at, bar) in bars.iter().enumerate() {
                let price = |name: &str| bar[name].as_f64().unwrap();
                assert!(price("low") > 0.0);
                assert!(price("low") <= price("open").min(price("close")));
                assert!(price("high") >= price("open").max(price("close")));
                if at >= 3 {
                    assert_eq!(bar["open"], bars[at - 3]["close"]);
                }
            }
        }
    }
}
