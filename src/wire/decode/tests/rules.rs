//! The rules for names, times, the grid, prices and shapes.

use super::*;

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
    assert_eq!(
        refused_between(&all),
        [(Reason::NotJson, nan.as_str()), (Reason::NotJson, "NaN")]
    );
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
