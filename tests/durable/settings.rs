//! A setting that was changed on one member of a group: no signal twice, and none missing.

use futures_util::future::join_all;

use crate::agent;
use crate::common::{NatsServer, until};
use crate::feeder::{connect, feed};
use crate::history::settle;

/// The changed member waits, not ready and alive, and names what stands in the way, while the
/// other member has every signal, once.
async fn waits(change: (&str, &str), shown: &[&str]) {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let auto = ("TECHNICAL_DELIVERY", "auto");
    let mut first = agent(&server, &[auto]);
    first.wait_ready();
    feed(&js, 0..10).await;
    let second = agent(&server, &[auto, change]);
    for text in shown {
        until(&format!("{text:?} in /readyz after {change:?}"), || {
            let ready = second.try_get("/readyz")?;
            assert_ne!(ready.status, 200, "ready after {change:?}");
            ready.body.contains(text).then_some(())
        });
    }
    feed(&js, 10..30).await;
    settle(&js, 30, 1).await;
    assert_eq!(second.get("/livez").status, 200);
    assert_eq!(second.get("/readyz").status, 503);
    assert_eq!(first.get("/readyz").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_streams_would_differ_waits_and_names_the_setting() {
    let cases: [((&str, &str), &[&str]); 5] = [
        (
            ("TECHNICAL_DEAD_LETTER_SUBJECT", "dead.letters"),
            &[
                "TECHNICAL_DEAD_LETTER_SUBJECT (dead.letters)",
                "--subjects=",
            ],
        ),
        (
            ("TECHNICAL_PUBLISH_SUBJECT", "other.{symbol}.{timeframe}"),
            &["TECHNICAL_PUBLISH_SUBJECT (other.*.*)", "--subjects="],
        ),
        (
            ("TECHNICAL_SUBJECTS", "raw.market_data.price.*.*"),
            &["TECHNICAL_SUBJECTS", "TECHNICAL_BARS"],
        ),
        (("TECHNICAL_BARS_STREAM", "OTHER_BARS"), &["TECHNICAL_BARS"]),
        (
            ("TECHNICAL_SIGNALS_STREAM", "OTHER_SIGNALS"),
            &["OTHER_SIGNALS"],
        ),
    ];
    join_all(cases.map(|(change, shown)| waits(change, shown))).await;
}
