//! Every rule of the input contract, and that no bytes at all can break the decoder.

mod elements;
mod rules;
mod trades;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::market::{Finality, Timeframe};
use crate::wire::encode_bar;
use crate::wire::rules::{FinalRule, PriceRule, Stamp};

const NOW: Timestamp = Timestamp::from_nanos(1_800_000_000_000_000_000);
const SILENT: Result<SubjectParts<'static>, SubjectRefusal> = Ok(SubjectParts {
    symbol: None,
    timeframe: None,
});

fn rules() -> InputRules {
    InputRules::new(4_096, Timeframe::MINUTE)
}

type Decoded<'a> = Vec<Result<BarEvent<'a>, Refusal<'a>>>;

fn decode_under<'a>(
    payload: &'a [u8],
    subject: &'a Result<SubjectParts<'a>, SubjectRefusal>,
) -> Decoded<'a> {
    decode_by(rules(), payload, subject)
}

fn decode_by<'a>(
    rules: InputRules,
    payload: &'a [u8],
    subject: &'a Result<SubjectParts<'a>, SubjectRefusal>,
) -> Decoded<'a> {
    let mut all = Vec::new();
    Decoder::new(rules).decode(payload, subject, NOW, |element, _| all.push(element));
    all
}

/// The one bar of a payload, by rules that `change` makes of the usual ones.
fn one_by(change: impl Fn(&mut InputRules), payload: &str) -> Result<BarEvent<'_>, Refusal<'_>> {
    let mut rules = rules();
    change(&mut rules);
    let mut all = decode_by(rules, payload.as_bytes(), &SILENT);
    assert_eq!(all.len(), 1, "{payload}");
    all.remove(0)
}

fn decode(payload: &str) -> Decoded<'_> {
    decode_under(payload.as_bytes(), &SILENT)
}

fn one(payload: &str) -> Result<BarEvent<'_>, Refusal<'_>> {
    let mut all = decode(payload);
    assert_eq!(all.len(), 1, "{payload}");
    all.remove(0)
}

fn reason(payload: &str) -> Reason {
    let refusal = one(payload).expect_err(payload);
    assert_eq!(refusal.payload, payload.as_bytes());
    assert!(!refusal.detail.is_empty());
    refusal.reason
}

/// The elements that are refused between a first and a last one that are bars, with their bytes.
fn refused_between<'a>(all: &'a Decoded<'_>) -> Vec<(Reason, &'a str)> {
    let [Ok(_), between @ .., Ok(_)] = &all[..] else {
        panic!("{all:?}");
    };
    between
        .iter()
        .map(|one| one.as_ref().unwrap_err())
        .map(|refusal| {
            (
                refusal.reason,
                std::str::from_utf8(refusal.payload).unwrap(),
            )
        })
        .collect()
}

fn full() -> Value {
    json!({"symbol": "BTCUSDT", "timeframe": "5m", "timestamp": 1_700_000_100, "open": 10.5,
           "high": 12, "low": 9.25, "close": 11, "volume": 100.5, "final": true, "source": "x"})
}

/// The full bar with one field set to a piece of JSON.
fn with(field: &str, json: &str) -> String {
    let mut object = full();
    object.as_object_mut().unwrap().remove(field);
    let text = object.to_string();
    format!("{},\"{field}\":{json}}}", text.strip_suffix('}').unwrap())
}

fn without(field: &str) -> String {
    let mut object = full();
    object.as_object_mut().unwrap().remove(field);
    object.to_string()
}

#[test]
fn a_full_bar_comes_out_as_sent() {
    let text = full().to_string();
    let event = one(&text).unwrap();
    assert_eq!(event.symbol, "BTCUSDT");
    assert!(matches!(event.symbol, Cow::Borrowed(_)));
    assert_eq!(event.timeframe.to_string(), "5m");
    assert_eq!(event.bar.timestamp.nanos(), 1_700_000_100_000_000_000);
    let bar = event.bar;
    assert_eq!(
        [bar.open, bar.high, bar.low, bar.close, bar.volume],
        [10.5, 12.0, 9.25, 11.0, 100.5]
    );
    assert_eq!(event.finality, Finality::Final);
    assert_eq!(event.source.as_deref(), Some("x"));
}

