//! Rows of candles as ccxt hands them out: `[ms, open, high, low, close, volume]`.

use super::super::fields::Scalar;
use super::super::tape::Node;
use super::candle::in_order;
use super::{Candle, Dialect, Notes, Reading};

pub(super) static DIALECT: Dialect = Dialect {
    name: "ccxt",
    certain: |_| true,
    read,
    everyday: None,
    shape: &[],
    notes: Notes {
        bars: "`[[ms,open,high,low,close,volume],…]`, or one such row; symbol and timeframe from the subject",
        time: "the first value, in ms",
        complete: "all but the newest; that with the next one",
        other: "none",
        source: "https://docs.ccxt.com/#/README?id=ohlcv-structure",
    },
};

/// Values of a row.
const ROW: usize = 6;

/// The smallest epoch in milliseconds: 1973.
const MILLIS: u64 = 100_000_000_000;

/// The epochs from here on are in microseconds.
const MICROS: u64 = 100_000_000_000_000;

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    if !message.is_array() {
        return None;
    }
    if is_row(message) {
        return Some(Reading::Bar(candle(message)));
    }
    let mut rows = message.items();
    // a bar without trades may have no prices
    rows.any(is_row)
        .then(|| in_order(message.items().map(candle).collect()))
}

fn is_row(row: Node<'_, '_>) -> bool {
    row.is_array()
        && row.items().count() >= ROW
        && matches!(
            row.at(0).map(Node::scalar),
            Some(Scalar::Int(MILLIS..MICROS))
        )
        && row.items().skip(1).take(ROW - 2).all(|value| {
            matches!(
                value.scalar(),
                Scalar::Int(_) | Scalar::Number(_) | Scalar::HugeNumber(_)
            )
        })
}

fn candle<'a>(row: Node<'_, 'a>) -> Candle<'a> {
    Candle::of_row(row, [0, 1, 2, 3, 4, 5])
}
