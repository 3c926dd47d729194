//! Checkpoints in the object store: read by single requests, written as objects.
//!
//! A read through a consumer leaves the consumer behind when it is aborted or times out, and
//! enough of them use up the limit of the stream. So chunks are fetched one by one from the
//! leader of the stream: a read that is dropped leaves nothing behind, and "there is no such
//! message" is the truth and not the memory of a copy that is behind.
//!
//! Only what the leader says is taken for an absence. Every other failure means that the
//! checkpoint cannot be read *now*.

use std::io::Cursor;

use async_nats::jetstream::object_store::{ObjectInfo, ObjectMetadata, ObjectStore, PutErrorKind};
use async_nats::jetstream::stream::{RawMessageError, RawMessageErrorKind, Stream};
use async_nats::jetstream::{Context, message::StreamMessage};
use data_encoding::BASE64URL;

/// Room that is made for a checkpoint before it is there; it grows as bytes arrive.
const ROOM: usize = 16 << 20;
/// Bytes of a checkpoint in one message, where the server takes as much.
const CHUNK: usize = 128 << 10;

/// The bucket of checkpoints.
#[derive(Clone)]
pub(in crate::bus::durable) struct Bucket {
    name: String,
    objects: ObjectStore,
    stream: Stream<()>,
}

/// A checkpoint as the bucket has it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bus::durable) struct Saved {
    /// The revision of its entry, which each checkpoint raises.
    pub revision: u64,
    /// Its bytes; `None` when not all of its chunks are there.
    pub bytes: Option<Vec<u8>>,
}

impl Bucket {
    /// Opens the bucket `name`.
    pub async fn open(js: &Context, name: &str) -> Result<Self, String> {
        let objects = js.get_object_store(name).await;
        let stream = js.get_stream_no_info(format!("OBJ_{name}")).await;
        Ok(Self {
            name: name.to_owned(),
            objects: objects.map_err(|error| error.to_string())?,
            stream: stream.map_err(|error| error.to_string())?,
        })
    }

    /// Reads a checkpoint, and reports each answer of the server to `progress`; `None` when there
    /// is none.
    ///
    /// # Errors
    /// The reason why it cannot be read now.
    pub async fn read(&self, name: &str, progress: impl Fn()) -> Result<Option<Saved>, String> {
        let entry = format!("$O.{}.M.{}", self.name, BASE64URL.encode(name.as_bytes()));
        let asked = self.stream.get_last_raw_message_by_subject(&entry);
        let Some(entry) = present(asked.await)? else {
            return Ok(None);
        };
        progress();
        let revision = entry.sequence;
        let Ok(info) = serde_json::from_slice::<ObjectInfo>(&entry.payload) else {
            let bytes = None;
            return Ok(Some(Saved { revision, bytes }));
        };
        if info.deleted {
            return Ok(None);
        }
        let bytes = self.chunks(&info, progress).await?;
        Ok(Some(Saved { revision, bytes }))
    }

    /// All bytes of `info`; `None` when they are not there, or others are.
    async fn chunks(
        &self,
        info: &ObjectInfo,
        progress: impl Fn(),
    ) -> Result<Option<Vec<u8>>, String> {
        let subject = format!("$O.{}.C.{}", self.name, info.nuid);
        let mut bytes = Vec::with_capacity(info.size.min(ROOM));
        let mut next = 1;
        for _ in 0..info.chunks {
            let asked = self.stream.get_first_raw_message_by_subject(&subject, next);
            let Some(chunk) = present(asked.await)? else {
                return Ok(None);
            };
            progress();
            next = chunk.sequence + 1;
            bytes.extend_from_slice(&chunk.payload);
            if bytes.len() > info.size {
                return Ok(None);
            }
        }
        Ok((bytes.len() == info.size).then_some(bytes))
    }

    /// Replaces a checkpoint, by messages of no more than `largest` bytes.
    pub async fn write(&self, name: &str, bytes: Vec<u8>, largest: usize) -> Result<(), String> {
        let object = ObjectMetadata {
            name: name.to_owned(),
            chunk_size: Some(CHUNK.min(largest)),
            ..ObjectMetadata::default()
        };
        match self.objects.put(object, &mut Cursor::new(bytes)).await {
            Ok(_) => Ok(()),
            // the new one is there; only the room of the old one is not free yet
            Err(error) if matches!(error.kind(), PutErrorKind::PurgeOldChunks) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The message, or `None` where the leader has none.
fn present(asked: Result<StreamMessage, RawMessageError>) -> Result<Option<StreamMessage>, String> {
    match asked {
        Ok(message) => Ok(Some(message)),
        Err(error) => match error.kind() {
            // the latter where an entry names chunks that no subject can name
            RawMessageErrorKind::NoMessageFound | RawMessageErrorKind::InvalidSubject => Ok(None),
            _ => Err(error.to_string()),
        },
    }
}
