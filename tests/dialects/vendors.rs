//! Bars as the vendors write them.
//!
//! Written from the vendors' documentation, not from the dialects: this is what they are tested
//! against.

use technical_analysis_agent::market::Bar;

/// The symbol of every series.
pub const SYMBOL: &str = "SPY";

/// The way a vendor sends a bar while it forms and when it is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Pushed again and again, with a flag on the last push.
    Flagged,
    /// Pushed again and again, and nothing says which push is the last.
    UntilNext,
    /// Sent once, complete.
    Complete,
}

/// A vendor's way of sending the bars of one series.
pub struct Vendor {
    pub timeframe: &'static str,
    /// True if only the subject has the symbol and timeframe.
    pub by_subject: bool,
    pub manner: Manner,
    /// The message of one bar, and whether it is complete.
    pub message: fn(&Bar, bool) -> String,
    /// The message of several bars, oldest first, the last of them forming.
    pub snapshot: Option<fn(&[Bar]) -> String>,
}

/// Open, high, low, close and volume.
pub fn values(bar: &Bar) -> [f64; 5] {
    [bar.open, bar.high, bar.low, bar.close, bar.volume]
}

fn millis(bar: &Bar) -> i64 {
    bar.timestamp.nanos() / 1_000_000
}

fn seconds(bar: &Bar) -> i64 {
    bar.timestamp.nanos() / 1_000_000_000
}

/// The end of a bar of a minute.
fn end(bar: &Bar) -> String {
    let at = technical_analysis_agent::market::Timestamp::from_epoch(
        u64::try_from(seconds(bar) + 60).unwrap(),
    );
    at.to_string()
}

fn join(bars: &[Bar], one: fn(&Bar) -> String) -> String {
    bars.iter().map(one).collect::<Vec<_>>().join(",")
}

/// Prices in units of 1e-9, as text.
fn fixed(price: f64) -> String {
    format!("{price:.9}")
        .replace('.', "")
        .trim_start_matches('0')
        .to_owned()
}

fn kraken(bar: &Bar) -> String {
    let [open, high, low, close, volume] = values(bar);
    let timestamp = bar.timestamp;
    let end = end(bar);
    format!(
        r#"{{"symbol":"SPY","open":{open},"high":{high},"low":{low},"close":{close},"trades":3,"volume":{volume},"vwap":{close},"interval_begin":"{timestamp}","interval":1,"timestamp":"{end}"}}"#
    )
}

fn coinbase(bar: &Bar) -> String {
    let [open, high, low, close, volume] = values(bar);
    let start = seconds(bar);
    format!(
        r#"{{"start":"{start}","high":"{high}","low":"{low}","open":"{open}","close":"{close}","volume":"{volume}","product_id":"SPY"}}"#
    )
}

fn row(bar: &Bar) -> String {
    let [open, high, low, close, volume] = values(bar);
    format!("[{},{open},{high},{low},{close},{volume}]", millis(bar))
}

fn twelvedata(bar: &Bar) -> String {
    let [open, high, low, close, volume] = values(bar);
    let timestamp = bar.timestamp;
    // New York is five hours behind in January
    let behind = timestamp.nanos() - 5 * 3_600_000_000_000;
    let at = technical_analysis_agent::market::Timestamp::from_nanos(behind).to_string();
    let at = at.replace('T', " ").replace('Z', "");
    format!(
        r#"{{"datetime":"{at}","open":"{open}","high":"{high}","low":"{low}","close":"{close}","volume":"{volume}"}}"#
    )
}

fn hyperliquid(bar: &Bar) -> String {
    let [open, high, low, close, volume] = values(bar);
    let (t, e) = (millis(bar), millis(bar) + 59_999);
    format!(
        r#"{{"t":{t},"T":{e},"s":"SPY","i":"1m","o":"{open}","c":"{close}","h":"{high}","l":"{low}","v":"{volume}","n":7}}"#
    )
}

fn alpaca(bar: &Bar, kind: &str) -> String {
    let [open, high, low, close, volume] = values(bar);
    let timestamp = bar.timestamp;
    format!(
        r#"[{{"T":"{kind}","S":"SPY","o":{open},"h":{high},"l":{low},"c":{close},"v":{volume},"n":9,"vw":{close},"t":"{timestamp}"}}]"#
    )
}

