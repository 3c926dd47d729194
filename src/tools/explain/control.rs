//! Explains control messages: resets and time marks.

use std::io::Write;

use super::report::{Entry, shown};
use super::{Actions, Explainer};
use crate::market::Timestamp;
use crate::pipeline::Message;
use crate::wire::dialects::GENERIC;
use crate::wire::{Mark, Refusal, Reset, SubjectParts, SubjectRefusal};

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
        let explained = if let Some(reset) = Reset::read(payload, parts) {
            reset.map(|Reset { series, .. }| {
                let engine = self.pipeline.engine_mut();
                engine.reset(series.symbol.as_str(), series.timeframe, None);
                let does = format!("resets {series}: its bars are forgotten");
                ("reset", does)
            })
        } else {
            Mark::read(payload, now)?.map(|_| ("mark", self.close_by_mark(payload, parts, now)))
        };
        Some(self.entry(explained, payload, subject, line))
    }

    fn close_by_mark(
        &mut self,
        payload: &[u8],
        subject: &Result<SubjectParts<'_>, SubjectRefusal>,
        arrived: Timestamp,
    ) -> String {
        let mut actions = Actions::default();
        let message = Message {
            payload,
            subject,
            arrived,
        };
        self.pipeline.take(&message, &mut actions);
        actions.last
    }

    fn entry(
        &mut self,
        explained: Result<(&'static str, String), Refusal<'_>>,
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
        match explained {
            Ok((kind, does)) => {
                self.count.understood += 1;
                entry.kind = kind;
                entry.does = does;
            }
            Err(refusal) => {
                entry.reason = Some(refusal.reason.name());
                entry.detail = Some(refusal.detail.to_string());
                entry.does = format!("refuses it: {}", refusal.detail);
            }
        }
        entry
    }
}
