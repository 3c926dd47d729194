//! A message as one line: for people, or as JSON.
//!
//! The result has no line breaks and no control characters, because it goes to a terminal.

use async_nats::Message;
use serde_json::{Value, json};

use crate::wire::headers;

/// Characters of a message of another kind that are shown.
const SHOWN: usize = 160;
/// Significant digits of a computed value.
const DIGITS: i32 = 6;

/// A kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The signal of a complete bar.
    Signal,
    /// The signal of a bar that is still forming.
    Forming,
    /// A dead letter.
    Refused,
    /// Anything else.
    Other,
}

impl Kind {
    /// Every kind; `kind as usize` is its index.
    pub const ALL: [Self; 4] = [Self::Signal, Self::Forming, Self::Refused, Self::Other];

    /// Several of this kind.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Signal => "signals",
            Self::Forming => "signals of forming bars",
            Self::Refused => "dead letters",
            Self::Other => "other messages",
        }
    }
}

/// The kind of a message, and its line with the end of the line.
pub fn of(message: &Message, json: bool) -> (Kind, Vec<u8>) {
    let parsed: Option<Value> = serde_json::from_slice(&message.payload).ok();
    let header = |name: &str| {
        let headers = message.headers.as_ref()?;
        headers.get(name).map(async_nats::HeaderValue::as_str)
    };
    let kind = if header(headers::REASON).is_some() {
        Kind::Refused
    } else {
        match parsed.as_ref().map(|signal| &signal["final"]) {
            Some(Value::Bool(complete)) if parsed.as_ref().is_some_and(is_signal) => {
                if *complete {
                    Kind::Signal
                } else {
                    Kind::Forming
                }
            }
            _ => Kind::Other,
        }
    };
    let text = String::from_utf8_lossy(&message.payload);
    let said = |name| header(name).unwrap_or_default();
    let line = match (kind, json) {
        (Kind::Refused, true) => json!({"refused": {
            "reason": said(headers::REASON),
            "detail": said(headers::DETAIL),
            "subject": said(headers::SUBJECT),
            "payload": text,
        }})
        .to_string(),
        (Kind::Refused, false) => format!(
            "refused as {} on {}: {} | {}",
            said(headers::REASON),
            said(headers::SUBJECT),
            said(headers::DETAIL),
            shown(&text)
        ),
        // one line already, and not a byte of it may change
        (_, true) if parsed.is_some() && !text.contains(['\n', '\r']) => text.into_owned(),
        (_, true) => match parsed {
            Some(value) => value.to_string(),
            None => json!({"subject": message.subject.as_str(), "payload": text}).to_string(),
        },
        (Kind::Signal | Kind::Forming, false) => readable(&parsed.unwrap_or_default()),
        (Kind::Other, false) => format!("{}: {}", message.subject, shown(&text)),
    };
    let mut line = if json { line } else { printable(&line) };
    line.push('\n');
    (kind, line.into_bytes())
}

fn is_signal(value: &Value) -> bool {
    ["symbol", "timeframe", "timestamp"]
        .iter()
        .all(|name| value[name].is_string())
        && value["close"].is_number()
        && value["alerts"].is_array()
}

/// A signal for people: the bar, the values that most look at, the events, and what is out of the
/// ordinary.
fn readable(signal: &Value) -> String {
    let text = |name: &str| signal[name].as_str().unwrap_or_default();
    let value = |name: &str| number(&signal[name]);
    let mut line = format!(
        "{}  {:<10} {:<3}  close {:<10}  rsi {:<7}  macd {:<10}  hist {:<10}  {:<7}",
        text("timestamp"),
        text("symbol"),
        text("timeframe"),
        signal["close"].to_string(),
        value("rsi"),
        value("macd"),
        value("macd_histogram"),
        text("trend_signal"),
    );
    let mut add = |more: &str| {
        line.push_str("  ");
        line.push_str(more);
    };
    if text("momentum_signal") != "neutral" {
        add(text("momentum_signal"));
    }
    for alert in signal["alerts"].as_array().into_iter().flatten() {
        add(alert.as_str().unwrap_or_default());
    }
    for (name, value) in signal["indicators"].as_object().into_iter().flatten() {
        match value {
            Value::Object(outputs) => {
                let outputs: Vec<String> = outputs
                    .iter()
                    .map(|(output, value)| format!("{output} {}", number(value)))
                    .collect();
                add(&format!("{name} {}", outputs.join(" ")));
            }
            value => add(&format!("{name} {}", number(value))),
        }
    }
    if signal["final"] == false {
        add("(forming)");
    }
    if signal["revision"]
        .as_u64()
        .is_some_and(|revision| revision > 0)
    {
        add(&format!("(revision {})", signal["revision"]));
    }
    if signal["gap_bars"].as_u64().is_some_and(|gap| gap > 0) {
        add(&format!("(gap of {} bars)", signal["gap_bars"]));
    }
    line.truncate(line.trim_end().len());
    line
}

