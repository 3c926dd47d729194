//! Core delivery: histories that are taken in while live bars keep coming and members come and go.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::churn::{SETTINGS, SYMBOLS, assert_kept};
use crate::common::{Agent, flat, replay};
use crate::group::shared;
use crate::listening;

/// 2024-01-01T00:00:00Z
const DAY_ONE: i64 = 1_704_067_200;

fn close_of(minute: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let close = 10.0 + (minute * 7 % 13) as f64;
    close
}

fn history(symbol: usize, id: u64, rest: &Value) -> Value {
    let mut message =
        json!({ "symbol": format!("R{symbol}"), "timeframe": "1m", "id": format!("h{id}") });
    let fields = message.as_object_mut().unwrap();
    fields.extend(rest.as_object().unwrap().clone());
    json!({ "history": message })
}

fn rows(minutes: std::ops::Range<u64>) -> Value {
    let row = |minute: u64| {
        let at = DAY_ONE + 60 * i64::try_from(minute).unwrap();
        let at = technical_analysis_agent::market::Timestamp::from_nanos(at * 1_000_000_000);
        let close = close_of(minute);
        json!([at.to_string(), close, close, close, close, 100])
    };
    minutes.map(row).collect()
}

/// A live bar. In one of twenty rounds a series also gets the first part of a history older than all
/// of its bars, four rounds later the second part, and eight rounds later the end.
fn bar_and_history(round: u64, symbol: usize) -> Vec<Value> {
    let turn = round + symbol as u64;
    let (id, step) = (turn / 20, turn % 20);
    let begin = 100_000 - 50 * (id + 1);
    let message = match step {
        0 => Some(json!({ "part": 0, "bars": rows(begin..begin + 20) })),
        // every third history lacks a part
        4 if id % 3 != 2 => Some(json!({ "part": 1, "bars": rows(begin + 20..begin + 40) })),
        8 => Some(json!({ "parts": 2 })),
        _ => None,
    };
    let minute = 100_000 + round;
    let live = flat(&format!("R{symbol}"), minute, close_of(minute));
    let history = message.map(|message| history(symbol, id, &message));
    history.into_iter().chain([live]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_cost_and_double_nothing_while_members_come_and_go() {
    let restated = assert_kept(bar_and_history, 25).await;
    assert!(restated > SYMBOLS, "{restated} series were rebuilt");
}

/// The bars of a file of daily bars.
const AAPL: &str = include_str!("../data/bars/aapl_1d.csv");
const PAGE: &str = include_str!("../../docs/backfill.md");

/// Indented lines of the page that begin with this word.
fn printed<'a>(word: &str) -> Vec<&'a str> {
    let lines = PAGE.lines().filter_map(|line| line.strip_prefix("    "));
    lines.filter(|line| line.starts_with(word)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_is_fed_as_the_page_says_and_the_page_shows_what_is_said() {
    let (server, client, signals) = listening().await;
    let _members = shared(&server, ["eu-1", "eu-2"]).await;
    let rows: Vec<&str> = AAPL.lines().skip(1).collect();
    let live = |row: &str| {
        let cells: Vec<&str> = row.split(',').collect();
        let number = |at: usize| cells[at].parse::<f64>().unwrap();
        json!({
            "symbol": "AAPL", "timeframe": "1d", "timestamp": cells[0], "open": number(1), "high": number(2),
            "low": number(3), "close": number(4), "volume": number(5),
        })
    };
    for row in &rows[484..494] {
        crate::common::send(&client, &live(row)).await;
    }
    signals.wait_for(10).await;
    let home = tempfile::tempdir().unwrap();
    // the newest first, as in many downloads
    let mut file = format!("{}\n", AAPL.lines().next().unwrap());
    for row in rows[..490].iter().rev() {
        writeln!(file, "{row}").unwrap();
    }
    std::fs::write(home.path().join("history.csv"), file).unwrap();
    let command = printed("technical-analysis-agent feed history.csv --history");
    assert_eq!(command.len(), 1, "{command:?}");
    let line: Vec<&str> = command[0].split(' ').skip(1).collect();
    let path = home.path().join("history.csv");
    let line: Vec<&str> = line
        .iter()
        .map(|word| {
            if *word == "history.csv" {
                path.to_str().unwrap()
            } else {
                word
            }
        })
        .collect();
    let url = server.url();
    let mut feed = Agent::start_with(&line, [("NATS_URL", url.as_str())]);
    assert_eq!(feed.wait_exit(), 0, "{}", feed.output());
    let said = feed.output();
    let account = PAGE
        .lines()
        .find(|line| line.starts_with("by asking the agents (eu-1, eu-2): 484 bars"));
    assert!(said.contains(account.expect("the page shows it")), "{said}");

    let newest = signals.wait_for(11).await[10].json();
    assert_eq!(newest["timestamp"], live(rows[493])["timestamp"]);
    assert_eq!(newest["revision"], 1);
    for row in &rows[494..] {
        crate::common::send(&client, &live(row)).await;
    }
    let due: Vec<String> = rows.iter().map(|row| live(row).to_string()).collect();
    let due = replay(&due, &SETTINGS);
    let more = rows.len() - 494;
    let came = signals.wait_for(11 + more).await;
    for (came, due) in came[11..].iter().zip(&due[494..]) {
        assert_eq!(std::str::from_utf8(&came.payload).unwrap(), due);
    }
    // a history that begins after the oldest bar adds nothing to the series
    std::fs::write(&path, [AAPL.lines().next().unwrap(), rows[300]].join("\n")).unwrap();
    let mut feed = Agent::start_with(&line, [("NATS_URL", url.as_str())]);
    assert_eq!(feed.wait_exit(), 65, "{}", feed.output());
    let said = feed.output();
    assert!(
        said.contains("1 history") && said.contains("feed a history that"),
        "{said}"
    );
}
