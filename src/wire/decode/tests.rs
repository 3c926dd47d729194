//! Every rule of the input contract, and that no bytes at all can break the decoder.

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
fn a_bar_is_complete_by_its_flag_or_with_the_next_one() {
    use Finality::{Final, Forming, UntilNext};
    for (flag, by_flag, by_next) in [
        ("null", Final, UntilNext),
        ("true", Final, Final),
        ("false", Forming, UntilNext),
    ] {
        let text = with("final", flag);
        for (rule, expected) in [(FinalRule::Flag, by_flag), (FinalRule::Next, by_next)] {
            let event = one_by(|rules| rules.final_rule = rule, &text).unwrap();
            assert_eq!(event.finality, expected, "{flag} {rule:?}");
        }
    }
}

#[test]
fn a_lone_price_is_a_trade_and_a_lone_close_is_a_bar_with_holes() {
    for text in [
        r#"{"symbol":"A","timestamp":1700000100,"price":"5.5"}"#,
        r#"{"symbol":"A","timestamp":1700000100,"price":5.5,"qty":1,"side":"buy"}"#,
        r#"{"symbol":"A","timestamp":1700000101,"Price":5.5,"amount":2}"#,
        r#"{"symbol":"A","timestamp":1700000100,"p":5.5,"size":1}"#,
        r#"{"s":"A","p":5.5,"q":1}"#,
        r#"{"price":5.5}"#,
    ] {
        assert_eq!(reason(text), Reason::Trade, "{text}");
    }
    for text in [
        r#"{"symbol":"A","timestamp":1700000100,"close":5}"#,
        r#"{"symbol":"A","timestamp":1700000100,"c":5,"price":5}"#,
        r#"{"symbol":"A","timestamp":1700000100,"price":5,"open":5}"#,
    ] {
        let refusal = one(text).unwrap_err();
        assert_eq!(refusal.reason, Reason::MissingField);
        assert!(
            refusal.detail.contains("`high`, `low`;"),
            "{}",
            refusal.detail
        );
    }
    // beside the other three it is the close
    let text = r#"{"symbol":"A","timestamp":1700000100,"price":5,"open":5,"high":6,"low":4}"#;
    assert_eq!(one(text).unwrap().bar.close.to_bits(), 5_f64.to_bits());
}

