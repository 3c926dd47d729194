//! Random schedules of every fault there is, against real processes. `make chaos` runs one for as
//! long as it is told; a seed gives the same schedule again.

use std::time::{Duration, Instant};

use crate::agent;
use crate::common::{Agent, NatsServer};
use crate::feeder::{Feeder, connect};
use crate::history::{settle, waits};

const SYMBOLS: usize = 16;

/// A small generator of its own (`SplitMix64`), so that a seed means the same for ever.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty());
    text.map_or(default, |text| text.parse().expect("a whole number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn chaos() {
    let seed = number("CHAOS_SEED", 1);
    let seconds = number("CHAOS_SECONDS", 20);
    let mut random = Random(seed);
    let mut server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut agents: Vec<Agent> = vec![agent(&server, &[]), agent(&server, &[])];
    agents.iter_mut().for_each(Agent::wait_ready);
    let feeder = Feeder::start(js.clone(), SYMBOLS, Duration::from_millis(1));
    let start = Instant::now();
    let mut steps = Vec::new();
    while start.elapsed() < Duration::from_secs(seconds) {
        let pause = Duration::from_millis(100 + random.below(1_500));
        tokio::time::sleep(pause).await;
        let which = random.below(agents.len() as u64) as usize;
        let step = match random.below(10) {
            0..=2 => {
                agents[which].kill();
                agents[which] = agent(&server, &[]);
                "kill"
            }
            3 | 4 => {
                agents[which].sigterm();
                let replaced = std::mem::replace(&mut agents[which], agent(&server, &[]));
                // it ends in its own time, while the next one starts
                std::thread::spawn(move || {
                    let mut replaced = replaced;
                    replaced.wait_exit()
                });
                "restart"
            }
            5 | 6 => {
                agents[which].freeze();
                tokio::time::sleep(Duration::from_millis(500 + random.below(5_000))).await;
                agents[which].thaw();
                "pause"
            }
            7 => {
                server.restart();
                "server"
            }
            8 if agents.len() < 4 => {
                agents.push(agent(&server, &[]));
                "up"
            }
            _ if agents.len() > 1 => {
                let leaving = agents.swap_remove(which);
                leaving.sigterm();
                std::thread::spawn(move || {
                    let mut leaving = leaving;
                    leaving.wait_exit()
                });
                "down"
            }
            _ => "nothing",
        };
        steps.push(step);
    }
    let (bars, malformed) = feeder.stop().await;
    println!(
        "seed {seed}: {bars} bars, {malformed} malformed messages, {} agents in the end, faults: {}",
        agents.len(),
        steps.join(" ")
    );
    let healed = Instant::now();
    settle(&js, bars, SYMBOLS as u64).await;
    let took = healed.elapsed().as_secs_f64();
    let (median, longest) = waits(&js).await;
    println!(
        "every signal is there once, in order and byte for byte, {took:.1} s after the last fault; \
         from bar to signal: median {median:.1?}, longest {longest:.1?}"
    );
}
