//! Result of a run: one summary for people, and one line for a history of runs.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::Context;

use crate::history::{latencies, median_and_longest};
use crate::verdict::Verdict;

/// Nanoseconds since 1970 by the servers' clock, which is this machine's.
pub fn now() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a clock after 1970").as_nanos() as i128
}

/// Beginning of each phase of a run.
#[derive(Debug, Default)]
pub struct Marks {
    /// The last fault had ended.
    pub healed: i128,
    /// Fresh bars were stored.
    pub fresh: i128,
    /// Nothing went wrong any more.
    pub calm: i128,
    /// One had joined; one was about to leave.
    pub joined: i128,
    /// One had left.
    pub left: i128,
    /// One was killed.
    pub killed: i128,
    /// It was replaced.
    pub replaced: i128,
}

/// One run.
#[derive(Debug, Default)]
pub struct Run {
    pub seed: u64,
    pub nodes: usize,
    pub seconds: u64,
    pub faults: usize,
    pub bars: u64,
    pub refused: u64,
}

/// Wait of the bars for their signals.
#[derive(Debug, Default)]
pub struct Figures {
    /// From the last fault's end until everything due was there.
    pub caught_up: Duration,
    /// The longest of the fresh bars.
    pub fresh: Duration,
    /// Of all bars under faults.
    pub median: Duration,
    pub longest: Duration,
    /// The longest while one joined, left, was killed and replaced.
    pub joined: Duration,
    pub left: Duration,
    pub killed: Duration,
}

impl Figures {
    /// By the times at which the streams stored what they contain.
    pub async fn of(js: &Context, marks: &Marks) -> Self {
        let all = latencies(js).await;
        let between = |from: i128, to: i128| {
            let of = all.iter().filter(|(at, _)| (from..to).contains(at));
            median_and_longest(of.map(|(_, wait)| *wait).collect())
        };
        let late = all.iter().filter(|(at, _)| *at < marks.fresh);
        let last = late.map(|(at, wait)| at + wait).max();
        let caught_up = last.map_or(0, |at| at - marks.healed).max(0);
        let (median, longest) = between(0, marks.healed);
        Self {
            caught_up: Duration::from_nanos(u64::try_from(caught_up).unwrap_or(u64::MAX)),
            fresh: between(marks.fresh, marks.calm).1,
            median,
            longest,
            joined: between(marks.calm, marks.joined).1,
            left: between(marks.joined, marks.left).1,
            killed: between(marks.killed, marks.replaced).1,
        }
    }
}

/// The summary.
pub fn told(run: &Run, figures: &Figures, verdicts: &[Verdict]) -> String {
    let mut text = format!(
        "{} faults, {} bars, {} messages to be refused\n",
        run.faults, run.bars, run.refused
    );
    for verdict in verdicts {
        let outcome = match verdict.faults.len() {
            0 => "kept".to_owned(),
            faults => format!("BROKEN {faults} times"),
        };
        let _ = writeln!(
            text,
            "  {:44} {:7} judged, {outcome}",
            verdict.promise, verdict.judged
        );
        for fault in verdict.faults.iter().take(20) {
            let _ = writeln!(text, "      {fault}");
        }
    }
    let _ = write!(
        text,
        "caught up {:.1?} after the last fault, fresh bars in {:.1?}; from bar to signal under \
         faults: median {:.1?}, longest {:.1?}; longest in calm when one joined {:.1?}, left \
         {:.1?}, was killed {:.1?}",
        figures.caught_up,
        figures.fresh,
        figures.median,
        figures.longest,
        figures.joined,
        figures.left,
        figures.killed
    );
    text
}

/// Appends the run to the file that `CHAOS_HISTORY` names, if any.
pub fn remember(run: &Run, figures: &Figures, verdicts: &[Verdict]) {
    let Some(path) = std::env::var_os("CHAOS_HISTORY").filter(|path| !path.is_empty()) else {
        return;
    };
    let is_new = !std::path::Path::new(&path).exists();
    let opened = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path);
    let mut file = opened.expect("CHAOS_HISTORY can be written");
    if is_new {
        let header = "epoch_s,seed,nodes,seconds,faults,bars,refused,broken_1,broken_2,broken_3,\
                      broken_4,broken_5,broken_6,caught_up_ms,fresh_ms,median_ms,longest_ms,\
                      joined_ms,left_ms,killed_ms";
        writeln!(file, "{header}").expect("CHAOS_HISTORY can be written");
    }
    let mut columns = vec![
        (now() / 1_000_000_000).to_string(),
        run.seed.to_string(),
        run.nodes.to_string(),
        run.seconds.to_string(),
        run.faults.to_string(),
        run.bars.to_string(),
        run.refused.to_string(),
    ];
    columns.extend(
        verdicts
            .iter()
            .map(|verdict| verdict.faults.len().to_string()),
    );
    let waits = [
        figures.caught_up,
        figures.fresh,
        figures.median,
        figures.longest,
        figures.joined,
        figures.left,
        figures.killed,
    ];
    columns.extend(waits.map(|wait| format!("{:.1}", wait.as_secs_f64() * 1_000.0)));
    writeln!(file, "{}", columns.join(",")).expect("CHAOS_HISTORY can be written");
}
