//! Subjects in and out: where the symbol and timeframe stand in them, and how they are escaped.
//!
//! Every byte of a symbol other than ASCII letters, digits, `-` and `_` is percent-encoded in
//! a subject (`BRK.B` → `BRK%2EB`), so that a symbol is always one token.

mod template;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Reason;
use crate::market::{Symbol, Timeframe};

pub use template::SubjectTemplate;

/// Characters that are escaped in a subject token.
const TOKEN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// Escapes `text` so that it is one subject token.
pub fn token(text: &str) -> impl fmt::Display + Iterator<Item = &str> {
    utf8_percent_encode(text, TOKEN)
}

/// Reason why a text is no subject or template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSubject {
    /// No text at all.
    #[error("subject is empty")]
    Empty,
    /// Two dots in a row, or one at an end.
    #[error("`{0}` has an empty token; tokens are separated by single dots")]
    EmptyToken(String),
    /// White space or a control character.
    #[error("`{0}` contains white space or a control character")]
    Space(String),
    /// `>` before the end, or `*`/`>` inside a token.
    #[error(
        "`{0}` has a misplaced wildcard; `*` stands for one whole token, `>` for the rest at the end"
    )]
    Wildcard(String),
    /// A subject that is published to.
    #[error("`{0}` must not contain wildcards")]
    WildcardInTarget(String),
    /// A placeholder that is not known.
    #[error(
        "`{0}` has an unknown placeholder; known are {{symbol}} and {{timeframe}}, in a subject to read each a whole token"
    )]
    Placeholder(String),
    /// Placeholders of a subject that is read.
    #[error("`{0}` must have {{symbol}} once, and {{timeframe}} once or not at all")]
    Placeholders(String),
}

fn check_tokens(text: &str) -> Result<(), InvalidSubject> {
    if text.is_empty() {
        return Err(InvalidSubject::Empty);
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(InvalidSubject::Space(text.to_owned()));
    }
    if text.split('.').any(str::is_empty) {
        return Err(InvalidSubject::EmptyToken(text.to_owned()));
    }
    Ok(())
}

/// Symbol and timeframe of the bars under a subject.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubjectParts<'a> {
    /// A valid [`Symbol`], unescaped.
    pub symbol: Option<Cow<'a, str>>,
    /// The bar length.
    pub timeframe: Option<Timeframe>,
}

impl SubjectParts<'_> {
    pub(super) fn borrowed(&self) -> Option<Cow<'_, str>> {
        self.symbol.as_deref().map(Cow::Borrowed)
    }
}

/// A refusal of a message for its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectRefusal {
    /// `bad_symbol`, `bad_timeframe` or `mismatch`.
    pub reason: Reason,
    /// The mistake and its remedy, for a human.
    pub detail: String,
}

fn bad_symbol(detail: String) -> SubjectRefusal {
    SubjectRefusal {
        reason: Reason::BadSymbol,
        detail,
    }
}

/// Undoes [`token`], strictly: a `%` without two hex digits is no escape.
fn unescape(token: &str) -> Result<Cow<'_, str>, SubjectRefusal> {
    if !token.contains('%') {
        return Ok(Cow::Borrowed(token));
    }
    let bytes = token.as_bytes();
    let whole = bytes.iter().enumerate().all(|(at, byte)| {
        let hex = |offset: usize| bytes.get(at + offset).is_some_and(u8::is_ascii_hexdigit);
        *byte != b'%' || (hex(1) && hex(2))
    });
    if !whole {
        return Err(bad_symbol(format!(
            "subject token `{token}` has a `%` without two hex digits; write `%` itself as %25"
        )));
    }
    percent_decode_str(token).decode_utf8().map_err(|_| {
        bad_symbol(format!(
            "subject token `{token}` does not unescape to UTF-8"
        ))
    })
}

/// A subject to subscribe to. Its `{symbol}` and `{timeframe}` stand where they stand, and other
/// wildcards for whatever; without them its wildcards stand for the symbol and then the timeframe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectPattern {
    /// With a `*` for each placeholder, as NATS takes it.
    text: String,
    /// With its placeholders.
    written: String,
    /// The tokens that are placeholders, if any.
    named: Option<Named>,
}

/// The tokens of a pattern that are placeholders, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Named {
    symbol: usize,
    timeframe: Option<usize>,
}

const SYMBOL: &str = "{symbol}";
const TIMEFRAME: &str = "{timeframe}";