/// A bar of A in short names, with further entries.
fn short(time: &str, more: &str) -> String {
    format!(r#"{{"s":"A","t":{time},"o":10,"h":12,"l":9,"c":11{more}}}"#)
}

#[test]
fn the_quote_of_a_day_is_no_bar() {
    for more in [
        r#","pc":9.5"#,
        r#","pc":9.5,"tf":"1m""#,
        r#","pc":9.5,"tf":"1d""#,
        r#","previousClose":9.5,"change":1.5,"change_p":12.5,"tf":"1h""#,
        r#","dp":1.2,"d":0.1"#,
        r#","change":1.5"#,
        r#","percent_change":"1.5""#,
        r#","bid":10.9,"ask":11.1"#,
    ] {
        let text = short("1700000100", more);
        assert_eq!(reason(&text), Reason::UnknownShape, "{text}");
    }
    for more in [
        "",
        r#","pc":null"#,
        r#","change":1.5,"tf":"1m""#,
        r#","vw":10.5,"n":5"#,
    ] {
        let text = short("1700000100", more);
        assert!(one(&text).is_ok(), "{text}");
    }
    // end-of-day bars may name the close before
    let text = short("\"2024-01-02\"", r#","pre_close":9.5,"tf":"1d""#);
    assert!(one(&text).is_ok());
    let text = short("\"2024-01-02\"", r#","pre_close":9.5"#);
    assert_eq!(reason(&text), Reason::UnknownShape);
    let new_york = |rules: &mut InputRules| rules.zone = "America/New_York".parse().unwrap();
    let text = short("1704171600", r#","pre_close":9.5,"tf":"1d""#);
    assert!(one_by(new_york, &text).is_ok());
    assert_eq!(reason(&text), Reason::UnknownShape);
}

#[test]
fn the_detail_of_a_quote_and_of_a_trade_names_the_key() {
    let text = short("1700000100", r#","previousClose":9.5"#);
    let detail = one(&text).unwrap_err().detail;
    assert!(detail.contains("`previousClose`"), "{detail}");
    let text = r#"{"symbol":"A","timestamp":1700000100,"Price":5.5}"#;
    let detail = one(text).unwrap_err().detail;
    assert!(detail.contains("`Price`"), "{detail}");
}

#[test]
fn keys_are_known_in_every_usual_spelling() {
    let text = r#"{"Symbol":"A","TimeFrame":"5Min","Open Time":1700000100000,"OPEN":"10","High":12,
                   "low_Price":9,"closePrice":11,"Vol.":5,"isClosed":false}"#;
    let event = one(text).unwrap();
    assert_eq!(event.timeframe.to_string(), "5m");
    assert_eq!(event.bar.volume.to_bits(), 5_f64.to_bits());
    assert_eq!(event.finality, Finality::Forming);
    // a letter in another case is another name
    let text = r#"{"s":"A","t":1700000100,"O":10,"H":12,"L":9,"C":11}"#;
    assert_eq!(reason(text), Reason::MissingField);
}

#[test]
fn a_bars_start_is_its_time_whatever_its_timestamp_says() {
    for start in [
        "start",
        "interval_begin",
        "window_start",
        "openTime",
        "startedAt",
        "begin",
    ] {
        let text = format!(
            r#"{{"symbol":"A","timestamp":"2023-10-04T16:25:17.019Z","open":1,"high":1,"low":1,"close":1,
                "{start}":"2023-10-04T16:25:00Z"}}"#
        );
        for stamp in [Stamp::Open, Stamp::Close] {
            let event = one_by(|rules| rules.stamp = stamp, &text).unwrap();
            assert_eq!(event.bar.timestamp.to_string(), "2023-10-04T16:25:00Z");
        }
    }
}

#[test]
fn a_close_time_is_turned_into_an_open_time() {
    let close = |rules: &mut InputRules| rules.stamp = Stamp::Close;
    for (timeframe, time, expected) in [
        ("5m", "1700000100", "2023-11-14T22:10:00Z"),
        ("5m", "1700000099999", "2023-11-14T22:10:00Z"),
        ("1h", "\"2024-01-02T10:00:00Z\"", "2024-01-02T09:00:00Z"),
        ("1M", "\"2024-03-01\"", "2024-02-01T00:00:00Z"),
    ] {
        let text = short(time, &format!(r#","tf":"{timeframe}""#));
        let event = one_by(close, &text).unwrap();
        assert_eq!(event.bar.timestamp.to_string(), expected, "{text}");
    }
    let text = short("1700000100017", r#","tf":"5m""#);
    assert_eq!(one_by(close, &text).unwrap_err().reason, Reason::Misaligned);
}

#[test]
fn times_without_an_offset_are_read_in_the_zone() {
    let new_york = |rules: &mut InputRules| rules.zone = "America/New_York".parse().unwrap();
    for (time, utc, there) in [
        (
            "\"2024-01-15T14:30:00\"",
            "2024-01-15T14:30:00Z",
            "2024-01-15T19:30:00Z",
        ),
        ("20240115", "2024-01-15T00:00:00Z", "2024-01-15T05:00:00Z"),
        (
            "202401151430",
            "2024-01-15T14:30:00Z",
            "2024-01-15T19:30:00Z",
        ),
        (
            "\"2024-01-15T14:30:00+01:00\"",
            "2024-01-15T13:30:00Z",
            "2024-01-15T13:30:00Z",
        ),
    ] {
        let text = short(time, "");
        assert_eq!(one(&text).unwrap().bar.timestamp.to_string(), utc);
        let event = one_by(new_york, &text).unwrap();
        assert_eq!(event.bar.timestamp.to_string(), there);
    }
}

#[test]
fn a_timeframe_may_be_a_number_of_minutes() {
    for (json, expected) in [
        ("60", "1h"),
        ("\"60\"", "1h"),
        ("5", "5m"),
        ("5.0", "5m"),
        ("\"PT5M\"", "5m"),
        ("\"1wk\"", "1w"),
        ("1440", "1d"),
    ] {
        let text = with("timeframe", json);
        let event = one_by(|rules| rules.grid = GridRule::Accept, &text).unwrap();
        assert_eq!(event.timeframe.to_string(), expected, "{json}");
    }
    let text = short("1700006400", r#","granularity":3600"#);
    assert_eq!(one(&text).unwrap().timeframe.to_string(), "1h");
}

#[test]
fn times_off_the_grid_are_refused_unless_they_are_accepted() {
    let text = short("1700000117", "");
    let refusal = one(&text).unwrap_err();
    assert_eq!(refusal.reason, Reason::Misaligned);
    assert!(refusal.detail.contains("last trade"), "{}", refusal.detail);
    assert!(one_by(|rules| rules.grid = GridRule::Accept, &text).is_ok());
}

#[test]
fn prices_of_zero_and_below_are_taken_where_they_are_allowed() {
    let text = r#"{"s":"CL","t":1700000100,"o":1,"h":2,"l":-40.32,"c":-37.63}"#;
    let refusal = one(text).unwrap_err();
    assert_eq!(refusal.reason, Reason::BadPrice);
    assert!(
        refusal.detail.contains("TECHNICAL_PRICES=any"),
        "{}",
        refusal.detail
    );
    let any = |rules: &mut InputRules| rules.prices = PriceRule::Any;
    let bar = one_by(any, text).unwrap().bar;
    assert_eq!([bar.low, bar.close], [-40.32, -37.63]);
    let text = r#"{"s":"CL","t":1700000100,"o":0,"h":0,"l":-0.0,"c":0}"#;
    assert_eq!(one_by(any, text).unwrap().bar.low.to_bits(), 0);
    for price in ["\"NaN\"", "\"inf\"", "9223372036854775807"] {
        let refusal = format!(r#"{{"s":"CL","t":1700000100,"o":1,"h":1,"l":1,"c":{price}}}"#);
        assert_eq!(one_by(any, &refusal).unwrap_err().reason, Reason::BadPrice);
    }
}

#[test]
fn a_close_outside_by_rounding_widens_high_or_low_and_one_further_out_does_not() {
    let bar = |high: f64, low: f64| {
        format!(r#"{{"s":"A","t":1700000100,"o":10,"h":{high:?},"l":{low:?},"c":10}}"#)
    };
    let below = |ulps: u64| f64::from_bits(10_f64.to_bits() - ulps);
    let above = |ulps: u64| f64::from_bits(10_f64.to_bits() + ulps);
    for (high, low, expected) in [
        (10.0, 10.0, Some(false)),
        (below(1), 9.0, Some(true)),
        (below(4), 9.0, Some(true)),
        (below(5), 9.0, None),
        (11.0, above(1), Some(true)),
        (11.0, above(4), Some(true)),
        (11.0, above(5), None),
        (below(1), above(1), Some(true)),
        (9.99, 9.0, None),
    ] {
        let text = bar(high, low);
        match (one(&text), expected) {
            (Ok(event), Some(adjusted)) => {
                assert_eq!(event.adjusted, adjusted, "{text}");
                assert_eq!(event.bar.high.to_bits(), high.max(10.0).to_bits(), "{text}");
                assert_eq!(event.bar.low.to_bits(), low.min(10.0).to_bits(), "{text}");
            }
            (Err(refusal), None) => assert_eq!(refusal.reason, Reason::BadRange, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    let any = |rules: &mut InputRules| rules.prices = PriceRule::Any;
    let text = format!(
        r#"{{"s":"A","t":1700000100,"o":-10,"h":{:?},"l":-11,"c":-10}}"#,
        -above(1)
    );
    let event = one_by(any, &text).unwrap();
    assert!(event.adjusted);
    assert_eq!(event.bar.high.to_bits(), (-10_f64).to_bits());
}

#[test]
fn a_volume_of_minus_one_is_none() {
    for json in ["-1", "-1.0", "\"-1\""] {
        assert_eq!(one(&with("volume", json)).unwrap().bar.volume.to_bits(), 0);
    }
}

#[test]
fn one_element_that_is_no_json_leaves_the_others() {
    let good = full().to_string();
    let nan = with("volume", "NaN");
    let text = format!("[{good}, {nan} ,NaN, {good}]");
    let all = decode(&text);
    assert_eq!(all.len(), 4);
    assert!(all[0].is_ok() && all[3].is_ok());
    for (refused, payload) in [(&all[1], nan.as_str()), (&all[2], "NaN")] {
        let refusal = refused.as_ref().unwrap_err();
        assert_eq!(refusal.reason, Reason::NotJson);
        assert_eq!(refusal.payload, payload.as_bytes());
    }
    assert!(
        all[1].as_ref().unwrap_err().detail.contains("`NaN`"),
        "{all:?}"
    );
}

#[test]
fn a_row_of_numbers_that_begins_with_an_epoch_in_milliseconds_is_one_bar() {
    let subject = Ok(SubjectParts {
        symbol: Some(Cow::Borrowed("BTC/USDT")),
        timeframe: Some("5m".parse().unwrap()),
    });
    for text in [
        "[1700000100000,10,12,9,11,5]",
        r#"[1700000100000,"10","12","9","11","5",1700000399999,"55",3,"2","20","0"]"#,
    ] {
        let all = decode_under(text.as_bytes(), &subject);
        assert_eq!(all.len(), 1, "{text}");
        let event = all[0].as_ref().unwrap();
        let bar = event.bar;
        assert_eq!(event.symbol, "BTC/USDT");
        assert_eq!(bar.timestamp.to_string(), "2023-11-14T22:15:00Z");
        assert_eq!(
            [bar.open, bar.high, bar.low, bar.close, bar.volume],
            [10.0, 12.0, 9.0, 11.0, 5.0]
        );
    }
    let text = "[1700000100000,10,12,9,NaN,5]";
    let all = decode_under(text.as_bytes(), &subject);
    assert_eq!(all.len(), 1);
    let refusal = all[0].as_ref().unwrap_err();
    assert_eq!(
        (refusal.reason, refusal.payload),
        (Reason::BadNumber, text.as_bytes())
    );
    // without a symbol it is none
    assert_eq!(reason("[1700000100000,10,12,9,11,5]"), Reason::MissingField);
    assert_eq!(decode("[10,12,9,11,5,1]").len(), 6);
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
fn what_is_no_object_is_refused_by_its_kind() {
    for text in ["5", "\"bar\"", "true", "null", "1e400", " 7 "] {
        assert_eq!(reason(text), Reason::WrongType, "{text}");
    }
    for text in [
        "",
        " ",
        "{",
        "[",
        "[1",
        "{}x",
        "nul",
        "{\"a\":}",
        "[{},]",
        "[{}",
        "\u{feff}{}",
    ] {
        assert_eq!(reason(text), Reason::NotJson, "{text}");
    }
    assert_eq!(reason("[]"), Reason::Empty);
    assert_eq!(reason(" [ ] "), Reason::Empty);
    let bytes = b"{\"source\":\"\xff\"}";
    let all = decode_under(bytes, &SILENT);
    assert_eq!(all[0].as_ref().unwrap_err().reason, Reason::NotJson);
    assert_eq!(all[0].as_ref().unwrap_err().payload, bytes);
}

#[test]
fn the_elements_of_an_array_stand_alone() {
    let good = full().to_string();
    let bad = with("close", "1e400");
    let text = format!(" [{good}, 3 ,{bad}\n,[],{{}},{good}]");
    let all = decode(&text);
    assert_eq!(all.len(), 6);
    assert!(all[0].is_ok() && all[5].is_ok());
    let refused: Vec<_> = all[1..5]
        .iter()
        .map(|e| e.as_ref().unwrap_err())
        .map(|r| (r.reason, std::str::from_utf8(r.payload).unwrap()))
        .collect();
    assert_eq!(
        refused,
        [
            (Reason::WrongType, "3"),
            (Reason::BadNumber, bad.as_str()),
            (Reason::WrongType, "[]"),
            (Reason::MissingField, "{}"),
        ]
    );
    assert_eq!(
        all[2].as_ref().unwrap_err().symbol.as_deref(),
        Some("BTCUSDT")
    );
}

#[test]
fn unknown_fields_and_deep_nesting_are_no_obstacle() {
    let deep = format!("{}{}", "[".repeat(1_500), "]".repeat(1_500));
    assert!(one(&with("extra", &deep)).is_ok());
    assert!(one(&with("extra", "1e400")).is_ok());
    assert!(one(&with("extra", "\"\\ud800\"")).is_ok());
    assert_eq!(reason(&with("open", &deep)), Reason::WrongType);
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
fn a_refused_subject_refuses_the_whole_message_once() {
    let subject = Err(SubjectRefusal {
        reason: Reason::BadTimeframe,
        detail: "why".to_owned(),
    });
    let text = format!("[{0},{0}]", full());
    let all = decode_under(text.as_bytes(), &subject);
    assert_eq!(all.len(), 1);
    let refusal = all[0].as_ref().unwrap_err();
    assert_eq!(
        (refusal.reason, &*refusal.detail),
        (Reason::BadTimeframe, "why")
    );
    assert_eq!(refusal.payload, text.as_bytes());
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

/// Elements of a long array beyond those that are taken from one message.
#[test]
fn what_is_beyond_the_elements_that_are_taken_is_refused_as_one() {
    let decoder = Decoder::new(InputRules::new(1 << 20, Timeframe::MINUTE));
    let array = |elements: usize| format!(" [{}\n]\n", vec!["1 "; elements].join(", "));
    let decoded = |payload: &str| {
        let mut refused = Vec::new();
        decoder.decode(payload.as_bytes(), &SILENT, NOW, |element, bytes| {
            let refusal = element.unwrap_err();
            assert_eq!(refusal.payload, bytes);
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            refused.push((refusal.reason, refusal.elements, text));
        });
        refused
    };
    let exactly = decoded(&array(4_096));
    assert_eq!(exactly.len(), 4_096);
    let single = (Reason::WrongType, 1, "1".to_owned());
    assert!(exactly.iter().all(|refused| *refused == single));

    let more = decoded(&array(4_099));
    assert_eq!(more[..4_096], exactly);
    let rest = (Reason::TooManyElements, 3, "1 , 1 , 1 \n]".to_owned());
    assert_eq!(more[4_096..], [rest]);

    // all of it has to be JSON, also what is not taken
    let broken = array(5_000).replace('\n', "x");
    let refused = decoded(&broken);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].0, Reason::NotJson);
}
