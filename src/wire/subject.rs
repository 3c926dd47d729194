//! Subjects in and out: where the symbol and timeframe stand in them, and how they are escaped.
//!
//! Every byte of a symbol other than ASCII letters, digits, `-` and `_` is percent-encoded in
//! a subject (`BRK.B` → `BRK%2EB`), so that a symbol is always one token.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Reason;
use crate::market::{Symbol, Timeframe};

/// What is escaped in a subject token.
const TOKEN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// Escapes `text` so that it is one subject token.
pub fn token(text: &str) -> impl fmt::Display + Iterator<Item = &str> {
    utf8_percent_encode(text, TOKEN)
}

/// Why a text is no subject or template.
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
    #[error("`{0}` has an unknown placeholder; known are {{symbol}} and {{timeframe}}")]
    Placeholder(String),
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

/// What a subject says about the bars under it.
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

/// Why a message is refused for its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectRefusal {
    /// `bad_symbol`, `bad_timeframe` or `mismatch`.
    pub reason: Reason,
    /// What is wrong and what to do, for a human.
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

/// A subject to subscribe to. Its wildcards stand for the symbol and then the timeframe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectPattern {
    text: String,
}

impl SubjectPattern {
    /// The pattern as NATS takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What `subject`, which this pattern matches, says in place of the wildcards: the symbol,
    /// then the timeframe. Allocates only to unescape.
    ///
    /// # Errors
    /// When what stands there is no symbol or timeframe, or there is more.
    pub fn parts<'a>(&self, subject: &'a str) -> Result<SubjectParts<'a>, SubjectRefusal> {
        let mut tokens = subject.split('.');
        let mut parts = SubjectParts::default();
        let mut take = |token: &'a str| {
            if parts.symbol.is_none() {
                let symbol = unescape(token)?;
                Symbol::check(&symbol)
                    .map_err(|error| bad_symbol(format!("in subject `{subject}`: {error}")))?;
                parts.symbol = Some(symbol);
            } else if parts.timeframe.is_none() {
                let timeframe = token.parse().map_err(|error| SubjectRefusal {
                    reason: Reason::BadTimeframe,
                    detail: format!("in subject `{subject}`: {error}"),
                })?;
                parts.timeframe = Some(timeframe);
            } else {
                return Err(bad_symbol(format!(
                    "subject `{subject}` has more than symbol and timeframe; escape dots in a symbol: BRK.B is BRK%2EB"
                )));
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

    /// The token of `subject`, which this pattern matches, that names the symbol, as it was written.
    #[must_use]
    pub fn symbol_token<'a>(&self, subject: &'a str) -> Option<&'a str> {
        let at = self.text.split('.').position(|t| t == "*" || t == ">")?;
        subject.split('.').nth(at)
    }

    /// `subject`, which this pattern matches, with its symbol escaped as [`token`] does it. `None`
    /// when it is written so already, or names no symbol that can be read.
    #[must_use]
    pub fn canonical(&self, subject: &str) -> Option<String> {
        let written = self.symbol_token(subject)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if written.bytes().all(plain) {
            return None;
        }
        let canonical = token(&unescape(written).ok()?).to_string();
        if canonical == written {
            return None;
        }
        let at = self.text.split('.').position(|t| t == "*" || t == ">")?;
        let tokens = subject.split('.').enumerate();
        let tokens: Vec<&str> = tokens
            .map(|(n, token)| if n == at { canonical.as_str() } else { token })
            .collect();
        Some(tokens.join("."))
    }

    /// Whether what is published on `subject` comes in by this pattern.
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

    /// Whether some subject could match both patterns.
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

