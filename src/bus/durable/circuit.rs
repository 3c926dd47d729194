//! The circuit breaker of commits, shared by all partitions of a process.
//!
//! A partition whose commit fails opens the circuit. While it is open one partition at a time tries
//! again, in turn, and the first that succeeds lets all others try at once: a stream that is full
//! is not asked by thirty partitions every second, and one partition that alone cannot go on holds
//! up none of the others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use crate::bus::backoff::backoff;

/// Between two tries at most.
const LONGEST: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Circuit {
    state: Mutex<State>,
    /// Turns over whenever something is stored after a failure.
    stored: watch::Sender<u64>,
    probe: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    failing: usize,
    since: Option<Instant>,
    reason: String,
}

/// The reason why signals cannot be stored, while that lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    /// Partitions whose commits fail.
    pub partitions: usize,
    pub reason: String,
    pub since: Instant,
}

/// A partition whose commit has failed, until it succeeds or nobody works on it any more.
#[derive(Debug)]
pub(super) struct Failing {
    circuit: Arc<Circuit>,
    attempt: usize,
}

impl Circuit {
    /// The reason why signals cannot be stored; `None` while they can.
    pub fn open(&self) -> Option<Open> {
        let state = self.lock();
        let since = state.since?;
        Some(Open {
            partitions: state.failing,
            reason: state.reason.clone(),
            since,
        })
    }

    /// A partition's commit has failed for the first time.
    pub fn fail(self: &Arc<Self>) -> Failing {
        self.lock().failing += 1;
        Failing {
            circuit: Arc::clone(self),
            attempt: 0,
        }
    }

    fn note(&self, reason: &str) {
        let mut state = self.lock();
        if state.since.is_none() {
            state.since = Some(Instant::now());
            tracing::warn!(
                reason,
                "signals cannot be stored; reading no further bars, and trying again"
            );
        }
        reason.clone_into(&mut state.reason);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // counts and texts are replaced whole
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failing {
    /// Another try has failed, or the first.
    pub fn again(&mut self, reason: &str) {
        self.attempt += 1;
        self.circuit.note(reason);
    }

    /// Returns when it is time to try again; what it returns is held during the try.
    pub async fn turn(&self) -> impl Drop + use<'_> {
        let mut stored = self.circuit.stored.subscribe();
        let next = async {
            let turn = self.circuit.probe.lock().await;
            sleep(backoff(self.attempt.max(1)).min(LONGEST)).await;
            turn
        };
        tokio::select! {
            turn = next => Turn(Some(turn)),
            // somebody else's try was stored
            _ = stored.changed() => Turn(None),
        }
    }

    /// It is stored.
    pub fn stored(self) {
        self.circuit.stored.send_modify(|times| *times += 1);
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        let mut state = self.circuit.lock();
        state.failing -= 1;
        if state.failing == 0
            && let Some(since) = state.since.take()
        {
            tracing::info!(
                after_s = since.elapsed().as_secs_f64(),
                "every partition stores its signals again"
            );
        }
    }
}

struct Turn<'a>(Option<tokio::sync::MutexGuard<'a, ()>>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test(start_paused = true)]
    async fn one_tries_at_a_time_and_a_success_lets_all_try() {
        let circuit = Arc::new(Circuit::default());
        assert_eq!(circuit.open(), None);
        let failing = |reason| {
            let mut failing = circuit.fail();
            failing.again(reason);
            failing
        };
        let (first, second, third) = (failing("full"), failing("full"), failing("still full"));
        let open = circuit.open().unwrap();
        assert_eq!((open.partitions, open.reason.as_str()), (3, "still full"));

        let turn = first.turn().await;
        let mut others = Box::pin(async { (second.turn().await, third.turn().await) });
        sleep(Duration::from_secs(60)).await;
        assert!((&mut others).now_or_never().is_none(), "two tried at once");
        drop(others);
        // that one's try failed: the next has its turn
        drop(turn);
        let next = second.turn().await;
        drop(next);

        let waiting = tokio::spawn(async move {
            drop(third.turn().await);
            third.stored();
        });
        tokio::task::yield_now().await;
        first.stored();
        tokio::time::timeout(Duration::from_millis(1), waiting)
            .await
            .expect("a success elsewhere ends the wait")
            .unwrap();
        assert_eq!(circuit.open().unwrap().partitions, 1);
        drop(second);
        assert_eq!(circuit.open(), None, "given up is not in the way any more");
    }
}
