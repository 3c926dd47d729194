//! Copies of state between this member and others: those it gives, and the one it takes.
//!
//! [`super::copy`] cuts a copy into parts and counts them; here the parts are sent and put into the
//! engine.

use std::collections::VecDeque;
use std::time::Instant;

use super::copy::{Came, CopyFault, Giving, Next, Taking};
use super::messenger::Messenger;
use super::resume::Resume;
use crate::bus::intake::Intake;
use crate::engine::{Engine, SeriesId};
use crate::group::{Direct, MemberId, Slot, SlotSet};

/// State on its way to a member that does not count it.
struct Copying {
    to: MemberId,
    slots: SlotSet,
    series: VecDeque<SeriesId>,
}

/// The copies on their way.
#[derive(Default)]
pub(super) struct Copies {
    /// To members of a former version, which do not count them.
    copying: VecDeque<Copying>,
    giving: Vec<Giving>,
    taking: Option<Taking>,
    /// Copies asked for so far.
    asked: u64,
    /// The reason why the last copy failed, until one succeeds.
    fault: Option<String>,
    copied: Resume,
}

impl Copies {
    /// Returns whether there is state to be sent to others now.
    pub fn is_copying(&self) -> bool {
        !self.copying.is_empty() || self.giving.iter().any(Giving::is_open)
    }

    /// The reason why the last copy failed, until one succeeds.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Notes the series that were copied from other members.
    pub fn take_copied(&mut self) -> Option<Resume> {
        let copied = std::mem::take(&mut self.copied);
        (!copied.is_empty()).then_some(copied)
    }

    /// Asks for the state of `slots`.
    pub async fn request(
        &mut self,
        messenger: &Messenger,
        to: &MemberId,
        slots: SlotSet,
        counted: bool,
    ) {
        let from = messenger.me.clone();
        if !counted {
            tracing::info!(member = %to, "copying state from a member of an older version, which cannot count what it sends");
            self.taking = None;
            return messenger
                .send(to, &Direct::SyncRequest { from, slots })
                .await;
        }
        self.asked += 1;
        let copy = self.asked;
        self.taking = Some(Taking::new(to.clone(), copy, slots));
        messenger
            .send(to, &Direct::CopyRequest { from, copy, slots })
            .await;
    }

    /// Begins to send the state of `slots` to `to`, which does not count it.
    pub fn begin_uncounted(&mut self, intake: &Intake, to: MemberId, slots: SlotSet) {
        let in_slots = intake.engine().iter().filter(|(_, series)| {
            slots.contains(Slot::of(series.key().symbol.as_str().as_bytes()))
        });
        let series = in_slots.map(|(id, _)| id).collect();
        self.copying.push_back(Copying { to, slots, series });
    }

    /// Begins to send the state of `slots` to `to`; this replaces its earlier request.
    pub fn begin(&mut self, intake: &Intake, to: MemberId, copy: u64, slots: SlotSet) {
        self.giving.retain(|giving| giving.to != to);
        let now = Instant::now();
        let giving = Giving::new(intake.engine(), to, copy, slots, now);
        self.giving.push(giving);
    }

    /// Notes that `from` has taken this number of parts of its copy.
    pub fn on_taken(&mut self, from: &MemberId, copy: u64, parts: u32) {
        let mut giving = self.giving.iter_mut();
        if let Some(giving) = giving.find(|giving| giving.to == *from && giving.copy == copy) {
            giving.on_taken(parts, Instant::now());
        }
    }

    /// Sends the next part of each copy that has room for it.
    pub async fn send(&mut self, messenger: &Messenger, intake: &Intake) {
        self.send_uncounted(messenger, intake).await;
        if self.giving.is_empty() {
            return;
        }
        let (now, room, from) = (Instant::now(), messenger.room(), messenger.me.clone());
        let mut next = Vec::new();
        self.giving.retain_mut(|giving| {
            if giving.is_given_up(now) {
                tracing::warn!(member = %giving.to, "a member stopped receiving the state it asked for; giving up the copy");
                return false;
            }
            if !giving.is_open() {
                return true;
            }
            let (from, copy) = (from.clone(), giving.copy);
            let (message, more) = match giving.next(intake.engine(), room) {
                Next::Part { part, bytes } => {
                    let part = Direct::CopyPart {
                        from,
                        copy,
                        part,
                        bytes,
                    };
                    (part, true)
                }
                Next::End { parts } => (Direct::CopyEnd { from, copy, parts }, false),
            };
            next.push((giving.to.clone(), message));
            more
        });
        for (to, message) in next {
            messenger.send(&to, &message).await;
        }
    }

