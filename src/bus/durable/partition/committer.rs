//! Stores the outputs of a partition, with the position that they stand for, for as long as it takes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::attempt::{Attempt, attempt, beating};
use super::{Exit, Partition, Phase};
use crate::bus::durable::circuit::Failing;
use crate::bus::durable::commit::{self, Wanted};
use crate::bus::durable::ledger::{Batch, Point};
use crate::bus::durable::limits;
use crate::bus::durable::marker::{MARKER_VERSION, Marker, Position};
use crate::bus::intake::Outgoing;

/// Forged markers that a commit passes over before it counts as failed.
const PASSED_OVER: u32 = 50;
/// For signals of forming bars to be sent.
const SENDING: Duration = Duration::from_secs(2);

impl Partition {
    /// Stores what is to be published, with the position it stands for.
    pub(super) async fn commit(&mut self) -> Result<(), Exit> {
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
            let _ = self
                .while_serving_commands(timeout(SENDING, sending), false)
                .await?;
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
    ) -> Result<(), Exit> {
        let mut outgoing = Arc::clone(outgoing);
        let mut batch = batch;
        let mut passed_over = 0;
        let mut failing: Option<Failing> = None;
        let mut phase = self.gauges.phase();
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
                subject: self.fence.subject.clone(),
                expected: self.fence.top,
                begin,
                marker: marker.clone(),
                outgoing: Arc::clone(&outgoing),
                range: range.clone(),
            };
            let (common, gauges) = (Arc::clone(&self.common), Arc::clone(&self.gauges));
            let beat = || gauges.beat(common.uptime_ms());
            let own = self
                .fence
                .marker
                .as_ref()
                .map_or(0, |stored| stored.revision);
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
            let reason = match self
                .while_serving_commands(attempt, failing.is_some())
                .await?
            {
                Attempt::Stored(stored, top) => {
                    self.common.saw_marker(self.unit, stored.revision);
                    self.ledger.stored(&batch, stored.revision)?;
                    self.fence.marker = Some(stored);
                    self.fence.top = top;
                    break;
                }
                Attempt::Fenced => return Err(Exit::Fenced),
                Attempt::Hidden => return Err(Exit::Hidden),
                Attempt::Overlaid(top) if passed_over < PASSED_OVER => {
                    passed_over += 1;
                    self.fence.top = top;
                    continue;
                }
                Attempt::Overlaid(top) => {
                    passed_over = 0;
                    self.fence.top = top;
                    "markers are forged faster than genuine ones can be stored".to_owned()
                }
                Attempt::Unmarked => {
                    let reason = "its commit marker is not in the stream of signals any more";
                    return Err(Exit::Failed(reason.to_owned()));
                }
                Attempt::Failed(reason) => reason,
                Attempt::Part(begin, messages, reason) => {
                    let rest = self
                        .ledger
                        .partially_stored(&batch, messages, begin.revision);
                    batch = rest?;
                    if messages > 0 {
                        tracing::warn!(
                            unit = self.unit,
                            messages,
                            of = range.len(),
                            "the server has stored a part of a batch; the rest is still to be stored"
                        );
                    }
                    self.fence.top = begin.revision;
                    self.fence.marker = Some(begin);
                    reason
                }
            };
            self.common.metrics.publish_errors.inc();
            self.common.suspect_streams();
            let failing = failing.get_or_insert_with(|| self.common.circuit.fail());
            failing.again(&reason);
            if self.gauges.phase() != Phase::Blocked {
                phase = self.gauges.phase();
                self.gauges.enter(Phase::Blocked);
            }
            tracing::debug!(unit = self.unit, reason, "commit failed");
        }
        if let Some(failing) = failing {
            self.common.link.signals_are_stored();
            failing.stored();
            self.gauges.enter(phase);
        }
        self.fence.written = Instant::now();
        self.give_receipts();
        Ok(())
    }

    /// Shows the outcomes of fed bars, once no other owner can count them: everything that was read
    /// is stored.
    fn give_receipts(&mut self) {
        let tallies = &mut self.intake.out.tallies;
        if tallies.is_empty() || self.ledger.stored_to() < Point::after(self.ledger.last_applied())
        {
            return;
        }
        tallies.all_published();
        let counted = tallies.take();
        self.common.receipts.add("durable", counted, Instant::now());
    }
}
