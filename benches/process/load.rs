//! Bars in, answers out: flat out with a bound on what is under way, or at a steady rate.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use async_nats::{Client, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use technical_analysis_agent::clock;
use technical_analysis_agent::market::Timeframe;
use technical_analysis_agent::tools::synthetic::{Synthetic, SyntheticBar};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::usage::cpu_seconds;

/// Longer than anything takes unless a message is lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// Made-up bars of some symbols, on and on.
pub struct Bars(Box<dyn Iterator<Item = SyntheticBar>>);

impl Bars {
    /// Of `symbols` symbols, at most `bars` of each.
    pub fn new(symbols: u32, bars: u32) -> Self {
        let walk = Synthetic {
            symbols,
            bars,
            seed: 1,
            timeframe: Timeframe::MINUTE,
            end: clock::now(),
        };
        Self(Box::new(walk.bars().expect("bars after 1970")))
    }

    /// The next `count`.
    pub fn take(&mut self, count: usize) -> Vec<(String, Bytes)> {
        let bars: Vec<_> = self.0.by_ref().take(count).collect();
        assert_eq!(bars.len(), count, "enough bars were made up");
        bars.into_iter()
            .map(|bar| (bar.symbol, bar.payload.into()))
            .collect()
    }
}

/// A process under load: what it hears, and what it says.
pub struct Lane {
    pub name: &'static str,
    pub pid: u32,
    /// Bars go to `<prefix>.<symbol>`.
    pub prefix: String,
    pub answers: Subscriber,
}

/// Result of a flat-out run.
#[derive(Clone, Copy)]
pub struct Flat {
    pub per_second: f64,
    /// Seconds of processor time of the process under load, per message.
    pub cpu_per_message: f64,
}

/// Result of a run at a steady rate.
pub struct Steady {
    /// From published to answered, sorted.
    pub latencies: Vec<Duration>,
    /// Share of one core that the process under load used.
    pub cores: f64,
}

impl Lane {
    fn addressed(&self, bars: &[(String, Bytes)]) -> Vec<(Subject, Bytes)> {
        bars.iter()
            .map(|(symbol, payload)| {
                let subject = Subject::from(format!("{}.{symbol}", self.prefix));
                (subject, payload.clone())
            })
            .collect()
    }

    /// Sends `bars` as fast as at most `in_flight` unanswered ones allow.
    #[allow(clippy::cast_precision_loss)] // counts of messages are small
    pub async fn flat_out(
        &mut self,
        client: &Client,
        bars: &[(String, Bytes)],
        in_flight: usize,
    ) -> Flat {
        let messages = self.addressed(bars);
        let (answered, room) = (Cell::new(0), Notify::new());
        let (cpu, start) = (cpu_seconds(self.pid), Instant::now());
        let send = async {
            for (sent, (subject, payload)) in messages.into_iter().enumerate() {
                while sent >= answered.get() + in_flight {
                    room.notified().await;
                }
                client.publish(subject, payload).await.expect("a publish");
            }
        };
        let receive = async {
            while answered.get() < bars.len() {
                self.answers.next().await.expect("an answer");
                answered.set(answered.get() + 1);
                room.notify_one();
            }
        };
        timeout(PATIENCE, async { tokio::join!(send, receive) })
            .await
            .unwrap_or_else(|_| panic!("{}: {} answers", self.name, answered.get()));
        let count = bars.len() as f64;
        Flat {
            per_second: count / start.elapsed().as_secs_f64(),
            cpu_per_message: (cpu_seconds(self.pid) - cpu) / count,
        }
    }

    /// Sends `bars` at `rate` per second: every millisecond a thousandth of it, at once.
    /// Answers come in the order of the bars.
    pub async fn steady(
        &mut self,
        client: &Client,
        bars: &[(String, Bytes)],
        rate: usize,
    ) -> Steady {
        let messages = self.addressed(bars);
        let under_way = RefCell::new(VecDeque::new());
        let mut latencies = Vec::with_capacity(bars.len());
        let (cpu, start) = (cpu_seconds(self.pid), Instant::now());
        let send = async {
            let mut ticks = interval(Duration::from_millis(1));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for burst in messages.chunks(rate / 1_000) {
                ticks.tick().await;
                for (subject, payload) in burst {
                    under_way.borrow_mut().push_back(Instant::now());
                    let publish = client.publish(subject.clone(), payload.clone());
                    publish.await.expect("a publish");
                }
            }
        };
        let receive = async {
            while latencies.len() < bars.len() {
                self.answers.next().await.expect("an answer");
                let sent = under_way.borrow_mut().pop_front().expect("its bar");
                latencies.push(sent.elapsed());
            }
        };
        timeout(PATIENCE, async { tokio::join!(send, receive) })
            .await
            .unwrap_or_else(|_| panic!("{}: an answer is missing", self.name));
        latencies.sort_unstable();
        Steady {
            latencies,
            cores: (cpu_seconds(self.pid) - cpu) / start.elapsed().as_secs_f64(),
        }
    }
}

/// The value that `share` of the sorted values do not exceed.
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}
