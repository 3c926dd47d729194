//! The program itself over files of messages.

use std::io::Write as _;
use std::process::{Command, Output};

use serde_json::Value;
use technical_analysis_agent::market::{Bar, Timeframe};

use crate::bars;
use crate::vendors::{Manner, values, vendors};

fn replay(lines: &[String], settings: &[(&str, &str)]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("messages.jsonl");
    let mut file = std::fs::File::create(&path).unwrap();
    for line in lines {
        writeln!(file, "{line}").unwrap();
    }
    drop(file);
    let mut command = Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"));
    command.arg("replay").arg(&path).current_dir(dir.path());
    command.env_clear().envs(settings.iter().copied());
    command.output().unwrap()
}

fn signals(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let complete = |line: &&str| {
        let signal: Value = serde_json::from_str(line).unwrap();
        signal["final"] == true
    };
    text.lines().filter(complete).map(str::to_owned).collect()
}

fn clean(bars: &[Bar]) -> Vec<String> {
    let line = |bar: &Bar| {
        let [open, high, low, close, volume] = values(bar);
        let timestamp = bar.timestamp;
        format!(
            r#"{{"symbol":"SPY","timeframe":"1m","timestamp":"{timestamp}","open":{open},"high":{high},"low":{low},"close":{close},"volume":{volume}}}"#
        )
    };
    bars.iter().map(line).collect()
}

/// The bar after its first trade.
fn begun(bar: &Bar) -> Bar {
    Bar {
        high: bar.open,
        low: bar.open,
        close: bar.open,
        volume: 1.0,
        ..*bar
    }
}

#[test]
fn replay_of_a_vendors_messages_prints_the_signals_of_the_bars() {
    let bars = bars(Timeframe::MINUTE, 80);
    let expected = signals(&replay(&clean(&bars), &[]));
    assert_eq!(expected.len(), 31);
    for dialect in ["binance", "kraken", "bybit"] {
        let vendor = &vendors(dialect)[0];
        let mut lines = Vec::new();
        for bar in &bars {
            let begun = begun(bar);
            lines.push((vendor.message)(&begun, false));
            lines.push((vendor.message)(bar, vendor.manner == Manner::Flagged));
        }
        let due = match vendor.manner {
            Manner::UntilNext => &expected[..30],
            Manner::Flagged | Manner::Complete => &expected,
        };
        for settings in [vec![], vec![("TECHNICAL_DIALECT", dialect)]] {
            let output = replay(&lines, &settings);
            assert_eq!(signals(&output), due, "{dialect}");
            let told = String::from_utf8(output.stderr).unwrap();
            assert!(told.contains("0 refused"), "{told}");
        }
    }
}

#[test]
fn messages_without_a_flag_are_read_by_the_setting() {
    let bars = bars(Timeframe::MINUTE, 60);
    let expected = signals(&replay(&clean(&bars), &[]));
    let mut lines = Vec::new();
    for bar in &bars {
        let begun = begun(bar);
        lines.extend(clean(&[begun, *bar]));
    }
    let by_next = replay(&lines, &[("TECHNICAL_FINAL", "next")]);
    assert_eq!(signals(&by_next), expected[..10]);
    let told = String::from_utf8(by_next.stderr).unwrap();
    assert!(told.contains("0 corrections"), "{told}");
}

#[test]
fn other_messages_are_counted_and_an_unknown_one_is_told_from_its_nearest_dialect() {
    let lines = [
        r#"{"channel":"heartbeat"}"#,
        r#"{"e":"depthUpdate","E":1672515782136,"s":"BNBBTC","U":157,"u":160,"b":[],"a":[]}"#,
        r#"{"channel":"ohlcv","data":[{"interval_begin":"x","interval":1,"symbol":"A"}]}"#,
    ]
    .map(str::to_owned);
    let output = replay(&lines, &[]);
    let told = String::from_utf8(output.stderr).unwrap();
    for text in [
        "2 ignored (heartbeat 1, order_book 1)",
        "unknown_shape",
        "kraken",
    ] {
        assert!(told.contains(text), "{text}: {told}");
    }
    assert!(output.stdout.is_empty());
}