impl SubjectPattern {
    /// The pattern as NATS takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The symbol and timeframe in `subject`, which this pattern matches. Allocates only to
    /// unescape.
    ///
    /// # Errors
    /// If the tokens there are no symbol or timeframe, or there are more of them.
    pub fn parts<'a>(&self, subject: &'a str) -> Result<SubjectParts<'a>, SubjectRefusal> {
        match self.named {
            Some(named) => Self::named_parts(named, subject),
            None => self.positional_parts(subject),
        }
    }

    fn named_parts(named: Named, subject: &str) -> Result<SubjectParts<'_>, SubjectRefusal> {
        let mut parts = SubjectParts::default();
        for (at, token) in subject.split('.').enumerate() {
            if at == named.symbol {
                parts.symbol = Some(symbol_of(token, subject)?);
            } else if Some(at) == named.timeframe {
                let timeframe = token.parse().map_err(|error| SubjectRefusal {
                    reason: Reason::BadTimeframe,
                    detail: format!("in subject `{subject}`: {error}"),
                })?;
                parts.timeframe = Some(timeframe);
            }
        }
        Ok(parts)
    }

    /// The symbol and then the timeframe, in place of the wildcards.
    fn positional_parts<'a>(&self, subject: &'a str) -> Result<SubjectParts<'a>, SubjectRefusal> {
        let mut tokens = subject.split('.');
        let mut parts = SubjectParts::default();
        let mut symbol_token = "";
        let mut take = |token: &'a str| {
            if parts.symbol.is_none() {
                parts.symbol = Some(symbol_of(token, subject)?);
                symbol_token = token;
                return Ok(());
            }
            let dotted = || {
                format!(
                    "if the symbol is `{symbol_token}.{token}`, escape its dot: {symbol_token}%2E{token}"
                )
            };
            if parts.timeframe.is_some() {
                return Err(bad_symbol(format!(
                    "subject `{subject}` has more than symbol and timeframe; escape dots in a symbol: BRK.B is BRK%2EB"
                )));
            }
            match timeframe_of(token) {
                Some(timeframe) => parts.timeframe = Some(timeframe),
                None if ends(subject, token) => {
                    return Err(SubjectRefusal {
                        reason: Reason::BadTimeframe,
                        detail: format!(
                            "in subject `{subject}`, `{token}` is no timeframe such as 1m, 4h or 1d; {}",
                            dotted()
                        ),
                    });
                }
                None => {
                    return Err(bad_symbol(format!(
                        "subject `{subject}` has more than symbol and timeframe; {}",
                        dotted()
                    )));
                }
            }
            Ok(())
        };
        for pattern in self.text.split('.') {
            match (pattern, tokens.next()) {
                (">", Some(first)) => {
                    take(first)?;
                    tokens.by_ref().try_for_each(&mut take)?;
                }
                ("*", Some(token)) => take(token)?,
                (_, Some(_)) => {}
                (_, None) => break,
            }
        }
        Ok(parts)
    }

    /// The token of the symbol, counted from 0.
    fn symbol_at(&self) -> Option<usize> {
        match self.named {
            Some(named) => Some(named.symbol),
            None => self.text.split('.').position(|t| t == "*" || t == ">"),
        }
    }

    /// The `*` of [`Self::as_str`] that stands for the symbol, counted from 1; `None` if none does.
    #[must_use]
    pub fn symbol_wildcard(&self) -> Option<usize> {
        let at = self.symbol_at()?;
        let mut tokens = self.text.split('.');
        let before = tokens.by_ref().take(at).filter(|t| *t == "*").count();
        (tokens.next() == Some("*")).then_some(before + 1)
    }

    /// The token of `subject`, which this pattern matches, that names the symbol, as it was written.
    #[must_use]
    pub fn symbol_token<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.split('.').nth(self.symbol_at()?)
    }

    /// The subject of a series under this pattern: wildcards that stand for neither its symbol nor
    /// its timeframe become `other`, and `>` what is left of the two.
    #[must_use]
    pub fn subject_of(&self, symbol: &str, timeframe: &str, other: &str) -> String {
        let symbol = token(symbol).to_string();
        let timeframe = token(timeframe).to_string();
        let mut names = [symbol.clone(), timeframe.clone()].into_iter();
        let mut subject: Vec<String> = Vec::new();
        for (at, part) in self.text.split('.').enumerate() {
            match (part, self.named) {
                ("*", Some(named)) if at == named.symbol => subject.push(symbol.clone()),
                ("*", Some(named)) if Some(at) == named.timeframe => {
                    subject.push(timeframe.clone());
                }
                ("*" | ">", Some(_)) => subject.push(other.to_owned()),
                ("*", None) => subject.extend(names.next()),
                (">", None) => subject.extend(names.by_ref()),
                (fixed, _) => subject.push(fixed.to_owned()),
            }
        }
        subject.join(".")
    }

    /// `subject`, which this pattern matches, with its symbol escaped as [`token`] does it. `None`
    /// when it is written so already, or names no symbol that can be read.
    #[must_use]
    pub fn canonical(&self, subject: &str) -> Option<String> {
        let written = self.symbol_token(subject)?;
        if written.bytes().all(is_plain) {
            return None;
        }
        let canonical = token(&unescape(written).ok()?).to_string();
        if canonical == written {
            return None;
        }
        let at = self.symbol_at()?;
        let tokens = subject.split('.').enumerate();
        let tokens: Vec<&str> = tokens
            .map(|(n, token)| if n == at { canonical.as_str() } else { token })
            .collect();
        Some(tokens.join("."))
    }

    /// Returns true if this pattern receives messages on `subject`.
    #[must_use]
    pub fn matches(&self, subject: &str) -> bool {
        let mut tokens = subject.split('.');
        for expected in self.text.split('.') {
            match (expected, tokens.next()) {
                (">", Some(_)) => return true,
                (expected, Some(token)) if expected == "*" || expected == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }

    /// Returns true if some subject could match both patterns.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mut a, mut b) = (self.text.split('.'), other.text.split('.'));
        loop {
            match (a.next(), b.next()) {
                (None, None) | (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
                (None, Some(_)) | (Some(_), None) => return false,
                (Some(x), Some(y)) if x == y || x == "*" || y == "*" => {}
                (Some(_), Some(_)) => return false,
            }
        }
    }
}

/// True if a byte of a symbol stands for itself in a subject; [`TOKEN`] says the same.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// True if `token`, a slice of `subject`, is its last token.
fn ends(subject: &str, token: &str) -> bool {
    token.as_bytes().as_ptr_range().end == subject.as_bytes().as_ptr_range().end
}

/// The symbol that a token of `subject` names.
fn symbol_of<'a>(token: &'a str, subject: &str) -> Result<Cow<'a, str>, SubjectRefusal> {
    // the everyday symbol needs no escape and breaks no rule
    let fits = (1..=Symbol::MAX_BYTES).contains(&token.len());
    if fits && token.bytes().all(is_plain) {
        return Ok(Cow::Borrowed(token));
    }
    let symbol = unescape(token)?;
    Symbol::check(&symbol)
        .map_err(|error| bad_symbol(format!("in subject `{subject}`: {error}")))?;
    Ok(symbol)
}

