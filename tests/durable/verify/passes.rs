//! A stream of more than fits into memory is judged in several passes, which find the same.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use technical_analysis_agent::app;
use technical_analysis_agent::bus::{Link, Sizing, connect};
use technical_analysis_agent::config::{Config, Environment};
use technical_analysis_agent::tools::verify::{MOST, Task, VerifyReport, verify};

use super::{MARKET, delete, judged_market, letters, of, publish, signals};
use crate::ANALYSIS;

/// The environment of the agents.
struct Variables(String);

impl Environment for Variables {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        let own = [("NATS_URL", self.0.as_str())];
        let all = own.iter().chain(ANALYSIS).chain(&MARKET);
        all.map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn host(&self) -> String {
        "here".to_owned()
    }

    fn pid(&self) -> u32 {
        1
    }
}

/// What is found with so many traces kept at a time, in the order of its description.
async fn found(url: &str, most: u64) -> VerifyReport {
    let config = Config::load(&Variables(url.to_owned())).expect("a configuration");
    let link = Link::new();
    let client = connect(&config.nats, "test", &link, Sizing::default());
    let task = Task {
        config: &config,
        former: &[],
        from: None,
        to: None,
        most,
        metrics: &app::metrics(),
    };
    let client = client.await.expect("a connection");
    let mut report = verify(&client, &link, &task).await.expect("streams");
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
    let (server, js, _) = judged_market(&[]).await;
    let url = server.url();
    assert_eq!(found(&url, 50).await, found(&url, MOST).await);
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
    let once = found(&url, MOST).await;
    assert_eq!((once.totals.missing, once.totals.doubled), (8, 4));
    let stored = all.len() + refused.len();
    assert!(stored / 50 >= 5, "{stored} messages make several passes");
    assert_eq!(found(&url, 50).await, once);
}
