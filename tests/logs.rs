//! Logging of a whole process: the file, the panic, the change of level. One test, as a
//! process has one log.

use technical_analysis_agent::config::{LogConfig, LogFormat};
use technical_analysis_agent::ops::logs::{self, LogError, Stream};

fn config(dir: &std::path::Path) -> LogConfig {
    LogConfig {
        filter: "info".parse().unwrap(),
        format: LogFormat::Auto,
        dir: Some(dir.to_owned()),
    }
}

#[test]
fn the_log_holds_what_was_let_through_and_a_panic_as_one_event() {
    const OWN: &str = "technical_analysis_agent::test";
    let dir = tempfile::tempdir().unwrap();
    let logs = logs::start(&config(dir.path()), "agent 1", Stream::Stderr).unwrap();
    tracing::debug!(target: OWN, "too fine");
    tracing::info!(target: OWN, bars = 3, "own");
    tracing::info!(target: "async_nats", "of a dependency");
    tracing::warn!(target: "async_nats", "grave enough");
    let control = logs.control();
    control.set("DEBUG").unwrap();
    assert!(control.set("loud").is_err());
    tracing::debug!(target: OWN, "fine");
    tracing::info!(target: "async_nats", "of a dependency");
    control
        .set("off,async_nats=info,technical_analysis_agent=error")
        .unwrap();
    tracing::warn!(target: OWN, "of the agent");
    tracing::info!(target: "async_nats", "asked for");
    control.set("info").unwrap();
    let panicked = std::thread::Builder::new()
        .name("partition-3".to_owned())
        .spawn(|| panic!("bar {} is odd", 7))
        .unwrap()
        .join();
    assert!(panicked.is_err());
    assert!(matches!(
        logs::start(&config(dir.path()), "again", Stream::Stderr),
        Err(LogError::Twice(_))
    ));
    drop(logs);

    let text = std::fs::read_to_string(dir.path().join("agent_1.log")).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let messages: Vec<&str> = lines
        .iter()
        .map(|l| l["message"].as_str().unwrap())
        .collect();
    assert_eq!(
        messages,
        [
            "own",
            "grave enough",
            "fine",
            "asked for",
            "panic: bar 7 is odd"
        ]
    );
    assert!(lines.iter().all(|line| line["agent"] == "agent 1"));
    assert_eq!(lines[0]["bars"], 3);
    let panic = &lines[4];
    assert_eq!(panic["level"], "ERROR");
    assert_eq!(panic["thread"], "partition-3");
    assert!(
        panic["location"]
            .as_str()
            .unwrap()
            .starts_with("tests/logs.rs:")
    );
    assert!(panic["backtrace"].as_str().unwrap().lines().count() > 3);
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = logs::start(&config(&file), "a", Stream::Stderr).unwrap_err();
    assert!(error.to_string().starts_with("LOG_DIR="), "{error}");
}
