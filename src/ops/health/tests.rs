use super::*;

#[test]
fn readiness_follows_from_the_required_parts_the_start_and_the_drain() {
    let health = Health::new();
    let nats = health.component("nats", true);
    let extra = health.component("extra", false);
    assert_eq!(
        health.missing(),
        ["start-up has not finished", "nats: not started"]
    );
    nats.up("connected");
    assert!(!health.is_ready());
    health.started();
    assert!(health.is_ready());
    extra.down("optional");
    nats.degraded("slow");
    assert!(health.is_ready());
    nats.down("lost");
    assert!(!health.is_ready());
    assert_eq!(health.missing(), ["nats: lost"]);
    nats.up("connected");
    assert!(health.is_ready());
    health.draining();
    assert!(!health.is_ready());
    assert_eq!(health.missing(), ["draining"]);
}

#[test]
fn a_part_that_ends_is_down_unless_it_was_made_again() {
    let health = Health::new();
    health.started();
    let first = health.component("intake", true);
    first.up("reading");
    drop(first);
    assert_eq!(health.missing(), ["intake: ended"]);

    let second = health.component("intake", true);
    second.up("reading");
    let third = health.component("intake", true);
    third.up("reading again");
    drop(second);
    assert!(health.is_ready());
    assert_eq!(health.report().components.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_does_not_beat_within_its_limit_is_named() {
    let health = Health::new();
    let worker = health.progress("worker", Duration::from_secs(5));
    let other = health.progress("other", Duration::from_secs(60));
    worker.busy();
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(health.stalled().is_empty());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(
        health.stalled(),
        ["worker: no progress for 6.0 s (busy); its limit is 5.0 s"]
    );
    assert!(!health.report().live);
    worker.beat();
    assert!(health.stalled().is_empty());
    worker.idle();
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(health.stalled().len(), 1, "waiting is no excuse");
    drop(worker);
    assert!(health.stalled().is_empty());
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_panics_stalls_unless_it_is_started_again() {
    let health = Health::new();
    let lost = health.progress("worker", Duration::from_secs(5));
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _lost = lost;
        panic!("on purpose");
    }));
    assert!(died.is_err());
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(health.stalled().len(), 1);
    let again = health.progress("worker", Duration::from_secs(5));
    assert!(health.stalled().is_empty());
    drop(again);
}

#[tokio::test]
async fn waiters_are_woken_when_the_last_part_comes_up() {
    let health = Health::new();
    let nats = health.component("nats", true);
    let waiter = tokio::spawn({
        let health = health.clone();
        async move { health.wait_ready().await }
    });
    health.started();
    tokio::task::yield_now().await;
    assert!(!waiter.is_finished());
    nats.up("connected");
    waiter.await.unwrap();
}

#[test]
fn the_report_is_down_degraded_or_up() {
    let health = Health::new();
    let needed = health.component("needed", true);
    let extra = health.component("extra", false);
    assert_eq!(health.report().condition, Condition::Down);
    needed.up("");
    assert_eq!(health.report().condition, Condition::Degraded);
    extra.up("");
    assert_eq!(health.report().condition, Condition::Up);
    let json = serde_json::to_value(health.report()).unwrap();
    assert_eq!(json["status"], "up");
    assert_eq!(json["components"][1]["name"], "extra");
    assert_eq!(json["components"][1]["required"], false);
}
