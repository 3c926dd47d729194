//! Checkpoints: the complete state of a partition, in the object store.
//!
//! One per partition, replaced as a whole. It begins with the data that shows if it can be
//! continued: format, a checksum, the fingerprint of the configuration. A damaged or foreign
//! checkpoint is reported and skipped; the state is then computed from the bars that the stream
//! retains. If a checkpoint cannot be read at the moment, the partition waits for it, as computing
//! without it may give other values.
//!
//! | bytes | |
//! |---|---|
//! | 7 | `TACKPT` and a zero |
//! | 1 | the version of the format |
//! | 8 | XXH3 of all bytes that follow, little-endian |
//! | … | fingerprint, position, and every series but for its bars, in postcard |
//! | … | the bars of one series after the other, as columns (`engine/columns.rs`) |
//! | … | the bars that are forming until the next one comes, each after the place of its series, in postcard |
//! | … | state of derived bars, such as open buckets, each after the place of its series, in postcard |
//! | … | the resets that series began with, each after the place of its series, in postcard |
//! | … | facts for corrections, each after the place of its series, in postcard |
//! | … | the open histories, in postcard |
//! | … | the trades that bars are built from, each after the place of its series, in postcard |
//!
//! Each version from 2 on adds the next section, and the lowest version that has room for the state
//! is written. Version 2 ends with the bars, 3 with the forming bars, 4 with the derived bars, 5
//! with the resets, 6 with the corrections, 7 with the histories and 8 with the trades. In version 1
//! the bars are inside their series, eight or nine bytes each. All versions are read.

mod stored;

use std::sync::Arc;

use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

use super::marker::Position;
use crate::engine::{AnalysisConfig, Engine, HistorySnapshot, SeriesSnapshot};
pub(super) use stored::{Bucket, Saved};

/// First bytes: what it is. The next is the version of the format.
const MAGIC: &[u8; 7] = b"TACKPT\0";
/// The newest version, with the trades that bars are built from.
const VERSION: u8 = 8;
/// The version with the open histories, written if no bars are built from trades.
const WITHOUT_TRADES: u8 = 7;
/// The version with corrections, written if no history is open either.
const WITHOUT_HISTORIES: u8 = 6;
/// The version with resets, written if there are no corrections either.
const WITHOUT_CORRECTIONS: u8 = 5;
/// The version with derived bars, written if there are no resets either.
const WITHOUT_RESETS: u8 = 4;
/// The version with forming bars, written if there are no derived bars either.
const WITHOUT_DERIVED: u8 = 3;
/// The version written if there are no forming bars either.
const WITHOUT_FORMING: u8 = 2;
/// The version with the bars of a series beside the rest of it.
const BARS_WITHIN: u8 = 1;
const CHECKSUM: usize = MAGIC.len() + 1;
const HEADER: usize = CHECKSUM + 8;

#[derive(serde::Serialize, serde::Deserialize)]
struct Content {
    fingerprint: u64,
    position: Position,
    series: Vec<SeriesSnapshot>,
}

/// State to be written down.
#[derive(Debug)]
pub(super) struct Snapshot {
    fingerprint: u64,
    pub position: Position,
    series: Vec<SeriesSnapshot>,
    histories: Vec<HistorySnapshot>,
}

/// The reason why a checkpoint is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    /// Not a checkpoint.
    #[error("it is in another format")]
    Format,
    /// Of a program that is newer than this one.
    #[error("it is in version {0} of its format, and this agent reads none newer than {VERSION}")]
    Newer(u8),
    /// Some of its chunks are not in the bucket.
    #[error("a part of it is missing")]
    Incomplete,
    /// Not what was written.
    #[error("its checksum is wrong, or it breaks an invariant")]
    Damaged,
    /// Computed under another configuration.
    #[error("it was made under another configuration")]
    Configuration,
    /// Of another stream, such as one of the same name that was removed.
    #[error("it is about another stream of bars")]
    Origin,
}

