//! Databento: records of DBN as JSON, with prices in units of 1e-9 or as decimals.

use super::super::fields::Scalar;
use super::super::print::Print;
use super::super::tape::Node;
use super::candle::text;
use super::{Candle, Dialect, Ignored, Notes, Reading};
use crate::market::Finality;
use crate::wire::Reason;

pub(super) static DIALECT: Dialect = Dialect {
    name: "databento",
    certain: is_certain,
    read,
    everyday: None,
    shape: &[
        ("hd.rtype", ""),
        ("hd.ts_event", ""),
        ("open", ""),
        ("close", ""),
        ("volume", ""),
    ],
    notes: Notes {
        bars: "`{\"hd\":{\"ts_event\",\"rtype\"},open,high,low,close,volume}`, `rtype` 32 to 35 as the timeframe; prices in units of 1e-9, or decimals; the subject's symbol where there is none",
        time: "`ts_event`, in ns",
        complete: "always",
        other: "`rtype` 0 is a trade: `price`, `size`, `ts_event`, `sequence`; a price of 2⁶³ − 1 is undefined and refused",
        source: "https://databento.com/docs/schemas-and-data-formats/ohlcv",
    },
};

/// A price that is not defined.
const UNDEFINED: u64 = 9_223_372_036_854_775_807;

/// Decimals of a price.
const DECIMALS: usize = 9;

/// A JSON number below this is no price in units of 1e-9 with any certainty.
const CERTAIN: u64 = 1_000_000;

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    if !message.is_object() {
        return None;
    }
    let head = message.get("hd").unwrap_or(message);
    let kind = match head.field("rtype") {
        Scalar::Int(kind) => Some(kind),
        _ => None,
    };
    let ignored = |kind| Some(Reading::Ignored(kind));
    let timeframe = match kind {
        Some(32) => text("1s"),
        Some(33) => text("1m"),
        Some(34) => text("1h"),
        Some(35 | 36) => text("1d"),
        Some(0) => return Some(trade(message, head)),
        Some(1 | 177 | 178 | 192 | 193 | 194 | 195 | 196) => return ignored(Ignored::Quote),
        Some(10 | 160) => return ignored(Ignored::OrderBook),
        Some(18) => return ignored(Ignored::Status),
        Some(21) => return ignored(Ignored::Error),
        Some(22) => return ignored(Ignored::Acknowledgement),
        Some(23) => return ignored(Ignored::Heartbeat),
        Some(19 | 20 | 24) => return ignored(Ignored::Other),
        Some(_) => return None,
        // without its header, the subject has the timeframe
        None => Scalar::Absent,
    };
    message.get("open").and(message.get("close"))?;
    let mut candle = Candle::of(
        message,
        ["timestamp", "open", "high", "low", "close", "volume"],
    )
    .with_symbol(message.field("symbol"))
    .with_timeframe(timeframe)
    .with_finality(Finality::Final);
    if let Some(time) = head.get("ts_event") {
        candle.start = time.scalar();
    }
    for price in [
        &mut candle.open,
        &mut candle.high,
        &mut candle.low,
        &mut candle.close,
    ] {
        match decimal(price) {
            Ok(Some(decimal)) => *price = decimal,
            Ok(None) => {}
            Err(detail) => return Some(Reading::Refused(Reason::BadPrice, detail)),
        }
    }
    Some(Reading::Bar(candle))
}

fn trade<'a>(message: Node<'_, 'a>, head: Node<'_, 'a>) -> Reading<'a> {
    let mut print = Print::of(message, ["symbol", "ts_event", "price", "size", "sequence"]);
    if let Some(time) = head.get("ts_event") {
        print.time = time.scalar();
    }
    match decimal(&print.price) {
        Ok(Some(decimal)) => print.price = decimal,
        Ok(None) => {}
        Err(detail) => return Reading::Refused(Reason::BadPrice, detail),
    }
    Reading::Trades(vec![print])
}

/// The decimal price of one in units of 1e-9; nothing where it is a decimal already.
fn decimal(price: &Scalar<'_>) -> Result<Option<Scalar<'static>>, String> {
    let units = match price {
        Scalar::Int(units) if *units < CERTAIN => {
            return Err(format!(
                "{units} may be a price, or one in units of 1e-9; write prices as text or with decimals"
            ));
        }
        Scalar::Int(units) => units.to_string(),
        Scalar::Text(text) => text.to_string(),
        _ => return Ok(None),
    };
    let (sign, digits) = match units.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", units.as_str()),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    if digits.parse() == Ok(UNDEFINED) {
        return Err(format!(
            "{units} is how Databento writes that there is no price"
        ));
    }
    let padded = format!("{digits:0>width$}", width = DECIMALS + 1);
    let (whole, decimals) = padded.split_at(padded.len() - DECIMALS);
    Ok(Some(text(format!("{sign}{whole}.{decimals}"))))
}

/// True if a message has what only records of Databento have.
fn is_certain(message: Node<'_, '_>) -> bool {
    let names = ["rtype", "ts_event", "publisher_id"];
    let in_object = |node: Node<'_, '_>| names.iter().any(|name| node.get(name).is_some());
    message.get("hd").is_some_and(Node::is_object) || in_object(message)
}
