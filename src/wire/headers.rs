//! Headers: everything about a message that is not a pure function of the bars — who, when,
//! from where, and why not.

use std::fmt::Write as _;

use async_nats::header::{HeaderMap, HeaderName, HeaderValue};

use super::{Reason, Refusal, token};
use crate::market::{SeriesKey, Timestamp};

/// The name of the process that published.
pub const AGENT: &str = "Ta-Agent";
/// The group it belongs to.
pub const GROUP: &str = "Ta-Group";
/// Its version.
pub const VERSION: &str = "Ta-Version";
/// Durable: the stream sequence of the input.
pub const INPUT_SEQ: &str = "Ta-Input-Seq";
/// Microseconds from receipt to publish.
pub const LATENCY_US: &str = "Ta-Latency-Us";
/// Name of the refusal: a [`Reason`].
pub const REASON: &str = "Ta-Reason";
/// Explanation of the refusal, for a human.
pub const DETAIL: &str = "Ta-Detail";
/// The subject it came on.
pub const SUBJECT: &str = "Ta-Subject";
/// `true` when a dead letter is not whole.
pub const TRUNCATED: &str = "Ta-Truncated";
/// On a bar that was a dead letter: `<stream>.<sequence>` of the letter it was put back from.
pub const REDRIVEN: &str = "Ta-Redriven";
/// On a bar from `feed`: the run it came from, so that `feed` can ask what became of its bars.
pub const FEED: &str = "Ta-Feed";
/// By which the server recognises a second copy.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";
/// W3C trace context, carried through as it came.
pub const TRACEPARENT: &str = "traceparent";

/// Bytes that a dead letter keeps of a payload over the limit.
pub const TRUNCATED_BYTES: usize = 64 * 1024;

/// The longest text in a header; a detail or subject beyond it is cut.
pub const TEXT_BYTES: usize = 1_024;

static AGENT_NAME: HeaderName = HeaderName::from_static(AGENT);
static GROUP_NAME: HeaderName = HeaderName::from_static(GROUP);
static VERSION_NAME: HeaderName = HeaderName::from_static(VERSION);
static INPUT_SEQ_NAME: HeaderName = HeaderName::from_static(INPUT_SEQ);
static LATENCY_US_NAME: HeaderName = HeaderName::from_static(LATENCY_US);
static REASON_NAME: HeaderName = HeaderName::from_static(REASON);
static DETAIL_NAME: HeaderName = HeaderName::from_static(DETAIL);
static SUBJECT_NAME: HeaderName = HeaderName::from_static(SUBJECT);
static TRUNCATED_NAME: HeaderName = HeaderName::from_static(TRUNCATED);
static MESSAGE_ID_NAME: HeaderName = HeaderName::from_static(MESSAGE_ID);
static TRACEPARENT_NAME: HeaderName = HeaderName::from_static(TRACEPARENT);

/// The message id of a final signal: `<group>.<symbol>.<timeframe>.<open ns>.<revision>`, group
/// and symbol escaped as in subjects, so that no part holds a dot and no two ids collide. After a
/// reset of the series the revision is followed by `r` and the `epoch` of the reset in hexadecimal
/// digits: a bar of then may have the time of an earlier one.
#[must_use]
pub fn message_id(
    group: &str,
    series: &SeriesKey,
    opened: Timestamp,
    revision: u32,
    epoch: u64,
) -> String {
    let mut id = String::with_capacity(group.len() + series.symbol.as_str().len() + 40);
    for part in [group, series.symbol.as_str()] {
        // the formatting machinery costs more than the rest of an id together
        if part
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        {
            id.push_str(part);
        } else {
            id.extend(token(part));
        }
        id.push('.');
    }
    id.push_str(series.timeframe.text().as_str());
    for number in [opened.nanos(), i64::from(revision)] {
        id.push('.');
        id.push_str(itoa::Buffer::new().format(number));
    }
    if epoch != 0 {
        // after a reset only, so the cost of the machinery does not matter
        let _ = write!(id, "r{epoch:x}");
    }
    id
}

