//! The names of columns, and what each stands for.

use crate::market::Zone;

/// The content of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A whole time, or a date.
    Time {
        /// The column of the lowest rank counts.
        rank: u8,
        /// True if it may be the time of day that belongs to a date in another column.
        clock: bool,
    },
    Open,
    High,
    Low,
    Close {
        rank: u8,
    },
    Volume {
        rank: u8,
    },
    Symbol,
    Timeframe,
    Final,
    Source,
    /// Databento's type of record: it names the timeframe, and tells that prices are fixed-point.
    RecordType,
}

/// The rank of a column that names the start of a bar.
const START: u8 = 0;
/// The rank of a column that is known to be an epoch or a whole time.
const STAMP: u8 = 1;
/// The rank of a column that may be a date alone.
const DATE: u8 = 2;

/// The rank of a close under the name `price`: without the other prices it is a trade.
pub(super) const PRICE: u8 = 3;

/// The rank of a volume that is in one of two currencies.
pub(super) const IN_CURRENCY: u8 = 1;
/// The rank of a count of price changes, which stands in where there is no volume.
pub(super) const TICKS: u8 = 2;

const TIME: [(u8, &[&str]); 3] = [
    (
        START,
        &[
            "windowstart",
            "opentime",
            "timeopen",
            "starttime",
            "startat",
            "startedat",
            "start",
            "begin",
            "begintime",
            "intervalbegin",
            "intervalstart",
            "periodstart",
            "barstart",
            "candlebegintime",
            "tsevent",
        ],
    ),
    (
        STAMP,
        &[
            "timestamp",
            "timestampms",
            "ts",
            "t",
            "unix",
            "unixtime",
            "unixtimestamp",
            "unixtimestampms",
            "epoch",
            "epochtime",
            "epochms",
            "datetime",
            "datetimeutc",
            "timeutc",
            "utctime",
            "utc",
            "gmttime",
            "timegmt",
            "localtime",
            "dateutc",
            "dategmt",
            "candletime",
            "bartime",
            "tradetime",
            "transacttime",
            "createdtime",
        ],
    ),
    (
        DATE,
        &[
            "date",
            "time",
            "dt",
            "day",
            "tradedate",
            "tradingdate",
            "tradingday",
            // Polish (Stooq), German, Spanish
            "data",
            "datum",
            "fecha",
        ],
    ),
];

const CLOCK: &[&str] = &["time", "clock", "timeofday", "hour", "czas", "zeit", "hora"];
const OPEN: &[&str] = &[
    "open",
    "o",
    "openprice",
    "priceopen",
    "openingprice",
    "otwarcie",
    "eröffnung",
    "eroeffnung",
    "erster",
    "apertura",
];
const HIGH: &[&str] = &[
    "high",
    "h",
    "highprice",
    "pricehigh",
    "highest",
    "najwyzszy",
    "hoch",
    "máximo",
    "maximo",
];
const LOW: &[&str] = &[
    "low",
    "l",
    "lowprice",
    "pricelow",
    "lowest",
    "najnizszy",
    "tief",
    "mínimo",
    "minimo",
];
const CLOSE: [(u8, &[&str]); 3] = [
    (
        0,
        &[
            "close",
            "c",
            "closeprice",
            "priceclose",
            "closingprice",
            "zamkniecie",
            "schluss",
            "schlusskurs",
            "cierre",
        ],
    ),
    (1, &["closelast", "last", "latest"]),
    (PRICE, &["price"]),
];
const VOLUME: [(u8, &[&str]); 2] = [
    (
        0,
        &[
            "volume",
            "v",
            "vol",
            "basevolume",
            "volumebase",
            "totalvolume",
            "wolumen",
            "volumen",
            "stück",
        ],
    ),
    (TICKS, &["tickvol", "tickvolume"]),
];
const SYMBOL: &[&str] = &[
    "symbol",
    "s",
    "sym",
    "ticker",
    "tscode",
    "instrument",
    "pair",
    "rawsymbol",
    "productid",
    "instid",
    "instrumentname",
    "secid",
];
/// The quantity of a trade. In a table of bars these names say nothing certain.
const SIZE: &[&str] = &["size", "qty", "quantity", "q", "sz", "tradesize", "amount"];
/// The venue's number or name of a trade.
const TRADE_ID: &[&str] = &[
    "tradeid",
    "aggtradeid",
    "aggregatetradeid",
    "trdmatchid",
    "tid",
    "id",
    "seq",
    "sequence",
];
const TIMEFRAME: &[&str] = &[
    "timeframe",
    "tf",
    "interval",
    "i",
    "per",
    "resolution",
    "barsize",
    "granularity",
];
const FINAL: &[&str] = &[
    "final", "x", "closed", "isfinal", "isclosed", "confirm", "complete",
];

