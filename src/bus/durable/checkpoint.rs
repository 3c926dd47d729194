//! Checkpoints: the complete state of a partition, in the object store.
//!
//! One per partition, replaced as a whole. It begins with what it takes to know whether it can be
//! continued: format, the fingerprint of the configuration, a checksum. One that is damaged or
//! foreign is told of and passed over; the state is then computed anew from the bars that the
//! stream retains.

use std::io::Cursor;

use async_nats::jetstream::object_store::ObjectMetadata;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;
use xxhash_rust::xxh3::xxh3_64;

use super::commit::Position;
use crate::engine::{Engine, SeriesSnapshot};

/// First bytes: what it is, and in which version of the format.
const MAGIC: &[u8; 8] = b"TACKPT\0\x01";
/// For all of it to arrive.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
/// Bytes of a checkpoint in one message, where the server takes as much.
const CHUNK: usize = 128 << 10;
const HEADER: usize = MAGIC.len() + 8;

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
}

/// Why a checkpoint is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    /// Not in the format of this version.
    #[error("it is in another format")]
    Format,
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
        }
    }

    pub fn encode(self) -> Result<Vec<u8>, postcard::Error> {
        let content = Content {
            fingerprint: self.fingerprint,
            position: self.position,
            series: self.series,
        };
        let mut bytes = Vec::from(*MAGIC);
        bytes.extend_from_slice(&[0; 8]);
        let mut bytes = postcard::to_extend(&content, bytes)?;
        let checksum = xxh3_64(&bytes[HEADER..]).to_le_bytes();
        bytes[MAGIC.len()..HEADER].copy_from_slice(&checksum);
        Ok(bytes)
    }
}

/// Puts the state in `bytes` into `engine`, which is empty, and returns its position.
pub(super) fn restore(
    bytes: &[u8],
    origin: &str,
    engine: &mut Engine,
) -> Result<Position, Unusable> {
    if bytes.get(..MAGIC.len()) != Some(MAGIC.as_slice()) {
        return Err(Unusable::Format);
    }
    let checksum = bytes.get(MAGIC.len()..HEADER).ok_or(Unusable::Damaged)?;
    if checksum != xxh3_64(&bytes[HEADER..]).to_le_bytes() {
        return Err(Unusable::Damaged);
    }
    let content: Content = postcard::from_bytes(&bytes[HEADER..]).map_err(|_| Unusable::Damaged)?;
    if content.fingerprint != engine.config().fingerprint() {
        return Err(Unusable::Configuration);
    }
    if content.position.origin != origin {
        return Err(Unusable::Origin);
    }
    for series in content.series {
        engine.restore(series).map_err(|_| Unusable::Damaged)?;
    }
    Ok(content.position)
}

/// Reads a checkpoint's bytes; nothing when there is none.
pub(super) async fn read(
    store: &async_nats::jetstream::object_store::ObjectStore,
    name: &str,
) -> Result<Option<Vec<u8>>, String> {
    use async_nats::jetstream::object_store::GetErrorKind;
    let mut object = match store.get(name).await {
        Ok(object) => object,
        Err(error) if matches!(error.kind(), GetErrorKind::NotFound) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut bytes = Vec::with_capacity(object.info().size);
    // one that is replaced while it is read does not come to its end
    timeout(PATIENCE, object.read_to_end(&mut bytes))
        .await
        .map_err(|_| "it could not be read to its end in time".to_owned())?
        .map_err(|error| error.to_string())?;
    Ok(Some(bytes))
}

/// Replaces a checkpoint, by messages of no more than `largest` bytes.
pub(super) async fn write(
    store: &async_nats::jetstream::object_store::ObjectStore,
    name: &str,
    bytes: Vec<u8>,
    largest: usize,
) -> Result<(), String> {
    use async_nats::jetstream::object_store::PutErrorKind;
    let object = ObjectMetadata {
        name: name.to_owned(),
        chunk_size: Some(CHUNK.min(largest)),
        ..ObjectMetadata::default()
    };
    match store.put(object, &mut Cursor::new(bytes)).await {
        Ok(_) => Ok(()),
        // the new one is there; only the room of the old one is not free yet
        Err(error) if matches!(error.kind(), PutErrorKind::PurgeOldChunks) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::AnalysisConfig;
    use crate::market::{Bar, BarEvent, Timeframe, Timestamp};

    fn engine(bars: i64) -> Engine {
        let mut engine = Engine::new(Arc::new(AnalysisConfig::default()), 10);
        for minute in 0..bars {
            #[allow(clippy::cast_precision_loss)]
            let close = 100.0 + (minute % 7) as f64;
            let event = BarEvent {
                symbol: if minute % 2 == 0 { "A" } else { "B" }.into(),
                timeframe: Timeframe::MINUTE,
                bar: Bar {
                    timestamp: Timestamp::from_nanos(minute * Timeframe::MINUTE.nanos()),
                    open: close,
                    high: close + 1.0,
                    low: close - 1.0,
                    close,
                    volume: 3.0,
                },
                is_final: true,
                source: None,
            };
            engine.on_bar(&event, Timestamp::from_nanos(minute));
        }
        engine
    }

    fn position() -> Position {
        Position {
            origin: "o".to_owned(),
            seq: 7,
            part: 2,
        }
    }

    fn empty() -> Engine {
        Engine::new(Arc::new(AnalysisConfig::default()), 10)
    }

    #[test]
    fn what_is_written_is_continued() {
        let bytes = Snapshot::take(&engine(140), position()).encode().unwrap();
        let mut restored = empty();
        assert_eq!(restore(&bytes, "o", &mut restored), Ok(position()));
        assert_eq!(restored.len(), 2);
        let bars = |engine: &Engine| {
            let (_, series) = engine.find("A", Timeframe::MINUTE).unwrap();
            (series.bars(), series.position(), series.ring().len())
        };
        assert_eq!(bars(&restored), bars(&engine(140)));
    }

    #[test]
    fn what_is_foreign_is_told_apart() {
        let bytes = Snapshot::take(&engine(40), position()).encode().unwrap();
        assert_eq!(
            restore(&bytes, "other", &mut empty()),
            Err(Unusable::Origin)
        );
        let other = AnalysisConfig {
            rsi_period: 15,
            ..AnalysisConfig::default()
        };
        let mut engine = Engine::new(Arc::new(other), 10);
        assert_eq!(
            restore(&bytes, "o", &mut engine),
            Err(Unusable::Configuration)
        );
        assert_eq!(restore(b"", "o", &mut empty()), Err(Unusable::Format));
    }

    proptest! {
        #[test]
        fn no_damage_goes_unnoticed(at in 0usize..2_000, bit in 0u8..8, cut in any::<bool>()) {
            let mut bytes = Snapshot::take(&engine(40), position()).encode().unwrap();
            let at = at % bytes.len();
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1 << bit;
            }
            prop_assert!(restore(&bytes, "o", &mut empty()).is_err());
        }
    }
}
