//! The outputs that a message gives, and the comparison with stored ones.

use async_nats::HeaderMap;
use async_nats::header::HeaderValue;
use xxhash_rust::xxh3::xxh3_64;

use crate::bus::durable::Output;
use crate::tools::verify::difference;
use crate::tools::verify::key::{Head, hash};
use crate::tools::verify::letters::Due as DueLetter;
use crate::tools::verify::report::Difference;
use crate::tools::verify::source::Message;
use crate::wire::Reason;
use crate::wire::headers::REASON;

/// The outputs of a message, under all configurations together.
pub(super) struct Sorted {
    pub signals: Vec<DueSignal>,
    /// With their places among the outputs of the message.
    pub letters: Vec<(DueLetter, usize)>,
}

/// A signal that a message gives.
pub(super) struct DueSignal {
    pub output: Output,
    pub head: Head,
    /// One for each configuration under which it is due.
    pub hashes: Vec<u64>,
    /// Its place among the outputs of the message.
    pub number: usize,
    /// True if it is due under each.
    pub is_certain: bool,
}

impl From<Vec<Vec<Output>>> for Sorted {
    fn from(outputs: Vec<Vec<Output>>) -> Self {
        let configurations = outputs.len();
        let mut signals: Vec<DueSignal> = Vec::new();
        let mut letters: Vec<(DueLetter, usize)> = Vec::new();
        let mut written: Vec<usize> = Vec::new();
        for (which, outputs) in outputs.into_iter().enumerate() {
            for (number, output) in outputs.into_iter().enumerate() {
                if !output.is_letter {
                    let Some(head) = Head::read(&output.payload) else {
                        continue;
                    };
                    let hash = hash(&output.subject, &output.payload);
                    let mut same = signals.iter_mut().filter(|_| which > 0);
                    match same.find(|due| due.hashes.len() == which && due.head.key == head.key) {
                        Some(due) => due.hashes.push(hash),
                        None => signals.push(DueSignal {
                            output,
                            head,
                            hashes: vec![hash],
                            number,
                            is_certain: false,
                        }),
                    }
                } else if let Some(reason) = reason(&output.headers) {
                    let hash = xxh3_64(&output.payload);
                    let is_same = |due: &DueLetter| due.reason == reason && due.hash == hash;
                    let mut known = letters.iter().zip(&written);
                    match known.position(|((due, _), times)| *times == which && is_same(due)) {
                        Some(at) => written[at] += 1,
                        None => {
                            let is_certain = false;
                            let due = DueLetter {
                                reason,
                                hash,
                                is_certain,
                            };
                            letters.push((due, number));
                            written.push(1);
                        }
                    }
                }
            }
        }
        for due in &mut signals {
            due.is_certain = due.hashes.len() == configurations;
        }
        for ((due, _), times) in letters.iter_mut().zip(written) {
            due.is_certain = times == configurations;
        }
        Self { signals, letters }
    }
}

fn reason(headers: &HeaderMap) -> Option<Reason> {
    let text = headers.get(REASON).map(HeaderValue::as_str)?;
    Reason::ALL.into_iter().find(|reason| reason.name() == text)
}

pub(super) fn differences(expected: &Output, found: &Message) -> (Vec<Difference>, String) {
    let mut fields = difference::between(&expected.payload, &found.payload);
    if expected.subject != found.subject {
        fields.push(Difference {
            field: "subject".to_owned(),
            expected: Some(expected.subject.as_str().into()),
            found: Some(found.subject.as_str().into()),
        });
    }
    let names: Vec<&str> = fields.iter().map(|one| one.field.as_str()).collect();
    let detail = format!("recomputation gives another {}", names.join(", "));
    (fields, detail)
}
