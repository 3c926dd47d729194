//! The filter of log events.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

/// The crate's own target, to which a bare level applies.
const OWN: &str = env!("CARGO_CRATE_NAME");

/// A level name in any case, or a full `tracing` filter.
///
/// A bare level is for the agent itself; what it is built on then speaks from WARN up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter {
    text: String,
    directives: String,
}

/// A text that is no level and no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be TRACE, DEBUG, INFO, WARN, ERROR, OFF or a filter such as warn,technical_analysis_agent=debug{0}"
)]
pub struct InvalidLogFilter(String);

impl LogFilter {
    /// The filter as `tracing` takes it.
    #[must_use]
    pub fn to_env_filter(&self) -> EnvFilter {
        EnvFilter::new(&self.directives)
    }
}

impl FromStr for LogFilter {
    type Err = InvalidLogFilter;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let directives = match level(text) {
            Some(level @ ("trace" | "debug" | "info")) => format!("warn,{OWN}={level}"),
            Some(level) => level.to_owned(),
            // a bare word that is no level would be taken for a target, which a typo never is
            None if !text.contains(['=', ',', '[']) => return Err(InvalidLogFilter(String::new())),
            None => {
                let directives = plain(text);
                EnvFilter::try_new(&directives).map_err(|e| InvalidLogFilter(format!(": {e}")))?;
                directives
            }
        };
        Ok(Self {
            text: text.to_owned(),
            directives,
        })
    }
}

/// A level in any case, under the names that other programs have for it.
fn level(word: &str) -> Option<&'static str> {
    const NAMES: [(&str, &[&str]); 6] = [
        ("trace", &["trace"]),
        ("debug", &["debug"]),
        ("info", &["info", "information", "informational", "notice"]),
        ("warn", &["warn", "warning"]),
        (
            "error",
            &[
                "error", "err", "critical", "crit", "fatal", "alert", "emerg",
            ],
        ),
        ("off", &["off", "none"]),
    ];
    let word = word.trim();
    let is = |name: &&str| name.eq_ignore_ascii_case(word);
    NAMES
        .iter()
        .find(|(_, names)| names.iter().any(&is))
        .map(|(level, _)| *level)
}

/// The filter with every level under the name that `tracing` has for it: `warning` alone would be
/// taken for a target. Filters of spans and fields are left as they are.
fn plain(filter: &str) -> String {
    if filter.contains(['[', '{']) {
        return filter.to_owned();
    }
    let directive = |part: &str| match part.split_once('=') {
        Some((target, word)) => {
            let word = word.trim();
            format!("{}={}", target.trim(), level(word).unwrap_or(word))
        }
        None => level(part).unwrap_or(part.trim()).to_owned(),
    };
    let parts = filter.split(',').filter(|part| !part.trim().is_empty());
    parts.map(directive).collect::<Vec<_>>().join(",")
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_for_the_agent_and_a_filter_is_taken_as_it_is() {
        let directives = |text: &str| text.parse::<LogFilter>().unwrap().directives;
        assert_eq!(directives("Debug"), "warn,technical_analysis_agent=debug");
        assert_eq!(directives("ERROR"), "error");
        assert_eq!(directives("async_nats=trace,info"), "async_nats=trace,info");
        assert_eq!(directives("off"), "off");
        for bad in ["", "loud", "INFOO", "a=b=c", "technical=loud"] {
            assert!(bad.parse::<LogFilter>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn levels_have_the_names_that_people_type() {
        let directives = |text: &str| text.parse::<LogFilter>().unwrap().directives;
        for (typed, meant) in [
            ("WARNING", "warn"),
            ("Err", "error"),
            ("critical", "error"),
            ("FATAL", "error"),
            ("notice", "warn,technical_analysis_agent=info"),
            ("WARNING,async_nats=DEBUG", "warn,async_nats=debug"),
            (
                "Warn, technical_analysis_agent = Critical,",
                "warn,technical_analysis_agent=error",
            ),
            (
                "info,[publish{symbol=A}]=debug",
                "info,[publish{symbol=A}]=debug",
            ),
        ] {
            assert_eq!(directives(typed), meant, "{typed}");
            assert!(EnvFilter::try_new(meant).is_ok(), "{meant}");
        }
    }
}
