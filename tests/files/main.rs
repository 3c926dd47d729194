//! Files as vendors and spreadsheets write them, read by the binary: every bar with its values.
//!
//! The expected values are those that stand in the fixture, in plain units and UTC. Where the
//! shapes of the fixtures come from is told in `tests/data/files/README.md`.
mod derived;
mod presets;
mod tables;
mod trades;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Replays files with a signal for every bar.
fn replay(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let elsewhere = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/files");
    let arguments = arguments.iter().map(|argument| {
        let file = here.join(argument);
        if file.is_file() {
            file.into_os_string()
        } else {
            argument.into()
        }
    });
    Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"))
        .arg("replay")
        .args(arguments)
        .env_clear()
        .env("TECHNICAL_MIN_BARS_REQUIRED", "1")
        .envs(variables.iter().copied())
        .current_dir(elsewhere.path())
        .output()
        .unwrap()
}

fn said(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// The bars that were read: symbol, timeframe, time, prices and volume.
fn bars(output: &Output) -> Vec<String> {
    let signals = std::str::from_utf8(&output.stdout).unwrap();
    let bar = |line: &str| {
        let signal: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| signal[field].as_str().unwrap().to_owned();
        let number = |field: &str| signal[field].as_f64().unwrap().to_string();
        let texts = ["symbol", "timeframe", "timestamp"].map(text);
        let numbers = ["open", "high", "low", "close", "volume"].map(number);
        [texts.as_slice(), &numbers].concat().join(" ")
    };
    signals.lines().map(bar).collect()
}

fn assert_read(arguments: &[&str], words: &[&str], expected: &[&str]) {
    let output = replay(arguments, &[]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{arguments:?}: {}",
        said(&output)
    );
    assert_eq!(bars(&output), expected, "{arguments:?}: {}", said(&output));
    for word in words {
        assert!(
            said(&output).contains(word),
            "{arguments:?}: `{word}` is missing in {}",
            said(&output)
        );
    }
}

/// Every way of reading a file gives the same bars.
fn assert_all_read(ways: &[&[&str]], words: &[&str], expected: &[&str]) {
    for arguments in ways {
        assert_read(arguments, words, expected);
    }
}

/// The file is refused with an answer that names what would read it.
fn assert_answered(arguments: &[&str], words: &[&str]) {
    let output = replay(arguments, &[]);
    assert_eq!(
        output.status.code(),
        Some(65),
        "{arguments:?}: {}",
        said(&output)
    );
    assert!(output.stdout.is_empty(), "{arguments:?}");
    for word in words {
        assert!(
            said(&output).contains(word),
            "{arguments:?}: `{word}` is missing in {}",
            said(&output)
        );
    }
}
