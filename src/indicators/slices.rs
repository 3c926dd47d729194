//! Sums, means and extremes of a slice, in four lanes so that they vectorise.
//!
//! Four partial sums are also more exact than one. No state: nothing can drift.

/// A count as a double. Windows are far below 2⁵².
#[allow(clippy::cast_precision_loss)]
#[inline]
#[must_use]
pub const fn float(n: usize) -> f64 {
    n as f64
}

#[inline]
fn fold(values: &[f64], identity: f64, join: impl Fn(f64, f64) -> f64) -> f64 {
    let mut lanes = [identity; 4];
    let (chunks, rest) = values.as_chunks::<4>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = join(*lane, x);
        }
    }
    let head = join(join(lanes[0], lanes[1]), join(lanes[2], lanes[3]));
    rest.iter().fold(head, |total, &x| join(total, x))
}

/// The sum of `term` over a slice.
#[inline]
#[must_use]
pub fn sum_of(values: &[f64], term: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; 4];
    let (chunks, rest) = values.as_chunks::<4>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += term(x);
        }
    }
    let head = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    rest.iter().fold(head, |total, &x| total + term(x))
}

/// The sum of `term` over the indices `0..n`, in four lanes.
#[inline]
#[must_use]
pub fn sum_over(n: usize, term: impl Fn(usize) -> f64) -> f64 {
    let mut lanes = [0.0; 4];
    let whole = n - n % 4;
    for at in (0..whole).step_by(4) {
        for (lane, total) in lanes.iter_mut().enumerate() {
            *total += term(at + lane);
        }
    }
    let head = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    (whole..n).fold(head, |total, at| total + term(at))
}

/// The mean of a slice; `NaN` of an empty one.
#[inline]
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    sum_of(values, |x| x) / float(values.len())
}

/// Mean and population variance (divided by `n`) of a slice that is not empty.
///
/// Two-pass over the distances from the newest value, so that equal values have a variance
/// of exactly 0 and a large mean costs no digits.
#[inline]
#[must_use]
pub fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let n = float(values.len());
    let anchor = values[values.len() - 1];
    let offset = sum_of(values, |x| x - anchor) / n;
    let squares = sum_of(values, |x| {
        let d = (x - anchor) - offset;
        d * d
    });
    (mean(values), squares / n)
}

/// The mean weighted 1 for the oldest to `n` for the newest.
#[inline]
#[must_use]
pub fn weighted_mean(values: &[f64]) -> f64 {
    let n = float(values.len());
    sum_over(values.len(), |i| values[i] * float(i + 1)) / (n * (n + 1.0) / 2.0)
}

/// The highest value; −∞ of an empty slice.
#[inline]
#[must_use]
pub fn highest(values: &[f64]) -> f64 {
    fold(values, f64::NEG_INFINITY, |a, b| if b > a { b } else { a })
}

/// The lowest value; +∞ of an empty slice.
#[inline]
#[must_use]
pub fn lowest(values: &[f64]) -> f64 {
    fold(values, f64::INFINITY, |a, b| if b < a { b } else { a })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lanes_say_what_a_plain_loop_says(values in prop::collection::vec(-1e6..1e6f64, 1..70)) {
            let n = float(values.len());
            let plain: f64 = values.iter().sum();
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * 1e6;
            prop_assert!(close(mean(&values), plain / n));
            let m = plain / n;
            let variance = values.iter().map(|x| (x - m).powi(2)).sum::<f64>() / n;
            prop_assert!((mean_and_variance(&values).1 - variance).abs() <= 1e-12 * (1.0 + variance));
            let ramp: f64 = values.iter().zip(1..).map(|(x, i)| x * f64::from(i)).sum();
            prop_assert!(close(weighted_mean(&values), ramp / (n * (n + 1.0) / 2.0)));
            prop_assert_eq!(highest(&values), values.iter().copied().fold(f64::MIN, f64::max));
            prop_assert_eq!(lowest(&values), values.iter().copied().fold(f64::MAX, f64::min));
        }
    }

    #[test]
    fn equal_values_have_no_variance_at_all() {
        for x in [0.1, 1e-8, 1e9 + 0.1, 123.456] {
            assert_eq!(mean_and_variance(&[x; 20]).1.to_bits(), 0);
        }
    }
}
