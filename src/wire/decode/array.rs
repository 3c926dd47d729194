//! The elements of a message that is an array.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{ELEMENTS_MAX, first_byte};

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

impl<'a> Array<'a> {
    /// Reads all of the array, and keeps as much as is taken from one message. An element that is
    /// no JSON is told apart where its end can be found.
    pub fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut array: serde_json::Deserializer<_> = serde_json::Deserializer::from_str(text);
        let read = array.deserialize_seq(Bounded).and_then(|read| {
            array.end()?;
            Ok(read)
        });
        match read {
            Ok((texts, rest)) => {
                let rest = rest.map(|(first, elements)| (from(text, first), elements));
                Ok(Self { texts, rest })
            }
            Err(error) => Self::split(text).ok_or(error),
        }
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
        let (mut depth, mut begin, mut in_text, mut escaped) = (0_usize, 0, false, false);
        for (at, byte) in inner.bytes().enumerate() {
            if in_text {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => in_text = true,
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
        }
        None
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

/// Collects [`ELEMENTS_MAX`] elements and counts the rest, of which it tells the first.
struct Bounded;

impl<'de> Visitor<'de> for Bounded {
    type Value = (Vec<&'de str>, Option<(&'de str, usize)>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while texts.len() < ELEMENTS_MAX {
            match seq.next_element::<&'de RawValue>()? {
                Some(element) => texts.push(element.get()),
                None => return Ok((texts, None)),
            }
        }
        let Some(first) = seq.next_element::<&'de RawValue>()? else {
            return Ok((texts, None));
        };
        let mut elements = 1;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            elements += 1;
        }
        Ok((texts, Some((first.get(), elements))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Option<Vec<&str>> {
        Array::split(text).map(|array| array.texts)
    }

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
