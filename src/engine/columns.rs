//! Columns of bars in few bytes, exactly.
//!
//! Prices and volumes are decimals as a rule: 438.1799 is 4,381,799 of which four digits are
//! decimals, and the next price is close to it. A column of them is written as that number of
//! decimals and the differences of the integers, one to three bytes each instead of eight. What
//! is no such decimal, to the last bit, is kept as it is: single values beside the integers, or
//! the whole column where it has many. A column of timestamps is written as its steps, in units of
//! what they have in common.
//!
//! Promises: every bit comes back, of any column; a value takes at least one byte, so that what is
//! read from damaged bytes takes at most eight times the room of these bytes.
//!
//! Numbers are written as postcard writes them.
//!
//! Must not know: what the columns are of.

use serde::{Deserialize, Serialize};

/// Before a column whose values are kept as they are; otherwise its number of decimals.
const VERBATIM: u8 = 0xff;
/// By the number of decimals. All are exact, so that an integer over one of them is the double
/// nearest to the decimal.
const POWERS: [f64; 15] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14,
];
/// Integers are smaller than this, for doubles to hold them exactly.
const INTEGERS: f64 = 9_007_199_254_740_992.0;
/// Bytes of a number at most: of 64 bits, seven in each.
const LONGEST: usize = 10;
/// At most one in this number of values is kept beside the integers.
const EXCEPTIONS: usize = 8;

/// Appends a number.
pub(super) fn write(number: &impl Serialize, out: &mut Vec<u8>) {
    let mut room = [0; LONGEST];
    let bytes = postcard::to_slice(number, &mut room).expect("no number is longer");
    out.extend_from_slice(bytes);
}

/// Takes a number off the front.
pub(super) fn read<'a, T: Deserialize<'a>>(bytes: &mut &'a [u8]) -> Option<T> {
    let (number, rest) = postcard::take_from_bytes(bytes).ok()?;
    *bytes = rest;
    Some(number)
}

/// Appends a column of timestamps. Its length is not written.
pub(super) fn write_times(times: &[i64], out: &mut Vec<u8>) {
    let Some(first) = times.first() else { return };
    let steps = || times.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
    let unit = steps().fold(0, |unit, step| divisor(step.unsigned_abs(), unit));
    let unit = i64::try_from(unit).unwrap_or(1).max(1);
    write(first, out);
    write(&unit, out);
    for step in steps() {
        write(&(step / unit), out);
    }
}

/// Takes a column of `length` timestamps off the front.
pub(super) fn read_times(length: usize, bytes: &mut &[u8]) -> Option<Vec<i64>> {
    let mut times = with_room(length, bytes)?;
    if length == 0 {
        return Some(times);
    }
    let mut time: i64 = read(bytes)?;
    let unit: i64 = read(bytes)?;
    times.push(time);
    for _ in 1..length {
        time = time.wrapping_add(read::<i64>(bytes)?.wrapping_mul(unit));
        times.push(time);
    }
    Some(times)
}

/// Appends a column of values. Its length is not written.
pub(super) fn write_values(values: &[f64], out: &mut Vec<u8>) {
    let Some(decimals) = decimals(values) else {
        out.push(VERBATIM);
        for value in values {
            write(value, out);
        }
        return;
    };
    #[allow(clippy::cast_possible_truncation)]
    out.push(decimals as u8);
    let mut exceptions = Vec::new();
    let mut last = 0;
    for (at, value) in values.iter().enumerate() {
        if let Some(integer) = integer(*value, decimals) {
            write(&(integer - last), out);
            last = integer;
        } else {
            write(&0_i64, out);
            exceptions.push((at, value));
        }
    }
    write(&exceptions.len(), out);
    for (at, value) in exceptions {
        write(&at, out);
        write(value, out);
    }
}

/// Takes a column of `length` values off the front.
pub(super) fn read_values(length: usize, bytes: &mut &[u8]) -> Option<Vec<f64>> {
    let decimals = *bytes.split_off_first()?;
    let mut values = with_room(length, bytes)?;
    if decimals == VERBATIM {
        for _ in 0..length {
            values.push(read(bytes)?);
        }
        return Some(values);
    }
    let power = POWERS.get(usize::from(decimals))?;
    let mut integer = 0_i64;
    for _ in 0..length {
        integer = integer.wrapping_add(read(bytes)?);
        values.push(decimal(integer, *power));
    }
    for _ in 0..read::<usize>(bytes)? {
        let at: usize = read(bytes)?;
        *values.get_mut(at)? = read(bytes)?;
    }
    Some(values)
}

/// Room for a column, if there are bytes enough left for one.
fn with_room<T>(length: usize, bytes: &[u8]) -> Option<Vec<T>> {
    (length <= bytes.len()).then(|| Vec::with_capacity(length))
}

/// The least number of decimals that nearly all values are integers with.
fn decimals(values: &[f64]) -> Option<usize> {
    let most = values.len() / EXCEPTIONS;
    (0..POWERS.len()).find(|decimals| {
        let mut exceptions = values
            .iter()
            .filter(|value| integer(**value, *decimals).is_none());
        exceptions.nth(most).is_none()
    })
}

