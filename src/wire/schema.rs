//! JSON Schemas of what goes in and out, generated from the types that read and write it.

use serde_json::{Map, Value, json};

use super::fields::Field;
use crate::engine::Signal;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of a market-data message: a bar or quote, or an array of them.
///
/// It says what can be said of one value at a time. That the high is the highest, that time
/// is not far ahead, and that subject and payload agree is for the decoder to judge.
#[must_use]
pub fn market_data() -> Value {
    json!({
        "$schema": DIALECT,
        "title": "MarketData",
        "description": "A bar or quote, or an array of them whose elements stand alone. A field may be given by any of its names; of several, the first listed counts. `null` is as if absent. Unknown fields are ignored.",
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
        let native = field.names()[0];
        for name in field.names() {
            let mut schema = value(field);
            if *name != native {
                schema["description"] = json!(alias_note(native, name));
            }
            properties.insert((*name).to_owned(), schema);
        }
    }
    let bar: Vec<Value> = [Field::Open, Field::High, Field::Low, Field::Close]
        .map(given)
        .into();
    json!({
        "type": "object",
        "properties": properties,
        "allOf": [given(Field::Timestamp)],
        "anyOf": [
            { "title": "bar", "allOf": bar },
            { "title": "quote", "allOf": [given_as("price")] },
        ],
    })
}

fn alias_note(native: &str, alias: &str) -> String {
    if alias == "price" {
        "Alias of `close`. Without open, high and low it makes a quote: a bar of one price."
            .to_owned()
    } else {
        format!("Alias of `{native}`.")
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
            "description": format!("{what} In the instrument's quote currency, as a number or decimal text."),
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
            "description": "The bar length. Else the subject's, else the configured default; where both name it they must agree.",
            "type": ["string", "null"],
            "pattern": "^(([1-9]|[12][0-9]|30)[sm]|([1-9]|1[0-2])h|1d|1w)$",
        }),
        Field::Timestamp => json!({
            "description": "When the bar opened: RFC 3339 with an offset, or an epoch in s, ms, µs or ns (told apart by size), as a number or digits. At most 24 h ahead.",
            "type": ["string", "number", "null"],
            "minimum": 0,
            "examples": ["2026-01-31T14:30:00Z", 1_769_869_800, 1_769_869_800_000_i64],
        }),
        Field::Open => price("First price."),
        Field::High => price("Highest price, not below open or close."),
        Field::Low => price("Lowest price, not above open or close."),
        Field::Close => price("Last price."),
        Field::Volume => json!({
            "description": "Traded volume in the instrument's unit, as a number or decimal text.",
            "type": ["number", "string", "null"],
            "minimum": 0,
            "pattern": DECIMAL,
            "default": 0,
        }),
        Field::Final => json!({
            "description": "Whether the bar is complete. `false`: still forming, yields a provisional signal and changes nothing.",
            "enum": [true, false, "true", "false", 1, 0, null],
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
    use crate::wire::{DecodeLimits, Decoder, SubjectParts};

    fn decodes(message: &str) -> bool {
        let decoder = Decoder::new(DecodeLimits {
            max_payload_bytes: 4_096,
            default_timeframe: Timeframe::MINUTE,
        });
        let subject = Ok(SubjectParts {
            symbol: Some("A".into()),
            timeframe: None,
        });
        let now = Timestamp::from_epoch(1_800_000_000);
        let mut all = true;
        decoder.decode(message.as_bytes(), &subject, now, |e| all &= e.is_ok());
        all
    }

    #[test]
    fn schema_and_decoder_agree_on_what_both_can_judge() {
        let schema = jsonschema::validator_for(&market_data()).unwrap();
        let base = r#""t":1700000000,"o":2,"h":3,"l":1,"c":2"#;
        for (message, expected) in [
            (format!("{{{base}}}"), true),
            (format!("[{{{base}}},{{{base}}}]"), true),
            (
                r#"{"time":"2026-01-31T14:30:00Z","price":"1.5"}"#.to_owned(),
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
            (format!(r#"{{{base},"tf":"31m"}}"#), false),
            (format!(r#"{{{base},"tf":"13h"}}"#), false),
            (format!(r#"{{{base},"v":"1e3"}}"#), true),
            (format!(r#"{{{base},"v":-1}}"#), false),
            (format!(r#"{{{base},"v":"much"}}"#), false),
            (format!(r#"{{{base},"v":"NaN"}}"#), false),
            (format!(r#"{{{base},"open":0}}"#), false),
            (format!(r#"{{{base},"open":[2]}}"#), false),
            (format!(r#"{{{base},"open":"2."}}"#), true),
            (format!(r#"{{{base},"open":" 2"}}"#), false),
            (format!(r#"{{{base},"timestamp":-1}}"#), false),
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
            alerts bars_analyzed gap_bars final revision source indicators";
        let mut expected: Vec<_> = names.split_whitespace().collect();
        let schema = signal();
        let properties = schema["properties"].as_object().unwrap();
        let mut found: Vec<_> = properties.keys().map(String::as_str).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}
