//! Notices that a stream which work depends on is gone.
//!
//! A stream that is gone shows in many ways, or in none: feeds end, commits are not answered,
//! checkpoints fail, or bars of one shape of subject just do not come. So whatever fails only
//! raises a suspicion, and the streams themselves are looked at; that is done from time to time
//! anyway. Two looks have to say the same before everything is given up and found again or recreated.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::bus::durable::Common;
use crate::bus::durable::streams::{self, SetupError, StreamDependency};
use crate::ops::metrics::Metrics;

/// Between two looks while nothing is wrong.
const LOOK: Duration = Duration::from_secs(5);
/// The shortest pause between two looks, whatever fails.
const SOON: Duration = Duration::from_millis(250);
/// Looks in a row that miss something.
const LOOKS: u32 = 2;

/// The result of a look: the stream that is gone, if any.
type Look = Result<Option<String>, SetupError>;

/// The result of the looks so far.
#[derive(Debug, Default)]
struct Looks {
    /// In a row, that missed something.
    missed: u32,
    lost: Option<String>,
}

impl Looks {
    /// Takes in a look that ended while connected, or not.
    fn note(&mut self, looked: Look, connected: bool) {
        let missing = match looked {
            Ok(missing) => missing,
            Err(error @ (SetupError::NoJetStream(_) | SetupError::NotForAccount(_))) => {
                Some(error.to_string())
            }
            Err(error) => {
                tracing::debug!(%error, "cannot read the state of the streams");
                return;
            }
        };
        match missing {
            Some(reason) if connected => {
                self.missed += 1;
                if self.missed >= LOOKS {
                    self.lost = Some(reason);
                }
            }
            _ => self.missed = 0,
        }
    }
}

pub(super) struct StreamMonitor {
    common: Arc<Common>,
    looks: Looks,
    looked_at: Instant,
    /// The look that is under way, if any.
    under_way: JoinSet<Look>,
}

impl StreamMonitor {
    pub fn new(common: &Arc<Common>) -> Self {
        Self {
            common: Arc::clone(common),
            looks: Looks::default(),
            looked_at: Instant::now(),
            under_way: JoinSet::new(),
        }
    }

    /// The stream that is gone, or why this member gives way.
    pub fn lost(&self) -> Option<&str> {
        self.looks.lost.as_deref()
    }

    /// Ends work here, because another member works in a way that does not go with it.
    pub fn give_way(&mut self, reason: String) {
        self.looks.lost = Some(reason);
    }

    /// Looks at the streams when it is time to, or something has failed.
    pub fn probe(&mut self) {
        let common = &self.common;
        let suspected = self.looks.missed > 0 || common.streams_suspected.load(Ordering::Relaxed);
        let due = if suspected { SOON } else { LOOK };
        let early = self.looked_at.elapsed() < due;
        if !self.under_way.is_empty() || early || !common.link.is_connected() {
            return;
        }
        common.streams_suspected.store(false, Ordering::Relaxed);
        self.looked_at = Instant::now();
        let (js, dependencies) = (common.js.clone(), common.streams.dependencies.clone());
        let api = common.config.nats.jetstream.clone();
        self.under_way.spawn(async move {
            let looked = streams::missing(&js, &dependencies).await;
            looked.map_err(|error| streams::elsewhere(&api, error))
        });
    }

    /// Waits for the look that is under way. May be dropped while it waits.
    pub async fn next(&mut self) {
        match self.under_way.join_next().await {
            Some(Ok(looked)) => self.looks.note(looked, self.common.link.is_connected()),
            Some(Err(_)) => {}
            None => std::future::pending().await,
        }
    }
}

/// Logs the streams that were recreated since `before`, and the loss that this means.
pub(in crate::bus::durable) fn report_lost_streams(
    before: &[StreamDependency],
    now: &[StreamDependency],
    metrics: &Metrics,
) {
    for dependency in now {
        let recreated = |old: &&StreamDependency| {
            old.name == dependency.name && old.origin != dependency.origin
        };
        if before.iter().find(recreated).is_some() {
            metrics.streams_lost.inc();
            tracing::error!(
                stream = dependency.name,
                means = dependency.consequence(),
                "a stream was removed with all that it held, and was recreated"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone() -> Result<Option<String>, SetupError> {
        Ok(Some("the stream S is not there any more".to_owned()))
    }

    #[test]
    fn only_what_two_looks_in_a_row_miss_is_lost() {
        let mut looks = Looks::default();
        looks.note(gone(), true);
        looks.note(Ok(None), true);
        looks.note(gone(), true);
        assert_eq!(looks.lost, None);
        // no answer says nothing
        looks.note(Err(SetupError::Unavailable("busy".to_owned())), true);
        looks.note(gone(), true);
        assert!(looks.lost.unwrap().contains("S is not there"));
    }

    #[test]
    fn what_is_heard_while_the_connection_breaks_does_not_count() {
        let mut looks = Looks::default();
        for _ in 0..5 {
            looks.note(gone(), false);
        }
        assert_eq!(looks.lost, None);
    }

    #[test]
    fn a_server_without_jetstream_holds_nothing() {
        let mut looks = Looks::default();
        for _ in 0..2 {
            looks.note(Err(SetupError::NoJetStream("nobody".to_owned())), true);
        }
        assert!(looks.lost.is_some());
    }
}
