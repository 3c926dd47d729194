//! Bars in a part of a history.

use super::{Decoder, ELEMENTS_MAX, Fault, Refusal};
use crate::market::{BarEvent, Finality, Timestamp};
use crate::wire::Reason;
use crate::wire::control::{History, HistoryStep};
use crate::wire::dialects::Candle;
use crate::wire::scalar::Scalar;
use crate::wire::subject::SubjectParts;
use crate::wire::tape::{Node, Tape};

/// No symbol and no timeframe: the subject was compared when the message was read.
static NOWHERE: SubjectParts<'static> = SubjectParts {
    symbol: None,
    timeframe: None,
};
/// Open time, open, high, low, close and volume.
const CELLS: usize = 6;

impl Decoder {
    /// The bars of a part of a history, judged like any bar of its series; its end has none. A
    /// history is accepted as a whole or not at all, so one refused bar refuses the part.
    ///
    /// # Errors
    /// If the part is refused; all of its bars count as refused.
    pub fn history_bars<'a>(
        &self,
        history: &'a History<'a>,
        now: Timestamp,
    ) -> Result<Vec<BarEvent<'a>>, Refusal<'a>> {
        let HistoryStep::Part { bars, forming, .. } = history.step else {
            return Ok(Vec::new());
        };
        let refuse = |fault: Fault, elements: usize| Refusal {
            elements: elements.max(1),
            ..fault.refusal(history.payload, Some(history.series.symbol.as_str().into()))
        };
        let max = self.rules.max_payload_bytes;
        if history.payload.len() > max {
            let detail = format!(
                "a part of a history has {} bytes, at most {max} are taken (TECHNICAL_MAX_PAYLOAD_BYTES)",
                history.payload.len()
            );
            return Err(refuse(Fault::new(Reason::TooLarge, detail), 1));
        }
        let tape = Tape::read(bars).filter(|tape| tape.root().is_array());
        let Some(tape) = tape else {
            let detail = "the bars of a part of a history are no array of arrays";
            return Err(refuse(Fault::new(Reason::WrongType, detail), 1));
        };
        let rows = tape.root().items().count();
        if rows > ELEMENTS_MAX {
            let detail = format!(
                "a part of a history has {rows} bars, at most {ELEMENTS_MAX} are taken from one message"
            );
            return Err(refuse(Fault::new(Reason::TooManyElements, detail), rows));
        }
        let mut events = Vec::with_capacity(rows);
        for (at, row) in tape.root().items().enumerate() {
            let finality = if forming && at + 1 == rows {
                Finality::UntilNext
            } else {
                Finality::Final
            };
            let read = self.history_bar(history, row, finality, now);
            let event = read.map_err(|fault| {
                let detail = format!("bar {} of the part: {}", at + 1, fault.detail);
                refuse(Fault::new(fault.reason, detail), rows)
            })?;
            events.push(event);
        }
        Ok(events)
    }

    fn history_bar<'a>(
        &self,
        history: &'a History<'a>,
        row: Node<'_, 'a>,
        finality: Finality,
        now: Timestamp,
    ) -> Result<BarEvent<'a>, Fault> {
        let cells = if row.is_array() {
            row.items().count()
        } else {
            0
        };
        if cells != CELLS {
            let detail = format!(
                "it has {cells} cells; a bar has {CELLS}: open time, open, high, low, close and volume"
            );
            return Err(Fault::new(Reason::WrongType, detail));
        }
        let series = &history.series;
        let mut candle = Candle::of_row(row, [0, 1, 2, 3, 4, 5])
            .with_symbol(Scalar::Text(series.symbol.as_str().into()))
            .with_timeframe(Scalar::Text(series.timeframe.to_string().into()))
            .with_finality(finality);
        self.judge(&mut candle, &NOWHERE, now)
            .map_err(|refusal| Fault::new(refusal.reason, refusal.detail))
    }
}
