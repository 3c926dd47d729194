//! One try to store a batch, and what the stream of signals says about it afterwards.
//!
//! A commit that was not answered may have happened, whole or in part. The marker tells.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;

use crate::bus::durable::commit::{CommitError, Refusal, Wanted};
use crate::bus::durable::marker::Stored;
use crate::bus::durable::markers::Found;
use crate::bus::durable::{Common, limits, markers, streams};

/// Between two beats of a partition that waits in order.
const BEAT: Duration = Duration::from_secs(1);

/// The outcome of one try.
pub(super) enum Attempt {
    /// Everything is stored; the marker, and the revision that stands on its subject.
    Stored(Stored, u64),
    /// The marker at the beginning is stored, and this number of outputs after it; the reason is
    /// that of the rest.
    Part(Stored, usize, String),
    /// Another owner has committed.
    Fenced,
    /// The marker that was written or found is gone.
    Unmarked,
    /// There are only forged markers, which were not there before: whether another owner has
    /// committed is not known.
    Hidden,
    /// Nobody has committed, but a forged marker stands on the genuine one, at this revision.
    Overlaid(u64),
    Failed(String),
}

/// One try; `own` is the revision of the marker that was written or found. Every step of it is
/// bounded, and reported to `beat` when it is done.
pub(super) async fn attempt(common: &Common, wanted: Wanted, own: u64, beat: impl Fn()) -> Attempt {
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
            match markers::left_behind(common, stored.revision, beat).await {
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
        // it is known why, and another look would say the same
        Ok(_) | Err(_) if matches!(error, CommitError::Refused(Refusal::NoRoom(_))) => {
            Attempt::Failed(error.to_string())
        }
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
pub(super) async fn beating<T>(work: impl Future<Output = T>, beat: impl Fn()) -> T {
    let mut ticks = interval(BEAT);
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = ticks.tick() => beat(),
        }
    }
}
