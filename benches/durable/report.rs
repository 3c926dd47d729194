//! The measurements, as the tables of `docs/performance.md` and as JSON.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::load::percentile;
use super::stored::Signals;

/// Everything of one run.
#[derive(Default, Serialize)]
pub struct Report {
    /// By a bare process.
    pub carried: Vec<Backlog>,
    pub backlogs: Vec<Backlog>,
    pub waits: Vec<Waits>,
    pub moves: Vec<Moved>,
    /// From the start of a process to its readiness, with 10,000 series in checkpoints.
    pub recovery: Option<Duration>,
}

/// A backlog that was worked off.
#[derive(Serialize)]
pub struct Backlog {
    /// 0 for the bare process.
    pub agents: usize,
    /// Of the bare process: 1 with headers, 0 without.
    pub partitions: u32,
    pub per_second: f64,
    pub cpu_us_per_bar: f64,
}

/// Wait of bars for their signals at a steady rate.
#[derive(Serialize)]
pub struct Waits {
    pub bars_per_second: usize,
    /// 50, 90, 99 and 99.9 % waited at most so many microseconds.
    pub percentiles_us: [u128; 4],
    pub cores: f64,
}

/// The longest wait while the members changed, of each try.
#[derive(Serialize)]
pub struct Moved {
    pub what: &'static str,
    pub longest: Vec<Duration>,
}

impl Backlog {
    #[allow(clippy::cast_precision_loss)]
    pub fn new(agents: usize, partitions: u32, signals: &Signals, cpu: f64) -> Self {
        Self {
            agents,
            partitions,
            per_second: signals.per_second(),
            cpu_us_per_bar: cpu * 1e6 / signals.len() as f64,
        }
    }
}

impl Waits {
    pub fn new(bars_per_second: usize, waits: &[Duration], cores: f64) -> Self {
        let shares = [0.5, 0.9, 0.99, 0.999];
        Self {
            bars_per_second,
            percentiles_us: shares.map(|share| percentile(waits, share).as_micros()),
            cores,
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Report {
    /// One line.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and names")
    }

    fn backlog(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n| backlog | bars/s | of the bare process | CPU µs/bar |"
        )?;
        writeln!(f, "|---|---:|---:|---:|")?;
        let bare = |headers: u32| {
            let runs = || self.carried.iter().filter(|run| run.partitions == headers);
            let rate = median(runs().map(|run| run.per_second));
            (rate, median(runs().map(|run| run.cpu_us_per_bar)))
        };
        let least = bare(0).0;
        let mut row = |name: &str, rate: f64, cpu: f64| {
            writeln!(f, "| {name} | {rate:.0} | {:.2} | {cpu:.1} |", rate / least)
        };
        row("bare consume and publish", least, bare(0).1)?;
        row("… with the agent's headers", bare(1).0, bare(1).1)?;
        let mut shapes: Vec<(usize, u32)> = Vec::new();
        for run in &self.backlogs {
            if !shapes.contains(&(run.agents, run.partitions)) {
                shapes.push((run.agents, run.partitions));
            }
        }
        for (agents, partitions) in shapes {
            let of = |run: &&Backlog| (run.agents, run.partitions) == (agents, partitions);
            let rate = median(self.backlogs.iter().filter(of).map(|run| run.per_second));
            let cpu = median(
                self.backlogs
                    .iter()
                    .filter(of)
                    .map(|run| run.cpu_us_per_bar),
            );
            row(
                &format!("{agents} agents, {partitions} partitions"),
                rate,
                cpu,
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.backlogs.is_empty() {
            self.backlog(f)?;
        }
        if !self.waits.is_empty() {
            writeln!(
                f,
                "\n| bar to signal, ms | p50 | p90 | p99 | p99.9 | cores |"
            )?;
            writeln!(f, "|---|---:|---:|---:|---:|---:|")?;
        }
        #[allow(clippy::cast_precision_loss)]
        for waits in &self.waits {
            let [p50, p90, p99, p999] = waits.percentiles_us.map(|us| us as f64 / 1e3);
            writeln!(
                f,
                "| {} bars/s | {p50:.1} | {p90:.1} | {p99:.1} | {p999:.1} | {:.2} |",
                waits.bars_per_second, waits.cores
            )?;
        }
        if !self.moves.is_empty() {
            writeln!(f, "\n| longest wait at 1,000 bars/s, ms | of each try |")?;
            writeln!(f, "|---|---:|")?;
        }
        for moved in &self.moves {
            let each: Vec<String> = moved
                .longest
                .iter()
                .map(|longest| longest.as_millis().to_string())
                .collect();
            writeln!(f, "| {} | {} |", moved.what, each.join(", "))?;
        }
        if let Some(took) = self.recovery {
            writeln!(
                f,
                "\n10,000 series of 200 bars ready {:.2} s after the start",
                took.as_secs_f64()
            )?;
        }
        Ok(())
    }
}
