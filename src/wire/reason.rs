//! Reasons of refusals: a fixed set of names, for headers, metrics and logs.

use std::fmt;

/// Reason why a message, or one element of it, was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// The payload is over the size limit.
    TooLarge,
    /// The payload is no JSON.
    NotJson,
    /// A value is of another JSON type than its field, or the message is no object.
    WrongType,
    /// A field that a bar needs is absent or `null`.
    MissingField,
    /// A text or number that no double can stand for.
    BadNumber,
    /// A price that is not finite, or not above zero where it has to be.
    BadPrice,
    /// High below open or close, or low above them.
    BadRange,
    /// A volume that is not finite or below zero, other than -1, which is none.
    BadVolume,
    /// A timestamp that cannot be read.
    BadTimestamp,
    /// A timestamp more than 24 h ahead.
    Future,
    /// A symbol that is empty, too long or wrongly escaped.
    BadSymbol,
    /// A timeframe that is not known.
    BadTimeframe,
    /// Subject and payload disagree.
    Mismatch,
    /// Older than the last bar of its series.
    Late,
    /// It would begin a series beyond the limit on series.
    TooManySeries,
    /// An array without elements.
    Empty,
    /// Taking it in failed twice inside the agent.
    Poison,
    /// Elements of an array beyond those that are taken from one message.
    TooManyElements,
    /// A price without the others of a bar.
    Trade,
    /// A time at which no bar of its timeframe begins.
    Misaligned,
    /// A message of another kind, such as the quote of a day.
    UnknownShape,
    /// A history that cannot replace the bars of its series.
    History,
}

impl Reason {
    /// Every reason; `reason as usize` is its index.
    pub const ALL: [Self; 22] = [
        Self::TooLarge,
        Self::NotJson,
        Self::WrongType,
        Self::MissingField,
        Self::BadNumber,
        Self::BadPrice,
        Self::BadRange,
        Self::BadVolume,
        Self::BadTimestamp,
        Self::Future,
        Self::BadSymbol,
        Self::BadTimeframe,
        Self::Mismatch,
        Self::Late,
        Self::TooManySeries,
        Self::Empty,
        Self::Poison,
        Self::TooManyElements,
        Self::Trade,
        Self::Misaligned,
        Self::UnknownShape,
        Self::History,
    ];

    /// Its name in headers, metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NotJson => "not_json",
            Self::WrongType => "wrong_type",
            Self::MissingField => "missing_field",
            Self::BadNumber => "bad_number",
            Self::BadPrice => "bad_price",
            Self::BadRange => "bad_range",
            Self::BadVolume => "bad_volume",
            Self::BadTimestamp => "bad_timestamp",
            Self::Future => "future",
            Self::BadSymbol => "bad_symbol",
            Self::BadTimeframe => "bad_timeframe",
            Self::Mismatch => "mismatch",
            Self::Late => "late",
            Self::TooManySeries => "too_many_series",
            Self::Empty => "empty",
            Self::Poison => "poison",
            Self::TooManyElements => "too_many_elements",
            Self::Trade => "trade",
            Self::Misaligned => "misaligned",
            Self::UnknownShape => "unknown_shape",
            Self::History => "history",
        }
    }
}

impl Reason {
    /// The reason of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Returns true if the bars before decide whether a message is refused for this reason.
    #[must_use]
    pub const fn is_by_history(self) -> bool {
        matches!(
            self,
            Self::Late | Self::TooManySeries | Self::History | Self::TooManyElements
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_at_its_own_index() {
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at, "{reason}");
            assert_eq!(Reason::named(reason.name()), Some(reason));
        }
    }
}
