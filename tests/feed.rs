//! `feed` against a real server, with and without a stream.

mod common;

use std::path::Path;
use std::sync::Arc;

use async_nats::{Client, jetstream};
use futures_util::StreamExt as _;

use common::NatsServer;
use technical_analysis_agent::bus::{Link, Sizing, connect};
use technical_analysis_agent::cli;
use technical_analysis_agent::config::{Config, Environment};
use technical_analysis_agent::market::Timestamp;
use technical_analysis_agent::tools::feed::{FeedReport, feed};

/// The defaults, but for the server.
struct Server(String, Vec<(&'static str, &'static str)>);

impl Environment for Server {
    fn variables(&self) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
        let others = self
            .1
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        let url = ("NATS_URL".into(), self.0.clone().into());
        std::iter::once(url).chain(others).collect()
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

struct Feeder {
    config: Config,
    link: Arc<Link>,
    client: Client,
}

impl Feeder {
    async fn new(server: &NatsServer) -> Self {
        Self::with(server, Vec::new()).await
    }

    async fn with(server: &NatsServer, settings: Vec<(&'static str, &'static str)>) -> Self {
        let config = Config::load(&Server(server.url(), settings)).unwrap();
        let link = Link::new();
        let client = connect(&config.nats, "feed", &link, Sizing::default());
        let client = client.await.unwrap();
        Self {
            config,
            link,
            client,
        }
    }

    async fn run(&self, arguments: &[&str]) -> FeedReport {
        let arguments = ["agent", "feed"].iter().chain(arguments).map(Into::into);
        let cli::Command::Feed(args) = cli::parse(arguments).unwrap() else {
            panic!("no feed")
        };
        let now: Timestamp = "2026-03-01T12:00:30Z".parse().unwrap();
        let report = feed(&self.client, &self.link, &self.config, &args, now);
        report.await.unwrap()
    }
}

#[tokio::test]
async fn without_a_stream_every_bar_reaches_the_subscribers_in_order() {
    let server = NatsServer::plain();
    let feeder = Feeder::new(&server).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut bars = client.subscribe("raw.market_data.price.>").await.unwrap();
    client.flush().await.unwrap();
    let report = feeder
        .run(&["--synthetic", "--symbols", "3", "--bars", "50"])
        .await;
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
    let server = NatsServer::jetstream();
    let feeder = Feeder::new(&server).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let jetstream = jetstream::new(client);
    let config = jetstream::stream::Config {
        name: "BARS".to_owned(),
        subjects: vec!["raw.market_data.price.>".to_owned()],
        ..jetstream::stream::Config::default()
    };
    let mut stream = jetstream.create_stream(config).await.unwrap();
    let report = feeder
        .run(&["--synthetic", "--symbols", "4", "--bars", "500"])
        .await;
    assert_eq!((report.published, report.confirmed), (2_000, 2_000));
    assert_eq!(report.stream.as_deref(), Some("BARS"));
    assert_eq!(stream.info().await.unwrap().state.messages, 2_000);
}

#[tokio::test]
async fn a_file_is_published_bar_by_bar_and_what_is_bad_is_skipped() {
    let server = NatsServer::plain();
    let feeder = Feeder::new(&server).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bars.csv");
    std::fs::write(
        &path,
        "timestamp,close,symbol\n1700000000,1.50,BRK.B\n1,2\n1700000060,2,A\n",
    )
    .unwrap();
    let mut bars = client.subscribe("raw.market_data.price.>").await.unwrap();
    client.flush().await.unwrap();
    let report = feeder
        .run(&[path.to_str().unwrap(), "--timeframe", "5m"])
        .await;
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

#[tokio::test]
async fn a_file_of_trades_is_published_trade_by_trade() {
    let server = NatsServer::plain();
    let feeder = Feeder::with(&server, vec![("TECHNICAL_TRADES", "1m")]).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trades.csv");
    let rows = "time,price,qty,id\n1700000000123,1.50,0.10,7\n1700000000123,1.51,2,8\nx,1,1,9\n";
    std::fs::write(&path, rows).unwrap();
    let mut trades = client.subscribe("raw.market_data.price.>").await.unwrap();
    client.flush().await.unwrap();
    let report = feeder
        .run(&[path.to_str().unwrap(), "--symbol", "BRK.B"])
        .await;
    assert_eq!(
        (report.published, report.confirmed, report.skipped),
        (2, 2, 1)
    );
    for (price, size, id) in [("1.50", "0.10", "7"), ("1.51", "2", "8")] {
        let message = trades.next().await.unwrap();
        assert_eq!(message.subject.as_str(), "raw.market_data.price.BRK%2EB.1m");
        let expected = format!(
            r#"{{"timestamp":1700000000123,"price":{price},"size":{size},"trade_id":"{id}","symbol":"BRK.B"}}"#
        );
        assert_eq!(std::str::from_utf8(&message.payload).unwrap(), expected);
    }
}
