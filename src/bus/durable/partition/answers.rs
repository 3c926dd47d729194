//! Answers of a partition to questions about its series.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::Partition;
use crate::engine::{Series, SeriesId};
use crate::ops::query::{Query, SeriesAnswer, SeriesDetail, SeriesSummary, newest};
use crate::wire::encode_signal;

impl Partition {
    pub(super) fn answer(&mut self, query: Query) {
        match query {
            Query::Keys { reply } => drop(reply.send(self.intake.keys())),
            Query::Summaries { keys, reply } => {
                let engine = self.intake.engine();
                let found = keys.into_iter().filter_map(|key| {
                    let (_, series) = engine.find(key.symbol.as_str(), key.timeframe)?;
                    Some((key, summary(series)))
                });
                drop(reply.send(found.collect()));
            }
            Query::Series { key, window, reply } => {
                let found = self
                    .intake
                    .engine()
                    .find(key.symbol.as_str(), key.timeframe);
                let Some((id, series)) = found else {
                    let _ = reply.send(SeriesAnswer::Unknown { owner: false });
                    return;
                };
                let window = newest(series, window);
                let summary = summary(series);
                let _ = reply.send(SeriesAnswer::Known(Box::new(SeriesDetail {
                    summary,
                    signal: self.latest_signal(id),
                    window,
                })));
            }
            // these are the coordinator's to answer
            Query::Status { .. } | Query::Checkpoint { .. } | Query::ListSeries { .. } => {}
        }
    }

    /// The signal of the newest bar, once the series has bars enough to speak.
    fn latest_signal(&mut self, id: SeriesId) -> Option<Box<RawValue>> {
        let enough = self.common.config.analysis.min_bars;
        if self.intake.engine().get(id)?.ring().len() < enough {
            return None;
        }
        let mut json = Vec::new();
        encode_signal(self.intake.engine_mut().latest(id)?, &mut json);
        RawValue::from_string(String::from_utf8(json).ok()?).ok()
    }
}

/// Answers for a partition that is still being loaded: it has no series yet.
pub(super) fn not_loaded(query: Query) {
    match query {
        Query::Keys { reply } => drop(reply.send(Arc::default())),
        Query::Summaries { reply, .. } => drop(reply.send(Vec::new())),
        Query::Series { reply, .. } => {
            let _ = reply.send(SeriesAnswer::Unknown { owner: false });
        }
        // these are the coordinator's to answer
        Query::Status { .. } | Query::Checkpoint { .. } | Query::ListSeries { .. } => {}
    }
}

fn summary(series: &Series) -> SeriesSummary {
    SeriesSummary {
        symbol: series.key().symbol.to_string(),
        timeframe: series.key().timeframe.to_string(),
        bars: series.ring().len(),
        last_timestamp: series.position().map(|(timestamp, _)| timestamp),
        owned: true,
    }
}
