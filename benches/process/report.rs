//! The measurements, as the tables of `docs/performance.md` and as JSON.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use technical_analysis_agent::clock;

use super::load::{Flat, Steady, percentile};

/// Everything of one run.
#[derive(Serialize)]
pub struct Report {
    pub signal_bytes: usize,
    pub lanes: Vec<LaneReport>,
    pub memory: Memory,
    /// From the start of a process to its readiness, sorted.
    pub starts: Vec<Duration>,
}

/// One process under load.
#[derive(Serialize)]
pub struct LaneReport {
    pub name: &'static str,
    /// Median of the rounds.
    pub messages_per_second: f64,
    /// Median of the rounds.
    pub cpu_us_per_message: f64,
    pub rates: Vec<Rate>,
}

/// One process at one rate.
#[derive(Serialize)]
pub struct Rate {
    pub bars_per_second: usize,
    /// 50, 90, 99 and 99.9 % of the answers took at most so many microseconds.
    pub percentiles_us: [u128; 4],
    /// Percent of one core, for every thousand bars a second.
    pub core_percent_per_1000: f64,
}

/// Resident memory, in bytes.
#[derive(Serialize)]
pub struct Memory {
    pub empty: f64,
    pub per_series: f64,
    pub series: u32,
}

impl Rate {
    #[allow(clippy::cast_precision_loss)] // thousands
    pub fn new(rate: usize, steady: &Steady) -> Self {
        let shares = [0.5, 0.9, 0.99, 0.999];
        Self {
            bars_per_second: rate,
            percentiles_us: shares.map(|share| percentile(&steady.latencies, share).as_micros()),
            core_percent_per_1000: steady.cores * 100.0 / (rate as f64 / 1_000.0),
        }
    }
}

impl LaneReport {
    pub fn new(name: &'static str, flat: &[Flat], rates: Vec<Rate>) -> Self {
        Self {
            name,
            messages_per_second: median(flat, |run| run.per_second),
            cpu_us_per_message: median(flat, |run| run.cpu_per_message) * 1e6,
            rates,
        }
    }
}

fn median(runs: &[Flat], value: impl Fn(&Flat) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(value).collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Report {
    /// One line.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and names")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{}; signals of {} bytes\n",
            machine(),
            self.signal_bytes
        )?;
        writeln!(
            f,
            "| flat out | messages/s | of the echo | CPU µs/message | of the echo |"
        )?;
        writeln!(f, "|---|---:|---:|---:|---:|")?;
        let echo = self.lanes.last().expect("the bare echo is the last");
        for lane in &self.lanes {
            writeln!(
                f,
                "| {} | {:.0} | {:.2} | {:.2} | {:.2} |",
                lane.name,
                lane.messages_per_second,
                lane.messages_per_second / echo.messages_per_second,
                lane.cpu_us_per_message,
                lane.cpu_us_per_message / echo.cpu_us_per_message,
            )?;
        }
        writeln!(
            f,
            "\n| latency, µs | bars/s | p50 | p90 | p99 | p99.9 | % of a core per 1,000 bars/s |"
        )?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|---:|")?;
        for lane in &self.lanes {
            for rate in &lane.rates {
                let [p50, p90, p99, p999] = rate.percentiles_us;
                writeln!(
                    f,
                    "| {} | {} | {p50} | {p90} | {p99} | {p999} | {:.2} |",
                    lane.name, rate.bars_per_second, rate.core_percent_per_1000
                )?;
            }
        }
        let ms = |taken: &Duration| taken.as_secs_f64() * 1e3;
        writeln!(f, "\n| process | measured | goal |\n|---|---:|---:|")?;
        writeln!(
            f,
            "| resident memory, empty | {:.1} MB | ≤ 15 MB |",
            self.memory.empty / 1e6
        )?;
        writeln!(
            f,
            "| … per series of 200 bars ({} series) | {:.1} KB | ≤ 25 KB |",
            self.memory.series,
            self.memory.per_series / 1e3
        )?;
        writeln!(
            f,
            "| start to ready, median and worst of {} | {:.0} ms, {:.0} ms | ≤ 100 ms |",
            self.starts.len(),
            ms(&self.starts[self.starts.len() / 2]),
            ms(&self.starts[self.starts.len() - 1]),
        )
    }
}

/// Date, processor and how busy it is.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    let now = clock::now().to_string();
    let day = now.split('T').next().unwrap_or_default();
    format!("{day}, {model}, {cores} cores, load average {load} at the end")
}
