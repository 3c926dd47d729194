//! What is logged.

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
    "must be TRACE, DEBUG, INFO, WARN, ERROR or a filter such as warn,technical_analysis_agent=debug{0}"
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
        let lower = text.to_ascii_lowercase();
        let directives = match lower.as_str() {
            "trace" | "debug" | "info" => format!("warn,{OWN}={lower}"),
            "warn" | "error" => lower,
            // a bare word that is no level would be taken for a target, which a typo never is
            _ if !text.contains(['=', ',', '[']) => return Err(InvalidLogFilter(String::new())),
            _ => {
                EnvFilter::try_new(text).map_err(|e| InvalidLogFilter(format!(": {e}")))?;
                text.to_owned()
            }
        };
        Ok(Self {
            text: text.to_owned(),
            directives,
        })
    }
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
        for bad in ["", "loud", "INFOO", "a=b=c", "technical=loud"] {
            assert!(bad.parse::<LogFilter>().is_err(), "{bad:?}");
        }
    }
}
