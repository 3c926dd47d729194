//! The everyday market-data object, read in one pass over its bytes.
//!
//! Knows a part of JSON: a flat object whose keys and texts have no escapes and whose numbers
//! have no sign and no exponent. Of anything else, valid or not, it says nothing, and
//! `serde_json` has the word; of what it reads it says what `serde_json` would.

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

/// Hands every entry of the object `text` to `each`, in order. Nothing when it is more than
/// this module knows; entries may have been handed over by then.
pub(super) fn entries<'a>(text: &'a str, mut each: impl FnMut(&'a str, Scalar<'a>)) -> Option<()> {
    let mut scan = Scan { text, at: 0 };
    scan.sign(b'{')?;
    loop {
        scan.sign(b'"')?;
        let key = scan.text()?;
        scan.sign(b':')?;
        let value = scan.value()?;
        each(key, value);
        scan.skip_space();
        match scan.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    scan.skip_space();
    (scan.at == text.len()).then_some(())
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes `sign`, after white space.
    #[inline]
    fn sign(&mut self, sign: u8) -> Option<()> {
        self.skip_space();
        (self.next()? == sign).then_some(())
    }

    /// The text that begins here, behind its quote, and the quote that ends it.
    #[inline]
    fn text(&mut self) -> Option<&'a str> {
        let from = self.at;
        let bytes = &self.text.as_bytes()[from..];
        let length = bytes
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        self.at += length + 1;
        (bytes[length] == b'"').then(|| &self.text[from..from + length])
    }

    fn value(&mut self) -> Option<Scalar<'a>> {
        self.skip_space();
        match self.peek()? {
            b'"' => {
                self.at += 1;
                Some(Scalar::Text(Cow::Borrowed(self.text()?)))
            }
            b'0'..=b'9' => self.number(),
            b't' => self.word("true", Scalar::Bool(true)),
            b'f' => self.word("false", Scalar::Bool(false)),
            b'n' => self.word("null", Scalar::Absent),
            _ => None,
        }
    }

    fn word(&mut self, word: &str, value: Scalar<'a>) -> Option<Scalar<'a>> {
        let found = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        found.then_some(value)
    }

    /// The number that begins here. What follows is looked at by the caller, who knows of no
    /// exponent.
    fn number(&mut self) -> Option<Scalar<'a>> {
        let from = self.at;
        let whole = self.digits(0);
        let wholes = self.at - from;
        if wholes > MAX_DIGITS || (wholes > 1 && self.text.as_bytes()[from] == b'0') {
            return None;
        }
        if self.peek() != Some(b'.') {
            return Some(Scalar::Int(whole));
        }
        self.at += 1;
        let point = self.at;
        let mantissa = self.digits(whole);
        let decimals = self.at - point;
        if decimals == 0 || wholes + decimals > MAX_DIGITS {
            return None;
        }
        if mantissa <= EXACT {
            // of two exact doubles the quotient is the double nearest to the number
            #[allow(clippy::cast_precision_loss)]
            return Some(Scalar::Number(mantissa as f64 / POWERS[decimals]));
        }
        let number = self.text[from..self.at].parse().ok()?;
        Some(Scalar::Number(number))
    }

    /// The digits from here, written behind those of `number`. Wraps beyond [`MAX_DIGITS`].
    #[inline]
    fn digits(&mut self, mut number: u64) -> u64 {
        while let Some(byte @ b'0'..=b'9') = self.peek() {
            number = number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
            self.at += 1;
        }
        number
    }
}