    /// Sends the next part of what is copied to a member that does not count it.
    async fn send_uncounted(&mut self, messenger: &Messenger, intake: &Intake) {
        let room = messenger.room();
        let Some(copying) = self.copying.front_mut() else {
            return;
        };
        let mut series = Vec::new();
        let mut bytes = 0;
        while let Some(id) = copying.series.pop_front() {
            let Some(snapshot) = intake.engine().snapshot(id) else {
                continue;
            };
            match postcard::to_stdvec(&snapshot) {
                Ok(state) if bytes + state.len() > room && !series.is_empty() => {
                    copying.series.push_front(id);
                    break;
                }
                Ok(state) => {
                    bytes += state.len();
                    series.push(state);
                }
                Err(error) => tracing::error!(%error, "state of a series cannot be written"),
            }
        }
        let (to, slots, done) = (copying.to.clone(), copying.slots, copying.series.is_empty());
        if done {
            self.copying.pop_front();
        }
        let from = messenger.me.clone();
        if !series.is_empty() {
            let state = Direct::State {
                from: from.clone(),
                series,
            };
            messenger.send(&to, &state).await;
        }
        if done {
            messenger.send(&to, &Direct::Synced { from, slots }).await;
        }
    }

    /// Takes a part of the copy that was asked for. Returns the slots that are complete now, or
    /// why the copy is of no use; nothing when the part is of another copy.
    pub fn take_part(
        &mut self,
        intake: &mut Intake,
        from: &MemberId,
        copy: u64,
        part: u32,
        bytes: &[u8],
    ) -> Option<Result<Taken, CopyFault>> {
        let copied = &mut self.copied;
        let taking = self.taking.as_mut();
        let taking = taking.filter(|taking| taking.from == *from && taking.copy == copy)?;
        let slots = taking.on_part(part, bytes, |came| keep(intake.engine_mut(), copied, came));
        let parts = taking.parts();
        Some(slots.map(|slots| Taken { slots, parts }))
    }

    /// Compares the end of a copy with what came. As [`Self::take_part`].
    pub fn end(&mut self, from: &MemberId, copy: u64, parts: u32) -> Option<Result<(), CopyFault>> {
        let of_copy = |taking: &mut Taking| taking.from == *from && taking.copy == copy;
        let taking = self.taking.take_if(of_copy)?;
        let ended = taking.on_end(parts);
        if ended.is_ok() {
            self.fault = None;
        }
        Some(ended)
    }

    /// The copy from `from` failed, and will be asked for again.
    pub fn failed(&mut self, from: &MemberId, fault: &CopyFault) {
        tracing::warn!(member = %from, %fault, "the state of a member was not copied whole; requesting it again");
        self.taking = None;
        self.fault = Some(fault.to_string());
    }

    /// Takes in state that nobody counted.
    pub fn take_uncounted(
        &mut self,
        intake: &mut Intake,
        series: &[Vec<u8>],
    ) -> Result<(), CopyFault> {
        for state in series {
            let snapshot = postcard::from_bytes(state);
            let snapshot = snapshot.map_err(|_| CopyFault::Damaged { part: 0 })?;
            let came = Came::Series(Box::new(snapshot));
            keep(intake.engine_mut(), &mut self.copied, came)?;
        }
        Ok(())
    }

    /// Gives every copy up.
    pub fn restart(&mut self) {
        self.copied = Resume::default();
        self.copying.clear();
        self.giving.clear();
        self.taking = None;
    }
}

/// The content of one part of a copy.
pub(super) struct Taken {
    /// Slots that are complete now.
    pub slots: SlotSet,
    /// Parts taken so far.
    pub parts: u32,
}

fn keep(engine: &mut Engine, copied: &mut Resume, came: Came) -> Result<(), CopyFault> {
    let (key, kept) = match came {
        Came::Series(snapshot) => {
            let key = snapshot.series().key().clone();
            let newest = snapshot.series().ring().newest();
            let epoch = snapshot.epoch();
            let trades = snapshot.series().trades().cloned();
            let kept = engine.restore(*snapshot);
            if kept.is_ok() && engine.config().builds(key.timeframe) {
                copied.copied_trades(key.clone(), trades);
            }
            if let Ok(id) = kept
                && (newest.is_some() || epoch != 0)
            {
                let series = engine.get(id);
                let oldest = series.and_then(|series| series.correctable_since(engine.config()));
                copied.copied(key.clone(), newest, oldest, epoch);
            }
            (key, kept.map(drop))
        }
        Came::History(history) => {
            let key = history.key().clone();
            let (id, parts) = (history.id().to_owned(), history.parts());
            let kept = engine.restore_history(*history);
            if kept.is_ok() {
                copied.copied_history(key.clone(), id, parts);
            }
            (key, kept)
        }
    };
    kept.map_err(|error| CopyFault::Unusable {
        series: key.to_string(),
        error,
    })
}