/// The headers of one signal, apart from those that name its publisher.
#[derive(Debug, Clone, Default)]
pub struct Provenance<'a> {
    /// From [`message_id`]; final bars only.
    pub message_id: Option<String>,
    /// Durable: the stream sequence of the bar.
    pub input_seq: Option<u64>,
    /// Microseconds from receipt to publish.
    pub latency_us: u64,
    /// The input's own.
    pub traceparent: Option<&'a HeaderValue>,
}

/// Makes the headers of signals.
#[derive(Debug, Clone)]
pub struct SignalHeaders {
    /// The headers that all signals share: cloning them costs less than inserting.
    shared: HeaderMap,
}

impl SignalHeaders {
    /// For signals of `agent` in `group` at `version`.
    #[must_use]
    pub fn new(agent: &str, group: &str, version: &str) -> Self {
        let mut shared = HeaderMap::new();
        shared.insert(AGENT_NAME.clone(), header_value(agent));
        shared.insert(GROUP_NAME.clone(), header_value(group));
        shared.insert(VERSION_NAME.clone(), header_value(version));
        // a fourth entry, so that a clone has room for the other three
        shared.insert(LATENCY_US_NAME.clone(), HeaderValue::new());
        Self { shared }
    }

    /// The headers of one signal.
    #[must_use]
    pub fn build(&self, about: Provenance<'_>) -> HeaderMap {
        let mut headers = self.shared.clone();
        headers.insert(LATENCY_US_NAME.clone(), HeaderValue::from(about.latency_us));
        if let Some(id) = about.message_id {
            headers.insert(MESSAGE_ID_NAME.clone(), id);
        }
        if let Some(sequence) = about.input_seq {
            headers.insert(INPUT_SEQ_NAME.clone(), HeaderValue::from(sequence));
        }
        if let Some(trace) = about.traceparent {
            headers.insert(TRACEPARENT_NAME.clone(), trace.clone());
        }
        headers
    }
}

/// Makes dead letters.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    agent: HeaderValue,
}

impl DeadLetters {
    /// For dead letters of `agent`.
    #[must_use]
    pub fn new(agent: &str) -> Self {
        Self {
            agent: header_value(agent),
        }
    }

    /// The headers and payload for input refused under `subject`. The payload is what was
    /// refused, whole; of one that is too large, the first [`TRUNCATED_BYTES`]. Together they
    /// have at most `most` bytes: the server takes no larger message.
    #[must_use]
    pub fn build<'a>(
        &self,
        refusal: &Refusal<'a>,
        subject: &str,
        input_seq: Option<u64>,
        most: usize,
    ) -> (HeaderMap, &'a [u8]) {
        let mut headers = HeaderMap::new();
        headers.insert(REASON_NAME.clone(), refusal.reason.name());
        headers.insert(DETAIL_NAME.clone(), detail(&refusal.detail, subject));
        headers.insert(SUBJECT_NAME.clone(), header_value(subject));
        headers.insert(AGENT_NAME.clone(), self.agent.clone());
        if let Some(sequence) = input_seq {
            headers.insert(INPUT_SEQ_NAME.clone(), HeaderValue::from(sequence));
        }
        let mut room = most.saturating_sub(size(&headers) + TRUNCATED.len() + 8);
        if refusal.reason == Reason::TooLarge {
            room = room.min(TRUNCATED_BYTES);
        }
        match refusal.payload.get(..room) {
            Some(first) if first.len() < refusal.payload.len() => {
                headers.insert(TRUNCATED_NAME.clone(), "true");
                (headers, first)
            }
            _ => (headers, refusal.payload),
        }
    }
}