/// The integer that is `value`, bit for bit, over a power of ten.
fn integer(value: f64, decimals: usize) -> Option<i64> {
    let power = POWERS[decimals];
    let scaled = (value * power).round_ties_even();
    // NaN is not less either
    if scaled.abs() < INTEGERS {
        #[allow(clippy::cast_possible_truncation)]
        let integer = scaled as i64;
        (decimal(integer, power).to_bits() == value.to_bits()).then_some(integer)
    } else {
        None
    }
}

#[allow(clippy::cast_precision_loss)]
fn decimal(integer: i64, power: f64) -> f64 {
    integer as f64 / power
}

/// The greatest common divisor; 0 divides nothing and is divided by all.
const fn divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times(times: &[i64]) -> Vec<u8> {
        let mut out = Vec::new();
        write_times(times, &mut out);
        out
    }

    fn values(values: &[f64]) -> Vec<u8> {
        let mut out = Vec::new();
        write_values(values, &mut out);
        out
    }

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    /// Of any kind, those of a market among them.
    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            (any::<i32>(), 0usize..15).prop_map(|(n, decimals)| f64::from(n) / POWERS[decimals]),
        ]
    }

    /// With one number of decimals but for a few values.
    fn column() -> impl Strategy<Value = Vec<f64>> {
        let price = |decimals: usize| {
            prop_oneof![
                12 => (1i32..1_000_000).prop_map(move |n| f64::from(n) / POWERS[decimals]),
                1 => value(),
            ]
        };
        (0usize..10).prop_flat_map(move |decimals| prop::collection::vec(price(decimals), 0..60))
    }

    #[test]
    fn a_day_is_a_step_of_one() {
        // 1, 2 and 5 January 1970; zigzag: 1 is 2, 3 is 6
        let day = 86_400_000_000_000;
        let bytes = times(&[0, day, 4 * day]);
        // twice 86,400,000,000,000, in groups of seven bits
        let unit = [0x80, 0x80, 0xf8, 0x94, 0x92, 0xa5, 0x27];
        assert_eq!(bytes, [&[0][..], &unit, &[2, 6]].concat());
    }

    #[test]
    fn prices_are_their_differences_in_ticks() {
        // 1.25, 1.26, 1.24: two decimals, 125, +1, −2, no exceptions
        assert_eq!(values(&[1.25, 1.26, 1.24]), [2, 0xfa, 0x01, 2, 3, 0]);
    }

    #[test]
    fn a_price_with_a_digit_too_many_stands_beside_the_others() {
        let odd = 1.050_449_999_999_999_9_f64;
        let mut column = [1.5; 8];
        column[3] = odd;
        let expected = [&[1, 30, 0, 0, 0, 0, 0, 0, 0, 1, 3][..], &odd.to_le_bytes()].concat();
        assert_eq!(values(&column), expected);
    }

    #[test]
    fn many_of_them_make_a_column_that_is_kept_as_it_is() {
        let third = 1.0_f64 / 3.0;
        let column = [third, 1.5, third, 1.5];
        let kept = column.iter().flat_map(|value| value.to_le_bytes());
        let expected: Vec<u8> = std::iter::once(0xff).chain(kept).collect();
        assert_eq!(values(&column), expected);
    }

    proptest! {
        #[test]
        fn every_bit_comes_back(
            column in prop_oneof![column(), prop::collection::vec(value(), 0..60)],
            after in any::<u8>(),
        ) {
            let mut bytes = values(&column);
            bytes.push(after);
            let mut rest = bytes.as_slice();
            let read = read_values(column.len(), &mut rest).unwrap();
            prop_assert_eq!(bits(&read), bits(&column));
            prop_assert_eq!(rest, [after]);
        }

        #[test]
        fn every_time_comes_back(
            column in prop_oneof![
                prop::collection::vec(any::<i64>(), 0..60),
                prop::collection::vec(-1_000i64..1_000, 0..60),
                (any::<i32>(), 1i64..1_000_000_000, prop::collection::vec(1i64..9, 0..60)).prop_map(
                    |(first, unit, steps)| steps.into_iter().scan(i64::from(first), |at, step| {
                        *at += step * unit;
                        Some(*at)
                    }).collect()
                ),
            ],
            after in any::<u8>(),
        ) {
            let mut bytes = times(&column);
            bytes.push(after);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(read_times(column.len(), &mut rest), Some(column));
            prop_assert_eq!(rest, [after]);
        }

        /// Nor is there room made that the bytes are not there for.
        #[test]
        fn no_bytes_are_too_bad_to_be_read(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            first in prop_oneof![0u8..15, Just(VERBATIM)],
            length in prop_oneof![0usize..200, any::<usize>()],
        ) {
            let bytes = [&[first][..], &bytes].concat();
            if let Some(values) = read_values(length, &mut bytes.as_slice()) {
                prop_assert_eq!(values.len(), length);
                prop_assert!(length <= bytes.len());
            }
            if let Some(times) = read_times(length, &mut bytes.as_slice()) {
                prop_assert_eq!(times.len(), length);
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
