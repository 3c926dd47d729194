//! Bars that are stored while one of two agents is killed or ended by turns.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::common::{Agent, NatsServer, replay};
use crate::feeder::store;
use crate::history::signals_stored;
use crate::{ANALYSIS, Variables, agent, ready_pair};

/// A bar to be stored.
pub struct Bar {
    pub symbol: u64,
    pub payload: String,
    pub id: String,
}

/// Kills the agent or ends it, and starts the next one. Before that passes more than the time between
/// two checkpoints, so that one holds whatever is open.
pub async fn replaced(
    server: &NatsServer,
    mut old: Agent,
    kill: bool,
    settings: &[(&str, &str)],
) -> Agent {
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    if kill {
        old.kill();
    } else {
        old.sigterm();
        assert_eq!(old.wait_exit(), 0);
    }
    agent(server, settings)
}

/// Payloads of signals: those of `replay` and those that are stored.
pub struct Kept {
    pub expected: Vec<String>,
    pub stored: Vec<String>,
}

/// Requires every signal of `replay` once, and that `verify` finds the same. One agent is replaced in the
/// 18th minute of each `period`, killed and ended by turns.
pub async fn assert_kept(
    settings: Variables,
    minutes: u64,
    period: u64,
    bars: impl Fn(u64) -> Vec<Bar>,
) -> Kept {
    let (server, js, [mut steady, mut other]) = ready_pair(settings).await;
    let mut sent = Vec::new();
    for n in 0..minutes {
        for bar in bars(n) {
            let subject = format!("raw.market_data.price.S{}.1m", bar.symbol);
            store(&js, &subject, &bar.payload, &bar.id).await;
            sent.push(bar.payload);
        }
        if n % period == 17 {
            let kill = n % (2 * period) == 17;
            other = replaced(&server, other, kill, settings).await;
        }
    }
    let variables: Vec<_> = ANALYSIS.iter().chain(settings).copied().collect();
    let expected = replay(&sent, &variables);
    let stored: Vec<String> = signals_stored(&js, expected.len())
        .await
        .into_iter()
        .map(|stored| String::from_utf8(stored.payload).expect("JSON"))
        .collect();
    assert_eq!(by_series(&stored), by_series(&expected));
    let url = server.url();
    let connection = [("NATS_URL", url.as_str())];
    let variables = variables.into_iter().chain(connection);
    let mut verify = Agent::start_with(&["verify", "--json"], variables);
    assert_eq!(verify.wait_exit(), 0, "{}", verify.output());
    let report: Value = serde_json::from_str(&verify.stdout().join("\n")).expect("a report");
    assert_eq!(report["ok"], true);
    steady.assert_alive();
    other.assert_alive();
    Kept { expected, stored }
}

/// The payloads of each series, in order.
fn by_series(payloads: &[String]) -> BTreeMap<String, Vec<&String>> {
    let mut series: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for payload in payloads {
        let signal: Value = serde_json::from_str(payload).expect("a signal");
        let key = format!("{} {}", signal["symbol"], signal["timeframe"]);
        series.entry(key).or_default().push(payload);
    }
    series
}
