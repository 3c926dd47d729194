//! The elements of a message, the values that they come from, and the agent's actions for them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::report::does;
use super::trace::{self, Traced};
use crate::market::Timestamp;
use crate::pipeline::{Filter, Output, Sink};
use crate::wire::{Content, Decoder, Reason, SubjectParts, SubjectRefusal};

/// Elements of one message whose fields are traced.
const TRACED: usize = 64;
/// The fields that make a bar of the generic shape.
pub(super) const BAR: &[&str] = &["timestamp", "open", "high", "low", "close"];
/// The fields that make a trade of the generic shape.
pub(super) const TRADE: &[&str] = &["timestamp", "price", "size"];

/// The agent's actions for one element.
#[derive(Default)]
pub(super) struct Actions {
    pub bars: usize,
    pub last: String,
    /// Reason of a refusal, if it was refused.
    pub refused: Option<(Reason, String)>,
}

impl Filter for Actions {}

impl Sink for Actions {
    fn output(&mut self, output: Output<'_>) {
        // what is explained is the message, and not what follows from it
        if matches!(
            output,
            Output::Derived(_) | Output::Revised(_) | Output::Restated(_)
        ) {
            return;
        }
        if let Output::Refused(refusal) = &output {
            self.refused = Some((refusal.reason, refusal.detail.to_string()));
        }
        self.bars += 1;
        self.last = does(&output);
    }
}

/// An element of a message, and the place of its bytes.
pub(super) struct ReadElement<'p> {
    pub dialect: &'static str,
    pub content: Content<'p>,
    pub span: (usize, usize),
}

pub(super) fn read<'p>(
    decoder: &Decoder,
    payload: &'p [u8],
    parts: &'p Result<SubjectParts<'p>, SubjectRefusal>,
    now: Timestamp,
) -> Vec<ReadElement<'p>> {
    let mut elements = Vec::new();
    decoder.decode_all(payload, parts, now, |element| {
        let bytes = element.bytes;
        let start = (bytes.as_ptr() as usize).saturating_sub(payload.as_ptr() as usize);
        let end = (start + bytes.len()).min(payload.len());
        elements.push(ReadElement {
            dialect: element.dialect,
            content: element.content,
            span: (start.min(end), end),
        });
    });
    elements
}

/// The reason why a message counts as one of the generic shape.
pub(super) fn because(
    noun: &str,
    wanted: &[&str],
    fields: &BTreeMap<&'static str, String>,
) -> String {
    let names: Vec<Cow<'_, str>> = wanted
        .iter()
        .filter_map(|field| fields.get(*field))
        .map(|name| Cow::Borrowed(name.as_str()))
        .collect();
    format!("it has the fields of a {noun} ({})", names.join(", "))
}

/// The paths of the values that the element at a place among `spans` was made of; `facts` takes the
/// fields out of an element of its kind.
pub(super) fn traced<'p, F: Traced>(
    decoder: &Decoder,
    payload: &[u8],
    parts: &'p Result<SubjectParts<'p>, SubjectRefusal>,
    now: Timestamp,
    (spans, at): (&[(usize, usize)], usize),
    facts: impl Fn(&Content<'_>) -> Option<F>,
) -> BTreeMap<&'static str, String> {
    let (start, end) = spans[at];
    // the bars of an envelope all have the bytes of the message
    let twins = spans[..at].iter().filter(|span| span.0 == start).count();
    let Some(text) = std::str::from_utf8(payload).ok().filter(|_| at < TRACED) else {
        return BTreeMap::new();
    };
    trace::sources(
        text,
        |place| {
            let inside = |(from, to): &(usize, usize)| (*from..*to).contains(&place);
            spans
                .iter()
                .enumerate()
                .any(|(other, span)| other != at && inside(span) && !inside(&(start, end)))
        },
        |bytes| {
            // a change may put the bars of the message in another order
            let read = read(decoder, bytes, parts, now);
            let mut same = read.iter().filter(|read| read.span.0 == start);
            facts(&same.nth(twins)?.content)
        },
    )
}
