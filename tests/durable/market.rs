//! A market in which everything happens that a source of bars can do wrong: a fifth of what it
//! sends is refused, for every reason there is, bars are corrected at once and rounds later, sent
//! twice, left out and sent later, series have several timeframes, and subjects have every shape.
//!
//! Its messages are a function of the round and the symbol alone. Each carries its expected outcome
//! in a header that agents do not read.

use serde_json::{Value, json};

use crate::feeder::bar;

/// For which reason a message has to be refused, once; a message without it must not be.
pub const EXPECT: &str = "Expect";
/// Larger payloads are refused.
pub const MAX_PAYLOAD_BYTES: usize = 4_096;

/// A symbol on the subject without one, and one on a subject without a timeframe.
const BARE: usize = 0;
const SHORT: usize = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub subject: String,
    pub payload: String,
    pub expect: Option<&'static str>,
}

fn of(symbol: usize, value: &Value, expect: Option<&'static str>) -> Message {
    Message {
        subject: match symbol {
            BARE => "raw.market_data.price".to_owned(),
            SHORT => format!("raw.market_data.price.S{symbol}"),
            _ => {
                let timeframe = value["timeframe"].as_str().unwrap_or("1m");
                format!("raw.market_data.price.S{symbol}.{timeframe}")
            }
        },
        payload: value.to_string(),
        expect,
    }
}

/// The bars of every third round, in minutes.
fn slower(symbol: usize, n: u64) -> Value {
    let mut bar = bar(symbol, n);
    bar["timeframe"] = json!("5m");
    bar["timestamp"] = json!(1_699_999_800 + 300 * n);
    bar
}

/// Rounds after which a bar can be corrected no longer.
const TOO_LATE: u64 = 40;

/// Messages of one symbol in round `n`.
pub fn round(symbol: usize, n: u64) -> Vec<Message> {
    let turn = n + symbol as u64;
    let good = bar(symbol, n);
    let corrected = |n: u64| {
        let mut bar = bar(symbol, n);
        bar["volume"] = json!(1_000 + turn);
        of(symbol, &bar, None)
    };
    let mut said = vec![of(symbol, &good, None)];
    match turn % 10 {
        1 if n >= TOO_LATE => {
            said.push(of(symbol, &bar(symbol, n - TOO_LATE), Some("late")));
        }
        // it comes three rounds later
        2 if n > 0 => said.clear(),
        3 if n >= 4 => said.push(corrected(n - 4)),
        5 => {
            said.push(corrected(n));
            if n > 3 {
                said.push(of(symbol, &bar(symbol, n - 3), None));
            }
        }
        // the same values again are no news
        7 => said.push(of(symbol, &good, None)),
        _ => {}
    }
    if turn.is_multiple_of(3) {
        said.push(of(symbol, &slower(symbol, n / 3), None));
        said.push(malformed(symbol, n, turn / 3));
    }
    said
}

/// One message that cannot be taken; each kind in its turn.
fn malformed(symbol: usize, n: u64, kind: u64) -> Message {
    // a bar that would be next, so that whoever took it in would be found out
    let mut value = bar(symbol, n + 1);
    let reason = match kind % 13 {
        0 => {
            let text = value.to_string();
            let cut = Message {
                payload: text[..text.len() / 2].to_owned(),
                ..of(symbol, &value, Some("not_json"))
            };
            return cut;
        }
        1 => {
            value.as_object_mut().expect("a bar").remove("close");
            "missing_field"
        }
        2 => {
            value["high"] = json!(1.0);
            "bad_range"
        }
        // nothing on the bare subject says otherwise
        3 if symbol != BARE => {
            let wrong = of(symbol, &value, Some("mismatch"));
            value["symbol"] = json!("OTHER");
            return Message {
                payload: value.to_string(),
                ..wrong
            };
        }
        4 => {
            value["source"] = json!("x".repeat(MAX_PAYLOAD_BYTES));
            "too_large"
        }
        5 => {
            value["low"] = json!(-1.0);
            "bad_price"
        }
        6 => {
            value["volume"] = json!(-5);
            "bad_volume"
        }
        7 => {
            value["timestamp"] = json!("soon");
            "bad_timestamp"
        }
        8 => {
            value["timestamp"] = json!("2140-01-01T00:00:00Z");
            "future"
        }
        9 => {
            value["open"] = json!("a lot");
            "bad_number"
        }
        10 => {
            value = json!("a text");
            "wrong_type"
        }
        11 => {
            value = json!([]);
            "empty"
        }
        // of several bars in one message the bad one is refused by itself
        _ => {
            let mut bad = value.clone();
            bad["close"] = json!(0);
            value = json!([bar(symbol, n), bad]);
            "bad_price"
        }
    };
    of(symbol, &value, Some(reason))
}

#[test]
fn a_fifth_of_it_is_refused_and_every_kind_comes() {
    let all: Vec<Message> = (0..100)
        .flat_map(|n| (0..12).flat_map(move |symbol| round(symbol, n)))
        .collect();
    let refused: Vec<&str> = all.iter().filter_map(|one| one.expect).collect();
    let share = refused.len() * 100 / all.len();
    assert!((18..=25).contains(&share), "{share} %");
    let mut kinds = refused;
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), 13, "{kinds:?}");
    let corrections = |one: &&Message| one.payload.contains("\"volume\":10");
    assert!(all.iter().filter(corrections).count() > 50);
}