#[test]
fn what_is_absent_or_null_takes_its_default() {
    let text = r#"{"s":"A","t":"2026-01-31T14:30:00Z","o":1,"h":1,"l":1,"c":1,"v":null,"x":null,"source":null,"tf":null}"#;
    let event = one(text).unwrap();
    assert_eq!(event.timeframe, Timeframe::MINUTE);
    assert_eq!(event.bar.volume.to_bits(), 0);
    assert_eq!(event.finality, Finality::Final);
    assert_eq!(event.source, None);
    assert_eq!(event.bar.timestamp.to_string(), "2026-01-31T14:30:00Z");
}

#[test]
fn numbers_come_as_numbers_or_decimal_text_to_the_nearest_double() {
    for (json, expected) in [
        ("\"11.1\"", 11.1_f64),
        ("0.1e2", 10.0),
        ("\"1.05e1\"", 10.5),
        ("10.000000000000000000001", 10.0),
        ("11.999999999999998", 11.999_999_999_999_998),
        ("\"11.999999999999998\"", 11.999_999_999_999_998),
    ] {
        let text = with("close", json);
        assert_eq!(
            one(&text).unwrap().bar.close.to_bits(),
            expected.to_bits(),
            "{json}"
        );
    }
    for json in ["-0.0", "-0", "\"-0\"", "0"] {
        assert_eq!(
            one(&with("volume", json)).unwrap().bar.volume.to_bits(),
            0,
            "{json}"
        );
    }
}

#[test]
fn each_fault_has_its_reason() {
    for (field, json, expected) in [
        ("close", "0", Reason::BadPrice),
        ("close", "-1", Reason::BadPrice),
        ("open", "\"NaN\"", Reason::BadPrice),
        ("high", "\"Infinity\"", Reason::BadPrice),
        ("low", "\"-inf\"", Reason::BadPrice),
        ("low", "1e-400", Reason::BadPrice),
        ("close", "9223372036854775807", Reason::BadPrice),
        ("close", "\"9223372036854775807\"", Reason::BadPrice),
        ("close", "9223372036.854775807", Reason::BadPrice),
        ("close", "\"abc\"", Reason::BadNumber),
        ("close", "\"\"", Reason::BadNumber),
        ("close", "\"1,5\"", Reason::BadNumber),
        ("close", "\" 11\"", Reason::BadNumber),
        ("close", "1e400", Reason::BadNumber),
        ("close", "\"1e400\"", Reason::BadNumber),
        ("close", "\"\\ud800\"", Reason::BadNumber),
        ("volume", "-1e400", Reason::BadNumber),
        ("timestamp", "1e400", Reason::BadNumber),
        ("close", "true", Reason::WrongType),
        ("close", "[11]", Reason::WrongType),
        ("close", "{}", Reason::WrongType),
        ("volume", "-2", Reason::BadVolume),
        ("volume", "-0.5", Reason::BadVolume),
        ("volume", "\"NaN\"", Reason::BadVolume),
        ("volume", "\"inf\"", Reason::BadVolume),
        ("volume", "[]", Reason::WrongType),
        ("high", "10.9", Reason::BadRange),
        ("high", "9.5", Reason::BadRange),
        ("low", "10.6", Reason::BadRange),
        ("timestamp", "0", Reason::BadTimestamp),
        ("timestamp", "45293", Reason::BadTimestamp),
        ("timestamp", "1700000101", Reason::Misaligned),
        ("timestamp", "1700000160", Reason::Misaligned),
        ("timestamp", "\"soon\"", Reason::BadTimestamp),
        ("timestamp", "-5", Reason::BadTimestamp),
        ("timestamp", "-0.5", Reason::BadTimestamp),
        ("timestamp", "\"-5\"", Reason::BadTimestamp),
        ("timestamp", "\"\\udc00\"", Reason::BadTimestamp),
        ("timestamp", "true", Reason::WrongType),
        ("timestamp", "{\"a\":1}", Reason::WrongType),
        ("timestamp", "1800086401", Reason::Future),
        ("timestamp", "18446744073709551615", Reason::Future),
        ("symbol", "\"\"", Reason::BadSymbol),
        ("symbol", "\"a\\u0000b\"", Reason::BadSymbol),
        ("symbol", "\"\\ud83d\"", Reason::BadSymbol),
        ("symbol", "5", Reason::WrongType),
        ("symbol", "[]", Reason::WrongType),
        ("timeframe", "\"2y\"", Reason::BadTimeframe),
        ("timeframe", "\"\\ud800\"", Reason::BadTimeframe),
        ("timeframe", "0", Reason::BadTimeframe),
        ("timeframe", "1441", Reason::BadTimeframe),
        ("timeframe", "2.5", Reason::BadTimeframe),
        ("timeframe", "-5", Reason::BadTimeframe),
        ("timeframe", "1e400", Reason::BadTimeframe),
        ("timeframe", "true", Reason::WrongType),
        ("timeframe", "[]", Reason::WrongType),
        ("final", "2", Reason::WrongType),
        ("final", "\"yes\"", Reason::WrongType),
        ("source", "1", Reason::WrongType),
        ("source", "{}", Reason::WrongType),
    ] {
        assert_eq!(reason(&with(field, json)), expected, "{field}: {json}");
    }
    for field in ["symbol", "timestamp", "open", "high", "low", "close"] {
        assert_eq!(reason(&without(field)), Reason::MissingField, "{field}");
        assert_eq!(
            reason(&with(field, "null")),
            Reason::MissingField,
            "{field}"
        );
    }
    let long = format!("\"{}\"", "x".repeat(65));
    assert_eq!(reason(&with("symbol", &long)), Reason::BadSymbol);
    assert_eq!(
        reason(&format!("\"{}\"", "x".repeat(4_095))),
        Reason::TooLarge
    );
}

