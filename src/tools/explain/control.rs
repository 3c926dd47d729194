//! Explains control messages: resets, histories and time marks.

use std::io::Write;

use super::report::{Entry, shown};
use super::{Actions, Explainer};
use crate::market::Timestamp;
use crate::pipeline::Message;
use crate::wire::dialects::GENERIC;
use crate::wire::{History, Mark, Reset, SubjectParts, SubjectRefusal};

impl<W: Write> Explainer<'_, W> {
    /// Explains a control message, and follows it as an agent would; `None` when it is none.
    pub(super) fn control(
        &mut self,
        payload: &[u8],
        parts: &Result<SubjectParts<'_>, SubjectRefusal>,
        now: Timestamp,
        subject: Option<&str>,
        line: Option<u64>,
    ) -> Option<Entry> {
        let kind = if Reset::read(payload, parts).is_some() {
            "reset"
        } else if History::read(payload, parts).is_some() {
            "history"
        } else {
            let _ = Mark::read(payload, now)?;
            "mark"
        };
        let mut actions = Actions::default();
        let message = Message {
            payload,
            subject: parts,
            arrived: now,
        };
        self.pipeline.take(&message, &mut actions);
        Some(self.entry((kind, actions), payload, subject, line))
    }

    fn entry(
        &mut self,
        (kind, actions): (&'static str, Actions),
        payload: &[u8],
        subject: Option<&str>,
        line: Option<u64>,
    ) -> Entry {
        let mut entry = Entry {
            message: self.count.messages,
            line,
            subject: subject.map(str::to_owned),
            element: 1,
            dialect: GENERIC,
            because: None,
            kind: "refused",
            bar: None,
            reason: None,
            detail: None,
            accepted: None,
            hint: None,
            does: String::new(),
            shown: shown(payload),
        };
        entry.does = actions.last;
        if let Some((reason, detail)) = actions.refused {
            entry.reason = Some(reason.name());
            entry.detail = Some(detail);
        } else {
            self.count.understood += 1;
            entry.kind = kind;
        }
        entry
    }
}
