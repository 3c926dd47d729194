//! Core delivery: a reset reaches every member at the same place among the bars of the series.

use serde_json::{Value, json};

use crate::churn::assert_kept;
use crate::common::{Agent, NatsServer, Options, collect_signals, flat, user_of};
use crate::group::shared;
use crate::listening;

/// A bar one minute later than the last, or some hundred back after a reset. Each series is reset
/// in every tenth round.
fn bar_after_resets(round: u64, symbol: usize) -> Vec<Value> {
    let turn = round + symbol as u64;
    let mut messages = Vec::new();
    if turn.is_multiple_of(10) {
        let series = json!({ "symbol": format!("R{symbol}"), "timeframe": "1m" });
        let mut reset = json!({ "reset": series });
        // with and without an id
        if turn.is_multiple_of(20) {
            reset["reset"]["id"] = format!("{turn}").into();
        }
        messages.push(reset);
    }
    let minute = 100_000 - 100 * (turn / 10) + turn % 10;
    #[allow(clippy::cast_precision_loss)]
    let close = 10.0 + (turn * 7 % 13) as f64;
    messages.push(flat(&format!("R{symbol}"), minute, close));
    messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_cost_and_double_nothing_while_members_come_and_go() {
    assert_eq!(assert_kept(bar_after_resets, 15).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_resets_a_series_in_every_member() {
    let (server, client, signals) = listening().await;
    let mut members = shared(&server, ["a", "b"]).await;
    for minute in 100..107 {
        crate::common::send(&client, &flat("A", minute, 10.0)).await;
    }
    signals.wait_for(7).await;
    let url = server.url();
    let variables = [("NATS_URL", url.as_str())];
    let mut reset = Agent::start_with(&["reset", "A", "1m", "--json"], variables);
    assert_eq!(reset.wait_exit(), 0, "{}", reset.output());
    let stdout = reset.stdout();
    let report: Value = stdout
        .iter()
        .find_map(|line| serde_json::from_str(line).ok())
        .unwrap();
    assert_eq!(
        (&report["done"], &report["forgotten"]),
        (&true.into(), &7.into())
    );
    let owner = report["by"][0].as_str().unwrap();
    assert_eq!(report["by"].as_array().unwrap().len(), 1, "{report}");
    let came = signals.messages();
    assert_eq!(Some(owner), came[0].header("Ta-Agent"));
    // whoever is left has it as well
    let at = usize::from(owner == "b");
    members[at].sigterm();
    assert_eq!(members[at].wait_exit(), 0);
    crate::common::send(&client, &flat("A", 3, 11.0)).await;
    let restarted = signals.wait_for(8).await[7].json();
    assert_eq!(
        (&restarted["bars_analyzed"], &restarted["gap_bars"]),
        (&1.into(), &0.into()),
        "{restarted}"
    );
    assert_eq!(restarted["timestamp"], "2024-01-01T00:03:00Z");

    let mut unknown = Agent::start_with(&["reset", "B", "1m"], variables);
    assert_eq!(unknown.wait_exit(), 65, "{}", unknown.output());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_route_resets_a_series_under_the_permissions_that_are_printed() {
    let core = ("TECHNICAL_DELIVERY", "core");
    let token = ("HTTP_ADMIN_TOKEN", "secret");
    let users = user_of("agent", "agent", &[core, token]);
    let server = NatsServer::start(Options {
        jetstream: false,
        config: format!("authorization {{ users: [\n{{ user: root, password: p }}\n{users}] }}"),
    });
    let options = async_nats::ConnectOptions::with_user_and_password("root".into(), "p".into());
    let client = options.connect(server.url()).await.unwrap();
    let signals = collect_signals(&client, "insight.technical.>").await;
    let url = server.url();
    let login = [("NATS_USER", "agent"), ("NATS_PASSWORD", "p")];
    let mut agent = Agent::start(
        [
            ("NATS_URL", url.as_str()),
            ("TECHNICAL_MIN_BARS_REQUIRED", "1"),
            core,
            token,
        ]
        .into_iter()
        .chain(login),
    );
    agent.wait_ready();
    for minute in 100..103 {
        crate::common::send(&client, &flat("A", minute, 10.0)).await;
    }
    signals.wait_for(3).await;
    let done = agent.post("/admin/series/A/1m/reset", Some("secret"), "");
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(done.json()["forgotten"], 3, "{}", done.body);
    assert_eq!(agent.get("/readyz").status, 200, "{}", agent.output());
}
