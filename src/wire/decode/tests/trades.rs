//! Trades in the generic shape.

use super::*;
use crate::market::TradeConditions;
use crate::wire::print::in_words;

fn element(payload: &str, trades: Option<TradeConditions>, symbol: Option<&'static str>) -> String {
    let rules = InputRules { trades, ..rules() };
    let subject = Ok(SubjectParts {
        symbol: symbol.map(Into::into),
        timeframe: None,
    });
    let mut found = Vec::new();
    Decoder::new(rules).decode_all(payload.as_bytes(), &subject, NOW, |element| {
        found.push(match element.content {
            Content::Trade(event) => in_words(&event),
            Content::Bar(event) => format!("bar {}", event.symbol),
            Content::Ignored(kind) => format!("ignored {}", kind.name()),
            Content::Refused(refusal) => format!("{}: {}", refusal.reason, refusal.detail),
        });
    });
    found.join("\n")
}

fn taken(payload: &str) -> String {
    element(payload, Some(TradeConditions::None), None)
}

#[test]
fn a_trade_is_read_in_every_usual_spelling() {
    let expected = "A 2024-01-01T00:00:00.5Z 1.5 3 7";
    for payload in [
        r#"{"symbol":"A","price":1.5,"size":3,"timestamp":"2024-01-01T00:00:00.5Z","trade_id":7}"#,
        r#"{"s":"A","p":"1.5","q":"3","t":1704067200500,"id":"7"}"#,
        r#"{"Symbol":"A","Price":1.5,"Quantity":3,"ts":1704067200.5,"seq":7,"side":"buy"}"#,
        r#"{"sym":"A","price":1.5,"amount":3,"time":"2024-01-01 00:00:00.5","tradeId":7,"type":"limit"}"#,
        r#"{"symbol":"A","price":1.5,"qty":3,"timestamp":1704067200500,"id":7,"conditions":["@"]}"#,
    ] {
        assert_eq!(taken(payload), expected, "{payload}");
    }
    let without = r#"{"price":1e2,"size":0.5,"timestamp":1704067200}"#;
    let by_subject = element(without, Some(TradeConditions::None), Some("B"));
    assert_eq!(by_subject, "B 2024-01-01T00:00:00Z 100 0.5 -");
    let text = r#"{"symbol":"A","price":1,"size":1,"timestamp":1704067200,"id":"20f4-d8"}"#;
    assert_eq!(taken(text), "A 2024-01-01T00:00:00Z 1 1 text");
}

#[test]
fn odd_lots_count_for_the_volume_only_when_that_is_asked_for() {
    let odd = r#"{"symbol":"A","price":1,"size":1,"timestamp":1704067200,"conditions":["@","I"]}"#;
    let trade = "A 2024-01-01T00:00:00Z 1 1 -";
    let by_tape = |payload: &str| element(payload, Some(TradeConditions::Sip), None);
    assert_eq!(taken(odd), trade);
    assert_eq!(by_tape(odd), format!("{trade} odd lot"));
    assert_eq!(by_tape(&odd.replace('I', "F")), trade);
}

#[test]
fn without_the_setting_a_trade_is_refused_with_the_way_to_have_it_taken() {
    let trade = r#"{"symbol":"A","price":1.5,"size":3,"timestamp":1704067200}"#;
    let refused = element(trade, None, None);
    assert!(
        refused.starts_with("trade: `price` without open, high, low and close")
            && refused.contains("set TECHNICAL_TRADES"),
        "{refused}"
    );
    let of_binance =
        r#"{"e":"trade","E":1,"s":"A","t":1,"p":"1","q":"1","T":1704067200000,"m":true}"#;
    let refused = element(of_binance, None, None);
    assert!(refused.contains("set TECHNICAL_TRADES"), "{refused}");
}

