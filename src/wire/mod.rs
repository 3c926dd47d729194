//! Bytes ↔ domain: decode is tolerant, encode is exact.

mod subject;

pub use subject::{InvalidSubject, SubjectPattern, SubjectTemplate, token};
