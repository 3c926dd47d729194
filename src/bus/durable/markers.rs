//! Finding the last genuine commit marker of a partition.
//!
//! Every commit purges the markers before it, so the marker of a partition is the first message on
//! its subject; where a batch begins with a marker of its own, it is the second. What stands behind
//! them nobody of the group has written: it is forged, or was genuine once and is replayed. It
//! decides nothing, but the next commit has to replace it.
//!
//! A seal covers the place of a marker in its batch, so that a marker cannot be taken out of one.

use async_nats::header::HeaderValue;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RawMessageErrorKind, Stream};

use super::Common;
use super::commit::MOST;
use super::marker::{BATCH_ID, BATCH_SEQUENCE, MARKER_VERSION, Marker, Stored, place};
use crate::group::{Forgery, Place, Purpose, Signed};
use crate::wire::headers::INPUT_SEQ;

/// Readings of markers that change meanwhile, at most.
const TRIES: u32 = 8;
const LOST: &str = "the connection was lost meanwhile";

/// The state of a partition's subject of markers.
#[derive(Debug)]
pub(super) struct Found {
    /// The last genuine marker.
    pub marker: Option<Stored>,
    /// The revision that the next marker has to replace; 0 where there is none.
    pub top: u64,
}

impl Found {
    /// Returns whether there are markers and none of them is genuine.
    pub const fn is_forged(&self) -> bool {
        self.marker.is_none() && self.top != 0
    }
}

/// Reads the markers of `unit`, which are on `subject`, from the leader of the stream.
///
/// # Errors
/// They cannot be read, or a newer version of the agent wrote them.
pub(super) async fn read(common: &Common, unit: u32, subject: &str) -> Result<Found, String> {
    let found = find(common, unit, subject).await?;
    let version = found.marker.as_ref().map(|stored| stored.marker.version);
    match version {
        Some(newer) if newer > MARKER_VERSION => Err(format!(
            "the marker on {subject} has format {newer}, and this agent reads up to \
             {MARKER_VERSION}: a newer agent has worked on the partition, so update this one"
        )),
        _ => Ok(found),
    }
}

async fn find(common: &Common, unit: u32, subject: &str) -> Result<Found, String> {
    let stream = common
        .js
        .get_stream_no_info(&common.streams.signals)
        .await
        .map_err(|error| error.to_string())?;
    let Some(mut last) = last_on(common, &stream, subject).await? else {
        return Ok(Found {
            marker: None,
            top: 0,
        });
    };
    if !common.guard.verifies() {
        let marker = parse(&last.payload)
            .map_err(|error| format!("the marker on {subject} cannot be read: {error}"))?;
        let revision = last.sequence;
        let marker = Some(Stored { marker, revision });
        return Ok(Found {
            marker,
            top: revision,
        });
    }
    let mut tries = 0;
    let (genuine, newest, top) = loop {
        let top = last.sequence;
        let (genuine, newest) = newest_genuine(common, &stream, unit, subject, &last).await?;
        if newest == top {
            break (genuine, newest, top);
        }
        // a commit between two readings looks like a forgery; only one that stays is one
        let again = last_on(common, &stream, subject)
            .await?
            .ok_or_else(|| format!("the markers on {subject} were removed meanwhile"))?;
        tries += 1;
        let last_try = tries >= TRIES;
        // what came after `top` is left for the commit to be refused by
        let flooded = last_try && newest < top && judge(common, unit, &again).is_err();
        if again.sequence == top || flooded {
            break (genuine, newest, top);
        }
        if last_try {
            return Err(format!(
                "the markers on {subject} change while they are read"
            ));
        }
        last = again;
    };
    if newest < top {
        let forgery = judge(common, unit, &last).err();
        let forgery = forgery.unwrap_or(Forgery::Replayed);
        common.guard.report(Purpose::Marker, forgery);
    }
    let marker = match genuine {
        Ok((stored, signed)) if common.is_replayed(unit, stored.revision, counter(&signed)) => {
            common.guard.report(Purpose::Marker, Forgery::Replayed);
            None
        }
        Ok((stored, _)) => {
            common.saw_marker(unit, stored.revision);
            Some(stored)
        }
        Err(forgery) => {
            if newest == top {
                common.guard.report(Purpose::Marker, forgery);
            }
            None
        }
    };
    Ok(Found { marker, top })
}

type Judged = Result<(Stored, Option<Signed>), Forgery>;

