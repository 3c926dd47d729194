//! Replicas of one group: between them every signal once, whoever comes, goes or dies.
//!
//! The load is moderate, so that three unoptimised agents and the broker keep up on two cores:
//! what is tested is order, not speed.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{
    Agent, Collected, Flow, Market, NatsServer, Received, assert_nothing_twice, assert_same,
    collect_signals, flat, publish, replay, send, settled, until_async,
};
use crate::{INDICATORS, client, every_bar, listening, ready_agent};

pub const SYMBOLS: usize = 48;
pub const RATE: usize = 1_000;
const SETTINGS: [(&str, &str); 2] = [
    ("TECHNICAL_INDICATORS", INDICATORS),
    ("TECHNICAL_MIN_BARS_REQUIRED", "1"),
];

pub fn member(server: &NatsServer, name: &str) -> Agent {
    member_with(server, name, &[])
}

pub fn member_with(server: &NatsServer, name: &str, more: &[(&str, &str)]) -> Agent {
    let url = server.url();
    let further = [("TECHNICAL_INDICATORS", INDICATORS)];
    let variables = every_bar(&url, name).into_iter().chain(further);
    Agent::start(variables.chain(more.iter().copied()))
}

/// Members of these names that are ready and share the symbols.
pub async fn shared<const N: usize>(server: &NatsServer, names: [&str; N]) -> [Agent; N] {
    let mut agents = names.map(|name| member(server, name));
    agents.iter_mut().for_each(Agent::wait_ready);
    wait_shared(&agents.each_ref()).await;
    agents
}

/// Waits until these are the members, all at work, and each publishes for some of the symbols.
pub async fn wait_shared(agents: &[&Agent]) {
    until_async("the slots to be divided", || {
        let mut total = 0;
        for agent in agents {
            let status = agent.try_get("/status").filter(|r| r.status == 200)?.json();
            let members = status["members"].as_array()?;
            let active = |member: &&serde_json::Value| member["state"] == "active";
            let owned = status["owned_partitions"].as_u64()?;
            if members.len() != agents.len()
                || members.iter().filter(active).count() != agents.len()
                || owned == 0
            {
                return None;
            }
            total += owned;
        }
        (total == 256).then_some(())
    })
    .await;
}

fn publishers(came: &[Received]) -> BTreeSet<String> {
    came.iter()
        .map(|signal| signal.header("Ta-Agent").unwrap().to_owned())
        .collect()
}

/// Ends the flow and holds everything that came against `replay` of everything that was sent.
pub async fn assert_exact(flow: Flow, signals: &Collected) -> Vec<Received> {
    let sent = flow.stop().await;
    let came = settled(signals, sent.len()).await;
    assert_same(&came, &replay(&sent, &SETTINGS));
    assert_nothing_twice(&came);
    came
}

