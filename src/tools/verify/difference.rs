//! The fields in which two payloads differ.

use serde_json::{Map, Value};

use super::report::Difference;

/// Fields that are described.
const DESCRIBED: usize = 20;
/// Bytes of a payload that is described whole.
const SHOWN: usize = 200;

/// The fields in which `found` is not `expected`; the payloads as text where they are no objects
/// or hold the same values in other bytes.
#[must_use]
pub fn between(expected: &[u8], found: &[u8]) -> Vec<Difference> {
    if expected == found {
        return Vec::new();
    }
    let object = |bytes: &[u8]| serde_json::from_slice::<Map<String, Value>>(bytes).ok();
    if let (Some(expected), Some(found)) = (object(expected), object(found)) {
        let mut all = Vec::new();
        compare("", &expected, &found, &mut all);
        if !all.is_empty() {
            return all;
        }
    }
    vec![Difference {
        field: "payload".to_owned(),
        expected: Some(text(expected)),
        found: Some(text(found)),
    }]
}

fn compare(
    prefix: &str,
    expected: &Map<String, Value>,
    found: &Map<String, Value>,
    all: &mut Vec<Difference>,
) {
    let added = found.keys().filter(|name| !expected.contains_key(*name));
    for name in expected.keys().chain(added) {
        if all.len() >= DESCRIBED {
            return;
        }
        let field = format!("{prefix}{name}");
        match (expected.get(name), found.get(name)) {
            (a, b) if a == b => {}
            (Some(Value::Object(a)), Some(Value::Object(b))) => {
                compare(&format!("{field}."), a, b, all);
            }
            (a, b) => all.push(Difference {
                field,
                expected: a.cloned(),
                found: b.cloned(),
            }),
        }
    }
}

fn text(bytes: &[u8]) -> Value {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    let more = if bytes.len() > SHOWN { "…" } else { "" };
    Value::String(format!("{shown}{more}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(expected: &str, found: &str) -> Vec<String> {
        let all = between(expected.as_bytes(), found.as_bytes());
        all.into_iter().map(|one| one.field).collect()
    }

    #[test]
    fn the_fields_that_differ_are_named() {
        assert_eq!(fields(r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2}"#), [""; 0]);
        assert_eq!(fields(r#"{"a":1,"b":2}"#, r#"{"a":1,"b":3}"#), ["b"]);
        assert_eq!(fields(r#"{"a":1}"#, r#"{"b":1}"#), ["a", "b"]);
        assert_eq!(
            fields(r#"{"i":{"x":1,"y":2}}"#, r#"{"i":{"x":1,"y":3}}"#),
            ["i.y"]
        );
    }

    #[test]
    fn other_bytes_for_the_same_values_are_a_difference_too() {
        assert_eq!(fields(r#"{"a":1}"#, r#"{"a": 1}"#), ["payload"]);
        assert_eq!(fields("{", "["), ["payload"]);
    }

    #[test]
    fn values_are_shown_as_they_are() {
        let all = between(br#"{"rsi":70.5}"#, br#"{"rsi":null}"#);
        assert_eq!(all[0].expected, Some(serde_json::json!(70.5)));
        assert_eq!(all[0].found, Some(Value::Null));
    }
}
