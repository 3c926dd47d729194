//! The subject that the signals of a series are published on.

use std::fmt;
use std::str::FromStr;

use super::{InvalidSubject, SubjectPattern, check_tokens, token};
use crate::market::Timeframe;

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
        let text = self.text.split('.').map(any).collect::<Vec<_>>().join(".");
        SubjectPattern {
            written: text.clone(),
            text,
            named: None,
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