#[test]
fn what_is_no_trade_is_refused_and_says_why() {
    for (payload, expected) in [
        (
            r#"{"symbol":"A","price":1,"size":1,"bid":0.9,"timestamp":1704067200}"#,
            "trade: `bid` beside a price",
        ),
        (
            r#"{"symbol":"A","price":1,"size":1,"previousClose":2,"timestamp":1704067200}"#,
            "trade: `previousClose` beside a price",
        ),
        (
            r#"{"symbol":"A","price":1,"volume":1,"timestamp":1704067200}"#,
            "trade: `volume` without open",
        ),
        (
            r#"{"symbol":"A","price":1,"size":2,"volume":100,"timestamp":1704067200}"#,
            "trade: `volume` beside price and size",
        ),
        (
            r#"{"symbol":"A","price":1,"size":2,"timeframe":"1m","timestamp":1704067200}"#,
            "trade: `timeframe` beside price and size",
        ),
        (
            r#"{"price":1}"#,
            "missing_field: missing `symbol`, `timestamp`, `size`",
        ),
        (
            r#"{"symbol":"A","price":-1,"size":2,"timestamp":1704067200}"#,
            "bad_price: `price` is -1",
        ),
        (
            r#"{"symbol":"A","price":9223372036854775807,"size":2,"timestamp":1704067200}"#,
            "bad_price: `price` is",
        ),
        (
            r#"{"symbol":"A","price":1,"size":0,"timestamp":1704067200}"#,
            "bad_volume: `size` is 0; the size of a trade is finite and above zero",
        ),
        (
            r#"{"symbol":"A","price":"x","size":2,"timestamp":1704067200}"#,
            "bad_number: `price` is \"x\"",
        ),
        (
            r#"{"symbol":"A","price":1,"size":2,"timestamp":1704067200,"id":[1]}"#,
            "wrong_type: `trade_id` is",
        ),
        (
            r#"{"symbol":"A","price":1,"size":2,"timestamp":45293}"#,
            "bad_timestamp: `timestamp`",
        ),
        (
            r#"{"symbol":"A","price":1,"size":2,"timestamp":"2030-01-01T00:00:00Z"}"#,
            "future: `timestamp`",
        ),
        (
            r#"{"symbol":"","price":1,"size":2,"timestamp":1704067200}"#,
            "bad_symbol: `symbol`",
        ),
    ] {
        let found = taken(payload);
        assert!(found.starts_with(expected), "{payload}: {found}");
    }
}

#[test]
fn bars_and_trades_come_in_one_message() {
    let both = r#"[{"symbol":"A","timestamp":1704067200,"open":1,"high":1,"low":1,"close":1},
        {"symbol":"A","price":1,"size":2,"timestamp":1704067260}, {"price":1}]"#;
    let found = taken(both);
    let kinds: Vec<&str> = found
        .lines()
        .map(|line| line.get(..6).unwrap_or(line))
        .collect();
    assert_eq!(kinds, ["bar A", "A 2024", "missin"]);
}

#[test]
fn trades_beyond_the_bound_of_a_message_are_refused_together() {
    let one = r#"{"s":"A","p":1,"t":1704067200000,"v":1}"#;
    let many = vec![one; ELEMENTS_MAX + 2].join(",");
    let payload = format!(r#"{{"type":"trade","data":[{many}]}}"#);
    let rules = InputRules {
        trades: Some(TradeConditions::None),
        max_payload_bytes: 1 << 20,
        ..rules()
    };
    let (mut taken, mut refused) = (0, 0);
    Decoder::new(rules).decode_all(payload.as_bytes(), &SILENT, NOW, |element| {
        match element.content {
            Content::Trade(_) => taken += 1,
            Content::Refused(refusal) => {
                assert_eq!(refusal.reason, Reason::TooManyElements);
                assert_eq!(refusal.payload, format!("{one},{one}").as_bytes());
                refused += refusal.elements;
            }
            other => panic!("{other:?}"),
        }
    });
    assert_eq!((taken, refused), (ELEMENTS_MAX, 2));
}