/// A member that is busy, or whose machine is, answers late. One that starts must not take its place
/// meanwhile: both would publish.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_starts_waits_for_a_member_that_is_slow_to_answer() {
    let (server, client, signals) = listening().await;
    let mut first = member(&server, "first");
    first.wait_ready();
    let flow = Flow::start(&client, Market::new(SYMBOLS), RATE);
    flow.wait_more(500).await;

    first.freeze();
    let mut later = member(&server, "later");
    later.wait_log("subscribed to market data");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(later.get("/readyz").status, 503);
    first.thaw();
    later.wait_ready();
    flow.wait_more(1_000).await;
    wait_shared(&[&first, &later]).await;

    let sent = flow.stop().await;
    let came = settled(&signals, sent.len()).await;
    assert_nothing_twice(&came);
    assert_eq!(publishers(&came).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_that_start_together_publish_every_signal_once_between_them() {
    let (server, client, signals) = listening().await;
    let mut agents = ["a", "b", "c"].map(|name| member(&server, name));
    agents.iter_mut().for_each(Agent::wait_ready);
    // from the moment that all are ready, not only once the slots are settled
    let flow = Flow::start(&client, Market::new(SYMBOLS), RATE);
    flow.wait_more(3_000).await;
    wait_shared(&agents.each_ref()).await;
    flow.wait_more(2_000).await;
    let came = assert_exact(flow, &signals).await;
    assert_eq!(publishers(&came), ["a", "b", "c"].map(str::to_owned).into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_join_while_bars_flow_cost_and_double_nothing() {
    let (server, client, signals) = listening().await;
    let mut first = member(&server, "a");
    first.wait_ready();
    let flow = Flow::start(&client, Market::new(SYMBOLS), RATE);
    flow.wait_more(1_000).await;
    let second = member(&server, "b");
    wait_shared(&[&first, &second]).await;
    flow.wait_more(1_000).await;
    let third = member(&server, "c");
    wait_shared(&[&first, &second, &third]).await;
    flow.wait_more(1_000).await;
    let came = assert_exact(flow, &signals).await;
    // the newcomers copied their state instead of starting over: their signals show it
    let of_third = came.iter().filter(|s| s.header("Ta-Agent") == Some("c"));
    let bars: Vec<u64> = of_third
        .map(|signal| signal.json()["bars_analyzed"].as_u64().unwrap())
        .collect();
    assert!(!bars.is_empty());
    assert!(bars.iter().all(|bars| *bars > 1));
}

/// The server takes no message of more than 64 KiB: the state of all series is larger than that,
/// and so is that of each series alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_larger_than_a_message_is_copied_whole() {
    const BARS: usize = 1_600;
    let server = NatsServer::with("max_payload: 65536");
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let url = server.url();
    let settings = [
        ("TECHNICAL_DATA_WINDOW_SIZE", "2000"),
        // few signals: this is about state
        ("TECHNICAL_MIN_BARS_REQUIRED", "1590"),
        ("TECHNICAL_DELIVERY", "core"),
    ];
    let start = |name: &'static str| {
        let of = [("NATS_URL", url.as_str()), ("TECHNICAL_AGENT_NAME", name)];
        let mut agent = Agent::start(of.into_iter().chain(settings));
        agent.wait_ready();
        agent
    };
    let mut first = start("first");
    let mut market = Market::new(6);
    let mut sent = Vec::new();
    for _ in 0..6 * BARS {
        let (subject, payload) = market.next();
        client
            .publish(subject, payload.clone().into())
            .await
            .unwrap();
        sent.push(payload);
    }
    client.flush().await.unwrap();
    first.wait_metrics(&[("technical_bars_received_total", (6 * BARS) as f64)]);

    let second = start("second");
    second.wait_metrics(&[("technical_series", 6.0)]);
    first.sigterm();
    assert_eq!(first.wait_exit(), 0);
    wait_shared(&[&second]).await;
    for _ in 0..6 * 5 {
        let (subject, payload) = market.next();
        publish(&client, &subject, &payload).await;
        sent.push(payload);
    }
    let expected = replay(&sent, &settings[..2]);
    assert_eq!(expected.len(), 6 * 16);
    let came = settled(&signals, expected.len()).await;
    assert_same(&came, &expected);
    assert_nothing_twice(&came);
}

/// A member without some of the state would publish other values than the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_cannot_take_every_series_is_not_ready_and_says_why() {
    let (server, client, signals) = listening().await;
    let first = ready_agent(&server, "first", &[]);
    for symbol in ["A", "B", "C"] {
        send(&client, &flat(symbol, 0, 1.0)).await;
    }
    first.wait_metrics(&[("technical_series", 3.0)]);
    let url = server.url();
    let room_for_two = [("TECHNICAL_MAX_SERIES", "2")];
    let second = Agent::start(every_bar(&url, "second").into_iter().chain(room_for_two));
    let warned = second.wait_log("was not copied whole");
    let fault = warned["fault"].as_str().unwrap();
    assert!(fault.contains("no room for another series"), "{fault}");
    // it tries again, and stays out of the group's work
    until_async("a second attempt", || {
        let failed = |line: &&serde_json::Value| line["message"] == warned["message"];
        (second.logs().iter().filter(failed).count() > 1).then_some(())
    })
    .await;
    assert_eq!(second.get("/readyz").status, 503);
    let health = second.get("/health/membership");
    assert_eq!(health.status, 503);
    assert!(
        health.body.contains("no room for another series"),
        "{}",
        health.body
    );
    send(&client, &flat("A", 1, 2.0)).await;
    let came = settled(&signals, 4).await;
    assert_eq!(publishers(&came), ["first".to_owned()].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_leave_while_bars_flow_cost_and_double_nothing() {
    let (server, client, signals) = listening().await;
    let agents = shared(&server, ["a", "b", "c"]).await;
    let flow = Flow::start(&client, Market::new(SYMBOLS), RATE);
    flow.wait_more(1_000).await;
    let [mut a, mut b, c] = agents;
    a.sigterm();
    assert_eq!(a.wait_exit(), 0);
    flow.wait_more(1_000).await;
    b.sigint();
    assert_eq!(b.wait_exit(), 0);
    flow.wait_more(1_000).await;
    wait_shared(&[&c]).await;
    let came = assert_exact(flow, &signals).await;
    assert_eq!(came.last().unwrap().header("Ta-Agent"), Some("c"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_killed_is_replaced_and_nothing_comes_twice() {
    let (server, client, signals) = listening().await;
    let agents = shared(&server, ["a", "b", "c"]).await;
    let flow = Flow::start(&client, Market::new(SYMBOLS), RATE);
    flow.wait_more(1_000).await;
    let [a, mut b, c] = agents;
    b.kill();
    wait_shared(&[&a, &c]).await;
    // every bar from here on gives its signal again
    let replaced = flow.sent();
    flow.wait_more(2_000).await;
    let sent = flow.stop().await;
    let expected = replay(&sent, &SETTINGS);
    let came = complete_from(&signals, &expected, replaced).await;
    assert_nothing_twice(&came);
    assert_right(&came, &expected);
    assert!(came.len() < sent.len(), "the killed one published nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_frozen_gives_up_before_it_speaks_again() {
    let (server, client, signals) = listening().await;
    let agents = shared(&server, ["a", "b", "c"]).await;
    let flow = Flow::start(&client, Market::new(SYMBOLS), RATE);
    flow.wait_more(1_000).await;
    let [a, b, c] = &agents;
    b.freeze();
    let frozen = tokio::time::Instant::now();
    wait_shared(&[a, c]).await;
    // the length of the freeze is what is tested
    tokio::time::sleep_until(frozen + Duration::from_secs(5)).await;
    b.thaw();
    wait_shared(&[a, b, c]).await;
    let rejoined = flow.sent();
    flow.wait_more(2_000).await;
    let sent = flow.stop().await;
    let expected = replay(&sent, &SETTINGS);
    let came = complete_from(&signals, &expected, rejoined).await;
    assert_nothing_twice(&came);
    assert_right(&came, &expected);
}

/// Waits until the signals of all bars from the `first` sent on have come.
async fn complete_from(signals: &Collected, expected: &[String], first: usize) -> Vec<Received> {
    // replay gives one signal for every bar, in the order of the bars
    let wanted: BTreeSet<&[u8]> = expected[first..].iter().map(String::as_bytes).collect();
    let mut came = signals.messages();
    for _ in 0..60 {
        let found: BTreeSet<&[u8]> = came.iter().map(|m| m.payload.as_ref()).collect();
        if wanted.is_subset(&found) {
            return signals.wait_quiet(Duration::from_millis(400)).await;
        }
        signals.wait_change(Duration::from_millis(500)).await;
        came = signals.messages();
    }
    let found: BTreeSet<&[u8]> = came.iter().map(|m| m.payload.as_ref()).collect();
    let missing: Vec<&str> = wanted
        .difference(&found)
        .map(|payload| std::str::from_utf8(payload).unwrap())
        .collect();
    panic!(
        "{} of {} signals never came, the first of {}",
        missing.len(),
        wanted.len(),
        &missing[0][..80]
    );
}

/// Everything that came is what `replay` gives: some may be missing, nothing is otherwise.
fn assert_right(came: &[Received], expected: &[String]) {
    let expected: BTreeSet<&[u8]> = expected.iter().map(String::as_bytes).collect();
    for signal in came {
        assert!(
            expected.contains(signal.payload.as_ref()),
            "not a signal of replay: {}",
            String::from_utf8_lossy(&signal.payload)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_groups_analyse_the_same_bars_for_themselves() {
    let (server, client, signals) = listening().await;
    let url = server.url();
    let of = |name, group| {
        let group = [("TECHNICAL_GROUP", group)];
        Agent::start(every_bar(&url, name).into_iter().chain(group))
    };
    let mut agents = [of("a", "red"), of("b", "blue")];
    agents.iter_mut().for_each(Agent::wait_ready);
    send(&client, &flat("A", 0, 1.0)).await;
    let came = settled(&signals, 2).await;
    assert_eq!(came.len(), 2);
    assert_eq!(came[0].payload, came[1].payload);
    assert_nothing_twice(&came);
    assert_eq!(publishers(&came), ["a", "b"].map(str::to_owned).into());
}
