//! The least that any agent on this client library must do: receive a message, publish one of
//! the size of a signal. A process of its own, as the agent is one.

use async_nats::Subject;
use bytes::Bytes;
use futures_util::StreamExt as _;
use technical_analysis_agent::wire::headers::{Provenance, SignalHeaders};

/// Parameters of a child process.
pub struct Task {
    pub url: String,
    pub from: String,
    pub to: String,
    pub payload_bytes: usize,
    pub headers: bool,
}

impl Task {
    /// The arguments that [`Task::parse`] reads.
    pub fn arguments(&self) -> [String; 6] {
        [
            "echo".to_owned(),
            self.url.clone(),
            self.from.clone(),
            self.to.clone(),
            self.payload_bytes.to_string(),
            self.headers.to_string(),
        ]
    }

    /// Nothing when the arguments are not those of an echo.
    pub fn parse(arguments: &[String]) -> Option<Self> {
        let [command, url, from, to, bytes, headers] = arguments else {
            return None;
        };
        (command == "echo").then_some(())?;
        Some(Self {
            url: url.clone(),
            from: from.clone(),
            to: to.clone(),
            payload_bytes: bytes.parse().ok()?,
            headers: headers.parse().ok()?,
        })
    }

    /// Echoes until the connection ends. Says `ready` on standard output when it listens.
    #[tokio::main(flavor = "current_thread")]
    pub async fn run(self) {
        let client = async_nats::connect(&self.url).await.expect("a server");
        let mut messages = client.subscribe(self.from).await.expect("a subscription");
        let nobody = client.request(client.new_inbox(), "".into()).await;
        assert!(
            nobody.is_err(),
            "the server took the subscription before it answered this"
        );
        println!("ready");
        let to = Subject::from(self.to);
        let payload = Bytes::from(vec![b'x'; self.payload_bytes]);
        let headers = SignalHeaders::new("agent-1", "technical-analysis", "0.1.0");
        let mut count = 0u64;
        while messages.next().await.is_some() {
            let published = if self.headers {
                count += 1;
                let headers = headers.build(Provenance {
                    message_id: Some(format!("technical-analysis.SYN1.1m.{count:019}.0")),
                    input_seq: None,
                    latency_us: 85,
                    traceparent: None,
                });
                client
                    .publish_with_headers(to.clone(), headers, payload.clone())
                    .await
            } else {
                client.publish(to.clone(), payload.clone()).await
            };
            published.expect("a publish");
        }
    }
}
