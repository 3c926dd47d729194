//! Messages that retention has dropped or that are still to come are no faults; any other fault is
//! found beside them.

use std::time::Duration;

use serde_json::json;

use super::{
    clean, delete, feed, judged_market, of, publish, renamed, run, signals, stored, verify,
    verify_after,
};
use crate::common::{NatsServer, PATIENCE, until_async};
use crate::feeder::{bar, connect, store};
use crate::history::contents;
use crate::{ANALYSIS, agent};

#[tokio::test(flavor = "multi_thread")]
async fn bars_that_were_dropped_from_the_beginning_are_no_fault_and_faults_are_found_after_them() {
    let (server, js, fed) = judged_market(&[]).await;
    let mut bars = js.get_stream("TECHNICAL_BARS").await.unwrap();
    let last = bars.info().await.unwrap().state.last_sequence;
    bars.purge().sequence(last / 3).await.unwrap();
    let report = clean(&verify(&server));
    assert!(report["bars"].as_u64() < Some(fed));
    let skipped = report["not_checkable"].as_object().expect("reasons");
    assert!(!skipped.is_empty(), "{report:#}");

    // a series that began since is known to be whole, by its window
    let mut running = agent(&server, &[("TECHNICAL_MAX_PAYLOAD_BYTES", "4096")]);
    running.wait_ready();
    let before = crate::history::count(&js, "insight.>").await;
    feed(&js, 9, 0..20).await;
    stored(&js, before + 16).await;
    running.sigterm();
    assert_eq!(running.wait_exit(), 0);
    clean(&verify(&server));
    let series = of(&signals(&js).await, "S9");
    let last = &series[series.len() - 1];
    let text = String::from_utf8(last.payload.clone()).unwrap();
    let forged = text.replace("\"confidence\":", "\"confidence\":1");
    delete(&js, "TECHNICAL_SIGNALS", last.seq).await;
    let headers = renamed(&last.headers, "altered");
    publish(&js, &last.subject, headers, forged.into_bytes()).await;
    delete(&js, "TECHNICAL_SIGNALS", series[4].seq).await;
    // and of a series that began before, a signal that is not there is missed all the same
    let older = of(&signals(&js).await, "S3");
    delete(&js, "TECHNICAL_SIGNALS", older[older.len() - 3].seq).await;
    let verified = verify(&server);
    assert_eq!((verified.code, verified.totals()), (65, [2, 0, 1, 0, 0]));
    let found = &verified.list("different")[0];
    assert_eq!(found["fields"][0]["field"], "confidence");
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_that_grew_too_old_are_not_missed() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let retention = ("TECHNICAL_SIGNALS_MAX_AGE_SECS", "8");
    let mut running = agent(&server, &[retention]);
    running.wait_ready();
    feed(&js, 0, 0..20).await;
    stored(&js, 16).await;
    let start = std::time::Instant::now();
    while crate::history::count(&js, "insight.>").await > 0 {
        assert!(start.elapsed() < PATIENCE, "signals go");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    feed(&js, 0, 20..30).await;
    stored(&js, 10).await;
    let verified = run(&server.url(), &["--json"], &[retention]);
    let report = clean(&verified);
    assert_eq!(report["bars"], 30);
    let skipped = report["not_checkable"].as_object().expect("reasons");
    let skipped: u64 = skipped.values().filter_map(serde_json::Value::as_u64).sum();
    assert!(skipped >= 16, "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bars_that_nobody_has_worked_off_yet_are_pending() {
    let (server, js, _) = judged_market(&[]).await;
    feed(&js, 8, 0..12).await;
    store(&js, "raw.market_data.price.S8.1m", "{", "bad").await;
    let report = clean(&verify(&server));
    assert_eq!(report["pending"], 8 + 1);
    // the beginning of what is pending cannot be before what is stored
    let mut running = agent(&server, &[("TECHNICAL_MAX_PAYLOAD_BYTES", "4096")]);
    running.wait_ready();
    until_async("nothing pending", || {
        let report = verify(&server).report();
        (report["pending"] == 0).then_some(())
    })
    .await;
    clean(&verify(&server));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_bars_of_the_time_asked_for_are_judged_and_those_before_are_read() {
    let (server, js, _) = judged_market(&[]).await;
    let bars = contents(&js, "TECHNICAL_BARS", ">").await;
    let middle = &bars[bars.len() / 2];
    let at = jiff::Timestamp::from_nanosecond(middle.at)
        .unwrap()
        .to_string();
    let series = of(&signals(&js).await, "S2");
    let input = |one: &crate::history::Stored| -> u64 {
        one.header("Ta-Input-Seq").unwrap().parse().unwrap()
    };
    let early = series.iter().find(|one| input(one) < middle.seq).unwrap();
    delete(&js, "TECHNICAL_SIGNALS", early.seq).await;
    let after = run(&server.url(), &["--json", "--from", &at], &[]);
    let report = clean(&after);
    let since = bars.iter().filter(|bar| bar.at >= middle.at).count();
    let bare = contents(&js, "TECHNICAL_BARS_BARE", ">").await;
    let since = since + bare.iter().filter(|bar| bar.at >= middle.at).count();
    assert_eq!(report["bars"], since);
    let before = run(&server.url(), &["--json", "--to", &at], &[]);
    assert_eq!((before.code, before.totals()), (65, [1, 0, 0, 0, 0]));
    assert_eq!(before.report()["bars"], bars.len() + bare.len() - since);
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_were_put_back_are_not_missed() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    // room for one series, so that the second one's bars are refused
    let full = [("TECHNICAL_MAX_SERIES", "1"), ("TECHNICAL_PARTITIONS", "1")];
    let mut running = agent(&server, &full);
    running.wait_ready();
    feed(&js, 0, 0..10).await;
    stored(&js, 6).await;
    feed(&js, 1, 0..8).await;
    until_letters(&js, 8).await;
    running.sigterm();
    assert_eq!(running.wait_exit(), 0);
    clean(&run(&server.url(), &["--json"], &full));
    let mut redrive = crate::Agent::start_with(&["redrive"], [("NATS_URL", server.url().as_str())]);
    assert_eq!(redrive.wait_exit(), 0, "{}", redrive.output());
    let report = clean(&run(&server.url(), &["--json"], &full));
    assert_eq!(report["dead_letters"], 0);
    assert_eq!(
        report["pending"], 8,
        "those put back are to be refused again"
    );
}

async fn until_letters(js: &async_nats::jetstream::Context, letters: usize) {
    let start = std::time::Instant::now();
    while crate::history::count(js, "dead.technical").await < letters {
        assert!(start.elapsed() < PATIENCE, "{letters} dead letters");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_two_groups_is_judged_by_its_own_signals() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let other = [("TECHNICAL_GROUP", "desk.2"), ("TECHNICAL_RSI_PERIOD", "7")];
    let mut agents = [agent(&server, &[]), agent(&server, &other)];
    for one in &mut agents {
        one.wait_ready();
    }
    feed(&js, 0, 0..20).await;
    store(&js, "raw.market_data.price.S0.1m", "{", "bad").await;
    until_letters(&js, 2).await;
    for more in [&[][..], &other] {
        let report = clean(&run(&server.url(), &["--json"], more));
        assert_eq!(report["signals"], 16);
    }
    // what is wrong with the signals of one is no fault of the other
    let all = signals(&js).await;
    let theirs = all
        .iter()
        .rfind(|one| one.header("Ta-Group").as_deref() == Some("desk.2"));
    delete(&js, "TECHNICAL_SIGNALS", theirs.unwrap().seq).await;
    clean(&verify(&server));
    let verified = run(&server.url(), &["--json"], &other);
    assert_eq!((verified.code, verified.totals()), (65, [1, 0, 0, 0, 0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_of_another_configuration_differ_up_to_its_change_and_that_is_said() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let former = [("TECHNICAL_RSI_PERIOD", "7"), ("TECHNICAL_PARTITIONS", "1")];
    let mut first = agent(&server, &former);
    first.wait_ready();
    feed(&js, 0, 0..30).await;
    stored(&js, 26).await;
    first.sigterm();
    assert_eq!(first.wait_exit(), 0);
    let now = [("TECHNICAL_PARTITIONS", "1")];
    let mut second = agent(&server, &now);
    second.wait_ready();
    feed(&js, 0, 30..50).await;
    stored(&js, 46).await;
    let verified = run(&server.url(), &["--json"], &now);
    assert_eq!(verified.code, 65);
    let report = verified.report();
    // the first three have no RSI under either
    assert_eq!(report["totals"]["different"], 23, "{report:#}");
    let bars = contents(&js, "TECHNICAL_BARS", ">").await;
    let at = jiff::Timestamp::from_nanosecond(bars[30].at).unwrap();
    let told = report["changes"][0]["to"].as_str().unwrap();
    assert_eq!(told.parse::<jiff::Timestamp>().unwrap(), at);
    // with the configuration of then nothing is wrong with any of them
    let of_then = [ANALYSIS, &former].concat();
    let configurations = [&[ANALYSIS, &now].concat()[..], &of_then];
    assert_eq!(verify_after(&server.url(), &configurations), Ok(()));
    // from there on everything is as promised
    let since = run(&server.url(), &["--json", "--from", told], &now);
    clean(&since);
    assert_eq!(since.report()["bars"], 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_and_bars_that_are_published_only_now_and_then_are_judged() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let settings = [
        ("TECHNICAL_PUBLISH_FREQUENCY", "3"),
        ("TECHNICAL_PARTITIONS", "2"),
    ];
    let mut running = agent(&server, &settings);
    running.wait_ready();
    for n in 0..12 {
        let several =
            json!([bar(0, 3 * n), {"symbol": "S0"}, bar(0, 3 * n + 1), bar(0, 3 * n + 2)]);
        let (payload, id) = (several.to_string(), format!("several {n}"));
        store(&js, "raw.market_data.price.S0.1m", &payload, &id).await;
    }
    until_letters(&js, 12).await;
    running.sigterm();
    assert_eq!(running.wait_exit(), 0);
    let report = clean(&run(&server.url(), &["--json"], &settings));
    assert_eq!(
        (&report["bars"], &report["dead_letters"]),
        (&json!(12), &json!(12))
    );
    let all = signals(&js).await;
    assert_eq!(report["signals"], all.len());
    assert!((10..36).contains(&all.len()), "{} signals", all.len());
    delete(&js, "TECHNICAL_SIGNALS", all[5].seq).await;
    let verified = run(&server.url(), &["--json"], &settings);
    assert_eq!((verified.code, verified.totals()), (65, [1, 0, 0, 0, 0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_of_streams_that_were_removed_is_no_fault() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[]);
    running.wait_ready();
    feed(&js, 0, 0..20).await;
    store(&js, "raw.market_data.price.S0.1m", "{", "bad").await;
    until_letters(&js, 1).await;
    js.delete_stream("TECHNICAL_BARS").await.unwrap();
    let start = std::time::Instant::now();
    while js.get_stream("TECHNICAL_BARS").await.is_err() {
        assert!(start.elapsed() < PATIENCE, "the stream is recreated");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // some bars are published again, and give signals again
    for n in 10..40 {
        let payload = bar(0, n).to_string();
        let subject = "raw.market_data.price.S0.1m";
        store(&js, subject, &payload, &format!("again {n}")).await;
    }
    stored(&js, 16 + 26).await;
    let report = clean(&verify(&server));
    assert_eq!(report["bars"], 30);
    let skipped = report["not_checkable"].as_object().expect("reasons");
    let skipped: u64 = skipped.values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(skipped, 16 + 1, "{report:#}");
    let all = signals(&js).await;
    delete(&js, "TECHNICAL_SIGNALS", all[20].seq).await;
    let verified = verify(&server);
    assert_eq!((verified.code, verified.totals()), (65, [1, 0, 0, 0, 0]));

    // the stream of signals goes, and those that are still due come again
    js.delete_stream("TECHNICAL_SIGNALS").await.unwrap();
    let start = std::time::Instant::now();
    while js.get_stream("TECHNICAL_SIGNALS").await.is_err() {
        assert!(start.elapsed() < PATIENCE, "the stream is recreated");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    feed(&js, 0, 40..50).await;
    stored(&js, 10).await;
    clean(&verify(&server));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_wrong_at_any_moment_of_agents_at_work() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut agents = [agent(&server, &[]), agent(&server, &[])];
    for one in &mut agents {
        one.wait_ready();
    }
    let feeder = crate::feeder::Feeder::start(js.clone(), 8, Duration::ZERO);
    let mut most = 0;
    for round in 0..8 {
        if round == 3 {
            agents[0].kill();
        }
        let report = clean(&verify(&server));
        assert_eq!(report["not_checkable"], json!({}));
        most = most.max(report["signals"].as_u64().unwrap());
    }
    assert!(most > 0, "no signal was judged");
    feeder.stop().await;
}
