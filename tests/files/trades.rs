//! Bars that `replay` builds from trades, against an oracle: see `tests/data/aggregate/README.md`.

use std::fs;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{replay, said};

/// Open time, prices and volume, trades, average price.
type Row = (String, f64, f64, f64, f64, f64, u64, f64);

#[derive(Deserialize)]
struct Oracle {
    trades: Vec<(u64, String, String, u64)>,
    #[serde(rename = "1m")]
    minutes: Vec<Row>,
    #[serde(rename = "5m")]
    fives: Vec<Row>,
}

const TRADES: (&str, &str) = ("TECHNICAL_TRADES", "1m");

fn oracle() -> Oracle {
    serde_json::from_str(include_str!("../data/aggregate/trades.json")).unwrap()
}

/// The signals of one timeframe in the form of the oracle, without the average price.
fn rows(stdout: &[u8], timeframe: &str) -> Vec<(String, [f64; 5], u64)> {
    let signals = std::str::from_utf8(stdout).unwrap().lines();
    let signals = signals.map(|line| serde_json::from_str::<Value>(line).unwrap());
    signals
        .filter(|signal| signal["timeframe"] == timeframe)
        .map(|signal| {
            assert!(signal["parts_expected"].is_null());
            let values = ["open", "high", "low", "close", "volume"];
            let values = values.map(|key| signal[key].as_f64().unwrap());
            let at = signal["timestamp"].as_str().unwrap().to_owned();
            (at, values, signal["parts"].as_u64().unwrap())
        })
        .collect()
}

#[test]
fn bars_of_trades_in_a_file_are_those_of_the_oracle() {
    let oracle = oracle();
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<String> = oracle
        .trades
        .iter()
        .map(|(at, price, size, id)| {
            json!({"symbol": "BTCUSDT", "price": price, "size": size, "timestamp": at, "id": id})
                .to_string()
        })
        .collect();
    let path = folder.path().join("trades.jsonl");
    fs::write(&path, lines.join("\n")).unwrap();
    let path = path.to_str().unwrap();
    let found = replay(&[path, "--timeframes", "5m"], &[TRADES]);
    assert_eq!(found.status.code(), Some(0), "{}", said(&found));
    for (name, expected) in [("1m", &oracle.minutes), ("5m", &oracle.fives)] {
        let expected: Vec<_> = expected
            .iter()
            .map(|(at, o, h, l, c, v, trades, _)| (at.clone(), [*o, *h, *l, *c, *v], *trades))
            .collect();
        assert_eq!(rows(&found.stdout, name), expected, "{name}");
    }
    let told = said(&found);
    let bars = oracle.minutes.len() + oracle.fives.len();
    assert!(
        told.contains("0 bars,") && told.contains(&format!("1200 trades, {bars} derived")),
        "{told}"
    );
    // five minutes from trades at once are the same bytes
    let five = ("TECHNICAL_TRADES", "5m");
    let direct = replay(&[path], &[five]);
    let of_five = |stdout: &[u8]| -> Vec<String> {
        let lines = std::str::from_utf8(stdout).unwrap().lines();
        lines
            .filter(|line| line.contains(r#""5m""#))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(of_five(&direct.stdout), of_five(&found.stdout));
    // without the setting they are refused, as ever
    let refused = replay(&[path], &[]);
    assert_eq!(refused.status.code(), Some(65));
    assert!(said(&refused).contains("trade 1200"), "{}", said(&refused));
}

/// A table of the oracle's trades, a row of each.
fn table(
    oracle: &Oracle,
    header: &str,
    row: impl Fn(&(u64, String, String, u64)) -> String,
) -> String {
    let mut lines = vec![header.to_owned()];
    lines.retain(|header| !header.is_empty());
    lines.extend(oracle.trades.iter().map(row));
    lines.join("\n")
}

#[test]
fn tables_of_trades_are_read_as_venues_write_them() {
    let mut oracle = oracle();
    let folder = tempfile::tempdir().unwrap();
    let signals = |name: &str, text: &str, options: &[&str]| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        let arguments = [
            &[path, "--timeframes", "5m", "--symbol", "BTCUSDT"],
            options,
        ]
        .concat();
        let found = replay(&arguments, &[TRADES]);
        let told = said(&found);
        assert_eq!(found.status.code(), Some(0), "{name}: {told}");
        assert!(told.contains("1200 trades"), "{name}: {told}");
        assert!(
            !told.contains("timeframe is") && !told.contains("back in time"),
            "{name}: {told}"
        );
        [rows(&found.stdout, "1m"), rows(&found.stdout, "5m")]
    };
    let expected = [&oracle.minutes, &oracle.fives].map(|rows| {
        let row =
            |(at, o, h, l, c, v, trades, _): &Row| (at.clone(), [*o, *h, *l, *c, *v], *trades);
        rows.iter().map(row).collect::<Vec<_>>()
    });
    let generic = table(
        &oracle,
        "symbol,timestamp,price,size,trade_id",
        |(at, p, s, id)| format!("BTCUSDT,{at},{p},{s},{id}"),
    );
    assert_eq!(signals("generic.csv", &generic, &[]), expected);
    // Binance: aggTrades and trades of the spot market, aggTrades of futures
    let text = table(&oracle, "", |(at, p, s, id)| {
        format!("{id},{p},{s},7,8,{at},true,true")
    });
    let binance = ["--preset", "binance"];
    assert_eq!(signals("aggTrades.csv", &text, &binance), expected);
    let text = table(&oracle, "", |(at, p, s, id)| {
        format!("{id},{p},{s},9.5,{at},true,true")
    });
    assert_eq!(signals("trades.csv", &text, &binance), expected);
    let header =
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker";
    let text = table(&oracle, header, |(at, p, s, id)| {
        format!("{id},{p},{s},7,8,{at},true")
    });
    assert_eq!(signals("futures.csv", &text, &[]), expected);
    // columns that are named by hand
    let text = table(&oracle, "", |(at, p, s, id)| format!("{p};{s};x;{id};{at}"));
    let columns = ["--columns", "price,size,-,trade_id,time"];
    assert_eq!(signals("columns.csv", &text, &columns), expected);
    // Kraken has no ids: trades of one time stand in the order of the file
    oracle.trades.sort_by_key(|(at, _, _, id)| (*at, *id));
    let text = table(&oracle, "", |(at, p, s, _)| {
        format!("{}.{:03},{p},{s}", at / 1_000, at % 1_000)
    });
    assert_eq!(
        signals("kraken.csv", &text, &["--preset", "kraken"]),
        expected
    );
    // with the newest trade first
    oracle.trades.reverse();
    let text = table(&oracle, "time,id,side,price,amount", |(at, p, s, id)| {
        format!("{at},{id},buy,{p},{s}")
    });
    assert_eq!(signals("newest_first.csv", &text, &[]), expected);
}

#[test]
fn settings_that_cannot_be_are_told() {
    for (variables, expected) in [
        (
            &[("TECHNICAL_TRADES", "7m")][..],
            "`7m` bars cannot be built",
        ),
        (&[("TECHNICAL_TRADES", "1w")], "`1w` bars cannot be built"),
        (
            &[
                ("TECHNICAL_TRADES", "1s"),
                ("TECHNICAL_LATENESS_SECS", "65"),
            ],
            "trades may be late by the length of 64 bars at most",
        ),
        (
            &[TRADES, ("TECHNICAL_TRADE_CONDITIONS", "some")],
            "must be one of none, sip",
        ),
    ] {
        let output = replay(&["none.jsonl"], variables);
        assert_eq!(output.status.code(), Some(78), "{}", said(&output));
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
}
