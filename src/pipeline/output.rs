//! The outputs of a message.

use super::HistoryTaken;
use crate::engine::{Effect, Outcome, SeriesId, Signal};
use crate::market::{BarEvent, TradeEvent};
use crate::wire::{Ignored, Mark, Refusal, Reset};

/// One output of a message.
#[derive(Debug)]
pub enum Output<'a> {
    /// A bar was taken in.
    Taken(Taken<'a>),
    /// A bar was built from trades or derived from others, and taken in.
    Derived(Taken<'a>),
    /// The signal of a later bar, changed by the bar before it in the output.
    Revised(Taken<'a>),
    /// A trade was taken in, or left out because its source sends the bars itself. The bars that it
    /// closes follow.
    Trade(&'a TradeEvent<'a>),
    /// A bar equals one that was taken in before.
    Duplicate(&'a BarEvent<'a>),
    /// A series was reset.
    Reset(Restarted<'a>),
    /// A time mark was applied; the bars that it closed came before it.
    Marked(Marked),
    /// This number of bars of a history was set aside until its end.
    Gathered(usize),
    /// A series was rebuilt with a history.
    Rebuilt(HistoryTaken<'a>),
    /// The newest bar of a rebuilt series, with its present signal.
    Restated(Taken<'a>),
    /// An element is understood and needs nothing to be done.
    Ignored(Ignored),
    /// An element or the whole message was refused, by the decoder or the engine.
    Refused(Refusal<'a>),
}

/// The change that a bar made to its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is the new last bar of its series.
    Appended,
    /// It replaced one of the newest bars.
    Corrected,
    /// It was missing among the newest bars.
    Inserted,
    /// It is still forming: no complete bar changed.
    Forming,
}

/// A bar that was taken in.
#[derive(Debug)]
pub struct Taken<'a> {
    /// The bar.
    pub event: &'a BarEvent<'a>,
    /// Its series, unless that is not kept yet.
    pub series: Option<SeriesId>,
    /// True if the series began with it; its id may have been that of another series.
    pub begun: bool,
    /// The reset that the series began with; 0 if none.
    pub epoch: u64,
    /// [`crate::engine::Series::step`] after this signal.
    pub step: u64,
    /// The change that it made.
    pub change: Change,
    /// Bars missing right before it.
    pub missing: u64,
    /// The signal to be published, if there is one.
    pub signal: Option<&'a Signal>,
}

/// A series that was reset.
#[derive(Debug)]
pub struct Restarted<'a> {
    /// The reset.
    pub reset: &'a Reset,
    /// Number of bars that were in its window; `None` if there was no such series.
    pub forgotten: Option<usize>,
}

/// A time mark that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked {
    /// The mark.
    pub mark: Mark,
    /// Number of derived bars that it closed.
    pub closed: usize,
}

/// A bar with the change that it made; `None` if it made none.
pub(super) fn taken<'a>(event: &'a BarEvent<'a>, outcome: Outcome<'a>) -> Option<Taken<'a>> {
    let change = match outcome.effect {
        Effect::Appended => Change::Appended,
        Effect::Corrected => Change::Corrected,
        Effect::Inserted => Change::Inserted,
        Effect::Forming => Change::Forming,
        Effect::Duplicate | Effect::Refused(_) => return None,
    };
    Some(Taken {
        event,
        series: outcome.series,
        begun: outcome.begun,
        epoch: outcome.epoch,
        step: outcome.step,
        change,
        missing: outcome.missing,
        signal: outcome.signal,
    })
}
