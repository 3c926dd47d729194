//! A fingerprint of everything that decides about the outputs of a message.

use xxhash_rust::xxh3::xxh3_64;

use super::Config;
use crate::version::FULL;

impl Config {
    /// A number that differs when the agent may give other signals or dead letters for the same
    /// messages: when one of the settings that decide about them differs, or the build. Agents
    /// with equal numbers give equal outputs; the opposite is not promised.
    #[must_use]
    pub fn outputs_fingerprint(&self) -> u64 {
        // no `..`: a new setting has to be put on one of the two sides
        let Self {
            subjects,
            publish_subject,
            dead_letter_subject,
            input,
            analysis,
            max_series,
            series_idle,
            group,
            agent_name: _,
            group_secrets: _,
            delivery: _,
            nats: _,
            logs: _,
            shutdown_timeout: _,
            watchdog: _,
            http: _,
            forming_subject: _,
            durable: _,
            settings: _,
            warnings: _,
            texts: _,
        } = self;
        // Debug prints every field, doubles in full
        let text = format!(
            "{FULL} {group:?} {subjects:?} {publish_subject:?} {dead_letter_subject:?} \
             {input:?} {max_series} {series_idle:?} {:x}",
            analysis.fingerprint()
        );
        xxh3_64(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::io;
    use std::path::Path;

    use super::*;
    use crate::config::Environment;

    struct Only(&'static [(&'static str, &'static str)]);

    impl Environment for Only {
        fn variables(&self) -> Vec<(OsString, OsString)> {
            let pairs = self.0.iter();
            pairs.map(|(key, text)| (key.into(), text.into())).collect()
        }

        fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn host(&self) -> String {
            "host".to_owned()
        }

        fn pid(&self) -> u32 {
            7
        }
    }

    fn of(variables: &'static [(&'static str, &'static str)]) -> u64 {
        let config = Config::load(&Only(variables)).expect("a configuration");
        config.outputs_fingerprint()
    }

    #[test]
    fn a_setting_that_decides_about_outputs_changes_the_fingerprint_and_no_other_does() {
        let own = of(&[]);
        for other in [
            of(&[("TECHNICAL_PUBLISH_FREQUENCY", "2")]),
            of(&[("TECHNICAL_RSI_PERIOD", "9")]),
            of(&[("TECHNICAL_MIN_BARS_REQUIRED", "51")]),
            of(&[("TECHNICAL_PUBLISH_SUBJECT", "signals.{symbol}")]),
            of(&[("TECHNICAL_DEAD_LETTER_SUBJECT", "letters")]),
            of(&[("TECHNICAL_DEFAULT_TIMEFRAME", "5m")]),
            of(&[("TECHNICAL_FINAL", "next")]),
            of(&[("TECHNICAL_DIALECT", "generic")]),
            of(&[("TECHNICAL_DIALECT", "kraken")]),
            of(&[("TECHNICAL_TIMEZONE", "America/New_York")]),
            of(&[("TECHNICAL_TIMESTAMP", "close")]),
            of(&[("TECHNICAL_GRID", "accept")]),
            of(&[("TECHNICAL_PRICES", "any")]),
            of(&[("TECHNICAL_MAX_SERIES", "9")]),
            of(&[("TECHNICAL_MAX_PAYLOAD_BYTES", "9999")]),
            of(&[("TECHNICAL_SERIES_IDLE_SECS", "86400")]),
            of(&[("TECHNICAL_GROUP", "desk")]),
        ] {
            assert_ne!(own, other);
        }
        for same in [
            of(&[]),
            of(&[("TECHNICAL_AGENT_NAME", "other")]),
            of(&[("TECHNICAL_LEASE_SECS", "9")]),
            of(&[("LOG_LEVEL", "DEBUG")]),
            of(&[("NATS_URL", "nats://elsewhere:4222")]),
        ] {
            assert_eq!(own, same);
        }
    }
}