/// The command that shows how messages on `subject` are read, ready for a shell.
#[must_use]
pub fn explain_command(subject: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._%-".contains(c);
    let named = !subject.is_empty() && subject.len() <= TEXT_BYTES / 2;
    let option = match subject {
        _ if !named => String::new(),
        subject if subject.chars().all(plain) => format!(" --subject {subject}"),
        subject => format!(" --subject '{}'", subject.replace('\'', "'\\''")),
    };
    format!("technical-analysis-agent explain{option}")
}

/// The detail of a refusal, with the command to run first. That stays whole where a long detail is
/// cut.
fn detail(detail: &str, subject: &str) -> HeaderValue {
    let command = format!("; run: {}", explain_command(subject));
    let room = TEXT_BYTES.saturating_sub(command.len());
    let end = (0..=detail.len().min(room))
        .rev()
        .find(|end| detail.is_char_boundary(*end))
        .unwrap_or_default();
    header_value(&format!("{}{command}", &detail[..end]))
}

/// The bytes that headers take in a message.
fn size(headers: &HeaderMap) -> usize {
    const VERSION_LINE: usize = "NATS/1.0\r\n\r\n".len();
    let entry = |name: &HeaderName, value: &HeaderValue| {
        AsRef::<[u8]>::as_ref(name).len() + value.as_str().len() + ": \r\n".len()
    };
    let entries = headers
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| entry(name, value)));
    VERSION_LINE + entries.sum::<usize>()
}