impl Snapshot {
    /// The state of `engine`, all bars up to `position` taken in.
    pub fn take(engine: &Engine, position: Position) -> Self {
        Self {
            fingerprint: engine.config().fingerprint(),
            position,
            series: engine
                .iter()
                .filter_map(|(id, _)| engine.snapshot(id))
                .collect(),
            histories: engine.histories().collect(),
        }
    }

    pub fn encode(mut self) -> Result<Vec<u8>, postcard::Error> {
        let mut bars = Vec::new();
        let mut forming = Vec::new();
        let mut derived = Vec::new();
        let mut resets: Vec<(usize, u64)> = Vec::new();
        let mut corrections = Vec::new();
        let mut trades = Vec::new();
        for (place, series) in self.series.iter_mut().enumerate() {
            if series.epoch() != 0 {
                resets.push((place, series.epoch()));
            }
            corrections.extend(series.take_corrections().map(|one| (place, one)));
            series.take_bars(&mut bars);
            forming.extend(series.take_forming().map(|bar| (place, bar)));
            derived.extend(series.take_derived().map(|one| (place, one)));
            trades.extend(series.take_trades().map(|one| (place, one)));
        }
        let version = if !trades.is_empty() {
            VERSION
        } else if !self.histories.is_empty() {
            WITHOUT_TRADES
        } else if !corrections.is_empty() {
            WITHOUT_HISTORIES
        } else if !resets.is_empty() {
            WITHOUT_CORRECTIONS
        } else if !derived.is_empty() {
            WITHOUT_RESETS
        } else if !forming.is_empty() {
            WITHOUT_DERIVED
        } else {
            WITHOUT_FORMING
        };
        if version > WITHOUT_FORMING {
            bars = postcard::to_extend(&forming, bars)?;
        }
        if version > WITHOUT_DERIVED {
            bars = postcard::to_extend(&derived, bars)?;
        }
        if version > WITHOUT_RESETS {
            bars = postcard::to_extend(&resets, bars)?;
        }
        if version > WITHOUT_CORRECTIONS {
            bars = postcard::to_extend(&corrections, bars)?;
        }
        if version > WITHOUT_HISTORIES {
            bars = postcard::to_extend(&self.histories, bars)?;
        }
        if version > WITHOUT_TRADES {
            bars = postcard::to_extend(&trades, bars)?;
        }
        let content = Content {
            fingerprint: self.fingerprint,
            position: self.position,
            series: self.series,
        };
        let mut bytes = Vec::from(*MAGIC);
        bytes.push(version);
        bytes.extend_from_slice(&[0; 8]);
        let mut bytes = postcard::to_extend(&content, bytes)?;
        bytes.append(&mut bars);
        let checksum = xxh3_64(&bytes[HEADER..]).to_le_bytes();
        bytes[CHECKSUM..HEADER].copy_from_slice(&checksum);
        Ok(bytes)
    }
}

/// Reads a section of `bytes`, which has something for some of the series, each after its place among
/// them, and puts it into those.
fn put_each<T: DeserializeOwned>(
    bytes: &mut &[u8],
    all: &mut [SeriesSnapshot],
    put: impl Fn(&mut SeriesSnapshot, T),
) -> Result<(), Unusable> {
    let (section, rest) =
        postcard::take_from_bytes::<Vec<(usize, T)>>(bytes).map_err(|_| Unusable::Damaged)?;
    *bytes = rest;
    for (place, one) in section {
        put(all.get_mut(place).ok_or(Unusable::Damaged)?, one);
    }
    Ok(())
}

