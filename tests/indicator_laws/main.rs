//! Laws of every indicator of the catalogue, independent of its formula.

mod series;

use proptest::prelude::*;
use series::Series;
use ta::Reset as _;
use technical_analysis_agent::indicators::{Instance, Spec, catalogue, parse};

/// Every entry with its defaults and with the smallest parameters that are allowed.
fn specs() -> Vec<Spec> {
    let mut specs = Vec::new();
    for entry in catalogue() {
        specs.extend(parse(entry.name).unwrap());
        let smallest: Vec<String> = entry.params.iter().map(|p| p.text(p.min)).collect();
        if let Ok(more) = parse(&format!("{}({})", entry.name, smallest.join(","))) {
            specs.extend(more);
        }
    }
    specs
}

fn outputs(spec: &Spec) -> Vec<f64> {
    vec![f64::NAN; spec.outputs().len()]
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|x| x.to_bits()).collect()
}

fn bytes(instance: &Instance) -> Vec<u8> {
    postcard::to_stdvec(instance).unwrap()
}

#[test]
fn the_first_value_is_at_the_bar_that_the_catalogue_says() {
    let series = Series::walk(3, 400);
    for spec in specs() {
        let (mut instance, mut out) = (spec.build(), outputs(&spec));
        let first = (0..series.len()).find(|&last| {
            instance.update(series.window(last, spec.look_back()), &mut out);
            out.iter().any(|x| !x.is_nan())
        });
        assert_eq!(first, Some(spec.warmup()), "{spec:?}");
    }
}

/// Prices of zero and below are prices where they are allowed. An indicator that has no value for
/// them says so, and has one again when they are over.
#[test]
fn prices_of_any_sign_give_finite_values_or_none() {
    for (seed, by) in [(3, 100.0), (5, 99.5), (7, 150.0)] {
        let series = Series::walk(seed, 3_000).lowered(400, by);
        let low = &series.closes()[..400];
        assert!(low.iter().any(|close| *close <= 0.0));
        for spec in specs() {
            let (mut instance, mut out) = (spec.build(), outputs(&spec));
            for last in 0..series.len() {
                instance.update(series.window(last, spec.look_back()), &mut out);
                assert!(
                    out.iter().all(|x| !x.is_infinite()),
                    "{spec:?} at bar {last}: {out:?}"
                );
            }
            assert!(out.iter().any(|x| x.is_finite()), "{spec:?}: {out:?}");
        }
    }
}

/// An indicator has no value for a bar at which its divisor is not above zero.
#[test]
fn what_divides_by_a_price_has_no_value_for_one_that_is_not_above_zero() {
    let series = Series::walk(3, 300).lowered(300, 150.0);
    for name in [
        "natr", "roc", "rocp", "rocr", "rocr100", "ppo", "trix", "mfi", "mfi@tv",
    ] {
        let spec = parse(name).unwrap().remove(0);
        let (mut instance, mut out) = (spec.build(), outputs(&spec));
        for last in 0..series.len() {
            instance.update(series.window(last, spec.look_back()), &mut out);
            assert!(out.iter().all(|x| x.is_nan()), "{name}: {out:?}");
        }
    }
}

/// The look-back is what an indicator may be shown: more must not change a bit.
#[test]
fn the_look_back_is_all_that_is_read() {
    let series = Series::walk(5, 500);
    for spec in specs() {
        let (mut short, mut long) = (spec.build(), spec.build());
        let (mut a, mut b) = (outputs(&spec), outputs(&spec));
        for last in 0..series.len() {
            short.update(series.window(last, spec.look_back()), &mut a);
            long.update(series.window(last, series.len()), &mut b);
            assert_eq!(bits(&a), bits(&b), "{spec:?} at bar {last}");
        }
    }
}

