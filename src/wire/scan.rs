//! The everyday market-data object, read in one pass over its bytes.
//!
//! Reads a part of JSON: a flat object whose keys and texts have no escapes and whose numbers
//! have no sign and no exponent. Anything else, valid or not, returns `None` and is left to
//! `serde_json`; where this module has a value, `serde_json` would have the same.

use std::borrow::Cow;

use super::fields::Scalar;

/// Digits that always fit 64 bits.
const MAX_DIGITS: usize = 19;

/// The whole numbers that doubles hold without a gap.
const EXACT: u64 = 1 << 53;

/// The powers of ten up to as many decimals as there may be digits; doubles hold them exactly.
const POWERS: [f64; MAX_DIGITS] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

/// Hands every entry of the object `text` to `each`, in order. `None` when it is more than
/// this module reads; entries may have been handed over by then.
#[inline]
pub(super) fn entries<'a>(text: &'a str, each: impl FnMut(&'a str, Scalar<'a>)) -> Option<()> {
    let end = members(text, 0, each, |_, _| None)?;
    (skip_space(text.as_bytes(), end) == text.len()).then_some(())
}

/// Like [`entries`], where one entry, `inner`, is an object as well: its entries go to `within`.
#[inline]
pub(super) fn entries_within<'a>(
    text: &'a str,
    inner: &str,
    each: impl FnMut(&'a str, Scalar<'a>),
    mut within: impl FnMut(&'a str, Scalar<'a>),
) -> Option<()> {
    let mut entered = false;
    let end = members(text, 0, each, |key, at| {
        if key != inner || entered {
            return None;
        }
        entered = true;
        members(text, at, &mut within, |_, _| None)
    })?;
    (entered && skip_space(text.as_bytes(), end) == text.len()).then_some(())
}

/// Hands every entry of the object at `at` to `each`, and returns the place after it. An entry that
/// is an object itself is left to `nested`, which does the same with the place it begins at.
#[inline]
fn members<'a>(
    text: &'a str,
    at: usize,
    mut each: impl FnMut(&'a str, Scalar<'a>),
    mut nested: impl FnMut(&'a str, usize) -> Option<usize>,
) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = after(bytes, at, b'{')?;
    loop {
        let from = after(bytes, at, b'"')?;
        let to = from + plain_length(&bytes[from..]);
        let key = &text[from..to];
        at = after(bytes, closed(bytes, to)?, b':')?;
        at = skip_space(bytes, at);
        if bytes.get(at) == Some(&b'{') {
            at = nested(key, at)?;
        } else {
            let (value, end) = value_at(text, at)?;
            each(key, value);
            at = end;
        }
        at = skip_space(bytes, at);
        match bytes.get(at)? {
            b',' => at += 1,
            b'}' => return Some(at + 1),
            _ => return None,
        }
    }
}

/// The value at `at`, unless it has others within it, and the place after it.
#[allow(clippy::inline_always)] // as for `number_at`
#[inline(always)]
fn value_at(text: &str, at: usize) -> Option<(Scalar<'_>, usize)> {
    let bytes = text.as_bytes();
    Some(match bytes.get(at)? {
        b'"' => {
            let from = at + 1;
            let to = from + plain_length(&bytes[from..]);
            let value = Scalar::Text(Cow::Borrowed(&text[from..to]));
            (value, closed(bytes, to)?)
        }
        b'0'..=b'9' => number_at(text, at)?,
        b't' => (Scalar::Bool(true), word(bytes, at, b"true")?),
        b'f' => (Scalar::Bool(false), word(bytes, at, b"false")?),
        b'n' => (Scalar::Absent, word(bytes, at, b"null")?),
        _ => return None,
    })
}

/// The number that `text` is from end to end, if this module reads it.
pub(super) fn number(text: &str) -> Option<Scalar<'_>> {
    if !text.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    let (number, end) = number_at(text, 0)?;
    (end == text.len()).then_some(number)
}

/// The bytes from the beginning of `bytes` that a text may have as they are: neither its end, nor
/// an escape, nor a control character.
#[inline]
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let mut length = 0;
    // eight bytes at a time; a byte is zero where subtracting one from it borrows
    while let Some(chunk) = bytes[length..].first_chunk::<8>() {
        let chunk = u64::from_le_bytes(*chunk);
        let quotes = chunk ^ (ONES * u64::from(b'"'));
        let escapes = chunk ^ (ONES * u64::from(b'\\'));
        let special = (quotes.wrapping_sub(ONES) & !quotes)
            | (escapes.wrapping_sub(ONES) & !escapes)
            | (chunk.wrapping_sub(ONES * 0x20) & !chunk);
        let special = special & HIGHS;
        if special != 0 {
            // of the bytes that are marked the first is right, as a borrow only goes upwards
            return length + (special.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    let rest = &bytes[length..];
    length + rest.iter().position(special).unwrap_or(rest.len())
}

/// The place of the first byte from `at` on that is no white space.
#[inline]
pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The place after `sign`, which stands at `at`, white space aside.
#[inline]
pub(super) fn after(bytes: &[u8], at: usize, sign: u8) -> Option<usize> {
    let at = skip_space(bytes, at);
    (*bytes.get(at)? == sign).then_some(at + 1)
}

/// The place after the quote at `at`, which closes a text.
#[inline]
fn closed(bytes: &[u8], at: usize) -> Option<usize> {
    (*bytes.get(at)? == b'"').then_some(at + 1)
}

/// The place after `word`, which stands at `at`.
#[inline]
fn word(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    bytes[at..].starts_with(word).then_some(at + word.len())
}

/// The number that begins at `at`, where a digit stands, and the place after it. The caller looks
/// at what follows, and takes no exponent.
#[allow(clippy::inline_always)] // places in registers instead of memory: 5 % of a whole message
#[inline(always)]
fn number_at(text: &str, at: usize) -> Option<(Scalar<'_>, usize)> {
    let bytes = text.as_bytes();
    let (whole, point) = digits(bytes, at, 0);
    let wholes = point - at;
    if wholes > MAX_DIGITS || (wholes > 1 && bytes[at] == b'0') {
        return None;
    }
    if bytes.get(point) != Some(&b'.') {
        return Some((Scalar::Int(whole), point));
    }
    let (mantissa, end) = digits(bytes, point + 1, whole);
    let decimals = end - point - 1;
    if decimals == 0 || wholes + decimals > MAX_DIGITS {
        return None;
    }
    if mantissa <= EXACT {
        // of two exact doubles the quotient is the double nearest to the number
        #[allow(clippy::cast_precision_loss)]
        let number = mantissa as f64 / POWERS[decimals];
        return Some((Scalar::Number(number), end));
    }
    let number = text[at..end].parse().ok()?;
    Some((Scalar::Number(number), end))
}

/// The digits from `at` on, written behind those of `number`, and the place after them. Wraps
/// beyond [`MAX_DIGITS`].
#[inline]
fn digits(bytes: &[u8], mut at: usize, mut number: u64) -> (u64, usize) {
    while let Some(byte @ b'0'..=b'9') = bytes.get(at) {
        number = number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        at += 1;
    }
    (number, at)
}