/// `text` as a header value: control characters, which would end the header, become spaces.
fn header_value(text: &str) -> HeaderValue {
    let end = (0..=text.len().min(TEXT_BYTES))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or_default();
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    HeaderValue::from(text[..end].chars().map(clean).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::borrow::Cow;

    use proptest::prelude::*;

    use crate::market::{Symbol, Timeframe};

    fn series(symbol: &str) -> SeriesKey {
        SeriesKey::new(Symbol::new(symbol).unwrap(), Timeframe::MINUTE)
    }

    fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        headers.get(name).map(HeaderValue::as_str)
    }

    #[test]
    fn a_signal_says_who_made_it_from_what() {
        let trace = HeaderValue::from("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let id = message_id("g.1", &series("BRK.B"), Timestamp::from_epoch(60), 2, 0);
        let headers = SignalHeaders::new("a", "g.1", "0.1.0").build(Provenance {
            message_id: Some(id),
            input_seq: Some(42),
            latency_us: 17,
            traceparent: Some(&trace),
        });
        for (name, expected) in [
            ("Ta-Agent", "a"),
            ("Ta-Group", "g.1"),
            ("Ta-Version", "0.1.0"),
            ("Ta-Input-Seq", "42"),
            ("Ta-Latency-Us", "17"),
            ("Nats-Msg-Id", "g%2E1.BRK%2EB.1m.60000000000.2"),
            (
                "traceparent",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ),
        ] {
            assert_eq!(text(&headers, name), Some(expected), "{name}");
        }
        assert_eq!(headers.len(), 7);
        let forming = SignalHeaders::new("a", "g", "v").build(Provenance::default());
        assert_eq!(text(&forming, MESSAGE_ID), None);
        assert_eq!(forming.len(), 4);
    }

    #[test]
    fn a_dead_letter_says_why_and_keeps_what_was_refused() {
        let refusal = Refusal {
            reason: Reason::BadPrice,
            detail: Cow::Borrowed("`close` is\r\n0"),
            payload: b"{}",
            elements: 1,
            symbol: None,
        };
        let (headers, payload) =
            DeadLetters::new("a").build(&refusal, "in\n.x", Some(7), usize::MAX);
        for (name, expected) in [
            ("Ta-Reason", "bad_price"),
            (
                "Ta-Detail",
                "`close` is  0; run: technical-analysis-agent explain --subject 'in .x'",
            ),
            ("Ta-Subject", "in .x"),
            ("Ta-Agent", "a"),
            ("Ta-Input-Seq", "7"),
        ] {
            assert_eq!(text(&headers, name), Some(expected), "{name}");
        }
        assert_eq!(headers.len(), 5);
        assert_eq!(payload, b"{}");
    }

    #[test]
    fn the_command_in_a_detail_is_one_for_a_shell_and_is_never_cut() {
        assert_eq!(
            explain_command("raw.x.BRK%2EB.1d"),
            "technical-analysis-agent explain --subject raw.x.BRK%2EB.1d"
        );
        assert_eq!(
            explain_command("raw.$(a)'b"),
            r"technical-analysis-agent explain --subject 'raw.$(a)'\''b'"
        );
        for subject in ["", &"x".repeat(2_000)] {
            assert_eq!(explain_command(subject), "technical-analysis-agent explain");
        }
        let long = detail(&"é".repeat(2_000), "a.b");
        let long = long.as_str();
        assert!(long.len() <= TEXT_BYTES, "{}", long.len());
        assert!(long.ends_with("é; run: technical-analysis-agent explain --subject a.b"));
    }

    #[test]
    fn only_what_is_too_large_is_cut() {
        let bytes = vec![b'x'; 70_000];
        for (reason, length, kept) in [
            (Reason::TooLarge, 70_000, 65_536),
            (Reason::TooLarge, 65_536, 65_536),
            (Reason::NotJson, 70_000, 70_000),
        ] {
            let refusal = Refusal {
                reason,
                detail: Cow::Borrowed(""),
                payload: &bytes[..length],
                elements: 1,
                symbol: None,
            };
            let (headers, payload) = DeadLetters::new("a").build(&refusal, "s", None, usize::MAX);
            assert_eq!(payload.len(), kept);
            let cut = (kept < length).then_some("true");
            assert_eq!(text(&headers, TRUNCATED), cut);
        }
    }

    #[test]
    fn a_dead_letter_fits_what_the_server_takes() {
        let bytes = vec![b'x'; 3_000];
        for most in [1_000, 2_000, 2_999, 3_500] {
            let refusal = Refusal {
                reason: Reason::NotJson,
                detail: Cow::Borrowed("payload is no JSON"),
                payload: &bytes,
                elements: 1,
                symbol: None,
            };
            let (headers, payload) = DeadLetters::new("a").build(&refusal, "s", Some(7), most);
            // as the server counts: the header block as it is written, and the payload
            let written: usize = headers
                .iter()
                .map(|(name, values)| name.to_string().len() + values[0].as_str().len() + 4)
                .sum::<usize>()
                + "NATS/1.0\r\n\r\n".len();
            assert!(written + payload.len() <= most, "{most}");
            assert!(most - written - payload.len() < 30 || payload.len() == 3_000);
            let cut = (payload.len() < 3_000).then_some("true");
            assert_eq!(text(&headers, TRUNCATED), cut);
            assert_eq!(most < 3_500, cut.is_some());
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_a_header(detail in any::<String>(), subject in "\\PC{0,2000}") {
            let refusal = Refusal {
                reason: Reason::Late,
                detail: Cow::Owned(detail),
                payload: b"",
                elements: 1,
                symbol: None,
            };
            let (headers, _) = DeadLetters::new("a").build(&refusal, &subject, None, usize::MAX);
            for name in [DETAIL, SUBJECT] {
                let value = text(&headers, name).unwrap();
                prop_assert!(!value.chars().any(char::is_control) && value.len() <= TEXT_BYTES);
            }
        }

        #[test]
        fn different_bars_have_different_ids(
            a in ("[a.%2E-]{1,4}", "[A.%/2F-]{1,4}", -20i64..20, 0u32..12, 0u64..3),
            b in ("[a.%2E-]{1,4}", "[A.%/2F-]{1,4}", -20i64..20, 0u32..12, 0u64..3),
        ) {
            let id = |(group, symbol, at, revision, epoch): &(String, String, i64, u32, u64)| {
                message_id(group, &series(symbol), Timestamp::from_nanos(*at), *revision, *epoch)
            };
            prop_assert_eq!(id(&a) == id(&b), a == b);
        }
    }
}
