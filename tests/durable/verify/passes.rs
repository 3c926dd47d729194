//! A stream of more than fits into memory is judged in several passes, which find the same.

use async_nats::jetstream::Context;
use technical_analysis_agent::tools::verify::{MOST, VerifyReport};

use super::{MARKET, delete, judged_market, letters, of, publish, report_of, signals};
use crate::ANALYSIS;

/// The findings with at most `most` traces kept at a time, in the order of their description.
async fn found(js: &Context, most: u64) -> VerifyReport {
    let variables = [ANALYSIS, &MARKET].concat();
    let mut report = report_of(js, &variables, most).await;
    report.seconds = 0.0;
    for list in [
        &mut report.missing,
        &mut report.doubled,
        &mut report.different,
        &mut report.out_of_order,
        &mut report.holes,
    ] {
        list.described.sort_by_key(ToString::to_string);
    }
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn several_passes_find_what_one_finds() {
    let (_server, js, _) = judged_market(&[]).await;
    assert_eq!(found(&js, 50).await, found(&js, MOST).await);
    let (all, refused) = (signals(&js).await, letters(&js).await);
    for symbol in ["S0", "S1", "S2", "S3"] {
        let series = of(&all, symbol);
        delete(&js, "TECHNICAL_SIGNALS", series[3].seq).await;
        let (subject, payload) = (&series[5].subject, series[5].payload.clone());
        publish(&js, subject, async_nats::HeaderMap::new(), payload).await;
    }
    for letter in &refused[..4] {
        delete(&js, "TECHNICAL_SIGNALS", letter.seq).await;
    }
    let once = found(&js, MOST).await;
    assert_eq!((once.totals.missing, once.totals.doubled), (8, 4));
    let stored = all.len() + refused.len();
    assert!(stored / 50 >= 5, "{stored} messages make several passes");
    assert_eq!(found(&js, 50).await, once);
}
