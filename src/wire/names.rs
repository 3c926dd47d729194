//! The names of a market-data object's fields, in every spelling that is understood.

use super::dialects::is_mark;

/// The fields of a market-data object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Field {
    Symbol,
    Timeframe,
    Timestamp,
    Open,
    High,
    Low,
    Close,
    Volume,
    Final,
    Source,
}

/// The rank of `price` among the names of [`Field::Close`]: alone, it makes a trade.
pub(super) const PRICE: u8 = 3;

/// The names of [`Field::Timestamp`] before this rank are those of a bar's start.
pub(super) const STARTS: u8 = 6;

/// The rank of `granularity` among the names of [`Field::Timeframe`]: its numbers are seconds.
pub(super) const GRANULARITY: u8 = 5;

/// The rank of `w` among the names of [`Field::Final`], where only a boolean is one.
pub(super) const W: u8 = 9;

/// The rank of names such as `Volume BTC` among those of [`Field::Volume`].
pub(super) const VOLUME_OF: u8 = 6;

/// More than any field has names.
pub(super) const MAX_NAMES: usize = 13;

/// The longest name, without spaces and underscores.
const LONGEST: usize = 26;

impl Field {
    pub(super) const ALL: [Self; 10] = [
        Self::Symbol,
        Self::Timeframe,
        Self::Timestamp,
        Self::Open,
        Self::High,
        Self::Low,
        Self::Close,
        Self::Volume,
        Self::Final,
        Self::Source,
    ];

    /// The name that the agent's own messages have.
    pub(super) const fn native(self) -> &'static str {
        match self {
            Self::Timestamp => "timestamp",
            _ => self.names()[0],
        }
    }

    /// Its names in their order of precedence: the native one first, but for the names of a bar's
    /// start, which outweigh `timestamp`. Names of several letters are known in any case, and with or without
    /// spaces and underscores.
    pub(super) const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Symbol => &["symbol", "s", "S", "sym", "ticker"],
            Self::Timeframe => &[
                "timeframe",
                "tf",
                "interval",
                "i",
                "resolution",
                "granularity",
            ],
            Self::Timestamp => &[
                "start",
                "interval_begin",
                "window_start",
                "open_time",
                "started_at",
                "begin",
                "timestamp",
                "t",
                "ts",
                "time",
                "datetime",
                "date",
                "unix",
            ],
            Self::Open => &["open", "open_price", "o"],
            Self::High => &["high", "high_price", "h"],
            Self::Low => &["low", "low_price", "l"],
            Self::Close => &["close", "close_price", "c", "price"],
            Self::Volume => &[
                "volume",
                "v",
                "vol",
                "base_volume",
                "volume_from",
                "tick_volume",
                "Volume BTC",
            ],
            Self::Final => &[
                "final",
                "x",
                "closed",
                "confirm",
                "is_closed",
                "is_final",
                "complete",
                "is_complete",
                "completed",
                "w",
            ],
            Self::Source => &["source"],
        }
    }
}

/// The meaning of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// A name of a field, by its rank among them.
    Of(Field, u8),
    /// A name that says what kind of message it is.
    Mark(Marks),
}

/// The kinds of message, other than bars, that the names in an object belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Marks(u8);

