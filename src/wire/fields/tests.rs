//! Fields of objects; the fast reader and the careful one agree.

use super::*;

use proptest::prelude::*;

fn value(json: &str, field: Field) -> Scalar<'_> {
    Fields::read(json).unwrap().take(field)
}

#[test]
fn a_bars_start_outranks_its_timestamp() {
    for (json, expected, start) in [
        (r#"{"timestamp":1,"start":2}"#, 2, true),
        (r#"{"interval_begin":3,"timestamp":1,"t":4}"#, 3, true),
        (r#"{"openTime":5,"time":1}"#, 5, true),
        (r#"{"start":null,"timestamp":6}"#, 6, false),
        (r#"{"ts":7}"#, 7, false),
    ] {
        let fields = Fields::read(json).unwrap();
        let slot = fields.slot(Field::Timestamp);
        assert_eq!(slot.value, Scalar::Int(expected), "{json}");
        assert_eq!(fields.has_start(), start, "{json}");
    }
}

#[test]
fn of_volumes_by_currency_that_of_the_symbol_counts() {
    for (json, symbol, expected) in [
        (r#"{"Volume BTC":1,"Volume USD":2}"#, "BTC/USD", 1),
        (r#"{"Volume USD":2,"Volume BTC":1}"#, "BTCUSD", 1),
        (r#"{"Volume ETH":1,"Volume BTC":2}"#, "other", 1),
        (r#"{"Volume BTC":null,"Volume USD":2}"#, "BTC/USD", 2),
        (r#"{"Volume BTC":1,"volume":3}"#, "BTC/USD", 3),
    ] {
        let mut fields = Fields::read(json).unwrap();
        fields.settle_volume(symbol);
        assert_eq!(fields.take(Field::Volume), Scalar::Int(expected), "{json}");
    }
}

#[test]
fn a_name_is_given_as_it_is_written() {
    let fields = Fields::read(r#"{"Close Price":1,"c":2,"previousClose":3}"#).unwrap();
    assert_eq!(fields.name(Field::Close), "Close Price");
    assert_eq!(fields.name(Field::Open), "open");
    assert_eq!(fields.mark_name(Marks::DAY), "previousClose");
}

#[test]
fn only_a_boolean_makes_w_a_flag() {
    for (json, expected) in [
        (r#"{"w":false}"#, Scalar::Bool(false)),
        (r#"{"w":101.5}"#, Scalar::Absent),
        (r#"{"w":"1"}"#, Scalar::Absent),
        (r#"{"w":[]}"#, Scalar::Absent),
    ] {
        assert_eq!(value(json, Field::Final), expected, "{json}");
    }
}

#[test]
fn of_several_spellings_the_first_name_counts_and_of_equal_keys_the_last() {
    for (json, expected) in [
        (r#"{"c":1,"close":2,"price":3}"#, Scalar::Int(2)),
        (r#"{"price":3,"c":1}"#, Scalar::Int(1)),
        (r#"{"close":1,"close":2}"#, Scalar::Int(2)),
        (r#"{"close":null,"c":7}"#, Scalar::Int(7)),
        (r#"{"close":5,"close":null}"#, Scalar::Absent),
        (r#"{"close":5,"c":7,"close":null}"#, Scalar::Int(7)),
        (r#"{"c":7,"close":5,"close":null}"#, Scalar::Int(7)),
        (r#"{"close":5,"c":7,"c":null}"#, Scalar::Int(5)),
        (r#"{"close":1e400,"close":5}"#, Scalar::Int(5)),
        (r#"{"close":1e400,"c":5}"#, Scalar::HugeNumber("1e400")),
        (r#"{"\u0063lose":4}"#, Scalar::Int(4)),
    ] {
        assert_eq!(value(json, Field::Close), expected, "{json}");
    }
}

#[test]
fn values_keep_their_json_type() {
    for (json, expected) in [
        ("null", Scalar::Absent),
        ("true", Scalar::Bool(true)),
        ("18446744073709551615", Scalar::Int(u64::MAX)),
        ("18446744073709551616", Scalar::Number(2f64.powi(64))),
        ("-3", Scalar::Number(-3.0)),
        ("0.1", Scalar::Number(0.1)),
        (r#""x\n""#, Scalar::Text("x\n".into())),
        ("[[1e999]]", Scalar::Nested),
        (r#"{"a":{}}"#, Scalar::Nested),
        (r#""\ud800""#, Scalar::BrokenText(r#""\ud800""#)),
        ("-1e400", Scalar::HugeNumber("-1e400")),
    ] {
        let object = format!(r#"{{"open":{json}}}"#);
        assert_eq!(value(&object, Field::Open), expected, "{json}");
    }
}

#[test]
fn what_is_no_json_is_an_error() {
    for json in [r#"{"a":1"#, "{} {}", r#"{"open":01}"#, r#"{"\ud800":1}"#] {
        assert!(Fields::read(json).is_err(), "{json}");
    }
}

#[test]
fn the_everyday_object_is_read_in_one_pass() {
    for json in [
        r#"{"symbol":"BTCUSDT","timeframe":"1m","timestamp":"2026-01-31T14:30:00Z","open":67123.45,"high":67180.02,"low":67101.9,"close":67155.31,"volume":12.84513}"#,
        r#" { "s" : "é/€" , "t":1769869800000, "o":"67.1","c":0.1, "x":true, "v":null,"n":0 } "#,
    ] {
        assert!(Fields::none(json).read_everyday(), "{json}");
    }
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec![
            "null", "true", "false", "[1]", "{}", "", "-1.5", "nul"
        ])
        .prop_map(str::to_owned),
        "[0-9]{1,21}",
        "[0-9]{1,12}\\.[0-9]{0,12}([eE][+-]?[0-9]{1,3})?",
        "\"[a-z0-9/é\\\\\"\u{1}\u{7f} ]{0,4}\"",
    ]
}

proptest! {
    /// The fast reader takes nothing but JSON, and reads the same fields.
    #[test]
    fn both_ways_of_reading_agree(
        entries in proptest::collection::vec(
            (
                proptest::sample::select(
                    vec!["close", "c", "price", "s", "sym", "x", "other", "\\u0063", "a\"b", "Close",
                        "w", "pc", "start", "timestamp", "Volume BTC", "Vol."]),
                any_value(),
            ),
            0..6,
        ),
        space in "[ \t\n\r]{0,2}",
        (at, other) in (any::<proptest::sample::Index>(), "[ -~]?"),
    ) {
        let entries: Vec<_> = entries
            .iter()
            .map(|(key, value)| format!("{space}\"{key}\"{space}:{space}{value}{space}"))
            .collect();
        let whole = format!("{space}{{{}}}{space}", entries.join(","));
        let mut damaged: Vec<char> = whole.chars().collect();
        let at = at.index(damaged.len());
        damaged.splice(at..=at, other.chars());
        for json in [whole, damaged.into_iter().collect()] {
            let mut fields = Fields::none(&json);
            if fields.read_everyday() {
                let careful = Fields::careful(&json);
                prop_assert_eq!(Ok(fields), careful.map_err(|e| e.to_string()), "{}", json);
            }
        }
    }

    /// The standard library reads numbers by another algorithm.
    #[test]
    fn a_number_is_the_nearest_double(number in "(0|[1-9][0-9]{0,9})\\.[0-9]{1,14}") {
        let json = format!("{{\"open\":{number}}}");
        let expected = Scalar::Number(number.parse().unwrap());
        prop_assert_eq!(value(&json, Field::Open), expected);
    }
}
