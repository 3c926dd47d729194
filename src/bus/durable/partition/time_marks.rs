//! Writes time marks into this partition, so that derived bars close while the market is silent.
//!
//! A mark is stored among the bars. So the next owner, a replay and `verify` find it at the same
//! place, and a second copy changes nothing. A mark is written only if it closes a bar.
//!
//! Its time is that of the server that stores the bars, never that of this machine. The server's
//! clock has reached the time of its newest message or answer; the monotonic clock adds the time
//! since. A mark is never later than that, so it is not refused as being ahead of its arrival.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::bus::durable::Common;
use crate::bus::mark_pace::MarkPace;
use crate::engine::Engine;
use crate::market::Timestamp;
use crate::wire::Mark;

/// The time that the server has to store a mark.
const ANSWER: Duration = Duration::from_secs(5);

/// A time that the server's clock has reached.
#[derive(Debug, Clone, Copy)]
struct ServerTime {
    at: Timestamp,
    since: Instant,
}

impl ServerTime {
    fn now(self) -> Timestamp {
        let passed = i64::try_from(self.since.elapsed().as_nanos()).unwrap_or(i64::MAX);
        self.at.after(passed)
    }
}

/// The time marks of one partition.
pub(super) struct TimeMarks {
    unit: u32,
    /// The subject of marks; `None` if nothing is derived.
    subject: Option<String>,
    time: Option<ServerTime>,
    writing: Option<JoinHandle<Result<(), String>>>,
    pace: MarkPace,
    /// True if the last try failed, which was logged.
    failing: bool,
}

impl TimeMarks {
    pub fn new(common: &Common, unit: u32) -> Self {
        let derives = !common.config.analysis.derived.is_empty();
        let layout = &common.streams.layout;
        let is_bare = common.streams.units[unit as usize].filter.is_empty();
        let subject = derives.then(|| layout.mark_subject(unit, is_bare));
        Self {
            unit,
            subject: subject.flatten(),
            time: None,
            writing: None,
            pace: MarkPace::new(),
            failing: false,
        }
    }

    /// Notes that the server's clock was at `at` a moment ago.
    pub fn heard(&mut self, at: Timestamp) {
        if self.time.is_none_or(|time| time.now() < at) {
            let since = Instant::now();
            self.time = Some(ServerTime { at, since });
        }
    }

    /// Notes a message of the partition that was stored at `stored_at`.
    pub fn read(&mut self, payload: &[u8], stored_at: Timestamp) {
        if self.subject.is_none() {
            return;
        }
        self.heard(stored_at);
        match Mark::read(payload, stored_at) {
            Some(Ok(mark)) => self.pace.on_taken(mark.at),
            // another server stores the bars now, and its clock is behind
            Some(Err(_)) => {
                let since = Instant::now();
                self.time = Some(ServerTime {
                    at: stored_at,
                    since,
                });
            }
            None => {}
        }
    }

    /// Writes a mark if it would close a bar in `engine`, which has taken in the whole stream.
    pub async fn write(&mut self, common: &Common, engine: &mut Engine) {
        self.settle(common).await;
        let (Some(subject), Some(time)) = (&self.subject, self.time) else {
            return;
        };
        if self.writing.is_some() || !self.pace.is_due() {
            return;
        }
        let Some(at) = engine.mark_due(time.now(), |_| true) else {
            self.pace.rest();
            return;
        };
        self.pace.send(at);
        let (js, subject) = (common.js.clone(), subject.clone());
        let payload = Mark { at }.payload();
        self.writing = Some(tokio::spawn(async move {
            let storing = async {
                let sent = js.publish(subject, payload.into()).await;
                sent.map_err(|error| error.to_string())?
                    .await
                    .map_err(|error| error.to_string())
            };
            match timeout(ANSWER, storing).await {
                Ok(stored) => stored.map(|_| ()),
                Err(_) => Err("the server does not answer".to_owned()),
            }
        }));
    }

    /// Counts the outcome of a mark being written, once there is one.
    async fn settle(&mut self, common: &Common) {
        let Some(writing) = self.writing.take_if(|writing| writing.is_finished()) else {
            return;
        };
        let outcome = writing.await.unwrap_or_else(|error| Err(error.to_string()));
        let count = |kind| common.metrics.marks.with_label_values(&[kind]).inc();
        match outcome {
            Ok(()) => {
                count("written");
                self.failing = false;
            }
            Err(reason) => {
                count("failed");
                if !self.failing {
                    tracing::warn!(
                        unit = self.unit,
                        subject = self.subject,
                        reason,
                        "a time mark cannot be stored: derived bars of a silent market stay open until \
                         it can, or until the next bar comes"
                    );
                }
                self.failing = true;
            }
        }
    }
}

impl Drop for TimeMarks {
    fn drop(&mut self) {
        if let Some(writing) = &self.writing {
            writing.abort();
        }
    }
}
