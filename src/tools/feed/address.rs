//! The subject to which a bar is published.

use std::borrow::Cow;

use serde::Deserialize;

use crate::market::Timeframe;
use crate::wire::SubjectPattern;

/// Whose bar it is, as the bar itself says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub symbol: String,
    pub timeframe: Option<String>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, alias = "s", alias = "S", alias = "sym", alias = "ticker")]
    symbol: Option<Cow<'a, str>>,
    #[serde(borrow, default, alias = "tf", alias = "interval", alias = "i")]
    timeframe: Option<Cow<'a, str>>,
}

impl Address {
    /// Reads it off one bar in JSON.
    pub fn of(bar: &str) -> Result<Self, String> {
        let named: Named<'_> =
            serde_json::from_str(bar).map_err(|error| format!("is no bar: {error}"))?;
        let symbol = named.symbol.filter(|symbol| !symbol.is_empty());
        let symbol = symbol.ok_or("names no symbol; give one with --symbol")?;
        Ok(Self {
            symbol: symbol.into_owned(),
            timeframe: named.timeframe.map(Cow::into_owned),
        })
    }
}

/// The token that replaces a wildcard that is neither the symbol nor the timeframe.
const OTHER: &str = "feed";

/// The pattern that bars are published under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pattern: Option<SubjectPattern>,
    default_timeframe: Timeframe,
}

impl Target {
    /// The first pattern with room for a symbol, else the first.
    pub fn new(patterns: &[SubjectPattern], default_timeframe: Timeframe) -> Self {
        let roomy = |pattern: &&SubjectPattern| pattern.as_str().contains(['*', '>']);
        let pattern = patterns.iter().find(roomy).or(patterns.first());
        Self {
            pattern: pattern.cloned(),
            default_timeframe,
        }
    }

    pub fn pattern(&self) -> &str {
        self.pattern.as_ref().map_or("", SubjectPattern::as_str)
    }

    /// The subject of a bar: its symbol and timeframe where the pattern has them.
    pub fn subject(&self, address: &Address) -> String {
        let default = self.default_timeframe.to_string();
        let timeframe = address.timeframe.as_deref().unwrap_or(&default);
        self.pattern.as_ref().map_or_else(String::new, |pattern| {
            pattern.subject_of(&address.symbol, timeframe, OTHER)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(patterns: &[&str], timeframe: Option<&str>) -> String {
        let patterns: Vec<SubjectPattern> = patterns.iter().map(|p| p.parse().unwrap()).collect();
        let address = Address {
            symbol: "BRK.B".to_owned(),
            timeframe: timeframe.map(str::to_owned),
        };
        Target::new(&patterns, Timeframe::MINUTE).subject(&address)
    }

    #[test]
    fn wildcards_stand_for_symbol_and_timeframe() {
        let usual = &["raw.market_data.price", "raw.market_data.price.>"][..];
        assert_eq!(
            subject(usual, Some("1d")),
            "raw.market_data.price.BRK%2EB.1d"
        );
        assert_eq!(subject(usual, None), "raw.market_data.price.BRK%2EB.1m");
        assert_eq!(subject(&["m.*.x.*"], Some("1d")), "m.BRK%2EB.x.1d");
        assert_eq!(subject(&["m.*"], Some("1d")), "m.BRK%2EB");
        assert_eq!(subject(&["m.*.>"], Some("1d")), "m.BRK%2EB.1d");
        assert_eq!(subject(&["m.bars"], Some("1d")), "m.bars");
        assert_eq!(
            subject(&["m.{timeframe}.{symbol}.*"], Some("1d")),
            "m.1d.BRK%2EB.feed"
        );
    }

    #[test]
    fn a_bar_names_its_symbol_and_timeframe_by_any_of_their_names() {
        let named = |symbol: &str, timeframe: Option<&str>| Address {
            symbol: symbol.to_owned(),
            timeframe: timeframe.map(str::to_owned),
        };
        let of = |bar: &str| Address::of(bar).unwrap();
        assert_eq!(of(r#"{"S":"A","i":"1h","c":1}"#), named("A", Some("1h")));
        assert_eq!(of(r#"{"ticker":"\u0042"}"#), named("B", None));
        for bar in [
            "{}",
            r#"{"symbol":""}"#,
            r#"{"symbol":7}"#,
            "nonsense",
            r#"{"s":"A","S":"B"}"#,
        ] {
            assert!(Address::of(bar).is_err(), "{bar}");
        }
    }
}
