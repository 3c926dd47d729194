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
        // only the message is explained, not its effect on other bars
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

/// A message whose elements are explained one after another.
pub(super) struct MessageRead<'r, 'p> {
    pub decoder: &'r Decoder,
    pub payload: &'r [u8],
    pub parts: &'p Result<SubjectParts<'p>, SubjectRefusal>,
    pub now: Timestamp,
    /// The places of its elements.
    pub spans: &'r [(usize, usize)],
}

impl MessageRead<'_, '_> {
    /// The paths of the values that element `at` was made of.
    pub fn sources<F: Traced>(&self, at: usize) -> BTreeMap<&'static str, String> {
        let (start, end) = self.spans[at];
        // the bars of an envelope all have the bytes of the message
        let before = self.spans[..at].iter();
        let twins = before.filter(|span| span.0 == start).count();
        let Some(text) = std::str::from_utf8(self.payload)
            .ok()
            .filter(|_| at < TRACED)
        else {
            return BTreeMap::new();
        };
        trace::sources(
            text,
            |place| {
                let inside = |(from, to): &(usize, usize)| (*from..*to).contains(&place);
                self.spans
                    .iter()
                    .enumerate()
                    .any(|(other, span)| other != at && inside(span) && !inside(&(start, end)))
            },
            |bytes| {
                // a change may put the bars of the message in another order
                let read = read(self.decoder, bytes, self.parts, self.now);
                let mut same = read.iter().filter(|read| read.span.0 == start);
                F::read(&same.nth(twins)?.content)
            },
        )
    }
}
