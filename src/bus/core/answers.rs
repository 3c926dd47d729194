//! Answers to questions from outside, between batches.

use serde_json::value::RawValue;

use super::Worker;
use crate::bus::catalogue::page;
use crate::engine::{Series, SeriesId};
use crate::group::{MemberView, Phase, SLOTS, Slot};
use crate::market::SeriesKey;
use crate::ops::http::Checkpoint;
use crate::ops::process::ProcessUsage;
use crate::ops::query::{
    AgentState, MemberStatus, Query, SeriesAnswer, SeriesDetail, SeriesFilter, SeriesPage,
    SeriesSummary, StatusReport, newest,
};
use crate::version::{GIT, VERSION};
use crate::wire::encode_signal;

impl Worker {
    /// Answers; whoever asked may have gone, which is no fault.
    pub(super) fn answer(&mut self, query: Query) {
        match query {
            Query::Status { reply } => drop(reply.send(self.status())),
            Query::ListSeries {
                filter,
                offset,
                limit,
                reply,
            } => drop(reply.send(self.list(&filter, offset, limit))),
            Query::Series { key, window, reply } => drop(reply.send(self.series(&key, window))),
            // one worker has all series here, and makes its pages itself
            Query::Keys { .. } | Query::Summaries { .. } => {}
            Query::Checkpoint { reply } => {
                let why = "core delivery keeps its state in memory and writes no checkpoints";
                drop(reply.send(Checkpoint::Unsupported(why.to_owned())));
            }
        }
    }

    fn status(&self) -> StatusReport {
        let config = &self.setup.config;
        let handover = &self.members.handover;
        StatusReport {
            agent: config.agent_name.clone(),
            instance: self.setup.instance.clone(),
            group: config.group.clone(),
            version: VERSION.to_owned(),
            git: GIT.to_owned(),
            delivery: "core".to_owned(),
            state: state(handover.phase()),
            host: self.setup.host.clone(),
            pid: std::process::id(),
            started_at: self.started_at,
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            config_fingerprint: format!("{:016x}", config.analysis.fingerprint()),
            members: handover.members().into_iter().map(member).collect(),
            owned_partitions: handover.holds().len() as u64,
            series: self.intake.engine().len() as u64,
            bars_received: self.setup.metrics.bars_received.get(),
            signals_published: self.setup.metrics.signals_published.get(),
            last_processed: self.intake.out.last_processed,
            lag_bars: self.pending.len() as u64,
            resident_bytes: ProcessUsage::read().map(|usage| usage.resident_bytes),
            durable: None,
            partitions: None,
        }
    }

    fn list(&mut self, filter: &SeriesFilter, offset: usize, limit: usize) -> SeriesPage {
        let keys = self.intake.keys();
        let (total, found) = page(&[keys], filter, offset, limit);
        let engine = self.intake.engine();
        let series = found
            .iter()
            .filter_map(|(_, key)| engine.find(key.symbol.as_str(), key.timeframe))
            .map(|(_, series)| self.summary(series))
            .collect();
        SeriesPage {
            total,
            offset,
            series,
        }
    }

    fn series(&mut self, key: &SeriesKey, window: usize) -> SeriesAnswer {
        let engine = self.intake.engine();
        let Some((id, series)) = engine.find(key.symbol.as_str(), key.timeframe) else {
            return SeriesAnswer::Unknown {
                owner: self.owns(key),
            };
        };
        let window = newest(series, window);
        let summary = self.summary(series);
        SeriesAnswer::Known(Box::new(SeriesDetail {
            summary,
            signal: self.latest_signal(id),
            window,
        }))
    }

    /// The signal of the newest bar, once the series has bars enough to speak.
    fn latest_signal(&mut self, id: SeriesId) -> Option<Box<RawValue>> {
        let enough = self.setup.config.analysis.min_bars;
        if self.intake.engine().get(id)?.ring().len() < enough {
            return None;
        }
        let mut json = Vec::new();
        encode_signal(self.intake.engine_mut().latest(id)?, &mut json);
        RawValue::from_string(String::from_utf8(json).ok()?).ok()
    }

    fn summary(&self, series: &Series) -> SeriesSummary {
        SeriesSummary {
            symbol: series.key().symbol.to_string(),
            timeframe: series.key().timeframe.to_string(),
            bars: series.ring().len(),
            last_timestamp: series.position().map(|(timestamp, _)| timestamp),
            owned: self.owns(series.key()),
        }
    }

    fn owns(&self, key: &SeriesKey) -> bool {
        let slot = Slot::of(key.symbol.as_str().as_bytes());
        self.members.handover.holds().contains(slot)
    }
}

fn member(view: MemberView) -> MemberStatus {
    #[allow(clippy::cast_precision_loss)]
    let owned_share = view.slots as f64 / SLOTS as f64;
    MemberStatus {
        agent: view.name,
        instance: view.id.to_string(),
        state: state(view.phase),
        owned_share,
    }
}

const fn state(phase: Phase) -> AgentState {
    match phase {
        Phase::Starting => AgentState::Starting,
        Phase::Syncing => AgentState::Syncing,
        Phase::Active => AgentState::Active,
        Phase::Leaving | Phase::Gone => AgentState::Draining,
    }
}
