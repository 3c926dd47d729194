//! Tardis: normalised messages of its clients and its server.

use super::super::fields::Scalar;
use super::super::print::Print;
use super::super::tape::Node;
use super::candle::text;
use super::{Candle, Dialect, Ignored, Notes, Reading};
use crate::market::{Finality, Timestamp};
use crate::wire::Reason;

pub(super) static DIALECT: Dialect = Dialect {
    name: "tardis",
    certain: |_| true,
    read,
    everyday: None,
    shape: &[
        ("type", "trade_bar"),
        ("name", ""),
        ("interval", ""),
        ("openTimestamp", ""),
        ("localTimestamp", ""),
    ],
    notes: Notes {
        bars: "`{\"type\":\"trade_bar\",symbol,name,interval,open,high,low,close,volume,timestamp}` of a kind of time (`…ms`)",
        time: "`timestamp`, the **end**, less the interval; `openTimestamp` is the time of the first trade",
        complete: "always",
        other: "`trade` is a trade: `price`, `amount`, `timestamp`, `id`; bars of ticks or volume are refused",
        source: "https://docs.tardis.dev/api/tardis-machine#normalized-data-types",
    },
};

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    let kind = message.str_of("type")?;
    message.get("localTimestamp")?;
    let ignored = |kind| Some(Reading::Ignored(kind));
    match kind {
        "trade_bar" => Some(bar(message)),
        "trade" => {
            let names = ["symbol", "timestamp", "price", "amount", "id"];
            Some(Reading::Trades(vec![Print::of(message, names)]))
        }
        "quote" | "book_ticker" => ignored(Ignored::Quote),
        "book_change" | "book_snapshot" => ignored(Ignored::OrderBook),
        "derivative_ticker" => ignored(Ignored::Ticker),
        "disconnect" => ignored(Ignored::Status),
        "liquidation" | "option_summary" => ignored(Ignored::Other),
        _ => None,
    }
}

fn bar<'a>(message: Node<'_, 'a>) -> Reading<'a> {
    let name = message.str_of("name").unwrap_or_default();
    let of_time = match message.str_of("kind") {
        Some(kind) => kind == "time",
        None => name.ends_with("ms"),
    };
    let millis = match message.field("interval") {
        Scalar::Int(millis) if of_time && millis > 0 => millis,
        _ => {
            let detail = format!("`{name}` is no bar of time; compute bars of kind `time`");
            return Reading::Refused(Reason::BadTimeframe, detail);
        }
    };
    let candle = Candle::of(
        message,
        ["timestamp", "open", "high", "low", "close", "volume"],
    );
    let start = opened(candle.start.clone(), millis);
    Reading::Bar(
        Candle { start, ..candle }
            .with_symbol(message.field("symbol"))
            .with_timeframe(timeframe(millis))
            .with_finality(Finality::Final),
    )
}

fn timeframe(millis: u64) -> Scalar<'static> {
    if millis.is_multiple_of(60_000) {
        super::candle::of_minutes(millis / 60_000)
    } else if millis.is_multiple_of(1_000) {
        text(format!("{}s", millis / 1_000))
    } else {
        text(format!("{millis}ms"))
    }
}

/// The start of a bar by its end; what cannot be read stays as it is.
fn opened(end: Scalar<'_>, millis: u64) -> Scalar<'_> {
    let at = match &end {
        Scalar::Text(text) => text.parse::<Timestamp>().ok(),
        _ => None,
    };
    let nanos = i64::try_from(millis)
        .ok()
        .and_then(|ms| ms.checked_mul(1_000_000));
    match (at, nanos) {
        (Some(at), Some(nanos)) => {
            let start = Timestamp::from_nanos(at.nanos().saturating_sub(nanos));
            text(start.to_string())
        }
        _ => end,
    }
}