impl FromStr for SubjectPattern {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check_tokens(text)?;
        let tokens: Vec<&str> = text.split('.').collect();
        let misplaced = tokens.iter().enumerate().any(|(at, token)| {
            (token.contains('>') && (*token != ">" || at + 1 != tokens.len()))
                || (token.contains('*') && *token != "*")
        });
        if misplaced {
            return Err(InvalidSubject::Wildcard(text.to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for SubjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A subject to publish to, with the optional placeholders `{symbol}` and `{timeframe}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectTemplate {
    text: String,
}

impl SubjectTemplate {
    /// The template as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The subject for one series.
    #[must_use]
    pub fn render(&self, symbol: &str, timeframe: Timeframe) -> String {
        self.text
            .replace("{timeframe}", timeframe.text().as_str())
            .replace("{symbol}", &token(symbol).to_string())
    }

    /// The pattern that matches everything it can render to.
    #[must_use]
    pub fn pattern(&self) -> SubjectPattern {
        let any = |token: &str| {
            if token.contains('{') {
                "*".to_owned()
            } else {
                token.to_owned()
            }
        };
        SubjectPattern {
            text: self.text.split('.').map(any).collect::<Vec<_>>().join("."),
        }
    }
}

impl FromStr for SubjectTemplate {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check_tokens(text)?;
        if text.contains(['*', '>']) {
            return Err(InvalidSubject::WildcardInTarget(text.to_owned()));
        }
        let plain = text.replace("{symbol}", "").replace("{timeframe}", "");
        if plain.contains(['{', '}']) {
            return Err(InvalidSubject::Placeholder(text.to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for SubjectTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn pattern(text: &str) -> SubjectPattern {
        text.parse().unwrap()
    }

    fn said(text: &str, subject: &str) -> (Option<String>, Option<String>) {
        let parts = pattern(text).parts(subject).unwrap();
        (
            parts.symbol.map(Cow::into_owned),
            parts.timeframe.map(|t| t.to_string()),
        )
    }

    fn some(symbol: &str, timeframe: Option<&str>) -> (Option<String>, Option<String>) {
        (Some(symbol.to_owned()), timeframe.map(str::to_owned))
    }

    #[test]
    fn wildcards_stand_for_symbol_and_timeframe() {
        let rest = "raw.market_data.price.>";
        for (text, subject, expected) in [
            ("raw.price", "raw.price", (None, None)),
            (rest, "raw.market_data.price.BTCUSDT", some("BTCUSDT", None)),
            (
                rest,
                "raw.market_data.price.BTCUSDT.1m",
                some("BTCUSDT", Some("1m")),
            ),
            (
                rest,
                "raw.market_data.price.BRK%2EB.1d",
                some("BRK.B", Some("1d")),
            ),
            (
                rest,
                "raw.market_data.price.BTC%2fUSDT",
                some("BTC/USDT", None),
            ),
            (rest, "raw.market_data.price.%E2%82%AC", some("€", None)),
            ("bars.*.*", "bars.A.4h", some("A", Some("4h"))),
            ("*.bars.*", "A.bars.1w", some("A", Some("1w"))),
            ("*.bars.>", "A.bars.1w", some("A", Some("1w"))),
        ] {
            assert_eq!(said(text, subject), expected, "{subject}");
        }
        let parts = pattern(rest).parts("raw.market_data.price.A.1m").unwrap();
        assert!(matches!(parts.symbol, Some(Cow::Borrowed("A"))));
    }

    #[test]
    fn a_symbol_has_one_canonical_spelling() {
        for (text, subject, expected) in [
            ("p.>", "p.AAPL.1m", None),
            ("p.>", "p.BTC%2FUSDT.1m", None),
            ("p.>", "p.BTC%2fUSDT.1m", Some("p.BTC%2FUSDT.1m")),
            ("p.>", "p.A%41PL", Some("p.AAPL")),
            ("p.>", "p.EUR=X.1m", Some("p.EUR%3DX.1m")),
            ("*.b.*", "é.b.1m", Some("%C3%A9.b.1m")),
            ("*.b.*", "%c3%a9.b.1m", Some("%C3%A9.b.1m")),
            ("p.>", "p.A%", None),
            ("p.>", "p.%FF", None),
            ("p", "p", None),
        ] {
            let canonical = pattern(text).canonical(subject);
            assert_eq!(canonical.as_deref(), expected, "{subject}");
        }
    }

    #[test]
    fn what_is_no_symbol_or_timeframe_is_refused() {
        let long = format!("p.{}", "x".repeat(65));
        for (subject, reason) in [
            ("p.A%", Reason::BadSymbol),
            ("p.A%2", Reason::BadSymbol),
            ("p.A%zz", Reason::BadSymbol),
            ("p.%FF", Reason::BadSymbol),
            ("p.%0A", Reason::BadSymbol),
            ("p.%éa", Reason::BadSymbol),
            (long.as_str(), Reason::BadSymbol),
            ("p.A.1m.B", Reason::BadSymbol),
            ("p.A.1y", Reason::BadTimeframe),
            ("p.BRK.B", Reason::BadTimeframe),
        ] {
            let refusal = pattern("p.>").parts(subject).unwrap_err();
            assert_eq!(refusal.reason, reason, "{subject}");
        }
        let refusal = pattern("p.>").parts("p.A.1m.B").unwrap_err();
        assert!(refusal.detail.contains("BRK%2EB"), "{}", refusal.detail);
    }

    #[test]
    fn a_pattern_matches_what_comes_in_by_it() {
        for (text, subject, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.b", "a", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a.b", true),
        ] {
            assert_eq!(pattern(text).matches(subject), expected, "{text} {subject}");
        }
    }

    #[test]
    fn patterns_overlap_when_one_subject_can_match_both() {
        for (a, b, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.*", "a.b", true),
            ("a.*", "*.b", true),
            ("a.*", "b.*", false),
            ("a.>", "a", false),
            ("a.>", "a.b.c", true),
            ("a.>", "b.>", false),
            ("a.*.c", "a.>", true),
            ("a.*", "a.b.c", false),
            (">", "x", true),
        ] {
            assert_eq!(pattern(a).overlaps(&pattern(b)), expected, "{a} {b}");
            assert_eq!(pattern(b).overlaps(&pattern(a)), expected, "{b} {a}");
        }
    }

    #[test]
    fn what_is_no_pattern_or_template_is_refused() {
        for text in ["", ".", "a..b", "a.", "a b", "a.\tb", "a.>.b", "a.b*", "a>"] {
            assert!(text.parse::<SubjectPattern>().is_err(), "{text:?}");
        }
        for text in ["", "a..b", "a.*", "a.>", "a.{x}", "a.{symbol", "a.}"] {
            assert!(text.parse::<SubjectTemplate>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_template_renders_each_series_and_knows_what_it_can_render() {
        let template: SubjectTemplate = "insight.{symbol}.{timeframe}".parse().unwrap();
        assert_eq!(
            template.render("BRK.B", Timeframe::MINUTE),
            "insight.BRK%2EB.1m"
        );
        assert_eq!(template.pattern().as_str(), "insight.*.*");
        let joined: SubjectTemplate = "x.{symbol}-{timeframe}".parse().unwrap();
        assert_eq!(
            joined.render("{timeframe}", Timeframe::DAY),
            "x.%7Btimeframe%7D-1d"
        );
        assert_eq!(joined.pattern().as_str(), "x.*");
        let plain: SubjectTemplate = "insight.technical".parse().unwrap();
        assert_eq!(plain.render("A", Timeframe::DAY), "insight.technical");
        assert_eq!(plain.pattern().as_str(), "insight.technical");
    }

    proptest! {
        #[test]
        fn every_symbol_survives_its_subject(symbol in "[^\\p{Cc}]{1,16}") {
            let template: SubjectTemplate = "in.{symbol}.{timeframe}".parse().unwrap();
            let subject = template.render(&symbol, Timeframe::DAY);
            prop_assert_eq!(subject.split('.').count(), 3);
            let pattern = template.pattern();
            let parts = pattern.parts(&subject).unwrap();
            prop_assert_eq!(parts.symbol.as_deref(), Some(symbol.as_str()));
            prop_assert_eq!(parts.timeframe, Some(Timeframe::DAY));
        }

        #[test]
        fn no_subject_panics(subject in "[a-z%0-9é.]{0,24}") {
            let _ = pattern("p.*.>").parts(&subject);
        }
    }
}
