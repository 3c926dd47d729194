//! What a member that starts asks for.

use super::*;

/// What a killed member held is claimed by nobody until it is missed. One that starts in that
/// time must not go without the state of those slots, for everyone who serves has it.
#[test]
fn a_member_that_starts_before_a_dead_one_is_missed_copies_all_state() {
    let at = Duration::from_millis;
    let (me, elder) = (MemberId::new("me"), MemberId::new("elder"));
    let mut starting = Handover::new(me.clone(), "me".to_owned(), 7, Timing::default(), at(0));
    let mut held = SlotSet::ALL;
    Slot::all().take(100).for_each(|slot| held.remove(slot));
    let serving = Presence {
        id: elder.clone(),
        name: "elder".to_owned(),
        seq: 9,
        phase: Phase::Active,
        claims: held,
        fingerprint: 7,
        age: Duration::from_secs(60),
        hello: false,
    };
    let requested = |handover: &mut Handover| {
        let mut actions = handover.take_actions().into_iter();
        actions.find_map(|action| match action {
            Action::RequestSync { slots, .. } => Some(slots),
            _ => None,
        })
    };
    starting.on_presence(at(1), &serving);
    let echo = starting.presence(true);
    starting.on_presence(at(2), &echo);
    starting.tick(at(100));
    assert_eq!(requested(&mut starting), Some(held));
    starting.on_synced(at(110), &elder, held);
    assert_eq!(starting.phase(), Phase::Syncing);
    let rest = SlotSet::ALL.difference(held);
    assert_eq!(requested(&mut starting), Some(rest));
    starting.on_synced(at(120), &elder, rest);
    assert_eq!(starting.phase(), Phase::Active);
}
