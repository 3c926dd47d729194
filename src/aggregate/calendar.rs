//! The calendar that buckets follow: the midnights of a zone, and the session of a market.
//!
//! Without a session, buckets are those of [`Bucket::of`]. With one, bars outside of it belong to no
//! bucket. Below a day, buckets are anchored at the open and the last is cut at the close. A day, a
//! week or a month begins with its first session and ends with its last. The minute after a close
//! belongs to the last bucket of its session, as it brings the result of the closing auction.
//!
//! Bars of a day or more are not cut by a session.

use std::fmt;

use super::bucket::{Bucket, is_below_a_day};
use crate::market::{Hours, Session, Timeframe, Timestamp, Zone};

/// A zone, at whose midnights days, weeks and months begin, and a session, if there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Calendar {
    zone: Zone,
    session: Option<Session>,
}

impl Calendar {
    /// The days of universal time.
    pub const UTC: Self = Self::of_days(Zone::UTC);

    /// The days of a zone.
    #[must_use]
    pub const fn of_days(zone: Zone) -> Self {
        Self {
            zone,
            session: None,
        }
    }

    /// The same days, cut by a session.
    #[must_use]
    pub fn with_session(mut self, session: Option<Session>) -> Self {
        self.session = session;
        self
    }

    /// The zone of its midnights.
    #[must_use]
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The session that cuts bars of `part`.
    fn session(&self, part: Timeframe) -> Option<&Session> {
        self.session.as_ref().filter(|_| is_below_a_day(part))
    }

    /// The bucket of `timeframe` around `at`, for bars of `part`. `None` for a timeframe that is not
    /// derived, outside the range of a [`Timestamp`], and outside of every session.
    #[must_use]
    pub fn bucket(&self, timeframe: Timeframe, part: Timeframe, at: Timestamp) -> Option<Bucket> {
        let Some(session) = self.session(part) else {
            return Bucket::of(timeframe, &self.zone, at);
        };
        let hours = session.of(at)?;
        let bucket = if is_below_a_day(timeframe) {
            below_a_day(timeframe, &hours, at)?
        } else {
            let days = Bucket::of(timeframe, &self.zone, hours.open)?;
            let mut sessions = sessions(session, &days);
            let first = sessions.next()?;
            let last = sessions.last().unwrap_or(first);
            Bucket {
                open: first.open,
                end: last.end(),
            }
        };
        bucket.contains(at).then_some(bucket)
    }

    /// The number of bars of `part` that fill a bucket of `timeframe`, without those of auctions;
    /// `None` if they do not fill it evenly.
    #[must_use]
    pub fn expected(&self, timeframe: Timeframe, part: Timeframe, bucket: &Bucket) -> Option<u64> {
        let Some(session) = self.session(part) else {
            return bucket.expected(part, &self.zone);
        };
        let fill = |nanos: i64| {
            let whole = nanos % part.nanos() == 0;
            u64::try_from(nanos / part.nanos()).ok().filter(|_| whole)
        };
        if is_below_a_day(timeframe) {
            let close = session.of(bucket.open)?.close.min(bucket.end);
            return fill(close.nanos() - bucket.open.nanos());
        }
        sessions(session, bucket).try_fold(0_u64, |sum, hours| {
            Some(sum.saturating_add(fill(hours.nanos())?))
        })
    }

    /// The number of bars of `part` that the auctions of a bucket add to [`Self::expected`].
    #[must_use]
    pub fn auction_parts(&self, timeframe: Timeframe, part: Timeframe, bucket: &Bucket) -> u64 {
        let Some(session) = self.session(part) else {
            return 0;
        };
        let sessions = if is_below_a_day(timeframe) {
            let hours = session.of(bucket.open);
            usize::from(hours.is_some_and(|hours| hours.end() == bucket.end))
        } else {
            sessions(session, bucket).count()
        };
        Hours::auction_bars(part.nanos()).saturating_mul(sessions as u64)
    }

    /// True if a bar of `part` that opens at `open` is outside of every session. A bar that lies
    /// partly in one is not.
    #[must_use]
    pub fn is_outside(&self, part: Timeframe, open: Timestamp) -> bool {
        let Some(session) = self.session(part) else {
            return false;
        };
        let end = open.after(part.nanos());
        let apart = |hours: &Hours| {
            let is_auction = open >= hours.close && end <= hours.end();
            !is_auction && (end <= hours.open || open >= hours.close)
        };
        [open, end]
            .iter()
            .all(|at| session.of(*at).as_ref().is_none_or(apart))
    }

    /// The timestamp of a bar of `timeframe` whose bucket opens at `open`. For a day it is midnight,
    /// not the open of its session.
    #[must_use]
    pub fn label(&self, timeframe: Timeframe, open: Timestamp) -> Timestamp {
        if self.session.is_none() || is_below_a_day(timeframe) {
            return open;
        }
        Bucket::of(timeframe, &self.zone, open).map_or(open, |days| days.open)
    }

    /// The number of bars between two that were derived, of which the earlier opened at `before`.
    /// Sessions without a bar are not counted: the market was closed.
    #[must_use]
    pub fn bars_between(&self, timeframe: Timeframe, before: Timestamp, at: Timestamp) -> u64 {
        let hours = self
            .session(timeframe)
            .and_then(|session| Some((session.of(before)?, session.of(at)?)));
        let Some((of_before, of_at)) = hours else {
            return timeframe.bars_between(before, at);
        };
        let place = |hours: &Hours, at: Timestamp| {
            at.nanos().saturating_sub(hours.open.nanos()).max(0) / timeframe.nanos()
        };
        let last = place(&of_before, of_before.close.after(-1));
        let between = if of_before == of_at {
            place(&of_at, at) - place(&of_before, before) - 1
        } else {
            last.saturating_sub(place(&of_before, before)) + place(&of_at, at)
        };
        u64::try_from(between).unwrap_or(0)
    }
}

/// The bucket of a session that contains `at`, or the last one if `at` is later.
fn below_a_day(timeframe: Timeframe, hours: &Hours, at: Timestamp) -> Option<Bucket> {
    let inside = at.min(hours.close.after(-1));
    let since = inside.nanos().checked_sub(hours.open.nanos())?;
    let open = hours
        .open
        .after(since - since.rem_euclid(timeframe.nanos()));
    let end = open.after(timeframe.nanos());
    (since >= 0).then_some(Bucket {
        open,
        end: if end < hours.close { end } else { hours.end() },
    })
}

/// The sessions that open within some days, in order.
fn sessions(session: &Session, days: &Bucket) -> impl Iterator<Item = Hours> {
    // the first moment of the days may be of the day before in the zone of the session
    let each = (0..).map(|day| session.days_after(days.open, day));
    let (open, end) = (days.open, days.end);
    // months have 31 days, and a session may be left out where clocks jump over it
    each.take(33)
        .flatten()
        .take_while(move |hours| hours.open < end)
        .filter(move |hours| hours.open >= open)
}

impl From<Zone> for Calendar {
    fn from(zone: Zone) -> Self {
        Self::of_days(zone)
    }
}

impl fmt::Debug for Calendar {
    /// Without a session it is the name of the zone, as it was before there were sessions:
    /// fingerprints of configurations are made of this text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.session {
            None => fmt::Debug::fmt(&self.zone, f),
            Some(session) => write!(f, "{:?} of {session}", self.zone),
        }
    }
}

#[cfg(test)]
mod tests;
