//! Noticing that what work rests on is not there any more.
//!
//! A stream that is gone shows in many ways, or in none: feeds end, commits are not answered,
//! checkpoints fail, or bars of one shape of subject just do not come. So whatever fails only
//! raises a suspicion, and the streams themselves are looked at; that is done from time to time
//! anyway. Two looks have to say the same before everything is given up and found or made anew.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Coordinator, Done};
use crate::bus::durable::streams::{self, Rest, SetupError};
use crate::ops::metrics::Metrics;

/// Between two looks while nothing is wrong.
const LOOK: Duration = Duration::from_secs(5);
/// And at least, whatever fails.
const SOON: Duration = Duration::from_millis(250);
/// Looks in a row that miss something.
const LOOKS: u32 = 2;

/// What is known of the streams that work rests on.
#[derive(Debug)]
pub(super) struct StreamMonitor {
    looking: bool,
    looked_at: Instant,
    missed: u32,
    lost: Option<String>,
}

impl Default for StreamMonitor {
    fn default() -> Self {
        Self {
            looking: false,
            looked_at: Instant::now(),
            missed: 0,
            lost: None,
        }
    }
}

impl StreamMonitor {
    /// What a look has shown at `connected`.
    fn note(&mut self, looked: Result<Option<String>, SetupError>, connected: bool) {
        self.looking = false;
        let missing = match looked {
            Ok(missing) => missing,
            Err(error @ (SetupError::NoJetStream(_) | SetupError::NotForAccount(_))) => {
                Some(error.to_string())
            }
            Err(error) => {
                tracing::debug!(%error, "the streams cannot be looked at");
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

impl Coordinator {
    /// What work rests on and is not there any more.
    pub(in crate::bus::durable) fn lost(&self) -> Option<&str> {
        self.stream_monitor.lost.as_deref()
    }

    /// Ends work here, because another member works in a way that does not go with it.
    pub(super) fn give_way(&mut self, reason: String) {
        self.stream_monitor.lost = Some(reason);
    }

    /// Looks at the streams when it is time to, or something has failed.
    pub(super) fn look_at_streams(&mut self) {
        let since = self.stream_monitor.looked_at.elapsed();
        let suspected =
            self.stream_monitor.missed > 0 || self.common.streams_suspected.load(Ordering::Relaxed);
        let due = if suspected { SOON } else { LOOK };
        if self.stream_monitor.looking || since < due || !self.common.link.is_connected() {
            return;
        }
        self.common
            .streams_suspected
            .store(false, Ordering::Relaxed);
        self.stream_monitor.looking = true;
        self.stream_monitor.looked_at = Instant::now();
        let (js, rests) = (self.common.js.clone(), self.common.streams.rests.clone());
        let api = self.common.config.nats.jetstream.clone();
        self.begun.spawn(async move {
            let looked = streams::missing(&js, &rests).await;
            Done::Looked(looked.map_err(|error| streams::elsewhere(&api, error)))
        });
    }

    pub(super) fn on_looked(&mut self, looked: Result<Option<String>, SetupError>) {
        self.stream_monitor
            .note(looked, self.common.link.is_connected());
    }
}

/// Says what was removed since `before` and is there anew, and what that means.
pub(in crate::bus::durable) fn report_lost_streams(
    before: &[Rest],
    now: &[Rest],
    metrics: &Metrics,
) {
    for rest in now {
        let made_anew = |old: &&Rest| old.name == rest.name && old.origin != rest.origin;
        if before.iter().find(made_anew).is_some() {
            metrics.streams_lost.inc();
            tracing::error!(
                stream = rest.name,
                means = rest.loss(),
                "a stream was removed with all that it held, and is there anew"
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
        let mut monitor = StreamMonitor::default();
        monitor.note(gone(), true);
        monitor.note(Ok(None), true);
        monitor.note(gone(), true);
        assert_eq!(monitor.lost, None);
        // no answer says nothing
        monitor.note(Err(SetupError::Unavailable("busy".to_owned())), true);
        monitor.note(gone(), true);
        assert!(monitor.lost.unwrap().contains("S is not there"));
    }

    #[test]
    fn what_is_heard_while_the_connection_breaks_does_not_count() {
        let mut monitor = StreamMonitor::default();
        for _ in 0..5 {
            monitor.note(gone(), false);
        }
        assert_eq!(monitor.lost, None);
    }

    #[test]
    fn a_server_without_jetstream_holds_nothing() {
        let mut monitor = StreamMonitor::default();
        for _ in 0..2 {
            monitor.note(Err(SetupError::NoJetStream("nobody".to_owned())), true);
        }
        assert!(monitor.lost.is_some());
    }
}
