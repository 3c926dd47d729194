//! The message shapes of market-data vendors, each read by its own dialect.
//!
//! A dialect recognises a message by its shape and says what it holds: bars, trades, or something
//! that is understood and needs nothing to be done. It maps names and units, no more: what the
//! values of a bar must be is for `wire::decode` to judge, as with bars of the generic shape.
//!
//! To add one: a file beside this one, with recorded messages of the vendor as its tests, and a
//! line in [`REGISTRY`].

mod alpaca;
mod binance;
mod bitmex;
mod bybit;
mod candle;
mod ccxt;
mod closest;
mod coinbase;
mod cryptofeed;
mod databento;
mod deribit;
mod finnhub;
mod gate;
mod hyperliquid;
mod kraken;
mod kucoin;
mod massive;
mod okx;
mod page;
mod tardis;
mod twelvedata;

pub(super) use candle::{Candle, Completion};
pub(super) use closest::unknown;
pub use page::markdown_table;

use std::fmt;

use super::Reason;
use super::print::Print;
use super::tape::Node;

/// A vendor's way of writing market data.
pub struct Dialect {
    /// Its name in `TECHNICAL_DIALECT` and in the documentation.
    pub name: &'static str,
    /// True if a message that it could read is certain to be of the vendor.
    certain: fn(Node<'_, '_>) -> bool,
    /// Reads a message of this shape; nothing when it is of another.
    read: for<'t, 'a> fn(Node<'t, 'a>) -> Option<Reading<'a>>,
    /// The everyday message of a bar, if it is worth to be read in a way of its own.
    everyday: Option<Everyday>,
    /// The keys of its live bar, and their texts where those tell it apart: `*` stands for any end.
    shape: &'static [(&'static str, &'static str)],
    /// Its row in the documentation.
    notes: Notes,
}

/// A message that is read from its text, which is faster than finding all its values first.
struct Everyday {
    /// The text of such a message begins with this.
    prefix: &'static str,
    /// Reads the message into an empty candle, as [`Dialect::read`] would. False when it is another;
    /// the candle is empty then as well.
    read: for<'a> fn(&'a str, &mut Candle<'a>) -> bool,
}

/// A dialect is its name: fingerprints are made of this text.
impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A dialect in words.
struct Notes {
    bars: &'static str,
    time: &'static str,
    complete: &'static str,
    other: &'static str,
    /// The vendor's documentation.
    source: &'static str,
}

/// The content of a message.
#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // one bar is the usual case, and not worth an allocation
pub(super) enum Reading<'a> {
    /// One bar.
    Bar(Candle<'a>),
    /// Several bars, in order of time.
    Bars(Vec<Candle<'a>>),
    /// Trades, in the order in which they were sent.
    Trades(Vec<Print<'a>>),
    /// Something that is understood and needs nothing to be done.
    Ignored(Ignored),
    /// Something that cannot be read, and why.
    Refused(Reason, String),
}

/// Kinds of messages that are understood and need no action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Ignored {
    /// The connection is alive.
    Heartbeat,
    /// An answer to a request, such as to subscribe or to authenticate.
    Acknowledgement,
    /// Best bid and ask, or a price without a trade.
    Quote,
    /// Levels or orders of a book.
    OrderBook,
    /// The statistics of a day.
    Ticker,
    /// The state of a venue or an instrument.
    Status,
    /// An error that the vendor reports.
    Error,
    /// Anything else that the vendor sends, such as news or funding rates.
    Other,
}

impl Ignored {
    /// Every kind; `kind as usize` is its index.
    pub const ALL: [Self; 8] = [
        Self::Heartbeat,
        Self::Acknowledgement,
        Self::Quote,
        Self::OrderBook,
        Self::Ticker,
        Self::Status,
        Self::Error,
        Self::Other,
    ];

    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Acknowledgement => "acknowledgement",
            Self::Quote => "quote",
            Self::OrderBook => "order_book",
            Self::Ticker => "ticker",
            Self::Status => "status",
            Self::Error => "error",
            Self::Other => "other",
        }
    }
}