/// A computed value in [`DIGITS`] digits; a dash where there is none.
fn number(value: &Value) -> String {
    let Some(number) = value.as_f64() else {
        return match value {
            Value::Null => "-".to_owned(),
            other => other.to_string(),
        };
    };
    if number == 0.0 {
        return "0".to_owned();
    }
    #[allow(clippy::cast_possible_truncation)] // at most three digits
    let exponent = number.abs().log10().floor() as i32;
    if !(-5..15).contains(&exponent) {
        return format!("{number:.5e}");
    }
    let decimals = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
    let text = format!("{number:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// The beginning of a message.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The text with a space for each control character.
fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;

    use super::*;

    fn message(payload: &str, headers: &[(&str, &str)]) -> Message {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        Message {
            subject: "a.b".into(),
            reply: None,
            payload: payload.to_owned().into(),
            headers: (!headers.is_empty()).then_some(map),
            status: None,
            description: None,
            length: 0,
        }
    }

    fn line(message: &Message, json: bool) -> (Kind, String) {
        let (kind, line) = of(message, json);
        (kind, String::from_utf8(line).unwrap())
    }

    const SIGNAL: &str = r#"{"symbol":"AAPL","timeframe":"1d","timestamp":"2013-03-01T00:00:00Z","open":438.0,"high":438.1799,"low":429.98,"close":430.47,"volume":19730300.0,"rsi":32.77835468241675,"macd":-12.713881130862319,"macd_signal":-12.263335710557996,"macd_histogram":-0.4505454203043229,"trend_signal":"bearish","momentum_signal":"neutral","confidence":1.0,"alerts":["macd_bearish_cross","bb_breakout_down"],"bars_analyzed":200,"gap_bars":0,"final":true,"revision":0,"source":null,"indicators":{}}"#;

    #[test]
    fn a_signal_is_a_readable_line_and_as_json_its_bytes() {
        let signal = message(SIGNAL, &[]);
        let (kind, text) = line(&signal, false);
        assert_eq!(kind, Kind::Signal);
        assert_eq!(
            text,
            "2013-03-01T00:00:00Z  AAPL       1d   close 430.47      rsi 32.7784  macd -12.7139    hist -0.450545   bearish  macd_bearish_cross  bb_breakout_down\n"
        );
        assert_eq!(line(&signal, true), (Kind::Signal, format!("{SIGNAL}\n")));
    }

    #[test]
    fn what_is_out_of_the_ordinary_is_marked() {
        let text = SIGNAL
            .replace(
                r#""final":true,"revision":0"#,
                r#""final":false,"revision":2"#,
            )
            .replace(r#""gap_bars":0"#, r#""gap_bars":3"#)
            .replace(r#""rsi":32.77835468241675"#, r#""rsi":null"#)
            .replace(
                r#""momentum_signal":"neutral""#,
                r#""momentum_signal":"oversold""#,
            )
            .replace(
                r#""indicators":{}"#,
                r#""indicators":{"atr_14":1.5,"stoch_14_3_3":{"k":81.25,"d":null}}"#,
            );
        let (kind, text) = line(&message(&text, &[]), false);
        assert_eq!(kind, Kind::Forming);
        for words in [
            "rsi -  ",
            "  oversold  ",
            "  atr_14 1.5  ",
            "  stoch_14_3_3 d - k 81.25  ",
            "(forming)  (revision 2)  (gap of 3 bars)\n",
        ] {
            assert!(text.contains(words), "`{words}` is missing in {text}");
        }
    }

    #[test]
    fn a_dead_letter_shows_its_reason_and_the_message() {
        let letter = message(
            "{\n\"a\":\u{1b}[2J1}",
            &[
                ("Ta-Reason", "missing_field"),
                ("Ta-Detail", "no `open`"),
                ("Ta-Subject", "raw.x"),
            ],
        );
        let (kind, text) = line(&letter, false);
        assert_eq!(kind, Kind::Refused);
        assert_eq!(
            text,
            "refused as missing_field on raw.x: no `open` | { \"a\": [2J1}\n"
        );
        let (_, text) = line(&letter, true);
        let object: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["refused"]["payload"], "{\n\"a\":\u{1b}[2J1}");
        assert_eq!(object["refused"]["reason"], "missing_field");
        assert_eq!(text.matches('\n').count(), 1);
    }

    #[test]
    fn any_other_message_is_one_line_too() {
        let long = "é".repeat(2 * SHOWN);
        let (kind, text) = line(&message(&long, &[]), false);
        assert_eq!(kind, Kind::Other);
        assert_eq!(text.chars().count(), "a.b: …\n".chars().count() + SHOWN);
        let (_, text) = line(&message("[1,\r\n2]", &[]), true);
        assert_eq!(text, "[1,2]\n");
        let (_, text) = line(&message("no\njson", &[]), true);
        assert_eq!(text, "{\"payload\":\"no\\njson\",\"subject\":\"a.b\"}\n");
    }

    #[test]
    fn numbers_have_six_digits_at_any_magnitude() {
        for (value, text) in [
            (1.0, "1"),
            (-0.450_545_420_3, "-0.450545"),
            (2.4e-9, "2.40000e-9"),
            (1.5e-5, "0.000015"),
            (123_456.789, "123457"),
            (1e12, "1000000000000"),
            (1e15, "1.00000e15"),
            (0.0, "0"),
            (100.0, "100"),
        ] {
            assert_eq!(number(&json!(value)), text);
        }
    }
}
