//! The requests of a member that starts.

use super::*;

/// The slots of a killed member are unclaimed until it is missed. A member that starts in that time
/// must not go without the state of those slots, as everyone who serves has it.
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
        protocol: PROTOCOL,
        vacant: Vec::new(),
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

fn serving(id: &MemberId, age: u64, protocol: u32) -> Presence {
    Presence {
        id: id.clone(),
        name: id.to_string(),
        seq: 9,
        phase: Phase::Active,
        claims: SlotSet::ALL,
        fingerprint: 7,
        age: Duration::from_secs(age),
        hello: false,
        protocol,
        vacant: Vec::new(),
    }
}

/// A member that knows `elders` and has just heard itself.
fn settled(elders: &[Presence]) -> Handover {
    let at = Duration::from_millis;
    let me = MemberId::new("me");
    let mut starting = Handover::new(me, "me".to_owned(), 7, Timing::default(), at(0));
    elders
        .iter()
        .for_each(|elder| starting.on_presence(at(1), elder));
    let echo = starting.presence(true);
    starting.on_presence(at(2), &echo);
    starting.tick(at(100));
    starting
}

fn asked(handover: &mut Handover) -> Option<(MemberId, SlotSet, bool)> {
    let mut actions = handover.take_actions().into_iter();
    actions.find_map(|action| match action {
        Action::RequestSync {
            from,
            slots,
            counted,
        } => Some((from, slots, counted)),
        _ => None,
    })
}

/// Lets a second pass in which everyone is heard.
fn pass(handover: &mut Handover, now: &mut Duration, elders: &[Presence]) {
    for _ in 0..10 {
        *now += Duration::from_millis(100);
        elders
            .iter()
            .for_each(|elder| handover.on_presence(*now, elder));
        let echo = handover.presence(false);
        handover.on_presence(*now, &echo);
        handover.tick(*now);
    }
}

/// A member that serves without the state that others have publishes other values than they
/// would: it must ask again for as long as one of them lives, and only for what is missing.
#[test]
fn a_copy_that_fails_is_asked_for_again_and_never_done_without() {
    let elder = MemberId::new("elder");
    let elders = [serving(&elder, 60, 1)];
    let mut starting = settled(&elders);
    assert_eq!(
        asked(&mut starting),
        Some((elder.clone(), SlotSet::ALL, true))
    );
    let some: SlotSet = Slot::all().take(100).collect();
    let rest = SlotSet::ALL.difference(some);
    let mut now = Duration::from_millis(200);
    starting.on_copied(now, &elder, some);
    assert_eq!(starting.awaited(), rest);
    for _ in 0..12 {
        starting.on_copy_failed(now, &elder);
        assert_eq!(asked(&mut starting), None, "not at once");
        let again = (0..12).find_map(|_| {
            pass(&mut starting, &mut now, &elders);
            asked(&mut starting)
        });
        assert_eq!(again, Some((elder.clone(), rest, true)));
        assert_eq!(starting.phase(), Phase::Syncing);
    }
    starting.on_copied(now, &elder, rest);
    starting.on_synced(now, &elder, SlotSet::EMPTY);
    assert_eq!(starting.phase(), Phase::Active);
    let actions = starting.take_actions();
    assert!(actions.contains(&Action::Activate { cold: false }));
}

#[test]
fn one_that_does_not_answer_is_said_and_another_asked() {
    let (old, young) = (MemberId::new("old"), MemberId::new("young"));
    let mut elders = [serving(&old, 60, 1), serving(&young, 5, 0)];
    elders[1].claims = SlotSet::EMPTY;
    let mut starting = settled(&elders);
    let mut now = Duration::from_millis(100);
    assert_eq!(
        asked(&mut starting),
        Some((old.clone(), SlotSet::ALL, true))
    );
    let mut actions = Vec::new();
    while !actions
        .iter()
        .any(|action| matches!(action, Action::RequestSync { .. }))
    {
        pass(&mut starting, &mut now, &elders);
        actions.extend(starting.take_actions());
        assert!(now < Duration::from_secs(20), "{actions:?}");
    }
    assert!(actions.contains(&Action::SyncFailed { from: old }));
    let other = Action::RequestSync {
        from: young,
        slots: SlotSet::ALL,
        counted: false,
    };
    assert!(actions.contains(&other), "{actions:?}");
}

#[test]
fn when_all_that_had_state_are_gone_a_member_serves_and_says_what_is_missing() {
    let elder = MemberId::new("elder");
    let mut starting = settled(&[serving(&elder, 60, 1)]);
    let now = Duration::from_millis(200);
    let some: SlotSet = Slot::all().take(255).collect();
    starting.on_copied(now, &elder, some);
    let mut gone = serving(&elder, 60, 1);
    gone.phase = Phase::Gone;
    starting.on_presence(now, &gone);
    starting.on_copy_failed(now, &elder);
    assert_eq!(starting.phase(), Phase::Active);
    let actions = starting.take_actions();
    assert!(actions.contains(&Action::Activate { cold: true }));
}
