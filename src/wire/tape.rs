//! A JSON document as a flat list of its values, read in one pass and without copying.
//!
//! For messages whose bars lie within an envelope. A value keeps its bytes and is read when it is
//! asked for. What this reads is JSON, but for `NaN` and infinities in the place of a number,
//! which some languages write: they cost the element they are in, not the message.

use std::borrow::Cow;

use super::fields::{Scalar, scalar};
use super::scan::{after, plain_length, skip_space};

/// Values within values beyond this are not read.
const MAX_DEPTH: usize = 16;

/// One value, and where the next one beside it is.
#[derive(Debug)]
struct Entry<'a> {
    /// Empty in an array.
    key: &'a str,
    text: &'a str,
    /// The entry after the last one within it.
    next: usize,
}

/// All values of a document, each before those within it.
#[derive(Debug)]
pub(super) struct Tape<'a> {
    entries: Vec<Entry<'a>>,
}

/// One value of a [`Tape`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'t, 'a> {
    tape: &'t Tape<'a>,
    at: usize,
}

impl<'a> Tape<'a> {
    /// Reads a document; nothing when it is no JSON, or too deep.
    pub fn read(text: &'a str) -> Option<Self> {
        let mut reader = Reader {
            text,
            bytes: text.as_bytes(),
            entries: Vec::with_capacity(48),
        };
        let end = reader.value("", 0, 0)?;
        (skip_space(reader.bytes, end) == text.len()).then_some(Self {
            entries: reader.entries,
        })
    }

    /// True if values lie within values of the document.
    pub fn is_nested(&self) -> bool {
        self.root()
            .items()
            .any(|item| item.is_object() || item.is_array())
    }

    /// The value of the whole document.
    pub fn root(&self) -> Node<'_, 'a> {
        Node { tape: self, at: 0 }
    }
}

impl<'t, 'a> Node<'t, 'a> {
    fn entry(self) -> &'t Entry<'a> {
        &self.tape.entries[self.at]
    }

    /// Its bytes.
    pub fn text(self) -> &'a str {
        self.entry().text
    }

    pub fn is_object(self) -> bool {
        self.text().starts_with('{')
    }

    pub fn is_array(self) -> bool {
        self.text().starts_with('[')
    }

    /// Its key in the object it is in.
    pub fn key(self) -> &'a str {
        self.entry().key
    }

    /// The values within it, in order.
    pub fn items(self) -> impl Iterator<Item = Node<'t, 'a>> {
        let Self { tape, at } = self;
        let end = self.entry().next;
        let mut next = at + 1;
        std::iter::from_fn(move || {
            (next < end).then(|| {
                let node = Node { tape, at: next };
                next = tape.entries[next].next;
                node
            })
        })
    }

    /// The value of a key, the last one where it is there several times. `null` is none.
    pub fn get(self, key: &str) -> Option<Node<'t, 'a>> {
        if !self.is_object() {
            return None;
        }
        let found = self.items().filter(|item| same(item.key(), key)).last()?;
        found.if_any()
    }

    /// The scalars of several keys, found in one pass; each as [`Self::field`] finds it.
    #[inline]
    pub fn fields<const N: usize>(self, keys: [&str; N]) -> [Scalar<'a>; N] {
        let mut found: [Option<Self>; N] = [None; N];
        if self.is_object() {
            for item in self.items() {
                for (found, key) in found.iter_mut().zip(keys) {
                    if same(item.key(), key) {
                        *found = Some(item);
                    }
                }
            }
        }
        found.map(|node| {
            node.and_then(Self::if_any)
                .map_or(Scalar::Absent, Node::scalar)
        })
    }

    /// This value, unless it is `null`.
    fn if_any(self) -> Option<Self> {
        (self.text() != "null").then_some(self)
    }

    /// The value at a place of an array.
    pub fn at(self, index: usize) -> Option<Node<'t, 'a>> {
        if !self.is_array() {
            return None;
        }
        self.items().nth(index)
    }

    /// Its value as that of a field.
    pub fn scalar(self) -> Scalar<'a> {
        let text = self.text();
        match text.as_bytes() {
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                Scalar::Text(Cow::Borrowed(&text[1..text.len() - 1]))
            }
            [b'N' | b'I', ..] | [b'-', b'I', ..] => Scalar::HugeNumber(text),
            _ => scalar(text),
        }
    }

    /// The text of a string without escapes.
    pub fn str(self) -> Option<&'a str> {
        match self.scalar() {
            Scalar::Text(Cow::Borrowed(text)) => Some(text),
            _ => None,
        }
    }

    /// The scalar of a key; absent where there is none.
    pub fn field(self, key: &str) -> Scalar<'a> {
        self.get(key).map_or(Scalar::Absent, Node::scalar)
    }

    /// The text of a key that has a string without escapes.
    pub fn str_of(self, key: &str) -> Option<&'a str> {
        self.get(key)?.str()
    }
}

