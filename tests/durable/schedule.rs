//! Order and times of faults: a function of the seed alone, whatever the agents do meanwhile.
//!
//! Faults are drawn like cards: every kind comes before any comes again, so that a short run has
//! them all, and the seed decides about their order, their victims and how long they last.

use std::time::Duration;

use crate::common::{Ending, Network};

/// A small generator of its own (`SplitMix64`), so that a seed means the same for ever.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// One fault. Agents and servers are told by their place in the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// `kill -9` of an agent, and another in its place.
    Kill(usize),
    /// SIGTERM of an agent while another starts in its place.
    Restart(usize),
    /// SIGSTOP, and SIGCONT after so long.
    Pause(usize, Duration),
    /// The network of an agent is like this for so long.
    Network(usize, Network, Duration),
    /// The end of a server, and its start on the same store after so long.
    Server(usize, End, Duration),
    /// Number of agents from now on.
    Scale(usize),
    /// All agents are restarted with the other configuration, one after the other.
    Roll,
}

/// End of a server. One that ended in good order and is killed the next time brings back records
/// that expired between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// SIGTERM.
    Stopped,
    /// `kill -9`.
    Killed,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kill(which) => write!(f, "kill {which}"),
            Self::Restart(which) => write!(f, "restart {which}"),
            Self::Pause(which, time) => write!(f, "pause {which} for {time:?}"),
            Self::Network(which, network, time) => {
                write!(f, "network of {which} {network:?} for {time:?}")
            }
            Self::Server(which, end, down) => {
                write!(f, "server {which} {end:?}, down for {down:?}")
            }
            Self::Scale(agents) => write!(f, "scale to {agents}"),
            Self::Roll => write!(f, "roll"),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Card {
    Kill,
    Restart,
    Pause,
    Reset,
    Close,
    Silent,
    Slow,
    Server,
    Stop,
    Scale,
    Roll,
}

/// Each kind as often as it comes in one round of the cards.
const DECK: [Card; 17] = [
    Card::Kill,
    Card::Kill,
    Card::Kill,
    Card::Restart,
    Card::Restart,
    Card::Pause,
    Card::Pause,
    Card::Reset,
    Card::Close,
    Card::Silent,
    Card::Silent,
    Card::Slow,
    Card::Server,
    Card::Scale,
    Card::Scale,
    Card::Scale,
    Card::Roll,
];

/// One after the other, each time the number of agents is changed.
const SIZES: [usize; 3] = [1, 5, 2];

/// The faults of a seed, without end, each with the time to wait before it.
pub struct Schedule {
    random: Random,
    deck: Vec<Card>,
    agents: usize,
    servers: u64,
    scaled: usize,
}

impl Schedule {
    /// Beginning with so many agents and servers.
    pub const fn new(seed: u64, agents: usize, servers: usize) -> Self {
        Self {
            random: Random::new(seed),
            deck: Vec::new(),
            agents,
            servers: servers as u64,
            scaled: 0,
        }
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.random.below(to - from))
    }

    fn draw(&mut self) -> Card {
        if self.deck.is_empty() {
            self.deck.extend(DECK);
            if self.servers > 1 {
                self.deck.extend([Card::Server; 2]);
            } else {
                self.deck.push(Card::Stop);
            }
        }
        let which = self.random.below(self.deck.len() as u64) as usize;
        self.deck.swap_remove(which)
    }
}

impl Iterator for Schedule {
    type Item = (Duration, Step);

    fn next(&mut self) -> Option<Self::Item> {
        let wait = self.millis(100, 1_200);
        let card = self.draw();
        let which = self.random.below(self.agents as u64) as usize;
        let step = match card {
            Card::Kill => Step::Kill(which),
            Card::Restart => Step::Restart(which),
            Card::Pause => Step::Pause(which, self.millis(500, 4_000)),
            Card::Reset => {
                let time = self.millis(20, 5_000);
                Step::Network(which, Network::Cut(Ending::Reset), time)
            }
            Card::Close => {
                let time = self.millis(20, 1_000);
                Step::Network(which, Network::Cut(Ending::Close), time)
            }
            Card::Silent => Step::Network(which, Network::Silent, self.millis(500, 12_000)),
            Card::Slow => {
                let late = self.millis(5, 150);
                Step::Network(which, Network::Slow(late), self.millis(1_000, 4_000))
            }
            Card::Stop => Step::Server(0, End::Stopped, self.millis(0, 1_500)),
            Card::Server => {
                let which = self.random.below(self.servers) as usize;
                // of three, the others have to find a new leader meanwhile
                let longest = if self.servers > 1 { 8_000 } else { 1_500 };
                Step::Server(which, End::Killed, self.millis(0, longest))
            }
            Card::Scale => {
                self.agents = SIZES[self.scaled % SIZES.len()];
                self.scaled += 1;
                Step::Scale(self.agents)
            }
            Card::Roll => Step::Roll,
        };
        Some((wait, step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(seed: u64, servers: usize) -> Vec<(Duration, Step)> {
        Schedule::new(seed, 2, servers).take(200).collect()
    }

    #[test]
    fn a_seed_is_a_schedule() {
        assert_eq!(steps(7, 1), steps(7, 1));
        assert_ne!(steps(7, 1), steps(8, 1));
    }

    #[test]
    fn the_only_server_is_stopped_and_killed_in_every_round() {
        for round in steps(3, 1).chunks_exact(DECK.len() + 1) {
            for end in [End::Stopped, End::Killed] {
                let ends = |step: &Step| matches!(step, Step::Server(0, how, _) if *how == end);
                assert_eq!(round.iter().filter(|(_, step)| ends(step)).count(), 1);
            }
        }
    }

    #[test]
    fn every_kind_comes_in_every_round_and_hits_what_is_there() {
        for seed in 0..50 {
            let steps = steps(seed, 3);
            let mut agents = 2;
            for round in steps.chunks_exact(DECK.len() + 2) {
                let kind = |step: &Step| std::mem::discriminant(step);
                let mut kinds: Vec<_> = round.iter().map(|(_, step)| kind(step)).collect();
                kinds.sort_by_key(|kind| format!("{kind:?}"));
                kinds.dedup();
                assert_eq!(kinds.len(), 7);
                for (_, step) in round {
                    match step {
                        Step::Kill(which)
                        | Step::Restart(which)
                        | Step::Pause(which, _)
                        | Step::Network(which, ..) => assert!(*which < agents),
                        Step::Server(which, ..) => assert!(*which < 3),
                        Step::Scale(to) => agents = *to,
                        Step::Roll => {}
                    }
                }
            }
        }
    }
}