/// The timeframe of a token that may as well be a part of a symbol with a dot in it, such as
/// `0700.1` or `BF.D`: a number with its unit.
fn timeframe_of(token: &str) -> Option<Timeframe> {
    let timeframe = token.parse().ok()?;
    let digit = token.bytes().any(|b| b.is_ascii_digit());
    let letter = token.bytes().any(|b| b.is_ascii_alphabetic());
    (digit && letter).then_some(timeframe)
}

impl FromStr for SubjectPattern {
    type Err = InvalidSubject;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        check_tokens(written)?;
        let mut symbol = Vec::new();
        let mut timeframe = Vec::new();
        let mut tokens: Vec<&str> = written.split('.').collect();
        for (at, token) in tokens.iter_mut().enumerate() {
            let places = match *token {
                SYMBOL => &mut symbol,
                TIMEFRAME => &mut timeframe,
                _ if token.contains(['{', '}']) => {
                    return Err(InvalidSubject::Placeholder(written.to_owned()));
                }
                _ => continue,
            };
            places.push(at);
            *token = "*";
        }
        let named = match (&symbol[..], &timeframe[..]) {
            ([], []) => None,
            ([symbol], [] | [_]) => Some(Named {
                symbol: *symbol,
                timeframe: timeframe.first().copied(),
            }),
            _ => return Err(InvalidSubject::Placeholders(written.to_owned())),
        };
        let misplaced = tokens.iter().enumerate().any(|(at, token)| {
            (token.contains('>') && (*token != ">" || at + 1 != tokens.len()))
                || (token.contains('*') && *token != "*")
        });
        if misplaced {
            return Err(InvalidSubject::Wildcard(written.to_owned()));
        }
        Ok(Self {
            text: tokens.join("."),
            written: written.to_owned(),
            named,
        })
    }
}

impl fmt::Display for SubjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests;
