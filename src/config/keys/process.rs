//! The process, its logs and its operations endpoint.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{secret, section, set, unset};
use crate::config::choices::LogFormat;
use crate::config::log_filter::LogFilter;
use crate::config::readers::{one_of, or_never, parsed, path, seconds, whole_seconds};
use crate::config::secret::Secret;

section! {
    ProcessValues, "Process, logs and operations":

    LOG_LEVEL: LogFilter = parsed,
        set("INFO", "debug",
            "`TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR`, `OFF`, or a full tracing filter",
        );

    LOG_FORMAT: LogFormat = one_of(FORMATS),
        set("auto", "json",
            "`json`, `pretty`, or `auto`: JSON when standard output is no terminal",
        );

    LOG_DIR: PathBuf = path,
        unset("/var/log/technical", "also write `LOG_DIR/<agent name>.log`, rotated daily");

    SHUTDOWN_TIMEOUT: Duration = seconds(0.1..=3_600.0),
        set("25", "10", "seconds allowed for the drain");

    TECHNICAL_WATCHDOG_SECS: Option<Duration> = or_never(whole_seconds(0..=86_400)),
        set("0", "30",
            "end with 70 when a work loop makes no progress for this long (at least the 15 s of \
             `/livez`), for launchers that have no watchdog; 0 is never",
        );

    HTTP_ADDR: Option<SocketAddr> = http_addr,
        set("127.0.0.1:8080", "0.0.0.0:8080", "operations endpoint; `off` disables it");

    HTTP_ADMIN_TOKEN: Secret = bearer_token,
        secret("s3cr3t", "bearer token of the admin routes; without it they answer 403");
}

const FORMATS: &[(&str, LogFormat)] = &[
    ("auto", LogFormat::Auto),
    ("json", LogFormat::Json),
    ("pretty", LogFormat::Pretty),
];

fn http_addr(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| "must be an IP address with a port, or off".to_owned())
}

fn bearer_token(text: &str) -> Result<Secret, String> {
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(Secret::new(text.to_owned()))
    } else {
        Err("must be printable ASCII without spaces, as it travels in a header".to_owned())
    }
}
