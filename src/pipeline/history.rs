//! Messages of a history: parts are set aside, and the end rebuilds the series.

use super::{Change, Output, Sink, Taken};
use crate::engine::{Engine, HistoryFault, HistoryRefusal, Rebuilt, Series};
use crate::market::{SeriesKey, Timestamp};
use crate::wire::{Decoder, History, HistoryStep, Reason, Refusal};

/// A history that has ended and rebuilt its series.
#[derive(Debug)]
pub struct HistoryTaken<'a> {
    /// The series that it is a history of.
    pub series: &'a SeriesKey,
    /// The outcome of its bars, and the rebuilt series.
    pub rebuilt: &'a Rebuilt,
}

/// Handles a message of a history.
pub(super) fn take(
    decoder: &Decoder,
    engine: &mut Engine,
    history: &History<'_>,
    arrived: Timestamp,
    sink: &mut impl Sink,
) {
    match history.step {
        HistoryStep::Part { part, .. } => {
            take_part(decoder, engine, (history, part), arrived, sink)
        }
        HistoryStep::End { parts } => end(engine, (history, parts), arrived, sink),
    }
}

fn take_part(
    decoder: &Decoder,
    engine: &mut Engine,
    (history, part): (&History<'_>, u32),
    arrived: Timestamp,
    sink: &mut impl Sink,
) {
    let place = (&history.series, history.id.as_ref(), part);
    let bars = match decoder.history_bars(history, arrived) {
        Ok(bars) => bars,
        Err(refusal) => {
            engine.refuse_history(place, refusal.elements as u64, &refusal.detail);
            return sink.output(Output::Refused(refusal));
        }
    };
    match engine.take_history(place, &bars, arrived) {
        Ok(bars) => sink.output(Output::Gathered(bars)),
        Err(refusal) => sink.output(Output::Refused(refused(history, &refusal))),
    }
}

fn end(
    engine: &mut Engine,
    (history, parts): (&History<'_>, u32),
    arrived: Timestamp,
    sink: &mut impl Sink,
) {
    let place = (&history.series, history.id.as_ref(), parts);
    let rebuilt = match engine.end_history(place, history.epoch(), arrived) {
        Ok(rebuilt) => rebuilt,
        Err(refusal) => return sink.output(Output::Refused(refused(history, &refusal))),
    };
    sink.output(Output::Rebuilt(HistoryTaken {
        series: &history.series,
        rebuilt: &rebuilt,
    }));
    for id in rebuilt.series {
        let step = engine.get(id).map_or(0, Series::step);
        if let Some((event, signal)) = engine.restated(id) {
            sink.output(Output::Restated(Taken {
                event: &event,
                series: Some(id),
                begun: false,
                epoch: history.epoch(),
                step,
                change: Change::Corrected,
                missing: 0,
                signal: Some(signal),
            }));
        }
    }
}

fn refused<'a>(history: &'a History<'_>, refusal: &HistoryRefusal) -> Refusal<'a> {
    Refusal {
        reason: match refusal.fault {
            HistoryFault::Full(_) => Reason::TooManySeries,
            _ => Reason::History,
        },
        detail: refusal.fault.to_string().into(),
        payload: history.payload,
        elements: usize::try_from(refusal.bars).unwrap_or(usize::MAX),
        symbol: Some(history.series.symbol.as_str().into()),
    }
}

#[cfg(test)]
mod tests;