/// With its defaults, started that many bars before the end, an indicator agrees with one that saw everything.
#[test]
fn an_indicator_has_converged_when_the_catalogue_says() {
    let series = Series::walk(11, 3000);
    let mut bad = Vec::new();
    for entry in catalogue() {
        let Some(bars) = entry.converges(&entry.defaults()) else {
            continue;
        };
        let spec = parse(entry.name).unwrap().remove(0);
        let (mut full, mut out) = (spec.build(), outputs(&spec));
        let mut history: Vec<Vec<f64>> = Vec::new();
        for last in 0..series.len() {
            full.update(series.window(last, spec.look_back()), &mut out);
            history.push(out.clone());
        }
        for end in (series.len() - 800..series.len()).step_by(61) {
            let (mut late, mut got) = (spec.build(), outputs(&spec));
            let first = end + 1 - bars;
            for last in first..=end {
                late.update(
                    series.window(last, (last + 1 - first).min(spec.look_back())),
                    &mut got,
                );
            }
            for (at, (expected, got)) in history[end].iter().zip(&got).enumerate() {
                let mut sizes: Vec<f64> = history[500..].iter().map(|row| row[at].abs()).collect();
                sizes.sort_by(f64::total_cmp);
                let floor = 1e-3 * sizes[sizes.len() / 2];
                let error = (expected - got).abs() / expected.abs().max(floor).max(1e-300);
                if !(error <= 1e-6 || expected.is_nan() && got.is_nan()) {
                    bad.push(format!(
                        "{spec:?} {}: {got} after {bars} bars, {expected} after all: {error:.1e}",
                        spec.outputs()[at]
                    ));
                }
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// A state that is read is held against this: with its bars forgotten it is that of a new one.
#[test]
fn an_indicator_is_as_new_after_a_reset() {
    let series = Series::walk(7, 300);
    for spec in specs() {
        let (mut instance, mut out) = (spec.build(), outputs(&spec));
        let fresh = bytes(&instance);
        for last in 0..series.len() {
            instance.update(series.window(last, spec.look_back()), &mut out);
            if [0, 1, 2, 20, 299].contains(&last) {
                let mut copy = instance.clone();
                copy.reset();
                assert_eq!(bytes(&copy), fresh, "{spec:?} after {} bars", last + 1);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(debug_assertions) { 6 } else { 60 },
        ..ProptestConfig::default()
    })]

    /// A snapshot goes on with the same bits.
    #[test]
    fn a_snapshot_is_exact(seed in any::<u64>(), at in 0usize..150) {
        let series = Series::walk(seed, 170);
        for spec in specs() {
            let (mut instance, mut out) = (spec.build(), outputs(&spec));
            for last in 0..at {
                instance.update(series.window(last, spec.look_back()), &mut out);
            }
            let snapshot = bytes(&instance);
            let mut restored: Instance = postcard::from_bytes(&snapshot).unwrap();
            prop_assert_eq!(&bytes(&restored), &snapshot);
            let mut again = outputs(&spec);
            for last in at..series.len() {
                instance.update(series.window(last, spec.look_back()), &mut out);
                restored.update(series.window(last, spec.look_back()), &mut again);
                prop_assert_eq!(bits(&out), bits(&again), "{:?} at bar {}", spec, last);
            }
        }
    }

    /// A forming bar, any number of times, gives what the bar would give if final, and
    /// changes nothing.
    #[test]
    fn a_forming_bar_is_as_good_as_final_and_changes_nothing(seed in any::<u64>(), from in 0usize..120) {
        let series = Series::walk(seed, 140);
        let forming = Series::walk(seed ^ 0xFF, 140);
        for spec in specs() {
            let (mut instance, mut trial) = (spec.build(), spec.build());
            let (mut out, mut peeked) = (outputs(&spec), outputs(&spec));
            for last in 0..series.len() {
                if last >= from {
                    let before = bytes(&instance);
                    // first another bar, which is taken back
                    trial.clone_from(&instance);
                    let other = series.with_last(last, &forming);
                    trial.update(other.window(last, spec.look_back()), &mut peeked);
                    trial.clone_from(&instance);
                    trial.update(series.window(last, spec.look_back()), &mut peeked);
                    prop_assert_eq!(bytes(&instance), before, "{:?}", spec);
                }
                instance.update(series.window(last, spec.look_back()), &mut out);
                if last >= from {
                    prop_assert_eq!(bits(&out), bits(&peeked), "{:?} at bar {}", spec, last);
                    prop_assert_eq!(bytes(&instance), bytes(&trial));
                }
            }
        }
    }
}

/// Ten million bars in a release build, fifty thousand in a debug build, which says
/// less: what has not drifted by then could still.
const LONG: usize = if cfg!(debug_assertions) {
    50_000
} else {
    10_000_000
};

/// After a long life an indicator says what a fresh one says over the last bars; the
/// cumulative ones what their sums are in exact arithmetic.
#[test]
fn nothing_drifts_in_a_long_life() {
    /// Enough for every default to forget its start to 1e-9.
    const FRESH: usize = 2000;
    let names: Vec<&str> = catalogue().iter().map(|entry| entry.name).collect();
    let specs = parse(&names.join(",")).unwrap();
    let mut instances: Vec<Instance> = specs.iter().map(Spec::build).collect();
    let mut outs: Vec<Vec<f64>> = specs.iter().map(outputs).collect();
    let mut series = Series::walk(1, 0);
    let mut sums = series::Sums::default();
    for _ in 0..LONG {
        series.grow();
        series.forget(2 * FRESH);
        sums.add(series.window(series.len() - 1, 2));
        let last = series.len() - 1;
        for ((instance, spec), out) in instances.iter_mut().zip(&specs).zip(&mut outs) {
            instance.update(series.window(last, spec.look_back()), out);
        }
    }
    let mut bad = Vec::new();
    for (spec, out) in specs.iter().zip(&outs) {
        let expected = match spec.key() {
            "obv" => vec![sums.obv_exact()],
            "obv_tv" => vec![sums.obv_exact() - sums.first_volume],
            "ad" => vec![sums.ad.value()],
            "vwap_cumulative" => vec![sums.money.value() / sums.volume.value()],
            _ => {
                let (mut fresh, mut got) = (spec.build(), outputs(spec));
                for last in series.len() - FRESH..series.len() {
                    let seen = last + 1 - (series.len() - FRESH);
                    fresh.update(series.window(last, seen.min(spec.look_back())), &mut got);
                }
                got
            }
        };
        for (a, b) in out.iter().zip(&expected) {
            let size = b.abs().max(1e-3);
            if (a - b).abs() > 1e-9 * size && !(a.is_nan() && b.is_nan()) {
                bad.push(format!("{spec:?}: {a} after all, {b} afresh"));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
