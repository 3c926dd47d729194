//! Sums of decimals, exact however many are added and in whatever order.
//!
//! A double that came from a decimal is taken for that decimal: the shortest one that reads back
//! as the same double. So ten times 0.1 is 1, and a sum does not depend on how its parts were
//! grouped. The result is rounded once, when it is read.
//!
//! The sum is a number of base 10¹⁸, with as many digits ("limbs") as its parts reach over: two or
//! three for the volumes of a market, [`MAX_LIMBS`] for any doubles at all.

use serde::{Deserialize, Serialize};

/// Decimal digits of a limb.
pub(super) const DIGITS: i32 = 18;
pub(super) const BASE: u64 = 1_000_000_000_000_000_000;
/// Limbs that any sum of doubles fits in.
const MAX_LIMBS: usize = 40;
/// The place of the least limb that a double reaches down to: 5e-324 is in it.
const LOWEST: i16 = -19;
/// Limbs that any sum of products of two doubles fits in.
const MAX_LIMBS_OF_PRODUCTS: usize = 76;
/// The place of the least limb that such a product reaches down to.
const LOWEST_OF_PRODUCTS: i16 = -37;
/// Every whole number below this is a double.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// An exact sum of doubles that are not negative.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactSum {
    /// The power of the base that the first limb counts.
    pub(super) lowest: i16,
    /// Little-endian; each below the base.
    pub(super) limbs: Vec<u64>,
}

impl Clone for ExactSum {
    fn clone(&self) -> Self {
        Self {
            lowest: self.lowest,
            limbs: self.limbs.clone(),
        }
    }

    /// Copies in place, without allocating where there is room.
    fn clone_from(&mut self, source: &Self) {
        self.lowest = source.lowest;
        self.limbs.clone_from(&source.limbs);
    }
}

impl ExactSum {
    /// Sets it to 0, and keeps its room.
    pub fn clear(&mut self) {
        self.lowest = 0;
        self.limbs.clear();
    }

    /// Adds a finite number that is not negative.
    pub fn add(&mut self, value: f64) {
        debug_assert!(value.is_finite() && value >= 0.0, "{value} is no volume");
        if value == 0.0 {
            return;
        }
        let (digits, exponent) = decimal(value);
        let power = power(exponent);
        self.add_at(place(exponent), u128::from(digits) * power);
    }

    /// Adds the product of two finite numbers that are not negative.
    pub fn add_product(&mut self, a: f64, b: f64) {
        debug_assert!(a >= 0.0 && b >= 0.0, "{a} or {b} is below zero");
        if a == 0.0 || b == 0.0 {
            return;
        }
        let ((a, of_a), (b, of_b)) = (decimal(a), decimal(b));
        let exponent = of_a + of_b;
        let power = power(exponent);
        let place = place(exponent);
        let digits = u128::from(a) * u128::from(b);
        // in two steps, as digits with the power of ten may exceed 128 bits
        let base = u128::from(BASE);
        self.add_at(place, digits % base * power);
        if digits >= base {
            self.add_at(place + 1, digits / base * power);
        }
    }

    /// Adds another sum.
    pub fn add_sum(&mut self, other: &Self) {
        for (place, limb) in (other.lowest..).zip(&other.limbs) {
            if *limb > 0 {
                self.add_at(place, u128::from(*limb));
            }
        }
    }

    /// Adds `rest`, counted in the power of the base at `place`.
    #[allow(clippy::cast_possible_truncation)] // remainders of the base
    fn add_at(&mut self, place: i16, mut rest: u128) {
        let mut at = self.index_of(place);
        let mut carry = 0;
        while rest > 0 || carry > 0 {
            if at == self.limbs.len() {
                self.limbs.push(0);
            }
            let (low, high) = if rest < u128::from(BASE) {
                (rest as u64, 0)
            } else {
                ((rest % u128::from(BASE)) as u64, rest / u128::from(BASE))
            };
            let sum = self.limbs[at] + low + carry;
            rest = high;
            carry = u64::from(sum >= BASE);
            self.limbs[at] = sum - carry * BASE;
            at += 1;
        }
    }

    /// True if nothing but zeros was added.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.limbs.iter().all(|limb| *limb == 0)
    }

    /// The sum, rounded to the nearest double; the largest double where it is larger still.
    #[must_use]
    pub fn value(&self) -> f64 {
        let mut text = [0_u8; MAX_LIMBS * DIGITS.unsigned_abs() as usize + 8];
        let mut at = 0;
        for limb in self.limbs.iter().rev() {
            let end = at + DIGITS.unsigned_abs() as usize;
            let mut rest = *limb;
            for digit in text[at..end].iter_mut().rev() {
                *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
                rest /= 10;
            }
            at = end;
        }
        let digits = &text[..at];
        let Some(last) = digits.iter().rposition(|digit| *digit != b'0') else {
            return 0.0;
        };
        let first = digits.iter().position(|digit| *digit != b'0').unwrap_or(0);
        let zeros = i32::try_from(at - 1 - last).unwrap_or(0);
        let exponent = i32::from(self.lowest) * DIGITS + zeros;
        let end = last + 1;
        // "e" and a number of at most four characters; what it overwrites are zeros
        let mut number = itoa::Buffer::new();
        let number = number.format(exponent).as_bytes();
        text[end] = b'e';
        text[end + 1..=end + number.len()].copy_from_slice(number);
        std::str::from_utf8(&text[first..=end + number.len()])
            .ok()
            .and_then(|text| text.parse().ok())
            .map_or(0.0, |value: f64| value.min(f64::MAX))
    }

    /// True if a deserialized sum of numbers keeps the invariants.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.is_within(LOWEST, MAX_LIMBS)
    }

    /// True if a deserialized sum of products keeps the invariants.
    #[must_use]
    pub fn is_sound_of_products(&self) -> bool {
        self.is_within(LOWEST_OF_PRODUCTS, MAX_LIMBS_OF_PRODUCTS)
    }

    fn is_within(&self, lowest: i16, most: usize) -> bool {
        let places = i32::from(self.lowest) - i32::from(lowest);
        let limbs = self.limbs.len();
        self.limbs.iter().all(|limb| *limb < BASE)
            && (limbs == 0 || usize::try_from(places).is_ok_and(|places| places + limbs <= most))
    }

    /// The index of the limb at `place`, or of the one to be pushed there.
    fn index_of(&mut self, place: i16) -> usize {
        if self.limbs.is_empty() {
            self.lowest = place;
            return 0;
        }
        if place < self.lowest {
            let more = usize::from(self.lowest.abs_diff(place));
            self.limbs.splice(0..0, std::iter::repeat_n(0, more));
            self.lowest = place;
        }
        let index = usize::from(self.lowest.abs_diff(place));
        if index > self.limbs.len() {
            self.limbs.resize(index, 0);
        }
        index
    }
}