/// Words after `Volume` that make a column something else than the volume of the bar.
const NO_CURRENCY: &[&str] = &[
    "ma", "sma", "ema", "average", "avg", "quote", "weighted", "change", "delta",
];

/// The names that `--columns` takes, as an error shows them.
pub(super) const NAMES: &str = "time, date, clock, open, high, low, close, price, volume, size, trade_id, symbol, timeframe, final, source or -";

impl Role {
    /// The content of a column with this name, if the name is known.
    pub fn of(name: &str) -> Option<Self> {
        let plain = plain(name);
        let is = |names: &[&str]| names.contains(&plain.as_str());
        let ranked = |table: &[(u8, &[&str])]| {
            let entry = table.iter().find(|(_, names)| is(names));
            entry.map(|(rank, _)| *rank)
        };
        let clock = is(CLOCK);
        if let Some(rank) = ranked(&TIME) {
            return Some(Self::Time { rank, clock });
        }
        // `Time (EET)`
        if zone_of(name).is_some() && (plain.starts_with("time") || plain.starts_with("date")) {
            return Some(Self::Time { rank: STAMP, clock });
        }
        if clock {
            return Some(Self::Time { rank: DATE, clock });
        }
        if let Some(rank) = ranked(&CLOSE) {
            return Some(Self::Close { rank });
        }
        if let Some(rank) = ranked(&VOLUME) {
            return Some(Self::Volume { rank });
        }
        if let Some(unit) = plain.strip_prefix("volume")
            && name.trim().len() > unit.len() + "volume".len()
            && (2..=8).contains(&unit.len())
            && !NO_CURRENCY.contains(&unit)
        {
            return Some(Self::Volume { rank: IN_CURRENCY });
        }
        for (names, role) in [
            (OPEN, Self::Open),
            (HIGH, Self::High),
            (LOW, Self::Low),
            (SYMBOL, Self::Symbol),
            (TIMEFRAME, Self::Timeframe),
            (FINAL, Self::Final),
        ] {
            if is(names) {
                return Some(role);
            }
        }
        match plain.as_str() {
            "source" => Some(Self::Source),
            "rtype" => Some(Self::RecordType),
            _ => None,
        }
    }
}

/// The columns of the size and of the id of trades, in a table whose rows are trades.
pub(super) fn of_trades(names: &[String]) -> (Option<usize>, Option<usize>) {
    let plain: Vec<String> = names.iter().map(|name| plain(name)).collect();
    let find = |known: &[&str]| {
        let mut places = known
            .iter()
            .map(|name| plain.iter().position(|one| one == name));
        places.find_map(|place| place)
    };
    (find(SIZE), find(TRADE_ID))
}

/// True if a column of this name may belong to a table of trades alone.
pub(super) fn is_of_trades(name: &str) -> bool {
    let plain = plain(name);
    [SIZE, TRADE_ID]
        .iter()
        .any(|names| names.contains(&plain.as_str()))
}

