//! Other names of indicators: those of TA-Lib and Pine, and common ones.

use super::entry::{Convention, Entry};
use super::registry::CATALOGUE;

/// Common names that are no function's name, with the entry of each.
const WORDS: &[(&str, &str)] = &[
    ("bollinger", "bb"),
    ("bollinger_bands", "bb"),
    ("donchian_channel", "dc"),
    ("keltner", "kc"),
    ("keltner_channel", "kc"),
    ("linear_regression", "linreg"),
    ("momentum", "mom"),
    ("money_flow_index", "mfi"),
    ("parabolic_sar", "sar"),
    ("psar", "sar"),
    ("stochastic", "stoch"),
    ("stochastic_rsi", "stochrsi"),
    ("ultimate_oscillator", "ultosc"),
    ("variance", "var"),
    ("williams", "willr"),
    ("williams_r", "willr"),
];

impl Entry {
    /// The function of TA-Lib with the same values.
    #[must_use]
    pub fn talib(&self) -> Option<&'static str> {
        if self.convention != Convention::TaLib {
            return None;
        }
        functions(self.source).next()
    }
}

/// The functions that a source names, the main one first: `AROON, AROONOSC` names two, `STOCH (SMA)`
/// one, and `SMA of volume` none.
fn functions(source: &'static str) -> impl Iterator<Item = &'static str> {
    source.split(", ").filter_map(|part| {
        let end = part.find([' ', '(']).unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        (rest.is_empty() || rest.trim_start().starts_with('(')).then_some(name)
    })
}

/// The entry for a name, in lower case, that is not the name of an entry.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    let bare = name
        .trim_start_matches("ta.")
        .trim_start_matches("talib.")
        .trim_start_matches("ta_");
    let equal_to = |most: usize| {
        let is_named = |entry: &&Entry| {
            let mut all = functions(entry.source).take(most);
            all.any(|function| function.eq_ignore_ascii_case(name))
        };
        CATALOGUE.iter().find(is_named).map(|entry| entry.name)
    };
    let named = |name: &str| {
        let mut own = CATALOGUE.iter().map(|entry| entry.name);
        own.find(|own| *own == name)
    };
    let word = WORDS.iter().find(|(word, _)| *word == bare);
    equal_to(1)
        .or_else(|| named(bare))
        .or_else(|| named(word?.1))
        .or_else(|| if bare == name { None } else { meant(bare) })
        .or_else(|| equal_to(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_people_type_means_an_entry() {
        for (typed, entry) in [
            ("bollinger", "bb"),
            ("bbands", "bb"),
            ("williams", "willr"),
            ("keltner", "kc"),
            ("linearreg_slope", "linreg_slope"),
            ("aroonosc", "aroon"),
            ("cdl3whitesoldiers", "three_white_soldiers"),
            ("talib.cdldoji", "doji"),
            ("ta.rsi", "rsi@tv"),
            ("ta.wpr", "willr@tv"),
            ("ta.sma", "sma"),
            ("ta.bollinger", "bb"),
        ] {
            assert_eq!(meant(typed), Some(entry), "{typed}");
        }
        assert_eq!(meant("nothing"), None);
        assert_eq!(meant("ta.nothing"), None);
        assert_eq!(meant(""), None);
    }

    #[test]
    fn every_word_means_an_entry_and_is_none() {
        for (word, _) in WORDS {
            assert!(meant(word).is_some(), "{word}");
            assert!(CATALOGUE.iter().all(|entry| entry.name != *word), "{word}");
        }
    }
}
