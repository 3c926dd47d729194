//! Storing what came of a partition's bars, with the position it stands for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::{interval, timeout};

use super::ledger::{Batch, LedgerError, Point};
use super::{End, Partition};
use crate::bus::durable::Common;
use crate::bus::durable::circuit::Failing;
use crate::bus::durable::commit::{self, MARKER_VERSION, Marker, Position, Stored, Wanted};
use crate::bus::durable::markers::Found;
use crate::bus::durable::{limits, markers, streams};
use crate::bus::intake::Outgoing;

/// Forged markers that a commit passes over before it counts as failed.
const PASSED_OVER: u32 = 50;
/// Between two beats of a partition that waits in order.
const BEAT: Duration = Duration::from_secs(1);
/// For signals of forming bars to be sent.
const SENDING: Duration = Duration::from_secs(2);

impl Partition {
    /// Stores what is to be published, with the position it stands for.
    pub(super) async fn commit(&mut self) -> Result<(), End> {
        if !self.forming.is_empty() {
            let (forming, client) = (
                std::mem::take(&mut self.forming),
                self.common.client.clone(),
            );
            let sending = async move {
                for one in forming {
                    // worth nothing later, so not tried again
                    let _ = client
                        .publish_with_headers(one.subject, one.headers, one.payload)
                        .await;
                }
            };
            // a server that does not read holds the client up without an end
            let _ = self.attending(timeout(SENDING, sending), false).await?;
        }
        let outgoing = Arc::new(std::mem::take(&mut self.outgoing));
        let inflight = outgoing.len() as u64;
        self.gauges.inflight.store(inflight, Ordering::Relaxed);
        let largest = (commit::BATCH, commit::BATCH_BYTES);
        while let Some(batch) = self.ledger.next_batch(largest.0, largest.1) {
            let stored = batch.outputs.clone();
            self.store(batch, &outgoing).await?;
            for one in &outgoing[stored] {
                match one.received {
                    Some(received) => self.intake.published(received.elapsed()),
                    None => self.common.metrics.dead_letters.inc(),
                }
            }
        }
        self.gauges.inflight.store(0, Ordering::Relaxed);
        if self.ledger.owes_marker() {
            // everything that a batch left behind is computed again
            let marker = self.ledger.marker_to(self.ledger.last_applied());
            self.store(marker, &Arc::default()).await?;
        }
        self.intake.flush();
        Ok(())
    }

    /// The marker that says that everything up to `point` is stored.
    fn marker(&self, point: Point) -> Marker {
        Marker {
            version: MARKER_VERSION,
            position: Position {
                origin: self.place.origin.clone(),
                seq: point.seq,
                part: point.part,
            },
            owner: self.common.instance.clone(),
            poison: BTreeSet::new(),
            begun: None,
            outputs: (!self.ledger.is_mixed(point)).then(|| self.common.outputs.clone()),
            after: self.ledger.floor_at(point),
        }
    }

    /// Stores the outputs of `batch`, which are among `outgoing`, with its markers.
    pub(super) async fn store(
        &mut self,
        batch: Batch,
        outgoing: &Arc<Vec<Outgoing>>,
    ) -> Result<(), End> {
        let mut outgoing = Arc::clone(outgoing);
        let mut batch = batch;
        let mut passed_over = 0;
        let mut failing: Option<Failing> = None;
        loop {
            self.beat();
            let range = batch.outputs.clone();
            limits::cut(&self.common, &mut outgoing, range.clone());
            let most = limits::largest(&self.common);
            let mut marker = self.marker(batch.to);
            marker.poison = limits::newest(most, &marker, &self.poison);
            let begin = (!range.is_empty()).then(|| Marker {
                begun: Some(0),
                poison: marker.poison.clone(),
                ..self.marker(batch.from)
            });
            let wanted = Wanted {
                unit: self.unit,
                subject: self.subject.clone(),
                expected: self.top,
                begin,
                marker: marker.clone(),
                outgoing: Arc::clone(&outgoing),
                range: range.clone(),
            };
            let (common, gauges) = (Arc::clone(&self.common), Arc::clone(&self.gauges));
            let beat = || gauges.beat(common.uptime_ms());
            let own = self.marker.as_ref().map_or(0, |stored| stored.revision);
            let attempt = async {
                let turn = match &failing {
                    // waiting in order is no stall, however long it takes
                    Some(failing) => Some(beating(failing.turn(), beat).await),
                    None => None,
                };
                let outcome = attempt(&common, wanted, own, beat).await;
                drop(turn);
                outcome
            };
            let reason = match self.attending(attempt, failing.is_some()).await? {
                Attempt::Stored(stored, top) => {
                    self.common.saw_marker(self.unit, stored.revision);
                    self.ledger
                        .stored(&batch, stored.revision)
                        .map_err(failed)?;
                    self.marker = Some(stored);
                    self.top = top;
                    break;
                }
                Attempt::Fenced => return Err(End::Fenced),
                Attempt::Hidden => return Err(End::Hidden),
                Attempt::Overlaid(top) if passed_over < PASSED_OVER => {
                    passed_over += 1;
                    self.top = top;
                    continue;
                }
                Attempt::Overlaid(top) => {
                    passed_over = 0;
                    self.top = top;
                    "markers are forged faster than genuine ones can be stored".to_owned()
                }
                Attempt::Unmarked => {
                    let reason = "its commit marker is not in the stream of signals any more";
                    return Err(End::Failed(reason.to_owned()));
                }
                Attempt::Failed(reason) => reason,
                Attempt::Part(begin, messages, reason) => {
                    let rest = self
                        .ledger
                        .partially_stored(&batch, messages, begin.revision);
                    batch = rest.map_err(failed)?;
                    if messages > 0 {
                        tracing::warn!(
                            unit = self.unit,
                            messages,
                            of = range.len(),
                            "the server has stored a part of a batch; the rest is still to be stored"
                        );
                    }
                    self.top = begin.revision;
                    self.marker = Some(begin);
                    reason
                }
            };
            self.common.metrics.publish_errors.inc();
            self.common.doubt();
            let failing = failing.get_or_insert_with(|| self.common.circuit.fail());
            failing.again(&reason);
            self.gauges.blocked.store(true, Ordering::Relaxed);
            tracing::debug!(unit = self.unit, reason, "commit failed");
        }
        if let Some(failing) = failing {
            self.common.link.signals_are_stored();
            failing.stored();
            self.gauges.blocked.store(false, Ordering::Relaxed);
        }
        self.marked = Instant::now();
        Ok(())
    }
}

