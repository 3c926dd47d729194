//! Answers to questions from outside: by the coordinator itself, and by the partitions that it asks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::oneshot;

use super::Coordinator;
use super::supervisor::Running;
use crate::bus::catalogue::page;
use crate::bus::durable::gauges::{Gauges, Phase};
use crate::bus::durable::partition::Command;
use crate::market::{SeriesKey, Timestamp};
use crate::ops::durable::{DurableStatus, PartitionState, PartitionStatus};
use crate::ops::http::Checkpoint;
use crate::ops::process::ProcessUsage;
use crate::ops::query::{
    AgentState, MemberStatus, Query, SeriesAnswer, SeriesFilter, SeriesPage, SeriesSummary,
    StatusReport,
};
use crate::version::{GIT, VERSION};

impl Coordinator {
    /// Answers, or has a partition answer. The asker may have gone, which is no fault.
    pub(super) fn answer(&mut self, query: Query) {
        match query {
            Query::Status { reply } => drop(reply.send(self.status())),
            Query::ListSeries {
                filter,
                offset,
                limit,
                reply,
            } => self.list(filter, offset, limit, reply),
            Query::Series { key, window, reply } => self.series(key, window, reply),
            // these are questions of ours to the partitions
            Query::Keys { .. } | Query::Summaries { .. } => {}
            Query::Checkpoint { reply } => self.checkpoint(reply),
        }
    }

    fn status(&self) -> StatusReport {
        let common = &self.common;
        let config = &common.config;
        let owned = self.membership.leases().owned();
        let units = common.streams.units.len();
        let member = |(id, record): (&crate::group::MemberId, &crate::group::MemberRecord)| {
            let count = owned.get(id).copied().unwrap_or(0);
            #[allow(clippy::cast_precision_loss)]
            let share = f64::from(count) / units as f64;
            MemberStatus {
                agent: record.name.clone(),
                instance: id.to_string(),
                state: if record.leaving {
                    AgentState::Draining
                } else {
                    AgentState::Active
                },
                owned_share: share,
            }
        };
        let last = self.supervisor.newest();
        StatusReport {
            agent: config.agent_name.clone(),
            instance: common.instance.clone(),
            group: config.group.clone(),
            version: VERSION.to_owned(),
            git: GIT.to_owned(),
            delivery: "durable".to_owned(),
            state: if self.membership.leases().is_leaving() {
                AgentState::Draining
            } else if self.is_settled() {
                AgentState::Active
            } else {
                AgentState::Syncing
            },
            host: self.host.clone(),
            pid: std::process::id(),
            started_at: self.started_at,
            uptime_seconds: common.started.elapsed().as_secs_f64(),
            config_fingerprint: format!("{:016x}", config.analysis.fingerprint()),
            members: self.membership.table().members.iter().map(member).collect(),
            owned_partitions: self.membership.leases().held().count() as u64,
            series: self
                .supervisor
                .sum(|gauges| gauges.series.load(Ordering::Relaxed)),
            bars_received: common.metrics.bars_received.get(),
            signals_published: common.metrics.signals_published.get(),
            last_processed: clock_of(last),
            lag_bars: self.lag(),
            resident_bytes: ProcessUsage::read().map(|usage| usage.resident_bytes),
            durable: DurableStatus::of(&common.metrics),
            partitions: Some(
                self.membership
                    .leases()
                    .held()
                    .map(|unit| self.partition(unit, self.supervisor.get(unit)))
                    .collect(),
            ),
        }
    }

    fn partition(&self, unit: u32, running: Option<&Running>) -> PartitionStatus {
        let last = self.supervisor.last_gauges(unit);
        let of = |gauge: fn(&Gauges) -> &AtomicU64| {
            running.map_or(0, |running| gauge(&running.gauges).load(Ordering::Relaxed))
        };
        PartitionStatus {
            partition: unit,
            state: running.map_or(PartitionState::Restarting, |running| {
                match running.gauges.phase() {
                    Phase::Loading | Phase::Replaying => PartitionState::Recovering,
                    Phase::Running | Phase::Stopping => PartitionState::Active,
                    Phase::Blocked => PartitionState::Blocked,
                }
            }),
            series: of(|gauges| &gauges.series),
            lag_bars: of(|gauges| &gauges.lag).max(last.lag),
            last_processed: clock_of(of(|gauges| &gauges.last_processed).max(last.last_processed)),
            checkpoint_age_seconds: running.map_or(0.0, |running| self.checkpoint_age(running)),
        }
    }

