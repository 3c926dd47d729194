//! The answers of the engine to a bar.

use super::{SeriesId, Signal};
use crate::market::Timestamp;

/// Reason why a valid bar was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is earlier than every bar that can be corrected.
    #[error("{}", late(*.newest, *.correctable))]
    Late {
        /// Opening time of the newest bar.
        newest: Timestamp,
        /// The number of newest bars that can be corrected.
        correctable: usize,
    },
    /// The bar that a trade belongs to was closed and can no longer be changed.
    #[error(
        "trade belongs to the bar of {open}, which is closed; send trades sooner, or raise \
         TECHNICAL_LATENESS_SECS or TECHNICAL_CORRECTABLE_BARS"
    )]
    LateTrade {
        /// Opening time of the bar.
        open: Timestamp,
    },
    /// The engine keeps as many series as its bound allows.
    #[error("{limit} series are kept already; raise TECHNICAL_MAX_SERIES or send fewer symbols")]
    TooManySeries {
        /// The bound.
        limit: usize,
    },
}

/// Effect of a bar on its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is the new last bar of its series.
    Appended,
    /// It replaced one of the newest bars.
    Corrected,
    /// It was missing among the newest bars.
    Inserted,
    /// It equals the bar of its time: nothing happened.
    Duplicate,
    /// It is still forming: no complete bar changed.
    Forming,
    /// It was refused.
    Refused(Refusal),
}

/// The answer to one bar.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// Its series, unless that is not kept.
    pub series: Option<SeriesId>,
    /// True if the series began with it; its id may have been another's before.
    pub begun: bool,
    /// Effect of the bar on its series.
    pub effect: Effect,
    /// Bars missing right before it.
    pub missing: u64,
    /// The reset that the series began with; 0 if none.
    pub epoch: u64,
    /// [`super::Series::step`] after this bar.
    pub step: u64,
    /// The signal to publish, if any.
    pub signal: Option<&'a Signal>,
}

/// The signal of a later bar that a correction has changed.
#[derive(Debug)]
pub struct Revision<'a> {
    /// Its series.
    pub series: SeriesId,
    /// The reset that the series began with; 0 if none.
    pub epoch: u64,
    /// [`super::Series::step`] after this correction.
    pub step: u64,
    /// The signal to publish.
    pub signal: &'a Signal,
}

/// A series that was reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emptied {
    /// The series.
    pub series: SeriesId,
    /// The bars that were in its window.
    pub forgotten: usize,
}

/// An [`Outcome`] whose signal, if any, is still in the engine.
#[derive(Debug)]
pub(super) struct Worked {
    pub series: Option<SeriesId>,
    pub begun: bool,
    /// True if the bars of the series were derived before.
    pub was_derived: bool,
    pub effect: Effect,
    pub missing: u64,
    pub epoch: u64,
    pub step: u64,
    pub publish: bool,
}

impl Worked {
    pub const fn silent(series: Option<SeriesId>, effect: Effect) -> Self {
        Self {
            series,
            begun: false,
            was_derived: false,
            effect,
            missing: 0,
            epoch: 0,
            step: 0,
            publish: false,
        }
    }

    pub fn outcome(self, signal: &Signal) -> Outcome<'_> {
        Outcome {
            series: self.series,
            begun: self.begun,
            effect: self.effect,
            missing: self.missing,
            epoch: self.epoch,
            step: self.step,
            signal: self.publish.then_some(signal),
        }
    }
}

fn late(newest: Timestamp, correctable: usize) -> String {
    match correctable {
        1 => format!("bar is earlier than the newest of its series, {newest}; send bars in order"),
        bars => format!(
            "bar is earlier than the {bars} newest of its series, the only ones that can be corrected, \
             or than its first; the newest opened at {newest}; send bars in order, or raise \
             TECHNICAL_CORRECTABLE_BARS"
        ),
    }
}
