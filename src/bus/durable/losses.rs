//! Acknowledged bars that the stream dropped before they were read: found, counted and reported.
//!
//! A bar that leaves its stream unread has no signal, and nobody else notices. Each partition at
//! work keeps an [`Ledger`] of what it must still read. Where no agent was at work, a [`survey`]
//! at the start finds what is gone.
//!
//! A counted bar was lost for certain, but for a bar that stands for "some, and the stream
//! cannot tell how many". Bars that were read and are dropped later count for nothing.

mod ledger;
mod look;
mod survey;
mod watcher;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Common;
use super::feed::Feed;
use super::streams::StreamDependency;
use crate::ops::health::{Component, Health};
pub(super) use ledger::Loss;
use ledger::{Ledger, Mark};
use look::{Reader, Sent};
use survey::Surveyed;
pub(super) use watcher::Watcher;

/// Health is degraded for this long after the last loss.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);
/// Further losses of a partition are logged together, this often.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// The position of an idle partition is relied on after this time: a server that loses
/// power may take back what it stored in the minutes before.
const SETTLED: Duration = Duration::from_secs(10 * 60);

/// The losses of this process.
#[derive(Debug)]
pub(super) struct Losses {
    component: Component,
    accounts: Mutex<HashMap<u32, Arc<Account>>>,
    /// By stream: how it was found at the start.
    surveyed: Mutex<HashMap<String, Surveyed>>,
    reported: Mutex<Reported>,
}

#[derive(Debug, Default)]
struct Reported {
    /// Bars lost since health was last up, and when the newest were found.
    bars: u64,
    at: Option<Instant>,
    /// By partition: when it was logged, and what is to be logged.
    logged: BTreeMap<u32, (Instant, Option<Loss>)>,
}

/// The account of one partition of this process: bars read, and bars still to be read.
#[derive(Debug)]
pub(super) struct Account {
    /// True if the partition has a stream to itself.
    whole: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ledger: Option<Ledger>,
    reader: Reader,
    /// True if everything that is read again has been read.
    caught_up: bool,
    /// The last sequence of the stream when nothing waited, and when that was.
    idle: Option<(Instant, u64)>,
    /// No bar of the partition up to here is unread.
    settled: u64,
    /// True if that has to be stored before anyone counts the same loss again.
    counted: bool,
}

impl Losses {
    pub fn new(health: &Health) -> Self {
        let component = health.component("retention", false);
        component.up("");
        Self {
            component,
            accounts: Mutex::default(),
            surveyed: Mutex::default(),
            reported: Mutex::default(),
        }
    }

    /// The account of `unit`, which goes on where the partition is loaded again.
    fn account(&self, unit: u32, whole: bool) -> Arc<Account> {
        let mut accounts = lock(&self.accounts);
        let account = accounts.entry(unit).or_insert_with(|| {
            Arc::new(Account {
                whole,
                state: Mutex::default(),
            })
        });
        Arc::clone(account)
    }

    /// The partition is another member's.
    pub fn left(&self, unit: u32) {
        lock(&self.accounts).remove(&unit);
    }
}

impl Account {
    pub fn of(common: &Common, unit: u32) -> Arc<Self> {
        let units = &common.streams.units;
        let stream = &units[unit as usize].stream;
        let whole = units.iter().filter(|one| one.stream == *stream).count() == 1;
        common.losses.account(unit, whole)
    }

    /// A feed was opened that begins after `taken`; everything up to `done` was read.
    pub async fn opened(&self, common: &Common, unit: u32, taken: u64, done: u64, feed: &Feed) {
        let newest = if self.doubts(done, feed) {
            // nothing is counted on a guess where the guess cannot be checked
            let newest = common.newest_position(unit).await;
            newest.unwrap_or(u64::MAX)
        } else {
            0
        };
        self.begin(common, unit, (taken, done, newest), feed);
    }

    /// Returns whether bars of the partition may be gone that nobody has read.
    fn doubts(&self, done: u64, feed: &Feed) -> bool {
        let state = lock(&self.state);
        let known = state
            .ledger
            .as_ref()
            .is_some_and(|of| of.position() >= done);
        !self.whole && !known && done > 0 && feed.pending > 0 && feed.state.first > done + 1
    }

    /// [`Self::opened`], where a member of the group has read up to `newest`.
    fn begin(
        &self,
        common: &Common,
        unit: u32,
        (taken, done, newest): (u64, u64, u64),
        feed: &Feed,
    ) {
        let stream = &common.streams.units[unit as usize].stream;
        let mut state = lock(&self.state);
        state.reader = Reader {
            consumer: feed.name().to_owned(),
            ..Reader::default()
        };
        let first = feed.state.first;
        let known = state
            .ledger
            .as_ref()
            .is_some_and(|of| of.position() >= done);
        let mut losses = Vec::new();
        if !known {
            let surveyed = lock(&common.losses.surveyed).get(stream).cloned();
            let surveyed = surveyed.unwrap_or_default();
            let (ledger, loss) = if done > 0 {
                Ledger::new(
                    self.whole,
                    done,
                    surveyed.known.max(newest),
                    first,
                    feed.pending,
                )
            } else {
                // nothing of it was ever read, so nothing that is gone was to be
                Ledger::new(self.whole, first.saturating_sub(1), 0, first, 0)
            };
            state.ledger = Some(ledger);
            losses.extend(loss);
            if !self.whole {
                losses.extend(surveyed.claim(unit, done));
            }
            if !losses.is_empty() {
                let left = feed.pending > 0;
                let gone = if left {
                    first.saturating_sub(1)
                } else {
                    feed.state.last
                };
                state.settled = state.settled.max(gone);
                state.counted = true;
            }
        }
        if let Some(ledger) = &mut state.ledger {
            let position = ledger.position();
            let mark = ledger.mark();
            let caught_up = taken >= position || first > position;
            if caught_up && mark.waiting == 0 {
                losses.extend(ledger.looked(mark, feed.as_look()));
            }
            state.caught_up = caught_up;
        }
        drop(state);
        for loss in losses {
            common.lost(unit, loss);
        }
    }

