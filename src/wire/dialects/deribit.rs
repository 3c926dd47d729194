//! Deribit, version 2: JSON-RPC.

use super::super::print::Print;
use super::super::tape::Node;
use super::candle::{minutes, text};
use super::{Candle, Dialect, Ignored, Notes, Reading};

pub(super) static DIALECT: Dialect = Dialect {
    name: "deribit",
    certain: |_| true,
    read,
    everyday: None,
    shape: &[
        ("params.channel", "chart.trades.*"),
        ("params.data.tick", ""),
        ("params.data.open", ""),
        ("jsonrpc", ""),
    ],
    notes: Notes {
        bars: "`{\"params\":{\"channel\":\"chart.trades.BTC-PERPETUAL.1\",\"data\":{tick,open,high,low,close,volume}}}`, symbol and minutes from the channel",
        time: "`tick`, in ms",
        complete: "the next one comes",
        other: "`trades.…` is trades: `price`, `amount`, `timestamp`, `trade_seq`",
        source: "https://docs.deribit.com/#chart-trades-instrument_name-resolution",
    },
};

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    let ignored = |kind| Some(Reading::Ignored(kind));
    message.get("jsonrpc")?;
    if message.str_of("method") == Some("heartbeat") {
        return ignored(Ignored::Heartbeat);
    }
    let Some(params) = message.get("params") else {
        return match (message.get("result"), message.get("error")) {
            (_, Some(_)) => ignored(Ignored::Error),
            (Some(_), _) => ignored(Ignored::Acknowledgement),
            _ => None,
        };
    };
    let channel = params.str_of("channel")?;
    let data = params.get("data")?;
    if let Some(chart) = channel.strip_prefix("chart.trades.") {
        let (symbol, resolution) = chart.rsplit_once('.')?;
        let timeframe = match resolution {
            "1D" => text("1d"),
            resolution => minutes(text(resolution)),
        };
        let names = ["tick", "open", "high", "low", "close", "volume"];
        let candle = Candle::of(data, names);
        let candle = candle.with_symbol(text(symbol)).with_timeframe(timeframe);
        return Some(Reading::Bar(candle));
    }
    match channel.split('.').next()? {
        "trades" => {
            let names = [
                "instrument_name",
                "timestamp",
                "price",
                "amount",
                "trade_seq",
            ];
            let trades = data.items().map(|trade| Print::of(trade, names));
            Some(Reading::Trades(trades.collect()))
        }
        "ticker" | "incremental_ticker" => ignored(Ignored::Ticker),
        "quote" => ignored(Ignored::Quote),
        "book" => ignored(Ignored::OrderBook),
        "platform_state" | "instrument" => ignored(Ignored::Status),
        "deribit_price_index"
        | "deribit_price_ranking"
        | "deribit_price_statistics"
        | "deribit_volatility_index"
        | "estimated_expiration_price"
        | "markprice"
        | "perpetual"
        | "user"
        | "announcements"
        | "block_rfq"
        | "block_trade_confirmations"
        | "rfq" => ignored(Ignored::Other),
        _ => None,
    }
}
