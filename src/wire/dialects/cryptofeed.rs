//! cryptofeed: candles and other objects as its back ends write them.

use super::super::tape::Node;
use super::{Candle, Dialect, Notes, Reading};

pub(super) static DIALECT: Dialect = Dialect {
    name: "cryptofeed",
    certain: |_| true,
    read,
    everyday: None,
    shape: &[
        ("exchange", ""),
        ("symbol", ""),
        ("start", ""),
        ("stop", ""),
        ("closed", ""),
    ],
    notes: Notes {
        bars: "`{exchange,symbol,start,stop,interval,open,high,low,close,volume,closed}`",
        time: "`start`, in s; `timestamp` is the time of the event",
        complete: "`closed`; without it, the next one comes",
        other: "none",
        source: "https://github.com/bmoscon/cryptofeed/blob/master/cryptofeed/types.pyx",
    },
};

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    let all = ["exchange", "symbol", "start", "stop", "interval"];
    if !all.iter().all(|key| message.get(key).is_some()) {
        return None;
    }
    let candle = Candle::of(message, ["start", "open", "high", "low", "close", "volume"]);
    Some(Reading::Bar(
        candle
            .with_symbol(message.field("symbol"))
            .with_timeframe(message.field("interval"))
            .with_flag(message.field("closed")),
    ))
}
