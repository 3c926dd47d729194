//! Bytes ↔ domain: decode is tolerant, encode is exact.
//!
//! Must not know: the broker beyond the type of its headers, the engine beyond its signal.

mod decode;
mod encode;
mod fields;
pub mod headers;
mod reason;
mod scan;
pub mod schema;
mod subject;

pub use decode::{DecodeLimits, Decoder, ELEMENTS_MAX, FinalRule, Refusal};
pub use encode::{Encoder, encode_bar, encode_signal};
pub use reason::Reason;
pub use subject::{
    InvalidSubject, SubjectParts, SubjectPattern, SubjectRefusal, SubjectTemplate, token,
};
