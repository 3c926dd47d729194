//! Larger bars that `replay` derives, against an oracle: see `tests/data/aggregate/README.md`.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde_json::Value;

use super::{replay, said};

/// Open time, prices and volume, parts.
type Row = (String, f64, f64, f64, f64, f64, u64);

const SPY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bars/spy_1m.csv");

#[derive(serde::Deserialize)]
struct Oracle {
    bars: BTreeMap<String, Vec<Row>>,
    /// Number of the last of them that are still open when the minutes end.
    open_at_end: BTreeMap<String, usize>,
}

fn oracle() -> Oracle {
    serde_json::from_str(include_str!("../data/aggregate/spy.json")).unwrap()
}

/// The signals of one timeframe, as rows.
fn rows(stdout: &[u8], timeframe: &str) -> Vec<Row> {
    let signals = std::str::from_utf8(stdout).unwrap().lines();
    let signals = signals.map(|line| serde_json::from_str::<Value>(line).unwrap());
    signals
        .filter(|signal| signal["timeframe"] == timeframe)
        .map(|signal| {
            let number = |key: &str| signal[key].as_f64().unwrap();
            (
                signal["timestamp"].as_str().unwrap().to_owned(),
                number("open"),
                number("high"),
                number("low"),
                number("close"),
                number("volume"),
                signal["parts"].as_u64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn derived_bars_of_a_real_market_are_those_of_the_oracle() {
    let Oracle {
        bars: expected,
        open_at_end,
    } = oracle();
    let utc = replay(&[SPY, "--timeframes", "5m,1h,1d"], &[]);
    assert_eq!(utc.status.code(), Some(0), "{}", said(&utc));
    for name in ["5m", "1h", "1d"] {
        assert_eq!(rows(&utc.stdout, name), expected[name], "{name}");
    }
    let derived: usize = ["5m", "1h", "1d"]
        .iter()
        .map(|name| expected[*name].len())
        .sum();
    assert!(
        said(&utc).contains(&format!(", {derived} derived")),
        "{}",
        said(&utc)
    );
    let calendar = ("TECHNICAL_CALENDAR", "America/New_York");
    let new_york = replay(&[SPY, "--timeframes", "1d"], &[calendar]);
    assert_eq!(rows(&new_york.stdout, "1d"), expected["1d New York"]);
    // an agent that waits for more bars has not closed the last ones
    let open = replay(&[SPY, "--timeframes", "5m,1h,1d", "--leave-open"], &[]);
    for name in ["5m", "1h", "1d"] {
        let closed = expected[name].len() - open_at_end[name];
        assert_eq!(rows(&open.stdout, name), expected[name][..closed], "{name}");
    }
    assert_eq!(open_at_end["1d"], 1);
}

#[test]
fn a_line_may_be_a_time_mark() {
    let mut file = tempfile::Builder::new()
        .suffix(".jsonl")
        .tempfile()
        .unwrap();
    let bar = |symbol: &str, minute: u32| {
        format!(
            r#"{{"symbol":"{symbol}","timeframe":"1m","timestamp":"2024-01-02T10:{minute:02}:00Z","open":1,"high":99,"low":1,"close":1{minute},"volume":1}}"#
        )
    };
    let mark = |time: &str| format!(r#"{{"mark":"2024-01-02T{time}Z"}}"#);
    let lines = [
        bar("A", 0),
        bar("B", 1),
        bar("A", 1),
        mark("10:05:04"),
        mark("10:05:05"),
        bar("A", 6),
        mark("soon"),
        // a time in the future
        r#"{"mark":"2199-01-01T00:00:00Z"}"#.to_owned(),
    ];
    for line in lines {
        writeln!(file, "{line}").unwrap();
    }
    file.flush().unwrap();
    let path = file.path().to_str().unwrap();
    let arguments = [path, "--timeframes", "5m", "--leave-open"];
    let output = replay(&arguments, &[("TECHNICAL_MIN_BARS_REQUIRED", "1")]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains(", 2 marks"), "{said}");
    assert!(
        said.contains("2 refused (bad_timestamp 1, future 1)"),
        "{said}"
    );
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let signals: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let all: Vec<String> = signals
        .iter()
        .map(|one| format!("{} {} {}", one["symbol"], one["timeframe"], one["close"]))
        .map(|one| one.replace('"', ""))
        .collect();
    assert_eq!(
        all,
        [
            "A 1m 10.0",
            "B 1m 11.0",
            "A 1m 11.0",
            "A 5m 11.0",
            "A 1m 16.0"
        ]
    );
    assert_eq!(signals[3]["parts"], 2);
}

#[test]
fn the_option_and_the_variable_give_the_same_bytes() {
    let by_option = replay(&[SPY, "--timeframes", "1h,15m"], &[]);
    let by_variable = replay(&[SPY], &[("TECHNICAL_TIMEFRAMES", "15m,1h")]);
    assert_eq!(by_option.stdout, by_variable.stdout);
    let over = replay(
        &[SPY, "--timeframes", "1h,15m"],
        &[("TECHNICAL_TIMEFRAMES", "5m")],
    );
    assert_eq!(over.stdout, by_option.stdout);
    // the minutes say what they say without any
    let plain = replay(&[SPY], &[]);
    let of_minutes = |stdout: &[u8]| -> Vec<String> {
        let text = std::str::from_utf8(stdout).unwrap();
        let minutes = text
            .lines()
            .filter(|line| line.contains(r#""timeframe":"1m""#));
        minutes.map(str::to_owned).collect()
    };
    assert_eq!(of_minutes(&by_option.stdout), of_minutes(&plain.stdout));
    assert!(
        !std::str::from_utf8(&plain.stdout)
            .unwrap()
            .contains("parts")
    );
}

#[test]
fn what_cannot_be_derived_is_named() {
    let output = replay(&[SPY, "--timeframes", "5m,7m"], &[]);
    assert_eq!(output.status.code(), Some(64));
    assert!(
        said(&output).contains("`7m` cannot be derived"),
        "{}",
        said(&output)
    );
    let output = replay(&[SPY], &[("TECHNICAL_TIMEFRAMES", "1h,2d")]);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        said(&output).contains("TECHNICAL_TIMEFRAMES"),
        "{}",
        said(&output)
    );
    assert!(
        said(&output).contains("`2d` cannot be derived"),
        "{}",
        said(&output)
    );
    let days = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bars/spy_1d.csv");
    let calendar = ("TECHNICAL_CALENDAR", "America/New_York");
    let output = replay(&[days, "--timeframes", "1w"], &[calendar]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        said(&output).contains("TECHNICAL_CALENDAR"),
        "{}",
        said(&output)
    );
    assert_eq!(rows(&output.stdout, "1w"), []);
    let output = replay(&[days, "--timeframes", "1w"], &[]);
    assert!(rows(&output.stdout, "1w").len() > 100);
}

/// A row of the oracle of sessions: [`Row`] and the parts expected.
type SessionRow = (String, f64, f64, f64, f64, f64, u64, u64);

#[test]
fn bars_of_a_session_are_those_of_the_oracle() {
    #[derive(serde::Deserialize)]
    struct Sessions {
        spy: BTreeMap<String, Vec<SessionRow>>,
    }
    let Sessions { spy } =
        serde_json::from_str(include_str!("../data/aggregate/sessions.json")).unwrap();
    let minutes = std::fs::read_to_string(SPY).unwrap();
    let mut file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    // a trade before the market opens and one long after it has closed, every day
    for line in minutes.lines() {
        let (date, early) = line.split_at(10.min(line.len()));
        if early.starts_with("T14:30:00Z") {
            writeln!(file, "{date}T14:29:00Z,1,999,1,999,77,SPY,1m").unwrap();
        }
        writeln!(file, "{line}").unwrap();
        if early.starts_with("T21:00:00Z") {
            writeln!(file, "{date}T21:05:00Z,1,999,1,999,77,SPY,1m").unwrap();
        }
    }
    file.flush().unwrap();
    let path = file.path().to_str().unwrap();
    let session = [("TECHNICAL_SESSION", "09:30-16:00 America/New_York")];
    let arguments = ["--timeframes", "5m,1h,1d"];
    for path in [SPY, path] {
        let output = replay(&[&[path][..], &arguments].concat(), &session);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(!said(&output).contains("reach across"), "{}", said(&output));
        for (name, expected) in &spy {
            let short: Vec<Row> = expected
                .iter()
                .map(|row| (row.0.clone(), row.1, row.2, row.3, row.4, row.5, row.6))
                .collect();
            assert_eq!(rows(&output.stdout, name), short, "{name}");
            let signals = std::str::from_utf8(&output.stdout).unwrap().lines();
            let of: Vec<Value> = signals
                .map(|line| serde_json::from_str(line).unwrap())
                .filter(|signal: &Value| signal["timeframe"] == **name)
                .collect();
            for (signal, row) in of.iter().zip(expected) {
                assert_eq!(signal["parts_expected"], row.7, "{signal}");
                // no bar is missing overnight
                assert_eq!(signal["gap_bars"], 0, "{signal}");
            }
        }
    }
    let day = &spy["1d"][0];
    assert_eq!((day.6, day.7), (391, 390));
    // the closing auction closes the last bars of the day, together and the smaller first
    let output = replay(&[&[SPY][..], &arguments].concat(), &session);
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let order: Vec<(String, String)> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|signal| {
            let field = |key: &str| signal[key].as_str().unwrap().to_owned();
            (field("timeframe"), field("timestamp"))
        })
        .collect();
    let auction = ("1m".to_owned(), "2020-12-16T21:00:00Z".to_owned());
    let at = order.iter().position(|one| *one == auction).unwrap();
    let after = |name: &str, time: &str| (name.to_owned(), format!("2020-12-16T{time}Z"));
    assert_eq!(
        order[at + 1..at + 4],
        [
            after("5m", "20:55:00"),
            after("1h", "20:30:00"),
            after("1d", "00:00:00"),
        ]
    );
}
