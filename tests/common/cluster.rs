//! Three nats-servers that are one: JetStream keeps every stream of three replicas on all of them.

use std::time::{Duration, Instant};

use async_nats::jetstream::{self, Context};
use futures_util::StreamExt as _;

use super::{NatsServer, Options, PATIENCE, free_port};

const NODES: usize = 3;

/// Three servers with routes between them, each with a store of its own that outlives a restart.
/// They tell their clients of no other address than the one they came by.
pub struct Cluster {
    nodes: Vec<NatsServer>,
}

impl Cluster {
    /// Starts them and returns once they have chosen who leads. Node *n* is named `n<n>` and
    /// tagged `node:<n>`; all are tagged `all`.
    pub async fn start() -> Self {
        // A port that was free may be taken by another test meanwhile: then all again.
        for _ in 0..5 {
            let routes: Vec<u16> = (0..NODES).map(|_| free_port()).collect();
            let nodes: Option<Vec<NatsServer>> = (0..NODES).map(|at| node(at, &routes)).collect();
            if let Some(nodes) = nodes {
                let cluster = Self { nodes };
                if cluster.elects().await {
                    return cluster;
                }
            }
        }
        panic!("no three servers find to each other");
    }

    pub fn nodes(&self) -> &[NatsServer] {
        &self.nodes
    }

    /// `kill -9`.
    pub fn kill(&mut self, at: usize) {
        self.nodes[at].kill();
    }

    /// Starts it again, after a kill if it still runs, on the same store.
    pub fn restart(&mut self, at: usize) {
        self.nodes[at].restart();
    }

    /// The place of the node with this name.
    pub fn place(name: &str) -> usize {
        let place = name.strip_prefix('n').and_then(|place| place.parse().ok());
        place.unwrap_or_else(|| panic!("no node is named {name}"))
    }

    /// Returns true if JetStream works on them before the time limit.
    async fn elects(&self) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Ok(client) = async_nats::connect(self.nodes[0].url()).await {
                let mut js = jetstream::new(client);
                js.set_timeout(Duration::from_millis(500));
                if js.query_account().await.is_ok() {
                    return true;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// Waits until every stream has a leader and all its replicas are there and up to date, so
    /// that any one node may fail.
    pub async fn wait_in_sync(&self, js: &Context) {
        let start = Instant::now();
        let mut last = String::new();
        while start.elapsed() < 2 * PATIENCE {
            match out_of_sync(js).await {
                None => return,
                Some(told) => last = told,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the servers do not come to agree: {last}");
    }
}

/// The first stream that could not bear the loss of a node, and why.
async fn out_of_sync(js: &Context) -> Option<String> {
    let mut streams = js.streams();
    let mut seen = 0;
    while let Some(stream) = streams.next().await {
        let info = match stream {
            Ok(info) => info,
            Err(error) => return Some(error.to_string()),
        };
        seen += 1;
        let name = &info.config.name;
        let Some(cluster) = info.cluster else {
            return Some(format!("{name} is in no cluster"));
        };
        if cluster.leader.is_none() {
            return Some(format!("{name} has no leader"));
        }
        if cluster.replicas.len() + 1 < info.config.num_replicas {
            return Some(format!("{name} lacks a replica"));
        }
        if let Some(replica) = cluster.replicas.iter().find(|r| !r.current || r.offline) {
            return Some(format!("{name} is behind on {}", replica.name));
        }
    }
    (seen == 0).then(|| "there are no streams".to_owned())
}

fn node(at: usize, routes: &[u16]) -> Option<NatsServer> {
    let others: Vec<String> = routes
        .iter()
        .map(|port| format!("\"nats://127.0.0.1:{port}\""))
        .collect();
    NatsServer::try_start(Options {
        jetstream: true,
        config: format!(
            "server_name: n{at}\nserver_tags: [\"node:{at}\", \"all\"]\n\
             cluster {{ name: three, listen: \"127.0.0.1:{}\", no_advertise: true, \
             routes: [{}] }}\n",
            routes[at],
            others.join(", ")
        ),
    })
}
