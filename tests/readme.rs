//! The README is true: its signal is what `replay` prints, its table of variables is that of the
//! code, and its commands lead from an empty server to the signals that it promises.
//! `UPDATE_DOCS=1 cargo test --test readme` rewrites the signal and the table.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use common::{
    NatsServer, PATIENCE, assert_same, collect_signals, free_port, nats_server, replay, settled,
    until,
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

/// Output of `replay` for the newest bar of `file`.
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

/// A terminal of the user: a command as printed, run by a shell in a process group of its own.
struct Terminal {
    shell: Child,
    stdout: Arc<Mutex<Vec<String>>>,
    stderr: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Terminal {
    fn run(command: &str, directory: &Path, environment: &[(&str, String)]) -> Self {
        // the shell of a terminal is not among what Ctrl-C there reaches
        let alone = if command.contains('|') { "" } else { "exec " };
        let mut shell = Command::new("sh");
        let mut shell = shell
            .args(["-c", &format!("{alone}{command}")])
            .current_dir(directory)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let (stdout, of_stdout) = lines_of(shell.stdout.take().unwrap());
        let (stderr, of_stderr) = lines_of(shell.stderr.take().unwrap());
        Self {
            shell,
            stdout,
            stderr,
            readers: vec![of_stdout, of_stderr],
        }
    }

    fn lines(&self) -> Vec<String> {
        self.stdout.lock().unwrap().clone()
    }

    fn errors(&self) -> Vec<String> {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits for a line with `text` on either stream; false when the command ends before.
    fn says(&mut self, text: &str) -> bool {
        let start = Instant::now();
        loop {
            let said = [self.lines(), self.errors()].concat();
            if said.iter().any(|line| line.contains(text)) {
                return true;
            }
            if self.shell.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(start.elapsed() < PATIENCE, "no {text:?} in {said:?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Waits for the end of the command, and returns its exit code when all it said was read.
    fn end(&mut self) -> Option<i32> {
        let status = until("the end of the command", || self.shell.try_wait().unwrap());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status.code()
    }

    /// Sends a signal to everything that the command has started, as Ctrl-C in its terminal does.
    fn signal(&self, name: &str) {
        let group = format!("-{}", self.shell.id());
        let mut kill = Command::new("kill");
        let kill = kill.args([&format!("-{name}"), "--", &group]);
        // fails for a group that has ended, which needs none
        let _ = kill.stderr(Stdio::null()).status().unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- said: {:?} {:?}", self.lines(), self.errors());
        }
        self.signal("KILL");
        let _ = self.shell.wait();
    }
}

fn lines_of(pipe: impl Read + Send + 'static) -> (Arc<Mutex<Vec<String>>>, JoinHandle<()>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&lines);
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            into.lock().unwrap().push(line);
        }
    });
    (lines, reader)
}

/// The project as a newcomer has it after the build, which is that of the test: its files, and the
/// program where the release would be.
fn checkout() -> tempfile::TempDir {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = env!("CARGO_BIN_EXE_technical-analysis-agent");
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    for name in ["Makefile", "scripts", "tests", "docker"] {
        symlink(root.join(name), at(name)).unwrap();
    }
    fs::create_dir_all(at("target/release")).unwrap();
    symlink(program, at("target/release/technical-analysis-agent")).unwrap();
    let cargo = at("cargo");
    let built = format!(
        "#!/bin/sh\n[ \"$*\" = 'run --release -- run' ] || exit 99\nexec '{program}' run\n"
    );
    fs::write(&cargo, built).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// Does what the README says, in its order and as it is printed. Nothing differs but the ports, and
/// the build: `server` stands for the server of the README where there is one already.
async fn follow_the_readme(server: Option<&NatsServer>) {
    let checkout = checkout();
    let directory = checkout.path();
    let mut port = server.map_or_else(free_port, NatsServer::port);
    let environment = |port: u16| {
        [
            ("NATS_URL", format!("nats://127.0.0.1:{port}")),
            ("NATS_PORT", port.to_string()),
            ("NATS_SERVER", nats_server().display().to_string()),
            ("HTTP_ADDR", format!("127.0.0.1:{}", free_port())),
            ("CARGO", directory.join("cargo").display().to_string()),
            ("TMPDIR", directory.display().to_string()),
        ]
    };
    let mut terminals = Vec::new();
    let (mut watch, mut signals) = (None::<Terminal>, None);
    let mut bars: Vec<String> = Vec::new();
    let mut answered = 0;
    for command in commands("first-signal") {
        let run = |port| Terminal::run(&command, directory, &environment(port));
        match command.split_whitespace().collect::<Vec<_>>()[..] {
            ["make", "nats"] if server.is_some() => {}
            ["make", "nats"] => {
                let mut nats = run(port);
                // the port may have been taken meanwhile
                for _ in 0..5 {
                    if nats.says("Server is ready") {
                        break;
                    }
                    port = free_port();
                    nats = run(port);
                }
                terminals.push(nats);
            }
            ["make", "run"] => {
                let mut agent = run(port);
                assert!(agent.says("\"message\":\"ready\""), "{:?}", agent.lines());
                terminals.push(agent);
            }
            ["target/release/technical-analysis-agent", "watch"] => {
                let client = async_nats::connect(format!("127.0.0.1:{port}")).await;
                let client = client.unwrap();
                signals = Some((collect_signals(&client, "insight.>").await, client));
                let started = watch.insert(run(port));
                assert!(started.says("watching"), "{:?}", started.errors());
            }
            ["target/release/technical-analysis-agent", "feed", file] => {
                let mut feed = run(port);
                assert_eq!(feed.end(), Some(0), "{:?}", feed.errors());
                bars.extend(bars_of(&directory.join(file)));
            }
            [
                "echo",
                ..,
                "|",
                "target/release/technical-analysis-agent",
                "feed",
                "-",
            ] => {
                let (signals, _) = signals.as_ref().expect("watched before");
                answered = settled(signals, bars.len() - 49).await.len();
                let mut feed = run(port);
                assert_eq!(feed.end(), Some(0), "{:?}", feed.errors());
                let payload = command.split('\'').nth(1).expect("a bar in quotes");
                bars.push(payload.to_owned());
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
    let (signals, _client) = signals.expect("watched");
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
    assert_is_shown(watch.expect("watched"), &expected);
    let started = if server.is_some() { 1 } else { 2 };
    assert_eq!(terminals.len(), started, "a server and an agent");
    for mut terminal in terminals.into_iter().rev() {
        terminal.signal("INT");
        terminal.end();
    }
    if server.is_none() {
        let left: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name.to_string_lossy().starts_with("tmp."))
            .collect();
        assert!(left.is_empty(), "`make nats` leaves its store: {left:?}");
    }
}

/// Checks that the screen of `watch` has a line for each of `signals`, and ends it as a user would.
fn assert_is_shown(mut watch: Terminal, signals: &[String]) {
    until("a line for every signal", || {
        (watch.lines().len() >= signals.len()).then_some(())
    });
    watch.signal("INT");
    assert_eq!(watch.end(), Some(0), "{:?}", watch.errors());
    let lines = watch.lines();
    assert_eq!(lines.len(), signals.len());
    for (line, signal) in lines.iter().zip(signals) {
        let signal: serde_json::Value = serde_json::from_str(signal).unwrap();
        let at = signal["timestamp"].as_str().unwrap();
        assert!(line.starts_with(at), "{line} is not that of {at}");
        for text in [format!("close {} ", signal["close"]), " AAPL ".to_owned()] {
            assert!(line.contains(&text), "`{text}` is not in {line}");
        }
        for alert in signal["alerts"].as_array().unwrap() {
            assert!(line.contains(alert.as_str().unwrap()), "{alert} in {line}");
        }
    }
    let account = format!("{} signals", signals.len());
    let said = watch.errors();
    assert!(
        said.iter().any(|line| line.starts_with(&account)),
        "{said:?}"
    );
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
async fn the_commands_of_the_readme_lead_from_nothing_to_signals() {
    follow_the_readme(None).await;
}

#[tokio::test]
async fn the_commands_of_the_readme_lead_to_signals_from_a_server_without_jetstream() {
    follow_the_readme(Some(&NatsServer::plain())).await;
}
