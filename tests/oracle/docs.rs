//! The docs.
