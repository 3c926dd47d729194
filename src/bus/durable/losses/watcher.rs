//! Watches what happens in the stream to the bars that a partition has yet to read.
//!
//! A partition whose signals cannot be stored reads nothing and hears nothing of its stream. So the
//! stream is asked, while bars wait: how many there are, which is the lag, and how many are gone.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{Account, lock, look};
use crate::bus::durable::Common;
use crate::bus::durable::gauges::{Gauges, Phase};
use crate::bus::durable::stream_state::Look;

const TICK: Duration = Duration::from_secs(1);
/// The longest pause between two looks while nothing is read.
const BLOCKED: Duration = Duration::from_secs(5);
/// The longest pause between two looks while bars are read and more wait.
const READING: Duration = Duration::from_secs(30);

/// The task that watches; it ends when this is dropped.
#[derive(Debug)]
pub(in crate::bus::durable) struct Watcher(JoinHandle<()>);

impl Watcher {
    pub fn start(
        common: Arc<Common>,
        unit: u32,
        gauges: Arc<Gauges>,
        account: Arc<Account>,
    ) -> Self {
        Self(tokio::spawn(async move {
            watch(&common, unit, &gauges, &account).await;
        }))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn watch(common: &Common, unit: u32, gauges: &Gauges, account: &Account) {
    let mut pause = TICK;
    let mut looked = Instant::now();
    loop {
        sleep(TICK).await;
        let blocked =
            gauges.phase() == Phase::Blocked || gauges.inflight.load(Ordering::Relaxed) > 0;
        if !blocked && gauges.lag.load(Ordering::Relaxed) == 0 {
            pause = TICK;
            looked = Instant::now();
            continue;
        }
        if looked.elapsed() < pause || !common.link.is_connected() {
            continue;
        }
        let mut turnover = false;
        let place = &common.streams.units[unit as usize];
        if let Some((mark, reader)) = account.mark() {
            let look = look::look(common, place, account, mark, &reader);
            match common.link.unless_lost(look).await {
                Some(Ok(look)) => {
                    // a stream that is renewed as fast as that, or that drops bars already, may
                    // lose more between two looks than can be counted
                    turnover = look.arrived > look.held / 4;
                    turnover |= apply(common, unit, gauges, account, (mark, reader, look));
                }
                Some(Err(reason)) => tracing::debug!(unit, reason, "lag is not known"),
                None => {}
            }
        }
        pause = if blocked && turnover {
            TICK
        } else {
            (pause * 2).min(if blocked { BLOCKED } else { READING })
        };
        looked = Instant::now();
    }
}

/// Returns whether bars were lost.
fn apply(
    common: &Common,
    unit: u32,
    gauges: &Gauges,
    account: &Account,
    (mark, reader, look): (super::Mark, super::Reader, Look),
) -> bool {
    let mut state = lock(&account.state);
    // counts of a consumer that is read from no more say nothing
    if state.reader.consumer != reader.consumer {
        return false;
    }
    let silent = state.reader.taken == reader.taken;
    let Some(ledger) = &mut state.ledger else {
        return false;
    };
    let loss = ledger.looked(mark, look);
    let behind = ledger.behind();
    drop(state);
    if silent {
        gauges.lag.store(behind, Ordering::Relaxed);
    }
    if let Some(loss) = loss {
        common.lost(unit, loss);
    }
    loss.is_some()
}
