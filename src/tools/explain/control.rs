//! Explains control messages: resets, histories and time marks.

use std::io::Write;

use super::Explainer;
use super::reading::Actions;
use super::report::Entry;
use crate::market::Timestamp;
use crate::pipeline::{Output, Sink as _};
use crate::wire::dialects::GENERIC;
use crate::wire::{Control, SubjectParts, SubjectRefusal};

impl<W: Write> Explainer<'_, W> {
    /// Explains a control message, and applies it as an agent would; `None` if it is none.
    pub(super) fn control(
        &mut self,
        payload: &[u8],
        parts: &Result<SubjectParts<'_>, SubjectRefusal>,
        now: Timestamp,
        subject: Option<&str>,
        line: Option<u64>,
    ) -> Option<Entry> {
        let mut actions = Actions::default();
        let kind = match Control::read(payload, parts, now)? {
            Ok(control) => {
                self.pipeline.follow(&control, now, &mut actions);
                control.name()
            }
            Err(refusal) => {
                actions.output(Output::Refused(refusal));
                "refused"
            }
        };
        Some(self.entry((kind, actions), payload, subject, line))
    }

    fn entry(
        &mut self,
        (kind, actions): (&'static str, Actions),
        payload: &[u8],
        subject: Option<&str>,
        line: Option<u64>,
    ) -> Entry {
        let number = (self.count.messages, line);
        let mut entry = Entry::new(number, subject, (1, GENERIC), payload);
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
