//! `feed` against a real server, with and without a stream.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream;
use futures_util::StreamExt as _;
use tempfile::TempDir;

use technical_analysis_agent::cli;
use technical_analysis_agent::config::{Config, Environment};
use technical_analysis_agent::market::Timestamp;
use technical_analysis_agent::tools::feed::{FeedReport, feed};

/// A server of its own, gone with the value.
struct Server {
    process: Child,
    url: String,
    _dir: TempDir,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let process = Command::new(program())
            .args(["-a", "127.0.0.1", "-p", "-1", "-js", "-sd"])
            .arg(dir.path().join("store"))
            .arg("--ports_file_dir")
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self {
            process,
            url: String::new(),
            _dir: dir,
        };
        let start = Instant::now();
        while server.url.is_empty() {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "the server does not start"
            );
            std::thread::sleep(Duration::from_millis(10));
            server.url = server.announced().unwrap_or_default();
        }
        server
    }

    fn announced(&self) -> Option<String> {
        let files = std::fs::read_dir(self._dir.path()).ok()?.flatten();
        let ports = files
            .map(|file| file.path())
            .find(|path| path.extension().is_some_and(|e| e == "ports"))?;
        let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(ports).ok()?).ok()?;
        Some(ports["nats"][0].as_str()?.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// From `NATS_SERVER`, the `PATH` or the project's `.venv`.
fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("NATS_SERVER") {
        return program.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    directories.push(Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin"));
    let found = directories.iter().map(|dir| dir.join("nats-server"));
    found
        .into_iter()
        .find(|program| program.is_file())
        .expect("a nats-server: set NATS_SERVER, or install one")
}

/// Only defaults.
struct Nothing;

impl Environment for Nothing {
    fn variables(&self) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
        Vec::new()
    }

    fn read(&self, _: &Path) -> std::io::Result<Vec<u8>> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn host(&self) -> String {
        "host".to_owned()
    }

    fn pid(&self) -> u32 {
        1
    }
}

async fn run(client: &async_nats::Client, arguments: &[&str]) -> FeedReport {
    let arguments = ["agent", "feed"].iter().chain(arguments).map(Into::into);
    let cli::Command::Feed(args) = cli::parse(arguments).unwrap() else {
        panic!("no feed")
    };
    let config = Config::load(&Nothing).unwrap();
    let now: Timestamp = "2026-03-01T12:00:30Z".parse().unwrap();
    feed(client, &config, &args, now).await.unwrap()
}

#[tokio::test]
async fn without_a_stream_every_bar_reaches_the_subscribers_in_order() {
    let server = Server::start();
    let client = async_nats::connect(&server.url).await.unwrap();
    let mut bars = client.subscribe("raw.market_data.price.>").await.unwrap();
    client.flush().await.unwrap();
    let report = run(&client, &["--synthetic", "--symbols", "3", "--bars", "50"]).await;
    assert_eq!(
        (report.published, report.confirmed, report.skipped),
        (150, 150, 0)
    );
    assert_eq!(report.stream, None);
    assert!(report.is_complete());
    for at in 0..150 {
        let bar = bars.next().await.unwrap();
        let symbol = format!("SYN{}", at % 3 + 1);
        assert_eq!(
            bar.subject.as_str(),
            format!("raw.market_data.price.{symbol}.1m")
        );
        let bar: serde_json::Value = serde_json::from_slice(&bar.payload).unwrap();
        assert_eq!(bar["symbol"], symbol);
        let minute = at / 3;
        let expected = format!("2026-03-01T11:{:02}:00Z", minute + 10);
        assert_eq!(bar["timestamp"], expected);
    }
}

#[tokio::test]
async fn with_a_stream_every_bar_is_acknowledged_and_stored() {
    let server = Server::start();
    let client = async_nats::connect(&server.url).await.unwrap();
    let jetstream = jetstream::new(client.clone());
    let config = jetstream::stream::Config {
        name: "BARS".to_owned(),
        subjects: vec!["raw.market_data.price.>".to_owned()],
        ..jetstream::stream::Config::default()
    };
    let mut stream = jetstream.create_stream(config).await.unwrap();
    let report = run(&client, &["--synthetic", "--symbols", "4", "--bars", "500"]).await;
    assert_eq!((report.published, report.confirmed), (2_000, 2_000));
    assert_eq!(report.stream.as_deref(), Some("BARS"));
    assert_eq!(stream.info().await.unwrap().state.messages, 2_000);
}

#[tokio::test]
async fn a_file_is_published_bar_by_bar_and_what_is_bad_is_skipped() {
    let server = Server::start();
    let client = async_nats::connect(&server.url).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bars.csv");
    std::fs::write(
        &path,
        "timestamp,close,symbol\n1700000000,1.50,BRK.B\n1,2\n1700000060,2,A\n",
    )
    .unwrap();
    let mut bars = client.subscribe("raw.market_data.price.>").await.unwrap();
    client.flush().await.unwrap();
    let report = run(&client, &[path.to_str().unwrap(), "--timeframe", "5m"]).await;
    assert_eq!(
        (report.published, report.confirmed, report.skipped),
        (2, 2, 1)
    );
    assert!(!report.is_complete());
    let first = bars.next().await.unwrap();
    assert_eq!(first.subject.as_str(), "raw.market_data.price.BRK%2EB.5m");
    assert_eq!(
        std::str::from_utf8(&first.payload).unwrap(),
        r#"{"timestamp":1700000000,"close":1.50,"symbol":"BRK.B","timeframe":"5m"}"#
    );
    let second = bars.next().await.unwrap();
    assert_eq!(second.subject.as_str(), "raw.market_data.price.A.5m");
}
