//! Random schedules of every fault there is, against real processes. `make chaos` runs one for the
//! time it is given; a seed repeats the order of faults.
//!
//! After the last fault has healed, the promises are judged one by one. Then the promises for calm
//! times (an even division, few moves) are tried.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;

use crate::common::{Cluster, NatsServer};
use crate::feeder::{Counts, Feeder, connect_to, store_round};
use crate::fleet::{Broker, CONFIGURATIONS, Fleet};
use crate::history::{Due, wait_stored};
use crate::report::{Figures, Marks, Run, now, remember, told};
use crate::schedule::Schedule;
use crate::verdict::Verdict;
use crate::verify::verify_after;

const SYMBOLS: usize = 16;
/// "Within seconds", on a machine that does much else.
const SOON: Duration = Duration::from_secs(20);

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty());
    text.map_or(default, |text| text.parse().expect("a whole number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn chaos() {
    let seed = number("CHAOS_SEED", 1);
    let seconds = number("CHAOS_SECONDS", 20);
    let nodes = number("CHAOS_NODES", 1) as usize;
    let broker = match nodes {
        1 => Broker::One(Box::new(NatsServer::jetstream())),
        3 => Broker::Three(Cluster::start().await),
        _ => panic!("there is one node or there are three"),
    };
    let urls = broker.urls();
    let js = connect_to(&urls).await;
    let mut fleet = Fleet::start(broker, js.clone(), 2);
    let feeder = Feeder::market(js.clone(), SYMBOLS, Duration::from_millis(1), 0);
    let start = Instant::now();
    let mut faults = 0;
    println!("seed {seed}, {nodes} nodes");
    for (wait, step) in Schedule::new(seed, 2, nodes) {
        tokio::time::sleep(wait).await;
        if start.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
        println!("{:6.1} s  {step}", start.elapsed().as_secs_f64());
        fleet.suffer(step).await;
        faults += 1;
    }
    fleet.heal().await;
    let mut marks = Marks {
        healed: now(),
        ..Marks::default()
    };
    println!("{:6.1} s  healed", start.elapsed().as_secs_f64());
    let (next, counts) = feeder.stop_at().await;
    let caught_up = resumed(&js, &mut marks, next, &counts).await;
    let exits = fleet.exits().await;
    let even = calm(&js, &mut fleet, &mut marks, next + 1, &counts).await;

    let (bars, refused) = (
        counts.bars.load(Ordering::Relaxed),
        counts.malformed.load(Ordering::Relaxed),
    );
    let stored = wait_stored(&js, bars + refused).await;
    let (due, mut verdicts) = Due::judged(&js, &CONFIGURATIONS).await;
    println!("{} time marks closed derived bars", due.marks());
    if stored != bars + refused {
        // what is due is computed from what is stored, so these would not be missed
        let lost = (bars + refused).abs_diff(stored);
        let told = format!("{lost} acknowledged messages are not where they are read");
        verdicts[0].faults.push(told);
    }
    let figures = Figures::of(&js, &marks).await;
    verdicts.push(of_resuming(caught_up, &figures));
    verdicts.push(even);
    let run = Run {
        seed,
        nodes,
        seconds,
        faults,
        bars,
        refused,
    };
    println!("exit codes of agents told to end: {exits:?}");
    println!("{}", told(&run, &figures, &verdicts));
    remember(&run, &figures, &verdicts);
    let verified = verify_after(&urls, &CONFIGURATIONS);
    let kept = verdicts.iter().all(|verdict| verdict.faults.is_empty());
    assert!(kept, "seed {seed}: a promise was broken, see above");
    assert_eq!(verified, Ok(()), "seed {seed}: and verify says otherwise");
    assert!(
        exits.keys().all(|code| [0, 75].contains(code)),
        "agents ended otherwise than clean or late: {exits:?}"
    );
}

/// Everything due comes without help (whether it did), and then a fresh bar of each series.
async fn resumed(js: &Context, marks: &mut Marks, next: u64, counts: &Counts) -> bool {
    let fed = counts.bars.load(Ordering::Relaxed) + counts.malformed.load(Ordering::Relaxed);
    let waited = Instant::now();
    let stored = wait_stored(js, fed).await;
    println!(
        "{stored} of {fed} messages are where they are read {:.1?} later",
        waited.elapsed()
    );
    let caught_up = (stored == fed) & Due::of(js, &CONFIGURATIONS).await.wait(js).await;
    marks.fresh = now();
    for symbol in 0..SYMBOLS {
        store_round(js, symbol, next, counts).await;
    }
    caught_up & Due::of(js, &CONFIGURATIONS).await.wait(js).await
}

/// Promise 5: work resumes, and a fresh bar has its signal within seconds.
fn of_resuming(caught_up: bool, figures: &Figures) -> Verdict {
    let mut faults = Vec::new();
    if !caught_up {
        faults.push("not everything due has come".to_owned());
    }
    if figures.fresh > SOON {
        let told = format!("a fresh bar had its signal after {:.1?}", figures.fresh);
        faults.push(told);
    }
    Verdict {
        promise: "5 work resumes by itself",
        judged: 2,
        faults,
    }
}

/// Promise 6, and what a hand-over and a take-over cost while nothing else goes wrong: one joins,
/// one leaves, one is killed.
async fn calm(
    js: &Context,
    fleet: &mut Fleet,
    marks: &mut Marks,
    next: u64,
    counts: &Counts,
) -> Verdict {
    let mut verdict = Verdict {
        promise: "6 an even division, and no needless moves",
        judged: 5,
        ..Verdict::default()
    };
    fleet.wait_even().await;
    fleet.wait_ready().await;
    let feeder = Feeder::market(js.clone(), SYMBOLS, Duration::from_millis(5), next);
    marks.calm = now();
    let before = fleet.taken_over();
    fleet.join();
    let owned = fleet.wait_even().await;
    fleet.wait_ready().await;
    marks.joined = overcome(js).await;
    let moved = fleet.taken_over() - before;
    let needed = owned.last().copied().unwrap_or_default();
    if moved != needed {
        let told = format!("{moved} partitions moved where {needed} had to when one joined");
        verdict.faults.push(told);
    }
    // what it took over goes with it, so that only what the others take counts
    let before = fleet.taken_over() - needed;
    fleet.leave();
    fleet.wait_even().await;
    marks.left = overcome(js).await;
    let moved = fleet.taken_over() - before;
    if moved != needed {
        let told = format!("{moved} partitions moved where {needed} had to when one left");
        verdict.faults.push(told);
    }
    if fleet.len() == 1 {
        fleet.join();
        fleet.wait_even().await;
    }
    marks.killed = overcome(js).await;
    fleet.lose();
    fleet.wait_even().await;
    marks.replaced = now();
    if fleet.exits().await.keys().any(|code| *code != 0) {
        verdict
            .faults
            .push("the one that left did not end clean".to_owned());
    }
    let (_, further) = feeder.stop_at().await;
    for (of, more) in [
        (&counts.bars, &further.bars),
        (&counts.malformed, &further.malformed),
    ] {
        let more = more.load(Ordering::Relaxed);
        of.fetch_add(more, Ordering::Relaxed);
    }
    verdict
}

/// Returns once every bar stored before has its signal, with the time from which the bars are
/// counted to what comes next.
async fn overcome(js: &Context) -> i128 {
    let at = now();
    Due::of(js, &CONFIGURATIONS).await.wait(js).await;
    at
}
