//! One kind of trouble with the network at a time: between one agent and the server, while the
//! other agent has none.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::jetstream::Context;
use futures_util::TryStreamExt as _;

use crate::agent;
use crate::common::{Agent, Ending, NatsServer, Network, Proxy, until_async};
use crate::feeder::{Feeder, connect, feed};
use crate::history::settle;

const SYMBOLS: usize = 12;
/// Partitions and the one for subjects without a symbol.
const UNITS: u64 = 9;
/// The lease of 2 s and its grace.
const LEASE: Duration = Duration::from_millis(2_700);

/// Two agents, each with a network of its own, and bars that flow past it.
struct Pair {
    server: NatsServer,
    js: Context,
    networks: [Proxy; 2],
    agents: [Agent; 2],
    feeder: Feeder,
}

impl Pair {
    async fn start() -> Self {
        let server = NatsServer::jetstream();
        let js = connect(&server).await;
        let networks = [Proxy::to(server.port()), Proxy::to(server.port())];
        let mut agents = [0, 1].map(|at: usize| {
            let url = networks[at].url();
            agent(&server, &[("NATS_URL", &url)])
        });
        agents.iter_mut().for_each(Agent::wait_ready);
        let feeder = Feeder::start(js.clone(), SYMBOLS, Duration::from_millis(1));
        let pair = Self {
            server,
            js,
            networks,
            agents,
            feeder,
        };
        pair.wait_owned("both own their part", |owned| {
            owned[0].abs_diff(owned[1]) == 1
        })
        .await;
        pair
    }

    /// Waits until they own so many partitions each, by what they say of themselves.
    async fn wait_owned(&self, what: &str, is_so: impl Fn([u64; 2]) -> bool) {
        until_async(what, || {
            let owned = self.agents.each_ref().map(|agent| {
                let status = agent.try_get("/status")?.json();
                status["owned_partitions"].as_u64()
            });
            match owned {
                [Some(first), Some(second)] => is_so([first, second]).then_some(()),
                _ => None,
            }
        })
        .await;
    }

    /// The first agent's network is bad for longer than its lease: the second takes all over, and
    /// when it heals both share again, and nothing was lost or doubled.
    async fn survives(mut self, trouble: Network) {
        self.networks[0].set(trouble);
        let began = tokio::time::Instant::now();
        self.wait_owned("the second owns all", |owned| owned[1] == UNITS)
            .await;
        // and for some while more, with whatever the first does about it
        tokio::time::sleep_until(began + 2 * LEASE).await;
        self.networks[0].set(Network::Up);
        self.wait_owned("both share again", |owned| {
            owned[0].abs_diff(owned[1]) == 1 && owned[0] + owned[1] == UNITS
        })
        .await;
        let (bars, _) = self.feeder.stop().await;
        settle(&self.js, bars, SYMBOLS as u64).await;
        for agent in &mut self.agents {
            assert_eq!(agent.get("/readyz").status, 200);
            agent.sigterm();
            assert_eq!(agent.wait_exit(), 0);
        }
        drop(self.server);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_cut_off_beyond_its_lease_is_replaced_and_comes_back() {
    let pair = Pair::start().await;
    pair.survives(Network::Cut(Ending::Reset)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_network_falls_silent_is_replaced_and_comes_back() {
    let pair = Pair::start().await;
    pair.survives(Network::Silent).await;
}

/// Longer than a client needs to notice that nobody answers its pings.
#[tokio::test(flavor = "multi_thread")]
async fn a_silence_that_is_noticed_and_answered_by_a_new_connection_costs_nothing() {
    let mut pair = Pair::start().await;
    pair.networks[0].set(Network::Silent);
    pair.wait_owned("the second owns all", |owned| owned[1] == UNITS)
        .await;
    pair.agents[0].wait_log("the NATS connection is lost");
    pair.networks[0].set(Network::Up);
    pair.wait_owned("both share again", |owned| {
        owned[0].abs_diff(owned[1]) == 1 && owned[0] + owned[1] == UNITS
    })
    .await;
    let (bars, _) = pair.feeder.stop().await;
    settle(&pair.js, bars, SYMBOLS as u64).await;
    for agent in &mut pair.agents {
        agent.sigterm();
        assert_eq!(agent.wait_exit(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_in_the_middle_of_commits_lose_and_double_nothing() {
    let pair = Pair::start().await;
    for round in 0..16 {
        let ending = if round % 4 < 2 {
            Ending::Reset
        } else {
            Ending::Close
        };
        let network = &pair.networks[round % 2];
        network.set(Network::Cut(ending));
        tokio::time::sleep(Duration::from_millis(5 + 10 * round as u64)).await;
        network.set(Network::Up);
        tokio::time::sleep(Duration::from_millis(350)).await;
    }
    let (bars, _) = pair.feeder.stop().await;
    settle(&pair.js, bars, SYMBOLS as u64).await;
    assert!(pair.agents.iter().all(|agent| {
        let reconnects = agent.metrics().get("technical_nats_reconnects_total");
        reconnects.is_some_and(|n| n >= 4.0)
    }));
}

/// The proxies are the only way to the server: a single one tells its clients of no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_server_offers_its_clients_no_way_round_the_proxy() {
    let server = NatsServer::jetstream();
    let proxy = Proxy::to(server.port());
    let client = async_nats::connect(proxy.url())
        .await
        .expect("a connection");
    assert_eq!(client.server_info().connect_urls, [""; 0]);
    let pool = client.server_pool().await.expect("the client's servers");
    assert_eq!(pool.len(), 1);
    // an inbox that nobody listens on is answered by the server itself
    let inbox = client.new_inbox();
    let round_trip = || client.request(inbox.clone(), "".into());
    let answered = round_trip().await.expect_err("nobody listens");
    assert_eq!(answered.kind(), RequestErrorKind::NoResponders);
    proxy.set(Network::Silent);
    let silence = tokio::time::timeout(Duration::from_millis(300), round_trip());
    assert!(silence.await.is_err(), "a silent network carries nothing");
}

/// Bars that wait go on waiting while reading has to begin again, and the lag says so.
#[tokio::test(flavor = "multi_thread")]
async fn the_lag_does_not_become_0_because_reading_fails() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let network = Proxy::to(server.port());
    let url = network.url();
    let mut running = agent(&server, &[("NATS_URL", &url)]);
    running.wait_ready();
    running.freeze();
    feed(&js, 0..4_000).await;
    // reading again takes several round trips
    network.set(Network::Slow(Duration::from_millis(300)));
    running.thaw();
    let lag = || running.metrics().sum("technical_consumer_lag_bars");
    until_async("bars to wait", || (lag() > 2_000.0).then_some(())).await;
    let stream = js.get_stream("TECHNICAL_BARS").await.unwrap();
    let mut tried = 0;
    while tried < 3 && lag() > 1_000.0 {
        let names: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
        for name in names {
            // one that has ended meanwhile is none to delete
            let _ = stream.delete_consumer(&name).await;
        }
        for _ in 0..50 {
            let now = lag();
            assert!(now > 0.0, "0 after {tried} tries, with bars that wait");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tried += 1;
    }
    assert!(tried > 0, "nothing was tried");
    network.set(Network::Up);
    settle(&js, 4_000, 1).await;
    running.wait_metrics(&[("technical_consumer_lag_bars", 0.0)]);
}
