//! Decides, as a pure function, which members of a group would publish the same signals.
//!
//! Members divide the symbols only among those that deliver in the same way, from the same streams.
//! Two that differ both own everything, and every signal comes twice. So each member announces how
//! it delivers, and one that would publish beside another waits:
//!
//! - A newcomer waits for a member at work that differs from it.
//! - Of two at work that have just found each other, core delivery gives way to durable delivery,
//!   which stores what it misses meanwhile; of two durable members the one that began later does.
//! - A newcomer in core delivery also waits for durable members that are about to begin, unless its
//!   group works in core delivery already, which they wait for.
//!
//! Must not know: NATS, clocks, the configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::MemberId;

/// Time after which a silent member is gone.
pub const SILENCE: Duration = Duration::from_millis(3_500);
/// Members remembered at most.
const MAX_MEMBERS: usize = 1_024;

/// The place from which a durable member gets bars, and where it shares partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// The identity of the table of members and leases; `None` before there is one.
    pub table: Option<String>,
    /// The stream of signals, after which the table is named.
    pub signals_stream: String,
    /// The stream of bars.
    pub bars_stream: String,
    /// The stream that bars are taken from, if one is named.
    pub input_stream: Option<String>,
    /// Market-data subjects, sorted.
    pub subjects: Vec<String>,
    /// The `JetStream` domain, where it is known.
    pub domain: Option<String>,
}

/// The delivery of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Plain NATS.
    Core,
    /// `JetStream`, with these streams.
    Durable(Home),
}

/// A member's announcement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Version of the format.
    pub version: u32,
    /// The announcing member.
    pub id: MemberId,
    /// The agent's name, for people.
    pub agent: String,
    /// Its delivery.
    pub way: Way,
    /// The time it has been at work, in milliseconds; `None` while it waits or begins.
    pub at_work_ms: Option<u64>,
    /// Asks the others to announce themselves at once.
    pub hello: bool,
    /// Says farewell.
    pub gone: bool,
}

#[derive(Debug)]
struct Heard {
    said: Announcement,
    at: Duration,
}

/// The announcements that one member has heard. Times are durations since any fixed moment.
#[derive(Debug, Default)]
pub struct Census {
    others: BTreeMap<MemberId, Heard>,
}

impl Census {
    /// Takes in what another member announced.
    pub fn record(&mut self, now: Duration, said: Announcement) {
        self.forget_silent(now);
        if said.gone {
            self.others.remove(&said.id);
        } else if self.others.contains_key(&said.id) || self.others.len() < MAX_MEMBERS {
            self.others.insert(said.id.clone(), Heard { said, at: now });
        }
    }

    /// Says why `me` must not work now, and what to do about it.
    pub fn objection(&mut self, now: Duration, me: &Announcement) -> Option<String> {
        self.forget_silent(now);
        let others = || self.others.values().map(|heard| &heard.said);
        let core_works = others().any(|o| o.way == Way::Core && o.at_work_ms.is_some());
        others().find_map(|other| match (&me.way, &other.way) {
            (Way::Core, Way::Core) => None,
            (Way::Core, Way::Durable(home)) => {
                let gives_way = match me.at_work_ms {
                    Some(_) => other.at_work_ms.is_some(),
                    None => other.at_work_ms.is_some() || !core_works,
                };
                gives_way.then(|| beside_durable(&other.agent, home))
            }
            (Way::Durable(_), Way::Core) => (me.at_work_ms.is_none() && other.at_work_ms.is_some())
                .then(|| beside_core(&other.agent)),
            (Way::Durable(mine), Way::Durable(theirs)) => {
                let difference = difference(mine, theirs)?;
                let gives_way = match (me.at_work_ms, other.at_work_ms) {
                    (_, None) => false,
                    (None, Some(_)) => true,
                    (Some(mine), Some(theirs)) => (mine, &other.id) < (theirs, &me.id),
                };
                gives_way.then(|| beside_others(&other.agent, &difference))
            }
        })
    }

    fn forget_silent(&mut self, now: Duration) {
        self.others
            .retain(|_, heard| now.saturating_sub(heard.at) < SILENCE);
    }
}

fn beside_durable(agent: &str, home: &Home) -> String {
    let domain = match &home.domain {
        Some(domain) => format!(
            "; its JetStream has the domain {domain}, which NATS_JETSTREAM_DOMAIN={domain} uses \
             from a leaf node"
        ),
        None => String::new(),
    };
    format!(
        "the member {agent} of this group delivers durably, and a member in core delivery would \
         publish every signal a second time: let this one deliver durably as well \
         (TECHNICAL_DELIVERY=durable, JetStream within its reach{domain}), or stop all members of \
         the group to change its delivery"
    )
}

fn beside_core(agent: &str) -> String {
    format!(
        "the member {agent} of this group works in core delivery, and a durable one would publish \
         every signal a second time: set TECHNICAL_DELIVERY=core here as well, or stop all members \
         of the group to change its delivery"
    )
}

fn beside_others(agent: &str, difference: &str) -> String {
    format!(
        "the member {agent} of this group has {difference}: both would own all partitions, and \
         every signal would come twice; give this member the settings of the others, or stop all \
         members of the group to change them"
    )
}

