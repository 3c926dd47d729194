//! The binary as a user meets it: commands, output, exit codes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs the binary in `dir` with nothing but `variables` in its environment.
fn agent(dir: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"))
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn a_bad_command_line_exits_64_and_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [&["walk"][..], &["replay"], &["run", "--fast"], &["feed"]] {
        let output = agent(dir.path(), &[], arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(stderr(&output).contains("Usage:"), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn a_bad_configuration_exits_78_with_every_violation() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join(".env"),
        "TECHNICAL_BB_STD=-1\nNATS_TOKEN=open sesame\n",
    )
    .unwrap();
    let variables = [
        ("TECHNICAL_RSI_PERIOD", "many"),
        ("TECHNICAL_DELIVERY", "doubtful"),
        ("NATS_PASSWORD", "hunter2"),
    ];
    for arguments in [&["config"][..], &["config", "--json"], &["run"], &[]] {
        let output = agent(dir.path(), &variables, arguments);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}");
        let said = stderr(&output);
        for words in [
            "has 5 errors",
            "TECHNICAL_RSI_PERIOD=many (environment)",
            "TECHNICAL_BB_STD=-1 (.env)",
            "TECHNICAL_DELIVERY=doubtful",
            "NATS_USER (not set)",
            ".env line 2",
        ] {
            assert!(said.contains(words), "`{words}` is missing in: {said}");
        }
        assert!(
            !said.contains("hunter2") && !said.contains("sesame"),
            "{said}"
        );
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn config_prints_every_effective_value_with_its_source() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".env"), "TECHNICAL_GROUP=blue\n").unwrap();
    let variables = [
        ("TECHNICAL_DATA_WINDOW_SIZE", "600"),
        ("NATS_URL", "nats://bob:hunter2@localhost:4222"),
        ("HTTP_ADMIN_TOKEN", "letmein"),
        ("TECHNICAL_RSI_PEROID", "9"),
    ];
    let output = agent(dir.path(), &variables, &["config", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("TECHNICAL_RSI_PERIOD"),
        "{}",
        stderr(&output)
    );
    let settings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let entry = |key: &str| {
        let mut found = settings.iter().filter(|s| s["key"] == key);
        let entry = found.next().unwrap_or_else(|| panic!("{key} is missing"));
        assert!(found.next().is_none());
        (entry["value"].clone(), entry["source"].as_str().unwrap())
    };
    assert_eq!(
        entry("TECHNICAL_DATA_WINDOW_SIZE"),
        ("600".into(), "environment")
    );
    assert_eq!(entry("TECHNICAL_GROUP"), ("blue".into(), ".env"));
    assert_eq!(entry("TECHNICAL_RSI_PERIOD"), ("14".into(), "default"));
    assert_eq!(entry("TECHNICAL_BARS_PER_SERIES"), (Value::Null, "default"));
    assert_eq!(entry("NATS_TOKEN"), (Value::Null, "default"));
    let (name, _) = entry("TECHNICAL_AGENT_NAME");
    assert!(name.as_str().unwrap().starts_with("blue-"), "{name}");
    let table = agent(dir.path(), &variables, &["config"]);
    assert_eq!(stdout(&table).lines().count(), settings.len());
    for shown in [stdout(&output), stdout(&table)] {
        assert!(
            !shown.contains("hunter2") && !shown.contains("letmein"),
            "{shown}"
        );
    }
}

#[test]
fn help_and_version_are_complete_and_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    // even where the configuration is broken
    let variables = [("TECHNICAL_RSI_PERIOD", "many")];
    let help = agent(dir.path(), &variables, &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for words in [
        "TECHNICAL_CHECKPOINT_SECS",
        "NATS_TOKEN_FILE",
        "Exit codes",
        "replay",
        "78",
    ] {
        assert!(stdout(&help).contains(words), "`{words}` is missing");
    }
    let version = agent(dir.path(), &variables, &["--version"]);
    assert_eq!(version.status.code(), Some(0));
    let start = concat!(
        "technical-analysis-agent ",
        env!("CARGO_PKG_VERSION"),
        " (git "
    );
    assert!(stdout(&version).starts_with(start), "{}", stdout(&version));
    assert!(
        stdout(&version).contains("rustc 1."),
        "{}",
        stdout(&version)
    );
}

#[test]
fn health_exits_0_when_the_agent_is_well_and_1_when_not() {
    let dir = tempfile::tempdir().unwrap();
    let off = agent(dir.path(), &[("HTTP_ADDR", "off")], &["health"]);
    assert_eq!(off.status.code(), Some(1));
    assert!(
        stdout(&off).contains("HTTP_ADDR is off"),
        "{}",
        stdout(&off)
    );
    for (answer, code) in [("200 OK", 0), ("503 Service Unavailable", 1)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1_024];
            let length = stream.read(&mut request).unwrap();
            write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let addr = format!("0.0.0.0:{port}");
        let variables = [
            ("HTTP_ADDR", addr.as_str()),
            ("http_proxy", "http://127.0.0.1:1"),
        ];
        let output = agent(dir.path(), &variables, &["health", "--ready"]);
        assert_eq!(output.status.code(), Some(code), "{}", stdout(&output));
        assert_eq!(stdout(&output).lines().count(), 1);
        assert!(server.join().unwrap().starts_with("GET /readyz "));
        let gone = agent(dir.path(), &variables, &["health"]);
        assert_eq!(gone.status.code(), Some(1));
        assert!(
            stdout(&gone).contains("does not answer"),
            "{}",
            stdout(&gone)
        );
    }
    // nothing here needs to be right to ask an agent elsewhere
    let bad = [("TECHNICAL_RSI_PERIOD", "many")];
    let named = agent(dir.path(), &bad, &["health", "--url", "http://127.0.0.1:1"]);
    assert_eq!(named.status.code(), Some(1));
    assert_eq!(agent(dir.path(), &bad, &["health"]).status.code(), Some(78));
}

