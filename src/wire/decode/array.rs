//! The elements of a message that is an array.

use serde_json::value::RawValue;

use super::{ELEMENTS_MAX, first_byte};
use crate::wire::scan::plain_length;

/// Numbers that a row has at least: time, open, high, low, close and volume.
const ROW: usize = 6;

/// 1980-01-01 in milliseconds, and a year that no bar is of, in which more digits begin.
const MILLIS: std::ops::Range<u64> = 315_532_800_000..10_000_000_000_000;

/// The elements of an array: those that are taken, and the text and number of the rest.
#[derive(Debug, PartialEq)]
pub(super) struct Array<'a> {
    pub texts: Vec<&'a str>,
    pub rest: Option<(&'a str, usize)>,
}

/// The elements of an array that are taken; nothing when the text cannot be divided as one.
pub(in crate::wire) fn split(text: &str) -> Option<Vec<&str>> {
    Array::split(text).map(|array| array.texts)
}

impl<'a> Array<'a> {
    /// Reads all of the array, and keeps as much as is taken from one message. Its elements need not
    /// be JSON, where their ends can be found.
    pub fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        if let Some(array) = Self::split(text) {
            return Ok(array);
        }
        // empty, or no array; the library says where it breaks off
        let _: Vec<&RawValue> = serde_json::from_str(text)?;
        Ok(Self {
            texts: Vec::new(),
            rest: None,
        })
    }

    /// True if it is the row of one bar: six numbers or more, the first an epoch in milliseconds.
    pub fn is_row(&self) -> bool {
        let scalar = |text: &&str| !matches!(first_byte(text), Some(b'{' | b'['));
        let millis = |text: &&str| {
            let digits = text.trim_matches('"');
            digits.parse().is_ok_and(|epoch| MILLIS.contains(&epoch))
        };
        self.rest.is_none()
            && self.texts.len() >= ROW
            && self.texts.first().is_some_and(millis)
            && self.texts.iter().all(scalar)
    }

    /// Divides an array by its commas. Nothing when its brackets do not match, or where between
    /// two commas there is nothing.
    fn split(text: &'a str) -> Option<Self> {
        let inner = text.trim_ascii().strip_prefix('[')?;
        let mut array = Self {
            texts: Vec::new(),
            rest: None,
        };
        let bytes = inner.as_bytes();
        let (mut depth, mut begin, mut at) = (0_usize, 0, 0);
        loop {
            match bytes.get(at)? {
                b'"' => at = end_of_text(bytes, at + 1)?,
                b'[' | b'{' => depth += 1,
                b',' if depth == 0 => {
                    array.push(text, inner[begin..at].trim_ascii())?;
                    begin = at + 1;
                }
                b']' if depth == 0 => {
                    array.push(text, inner[begin..at].trim_ascii())?;
                    return inner[at + 1..].trim_ascii().is_empty().then_some(array);
                }
                b']' | b'}' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            at += 1;
        }
    }

    fn push(&mut self, text: &'a str, element: &'a str) -> Option<()> {
        if element.is_empty() {
            return None;
        }
        match &mut self.rest {
            Some((_, elements)) => *elements += 1,
            None if self.texts.len() < ELEMENTS_MAX => self.texts.push(element),
            None => self.rest = Some((from(text, element), 1)),
        }
        Some(())
    }
}

/// The rest of `text` from `element` on, which is a slice of it.
fn from<'a>(text: &'a str, element: &str) -> &'a str {
    let start = element.as_ptr() as usize - text.as_ptr() as usize;
    text[start..].trim_ascii_end()
}

