//! The main path: real bars in, the signals of `replay` out.

use std::collections::BTreeSet;
use std::path::Path;

use async_nats::HeaderMap;

use crate::common::{
    Agent, NatsServer, assert_nothing_twice, assert_same, bars, collect_signals, publish,
    publish_with, replay_files, settled,
};
use crate::{INDICATORS, client};

const FILES: [&str; 9] = [
    "aapl_1d.csv",
    "eurusd_15m.csv",
    "eurusd_30m.csv",
    "fb_1d.csv",
    "goog_1d.csv",
    "ibm_1d.csv",
    "msft_1d.csv",
    "spy_1d.csv",
    "spy_1m.csv",
];
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_of_real_bars_are_byte_for_byte_those_of_replay() {
    let server = NatsServer::plain();
    let url = server.url();
    let mut agent = Agent::start([
        ("NATS_URL", url.as_str()),
        ("TECHNICAL_AGENT_NAME", "one"),
        ("TECHNICAL_GROUP", "desk 7"),
        ("TECHNICAL_INDICATORS", INDICATORS),
    ]);
    agent.wait_ready();
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;

    // the files at once, as several series come in life
    let files: Vec<_> = FILES.iter().map(|file| bars(file)).collect();
    let longest = files.iter().map(Vec::len).max().unwrap();
    let mut due = 0;
    let mut traced = 0;
    for row in 0..longest {
        for bar in files.iter().filter_map(|file| file.get(row)) {
            let (symbol, timeframe) = (bar["symbol"].as_str(), bar["timeframe"].as_str());
            let (symbol, timeframe) = (symbol.unwrap(), timeframe.unwrap());
            let mut headers = HeaderMap::new();
            if row == 60 {
                headers.insert("traceparent", TRACE);
                traced += 1;
            }
            // the symbol may be told in the subject or in the payload alone
            let subject = match row % 3 {
                0 => format!("raw.market_data.price.{symbol}.{timeframe}"),
                _ => format!("raw.market_data.price.{symbol}"),
            };
            publish_with(&client, &subject, headers, &bar.to_string()).await;
            // the default of TECHNICAL_MIN_BARS_REQUIRED is 50
            due += usize::from(row >= 49);
        }
    }
    let came = settled(&signals, due).await;

    let paths = FILES.map(|file| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data/bars")
            .join(file)
    });
    let paths: Vec<&Path> = paths.iter().map(AsRef::as_ref).collect();
    let expected = replay_files(&paths, &[("TECHNICAL_INDICATORS", INDICATORS)]);
    assert_eq!(expected.len(), due);
    assert_same(&came, &expected);

    assert_nothing_twice(&came);
    let mut carried = 0;
    for signal in &came {
        let json = signal.json();
        let text = |name: &str| json[name].as_str().unwrap().to_owned();
        let (symbol, timeframe) = (text("symbol"), text("timeframe"));
        assert_eq!(
            signal.subject.as_str(),
            format!("insight.technical.{symbol}.{timeframe}")
        );
        let id = signal.header("Nats-Msg-Id").unwrap();
        assert!(
            id.starts_with(&format!("desk%207.{symbol}.{timeframe}.")),
            "{id}"
        );
        assert_eq!(signal.header("Ta-Agent"), Some("one"));
        assert_eq!(signal.header("Ta-Group"), Some("desk 7"));
        assert_eq!(signal.header("Ta-Version"), Some(env!("CARGO_PKG_VERSION")));
        let latency = signal.header("Ta-Latency-Us").unwrap();
        latency.parse::<u64>().unwrap();
        assert_eq!(json["final"], true);
        assert_eq!(json["revision"], 0);
        carried += usize::from(signal.header("traceparent") == Some(TRACE));
    }
    assert_eq!(carried, traced);
    // parameters in shortest form, whatever is configured and nothing else
    let last = came.last().unwrap().json();
    let keys: BTreeSet<&str> = last["indicators"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let named = [
        "adx_14",
        "atr_14",
        "obv",
        "sar_0.02_0.2",
        "stoch_14_3_3",
        "supertrend_10_3",
        "vwap_00:00",
    ];
    assert_eq!(keys, BTreeSet::from(named));
    assert!(last["indicators"]["atr_14"].is_f64());
    assert!(last["indicators"]["stoch_14_3_3"]["d"].is_f64());

    let sent: usize = files.iter().map(Vec::len).sum();
    agent.wait_metrics(&[
        ("technical_bars_received_total", sent as f64),
        ("technical_bars_owned_total", sent as f64),
        ("technical_signals_published_total", due as f64),
        ("technical_series", 9.0),
        ("technical_bars_rejected_total", 0.0),
    ]);

    // what was said stays true: the agent is told to stop and does
    agent.sigterm();
    assert_eq!(agent.wait_exit(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_subjects_are_those_of_the_configuration_with_symbols_escaped() {
    let server = NatsServer::plain();
    let further = [
        ("TECHNICAL_SUBJECTS", "md.bars.>,other"),
        ("TECHNICAL_PUBLISH_SUBJECT", "out.{timeframe}.{symbol}"),
        ("TECHNICAL_DEFAULT_TIMEFRAME", "5m"),
    ];
    let _agent = crate::ready_agent(&server, "one", &further);
    let client = client(&server).await;
    let all = collect_signals(&client, "out.>").await;
    let bar = |symbol: &str| {
        format!(
            r#"{{"s":"{symbol}","t":1704067200,"o":"12.50","h":"12.50","l":"12.50","price":"12.50"}}"#
        )
    };
    let nameless = r#"{"t":1704067200,"o":7,"h":7,"l":7,"c":7}"#;
    publish(&client, "md.bars.BRK%2EB", nameless).await;
    publish(&client, "md.bars.BTC%2FUSDT.1h", &bar("BTC/USDT")).await;
    publish(&client, "other", &bar("A")).await;
    publish(&client, "raw.market_data.price", &bar("B")).await;
    let came = settled(&all, 3).await;
    let told: BTreeSet<(String, String)> = came
        .iter()
        .map(|m| {
            let symbol = m.json()["symbol"].as_str().unwrap().to_owned();
            (m.subject.to_string(), symbol)
        })
        .collect();
    let expected = [
        ("out.5m.BRK%2EB", "BRK.B"),
        ("out.1h.BTC%2FUSDT", "BTC/USDT"),
        ("out.5m.A", "A"),
    ];
    assert_eq!(
        told,
        expected
            .map(|(subject, symbol)| (subject.to_owned(), symbol.to_owned()))
            .into()
    );
}