/// Runs the binary by a shell, with its streams redirected as it says.
fn redirected(dir: &Path, arguments: &str, redirection: &str, variables: &[(&str, &str)]) -> i32 {
    let status = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("\"$0\" {arguments} {redirection}"))
        .arg(env!("CARGO_BIN_EXE_technical-analysis-agent"))
        .current_dir(dir)
        .env_clear()
        .envs(variables.iter().copied())
        .status()
        .unwrap();
    status.code().unwrap_or(-1)
}

#[test]
fn a_standard_error_that_is_full_or_closed_changes_no_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let bar = r#"{"symbol":"A","timestamp":1700000040,"open":1,"high":1,"low":1,"close":1}"#;
    std::fs::write(dir.path().join("bars.jsonl"), format!("no bar\n{bar}\n")).unwrap();
    let bad = [("TECHNICAL_RSI_PERIOD", "x")];
    for redirection in ["2>/dev/full", "2>&-"] {
        for (arguments, variables, code) in [
            ("run", &bad[..], 78),
            ("config", &bad, 78),
            ("walk", &[], 64),
            // a warning, and a bad line: both go to standard error
            ("config >/dev/null", &[("TECHNICAL_X", "1")], 0),
            ("replay bars.jsonl", &[], 0),
            ("replay --strict bars.jsonl", &[], 65),
        ] {
            let ended = redirected(dir.path(), arguments, redirection, variables);
            assert_eq!(ended, code, "{arguments} {redirection}");
        }
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure_and_a_reader_that_has_gone_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let bars = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bars/spy_1m.csv");
    let replay = format!("replay {bars}");
    for arguments in ["config", "config --json", "indicators", &replay] {
        assert_eq!(
            redirected(dir.path(), arguments, ">/dev/full", &[]),
            70,
            "{arguments}"
        );
        // the status of the pipe's first command is what is asked for
        let gone = format!("{{ \"$0\" {arguments}; echo $? >code; }} | true");
        let shell = Command::new("/bin/sh")
            .args(["-c", &gone, env!("CARGO_BIN_EXE_technical-analysis-agent")])
            .current_dir(dir.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .output()
            .unwrap();
        assert_eq!(stderr(&shell), "", "{arguments}");
        let code = std::fs::read_to_string(dir.path().join("code")).unwrap();
        assert_eq!(code.trim(), "0", "{arguments}");
    }
}

#[test]
fn replay_gives_an_account_on_standard_error_and_exits_65_when_nothing_was_taken() {
    let dir = tempfile::tempdir().unwrap();
    let replay = |name: &str, text: &str, more: &[&str]| {
        std::fs::write(dir.path().join(name), text).unwrap();
        let arguments = [&["replay", name][..], more].concat();
        let output = agent(dir.path(), &[], &arguments);
        (
            output.status.code(),
            stdout(&output).len(),
            stderr(&output).to_owned(),
        )
    };
    let header = "timestamp,open,high,low,close,volume,symbol,timeframe\n";
    let row =
        |minute: u32, close: &str| format!("2026-01-02T10:{minute:02}:00Z,1,9,1,{close},5,A,1m\n");
    let rows: String = (0..60).map(|minute| row(minute, "2")).collect();

    let (code, printed, said) = replay("good.csv", &format!("{header}{rows}"), &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(printed > 0);
    for words in [
        "60 bars, 11 signals, 0 corrections, 0 duplicates, 0 forming, 0 refused",
        "first 2026-01-02T10:00:00Z, last 2026-01-02T10:59:00Z",
    ] {
        assert!(said.contains(words), "`{words}` is missing in: {said}");
    }
    assert!(!said.contains("no signal"), "{said}");

    let text = [
        header,
        &row(1, "2"),
        &row(1, "2"),
        &row(1, "3"),
        &row(0, "3"),
        &row(2, "-3"),
    ]
    .concat();
    let (code, printed, said) = replay("few.csv", &text, &[]);
    assert_eq!((code, printed), (Some(0), 0), "{said}");
    for words in [
        "3 bars, 0 signals, 1 corrections, 1 duplicates, 0 forming, 2 refused (bad_price 1, late 1)",
        "first 2026-01-02T10:01:00Z, last 2026-01-02T10:01:00Z",
        "3 bars have only 1 different times, and 2 of them are corrections or duplicates",
        "A 1m has the most bars, 1 bar of different times; a signal needs 50",
    ] {
        assert!(said.contains(words), "`{words}` is missing in: {said}");
    }

    let sparse = ("TECHNICAL_PUBLISH_FREQUENCY", "100");
    std::fs::write(dir.path().join("good.csv"), format!("{header}{rows}")).unwrap();
    let output = agent(dir.path(), &[sparse], &["replay", "good.csv"]);
    assert_eq!(output.status.code(), Some(0));
    let said = stderr(&output);
    assert!(said.contains("only every 100th is published"), "{said}");

    for (name, text, words) in [
        ("header.csv", header, "the input has no bars"),
        ("empty.jsonl", "", "the input has no bars"),
        (
            "bad.jsonl",
            "no bar\n{}\n",
            "nothing was taken in, 2 refused",
        ),
    ] {
        let (code, printed, said) = replay(name, text, &[]);
        assert_eq!((code, printed), (Some(65), 0), "{name}: {said}");
        assert!(said.contains(words), "`{words}` is missing in: {said}");
    }

    // what ends the run early does not take the account away
    let text = format!("{header}{}nonsense\n{}", row(0, "2"), row(1, "2"));
    let (code, _, said) = replay("strict.csv", &text, &["--strict"]);
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("1 bars, 0 signals"), "{said}");
    assert!(said.contains("strict.csv, line 3: "), "{said}");
}