#[test]
fn a_day_ahead_is_still_taken() {
    assert!(one(&with("timestamp", "1800086400")).is_ok());
}

#[test]
fn every_form_of_a_timestamp_is_understood() {
    for (json, nanos) in [
        ("1700000000", 1_700_000_000_000_000_000),
        ("1700000000123", 1_700_000_000_123_000_000),
        ("1700000000123456", 1_700_000_000_123_456_000),
        ("1700000000123456789", 1_700_000_000_123_456_789),
        ("1700000000.25", 1_700_000_000_250_000_000),
        ("\"1700000000\"", 1_700_000_000_000_000_000),
        ("\"1700000000.5\"", 1_700_000_000_500_000_000),
        ("\"2023-11-14T22:13:20Z\"", 1_700_000_000_000_000_000),
        ("\"2023-11-15T00:13:20.5+02:00\"", 1_700_000_000_500_000_000),
        ("\"1969-12-31T23:59:59Z\"", -1_000_000_000),
    ] {
        let text = with("timestamp", json);
        let event = one_by(|rules| rules.grid = GridRule::Accept, &text).unwrap();
        assert_eq!(event.bar.timestamp.nanos(), nanos, "{json}");
    }
}

#[test]
fn finality_may_be_said_in_several_ways() {
    for (json, expected) in [
        ("true", true),
        ("false", false),
        ("1", true),
        ("0", false),
        ("\"true\"", true),
        ("\"false\"", false),
        ("\"False\"", false),
        ("\"1\"", true),
        ("\"0\"", false),
    ] {
        assert_eq!(
            one(&with("final", json)).unwrap().finality.is_final(),
            expected,
            "{json}"
        );
    }
}

