//! Reasons why a history cannot replace the bars of its series.

use crate::engine::Series;
use crate::market::{Timeframe, Timestamp};

/// Reason why a history cannot replace the bars of its series.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryFault {
    /// Some of its messages are missing.
    #[error(
        "part {expected} of the history is missing, {came} came in its place; the series is unchanged: feed the history \
         again"
    )]
    Gap {
        /// The part that is due.
        expected: u32,
        /// The part that arrived in its place.
        came: String,
    },
    /// None of its parts is known.
    #[error(
        "no part of this history is known: it was begun too long ago, or another one has begun since; \
         the series is unchanged: feed the history again"
    )]
    Unknown,
    /// A part was refused.
    #[error("a part of the history was refused: {0}")]
    Part(String),
    /// It has no bar.
    #[error("the history has no bar")]
    Empty,
    /// The bars of the series are derived.
    #[error(
        "{0} bars of this symbol are derived from smaller ones; feed the history of the smallest timeframe"
    )]
    Derived(Timeframe),
    /// The bars of the series are built from trades.
    #[error(
        "{0} bars of this symbol are built from its trades; feed no history of them, or feed it before \
         the first trade, from when on the source's own bars are taken"
    )]
    Built(Timeframe),
    /// The series has forgotten bars between the history and the bars that it keeps.
    #[error(
        "the history ends at {newest}, and the series has forgotten its bars between that and {oldest}; \
         feed a history that reaches up to {oldest}, or set TECHNICAL_DATA_WINDOW_SIZE to more bars"
    )]
    Hole {
        /// The newest bar of the history.
        newest: Timestamp,
        /// The oldest bar that the series keeps.
        oldest: Timestamp,
    },
    /// The series has older bars than the history.
    #[error(
        "the history begins at {first}, and the series with an older bar, {oldest}; feed a history that \
         begins before it"
    )]
    Later {
        /// The oldest bar of the history.
        first: Timestamp,
        /// The oldest bar that the series keeps.
        oldest: Timestamp,
    },
    /// The series has more bars of the past than the history.
    #[error(
        "the series has {known} bars before {oldest}, and the history has {offered} of them; feed a \
         history that begins earlier, or reset the series first"
    )]
    Shorter {
        /// The oldest bar that the series keeps.
        oldest: Timestamp,
        /// Bars of the series before that one, forgotten except in the state of its indicators.
        known: u64,
        /// Bars of the history before that one.
        offered: u64,
    },
    /// It would create a series beyond the bound.
    #[error("{0} series are kept already; raise TECHNICAL_MAX_SERIES or send fewer symbols")]
    Full(usize),
}

impl HistoryFault {
    /// The fault of every history of `series`, if its bars are made here.
    pub(super) fn of_origin(series: &Series) -> Option<Self> {
        let timeframe = series.key().timeframe;
        if series.trades().is_some() {
            Some(Self::Built(timeframe))
        } else {
            series.is_derived().then_some(Self::Derived(timeframe))
        }
    }
}
