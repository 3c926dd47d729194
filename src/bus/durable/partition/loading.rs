//! A partition before its first bar: its marker, its checkpoint and, where no count tells which
//! outputs are stored, those outputs.
//!
//! Nothing is computed here that could be lost, so a command to stop ends it at once.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::sleep;

use super::{Gauges, LOST};
use crate::bus::backoff::backoff;
use crate::bus::durable::already::{Already, Span};
use crate::bus::durable::checkpoint::{self, Saved, Unusable};
use crate::bus::durable::feed::Feed;
use crate::bus::durable::ledger::{Ledger, Point, Recovered};
use crate::bus::durable::marker::{Marker, Stored};
use crate::bus::durable::streams::Unit;
use crate::bus::durable::{Common, markers, saved_name};
use crate::bus::intake::Intake;
use crate::failpoints;
use crate::market::Timestamp;
use crate::wire::headers::message_id;

/// Everything that is known of a partition before its first bar is read.
pub(super) struct Loaded {
    pub place: Unit,
    pub intake: Intake,
    pub ledger: Ledger,
    /// Outputs that are stored already, where no count tells.
    pub already: Option<Already>,
    pub marker: Option<Stored>,
    /// The revision that the next marker has to replace: that of `marker`, or of a forged one.
    pub top: u64,
    /// Messages that the marker says are refused unread.
    pub poison: BTreeSet<u64>,
}

/// Reads the marker, which is on `subject`, and the checkpoint.
///
/// # Errors
/// One of them cannot be read now, or they contradict each other.
pub(super) async fn load(
    common: &Arc<Common>,
    unit: u32,
    subject: &str,
    gauges: &Gauges,
) -> Result<Loaded, String> {
    let place = common.streams.units[unit as usize].clone();
    let found = markers::read(common, unit, subject).await?;
    let forged = found.is_forged();
    let (found, top) = (found.marker, found.top);
    gauges.beat(common.uptime_ms());
    let config = &common.config;
    let mut intake = Intake::new(config, Arc::clone(&common.metrics)).sharing(&common.refused);
    let checkpoint = restore(common, unit, &place, &mut intake, gauges).await?;
    let restored = intake.engine().len() as u64;
    gauges.series.store(restored, Ordering::Relaxed);
    let valid = found.as_ref().filter(|_| !failpoints::skips_marker());
    let valid = valid.filter(|stored| {
        let ours = stored.marker.position.origin == place.origin;
        if !ours {
            common.bars_recreated(&place.stream);
        }
        ours
    });
    let ledger = recovered(common, unit, checkpoint, gauges, valid).await?;
    let forged = forged.then(|| (&place, series_ids(&intake, &config.group)));
    let (ledger, already) = recognised(common, ledger, forged).await?;
    let poison = valid.map_or_else(BTreeSet::new, |stored| stored.marker.poison.clone());
    Ok(Loaded {
        place,
        intake,
        ledger,
        already,
        marker: found,
        top,
        poison,
    })
}

/// The ledger of an owner that has found the marker `found`.
async fn recovered(
    common: &Common,
    unit: u32,
    checkpoint: u64,
    gauges: &Gauges,
    found: Option<&Stored>,
) -> Result<Ledger, String> {
    let Some(Stored { marker, revision }) = found else {
        return Ledger::recover(unit, checkpoint, None).map_err(|error| error.to_string());
    };
    let behind = match marker.begun {
        Some(_) => {
            let beat = || gauges.beat(common.uptime_ms());
            markers::left_behind(common, *revision, beat).await?
        }
        None => Vec::new(),
    };
    let recovered = describe(marker, *revision, &behind, &common.outputs);
    Ledger::recover(unit, checkpoint, Some(&recovered)).map_err(|error| error.to_string())
}

/// A marker as the ledger of an owner takes it whose outputs have the fingerprint `own`.
fn describe<'a>(marker: &Marker, revision: u64, behind: &'a [u64], own: &str) -> Recovered<'a> {
    Recovered {
        at: Point {
            seq: marker.position.seq,
            part: marker.position.part,
        },
        earlier: marker.begun.unwrap_or(0),
        begins_batch: marker.begun.is_some(),
        behind,
        floor: marker.after.unwrap_or(revision),
        newest: revision + behind.len() as u64,
        outputs: marker.outputs_seen_by(own),
    }
}

/// The ledger together with the outputs that it must recognise by identity. Where the marker was
/// `forged`, these are all outputs since the checkpoint, which contains the series named.
async fn recognised(
    common: &Common,
    mut ledger: Ledger,
    forged: Option<(&Unit, HashSet<String>)>,
) -> Result<(Ledger, Option<Already>), String> {
    let taken = ledger.last_applied();
    let already = if let Some(search) = ledger.search() {
        let span = Span {
            after: search.floor,
            last: Some(search.last),
        };
        let divided = Some(search.after + 1);
        Already::find(common, span, search.after, divided, |_| false).await?
    } else if let Some((place, ours)) = forged
        && Feed::waiting(&common.js, place, taken + 1).await? > 0
    {
        let span = Span {
            after: 0,
            last: None,
        };
        Already::find(common, span, taken, None, |id| ours.contains(series_of(id))).await?
    } else {
        return Ok((ledger, None));
    };
    ledger.by_identity(already.newest(), already.floor());
    Ok((ledger, Some(already)))
}

