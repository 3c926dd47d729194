//! A refused bar of a vendor's envelope is put back as the vendor's message of this bar alone.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;

use technical_analysis_agent::market::Timestamp;

use super::{letters, letters_stored, redrive, signals};
use crate::common::NatsServer;
use crate::feeder::{connect, store};
use crate::history::signals_stored;
use crate::{ANALYSIS, MIN_BARS, agent};

const BARE: &str = "raw.market_data.price";
const BARS: i64 = 12;
const ANY_PRICE: (&str, &str) = ("TECHNICAL_PRICES", "any");

/// A bar of a spread, which is below zero.
struct Spread {
    /// Its open time in seconds.
    at: i64,
    /// Open, high, low, close.
    prices: [i64; 4],
    volume: i64,
}

impl Spread {
    /// The bars of a series with so many seconds between them.
    fn series(seconds: i64) -> Vec<Self> {
        let bar = |n: i64| {
            let open = n * n % 7 - 50;
            Self {
                at: 1_704_067_200 + n * seconds,
                prices: [open, open + 3, open - 4, open + n % 3],
                volume: 10 + n,
            }
        };
        (0..BARS).map(bar).collect()
    }

    /// The time so many seconds after its open time.
    fn text(&self, after: i64) -> String {
        let seconds = u64::try_from(self.at + after).unwrap();
        Timestamp::from_epoch(seconds).to_string()
    }

    fn row(&self) -> String {
        let [open, high, low, close] = self.prices;
        format!("{}000,{open},{high},{low},{close},{}", self.at, self.volume)
    }
}

fn join<'b>(bars: impl Iterator<Item = &'b Spread>, one: impl Fn(&Spread) -> String) -> String {
    bars.map(one).collect::<Vec<_>>().join(",")
}

/// A vendor's messages of the bars, all in one where the vendor sends arrays.
struct Vendor {
    symbol: &'static str,
    timeframe: &'static str,
    subject: &'static str,
    /// True if a bar is complete when the next one comes.
    until_next: bool,
    messages: Vec<String>,
}

