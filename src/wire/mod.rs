//! Bytes ↔ domain: decode is tolerant, encode is exact.
//!
//! Must not know: the broker beyond the type of its headers, the engine beyond its signal.

mod control;
mod decode;
pub mod dialects;
mod encode;
mod excerpt;
mod fields;
mod grid;
pub mod headers;
mod names;
mod print;
mod reason;
mod rules;
mod scalar;
mod scan;
pub mod schema;
mod subject;
mod tape;
mod time;

pub use control::{Control, History, HistoryStep, Mark, Reset, write_history_bar};
pub use decode::{Content, Decoder, ELEMENTS_MAX, Element, Refusal};
pub use dialects::{DialectRule, Ignored};
pub use encode::{Encoder, encode_bar, encode_signal};
pub(crate) use excerpt::{Excerpt, Excerpts, excerpt, place_in};
pub(crate) use grid::is_on as is_on_grid;
pub use reason::Reason;
pub use rules::{FinalRule, GridRule, InputRules, PriceRule, Stamp};
pub use subject::{
    InvalidSubject, SubjectParts, SubjectPattern, SubjectRefusal, SubjectTemplate, token,
};
pub(crate) use time::of_text as time_of_text;