/// The series in the checkpoint, as message ids name them.
fn series_ids(intake: &Intake, group: &str) -> HashSet<String> {
    let ids = intake.engine().iter().map(|(_, series)| {
        let opened = Timestamp::from_nanos(0);
        let id = message_id(group, series.key(), opened, 0, 0);
        series_of(&id).to_owned()
    });
    ids.collect()
}

/// The part of a message id that names the series.
fn series_of(id: &str) -> &str {
    id.rsplitn(3, '.').nth(2).unwrap_or_default()
}

/// Restores the checkpoint, if there is one that can be continued; returns the last message in it.
///
/// A checkpoint is passed over when it is not there, when it is of no use to this configuration or
/// stream, or when it is damaged, as seen by two reads of the same revision.
///
/// # Errors
/// The checkpoint cannot be read now. State computed without it could differ, so the partition
/// must not start.
pub(super) async fn restore(
    common: &Common,
    unit: u32,
    place: &Unit,
    intake: &mut Intake,
    gauges: &Gauges,
) -> Result<u64, String> {
    let name = saved_name(&common.config.group, unit);
    let beat = || gauges.beat(common.uptime_ms());
    let mut damaged = None;
    let problem = loop {
        let reading = common.streams.checkpoints.read(&name, beat);
        let read = common.link.unless_lost(reading).await;
        let saved = match read.unwrap_or_else(|| Err(LOST.to_owned())) {
            Ok(None) => return Ok(0),
            Ok(Some(saved)) => saved,
            Err(reason) => {
                let waits = "its checkpoint cannot be read now, and is waited for";
                return Err(format!("{waits}: {reason}"));
            }
        };
        let revision = saved.revision;
        match decode(common, place, intake, saved).await {
            Ok(seq) => return Ok(seq),
            Err(Unusable::Origin) => {
                common.bars_recreated(&place.stream);
                return Ok(0);
            }
            // it may have been replaced while it was read
            Err(Unusable::Damaged | Unusable::Incomplete)
                if damaged.replace(revision) != Some(revision) =>
            {
                sleep(backoff(1)).await;
            }
            Err(unusable) => break unusable,
        }
        beat();
    };
    tracing::warn!(
        unit,
        problem = %problem,
        "the checkpoint cannot be continued; recomputing state from the bars that the stream \
         retains"
    );
    Ok(0)
}

/// Puts the state of `saved` into `intake`; returns the last message in it.
async fn decode(
    common: &Common,
    place: &Unit,
    intake: &mut Intake,
    saved: Saved,
) -> Result<u64, Unusable> {
    let bytes = saved.bytes.ok_or(Unusable::Incomplete)?;
    let config = Arc::clone(intake.engine().config());
    let (origin, most) = (place.origin.clone(), common.config.max_series);
    // not on the thread that keeps leases and the connection alive
    let restored =
        tokio::task::spawn_blocking(move || checkpoint::restore(&bytes, &origin, config, most));
    // bytes on which the decoder panics are not what was written
    let (engine, position) = restored.await.unwrap_or(Err(Unusable::Damaged))?;
    *intake.engine_mut() = engine.forgetting(common.config.series_idle);
    Ok(position.seq)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::durable::ledger::Outputs;

    fn read(json: &str) -> Marker {
        serde_json::from_str(json).expect("a marker")
    }

    #[test]
    fn a_marker_of_the_first_format_is_counted_and_one_of_the_second_is_compared() {
        let first = read(r#"{"origin":"o","seq":9,"part":2,"owner":"a","begun":3}"#);
        let taken = describe(&first, 70, &[10], "f00d");
        assert_eq!(taken.at, Point { seq: 9, part: 2 });
        assert_eq!((taken.earlier, taken.begins_batch), (3, true));
        assert_eq!((taken.floor, taken.newest), (70, 71));
        assert_eq!(taken.outputs, Outputs::Same, "a count has to do");

        let second = |outputs: &str| {
            let json = r#"{"version":2,"origin":"o","seq":9,"part":2,"owner":"a","after":55"#;
            read(&format!("{json}{outputs}}}"))
        };
        let same = second(r#","outputs":"f00d""#);
        let taken = describe(&same, 70, &[], "f00d");
        assert_eq!((taken.earlier, taken.begins_batch), (0, false));
        assert_eq!((taken.floor, taken.newest), (55, 70));
        assert_eq!(taken.outputs, Outputs::Same);
        assert_eq!(same.outputs_seen_by("beef"), Outputs::Other);
        assert_eq!(second("").outputs_seen_by("f00d"), Outputs::Mixed);
    }

    #[test]
    fn the_series_of_a_message_id_is_the_part_before_time_and_revision() {
        assert_eq!(
            series_of("desk.BTC%2FUSDT.1m.1700000000000000000.2"),
            "desk.BTC%2FUSDT.1m"
        );
        assert_eq!(
            series_of("desk.BTC%2FUSDT.1m.1700000000000000000.2r1f"),
            "desk.BTC%2FUSDT.1m"
        );
        assert_eq!(series_of("none"), "");
    }
}