/// The place of the quote that ends a text, of which the first byte is at `at`.
#[inline]
fn end_of_text(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += plain_length(&bytes[at..]);
        match bytes.get(at)? {
            b'"' => return Some(at),
            // the byte after it is no end, whatever it is
            b'\\' => at += 2,
            _ => at += 1,
        }
        bytes.get(at)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    #[test]
    fn an_array_that_is_no_json_is_divided_by_its_commas() {
        assert_eq!(
            split(r#" [{"a":NaN,"b":[1,2]}, "x,]\"" ,nul] "#),
            Some(vec![r#"{"a":NaN,"b":[1,2]}"#, r#""x,]\"""#, "nul"])
        );
        for text in [
            "[", "[1", "[1,]", "[,1]", "[1]]", "[1] 2", "[{]", "[}]", "[\"]", "{}",
        ] {
            assert_eq!(split(text), None, "{text}");
        }
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            proptest::sample::select(vec!["null", "true", "-1.5e3", "0", "[]", "{}"])
                .prop_map(str::to_owned),
            proptest::sample::select(vec![
                r#""""#,
                r#"" ,]}[{ ""#,
                r#""\\""#,
                r#""\"""#,
                r#""é\u00e9,""#,
                r#""a long text, with \\\" an end""#
            ])
            .prop_map(str::to_owned),
        ];
        leaf.prop_recursive(3, 30, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4)
                    .prop_map(|items| format!("[{}]", items.join(" ,\n"))),
                proptest::collection::vec(inner, 0..4).prop_map(|items| {
                    let members: Vec<_> = items.iter().map(|v| format!(r#""k,":{v}"#)).collect();
                    format!("{{{}}}", members.join(", "))
                }),
            ]
        })
    }

    proptest! {
        /// The elements of an array that is JSON are those that the library finds.
        #[test]
        fn an_array_is_divided_as_the_library_divides_it(
            elements in proptest::collection::vec(json(), 0..8),
            space in "[ \t\n\r]{0,2}",
        ) {
            let separator = format!("{space},{space}");
            let text = format!("{space}[{space}{}{space}]{space}", elements.join(&separator));
            let expected: Vec<&RawValue> = serde_json::from_str(&text).unwrap();
            let expected: Vec<&str> = expected.iter().map(|raw| raw.get()).collect();
            let array = Array::read(&text).unwrap();
            prop_assert_eq!((array.texts, array.rest), (expected, None), "{}", text);
        }

        /// Text that cannot be divided is no array, and no bytes break the reader.
        #[test]
        fn what_cannot_be_divided_is_an_error(text in "\\[[\\[\\]{}\":,\\\\0-9eé nul]{0,40}") {
            if Array::read(&text).is_err() {
                prop_assert!(serde_json::from_str::<Vec<&RawValue>>(&text).is_err(), "{}", text);
            }
        }
    }

    #[test]
    fn elements_beyond_the_bound_are_counted_however_the_array_is_read() {
        let elements = vec!["{}"; ELEMENTS_MAX + 2].join(", ");
        for text in [format!("[{elements}]"), format!("[{elements}, NaN ] ")] {
            let array = Array::read(&text).unwrap();
            let strict = !text.contains("NaN");
            assert_eq!(array.texts.len(), ELEMENTS_MAX);
            let rest = if strict { "{}, {}]" } else { "{}, {}, NaN ]" };
            assert_eq!(array.rest, Some((rest, if strict { 2 } else { 3 })));
        }
    }

    #[test]
    fn a_row_begins_with_an_epoch_in_milliseconds() {
        for (text, expected) in [
            ("[1704067200000,1,2,0.5,1.5,10]", true),
            (r#"["1704067200000","1","2","0.5","1.5","10",0,null]"#, true),
            ("[1704067200000,1,2,0.5,NaN,10]", true),
            ("[1704067200,1,2,0.5,1.5,10]", false),
            ("[1704067200000,1,2,0.5,1.5]", false),
            ("[1704067200000,1,2,0.5,1.5,{}]", false),
            ("[1,1,1,1,1,1]", false),
            (r#"["a",1,2,3,4,5]"#, false),
        ] {
            assert_eq!(Array::read(text).unwrap().is_row(), expected, "{text}");
        }
    }
}