#[test]
fn subject_and_payload_complete_each_other_and_must_agree() {
    let said = |symbol: &'static str, timeframe: &str| {
        Ok(SubjectParts {
            symbol: Some(Cow::Borrowed(symbol)),
            timeframe: Some(timeframe.parse().unwrap()),
        })
    };
    let anonymous = r#"{"t":1700000100,"o":5,"h":5,"l":5,"c":5}"#;
    let subject = said("BRK.B", "1h");
    let event = decode_under(anonymous.as_bytes(), &subject)
        .remove(0)
        .unwrap();
    assert_eq!(
        (&*event.symbol, event.timeframe.to_string()),
        ("BRK.B", "1h".to_owned())
    );

    let text = full().to_string();
    for (subject, expected) in [
        (said("BTCUSDT", "5m"), None),
        (said("ETHUSDT", "5m"), Some("ETHUSDT")),
        (said("BTCUSDT", "1m"), Some("BTCUSDT")),
    ] {
        match (&decode_under(text.as_bytes(), &subject)[0], expected) {
            (Ok(_), None) => {}
            (Err(refusal), Some(owner)) => {
                assert_eq!(refusal.reason, Reason::Mismatch);
                assert_eq!(refusal.symbol.as_deref(), Some(owner));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        decode_under(b"[]", &subject)[0]
            .as_ref()
            .unwrap_err()
            .symbol
            .as_deref(),
        Some("BRK.B")
    );
}

#[test]
fn details_name_the_key_as_sent_and_show_the_value_cut() {
    let text = r#"{"s":"A","t":1700000100,"o":1,"h":1,"l":1,"close_price":"abc"}"#;
    assert_eq!(
        one(text).unwrap_err().detail,
        "`close_price` is \"abc\"; write a decimal number"
    );
    let text = with("close", &format!("\"{}\"", "é".repeat(1_000)));
    let refusal = one(&text).unwrap_err();
    assert!(refusal.detail.contains(&format!("{}…", "é".repeat(64))));
    assert!(refusal.detail.chars().count() < 130);
}

fn price() -> impl Strategy<Value = f64> {
    prop_oneof![
        proptest::num::f64::POSITIVE | proptest::num::f64::SUBNORMAL,
        0.000_1..1_000_000.0,
    ]
    .prop_filter("above zero", |x| *x > 0.0 && x.is_finite())
}

prop_compose! {
    fn event()(
        mut prices in [price(), price(), price(), price()],
        volume in prop_oneof![Just(0.0), price()],
        swap in any::<bool>(),
        minutes in 0..NOW.nanos() / 60_000_000_000,
        symbol in "[^\\p{Cc}]{1,16}",
        timeframe in proptest::sample::select(vec!["1s", "1m", "5m", "30m", "4h", "1d", "1w", "1M"]),
        is_final in any::<bool>(),
        source in proptest::option::of(any::<String>()),
    ) -> BarEvent<'static> {
        prices.sort_by(f64::total_cmp);
        let [low, a, b, high] = prices;
        let (open, close) = if swap { (a, b) } else { (b, a) };
        let minutes = minutes - minutes % 15;
        let timestamp = Timestamp::from_nanos(minutes * 60_000_000_000);
        BarEvent {
            symbol: symbol.into(),
            timeframe: timeframe.parse().unwrap(),
            bar: Bar { timestamp, open, high, low, close, volume },
            finality: if is_final { Finality::Final } else { Finality::Forming },
            adjusted: false,
            source: source.map(Cow::Owned),
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        prop_assert!(!decode_under(&bytes, &SILENT).is_empty());
    }

    #[test]
    fn any_text_of_json_signs_is_answered(text in "[\\[\\]{}\":,\\\\0-9eEtrufalsn. \\-cohlstuxd]{0,64}") {
        prop_assert!(!decode_under(text.as_bytes(), &SILENT).is_empty());
    }

    #[test]
    fn a_mutated_bar_is_answered(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
        event in event(),
    ) {
        let mut bytes = Vec::new();
        encode_bar(&event, &mut bytes);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        prop_assert_eq!(decode_under(&bytes, &SILENT).len(), 1);
        bytes.truncate(cut.index(bytes.len()));
        prop_assert_eq!(decode_under(&bytes, &SILENT).len(), 1);
    }

    #[test]
    fn a_bar_survives_encoding_bit_for_bit(event in event()) {
        let mut bytes = Vec::new();
        encode_bar(&event, &mut bytes);
        let decoded = decode_under(&bytes, &SILENT).remove(0).unwrap();
        prop_assert!(decoded.bar.same_values(&event.bar));
        prop_assert_eq!(decoded, event);
    }

    #[test]
    fn aliases_and_text_numbers_mean_the_same_as_native_names(
        event in event(),
        pick in any::<[prop::sample::Index; 10]>(),
        quoted in any::<bool>(),
    ) {
        let mut bytes = Vec::new();
        encode_bar(&event, &mut bytes);
        let native: serde_json::Map<String, Value> = serde_json::from_slice(&bytes).unwrap();
        let mut renamed = serde_json::Map::new();
        for (field, pick) in Field::ALL.into_iter().zip(pick) {
            if let Some(value) = native.get(field.native()) {
                let value = match value {
                    Value::Number(n) if quoted => Value::String(n.to_string()),
                    other => other.clone(),
                };
                renamed.insert(pick.get(field.names()).to_string(), value);
            }
        }
        let text = Value::Object(renamed).to_string();
        prop_assert_eq!(decode_under(text.as_bytes(), &SILENT).remove(0).unwrap(), event);
    }
}