fn failed(error: LedgerError) -> End {
    End::Failed(error.to_string())
}

/// What has come of one try.
enum Attempt {
    /// All of it, and the revision that stands on the subject of the marker.
    Stored(Stored, u64),
    /// The marker at the beginning, and so many of the messages after it; and why no more.
    Part(Stored, usize, String),
    /// Another has committed.
    Fenced,
    /// The marker that was written or found is gone.
    Unmarked,
    /// There are only forged ones, which were not there before: whether another has committed is not
    /// known.
    Hidden,
    /// Nobody has committed, but a forged marker stands on the genuine one, at this revision.
    Overlaid(u64),
    Failed(String),
}

/// One try; `own` is the revision of the marker that was written or found. Every step of it is
/// bounded, and reported to `beat` when it is done.
async fn attempt(common: &Common, wanted: Wanted, own: u64, beat: impl Fn()) -> Attempt {
    let (unit, subject, expected) = (wanted.unit, wanted.subject.clone(), wanted.expected);
    let (begin, marker) = (wanted.begin.clone(), wanted.marker.clone());
    let (outgoing, range) = (Arc::clone(&wanted.outgoing), wanted.range.clone());
    let too_large = || {
        let largest = begin.as_ref().unwrap_or(&marker);
        limits::too_large(common, &outgoing[range.clone()], largest)
    };
    if too_large().is_some() {
        // the limit may have been raised since
        limits::learn(common).await;
        beat();
        if let Some(reason) = too_large() {
            return Attempt::Failed(reason);
        }
    }
    let error = match common.committer.commit(wanted, &beat).await {
        Ok(revision) => return Attempt::Stored(Stored { marker, revision }, revision),
        Err(error) => error,
    };
    beat();
    // it may have been stored without our hearing of it
    let read = markers::read(common, unit, &subject).await;
    beat();
    match read {
        Ok(Found {
            marker: Some(stored),
            top,
        }) if stored.revision != own => {
            if stored.marker == marker {
                return Attempt::Stored(stored, top);
            }
            if Some(&stored.marker) != begin.as_ref() {
                return Attempt::Fenced;
            }
            match commit::left_behind(common, stored.revision, beat).await {
                Ok(behind) => Attempt::Part(stored, behind.len(), error.to_string()),
                Err(reason) => Attempt::Failed(reason),
            }
        }
        Ok(Found {
            marker: None,
            top: 0,
        }) if expected != 0 => Attempt::Unmarked,
        // a forged marker may have purged that of another owner
        Ok(Found { marker: None, top }) if own != 0 || top != expected => Attempt::Hidden,
        Ok(Found { top, .. }) if top != expected => Attempt::Overlaid(top),
        Ok(_) | Err(_) => {
            // what is denied is not answered, or leaves a gap in the batch
            let denied = streams::denied(&common.link, &common.config);
            Attempt::Failed(match denied {
                Some(denied) => denied.to_string(),
                None => {
                    // or lowered
                    limits::learn(common).await;
                    too_large().unwrap_or_else(|| error.to_string())
                }
            })
        }
    }
}

/// Waits for `work`, and reports to `beat` meanwhile.
async fn beating<T>(work: impl Future<Output = T>, beat: impl Fn()) -> T {
    let mut ticks = interval(BEAT);
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = ticks.tick() => beat(),
        }
    }
}
