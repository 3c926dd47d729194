//! The least that a durable process on this client library can do: read a stream, publish something
//! of the size of a signal for each message into another, with acknowledgements pipelined. It keeps
//! no state, promises no order, and loses or doubles what was on its way when it is killed.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use futures_util::StreamExt as _;
use technical_analysis_agent::wire::headers::{Provenance, SignalHeaders};
use tokio::sync::mpsc;

use super::stored::{self, Signals};
use super::usage;

const STREAM: &str = "CARRIED";
/// Publishes that are not acknowledged yet.
const IN_FLIGHT: usize = 1_000;

/// Parameters of a child process.
pub struct Task {
    pub url: String,
    pub bytes: usize,
    pub headers: bool,
}

impl Task {
    /// Nothing when the arguments are not those of this.
    pub fn parse(arguments: &[String]) -> Option<Self> {
        let [command, url, bytes, headers] = arguments else {
            return None;
        };
        (command == "carry").then_some(())?;
        Some(Self {
            url: url.clone(),
            bytes: bytes.parse().ok()?,
            headers: headers.parse().ok()?,
        })
    }

    /// Carries until it is killed. Says `ready` on standard output when it begins.
    #[tokio::main(flavor = "current_thread")]
    pub async fn run(self) {
        let client = async_nats::connect(&self.url).await.expect("a server");
        let js = jetstream::new(client);
        let config = pull::Config {
            ack_policy: AckPolicy::None,
            memory_storage: true,
            ..pull::Config::default()
        };
        let consumer = js
            .create_consumer_on_stream(config, "TECHNICAL_BARS")
            .await
            .expect("a consumer");
        let messages = consumer.stream().max_messages_per_batch(1_000);
        let mut messages = messages.messages().await.expect("its messages");
        println!("ready");
        let (sent, mut acks) = mpsc::channel::<PublishAckFuture>(IN_FLIGHT);
        tokio::spawn(async move {
            while let Some(ack) = acks.recv().await {
                ack.await.expect("an acknowledgement");
            }
        });
        let payload = Bytes::from(vec![b'x'; self.bytes]);
        let headers = SignalHeaders::new("agent-1", "technical-analysis", "0.1.0");
        let mut count = 0u64;
        while messages.next().await.is_some() {
            count += 1;
            let headers = if self.headers {
                headers.build(Provenance {
                    message_id: Some(format!("technical-analysis.SYN1.1m.{count:019}.0")),
                    input_seq: Some(count),
                    latency_us: 85,
                    traceparent: None,
                })
            } else {
                HeaderMap::new()
            };
            let ack = js
                .publish_with_headers("carried.SYN1.1m", headers, payload.clone())
                .await
                .expect("a publish");
            sent.send(ack)
                .await
                .expect("its acknowledgement is waited for");
        }
    }
}

/// Runs a child process over the backlog; what it stored, and its processor time.
pub async fn run(task: &Task, js: &Context, count: u64) -> (Signals, f64) {
    let config = Config {
        name: STREAM.to_owned(),
        subjects: vec!["carried.>".to_owned()],
        ..Config::default()
    };
    js.create_stream(config).await.expect("a stream");
    let this = std::env::current_exe().expect("our own path");
    let bytes = task.bytes.to_string();
    let headers = task.headers.to_string();
    let mut child = Command::new(this)
        .args(["carry", &task.url, &bytes, &headers])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe"))
        .read_line(&mut line)
        .expect("a line");
    assert_eq!(line, "ready\n");
    stored::reaches(js, STREAM, count, std::time::Duration::from_secs(120)).await;
    let cpu = usage::cpu_seconds(child.id());
    let _ = child.kill();
    let _ = child.wait();
    (Signals::of(js, STREAM, "", count).await, cpu)
}