/// The dialect whose everyday message begins as `text` does.
#[inline]
pub(super) fn everyday(text: &str) -> Option<&'static Dialect> {
    let begins = |dialect: &&Dialect| {
        let everyday = dialect.everyday.as_ref();
        everyday.is_some_and(|everyday| text.starts_with(everyday.prefix))
    };
    EVERYDAY.into_iter().find(begins)
}

/// The dialects that have an everyday message: it must be such that no dialect before them reads it.
static EVERYDAY: [&Dialect; 1] = [&binance::DIALECT];

/// The name of the shape that is read without a dialect.
pub const GENERIC: &str = "generic";

/// Every dialect, in the order in which they are asked.
pub static REGISTRY: [&Dialect; 18] = [
    &binance::DIALECT,
    &alpaca::DIALECT,
    &massive::DIALECT,
    &coinbase::DIALECT,
    &kraken::DIALECT,
    &bybit::DIALECT,
    &okx::DIALECT,
    &hyperliquid::DIALECT,
    &deribit::DIALECT,
    &bitmex::DIALECT,
    &databento::DIALECT,
    &finnhub::DIALECT,
    &gate::DIALECT,
    &kucoin::DIALECT,
    &cryptofeed::DIALECT,
    &tardis::DIALECT,
    &twelvedata::DIALECT,
    &ccxt::DIALECT,
];

/// The dialects that messages are read by.
#[derive(Debug, Clone, Copy)]
pub enum DialectRule {
    /// The one that recognises the message.
    Auto,
    /// None: every message is in the generic shape.
    Generic,
    /// This one, and no message is in another shape.
    Only(&'static Dialect),
}

impl DialectRule {
    /// The rule of this name: `auto`, `generic` or a dialect's.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            GENERIC => Some(Self::Generic),
            name => {
                let found = REGISTRY.iter().find(|dialect| dialect.name == name)?;
                Some(Self::Only(found))
            }
        }
    }

    /// Every name that [`Self::named`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let dialects = REGISTRY.iter().map(|dialect| dialect.name);
        ["auto", GENERIC].into_iter().chain(dialects)
    }
}

impl Dialect {
    pub(super) fn is_certain(&self, message: Node<'_, '_>) -> bool {
        (self.certain)(message)
    }

    /// Reads the everyday message of a bar into an empty candle. False, and the candle still empty,
    /// when the message is another, or the dialect has none.
    pub(super) fn everyday<'a>(&self, text: &'a str, candle: &mut Candle<'a>) -> bool {
        let everyday = self.everyday.as_ref();
        everyday.is_some_and(|everyday| (everyday.read)(text, candle))
    }

    pub(super) fn read<'a>(&self, message: Node<'_, 'a>) -> Option<Reading<'a>> {
        (self.read)(message)
    }
}

/// The marks of the dialect with this name, in words; `None` for the generic shape.
#[must_use]
pub fn signs_of(name: &str) -> Option<String> {
    let dialect = REGISTRY.iter().find(|dialect| dialect.name == name)?;
    let keys: Vec<String> = dialect
        .shape
        .iter()
        .map(|(path, text)| match *text {
            "" => format!("`{path}`"),
            text => format!("`{path}`: {text}"),
        })
        .collect();
    if keys.is_empty() {
        return Some(format!("it is of the form {}", dialect.notes.bars));
    }
    Some(format!(
        "it has the shape of this vendor, whose bars have {}",
        keys.join(", ")
    ))
}

/// True if a flat object with this key may be a message of a dialect. One without such a key is
/// in the generic shape, whatever else it has: this runs for every key that is no field's.
pub(super) const fn is_mark(key: &str) -> bool {
    matches!(
        key.as_bytes(),
        b"e" | b"T"
            | b"B"
            | b"ev"
            | b"op"
            | b"arg"
            | b"type"
            | b"code"
            | b"event"
            | b"error"
            | b"topic"
            | b"table"
            | b"rtype"
            | b"result"
            | b"method"
            | b"status"
            | b"stop"
            | b"success"
            | b"channel"
            | b"jsonrpc"
            | b"homeNotional"
            | b"ts_event"
            | b"publisher_id"
            | b"openTimestamp"
    )
}

#[cfg(test)]
mod tests;