/// The place of the limb that a decimal with this power of ten begins in.
#[allow(clippy::cast_possible_truncation)] // a place of a product of doubles
const fn place(exponent: i32) -> i16 {
    exponent.div_euclid(DIGITS) as i16
}

/// The power of ten within that limb.
const fn power(exponent: i32) -> u128 {
    10_u128.pow(exponent.rem_euclid(DIGITS).unsigned_abs())
}

/// The digits and the power of ten of the shortest decimal that reads back as `value`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a whole number, below 2⁵³
fn decimal(value: f64) -> (u64, i32) {
    if value < WHOLE && value.fract() == 0.0 {
        return (value as u64, 0);
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let (mut digits, mut exponent) = (0_u64, 0_i32);
    let mut is_fraction = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => {
                digits = digits * 10 + u64::from(byte - b'0');
                exponent -= i32::from(is_fraction);
            }
            b'.' => is_fraction = true,
            _ => {
                // after `e` comes the power of ten
                exponent += text[at + 1..].parse::<i32>().unwrap_or(0);
                break;
            }
        }
    }
    (digits, exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        values.iter().for_each(|value| sum.add(*value));
        assert!(sum.is_sound());
        sum.value()
    }

    #[test]
    fn a_cleared_sum_is_a_new_one() {
        let mut sum = ExactSum::default();
        sum.add(0.1);
        sum.clear();
        assert_eq!(sum, ExactSum::default());
    }

    #[test]
    fn ten_tenths_are_one() {
        assert_eq!(sum(&[0.1; 10]).to_bits(), 1.0_f64.to_bits());
        assert_eq!(sum(&[0.1, 0.2]).to_bits(), 0.3_f64.to_bits());
        assert_eq!(sum(&[]).to_bits(), 0.0_f64.to_bits());
        assert_eq!(sum(&[0.0, -0.0]).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn no_double_is_too_small_or_too_large() {
        let least = f64::from_bits(1);
        assert_eq!(sum(&[least]).to_bits(), 1);
        assert_eq!(sum(&[f64::MAX]), f64::MAX);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::MAX);
        assert_eq!(sum(&[f64::MAX, least]), f64::MAX);
        assert_eq!(sum(&[1e300, 1e-300, 1e300]), 2e300);
        let mut all = ExactSum::default();
        for _ in 0..10_000 {
            all.add(f64::MAX);
        }
        all.add(least);
        assert!(all.is_sound());
        assert_eq!(all.value(), f64::MAX);
    }

    /// Numbers and sums of Python's `decimal`: see tests/data/aggregate/README.md.
    #[test]
    fn sums_are_those_of_exact_decimals() {
        let data = include_str!("../../tests/data/aggregate/sums.json");
        let cases: Vec<(Vec<String>, String)> = serde_json::from_str(data).unwrap();
        assert!(cases.len() >= 100);
        for (values, expected) in cases {
            let values: Vec<f64> = values.iter().map(|value| value.parse().unwrap()).collect();
            let expected: f64 = expected.parse().unwrap();
            assert_eq!(sum(&values).to_bits(), expected.to_bits(), "{values:?}");
        }
    }

    fn volume() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (0u64..10_000_000, 0i32..9).prop_map(|(n, d)| format!("{n}e-{d}").parse().unwrap()),
            1 => any::<f64>().prop_map(f64::abs).prop_filter("finite", |value| value.is_finite()),
        ]
    }

    proptest! {
        #[test]
        fn one_number_is_itself(value in volume()) {
            prop_assert_eq!(sum(&[value]).to_bits(), value.to_bits());
        }

        /// Any order gives the same, and so does a copy in the middle.
        #[test]
        fn order_does_not_matter(
            values in prop::collection::vec(volume(), 1..40),
            seed in any::<prop::sample::Index>(),
        ) {
            let expected = sum(&values).to_bits();
            let mut turned = values.clone();
            turned.rotate_left(seed.index(values.len()));
            turned.reverse();
            prop_assert_eq!(sum(&turned).to_bits(), expected);
            let (head, tail) = values.split_at(seed.index(values.len()));
            let mut first = ExactSum::default();
            head.iter().for_each(|value| first.add(*value));
            let mut second = ExactSum::default();
            second.add(3.5);
            second.clone_from(&first);
            tail.iter().for_each(|value| second.add(*value));
            prop_assert_eq!(second.value().to_bits(), expected);
        }
    }
}