/// The marker at the place of the genuine one, where `last` is the last on the subject, and its
/// revision.
async fn newest_genuine(
    common: &Common,
    stream: &Stream<()>,
    unit: u32,
    subject: &str,
    last: &StreamMessage,
) -> Result<(Judged, u64), String> {
    let Some(first) = from(common, stream, subject, 1).await? else {
        return Err(format!("the markers on {subject} were removed meanwhile"));
    };
    let genuine = judge(common, unit, &first);
    if let Ok((stored, signed)) = &genuine
        && stored.marker.begun.is_some()
        && first.sequence < last.sequence
        && let Some(second) = from(common, stream, subject, first.sequence + 1).await?
        && batch(&second) == batch(&first)
        && let Ok((end, of_end)) = judge(common, unit, &second)
        && counter(&of_end) == counter(signed)
    {
        return Ok((Ok((end, of_end)), second.sequence));
    }
    Ok((genuine, first.sequence))
}

/// The last message on `subject`.
async fn last_on(
    common: &Common,
    stream: &Stream<()>,
    subject: &str,
) -> Result<Option<StreamMessage>, String> {
    let asked = stream.get_last_raw_message_by_subject(subject);
    match common.link.unless_lost(asked).await.ok_or(LOST)? {
        Ok(message) => Ok(Some(message)),
        Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => Ok(None),
        Err(error) => Err(format!("cannot read the marker on {subject}: {error}")),
    }
}

/// The first message on `subject` from the sequence `start` on.
async fn from(
    common: &Common,
    stream: &Stream<()>,
    subject: &str,
    start: u64,
) -> Result<Option<StreamMessage>, String> {
    let asked = stream.get_first_raw_message_by_subject(subject, start);
    match common.link.unless_lost(asked).await.ok_or(LOST)? {
        Ok(message) => Ok(Some(message)),
        Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => Ok(None),
        Err(error) => Err(format!("cannot read the markers on {subject}: {error}")),
    }
}

/// The marker in `message`, if a member of the group has written it.
fn judge(common: &Common, unit: u32, message: &StreamMessage) -> Judged {
    let (id, at) = batch_place(message);
    let unit = unit.to_string();
    let names = place(&common.streams.signals, &unit, id, at);
    let place = Place {
        purpose: Purpose::Marker,
        names: &names,
    };
    let (headers, payload) = (&message.headers, &message.payload);
    let signed = common.guard.verify(place, Some(headers), payload)?;
    let marker = parse(payload).map_err(|_| Forgery::Unreadable)?;
    let stored = Stored {
        marker,
        revision: message.sequence,
    };
    Ok((stored, signed))
}

fn parse(payload: &[u8]) -> serde_json::Result<Marker> {
    serde_json::from_slice(payload)
}

fn counter(signed: &Option<Signed>) -> Option<u64> {
    signed.as_ref().map(|signed| signed.counter)
}

fn batch(message: &StreamMessage) -> &str {
    batch_place(message).0
}

/// The batch that a message was stored with, and its number in it.
fn batch_place(message: &StreamMessage) -> (&str, &str) {
    let text = |name| {
        let value = message.headers.get(name);
        value.map_or("", async_nats::HeaderValue::as_str)
    };
    (text(BATCH_ID.clone()), text(BATCH_SEQUENCE.clone()))
}

/// The outputs after the marker `revision` that belong to its batch, if the marker that ends that
/// batch was not stored: for each output, the message that gave it. Reports each answer to
/// `progress`.
pub(super) async fn left_behind(
    common: &Common,
    revision: u64,
    progress: impl Fn(),
) -> Result<Vec<u64>, String> {
    let stream = common
        .js
        .get_stream_no_info(&common.streams.signals)
        .await
        .map_err(|error| error.to_string())?;
    let mut batch = None;
    let mut behind = Vec::new();
    for at in 0..=MOST as u64 {
        let asked = stream.get_raw_message(revision + at);
        let found = common.link.unless_lost(asked).await;
        let message = match found.ok_or("the connection was lost meanwhile")? {
            Ok(message) => message,
            Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => {
                return Ok(behind);
            }
            Err(error) => return Err(format!("cannot read what was left of a batch: {error}")),
        };
        progress();
        let of = message.headers.get(BATCH_ID.clone()).cloned();
        if at == 0 {
            batch = of;
        } else if of.is_none() || of != batch {
            return Ok(behind);
        } else {
            let seq = message.headers.get(INPUT_SEQ).map(HeaderValue::as_str);
            let seq = seq.and_then(|seq| seq.parse().ok()).ok_or_else(|| {
                format!(
                    "message {} of the stream of signals stands behind a marker and names no bar",
                    revision + at
                )
            })?;
            behind.push(seq);
        }
    }
    Ok(behind)
}
