//! JSON Schemas of what goes in and out, generated from the types that read and write it.

use serde_json::{Map, Value, json};

use super::fields::Field;
use crate::engine::Signal;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of a market-data message: a bar, or an array of them.
///
/// It says what can be said of one value at a time. That the high is the highest, that time
/// is not far ahead, and that subject and payload agree is for the decoder to judge.
#[must_use]
pub fn market_data() -> Value {
    json!({
        "$schema": DIALECT,
        "title": "MarketData",
        "description": "A bar, or an array of bars whose elements stand alone. A field may be given by any of its names, those of several letters in any case and with or without spaces and underscores. Of several, the native name counts before its aliases, but the name of a bar's start (`start`, `open_time`, …) before `timestamp`. `null` is as if absent. Unknown fields are ignored.",
        "oneOf": [
            { "$ref": "#/$defs/Bar" },
            { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/Bar" } },
        ],
        "$defs": { "Bar": bar() },
    })
}

fn bar() -> Value {
    let mut properties = Map::new();
    for field in Field::ALL {
        let native = field.native();
        for name in field.names() {
            let mut schema = value(field);
            if *name == "w" {
                // other values than booleans are passed over
                schema = json!({});
            }
            if *name != native {
                schema["description"] = json!(alias_note(native, name));
            }
            properties.insert((*name).to_owned(), schema);
        }
    }
    let needed = [
        Field::Timestamp,
        Field::Open,
        Field::High,
        Field::Low,
        Field::Close,
    ];
    let given: Vec<Value> = needed.map(given).into();
    json!({
        "type": "object",
        "properties": properties,
        "allOf": given,
    })
}

fn alias_note(native: &str, alias: &str) -> String {
    match alias {
        "price" => {
            "Alias of `close`. Without open, high and low it makes a trade, which is refused."
                .to_owned()
        }
        "w" => "Alias of `final`, where it is a boolean.".to_owned(),
        "granularity" => "Alias of `timeframe`, of which numbers are seconds.".to_owned(),
        "Volume BTC" => {
            "Alias of `volume`, with the code of any currency: that which the symbol begins with counts."
                .to_owned()
        }
        _ => format!("Alias of `{native}`."),
    }
}

/// One of the field's names is there and not `null`.
fn given(field: Field) -> Value {
    let names: Vec<_> = field.names().iter().map(|name| given_as(name)).collect();
    json!({ "anyOf": names })
}

fn given_as(name: &str) -> Value {
    json!({ "required": [name], "properties": { name: { "not": { "type": "null" } } } })
}

/// The native form of a field.
fn value(field: Field) -> Value {
    let price = |what: &str| {
        json!({
            "description": format!("{what} In the instrument's quote currency, as a number or decimal text; above zero unless TECHNICAL_PRICES is `any`."),
            "type": ["number", "string", "null"],
            "exclusiveMinimum": 0,
            "pattern": DECIMAL,
        })
    };
    match field {
        Field::Symbol => json!({
            "description": "The instrument, 1 to 64 bytes without control characters. May be left to the subject; where both name it they must agree.",
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": 64,
            "examples": ["BTCUSDT", "BRK.B", "BTC/USDT"],
        }),
        Field::Timeframe => json!({
            "description": "The bar length: 1s to 59s, any minutes or hours below a day (5m, 4h), 1d, 2d, 3d, 1w or 1M, in any usual spelling; a number is one of minutes. Else the subject's, else the configured default; where both name it they must agree.",
            "type": ["string", "number", "null"],
            "minLength": 1,
            "exclusiveMinimum": 0,
            "examples": ["1m", "4h", "1d", 60],
        }),
        Field::Timestamp => json!({
            "description": "When the bar opened: RFC 3339, or an epoch since 1980 in s, ms, µs or ns (told apart by size), as a number or digits; also a date such as 20260131. Without an offset it is read in TECHNICAL_TIMEZONE. At most 24 h ahead, and on the grid of the timeframe.",
            "type": ["string", "number", "null"],
            "minimum": 19_000_101,
            "examples": ["2026-01-31T14:30:00Z", 1_769_869_800, 1_769_869_800_000_i64],
        }),
        Field::Open => price("First price."),
        Field::High => price("Highest price, not below open or close."),
        Field::Low => price("Lowest price, not above open or close."),
        Field::Close => price("Last price."),
        Field::Volume => json!({
            "description": "Traded volume in the instrument's unit, as a number or decimal text; -1 is none.",
            "type": ["number", "string", "null"],
            "minimum": -1,
            "pattern": DECIMAL,
            "default": 0,
        }),
        Field::Final => json!({
            "description": "Whether the bar is complete. `false`: still forming, yields a provisional signal and changes nothing.",
            "enum": [true, false, "true", "false", "1", "0", 1, 0, null],
            "default": true,
        }),
        Field::Source => json!({
            "description": "Who sent it, carried through to the signal.",
            "type": ["string", "null"],
        }),
    }
}

/// Decimal text as it should be sent.
const DECIMAL: &str = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$";

/// The schema of a signal.
#[must_use]
pub fn signal() -> Value {
    schemars::schema_for!(Signal).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::market::{Timeframe, Timestamp};
    use crate::wire::{Decoder, InputRules, SubjectParts};

    fn decodes(message: &str) -> bool {
        let decoder = Decoder::new(InputRules::new(4_096, Timeframe::MINUTE));
        let subject = Ok(SubjectParts {
            symbol: Some("A".into()),
            timeframe: None,
        });
        let now = Timestamp::from_epoch(1_800_000_000);
        let mut all = true;
        decoder.decode(message.as_bytes(), &subject, now, |e, _| all &= e.is_ok());
        all
    }

    #[test]
    fn schema_and_decoder_agree_on_what_both_can_judge() {
        let schema = jsonschema::validator_for(&market_data()).unwrap();
        let base = r#""t":1700000100,"o":2,"h":3,"l":1,"c":2"#;
        for (message, expected) in [
            (format!("{{{base}}}"), true),
            (format!("[{{{base}}},{{{base}}}]"), true),
            (
                r#"{"time":"2026-01-31T14:30:00Z","price":"1.5"}"#.to_owned(),
                false,
            ),
            (
                r#"{"start":"2026-01-31T14:30:00Z","o":1,"h":"1.5","l":1,"price":"1.5"}"#
                    .to_owned(),
                true,
            ),
            (r#"{"t":1700000000,"close":5}"#.to_owned(), false),
            (r#"{"t":null,"price":5}"#.to_owned(), false),
            (r#"{"price":5}"#.to_owned(), false),
            ("[]".to_owned(), false),
            ("5".to_owned(), false),
            ("[3]".to_owned(), false),
            (format!(r#"{{{base},"s":"A"}}"#), true),
            (format!(r#"{{{base},"symbol":""}}"#), false),
            (format!(r#"{{{base},"ticker":5}}"#), false),
            (format!(r#"{{{base},"tf":"30m"}}"#), true),
            (format!(r#"{{{base},"tf":"12h"}}"#), true),
            (format!(r#"{{{base},"tf":15}}"#), true),
            (format!(r#"{{{base},"tf":0}}"#), false),
            (format!(r#"{{{base},"tf":""}}"#), false),
            (format!(r#"{{{base},"tf":[]}}"#), false),
            (format!(r#"{{{base},"v":"1e3"}}"#), true),
            (format!(r#"{{{base},"v":-1}}"#), true),
            (format!(r#"{{{base},"v":-2}}"#), false),
            (format!(r#"{{{base},"w":12.5}}"#), true),
            (format!(r#"{{{base},"v":"much"}}"#), false),
            (format!(r#"{{{base},"v":"NaN"}}"#), false),
            (format!(r#"{{{base},"open":0}}"#), false),
            (format!(r#"{{{base},"open":[2]}}"#), false),
            (format!(r#"{{{base},"open":"2."}}"#), true),
            (format!(r#"{{{base},"open":" 2"}}"#), false),
            (format!(r#"{{{base},"timestamp":-1}}"#), false),
            (format!(r#"{{{base},"timestamp":45293}}"#), false),
            (format!(r#"{{{base},"timestamp":true}}"#), false),
            (format!(r#"{{{base},"x":0}}"#), true),
            (format!(r#"{{{base},"x":2}}"#), false),
            (format!(r#"{{{base},"source":1}}"#), false),
            (format!(r#"{{{base},"source":"x","other":[1]}}"#), true),
        ] {
            let value = serde_json::from_str(&message).unwrap();
            assert_eq!(schema.is_valid(&value), expected, "schema: {message}");
            assert_eq!(decodes(&message), expected, "decoder: {message}");
        }
    }

    #[test]
    fn the_signal_schema_has_the_fields_of_the_contract() {
        let names = "symbol timeframe timestamp open high low close volume rsi macd macd_signal \
            macd_histogram bb_upper bb_middle bb_lower bb_width bb_position sma_short sma_long \
            ema_short ema_long volume_sma volume_ratio trend_signal momentum_signal confidence \
            alerts bars_analyzed gap_bars final revision source parts parts_expected indicators";
        let mut expected: Vec<_> = names.split_whitespace().collect();
        let schema = signal();
        let properties = schema["properties"].as_object().unwrap();
        let mut found: Vec<_> = properties.keys().map(String::as_str).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
        // a plain bar has none
        let required = schema["required"].as_array().unwrap();
        assert!(required.iter().any(|name| *name == "revision"));
        let of_derived = |name: &&Value| **name == "parts" || **name == "parts_expected";
        assert!(required.iter().find(of_derived).is_none());
    }
}