/// The state in `bytes`: an engine of at most `max_series`, and its position.
pub(super) fn restore(
    bytes: &[u8],
    origin: &str,
    config: Arc<AnalysisConfig>,
    max_series: usize,
) -> Result<(Engine, Position), Unusable> {
    let version = match bytes.strip_prefix(MAGIC) {
        Some([version, ..]) => *version,
        _ => return Err(Unusable::Format),
    };
    match version {
        BARS_WITHIN..=VERSION => {}
        0 => return Err(Unusable::Format),
        newer => return Err(Unusable::Newer(newer)),
    }
    let checksum = bytes.get(CHECKSUM..HEADER).ok_or(Unusable::Damaged)?;
    if checksum != xxh3_64(&bytes[HEADER..]).to_le_bytes() {
        return Err(Unusable::Damaged);
    }
    let (content, mut bars) =
        postcard::take_from_bytes::<Content>(&bytes[HEADER..]).map_err(|_| Unusable::Damaged)?;
    if content.fingerprint != config.fingerprint() {
        return Err(Unusable::Configuration);
    }
    if content.position.origin != origin {
        return Err(Unusable::Origin);
    }
    let mut all = content.series;
    if version > BARS_WITHIN {
        for series in &mut all {
            series.put_bars(&mut bars).map_err(|_| Unusable::Damaged)?;
        }
    }
    if version > WITHOUT_FORMING {
        put_each(&mut bars, &mut all, SeriesSnapshot::put_forming)?;
    }
    if version > WITHOUT_DERIVED {
        put_each(&mut bars, &mut all, SeriesSnapshot::put_derived)?;
    }
    if version > WITHOUT_RESETS {
        put_each(&mut bars, &mut all, SeriesSnapshot::put_epoch)?;
    }
    if version > WITHOUT_CORRECTIONS {
        put_each(&mut bars, &mut all, SeriesSnapshot::put_corrections)?;
    }
    let mut histories = Vec::new();
    if version > WITHOUT_HISTORIES {
        (histories, bars) = postcard::take_from_bytes::<Vec<HistorySnapshot>>(bars)
            .map_err(|_| Unusable::Damaged)?;
    }
    if version > WITHOUT_TRADES {
        put_each(&mut bars, &mut all, SeriesSnapshot::put_trades)?;
    }
    let mut engine = Engine::new(config, max_series);
    for series in all {
        engine.restore(series).map_err(|_| Unusable::Damaged)?;
    }
    for history in histories {
        let restored = engine.restore_history(history);
        restored.map_err(|_| Unusable::Damaged)?;
    }
    if !bars.is_empty() {
        return Err(Unusable::Damaged);
    }
    Ok((engine, content.position))
}

/// The door of the fuzz target: a state behind a right header. Not in any other build.
#[cfg(fuzzing)]
pub mod fuzz {
    use super::{AnalysisConfig, Arc, Engine, HEADER, MAGIC, Position, Snapshot, VERSION, xxh3_64};

    const MAX_SERIES: usize = 1_000;

    /// The number of versions, with one that does not exist: 0.
    pub const VERSIONS: u8 = VERSION + 1;

    fn position() -> Position {
        Position {
            origin: "s".to_owned(),
            seq: 1,
            part: 0,
        }
    }

    /// The state whose series are in `body`, if they can be continued.
    #[must_use]
    pub fn continued(version: u8, body: &[u8], config: &Arc<AnalysisConfig>) -> Option<Engine> {
        let before = (config.fingerprint(), position());
        let content = postcard::to_extend(&before, Vec::new()).ok()?;
        let content = [&content, body].concat();
        let mut bytes = Vec::from(*MAGIC);
        bytes.push(version);
        bytes.extend_from_slice(&xxh3_64(&content).to_le_bytes());
        bytes.extend_from_slice(&content);
        let restored = super::restore(&bytes, "s", Arc::clone(config), MAX_SERIES);
        restored.ok().map(|(engine, _)| engine)
    }

    /// The version of a checkpoint of `engine`, and its bytes after the position: the input of
    /// [`continued`].
    #[must_use]
    pub fn body(engine: &Engine) -> Option<(u8, Vec<u8>)> {
        let bytes = Snapshot::take(engine, position()).encode().ok()?;
        let content = bytes.get(HEADER..)?;
        let before = (engine.config().fingerprint(), position());
        let before = postcard::to_extend(&before, Vec::new()).ok()?;
        let body = content.strip_prefix(before.as_slice())?;
        Some((bytes[MAGIC.len()], body.to_vec()))
    }
}

#[cfg(test)]
mod tests;
