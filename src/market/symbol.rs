//! The name of an instrument.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of an instrument as its source writes it: 1 to 64 bytes of UTF-8, such as
/// `BTCUSDT`, `BRK.B` or `BTC/USDT`. Cloning is cheap and does not allocate.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Symbol(Arc<str>);

/// The reason why a text is no symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSymbol {
    /// Nothing is no name.
    #[error("symbol is empty")]
    Empty,
    /// Longer than [`Symbol::MAX_BYTES`].
    #[error("symbol has {0} bytes; at most {max} are allowed", max = Symbol::MAX_BYTES)]
    TooLong(usize),
    /// A control character cannot be part of a name.
    #[error("symbol contains a control character")]
    Control,
}

impl Symbol {
    /// The longest symbol, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Checks `text` and makes a symbol of it.
    ///
    /// # Errors
    /// If `text` breaks one of the rules of [`Symbol::check`].
    pub fn new(text: &str) -> Result<Self, InvalidSymbol> {
        Self::check(text)?;
        Ok(Self(Arc::from(text)))
    }

    /// Checks `text` without making a symbol of it.
    ///
    /// # Errors
    /// If it is empty, over [`Symbol::MAX_BYTES`] long or holds a control character.
    pub fn check(text: &str) -> Result<(), InvalidSymbol> {
        if text.is_empty() {
            return Err(InvalidSymbol::Empty);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidSymbol::TooLong(text.len()));
        }
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain && text.chars().any(char::is_control) {
            return Err(InvalidSymbol::Control);
        }
        Ok(())
    }

    /// A place-holder that no instrument has.
    pub(crate) fn unnamed() -> Self {
        Self(Arc::from("?"))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Symbol {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Symbol {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_is_one_to_sixty_four_bytes_without_control_characters() {
        assert_eq!(Symbol::new("BRK.B").unwrap().as_str(), "BRK.B");
        assert_eq!(Symbol::new(""), Err(InvalidSymbol::Empty));
        assert!(Symbol::new(&"x".repeat(64)).is_ok());
        assert_eq!(
            Symbol::new(&"x".repeat(65)),
            Err(InvalidSymbol::TooLong(65))
        );
        assert_eq!(Symbol::new("A\nB"), Err(InvalidSymbol::Control));
    }
}
