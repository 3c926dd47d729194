//! Ownership of partitions as members join and leave.

use std::time::Duration;

use crate::agent;
use crate::common::{Agent, NatsServer, until};
use crate::feeder::{Feeder, connect};
use crate::history::{settle, waits};

/// Partitions and the one for subjects without a symbol.
const UNITS: u64 = 9;

fn owned(agent: &Agent) -> Option<u64> {
    agent.try_get("/status")?.json()["owned_partitions"].as_u64()
}

/// Waits until all is owned and no member has more than one above the fair share.
pub fn balanced(agents: &[&Agent]) -> Vec<u64> {
    let fair = UNITS / agents.len() as u64;
    until("an even division", || {
        let counts: Vec<u64> = agents.iter().filter_map(|agent| owned(agent)).collect();
        let even = counts.iter().all(|n| (fair..=fair + 1).contains(n));
        (even && counts.len() == agents.len() && counts.iter().sum::<u64>() == UNITS)
            .then_some(counts)
    })
}

/// Partitions that came to an agent or left it, as it counts them.
pub fn moves(agent: &Agent, direction: &str) -> f64 {
    let sample = format!("technical_partition_moves_total{{direction=\"{direction}\"}}");
    agent.metrics().get(&sample).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_follow_the_members_and_no_more_of_them_than_must() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut first = agent(&server, &[]);
    first.wait_ready();
    assert_eq!(balanced(&[&first]), [9]);
    let feeder = Feeder::start(js.clone(), 12, Duration::from_millis(1));
    let mut second = agent(&server, &[]);
    let mut third = agent(&server, &[]);
    second.wait_ready();
    third.wait_ready();
    balanced(&[&first, &second, &third]);
    // two joined at once: what the first gave up is what the others have, give or take what
    // passed between those two before both were known
    assert!((moves(&first, "released") - 6.0).abs() < 0.5);
    third.sigterm();
    assert_eq!(third.wait_exit(), 0);
    balanced(&[&first, &second]);
    assert!((moves(&first, "released") - 6.0).abs() < 0.5);
    let (bars, _) = feeder.stop().await;
    settle(&js, bars, 12).await;
    let (median, longest) = waits(&js).await;
    println!(
        "from bar to signal while 1 member became 3 and then 2: median {median:.1?}, longest {longest:.1?}"
    );
    let log = first.get("/status").json();
    assert_eq!(log["delivery"], "durable");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_a_dead_members_place_is_ready_with_its_partitions_and_not_before() {
    let server = NatsServer::jetstream();
    let mut first = agent(&server, &[]);
    first.wait_ready();
    first.kill();
    let second = agent(&server, &[]);
    let mut refused = 0;
    until("the second to be ready", || {
        let status = second.try_get("/readyz")?.status;
        refused += u32::from(status == 503);
        (status == 200).then_some(())
    });
    assert_eq!(owned(&second), Some(UNITS));
    assert!(refused > 0, "the dead one's leases had to run out first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_is_told_of_by_its_owner() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[("HTTP_ADMIN_TOKEN", "t")]);
    running.wait_ready();
    for n in 0..8 {
        let payload = crate::feeder::bar(3, n).to_string();
        let id = n.to_string();
        crate::feeder::store(&js, "raw.market_data.price.S3.1m", &payload, &id).await;
    }
    let detail = until("the series", || {
        let response = running.try_get("/series/S3/1m")?;
        (response.status == 200 && response.json()["bars"] == 8).then(|| response.json())
    });
    assert_eq!(detail["owned"], true);
    assert_eq!(running.get("/series").json()["total"], 1);
    // whichever partitions they are in, they are listed in one order
    for symbol in [9, 1, 5] {
        let subject = format!("raw.market_data.price.S{symbol}.1m");
        let payload = crate::feeder::bar(symbol, 0).to_string();
        crate::feeder::store(&js, &subject, &payload, &format!("s{symbol}")).await;
    }
    let symbols = |query: &str| -> Vec<String> {
        let page = running.get(&format!("/series?{query}")).json();
        let of = |row: &serde_json::Value| row["symbol"].as_str().unwrap().to_owned();
        page["series"].as_array().unwrap().iter().map(of).collect()
    };
    until("all to be listed", || {
        (symbols("") == ["S1", "S3", "S5", "S9"]).then_some(())
    });
    assert_eq!(symbols("offset=1&limit=2"), ["S3", "S5"]);
    assert_eq!(symbols("symbol=S5"), ["S5"]);
    assert!(symbols("timeframe=5m").is_empty());
    // one agent has every partition, so it knows that nobody has the series
    let client = async_nats::connect(server.url()).await.unwrap();
    let answer = client
        .request("technical.series.NOPE.1d", "".into())
        .await
        .unwrap();
    let code = answer
        .headers
        .as_ref()
        .and_then(|headers| headers.get("Nats-Service-Error-Code"));
    assert_eq!(code.map(|code| code.as_str()), Some("404"));
    assert_eq!(running.get("/series/S4/1m").status, 404);
    // it is known again after a restart, before any bar comes
    running.sigterm();
    assert_eq!(running.wait_exit(), 0);
    let mut running = agent(&server, &[]);
    running.wait_ready();
    until("the series after the restart", || {
        (running.get("/status").json()["series"] == 4).then_some(())
    });
    assert_eq!(running.get("/series/S3/1m").json()["bars"], 8);
}
