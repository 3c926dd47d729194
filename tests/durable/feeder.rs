//! A source of bars that stores each one, whatever happens to the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::common::NatsServer;
use crate::market::{self, EXPECT};

/// Numbers of stored messages.
#[derive(Debug, Default)]
pub struct Counts {
    pub bars: AtomicU64,
    /// Messages that have to be refused.
    pub malformed: AtomicU64,
}

pub struct Feeder {
    stop: Arc<AtomicBool>,
    pub counts: Arc<Counts>,
    /// Ends with the number of the round that would be next.
    task: JoinHandle<u64>,
}

/// A client that survives the server's restarts.
pub async fn connect(server: &NatsServer) -> Context {
    connect_to(&server.url()).await
}

/// [`connect`] to any of several servers.
pub async fn connect_to(urls: &str) -> Context {
    let servers: Vec<async_nats::ServerAddr> = urls
        .split(',')
        .map(|url| url.parse().expect("a URL"))
        .collect();
    let client = async_nats::ConnectOptions::new()
        .reconnect_delay_callback(|_| Duration::from_millis(50))
        .ping_interval(Duration::from_secs(2))
        .connect(servers)
        .await
        .expect("a connection");
    jetstream::new(client)
}

/// The bar number `n` of symbol number `symbol`: a price that wanders.
pub fn bar(symbol: usize, n: u64) -> serde_json::Value {
    #[allow(clippy::cast_precision_loss)]
    let wave = ((n * 37 + symbol as u64 * 11) % 101) as f64 / 10.0;
    let close = 100.0 + wave;
    json!({
        "symbol": format!("S{symbol}"), "timeframe": "1m", "timestamp": 1_699_999_800 + 60 * n,
        "open": close - 0.5, "high": close + 1.25, "low": close - 1.5, "close": close,
        "volume": 10 + n % 7,
    })
}

/// Stores one message, once, however often it takes to be told so.
pub async fn store(js: &Context, subject: &str, payload: &str, id: &str) {
    store_with(js, subject, payload, id, None).await;
}

/// [`store`] with the expected outcome.
pub async fn store_with(
    js: &Context,
    subject: &str,
    payload: &str,
    id: &str,
    expect: Option<&str>,
) {
    loop {
        let mut message = PublishMessage::build()
            .payload(payload.to_owned().into())
            .message_id(id);
        if let Some(reason) = expect {
            message = message.header(EXPECT, reason);
        }
        let sent = js.send_publish(subject.to_owned(), message).await;
        if let Ok(ack) = sent
            && let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(2), ack).await
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Stores what one symbol has to say in round `n`.
pub async fn store_round(js: &Context, symbol: usize, n: u64, counts: &Counts) {
    for (at, said) in market::round(symbol, n).into_iter().enumerate() {
        let id = format!("{symbol}-{n}-{at}");
        store_with(js, &said.subject, &said.payload, &id, said.expect).await;
        let of = if said.expect.is_some() {
            &counts.malformed
        } else {
            &counts.bars
        };
        of.fetch_add(1, Ordering::Relaxed);
    }
}

/// Stores these bars of the first symbol.
pub async fn feed(js: &Context, bars: std::ops::Range<u64>) {
    for n in bars {
        let (payload, id) = (bar(0, n).to_string(), n.to_string());
        store(js, "raw.market_data.price.S0.1m", &payload, &id).await;
    }
}

impl Feeder {
    /// Feeds bars of `symbols` in turn, one per `pause`, every fifth message malformed.
    pub fn start(js: Context, symbols: usize, pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(Counts::default());
        let task = tokio::spawn({
            let (stop, counts) = (Arc::clone(&stop), Arc::clone(&counts));
            async move {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    for symbol in 0..symbols {
                        let subject = format!("raw.market_data.price.S{symbol}.1m");
                        let id = format!("{symbol}-{n}");
                        store(&js, &subject, &bar(symbol, n).to_string(), &id).await;
                        counts.bars.fetch_add(1, Ordering::Relaxed);
                        if (n as usize + symbol).is_multiple_of(4) {
                            let bad = format!("{{\"symbol\":\"S{symbol}\",\"n\":{n}");
                            store(&js, &subject, &bad, &format!("bad-{id}")).await;
                            counts.malformed.fetch_add(1, Ordering::Relaxed);
                        }
                        tokio::time::sleep(pause).await;
                    }
                    n += 1;
                }
                n
            }
        });
        Self { stop, counts, task }
    }

    /// Feeds everything that [`market`] has to say about `symbols`, from round `n` on.
    pub fn market(js: Context, symbols: usize, pause: Duration, mut n: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(Counts::default());
        let task = tokio::spawn({
            let (stop, counts) = (Arc::clone(&stop), Arc::clone(&counts));
            async move {
                while !stop.load(Ordering::Relaxed) {
                    for symbol in 0..symbols {
                        store_round(&js, symbol, n, &counts).await;
                        tokio::time::sleep(pause).await;
                    }
                    n += 1;
                }
                n
            }
        });
        Self { stop, counts, task }
    }

    /// [`Feeder::stop`] that also returns the number of the next round.
    pub async fn stop_at(self) -> (u64, Arc<Counts>) {
        self.stop.store(true, Ordering::Relaxed);
        (self.task.await.expect("the feeder ends"), self.counts)
    }

    /// Feeds to the end of a round; how many bars and how many malformed messages are stored.
    pub async fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("the feeder ends");
        (
            self.counts.bars.load(Ordering::Relaxed),
            self.counts.malformed.load(Ordering::Relaxed),
        )
    }
}