    /// The message `seq` was taken in; `pending` more came after it.
    pub fn read(&self, seq: u64, pending: u64) -> Option<Loss> {
        let mut state = lock(&self.state);
        state.reader.taken += 1;
        let ledger = state.ledger.as_mut()?;
        let caught_up = seq >= ledger.position();
        let loss = ledger.read(seq, pending);
        state.caught_up |= caught_up;
        loss
    }

    /// The server has nothing more for the partition, and the stream went up to `last` before.
    /// Returns whether it has said so twice in a row, and what was lost.
    pub fn drained(&self, last: u64) -> (bool, Option<Loss>) {
        let mut state = lock(&self.state);
        match state.idle {
            Some((since, seq)) if since.elapsed() >= SETTLED => {
                state.settled = state.settled.max(seq);
                state.idle = Some((Instant::now(), last));
            }
            Some(_) => {}
            None => state.idle = Some((Instant::now(), last)),
        }
        let Some(ledger) = &mut state.ledger else {
            return (false, None);
        };
        (ledger.is_idle(), ledger.drained(last))
    }

    /// No bar of the partition up to this sequence is unread, and whether that should be stored at
    /// once.
    pub fn settled(&self) -> (u64, bool) {
        let state = lock(&self.state);
        (state.settled, state.counted)
    }

    /// The settled position is stored.
    pub fn stored(&self) {
        lock(&self.state).counted = false;
    }

    /// The server was at `sent`, if it is still this consumer that is read from.
    fn sent(&self, consumer: &str, sent: Sent) {
        let mut state = lock(&self.state);
        if state.reader.consumer == consumer {
            state.reader.sent = Some(sent.after(state.reader.sent));
        }
    }

    /// The start of a look; `None` while bars are read again.
    fn mark(&self) -> Option<(Mark, Reader)> {
        let state = lock(&self.state);
        let ledger = state.ledger.as_ref().filter(|_| state.caught_up)?;
        Some((ledger.mark(), state.reader.clone()))
    }
}

impl Common {
    /// The first and the last sequence of the partition's stream, as they were when the streams
    /// were last looked at.
    pub(super) fn range(&self, unit: u32) -> (u64, u64) {
        let stream = &self.streams.units[unit as usize].stream;
        let found = self
            .streams
            .dependencies
            .iter()
            .find(|dependency| dependency.name == *stream);
        found.map(StreamDependency::range).unwrap_or_default()
    }

    /// Bars of the partition are gone: counts and reports them.
    pub(super) fn lost(&self, unit: u32, loss: Loss) {
        self.metrics.bars_lost.inc_by(loss.bars);
        let mut reported = lock(&self.losses.reported);
        let now = Instant::now();
        reported.bars += loss.bars;
        reported.at = Some(now);
        let due = match reported.logged.get_mut(&unit) {
            Some((at, waiting)) if at.elapsed() < LOG_EVERY => {
                *waiting = Some(waiting.map_or(loss, |before| before.and(loss)));
                None
            }
            _ => {
                reported.logged.insert(unit, (now, None));
                Some(loss)
            }
        };
        drop(reported);
        if let Some(loss) = due {
            self.report_loss(unit, loss);
        }
    }

    fn report_loss(&self, unit: u32, loss: Loss) {
        let stream = &self.streams.units[unit as usize].stream;
        let found = self
            .streams
            .dependencies
            .iter()
            .find(|dependency| dependency.name == *stream);
        let limits = found.map(StreamDependency::limits).unwrap_or_default();
        tracing::error!(
            partition = unit,
            bars = loss.bars,
            at_least = loss.guessed,
            after_seq = loss.after,
            before_seq = loss.before,
            "bars were lost: the stream {stream} dropped them unread; its limits: {limits}; they \
             have no signals unless they are published again"
        );
    }

    /// Reports what was held back, and how retention stands.
    pub(super) fn report_retention(&self) {
        let mut due = Vec::new();
        let mut reported = lock(&self.losses.reported);
        for (unit, (at, waiting)) in &mut reported.logged {
            if at.elapsed() >= LOG_EVERY
                && let Some(loss) = waiting.take()
            {
                *at = Instant::now();
                due.push((*unit, loss));
            }
        }
        let lately = reported.at.is_some_and(|at| at.elapsed() < REMEMBERED);
        if !lately {
            reported.bars = 0;
        }
        let bars = reported.bars;
        drop(reported);
        for (unit, loss) in due {
            self.report_loss(unit, loss);
        }
        let mut problems = Vec::new();
        if bars > 0 {
            problems.push(format!(
                "{bars} bars were lost recently: their stream dropped them unread"
            ));
        }
        if self.config.durable.bars_per_series.is_none() {
            problems.extend(
                self.streams
                    .dependencies
                    .iter()
                    .filter_map(StreamDependency::bound_to_lift),
            );
        }
        if problems.is_empty() {
            self.losses.component.up("");
        } else {
            self.losses.component.degraded(problems.join("; "));
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    // each change is whole before anything can panic
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