#[allow(clippy::too_many_lines)] // a table
fn vendors() -> Vec<Vendor> {
    let minutes = Spread::series(60);
    let of_five = Spread::series(300);
    let vendor = |symbol, message: String| Vendor {
        symbol,
        timeframe: "1m",
        subject: BARE,
        until_next: false,
        messages: vec![message],
    };
    let until_next = |symbol, message| Vendor {
        until_next: true,
        ..vendor(symbol, message)
    };
    let bybit = join(minutes.iter(), |bar| {
        let ([o, h, l, c], v, t) = (bar.prices, bar.volume, bar.at);
        format!(
            r#"{{"start":{t}000,"interval":"1","open":"{o}","high":"{h}","low":"{l}","close":"{c}","volume":"{v}","confirm":true,"timestamp":{t}777}}"#
        )
    });
    let okx = join(minutes.iter(), |bar| {
        let ([o, h, l, c], v, t) = (bar.prices, bar.volume, bar.at);
        format!(r#"["{t}000","{o}","{h}","{l}","{c}","{v}","5","6","1"]"#)
    });
    let kraken = join(minutes.iter(), |bar| {
        let ([o, h, l, c], v) = (bar.prices, bar.volume);
        let (begin, end) = (bar.text(0), bar.text(60));
        format!(
            r#"{{"symbol":"KRAKEN","interval":1,"interval_begin":"{begin}","timestamp":"{end}","open":{o},"high":{h},"low":{l},"close":{c},"volume":{v}}}"#
        )
    });
    let coinbase = join(of_five.iter().rev(), |bar| {
        let ([o, h, l, c], v, t) = (bar.prices, bar.volume, bar.at);
        format!(
            r#"{{"start":"{t}","open":"{o}","high":"{h}","low":"{l}","close":"{c}","volume":"{v}","product_id":"COINBASE"}}"#
        )
    });
    let hyperliquid = join(minutes.iter(), |bar| {
        let ([o, h, l, c], v, t) = (bar.prices, bar.volume, bar.at);
        format!(
            r#"{{"t":{t}000,"s":"HYPER","i":"1m","o":"{o}","h":"{h}","l":"{l}","c":"{c}","v":"{v}","n":1}}"#
        )
    });
    let bitmex = join(minutes.iter(), |bar| {
        let ([o, h, l, c], v) = (bar.prices, bar.volume);
        let end = bar.text(60);
        format!(
            r#"{{"timestamp":"{end}","symbol":"BITMEX","open":{o},"high":{h},"low":{l},"close":{c},"volume":{v}}}"#
        )
    });
    let gate = join(minutes.iter(), |bar| {
        let ([o, h, l, c], v, t) = (bar.prices, bar.volume, bar.at);
        format!(
            r#"{{"t":"{t}","o":"{o}","h":"{h}","l":"{l}","c":"{c}","v":"9","a":"{v}","n":"1m_GATE","w":true}}"#
        )
    });
    let twelvedata = join(minutes.iter().rev(), |bar| {
        let ([o, h, l, c], v) = (bar.prices, bar.volume);
        // New York is five hours behind in January
        let at = bar.text(-5 * 3_600).replace('T', " ").replace('Z', "");
        format!(
            r#"{{"datetime":"{at}","open":"{o}","high":"{h}","low":"{l}","close":"{c}","volume":"{v}"}}"#
        )
    });
    let alpaca = join(minutes.iter(), |bar| {
        let ([o, h, l, c], v, at) = (bar.prices, bar.volume, bar.text(0));
        format!(r#"{{"T":"b","S":"ALPACA","o":{o},"h":{h},"l":{l},"c":{c},"v":{v},"t":"{at}"}}"#)
    });
    let massive = join(minutes.iter(), |bar| {
        let ([o, h, l, c], v, t) = (bar.prices, bar.volume, bar.at);
        format!(
            r#"{{"ev":"AM","sym":"MASSIVE","o":{o},"h":{h},"l":{l},"c":{c},"v":{v},"s":{t}000,"e":{t}999}}"#
        )
    });
    let rows = join(minutes.iter(), |bar| format!("[{}]", bar.row()));
    let klines = join(minutes.iter(), |bar| {
        let ([o, h, l, c], v, t) = (bar.prices, bar.volume, bar.at);
        format!(r#"[{t}000,"{o}","{h}","{l}","{c}","{v}",{t}999,"1",2,"3","4","0"]"#)
    });
    let deribit = minutes.iter().map(|bar| {
        let ([o, h, l, c], v, t) = (bar.prices, bar.volume, bar.at);
        format!(
            r#"{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"chart.trades.DERIBIT.1","data":{{"tick":{t}000,"open":{o},"high":{h},"low":{l},"close":{c},"volume":{v}}}}}}}"#
        )
    });
    let kucoin = minutes.iter().map(|bar| {
        let ([o, h, l, c], v, t) = (bar.prices, bar.volume, bar.at);
        format!(
            r#"{{"type":"message","topic":"/market/candles:KUCOIN_1min","subject":"trade.candles.update","data":{{"symbol":"KUCOIN","candles":["{t}","{o}","{c}","{h}","{l}","{v}","1"],"time":1}}}}"#
        )
    });
    vec![
        vendor(
            "BYBIT",
            format!(r#"{{"topic":"kline.1.BYBIT","data":[{bybit}],"ts":1,"type":"snapshot"}}"#),
        ),
        vendor(
            "OKX",
            format!(r#"{{"arg":{{"channel":"candle1m","instId":"OKX"}},"data":[{okx}]}}"#),
        ),
        until_next(
            "KRAKEN",
            format!(r#"{{"channel":"ohlc","type":"snapshot","data":[{kraken}]}}"#),
        ),
        Vendor {
            timeframe: "5m",
            ..until_next(
                "COINBASE",
                format!(
                    r#"{{"channel":"candles","sequence_num":0,"events":[{{"type":"snapshot","candles":[{coinbase}]}}]}}"#
                ),
            )
        },
        until_next(
            "HYPER",
            format!(r#"{{"channel":"candle","data":[{hyperliquid}]}}"#),
        ),
        vendor(
            "BITMEX",
            format!(r#"{{"table":"tradeBin1m","action":"partial","data":[{bitmex}]}}"#),
        ),
        vendor(
            "GATE",
            format!(
                r#"{{"time":1,"channel":"spot.candlesticks","event":"update","result":[{gate}]}}"#
            ),
        ),
        until_next(
            "TWELVE",
            format!(
                r#"{{"meta":{{"symbol":"TWELVE","interval":"1min","exchange_timezone":"America/New_York"}},"values":[{twelvedata}],"status":"ok"}}"#
            ),
        ),
        vendor("ALPACA", format!("[{alpaca}]")),
        vendor("MASSIVE", format!("[{massive}]")),
        Vendor {
            subject: "raw.market_data.price.CCXT.1m",
            ..until_next("CCXT", format!("[{rows}]"))
        },
        Vendor {
            subject: "raw.market_data.price.BINANCE.1m",
            ..until_next("BINANCE", format!("[{klines}]"))
        },
        Vendor {
            messages: deribit.collect(),
            ..until_next("DERIBIT", String::new())
        },
        Vendor {
            messages: kucoin.collect(),
            ..until_next("KUCOIN", String::new())
        },
    ]
}

/// The signals of the bars themselves.
fn expected(vendor: &Vendor) -> Vec<Vec<u8>> {
    let seconds = if vendor.timeframe == "5m" { 300 } else { 60 };
    let mut lines = String::new();
    for bar in Spread::series(seconds) {
        let ([o, h, l, c], v, at) = (bar.prices, bar.volume, bar.text(0));
        let (symbol, timeframe) = (vendor.symbol, vendor.timeframe);
        writeln!(
            lines,
            r#"{{"symbol":"{symbol}","timeframe":"{timeframe}","timestamp":"{at}","open":{o},"high":{h},"low":{l},"close":{c},"volume":{v}}}"#
        )
        .unwrap();
    }
    let mut file = tempfile::Builder::new()
        .suffix(".jsonl")
        .tempfile()
        .unwrap();
    file.write_all(lines.as_bytes()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"))
        .arg("replay")
        .arg(file.path())
        .env_clear()
        .envs(ANALYSIS.iter().copied().chain([ANY_PRICE]))
        .output()
        .unwrap();
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let mut signals: Vec<Vec<u8>> = lines
        .filter(|line| !line.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    assert_eq!(signals.len(), usize::try_from(BARS).unwrap() + 1 - MIN_BARS);
    if vendor.until_next {
        signals.pop();
    }
    signals
}

#[tokio::test(flavor = "multi_thread")]
async fn bars_of_every_envelope_go_back_and_give_the_signals_of_the_bars() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut strict = agent(&server, &[]);
    strict.wait_ready();
    let vendors = vendors();
    for vendor in &vendors {
        for (n, message) in vendor.messages.iter().enumerate() {
            store(
                &js,
                vendor.subject,
                message,
                &format!("{}-{n}", vendor.symbol),
            )
            .await;
        }
    }
    let count = vendors.len() * usize::try_from(BARS).unwrap();
    letters_stored(&js, count).await;
    let refused = letters(&js).await;
    assert_eq!(refused.len(), count, "a letter for each bar");
    for letter in &refused {
        assert_eq!(letter.header("Ta-Reason").as_deref(), Some("bad_price"));
    }
    strict.sigterm();
    assert_eq!(strict.wait_exit(), 0);
    assert_eq!(signals(&js).await.len(), 0);

    let mut open = agent(&server, &[ANY_PRICE]);
    open.wait_ready();
    let run = redrive(&server.url(), "");
    let all = [count as u64, 0, 0, 0, 0];
    assert_eq!((run.code, run.counts()), (0, all), "{}", run.all);
    let due: Vec<Vec<Vec<u8>>> = vendors.iter().map(expected).collect();
    let stored = signals_stored(&js, due.iter().map(Vec::len).sum()).await;
    for (vendor, due) in vendors.iter().zip(due) {
        let (symbol, timeframe) = (vendor.symbol, vendor.timeframe);
        let subject = format!("insight.technical.{symbol}.{timeframe}");
        let found: Vec<&[u8]> = stored
            .iter()
            .filter(|signal| signal.subject == subject)
            .map(|signal| &*signal.payload)
            .collect();
        assert_eq!(found, due, "{symbol}");
    }
    let again = letters(&js).await;
    assert_eq!(
        again.len(),
        0,
        "{:?}",
        again.first().map(|letter| &letter.headers)
    );
}