/// True if two keys are equal. Most are told apart by their length and first byte.
#[inline]
fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    a.len() == b.len() && a.first() == b.first() && (a.len() < 2 || a == b)
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    entries: Vec<Entry<'a>>,
}

/// Each method reads what begins at a place and returns the place after it.
impl<'a> Reader<'a> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    fn value(&mut self, key: &'a str, at: usize, depth: usize) -> Option<usize> {
        if depth > MAX_DEPTH {
            return None;
        }
        let from = skip_space(self.bytes, at);
        let entry = self.entries.len();
        self.entries.push(Entry {
            key,
            text: "",
            next: 0,
        });
        let end = match self.byte(from)? {
            b'{' => self.members(from + 1, b'}', true, depth)?,
            b'[' => self.members(from + 1, b']', false, depth)?,
            b'"' => self.string(from + 1)?,
            b'-' | b'0'..=b'9' => self.number(from)?,
            _ => self.word(from)?,
        };
        let next = self.entries.len();
        let done = &mut self.entries[entry];
        done.text = &self.text[from..end];
        done.next = next;
        Some(end)
    }

    fn members(&mut self, at: usize, close: u8, keyed: bool, depth: usize) -> Option<usize> {
        let mut at = skip_space(self.bytes, at);
        if self.byte(at)? == close {
            return Some(at + 1);
        }
        loop {
            let mut key = "";
            if keyed {
                let from = after(self.bytes, at, b'"')?;
                let end = self.string(from)?;
                key = &self.text[from..end - 1];
                at = after(self.bytes, end, b':')?;
            }
            at = skip_space(self.bytes, self.value(key, at, depth + 1)?);
            match self.byte(at)? {
                b',' => at += 1,
                byte if byte == close => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// A string, from behind its quote to behind the quote that ends it.
    #[inline]
    fn string(&self, mut at: usize) -> Option<usize> {
        loop {
            at += plain_length(&self.bytes[at..]);
            match self.byte(at)? {
                b'"' => return Some(at + 1),
                b'\\' => match self.byte(at + 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                    b'u' => {
                        let digits = self.bytes.get(at + 2..at + 6)?;
                        if !digits.iter().all(u8::is_ascii_hexdigit) {
                            return None;
                        }
                        at += 6;
                    }
                    _ => return None,
                },
                _ => return None,
            }
        }
    }

    /// One digit or more.
    #[inline]
    fn digits(&self, at: usize) -> Option<usize> {
        let digit = |byte: &u8| byte.is_ascii_digit();
        let digits = self.bytes.get(at..)?.iter().take_while(|byte| digit(byte));
        let end = at + digits.count();
        (end > at).then_some(end)
    }

    #[inline]
    fn number(&self, mut at: usize) -> Option<usize> {
        if self.byte(at) == Some(b'-') {
            at += 1;
            if self.byte(at) == Some(b'I') {
                return self.word(at);
            }
        }
        at = match self.byte(at)? {
            b'0' => at + 1,
            _ => self.digits(at)?,
        };
        if self.byte(at) == Some(b'.') {
            at = self.digits(at + 1)?;
        }
        if let Some(b'e' | b'E') = self.byte(at) {
            at += 1;
            if let Some(b'+' | b'-') = self.byte(at) {
                at += 1;
            }
            at = self.digits(at)?;
        }
        Some(at)
    }

    fn word(&self, at: usize) -> Option<usize> {
        let rest = &self.bytes[at..];
        let words = ["true", "false", "null", "NaN", "Infinity"];
        let word = words.iter().find(|w| rest.starts_with(w.as_bytes()))?;
        Some(at + word.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;
    use serde_json::Value;

    /// The document again, from the tape.
    fn value(node: Node<'_, '_>) -> Value {
        if node.is_object() {
            let members = node.items().map(|item| {
                let key = format!("\"{}\"", item.key());
                (serde_json::from_str(&key).unwrap(), value(item))
            });
            return Value::Object(members.collect());
        }
        if node.is_array() {
            return node.items().map(value).collect();
        }
        serde_json::from_str(node.text()).unwrap()
    }

    fn document() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            proptest::sample::select(vec![
                "null", "true", "false", "-1.5e-3", "0", "01", "1.", "-", "nul", "{}", "[]"
            ])
            .prop_map(str::to_owned),
            "-?[0-9]{1,8}(\\.[0-9]{0,3})?([eE][+-]?[0-9]{0,2})?",
            "\"[a-z\\\\\"/u0-9é\u{1} ]{0,6}\"",
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5)
                    .prop_map(|items| format!("[{}]", items.join(" , "))),
                proptest::collection::vec(("[a-c]{1,2}|\\\\u0063", inner), 0..5).prop_map(
                    |items| {
                        let items: Vec<_> =
                            items.iter().map(|(k, v)| format!("\"{k}\" :{v}")).collect();
                        format!(" {{ {} }}", items.join(","))
                    }
                ),
            ]
        })
    }

    proptest! {
        /// The reader takes nothing but JSON, reads all of it, and finds what `serde_json` finds.
        #[test]
        fn it_reads_json_and_nothing_else(document in document()) {
            let expected: Option<Value> = serde_json::from_str(&document).ok();
            let tape = Tape::read(&document);
            // a lone half of a pair of escapes is a fault of the one value
            let escaped = document.contains("\\u");
            match (tape, expected) {
                (Some(tape), Some(expected)) => prop_assert_eq!(value(tape.root()), expected),
                (tape, expected) => prop_assert!(
                    escaped || (tape.is_none() && expected.is_none()), "{}", document
                ),
            }
        }

        #[test]
        fn no_bytes_break_it(text in "[\\[\\]{}\":,\\\\0-9eEtrufalsn. \\-NI]{0,40}") {
            let _ = Tape::read(&text);
        }
    }

    #[test]
    fn values_are_found_by_key_and_place() {
        let tape = Tape::read(r#"{"a":1,"b":{"c":["x",null,2.5]},"a":"y","n":null}"#).unwrap();
        let root = tape.root();
        assert_eq!(root.str_of("a"), Some("y"));
        assert!(root.get("n").is_none() && root.get("c").is_none());
        let list = root.get("b").unwrap().get("c").unwrap();
        assert_eq!(list.at(2).unwrap().scalar(), Scalar::Number(2.5));
        assert_eq!(list.at(1).unwrap().scalar(), Scalar::Absent);
        assert!(list.at(3).is_none() && list.get("x").is_none());
        assert_eq!(list.text(), r#"["x",null,2.5]"#);
    }

    #[test]
    fn a_number_that_is_none_is_a_fault_of_its_field_alone() {
        for token in ["NaN", "Infinity", "-Infinity"] {
            let text = format!(r#"{{"a":{token},"b":1}}"#);
            let tape = Tape::read(&text).unwrap();
            assert_eq!(tape.root().field("a"), Scalar::HugeNumber(token));
            assert_eq!(tape.root().field("b"), Scalar::Int(1));
        }
    }

    #[test]
    fn what_is_too_deep_is_not_read() {
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Tape::read(&deep(MAX_DEPTH)).is_some());
        assert!(Tape::read(&deep(100_000)).is_none());
    }
}