/// A name without case, signs and the numbers that some sources put before it (`1. open`).
pub(super) fn plain(name: &str) -> String {
    let name = name.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let name = match name.split_once(". ") {
        Some((number, rest)) if number.bytes().all(|b| b.is_ascii_digit()) => rest,
        _ => name,
    };
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// The currency of `Volume BTC`, in lower case.
pub(super) fn currency_of(name: &str) -> String {
    plain(name).trim_start_matches("volume").to_owned()
}

/// The zone that the name of a time column tells: `Gmt time`, `Date (UTC)`, `Time (EET)`.
pub(super) fn zone_of(name: &str) -> Option<Zone> {
    let lower = name.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric() && c != '/');
    if words.any(|word| matches!(word, "utc" | "gmt")) {
        return Some(Zone::UTC);
    }
    let (_, rest) = name.split_once('(')?;
    let (inside, _) = rest.split_once(')')?;
    inside.trim().parse().ok()
}

/// True if a column without a known name has no name at all, as the index of a data frame.
pub(super) fn is_nameless(name: &str) -> bool {
    let plain = plain(name);
    plain.is_empty() || plain == "unnamed0" || plain == "indexlevel0"
}

/// The symbol that a two-level name ends with: `('Close', 'AAPL')`.
pub(super) fn two_levels(name: &str) -> Option<(String, String)> {
    let inside = name.trim().strip_prefix('(')?.strip_suffix(')')?;
    let (first, second) = inside.split_once(',')?;
    let bare = |text: &str| text.trim().trim_matches(['\'', '"']).to_owned();
    Some((bare(first), bare(second)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_names_are_known_in_any_spelling() {
        for name in [
            "Open",
            "OPEN",
            "<OPEN>",
            " open ",
            "1. open",
            "open_price",
            "o",
            "Open*",
        ] {
            assert_eq!(Role::of(name), Some(Role::Open), "{name}");
        }
        for name in [
            "Date",
            "datetime",
            "time",
            "unix",
            "Open time",
            "window_start",
            "ts_event",
            "<DATE>",
            "Gmt time",
            "Time (EET)",
            "Date (UTC)",
            "trade_date",
            "Unix Timestamp",
            "\u{feff}timestamp",
        ] {
            assert!(matches!(Role::of(name), Some(Role::Time { .. })), "{name}");
        }
        assert_eq!(Role::of("Close"), Some(Role::Close { rank: 0 }));
        assert_eq!(Role::of("Close/Last"), Some(Role::Close { rank: 1 }));
        assert_eq!(Role::of("Price"), Some(Role::Close { rank: PRICE }));
        for name in [
            "Adj Close",
            "Adj Close**",
            "adjusted_close",
            "close_time",
            "Change %",
            "pre_close",
            "",
            "VWAP",
            "trades",
            "Spread",
        ] {
            assert_eq!(Role::of(name), None, "{name}");
        }
    }

    #[test]
    fn a_volume_in_a_currency_is_told_from_an_average_of_volumes() {
        for name in ["Volume", "Vol.", "<VOL>", "v", "base_volume"] {
            assert_eq!(Role::of(name), Some(Role::Volume { rank: 0 }), "{name}");
        }
        for name in ["Volume BTC", "Volume USDT", "Volume (BTC)", "volume_eth"] {
            assert_eq!(
                Role::of(name),
                Some(Role::Volume { rank: IN_CURRENCY }),
                "{name}"
            );
        }
        assert_eq!(currency_of("Volume BTC"), "btc");
        assert_eq!(Role::of("<TICKVOL>"), Some(Role::Volume { rank: TICKS }));
        for name in [
            "Volume MA",
            "quote_asset_volume",
            "Volume SMA",
            "Volume Weighted",
        ] {
            assert_eq!(Role::of(name), None, "{name}");
        }
    }

    #[test]
    fn a_header_may_tell_the_zone() {
        assert_eq!(zone_of("Gmt time"), Some(Zone::UTC));
        assert_eq!(zone_of("Date (UTC)"), Some(Zone::UTC));
        assert_eq!(zone_of("time_utc"), Some(Zone::UTC));
        assert_eq!(
            zone_of("Time (America/New_York)").unwrap().to_string(),
            "America/New_York"
        );
        assert_eq!(zone_of("Date"), None);
        assert_eq!(
            two_levels("('Close', 'AAPL')"),
            Some(("Close".to_owned(), "AAPL".to_owned()))
        );
        assert!(is_nameless("Unnamed: 0") && is_nameless("") && !is_nameless("x"));
    }
}