/// The settings in which two durable members differ.
fn difference(mine: &Home, theirs: &Home) -> Option<String> {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    let mut settings = Vec::new();
    let mut setting = |name: &str, mine: String, theirs: String| {
        if mine != theirs {
            settings.push(format!("{name}={theirs} (here {mine})"));
        }
    };
    setting(
        "TECHNICAL_SIGNALS_STREAM",
        mine.signals_stream.clone(),
        theirs.signals_stream.clone(),
    );
    setting(
        "TECHNICAL_BARS_STREAM",
        mine.bars_stream.clone(),
        theirs.bars_stream.clone(),
    );
    setting(
        "TECHNICAL_INPUT_STREAM",
        shown(&mine.input_stream),
        shown(&theirs.input_stream),
    );
    setting(
        "TECHNICAL_SUBJECTS",
        mine.subjects.join(","),
        theirs.subjects.join(","),
    );
    if settings.is_empty() && mine.table != theirs.table {
        settings.push(format!(
            "its streams in another JetStream: domain {} (here {}; see NATS_JETSTREAM_DOMAIN)",
            shown(&theirs.domain),
            shown(&mine.domain)
        ));
    }
    (!settings.is_empty()).then(|| settings.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Home {
        Home {
            table: Some("t".to_owned()),
            signals_stream: "S".to_owned(),
            bars_stream: "B".to_owned(),
            input_stream: None,
            subjects: vec!["raw.>".to_owned()],
            domain: None,
        }
    }

    fn member(id: &str, way: Way, at_work_ms: Option<u64>) -> Announcement {
        Announcement {
            version: 1,
            id: MemberId::new(id),
            agent: format!("agent-{id}"),
            way,
            at_work_ms,
            hello: false,
            gone: false,
        }
    }

    fn core(id: &str, at_work_ms: Option<u64>) -> Announcement {
        member(id, Way::Core, at_work_ms)
    }

    fn durable(id: &str, at_work_ms: Option<u64>) -> Announcement {
        member(id, Way::Durable(home()), at_work_ms)
    }

    const NOW: Duration = Duration::from_secs(10);

    fn objection(me: &Announcement, others: &[Announcement]) -> Option<String> {
        let mut census = Census::default();
        for other in others {
            census.record(NOW, other.clone());
        }
        census.objection(NOW, me)
    }

    #[test]
    fn members_that_deliver_alike_do_not_mind_one_another() {
        for at_work in [None, Some(5)] {
            assert_eq!(objection(&core("a", at_work), &[core("b", Some(9))]), None);
            assert_eq!(
                objection(&durable("a", at_work), &[durable("b", Some(9))]),
                None
            );
        }
    }

    #[test]
    fn a_newcomer_waits_for_those_at_work_that_differ() {
        let told = objection(&core("a", None), &[durable("b", Some(9))]).unwrap();
        assert!(told.contains("agent-b"), "{told}");
        assert!(told.contains("TECHNICAL_DELIVERY=durable"), "{told}");
        let told = objection(&durable("a", None), &[core("b", Some(9))]).unwrap();
        assert!(told.contains("TECHNICAL_DELIVERY=core"), "{told}");
    }

    #[test]
    fn no_two_ever_wait_for_each_other_and_no_two_stay_at_work() {
        let ages = [None, Some(3), Some(3), Some(8)];
        let mut other_streams = home();
        other_streams.bars_stream = "B2".to_owned();
        let ways = [Way::Core, Way::Durable(home()), Way::Durable(other_streams)];
        for (one, two) in ways.iter().flat_map(|w| ways.iter().map(move |v| (w, v))) {
            for (a, b) in ages.iter().flat_map(|a| ages.iter().map(move |b| (a, b))) {
                let (x, y) = (member("x", one.clone(), *a), member("y", two.clone(), *b));
                let waits = [
                    objection(&x, std::slice::from_ref(&y)).is_some(),
                    objection(&y, std::slice::from_ref(&x)).is_some(),
                ];
                assert_ne!(waits, [true, true], "{x:?} {y:?}");
                if one != two && (a.is_some() || b.is_some()) {
                    assert_ne!(waits, [false, false], "{x:?} {y:?}");
                }
                if one == two {
                    assert_eq!(waits, [false, false], "{x:?} {y:?}");
                }
            }
        }
    }

    #[test]
    fn core_waits_for_durable_members_that_begin_unless_its_group_works() {
        let beginning = durable("d", None);
        assert!(objection(&core("a", None), std::slice::from_ref(&beginning)).is_some());
        let group = [beginning.clone(), core("b", Some(9))];
        assert_eq!(objection(&core("a", None), &group), None);
        assert_eq!(objection(&core("a", Some(1)), &[beginning]), None);
    }

    #[test]
    fn what_differs_between_durable_members_is_named() {
        let mut theirs = home();
        theirs.table = Some("far".to_owned());
        theirs.domain = Some("hub".to_owned());
        let other = member("b", Way::Durable(theirs.clone()), Some(9));
        let told = objection(&durable("a", None), &[other]).unwrap();
        assert!(told.contains("domain hub (here none"), "{told}");
        theirs.table = Some("t".to_owned());
        theirs.subjects = vec!["raw.*".to_owned()];
        let other = member("b", Way::Durable(theirs), Some(9));
        let told = objection(&durable("a", None), &[other]).unwrap();
        assert!(
            told.contains("TECHNICAL_SUBJECTS=raw.* (here raw.>)"),
            "{told}"
        );
    }

    #[test]
    fn one_that_is_silent_or_gone_is_waited_for_no_longer() {
        let mut census = Census::default();
        census.record(NOW, durable("b", Some(9)));
        let me = core("a", None);
        assert!(census.objection(NOW + SILENCE / 2, &me).is_some());
        assert_eq!(census.objection(NOW + SILENCE, &me), None);
        census.record(NOW, durable("b", Some(9)));
        let mut farewell = durable("b", Some(9));
        farewell.gone = true;
        census.record(NOW, farewell);
        assert_eq!(census.objection(NOW, &me), None);
    }
}
