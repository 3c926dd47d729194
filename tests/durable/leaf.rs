//! Agents on leaf nodes, and the `JetStream` domain of a hub.

use std::process::Command;

use tempfile::TempDir;

use crate::agent;
use crate::common::{Agent, NatsServer, free_port, until};
use crate::feeder::{connect, feed};
use crate::history::settle;

/// A hub with a domain of its own, and the port for its leaf nodes.
pub struct Hub {
    pub server: NatsServer,
    leaves: u16,
    _store: TempDir,
}

impl Hub {
    pub fn start() -> Self {
        let (store, leaves) = (tempfile::tempdir().expect("a directory"), free_port());
        let server = NatsServer::with(format!(
            "server_name: hub\nleafnodes {{ listen: \"127.0.0.1:{leaves}\" }}\n\
             jetstream {{ store_dir: \"{}\", domain: hub }}",
            store.path().display()
        ));
        Self {
            server,
            leaves,
            _store: store,
        }
    }

    /// A leaf node of it, with this configuration besides.
    pub fn leaf(&self, name: &str, more: &str) -> NatsServer {
        let leaf = NatsServer::with(format!("server_name: {name}\n{}\n{more}", self.remote()));
        until("the leaf node to be connected", || {
            leaf.log()
                .contains("Leafnode connection created")
                .then_some(())
        });
        leaf
    }

    /// The configuration of a leaf node of it.
    pub fn remote(&self) -> String {
        let port = self.leaves;
        format!("leafnodes {{ remotes: [{{ url: \"nats://127.0.0.1:{port}\" }}] }}")
    }
}

const DOMAIN: (&str, &str) = ("NATS_JETSTREAM_DOMAIN", "hub");

/// Waits until these own all nine partitions together, none of them none.
fn wait_shared(agents: &[&Agent]) {
    until("the partitions to be shared", || {
        let owned: Vec<f64> = agents
            .iter()
            .map(|agent| agent.metrics().sum("technical_partitions_owned"))
            .collect();
        let shared = owned.iter().all(|owned| *owned > 0.0);
        #[allow(clippy::float_cmp)] // counts
        (shared && owned.iter().sum::<f64>() == 9.0).then_some(())
    });
}

/// Agents on the hub and on a leaf are one group: each signal once, whichever of them dies.
async fn hub_and_leaf_are_one_group(leaf: &NatsServer, hub: &Hub, setting: (&str, &str)) {
    let mut on_leaf = agent(leaf, &[setting]);
    on_leaf.wait_ready();
    let mut on_hub = agent(&hub.server, &[]);
    on_hub.wait_ready();
    wait_shared(&[&on_leaf, &on_hub]);
    let js = connect(&hub.server).await;
    let from_leaf = connect(leaf).await;
    feed(&js, 0..20).await;
    feed(&from_leaf, 20..30).await;
    settle(&js, 30, 1).await;
    on_hub.kill();
    feed(&from_leaf, 30..40).await;
    settle(&js, 40, 1).await;
    on_leaf.sigterm();
    assert_eq!(on_leaf.wait_exit(), 0);
    let mut last = agent(&hub.server, &[DOMAIN]);
    last.wait_ready();
    feed(&js, 40..50).await;
    settle(&js, 50, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_on_a_leaf_without_jetstream_works_in_the_domain_of_the_hub() {
    let hub = Hub::start();
    let leaf = hub.leaf("plain", "");
    hub_and_leaf_are_one_group(&leaf, &hub, DOMAIN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_on_a_leaf_with_a_domain_of_its_own_works_in_that_of_the_hub() {
    let hub = Hub::start();
    let store = tempfile::tempdir().expect("a directory");
    let own = format!(
        "jetstream {{ store_dir: \"{}\", domain: leaf }}",
        store.path().display()
    );
    let leaf = hub.leaf("own", &own);
    let prefix = ("NATS_JETSTREAM_PREFIX", "$JS.hub.API");
    hub_and_leaf_are_one_group(&leaf, &hub, prefix).await;
    let own = connect(&leaf).await;
    assert!(own.get_stream("TECHNICAL_SIGNALS").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_config_prints_is_enough_on_a_leaf_node() {
    let output = Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"))
        .args(["config", "--permissions"])
        .env_clear()
        .envs([DOMAIN, ("TECHNICAL_DELIVERY", "durable")])
        .output()
        .expect("the agent starts");
    assert!(output.status.success(), "{output:?}");
    let block = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(!block.contains("$JS.API"), "{block}");
    let hub = Hub::start();
    let users = format!("authorization {{ users: [{{ user: agent, password: a, {block} }}] }}");
    let leaf = hub.leaf("plain", &users);
    let user = [("NATS_USER", "agent"), ("NATS_PASSWORD", "a"), DOMAIN];
    let mut running = agent(&leaf, &user);
    running.wait_ready();
    let js = connect(&hub.server).await;
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    running.sigterm();
    assert_eq!(running.wait_exit(), 0);
    assert!(!leaf.log().contains("Violation"), "{}", leaf.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_without_a_domain_says_what_to_set_and_a_wrong_domain_is_named() {
    let hub = Hub::start();
    let leaf = hub.leaf("plain", "");
    for (variables, shown) in [
        (vec![], "NATS_JETSTREAM_DOMAIN"),
        (
            vec![("NATS_JETSTREAM_DOMAIN", "hbu")],
            "NATS_JETSTREAM_DOMAIN=hbu",
        ),
        (
            // not this server's to do without
            vec![
                ("NATS_JETSTREAM_DOMAIN", "hbu"),
                ("TECHNICAL_DELIVERY", "auto"),
            ],
            "NATS_JETSTREAM_DOMAIN=hbu",
        ),
    ] {
        let waiting = agent(&leaf, &variables);
        until(&format!("{shown} in /readyz"), || {
            let ready = waiting.try_get("/readyz")?;
            assert_ne!(ready.status, 200, "{}", ready.body);
            ready.body.contains(shown).then_some(())
        });
        assert_eq!(waiting.get("/livez").status, 200);
    }
}
