//! A table of members and leases that is larger than one answer of the server.

use crate::agent;
use crate::common::{NatsServer, until};
use crate::feeder::{bar, connect, store};
use crate::history::settle;

/// More than the settings allow, as a stream of before may have.
const PARTITIONS: u32 = 600;
/// With the leases, more records than the server answers with at once (1,024).
const DEAD: u32 = 450;

/// Makes the stream of bars one of [`PARTITIONS`].
async fn divide(js: &async_nats::jetstream::Context) {
    let stream = js.get_stream("TECHNICAL_BARS").await.unwrap();
    let mut config = stream.cached_info().config.clone();
    let recorded = PARTITIONS.to_string();
    let before = config
        .metadata
        .insert("technical.partitions".to_owned(), recorded);
    assert_eq!(before.as_deref(), Some("8"));
    let sources = config.sources.iter_mut().flatten();
    let sourced = sources.flat_map(|source| source.subject_transforms.iter_mut());
    let mut transforms = 0;
    for transform in config.subject_transform.iter_mut().chain(sourced) {
        let many = format!("partition({PARTITIONS},1)");
        transform.destination = transform.destination.replace("partition(8,1)", &many);
        transforms += usize::from(transform.destination.contains(&many));
    }
    assert_eq!(transforms, 2, "one of each shape of subject");
    js.update_stream(&config).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_larger_than_one_answer_is_read_in_parts() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut first = agent(&server, &[]);
    first.wait_ready();
    first.sigterm();
    assert_eq!(first.wait_exit(), 0);
    divide(&js).await;
    for n in 0..DEAD {
        let subject = format!("$KV.TECHNICAL_SIGNALS_GROUPS.technical-analysis.member.dead-{n}");
        let record = r#"{"agent":"dead","leaving":false,"fingerprint":"0000000000000000"}"#;
        let sent = js.publish(subject, record.into()).await.unwrap();
        sent.await.unwrap();
    }
    // at the second start all leases are written
    for start in 0..2_u64 {
        let mut running = agent(&server, &[]);
        running.wait_log("another number of partitions");
        until("every partition to be owned", || {
            let status = running.try_get("/status")?.json();
            (status["owned_partitions"] == u64::from(PARTITIONS) + 1).then_some(())
        });
        running.wait_ready();
        for n in 8 * start..8 * start + 8 {
            let (payload, id) = (bar(0, n).to_string(), n.to_string());
            store(&js, "raw.market_data.price.S0.1m", &payload, &id).await;
        }
        settle(&js, 8 * start + 8, 1).await;
        if start == 0 {
            running.kill();
        }
    }
}

/// More member records than the server answers with at once, and none that can be read: they make
/// nobody a member and keep nobody from being one.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_records_that_cannot_be_read_holds_nobody_up() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[]);
    running.wait_ready();
    let subject =
        |n: u32| format!("$KV.TECHNICAL_SIGNALS_GROUPS.technical-analysis.member.forged-{n}");
    for n in 0..1_100 {
        let sent = js.publish(subject(n), "{}".into()).await.unwrap();
        sent.await.unwrap();
    }
    // it reads the whole table to join, and the other one reads it to make room
    let mut second = agent(&server, &[]);
    second.wait_ready();
    until("an even division", || {
        let owned = |agent: &crate::common::Agent| {
            agent.try_get("/status")?.json()["owned_partitions"].as_u64()
        };
        let (mine, theirs) = (owned(&running)?, owned(&second)?);
        (mine + theirs == 9 && mine.abs_diff(theirs) == 1).then_some(())
    });
    running.wait_ready();
    for n in 0..20 {
        let (payload, id) = (bar(0, n).to_string(), n.to_string());
        store(&js, "raw.market_data.price.S0.1m", &payload, &id).await;
    }
    settle(&js, 20, 1).await;
}
