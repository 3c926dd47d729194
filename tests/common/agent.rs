//! The real binary as a child process.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, free_port, freeze, signal, until};

/// An agent in a directory and environment of its own, killed when dropped.
pub struct Agent {
    process: Child,
    http: String,
    home: TempDir,
    stdout: Arc<Mutex<Vec<String>>>,
    stderr: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

/// The answer to an HTTP request.
pub struct Response {
    pub status: u16,
    pub body: String,
}

impl Response {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }
}

impl Agent {
    /// Starts `technical-analysis-agent run` with these variables and no others, but for a free
    /// `HTTP_ADDR` and JSON logs, which they may override.
    pub fn start<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::start_with(&["run"], variables)
    }

    /// [`Agent::start`] with the given command line.
    pub fn start_with<'a>(
        arguments: &[&str],
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"));
        command.args(arguments);
        Self::spawn(command, variables)
    }

    /// [`Agent::start`] by a shell that runs `first` and then is the agent.
    pub fn start_after<'a>(
        first: &str,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(format!("{first}; exec \"$0\" run"))
            .arg(env!("CARGO_BIN_EXE_technical-analysis-agent"));
        Self::spawn(command, variables)
    }

    fn spawn<'a>(
        mut command: Command,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut environment = BTreeMap::from([
            ("HTTP_ADDR".to_owned(), format!("127.0.0.1:{}", free_port())),
            ("LOG_FORMAT".to_owned(), "json".to_owned()),
        ]);
        environment.extend(
            variables
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v.to_owned())),
        );
        let http = format!("http://{}", environment["HTTP_ADDR"]);
        let mut process = command
            .env_clear()
            .envs(environment)
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the agent starts");
        let (stdout, of_stdout) = lines_of(process.stdout.take().expect("a pipe"));
        let (stderr, of_stderr) = lines_of(process.stderr.take().expect("a pipe"));
        Self {
            process,
            http,
            home,
            stdout,
            stderr,
            readers: vec![of_stdout, of_stderr],
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its working directory.
    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    /// Returns when `/readyz` says yes; panics with its output if the agent ends instead, and with
    /// what it is missing if that takes too long.
    pub fn wait_ready(&mut self) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("a child process") {
                panic!(
                    "the agent ended ({status}) before it was ready:\n{}",
                    self.output()
                );
            }
            let answer = self.try_get("/readyz");
            if answer.as_ref().is_some_and(|answer| answer.status == 200) {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "agent {} is not ready after {PATIENCE:?}: {:?}, health {:?}",
                self.pid(),
                answer.map(|answer| answer.body),
                self.try_get("/health").map(|answer| answer.body),
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The address of its HTTP server, as `host:port`.
    pub fn http_address(&self) -> &str {
        self.http.trim_start_matches("http://")
    }

    /// `GET path`, whatever the status.
    pub fn get(&self, path: &str) -> Response {
        self.try_get(path)
            .unwrap_or_else(|| panic!("no answer from {}{path}", self.http))
    }

    /// `GET path`; nothing when nobody listens.
    pub fn try_get(&self, path: &str) -> Option<Response> {
        let http = ureq::Agent::new_with_config(
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(PATIENCE))
                .build(),
        );
        let mut response = http.get(format!("{}{path}", self.http)).call().ok()?;
        let status = response.status().as_u16();
        let body = response.body_mut().read_to_string().ok()?;
        Some(Response { status, body })
    }

    /// `POST path` with a bearer token, if any.
    pub fn post(&self, path: &str, token: Option<&str>, body: &str) -> Response {
        let http = ureq::Agent::new_with_config(
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(PATIENCE))
                .build(),
        );
        let mut request = http.post(format!("{}{path}", self.http));
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut response = request.send(body).expect("an answer");
        let status = response.status().as_u16();
        let body = response.body_mut().read_to_string().expect("a body");
        Response { status, body }
    }

    /// The exit code of `health` with these arguments, asked about this agent.
    pub fn health(&self, arguments: &[&str]) -> Option<i32> {
        let status = Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"))
            .args(["health", "--url", &self.http])
            .args(arguments)
            .env_clear()
            .current_dir(self.home.path())
            .stdout(Stdio::null())
            .status();
        status.expect("the agent starts").code()
    }

    /// Its metrics now.
    pub fn metrics(&self) -> Metrics {
        Metrics::parse(&self.get("/metrics").body)
    }

    /// Waits until every one of these metrics (the sum over its labels, where none are given) has
    /// its value: what is counted in the hot loop is shown a moment after its signal has arrived.
    pub fn wait_metrics(&self, expected: &[(&str, f64)]) {
        let value = |metrics: &Metrics, name: &str| match metrics.get(name) {
            Some(value) => value,
            None => metrics.sum(name),
        };
        let mut last = Vec::new();
        let start = Instant::now();
        loop {
            let metrics = self.metrics();
            last.clear();
            last.extend(expected.iter().map(|(name, _)| value(&metrics, name)));
            #[allow(clippy::float_cmp)] // counts
            if last.iter().zip(expected).all(|(is, (_, due))| is == due) {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "expected {expected:?}, counted {last:?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The lines of its standard output so far.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lock().expect("no reader panics").clone()
    }

    /// Its log lines so far, those that are JSON objects.
    pub fn logs(&self) -> Vec<Value> {
        self.stdout()
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(Value::is_object)
            .collect()
    }

    /// Waits for a log line whose message contains `text`, and returns it.
    pub fn wait_log(&self, text: &str) -> Value {
        until(
            &format!("a log line with {text:?} in\n{}", self.output()),
            || {
                self.logs().into_iter().find(|line| {
                    line["message"]
                        .as_str()
                        .is_some_and(|message| message.contains(text))
                })
            },
        )
    }

    /// Everything it printed, for messages of failed tests.
    pub fn output(&self) -> String {
        let stderr = self.stderr.lock().expect("no reader panics").join("\n");
        format!("{}\n{stderr}", self.stdout().join("\n"))
    }

    /// Sends it a signal, named as `kill` names it.
    pub fn signal(&self, name: &str) {
        signal(&self.process, name);
    }

    /// Panics with its output if it has ended.
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.process.try_wait().expect("a child process") {
            panic!("the agent ended ({status}):\n{}", self.output());
        }
    }

    pub fn sigterm(&self) {
        signal(&self.process, "TERM");
    }

    pub fn sigint(&self) {
        signal(&self.process, "INT");
    }

    /// Freezes it, as a long pause of its machine would.
    pub fn freeze(&self) {
        freeze(&self.process);
    }

    pub fn thaw(&self) {
        signal(&self.process, "CONT");
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Waits for its end and returns the exit code; all that it printed has been read then.
    pub fn wait_exit(&mut self) -> i32 {
        let status = self.wait_end();
        status
            .code()
            .unwrap_or_else(|| panic!("the agent was killed: {status}"))
    }

    /// [`Agent::wait_exit`] that also accepts an end by a signal.
    pub fn wait_end(&mut self) -> ExitStatus {
        let start = Instant::now();
        let status = until("the agent's exit", || {
            assert!(
                start.elapsed() < PATIENCE,
                "the agent hangs:\n{}",
                self.output()
            );
            self.process.try_wait().expect("a child process")
        });
        for reader in self.readers.drain(..) {
            reader.join().expect("no reader panics");
        }
        status
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- agent {} ---\n{}", self.pid(), self.output());
        }
    }
}

fn lines_of(
    pipe: impl std::io::Read + Send + 'static,
) -> (Arc<Mutex<Vec<String>>>, JoinHandle<()>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&lines);
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            into.lock().expect("no reader panics").push(line);
        }
    });
    (lines, reader)
}

/// Prometheus text, by sample: name and labels as written.
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    fn parse(text: &str) -> Self {
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Self(
            text.lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(sample)
                .collect(),
        )
    }

    /// The value of a sample such as `technical_series` or `technical_x_total{reason="late"}`.
    pub fn get(&self, sample: &str) -> Option<f64> {
        self.0.get(sample).copied()
    }

    /// The sum over all labels of a metric; zero when there is no sample.
    pub fn sum(&self, name: &str) -> f64 {
        let of = |sample: &str| sample.split('{').next() == Some(name);
        self.0
            .iter()
            .filter(|(sample, _)| of(sample))
            .map(|(_, value)| value)
            .sum()
    }
}
