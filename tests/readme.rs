//! The README is true: its signal is what `replay` prints, its table of variables is that of the
//! code, and its commands lead from an empty server to the signals that it promises.
//! `UPDATE_DOCS=1 cargo test --test readme` rewrites the signal and the table.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{
    Agent, Collected, NatsServer, assert_same, collect_signals, publish, replay, settled,
};
use technical_analysis_agent::config;

/// The README as it is, and as it ought to be with `block` between the markers of `name`.
fn with_block(name: &str, block: &str) -> (String, String) {
    let text = fs::read_to_string(readme()).unwrap();
    let (begin, end) = (
        format!("<!-- {name}:begin -->\n"),
        format!("<!-- {name}:end -->"),
    );
    let from = text.find(&begin).expect("the marker that begins it") + begin.len();
    let to = text.find(&end).expect("the marker that ends it");
    let ought = format!("{}{}{}", &text[..from], block, &text[to..]);
    (text, ought)
}

fn readme() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"))
}

/// What `replay` prints for the newest bar of `file`.
fn newest_signal(file: &str) -> String {
    let elsewhere = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"))
        .arg("replay")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(file))
        // neither variables nor a .env of whoever runs the test
        .env_clear()
        .current_dir(elsewhere.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let signals = String::from_utf8(output.stdout).unwrap();
    signals.lines().last().expect("a signal").to_owned()
}

/// Breaks one line of JSON between fields, for a page of 100 columns; not a byte is changed.
fn wrapped(line: &str) -> String {
    let mut text = String::new();
    let mut column = 0;
    for field in line.split_inclusive(',') {
        if column + field.len() > 100 {
            text.push_str("\n ");
            column = 1;
        }
        text.push_str(field);
        column += field.len();
    }
    text
}

// one test: both write the same file
#[test]
fn the_readme_shows_what_the_program_does() {
    let signal = format!(
        "```json\n{}\n```\n",
        wrapped(&newest_signal("tests/data/bars/aapl_1d.csv"))
    );
    let table = config::markdown_table();
    for (name, block) in [("signal", signal), ("config", table)] {
        let (is, ought) = with_block(name, &block);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(readme(), ought).unwrap();
        } else {
            assert!(
                is == ought,
                "the {name} in README.md is out of date: UPDATE_DOCS=1 cargo test --test readme"
            );
        }
    }
}

/// The commands between the markers of `name`, each in one line: the indented lines.
fn commands(name: &str) -> Vec<String> {
    let text = fs::read_to_string(readme()).unwrap();
    let from = text.find(&format!("<!-- {name}:begin -->")).unwrap();
    let to = text.find(&format!("<!-- {name}:end -->")).unwrap();
    let lines = text[from..to]
        .lines()
        .filter_map(|line| line.strip_prefix("    "));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    joined.lines().map(str::to_owned).collect()
}

/// The words of a command, as a shell takes them apart.
fn words(command: &str) -> Vec<String> {
    let output = Command::new("sh")
        .args(["-c", &format!("printf '%s\\n' {command}")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Does what the README says, in its order, against an empty `server`.
async fn follow_the_readme(server: &NatsServer) {
    let root = env!("CARGO_MANIFEST_DIR");
    let url = server.url();
    let client = async_nats::connect(&url).await.unwrap();
    let (mut agent, mut signals): (Option<Agent>, Option<Collected>) = (None, None);
    let mut bars: Vec<String> = Vec::new();
    let mut answered = 0;
    for command in commands("first-signal") {
        let words = words(&command.replace("nats://localhost:4222", &url));
        match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [variable, "make", "run"] => {
                // `make run` builds the release and runs it with this variable
                let started = agent.insert(Agent::start([variable.split_once('=').unwrap()]));
                started.wait_ready();
            }
            ["nats", "sub", "-s", at, subject] => {
                assert_eq!(*at, url);
                signals = Some(collect_signals(&client, subject).await);
            }
            [variable, program, arguments @ ..]
                if program.ends_with("technical-analysis-agent") =>
            {
                let output = Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"))
                    .args(arguments)
                    .env_clear()
                    .envs([variable.split_once('=').unwrap()])
                    .current_dir(root)
                    .output()
                    .unwrap();
                assert!(output.status.success(), "{command}: {output:?}");
                for file in arguments.iter().filter(|word| word.contains('/')) {
                    bars.extend(bars_of(&Path::new(root).join(file)));
                }
            }
            ["nats", "pub", "-s", at, subject, payload] => {
                assert_eq!(*at, url);
                let signals = signals.as_ref().expect("subscribed before");
                answered = settled(signals, bars.len() - 49).await.len();
                publish(&client, subject, payload).await;
                bars.push((*payload).to_owned());
            }
            _ => panic!("the README has a command that no one tries: {command}"),
        }
    }
    assert!(answered > 0, "nothing was published by hand");
    let promised = format!("{} real bars of a stock", bars.len() - 1);
    let text = fs::read_to_string(readme()).unwrap().replace('\n', " ");
    assert!(text.contains(&promised), "not in the README: {promised}");
    let promised = format!("so {answered} signals come");
    assert!(text.contains(&promised), "not in the README: {promised}");
    let signals = signals.expect("subscribed");
    let expected = replay(&bars, &[]);
    let came = settled(&signals, answered + 1).await;
    assert_same(&came, &expected);
    // the bar that is published by hand is a new one, and answered as such
    let bar: serde_json::Value = serde_json::from_str(bars.last().unwrap()).unwrap();
    let last = came.last().unwrap();
    assert_eq!(came.len(), answered + 1, "{bar} is not answered");
    assert_eq!(last.json()["timestamp"], bar["timestamp"]);
    assert_eq!(last.json()["revision"], 0, "{bar} corrects another");
    let promised = format!("as this one is on `{}`", last.subject);
    assert!(text.contains(&promised), "not in the README: {promised}");
    assert!(agent.is_some(), "no agent was started");
}

/// The bars of a CSV file as payloads, by its own header.
fn bars_of(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines
        .map(|line| {
            let fields = names.iter().zip(line.split(','));
            let bar: serde_json::Map<_, _> = fields
                .map(|(name, value)| ((*name).to_owned(), value.into()))
                .collect();
            serde_json::Value::from(bar).to_string()
        })
        .collect()
}

#[tokio::test]
async fn the_commands_of_the_readme_lead_to_signals_from_a_server_with_jetstream() {
    follow_the_readme(&NatsServer::jetstream()).await;
}

#[tokio::test]
async fn the_commands_of_the_readme_lead_to_signals_from_a_server_without_jetstream() {
    follow_the_readme(&NatsServer::plain()).await;
}
