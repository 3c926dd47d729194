//! `explain` as a user meets it: messages from files, from standard input and from a live subject.

#[path = "../common/mod.rs"]
mod common;
mod vendors;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use common::{NatsServer, publish};

fn command(arguments: &[&str], variables: &[(&str, &str)], dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"));
    command
        .arg("explain")
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn explain(text: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let mut child = command(arguments, variables, dir.path()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    child.wait_with_output().unwrap()
}

/// The entries of `explain --json`, with the exit code.
fn entries(
    text: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, Vec<Value>) {
    let output = explain(text, &[&["--json"][..], arguments].concat(), variables);
    let lines = String::from_utf8(output.stdout).unwrap();
    let entries = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (output.status.code(), entries.collect())
}

#[test]
fn a_bar_is_told_field_by_field_with_the_name_it_was_found_under() {
    let bar = r#"{"s":"BTC/USD","tf":"5m","t":1704067200000,"o":"42000.5","h":42100,"l":41950,"c":42050,"v":1.5,"n":3}"#;
    let (code, found) = entries(bar, &["-"], &[]);
    assert_eq!((code, found.len()), (Some(0), 1));
    let entry = &found[0];
    let expected: [(&str, Value); 14] = [
        ("on_grid", true.into()),
        ("kind", "bar".into()),
        ("symbol", "BTC/USD".into()),
        ("timeframe", "5m".into()),
        ("timestamp", "2024-01-01T00:00:00Z".into()),
        ("open", 42_000.5.into()),
        ("high", 42_100.0.into()),
        ("low", 41_950.0.into()),
        ("close", 42_050.0.into()),
        ("volume", 1.5.into()),
        ("final", true.into()),
        ("revises", false.into()),
        ("line", 1.into()),
        ("dialect", "generic".into()),
    ];
    for (name, expected) in expected {
        assert_eq!(entry[name], expected, "{name}: {entry}");
    }
    let fields = serde_json::json!({
        "symbol": "s", "timeframe": "tf", "timestamp": "t", "open": "o", "high": "h", "low": "l",
        "close": "c", "volume": "v",
    });
    assert_eq!(entry["fields"], fields);
    assert_eq!(entry["does"], "begins its series with it");
    assert_eq!(entry.get("reason"), None);

    let output = explain(bar, &[], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    for words in [
        "message 1 (line 1), element 1",
        "timestamp  2024-01-01T00:00:00Z",
        "from t\n",
        "complete",
        "the agent  begins its series",
    ] {
        assert!(text.contains(words), "`{words}` is missing in {text}");
    }
}

#[test]
fn what_the_agent_does_follows_from_the_messages_before() {
    let bar = |minute: u32, close: f64, more: &str| {
        let time = 1_704_067_200 + 60 * minute;
        format!(
            r#"{{"symbol":"A","timeframe":"1m","timestamp":{time},"open":1,"high":3,"low":1,"close":{close}{more}}}"#
        )
    };
    let messages = [
        bar(1, 1.0, ""),
        bar(2, 1.0, ""),
        bar(2, 1.0, ""),
        bar(2, 2.0, ""),
        bar(3, 2.0, r#","final":false"#),
        // before the first bar of its series
        bar(0, 1.0, ""),
    ];
    let (code, found) = entries(
        &messages.join("\n"),
        &[],
        &[("TECHNICAL_MIN_BARS_REQUIRED", "2")],
    );
    assert_eq!(code, Some(0));
    let does: Vec<&str> = found
        .iter()
        .map(|entry| entry["does"].as_str().unwrap())
        .collect();
    assert_eq!(does[0], "begins its series with it");
    assert_eq!(does[1], "appends it to its series, and publishes a signal");
    assert!(does[2].starts_with("ignores it"), "{does:?}");
    assert_eq!(
        does[3],
        "replaces the bar of the same time, and publishes a signal"
    );
    assert!(
        does[4].starts_with("computes a provisional signal"),
        "{does:?}"
    );
    assert!(
        does[5].starts_with("refuses it: bar is earlier"),
        "{does:?}"
    );
    assert_eq!(found[4]["final"], false);
    assert_eq!(found[4]["fields"]["final"], "final");
}

#[test]
fn a_refusal_names_its_reason_and_the_nearest_form_that_is_taken() {
    let bad = r#"{"symbol":"A","timeframe":"1m","timestamp":1704067200,"open":1,"high":2,"low":1,"close":-2}"#;
    let (code, found) = entries(&format!("{bad}\nnonsense\n"), &[], &[]);
    assert_eq!((code, found.len()), (Some(65), 2));
    assert_eq!(found[0]["kind"], "refused");
    assert_eq!(found[0]["reason"], "bad_price");
    assert_eq!(found[0]["dialect"], "generic");
    assert!(
        found[0]["detail"]
            .as_str()
            .unwrap()
            .contains("`close` is -2")
    );
    assert!(
        found[0]["does"]
            .as_str()
            .unwrap()
            .contains("dead.technical")
    );
    assert_eq!(found[1]["reason"], "not_json");
    // what is offered is taken
    for entry in &found {
        let accepted = entry["accepted"].as_str().unwrap();
        let (code, again) = entries(accepted, &[], &[]);
        assert_eq!(
            (code, &again[0]["kind"]),
            (Some(0), &"bar".into()),
            "{accepted}"
        );
    }
    let (code, found) = entries("", &[], &[]);
    assert_eq!((code, found.len()), (Some(65), 0));
}

#[test]
fn what_is_no_bar_is_offered_no_form_of_one() {
    let quote = r#"{"c":261.74,"h":263.31,"l":260.68,"o":261.07,"pc":259.45,"t":1582641000}"#;
    let trade = r#"{"symbol":"A","price":5,"qty":1,"timestamp":1704067200}"#;
    for (message, reason) in [(quote, "unknown_shape"), (trade, "trade")] {
        let (code, found) = entries(message, &["-", "--subject", "raw.market_data.price.A"], &[]);
        assert_eq!(code, Some(65), "{found:?}");
        assert_eq!(found[0]["reason"], reason);
        assert_eq!(found[0].get("accepted"), None);
        assert!(
            found[0]["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty())
        );
    }
}

#[test]
fn prices_in_fixed_point_are_told_in_their_scale() {
    let bar = r#"{"timestamp":"1609160400000000000","open":"372025000000000","high":"372050000000000","low":"372025000000000","close":"372050000000000","volume":"57","symbol":"ESH1"}"#;
    let (code, found) = entries(bar, &[], &[]);
    assert_eq!((code, &found[0]["close"]), (Some(0), &372_050e9.into()));
    let hint = found[0]["hint"].as_str().unwrap();
    assert!(
        hint.contains("1e-9") && hint.contains("close 372050"),
        "{hint}"
    );
    let shown = String::from_utf8(explain(bar, &[], &[]).stdout).unwrap();
    assert!(
        shown.contains("  hint       the prices look like"),
        "{shown}"
    );
    let plain = bar.replace("000000000\"", "\"");
    let (_, found) = entries(&plain, &[], &[]);
    assert_eq!(found[0].get("hint"), None, "{found:?}");
}

#[test]
fn an_array_is_explained_in_the_order_in_which_its_bars_are_taken() {
    let bar = |minute: u32| {
        format!(
            r#"{{"s":"A","tf":"1m","t":"2024-01-01T00:0{minute}:00Z","o":1,"h":{minute},"l":1,"c":1,"v":{minute}}}"#
        )
    };
    let array = format!("[{},{},{}]", bar(3), bar(2), bar(1));
    let (code, found) = entries(&array, &[], &[]);
    assert_eq!((code, found.len()), (Some(0), 3), "{found:?}");
    for (at, entry) in found.iter().enumerate() {
        assert_eq!(entry["element"], 3 - at);
        assert_eq!(entry["volume"], (at + 1) as f64);
        let place = 2 - at;
        for (field, name) in [("timestamp", "t"), ("high", "h"), ("volume", "v")] {
            assert_eq!(
                entry["fields"][field],
                format!("[{place}].{name}"),
                "{entry}"
            );
        }
    }
    let does = found[2]["does"].as_str().unwrap();
    assert_eq!(does, "appends it to its series");
}

#[test]
fn the_subject_and_the_settings_are_named_where_the_message_is_silent() {
    let bar = r#"{"t":1704067200,"o":1,"h":2,"l":1,"c":2}"#;
    let (code, found) = entries(
        bar,
        &["-", "--subject", "raw.market_data.price.BRK%2EB.1d"],
        &[],
    );
    assert_eq!(code, Some(0), "{found:?}");
    assert_eq!(found[0]["symbol"], "BRK.B");
    assert_eq!(found[0]["timeframe"], "1d");
    assert_eq!(found[0]["fields"]["symbol"], "the subject");
    assert_eq!(found[0]["fields"]["timeframe"], "the subject");
    let named = bar.replace('{', r#"{"s":"A","#);
    let (_, found) = entries(&named, &["-"], &[("TECHNICAL_DEFAULT_TIMEFRAME", "1h")]);
    assert_eq!(found[0]["timeframe"], "1h");
    let source = found[0]["fields"]["timeframe"].as_str().unwrap();
    assert!(
        source.starts_with("TECHNICAL_DEFAULT_TIMEFRAME"),
        "{source}"
    );
    let (code, found) = entries(&named, &["-", "--subject", "raw.market_data.price.B"], &[]);
    assert_eq!(code, Some(65));
    assert_eq!(found[0]["reason"], "mismatch");
}

#[test]
fn rows_of_numbers_have_the_symbol_that_is_given() {
    let rows = "[[1704067200000,1,2,1,2,7]]";
    let (code, found) = entries(rows, &["--symbol", "A/B", "--timeframe", "5m"], &[]);
    assert_eq!(code, Some(0), "{found:?}");
    assert_eq!(found[0]["symbol"], "A/B");
    assert_eq!(found[0]["timeframe"], "5m");
    assert_eq!(found[0]["fields"]["symbol"], "the option");
    assert_eq!(found[0]["fields"]["timestamp"], "[0][0]");
    let (code, found) = entries(rows, &[], &[]);
    assert_eq!(code, Some(65));
    assert_eq!(found[0]["reason"], "missing_field");
}

#[test]
fn a_table_is_told_by_its_columns() {
    let table = "Date;Eröffnung;Hoch;Tief;Schlusskurs;Volumen\n02.01.2024;1,5;2,5;1;2;7\n03.01.2024;2;2,5;x;2;7\n";
    let output = explain(table, &["--symbol", "X", "--json"], &[]);
    let lines = String::from_utf8(output.stdout).unwrap();
    let found: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(found[0]["timestamp"], "2024-01-02T00:00:00Z");
    assert_eq!(found[0]["fields"]["open"], "column `Eröffnung`");
    assert_eq!(found[0]["fields"]["timestamp"], "column `Date`");
    assert_eq!(found[1]["line"], 3);
    assert_eq!(found[1]["reason"], "bad_number");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("decimal comma") && said.contains("the timeframe is 1d"),
        "{said}"
    );
}

#[tokio::test]
async fn the_next_messages_of_a_live_subject_are_explained() {
    let server = NatsServer::plain();
    let url = server.url();
    let client = async_nats::connect(&url).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let variables = [("NATS_URL", url.as_str())];
    let arguments = [
        "--subject",
        "raw.>",
        "--count",
        "2",
        "--timeout",
        "60",
        "--json",
    ];
    let mut child = command(&arguments, &variables, dir.path()).spawn().unwrap();
    // it is there once it has taken its two messages
    let bar = r#"{"t":1704067200,"o":1,"h":2,"l":1,"c":2}"#;
    let mut sent = 0;
    loop {
        publish(&client, "raw.market_data.price.A.1d", bar).await;
        sent += 1;
        if child.try_wait().unwrap().is_some() {
            break;
        }
        assert!(sent < 600, "nothing was explained");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let found: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["subject"], "raw.market_data.price.A.1d");
    assert_eq!(found[0]["symbol"], "A");
    assert_eq!(found[0]["timeframe"], "1d");

    // nobody sends: it ends, and says so
    let arguments = ["--subject", "silent.>", "--timeout", "0.2"];
    let child = command(&arguments, &variables, dir.path()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(65));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("0 of 10 messages")
    );
}

#[test]
fn a_reset_is_told_and_followed() {
    let bar = |minute: u32| {
        format!(
            r#"{{"symbol":"A","timeframe":"1m","timestamp":"2024-01-01T00:{minute:02}:00Z","open":1,"high":1,"low":1,"close":1}}"#
        )
    };
    let reset = r#"{"reset":{"symbol":"A","timeframe":"1m"}}"#;
    let text = format!("{}\n{}\n{reset}\n{}\n", bar(9), bar(3), bar(3));
    let (code, found) = entries(&text, &["-"], &[]);
    assert_eq!((code, found.len()), (Some(0), 4));
    let does = |at: usize| found[at]["does"].as_str().unwrap();
    assert!(does(1).starts_with("refuses it"), "{}", does(1));
    assert_eq!(found[2]["kind"], "reset");
    assert_eq!(does(2), "resets A 1m: its bars are forgotten");
    assert!(does(3).starts_with("appends it"), "{}", does(3));
}

#[test]
fn a_time_mark_is_told_and_followed() {
    let bar = r#"{"symbol":"A","timeframe":"1m","timestamp":"2024-01-01T00:00:00Z","open":1,"high":1,"low":1,"close":1}"#;
    let mark = r#"{"mark":"2024-01-01T00:05:05Z"}"#;
    let ahead = r#"{"mark":"2199-01-01T00:00:00Z"}"#;
    let text = format!("{bar}\n{mark}\n{mark}\n{ahead}\n");
    let (code, found) = entries(&text, &["-"], &[("TECHNICAL_TIMEFRAMES", "5m")]);
    assert_eq!((code, found.len()), (Some(0), 4));
    let does = |at: usize| found[at]["does"].as_str().unwrap();
    assert_eq!(found[1]["kind"], "mark");
    assert_eq!(does(1), "closes the derived bars that ended before it: 1");
    assert_eq!(does(2), "closes the derived bars that ended before it: 0");
    assert_eq!(
        (&found[3]["kind"], &found[3]["reason"]),
        (&"refused".into(), &"future".into())
    );
}