/// Every way in which the vendor of a dialect sends bars; none where it sends none.
#[allow(clippy::too_many_lines)] // a table
pub fn vendors(dialect: &str) -> Vec<Vendor> {
    let one = |manner, message| Vendor {
        timeframe: "1m",
        by_subject: false,
        manner,
        message,
        snapshot: None,
    };
    match dialect {
        "binance" => vec![
            one(Manner::Flagged, |bar, complete| {
                let [open, high, low, close, volume] = values(bar);
                let (t, e) = (millis(bar), millis(bar) + 59_999);
                format!(
                    r#"{{"e":"kline","E":{e},"s":"SPY","k":{{"t":{t},"T":{e},"s":"SPY","i":"1m","f":100,"L":200,"o":"{open}","c":"{close}","h":"{high}","l":"{low}","v":"{volume}","n":100,"x":{complete},"q":"1.0","V":"500","Q":"0.5","B":"0"}}}}"#
                )
            }),
            one(Manner::Flagged, |bar, complete| {
                let [open, high, low, close, volume] = values(bar);
                let (t, e) = (millis(bar) * 1_000, millis(bar) * 1_000 + 59_999_999);
                format!(
                    r#"{{"stream":"spy_perpetual@continuousKline_1m","data":{{"e":"continuous_kline","E":{e},"ps":"SPY","ct":"PERPETUAL","k":{{"t":{t},"T":{e},"i":"1m","o":"{open}","c":"{close}","h":"{high}","l":"{low}","v":"{volume}","x":{complete}}}}}}}"#
                )
            }),
        ],
        "alpaca" => vec![
            one(Manner::Complete, |bar, _| alpaca(bar, "b")),
            Vendor {
                timeframe: "1d",
                ..one(Manner::UntilNext, |bar, _| alpaca(bar, "d"))
            },
        ],
        "massive" => vec![one(Manner::Complete, |bar, _| {
            let [open, high, low, close, volume] = values(bar);
            let (s, e) = (millis(bar), millis(bar) + 60_000);
            format!(
                r#"[{{"ev":"AM","sym":"SPY","v":{volume},"av":1,"op":1,"vw":{close},"o":{open},"c":{close},"h":{high},"l":{low},"a":1,"z":5,"s":{s},"e":{e}}}]"#
            )
        })],
        "coinbase" => vec![Vendor {
            timeframe: "5m",
            snapshot: Some(|bars| {
                let newest_first: Vec<Bar> = bars.iter().rev().copied().collect();
                let candles = join(&newest_first, coinbase);
                format!(
                    r#"{{"channel":"candles","client_id":"","timestamp":"2024-01-02T00:00:00Z","sequence_num":0,"events":[{{"type":"snapshot","candles":[{candles}]}}]}}"#
                )
            }),
            ..one(Manner::UntilNext, |bar, _| {
                let candle = coinbase(bar);
                format!(
                    r#"{{"channel":"candles","client_id":"","timestamp":"2024-01-02T00:00:00Z","sequence_num":1,"events":[{{"type":"update","candles":[{candle}]}}]}}"#
                )
            })
        }],
        "kraken" => vec![Vendor {
            snapshot: Some(|bars| {
                let candles = join(bars, kraken);
                format!(
                    r#"{{"channel":"ohlc","type":"snapshot","timestamp":"2024-01-02T00:00:00Z","data":[{candles}]}}"#
                )
            }),
            ..one(Manner::UntilNext, |bar, _| {
                let candle = kraken(bar);
                format!(
                    r#"{{"channel":"ohlc","type":"update","timestamp":"2024-01-02T00:00:00Z","data":[{candle}]}}"#
                )
            })
        }],
        "bybit" => vec![one(Manner::Flagged, |bar, complete| {
            let [open, high, low, close, volume] = values(bar);
            let (s, e, last) = (millis(bar), millis(bar) + 59_999, millis(bar) + 41_123);
            format!(
                r#"{{"topic":"kline.1.SPY","data":[{{"start":{s},"end":{e},"interval":"1","open":"{open}","close":"{close}","high":"{high}","low":"{low}","volume":"{volume}","turnover":"3","confirm":{complete},"timestamp":{last}}}],"ts":{e},"type":"snapshot"}}"#
            )
        })],
        "okx" => vec![one(Manner::Flagged, |bar, complete| {
            let [open, high, low, close, volume] = values(bar);
            let (ts, confirm) = (millis(bar), u8::from(complete));
            format!(
                r#"{{"arg":{{"channel":"candle1m","instId":"SPY"}},"data":[["{ts}","{open}","{high}","{low}","{close}","{volume}","5","6","{confirm}"]]}}"#
            )
        })],
        "hyperliquid" => vec![Vendor {
            snapshot: Some(|bars| {
                let candles = join(bars, hyperliquid);
                format!(r#"{{"channel":"candle","data":[{candles}]}}"#)
            }),
            ..one(Manner::UntilNext, |bar, _| {
                let candle = hyperliquid(bar);
                format!(r#"{{"channel":"candle","data":{candle}}}"#)
            })
        }],
        "deribit" => vec![one(Manner::UntilNext, |bar, _| {
            let [open, high, low, close, volume] = values(bar);
            let tick = millis(bar);
            format!(
                r#"{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"chart.trades.SPY.1","data":{{"volume":{volume},"tick":{tick},"open":{open},"low":{low},"high":{high},"cost":460,"close":{close}}}}}}}"#
            )
        })],
        "bitmex" => vec![one(Manner::Complete, |bar, _| {
            let [open, high, low, close, volume] = values(bar);
            let end = end(bar);
            format!(
                r#"{{"table":"tradeBin1m","action":"insert","data":[{{"timestamp":"{end}","symbol":"SPY","open":{open},"high":{high},"low":{low},"close":{close},"trades":40,"volume":{volume},"vwap":{close}}}]}}"#
            )
        })],
        "databento" => vec![
            one(Manner::Complete, |bar, _| {
                let (open, high) = (fixed(bar.open), fixed(bar.high));
                let (low, close) = (fixed(bar.low), fixed(bar.close));
                let (ns, volume) = (bar.timestamp.nanos(), bar.volume);
                format!(
                    r#"{{"hd":{{"ts_event":"{ns}","rtype":33,"publisher_id":1,"instrument_id":5482}},"open":"{open}","high":"{high}","low":"{low}","close":"{close}","volume":"{volume}","symbol":"SPY"}}"#
                )
            }),
            Vendor {
                by_subject: true,
                ..one(Manner::Complete, |bar, _| {
                    let [open, high, low, close, volume] = values(bar);
                    let timestamp = bar.timestamp;
                    format!(
                        r#"{{"hd":{{"ts_event":"{timestamp}","rtype":33,"publisher_id":1,"instrument_id":5482}},"open":"{open:.9}","high":"{high:.9}","low":"{low:.9}","close":"{close:.9}","volume":"{volume}"}}"#
                    )
                })
            },
        ],
        "finnhub" => vec![],
        "gate" => vec![one(Manner::Flagged, |bar, complete| {
            let [open, high, low, close, volume] = values(bar);
            let t = seconds(bar);
            format!(
                r#"{{"time":{t},"time_ms":{t}376,"channel":"spot.candlesticks","event":"update","result":{{"t":"{t}","v":"2362.32","c":"{close}","h":"{high}","l":"{low}","o":"{open}","n":"1m_SPY","a":"{volume}","w":{complete}}}}}"#
            )
        })],
        "kucoin" => vec![one(Manner::UntilNext, |bar, _| {
            let [open, high, low, close, volume] = values(bar);
            let t = seconds(bar);
            format!(
                r#"{{"type":"message","topic":"/market/candles:SPY_1min","subject":"trade.candles.update","data":{{"symbol":"SPY","candles":["{t}","{open}","{close}","{high}","{low}","{volume}","268280.1"],"time":1589970010253893337}}}}"#
            )
        })],
        "cryptofeed" => vec![one(Manner::Flagged, |bar, complete| {
            let [open, high, low, close, volume] = values(bar);
            let t = seconds(bar);
            let stop = t + 59;
            format!(
                r#"{{"exchange":"BINANCE","symbol":"SPY","start":{t}.0,"stop":{stop}.999,"interval":"1m","trades":5,"open":{open},"close":{close},"high":{high},"low":{low},"volume":{volume},"closed":{complete},"timestamp":{stop}.519}}"#
            )
        })],
        "tardis" => vec![one(Manner::Complete, |bar, _| {
            let [open, high, low, close, volume] = values(bar);
            let timestamp = bar.timestamp;
            let end = end(bar);
            let first = timestamp.to_string().replace('Z', ".574Z");
            format!(
                r#"{{"type":"trade_bar","symbol":"SPY","exchange":"bitmex","name":"trade_bar_60000ms","interval":60000,"kind":"time","open":{open},"high":{high},"low":{low},"close":{close},"volume":{volume},"trades":9,"vwap":{close},"openTimestamp":"{first}","closeTimestamp":"{end}","localTimestamp":"{end}","timestamp":"{end}"}}"#
            )
        })],
        "twelvedata" => vec![Vendor {
            snapshot: Some(|bars| {
                let newest_first: Vec<Bar> = bars.iter().rev().copied().collect();
                let values = join(&newest_first, twelvedata);
                format!(
                    r#"{{"meta":{{"symbol":"SPY","interval":"1min","exchange_timezone":"America/New_York"}},"values":[{values}],"status":"ok"}}"#
                )
            }),
            ..one(Manner::UntilNext, |bar, _| {
                let value = twelvedata(bar);
                format!(
                    r#"{{"meta":{{"symbol":"SPY","interval":"1min","exchange_timezone":"America/New_York"}},"values":[{value}],"status":"ok"}}"#
                )
            })
        }],
        "ccxt" => vec![Vendor {
            by_subject: true,
            snapshot: Some(|bars| format!("[{}]", join(bars, row))),
            ..one(Manner::UntilNext, |bar, _| row(bar))
        }],
        other => panic!("say here how {other} sends bars, so that it can be tested"),
    }
}
