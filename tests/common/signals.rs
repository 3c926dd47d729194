//! Bars to send, and what comes out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::{Client, HeaderMap, Subject};
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::PATIENCE;

/// One message, in the order of receipt.
#[derive(Clone, Debug)]
pub struct Received {
    pub subject: Subject,
    pub headers: HeaderMap,
    pub payload: bytes::Bytes,
}

impl Received {
    /// The payload as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).expect("a JSON payload")
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(async_nats::HeaderValue::as_str)
    }
}

/// Everything received on a subject since [`collect_signals`].
pub struct Collected {
    messages: Arc<Mutex<Vec<Received>>>,
    arrived: Arc<Notify>,
    task: JoinHandle<()>,
}

/// Subscribes to `subject` and keeps all that comes; returns when the subscription is with the
/// server, so nothing published after is missed.
pub async fn collect_signals(client: &Client, subject: &str) -> Collected {
    let mut subscription = client
        .subscribe(subject.to_owned())
        .await
        .expect("a subscription");
    // An answer from the server, which takes commands in order: the subscription stands.
    let nobody = client.request(client.new_inbox(), "".into()).await;
    assert!(nobody.is_err(), "an inbox of our own has no other listener");
    let messages = Arc::new(Mutex::new(Vec::new()));
    let arrived = Arc::new(Notify::new());
    let task = tokio::spawn({
        let (messages, arrived) = (Arc::clone(&messages), Arc::clone(&arrived));
        async move {
            while let Some(message) = subscription.next().await {
                messages.lock().expect("no holder panics").push(Received {
                    subject: message.subject,
                    headers: message.headers.unwrap_or_default(),
                    payload: message.payload,
                });
                arrived.notify_one();
            }
        }
    });
    Collected {
        messages,
        arrived,
        task,
    }
}

impl Collected {
    /// All so far.
    pub fn messages(&self) -> Vec<Received> {
        self.messages.lock().expect("no holder panics").clone()
    }

    pub fn len(&self) -> usize {
        self.messages.lock().expect("no holder panics").len()
    }

    /// Waits until there are at least `count`, and returns all so far.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let deadline = Instant::now() + PATIENCE;
        while self.len() < count {
            timeout_at(deadline, self.arrived.notified())
                .await
                .unwrap_or_else(|_| panic!("{} of {count} messages came", self.len()));
        }
        self.messages()
    }

    /// Waits until something comes, at most for `longest`; whether something came.
    pub async fn wait_change(&self, longest: Duration) -> bool {
        timeout(longest, self.arrived.notified()).await.is_ok()
    }

    /// Waits until nothing has come for `quiet`, and returns all: for what must **not** come.
    pub async fn wait_quiet(&self, quiet: Duration) -> Vec<Received> {
        while timeout(quiet, self.arrived.notified()).await.is_ok() {}
        self.messages()
    }
}

impl Drop for Collected {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The bars of a file of `tests/data/bars`, such as `aapl_1d.csv`, as payloads.
pub fn bars(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/bars")
        .join(file);
    let told = |error: csv::Error| -> ! { panic!("{}: {error}", path.display()) };
    let mut reader = csv::Reader::from_path(&path).unwrap_or_else(|error| told(error));
    let bar = |row: Result<BTreeMap<String, String>, csv::Error>| {
        // A number stays the number of the file; what is none is text.
        let value = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
        let row = row.unwrap_or_else(|error| told(error));
        row.into_iter()
            .map(|(field, text)| (field, value(text)))
            .collect()
    };
    reader.deserialize().map(bar).collect()
}