    /// Asks every partition for its keys, which are shared and not copied, and then those that have
    /// series on the page for these.
    fn list(
        &self,
        filter: SeriesFilter,
        offset: usize,
        limit: usize,
        reply: oneshot::Sender<SeriesPage>,
    ) {
        let asked: Vec<_> = self
            .supervisor
            .running()
            .filter_map(|running| {
                let (reply, answer) = oneshot::channel();
                let query = Query::Keys { reply };
                running.commands.try_send(Command::Ask(query)).ok()?;
                Some((running.commands.clone(), answer))
            })
            .collect();
        tokio::spawn(async move {
            let (mut lists, mut owners) = (Vec::new(), Vec::new());
            for (commands, answer) in asked {
                if let Ok(keys) = answer.await {
                    lists.push(keys);
                    owners.push(commands);
                }
            }
            let (total, found) = page(&lists, &filter, offset, limit);
            let mut of_owner: BTreeMap<usize, Vec<SeriesKey>> = BTreeMap::new();
            for (owner, key) in found {
                of_owner.entry(owner).or_default().push(key);
            }
            let mut series = Vec::new();
            for (owner, keys) in of_owner {
                let (reply, answer) = oneshot::channel();
                let query = Query::Summaries { keys, reply };
                if owners[owner].try_send(Command::Ask(query)).is_ok()
                    && let Ok(summaries) = answer.await
                {
                    series.extend(summaries);
                }
            }
            series.sort_by(|a: &(SeriesKey, SeriesSummary), b| a.0.cmp(&b.0));
            let _ = reply.send(SeriesPage {
                total,
                offset,
                series: series.into_iter().map(|(_, summary)| summary).collect(),
            });
        });
    }

    /// Asks every partition: which one has a symbol, only the server's hash says.
    fn series(&self, key: SeriesKey, window: usize, reply: oneshot::Sender<SeriesAnswer>) {
        let asked: Vec<_> = self
            .supervisor
            .running()
            .filter_map(|running| {
                let (reply, answer) = oneshot::channel();
                let query = Query::Series {
                    key: key.clone(),
                    window,
                    reply,
                };
                running.commands.try_send(Command::Ask(query)).ok()?;
                Some(answer)
            })
            .collect();
        // who runs every partition knows that nobody else has it; and else a member that has it
        // may answer, which must not be contradicted
        let all = asked.len() == self.common.streams.units.len();
        tokio::spawn(async move {
            let mut unknown = 0;
            let count = asked.len();
            for answer in asked {
                match answer.await {
                    Ok(known @ SeriesAnswer::Known(_)) => {
                        let _ = reply.send(known);
                        return;
                    }
                    Ok(SeriesAnswer::Unknown { .. }) => unknown += 1,
                    Err(_) => {}
                }
            }
            let owner = all && unknown == count;
            let _ = reply.send(SeriesAnswer::Unknown { owner });
        });
    }

    fn checkpoint(&self, reply: oneshot::Sender<Checkpoint>) {
        let asked: Vec<_> = self
            .supervisor
            .running()
            .filter_map(|running| {
                let (reply, written) = oneshot::channel();
                running.commands.try_send(Command::Save(reply)).ok()?;
                Some(written)
            })
            .collect();
        tokio::spawn(async move {
            let mut partitions = 0;
            let mut problem = None;
            for written in asked {
                match written.await {
                    Ok(Ok(())) => partitions += 1,
                    Ok(Err(reason)) => problem = Some(reason),
                    // it was handed over, with a checkpoint
                    Err(_) => {}
                }
            }
            let _ = reply.send(match problem {
                None => Checkpoint::Written { partitions },
                Some(reason) => Checkpoint::Failed(reason),
            });
        });
    }
}

fn clock_of(nanos: u64) -> Option<Timestamp> {
    let nanos = i64::try_from(nanos).ok()?;
    (nanos > 0).then(|| Timestamp::from_nanos(nanos))
}
