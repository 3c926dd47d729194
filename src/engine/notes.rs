//! Notes about derived bars for the log.

use std::fmt;

use crate::market::{Symbol, Timeframe};

/// A note about derived bars. Each kind is logged once per timeframe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedNote {
    /// The instrument that showed it.
    pub symbol: Symbol,
    /// The derived timeframe.
    pub timeframe: Timeframe,
    /// The kind of note.
    pub kind: DerivedNoteKind,
}

/// The subject of a [`DerivedNote`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DerivedNoteKind {
    /// The source sends bars of this timeframe itself.
    Own,
    /// The source now sends bars that were built from its trades.
    OwnOfTrades,
    /// Bars of this length reach across the end of a derived bar.
    Straddling(Timeframe),
    /// The engine keeps as many series as it may.
    NoRoom,
}

impl fmt::Display for DerivedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            symbol, timeframe, ..
        } = self;
        match self.kind {
            DerivedNoteKind::Own => write!(
                f,
                "the source sends {timeframe} bars of {symbol} itself, so none are derived; leave \
                 {timeframe} out of TECHNICAL_TIMEFRAMES, or stop sending it"
            ),
            DerivedNoteKind::OwnOfTrades => write!(
                f,
                "the source sends {timeframe} bars of {symbol} itself, so none are built from its \
                 trades; set TECHNICAL_TRADES to another timeframe, or stop sending one of the two"
            ),
            DerivedNoteKind::Straddling(part) => write!(
                f,
                "{part} bars of {symbol} reach across the end of a {timeframe} bar, which is left \
                 out; send smaller bars, or set TECHNICAL_CALENDAR to the zone at whose midnights \
                 they begin and TECHNICAL_SESSION to hours that they fill"
            ),
            DerivedNoteKind::NoRoom => write!(
                f,
                "there is no room for derived {timeframe} bars of {symbol}; raise \
                 TECHNICAL_MAX_SERIES, or derive fewer timeframes"
            ),
        }
    }
}
