//! Differences and quotients of exact sums.
//!
//! A quotient is rounded once, to the nearest double, by a long division beyond every digit that can
//! change the rounding. This takes microseconds, so it runs when a value is needed and not for each
//! trade.

use std::cmp::Ordering;

use super::exact_sum::{BASE, DIGITS, ExactSum};

/// Significant digits of the long division. A number halfway between two doubles has at most 767; of
/// the digits after them only a remainder above zero matters.
const ENOUGH: usize = 780;

/// The distance between two sums, and how the first compares with the second.
#[must_use]
pub fn difference(a: &ExactSum, b: &ExactSum) -> (Ordering, ExactSum) {
    let lowest = a.lowest.min(b.lowest);
    let (mut x, mut y) = (aligned(a, lowest), aligned(b, lowest));
    let length = x.len().max(y.len());
    x.resize(length, 0);
    y.resize(length, 0);
    let order = x.iter().rev().cmp(y.iter().rev());
    let (mut limbs, less) = if order == Ordering::Less {
        (y, x)
    } else {
        (x, y)
    };
    subtract(&mut limbs, &less);
    (order, ExactSum { lowest, limbs })
}

/// `dividend / divisor`, rounded to the nearest double; nothing where the divisor is 0.
#[must_use]
pub fn quotient(dividend: &ExactSum, divisor: &ExactSum) -> Option<f64> {
    let mut by = divisor.limbs.clone();
    while by.last() == Some(&0) {
        by.pop();
    }
    if by.is_empty() {
        return None;
    }
    // digits of the dividend, brought down one after the other, and then zeros
    let text: String = dividend
        .limbs
        .iter()
        .rev()
        .map(|limb| format!("{limb:018}"))
        .collect();
    let mut digits = text.bytes().map(|digit| u64::from(digit - b'0'));
    let mut rest = vec![0; by.len() + 1];
    by.push(0);
    let mut written = String::new();
    let mut below = 0;
    loop {
        let next = digits.next();
        if next.is_none() {
            let is_exact = rest.iter().all(|limb| *limb == 0);
            if is_exact || written.len() >= ENOUGH {
                if !is_exact {
                    written.push('1');
                    below += 1;
                }
                break;
            }
            below += 1;
        }
        push_digit(&mut rest, next.unwrap_or(0));
        let mut digit = b'0';
        while rest.iter().rev().cmp(by.iter().rev()) != Ordering::Less {
            subtract(&mut rest, &by);
            digit += 1;
        }
        if digit > b'0' || !written.is_empty() {
            written.push(char::from(digit));
        }
    }
    let exponent = DIGITS * (i32::from(dividend.lowest) - i32::from(divisor.lowest)) - below;
    let value: f64 = format!("0{written}e{exponent}").parse().ok()?;
    Some(value.min(f64::MAX))
}

/// The limbs of a sum from `lowest` on.
fn aligned(sum: &ExactSum, lowest: i16) -> Vec<u64> {
    let zeros = if sum.limbs.is_empty() {
        0
    } else {
        usize::from(sum.lowest.abs_diff(lowest))
    };
    let mut limbs = vec![0; zeros];
    limbs.extend_from_slice(&sum.limbs);
    limbs
}

/// Takes `less` away from `limbs`, which is at least as large and as long.
fn subtract(limbs: &mut [u64], less: &[u64]) {
    let mut borrowed = 0;
    for (limb, take) in limbs.iter_mut().zip(less) {
        let take = take + borrowed;
        borrowed = u64::from(*limb < take);
        *limb = *limb + borrowed * BASE - take;
    }
}

/// Multiplies by ten and adds a digit.
fn push_digit(limbs: &mut [u64], digit: u64) {
    let mut carry = digit;
    for limb in limbs {
        let product = u128::from(*limb) * 10 + u128::from(carry);
        let base = u128::from(BASE);
        // both are below the base
        *limb = u64::try_from(product % base).unwrap_or(0);
        carry = u64::try_from(product / base).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        values.iter().for_each(|value| sum.add(*value));
        sum
    }

    #[test]
    fn a_quotient_is_the_nearest_double() {
        for (dividend, divisor, expected) in [
            (1.0, 3.0, 1.0 / 3.0),
            (0.3, 0.1, 3.0),
            (1e300, 1e-8, 1e308),
            (1e300, 1e-9, f64::MAX),
            (5e-324, 3.0, 0.0),
            (5e-324, 1.0, 5e-324),
            (0.0, 7.5, 0.0),
            (9_007_199_254_740_991.0, 1.0, 9_007_199_254_740_991.0),
            (1e-300, 1e22, 1e-322),
        ] {
            let found = quotient(&sum(&[dividend]), &sum(&[divisor]));
            assert_eq!(found, Some(expected), "{dividend} / {divisor}");
        }
        assert_eq!(quotient(&sum(&[1.0]), &sum(&[])), None);
        assert_eq!(quotient(&sum(&[1.0]), &sum(&[0.0])), None);
        assert_eq!(quotient(&sum(&[]), &sum(&[2.0])), Some(0.0));
        // halfway between two doubles, and the least bit above it
        let halfway = [9_007_199_254_740_992.0, 1.0];
        assert_eq!(
            quotient(&sum(&halfway), &sum(&[1.0])),
            Some(9_007_199_254_740_992.0)
        );
        let above = [9_007_199_254_740_992.0, 1.0, 1e-300];
        assert_eq!(
            quotient(&sum(&above), &sum(&[1.0])),
            Some(9_007_199_254_740_994.0)
        );
    }

    #[test]
    fn a_difference_is_exact_and_has_a_sign() {
        let (order, left) = difference(&sum(&[1e20, 0.1]), &sum(&[1e20]));
        assert_eq!((order, left.value()), (Ordering::Greater, 0.1));
        let (order, left) = difference(&sum(&[0.1]), &sum(&[1e20, 0.1]));
        assert_eq!((order, left.value()), (Ordering::Less, 1e20));
        let (order, left) = difference(&sum(&[]), &sum(&[]));
        assert_eq!((order, left.value()), (Ordering::Equal, 0.0));
        let (order, left) = difference(&sum(&[0.5]), &sum(&[0.25, 0.25]));
        assert_eq!((order, left.value()), (Ordering::Equal, 0.0));
    }
}
