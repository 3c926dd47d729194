//! Bars are stored while one of two agents is killed and ended in turn.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Agent, NatsServer, replay};
use crate::feeder::store;
use crate::history::signals_stored;
use crate::{ANALYSIS, Variables, agent, ready_pair};

/// A bar to be stored: minute `minute` of `symbol`, with values of its own for each `correction`.
pub struct Sent {
    pub symbol: u64,
    pub minute: u64,
    pub correction: u64,
}

/// A message to be stored.
pub struct Message {
    pub subject: String,
    pub payload: String,
    pub id: String,
}

impl Sent {
    /// The message in turn `n`; `None` for the minutes that are missing.
    fn message(&self, n: u64) -> Option<Message> {
        Some(Message {
            subject: format!("raw.market_data.price.S{}.1m", self.symbol),
            payload: self.payload()?,
            id: format!("{}-{n}-{}-{}", self.symbol, self.minute, self.correction),
        })
    }

    fn payload(&self) -> Option<String> {
        let turn = self.minute * 7 + self.symbol * 3;
        if turn.is_multiple_of(13) {
            return None;
        }
        let price = |k: u64| {
            let ticks = 1_000 + (turn * 31 + k * 17 + self.correction * 5) % 97;
            f64::from(u32::try_from(ticks).unwrap()) / 10.0
        };
        let (open, close) = (price(1), price(2));
        let bar = json!({
            "symbol": format!("S{}", self.symbol), "timeframe": "1m",
            "timestamp": 1_704_164_400 + 60 * self.minute,
            "open": open, "high": open.max(close) + 0.3, "low": open.min(close) - 0.2, "close": close,
            "volume": format!("{}.{}", turn % 11, turn % 7),
        });
        Some(bar.to_string())
    }
}

/// Kills the agent or ends it, and starts the next one. It waits for longer than the time between
/// two checkpoints before, so that one has everything that is open.
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

/// Payloads of signals: those of `replay` and the stored ones.
pub struct Kept {
    pub expected: Vec<String>,
    pub stored: Vec<String>,
}

/// Asserts that every signal of `replay` is stored once, and that `verify` agrees. One agent is
/// replaced in the 18th minute of each `period`, killed and ended in turn.
pub async fn assert_kept(
    settings: Variables,
    minutes: u64,
    period: u64,
    bars: impl Fn(u64) -> Vec<Sent>,
) -> Kept {
    let messages = |n| bars(n).iter().filter_map(|bar| bar.message(n)).collect();
    assert_all_kept(settings, minutes, period, messages).await
}

/// [`assert_kept`] for any messages, those of turn `n` together.
pub async fn assert_all_kept(
    settings: Variables,
    turns: u64,
    period: u64,
    messages: impl Fn(u64) -> Vec<Message>,
) -> Kept {
    let (server, js, [mut steady, mut other]) = ready_pair(settings).await;
    let mut sent = Vec::new();
    for n in 0..turns {
        for message in messages(n) {
            store(&js, &message.subject, &message.payload, &message.id).await;
            sent.push(message.payload);
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