impl Marks {
    /// No other kind.
    pub(super) const NONE: Self = Self(0);
    /// Only the quote of a day has it, such as the close of the day before.
    pub(super) const DAY: Self = Self(1);
    /// The quote of a day has it, and a bar may.
    pub(super) const CHANGE: Self = Self(2);
    /// A trade has it.
    pub(super) const TRADE: Self = Self(4);
    /// Any message of a vendor may have it.
    pub(super) const VENDOR: Self = Self(8);

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl Key {
    /// The meaning of `key`, if it has one. This runs for every key of every message.
    pub(super) fn of(key: &str) -> Option<Self> {
        let exact = Self::folded(key.as_bytes());
        if exact.is_some() {
            return exact;
        }
        if is_mark(key) {
            return Some(Self::Mark(Marks::VENDOR));
        }
        if key.len() < 2 {
            return None;
        }
        Self::spelt(key)
    }

    /// The key of another spelling: case, spaces, underscores and a dot at the end do not count.
    #[cold]
    fn spelt(key: &str) -> Option<Self> {
        let mut folded = [0; LONGEST];
        let mut len = 0;
        for byte in key.strip_suffix('.').unwrap_or(key).bytes() {
            if byte == b' ' || byte == b'_' {
                continue;
            }
            *folded.get_mut(len)? = byte.to_ascii_lowercase();
            len += 1;
        }
        if len < 2 {
            return None;
        }
        Self::folded(&folded[..len])
            .or_else(|| currency(key).map(|_| Self::Of(Field::Volume, VOLUME_OF)))
    }

    /// The key of a name in small letters without spaces and underscores, or of a single letter.
    const fn folded(key: &[u8]) -> Option<Self> {
        let (field, rank) = match key {
            b"symbol" => (Field::Symbol, 0),
            b"s" => (Field::Symbol, 1),
            b"S" => (Field::Symbol, 2),
            b"sym" => (Field::Symbol, 3),
            b"ticker" => (Field::Symbol, 4),
            b"timeframe" => (Field::Timeframe, 0),
            b"tf" => (Field::Timeframe, 1),
            b"interval" => (Field::Timeframe, 2),
            b"i" => (Field::Timeframe, 3),
            b"resolution" => (Field::Timeframe, 4),
            b"granularity" => (Field::Timeframe, GRANULARITY),
            b"start" => (Field::Timestamp, 0),
            b"intervalbegin" => (Field::Timestamp, 1),
            b"windowstart" => (Field::Timestamp, 2),
            b"opentime" => (Field::Timestamp, 3),
            b"startedat" => (Field::Timestamp, 4),
            b"begin" => (Field::Timestamp, 5),
            b"timestamp" => (Field::Timestamp, STARTS),
            b"t" => (Field::Timestamp, 7),
            b"ts" => (Field::Timestamp, 8),
            b"time" => (Field::Timestamp, 9),
            b"datetime" => (Field::Timestamp, 10),
            b"date" => (Field::Timestamp, 11),
            b"unix" => (Field::Timestamp, 12),
            b"open" => (Field::Open, 0),
            b"openprice" => (Field::Open, 1),
            b"o" => (Field::Open, 2),
            b"high" => (Field::High, 0),
            b"highprice" => (Field::High, 1),
            b"h" => (Field::High, 2),
            b"low" => (Field::Low, 0),
            b"lowprice" => (Field::Low, 1),
            b"l" => (Field::Low, 2),
            b"close" => (Field::Close, 0),
            b"closeprice" => (Field::Close, 1),
            b"c" => (Field::Close, 2),
            b"price" => (Field::Close, PRICE),
            b"volume" => (Field::Volume, 0),
            b"v" => (Field::Volume, 1),
            b"vol" => (Field::Volume, 2),
            b"basevolume" => (Field::Volume, 3),
            b"volumefrom" => (Field::Volume, 4),
            b"tickvolume" => (Field::Volume, 5),
            b"final" => (Field::Final, 0),
            b"x" => (Field::Final, 1),
            b"closed" => (Field::Final, 2),
            b"confirm" => (Field::Final, 3),
            b"isclosed" => (Field::Final, 4),
            b"isfinal" => (Field::Final, 5),
            b"complete" => (Field::Final, 6),
            b"iscomplete" => (Field::Final, 7),
            b"completed" => (Field::Final, 8),
            b"w" => (Field::Final, W),
            b"source" => (Field::Source, 0),
            _ => return Self::mark(key),
        };
        Some(Self::Of(field, rank))
    }

    const fn mark(key: &[u8]) -> Option<Self> {
        Some(Self::Mark(match key {
            b"pc"
            | b"previousclose"
            | b"prevclose"
            | b"preclose"
            | b"previousdayclose"
            | b"regularmarketpreviousclose"
            | b"changep"
            | b"dp"
            | b"yearhigh"
            | b"fiftytwoweek"
            | b"fiftytwoweekhigh"
            | b"52weekhigh" => Marks::DAY,
            b"change"
            | b"changepercent"
            | b"changespercentage"
            | b"changepct"
            | b"pctchg"
            | b"percentchange"
            | b"pricechange"
            | b"pricechangepercent"
            | b"percentage"
            | b"bid"
            | b"ask"
            | b"bidprice"
            | b"askprice"
            | b"marketcap" => Marks::CHANGE,
            b"p" | b"q" | b"qty" | b"size" | b"quantity" | b"amount" | b"tradeid" => Marks::TRADE,
            _ => return None,
        }))
    }
}

/// The currency that a name such as `Volume BTC` or `Volume_(BTC)` counts in.
pub(super) fn currency(key: &str) -> Option<&str> {
    let (volume, unit) = key.split_at_checked(6)?;
    let unit = unit.strip_prefix([' ', '_'])?;
    let unit = unit
        .strip_prefix('(')
        .and_then(|unit| unit.strip_suffix(')'))
        .unwrap_or(unit);
    let is_code = (2..=10).contains(&unit.len())
        && unit
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    (volume.eq_ignore_ascii_case("volume") && is_code).then_some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decision_tree_knows_every_name_and_no_other() {
        for field in Field::ALL {
            assert!(field.names().len() <= MAX_NAMES);
            for (rank, name) in (0..).zip(field.names()) {
                assert_eq!(Key::of(name), Some(Key::Of(field, rank)), "{name}");
            }
        }
        for (field, rank, name) in [
            (Field::Close, PRICE, "price"),
            (Field::Timestamp, STARTS, "timestamp"),
            (Field::Timeframe, GRANULARITY, "granularity"),
            (Field::Final, W, "w"),
            (Field::Volume, VOLUME_OF, "Volume BTC"),
        ] {
            assert_eq!(field.names()[usize::from(rank)], name);
        }
        for name in [
            "",
            "U",
            "O",
            "C",
            "V",
            "_",
            "o_",
            " o",
            "closing",
            "sources",
            "é",
            "adj close",
            "Adj Close",
            "volume_sma",
            "volume_weighted",
            "Volume btc",
            "quoteVolume",
            "close_time",
            "a name that is longer than all those that are known",
        ] {
            assert_eq!(Key::of(name), None, "{name}");
        }
    }

    #[test]
    fn a_longer_name_is_known_in_every_spelling_and_a_letter_in_one() {
        for (name, field) in [
            ("Symbol", Field::Symbol),
            ("SYMBOL", Field::Symbol),
            ("Open", Field::Open),
            ("openPrice", Field::Open),
            ("OPEN PRICE", Field::Open),
            ("openTime", Field::Timestamp),
            ("Open time", Field::Timestamp),
            ("startedAt", Field::Timestamp),
            ("intervalBegin", Field::Timestamp),
            ("Volume", Field::Volume),
            ("Vol.", Field::Volume),
            ("baseVolume", Field::Volume),
            ("Volume ETH", Field::Volume),
            ("Volume_(BTC)", Field::Volume),
            ("isClosed", Field::Final),
            ("IsFinal", Field::Final),
            ("TimeFrame", Field::Timeframe),
        ] {
            assert!(
                matches!(Key::of(name), Some(Key::Of(of, _)) if of == field),
                "{name}"
            );
        }
        assert_eq!(Key::of("previousClose"), Some(Key::Mark(Marks::DAY)));
        assert_eq!(Key::of("changePercent"), Some(Key::Mark(Marks::CHANGE)));
    }
}
