//! A JSON document as a flat list of its values, read in one pass and without copying.
//!
//! For messages whose bars lie within an envelope. A value keeps its bytes and is read when it is
//! asked for. What this reads is JSON, but for `NaN` and infinities in the place of a number,
//! which some languages write: they cost the element they are in, not the message.

use std::borrow::Cow;

use super::fields::{Scalar, scalar};

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
            at: 0,
            entries: Vec::with_capacity(48),
        };
        reader.value("", 0)?;
        reader.skip_space();
        (reader.at == text.len()).then_some(Self {
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
        let found = self.items().filter(|item| item.key() == key).last()?;
        (found.text() != "null").then_some(found)
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

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    entries: Vec<Entry<'a>>,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn value(&mut self, key: &'a str, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.skip_space();
        let (from, entry) = (self.at, self.entries.len());
        self.entries.push(Entry {
            key,
            text: "",
            next: 0,
        });
        match self.peek()? {
            b'{' => self.members(b'}', true, depth)?,
            b'[' => self.members(b']', false, depth)?,
            b'"' => drop(self.string()?),
            b'-' | b'0'..=b'9' => self.number()?,
            _ => self.word()?,
        }
        let next = self.entries.len();
        let done = &mut self.entries[entry];
        done.text = &self.text[from..self.at];
        done.next = next;
        Some(())
    }

    fn members(&mut self, close: u8, keyed: bool, depth: usize) -> Option<()> {
        self.at += 1;
        self.skip_space();
        if self.peek()? == close {
            self.at += 1;
            return Some(());
        }
        loop {
            let mut key = "";
            if keyed {
                self.skip_space();
                key = self.string()?;
                self.skip_space();
                self.take(b':')?;
            }
            self.value(key, depth + 1)?;
            self.skip_space();
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b',' => {}
                byte if byte == close => return Some(()),
                _ => return None,
            }
        }
    }

    /// The string that begins here, as it is between its quotes.
    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let from = self.at;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(&self.text[from..self.at - 1]);
                }
                b'\\' => {
                    self.at += 1;
                    match self.peek()? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                        b'u' => {
                            let digits = self.bytes.get(self.at + 1..self.at + 5)?;
                            if !digits.iter().all(u8::is_ascii_hexdigit) {
                                return None;
                            }
                            self.at += 5;
                        }
                        _ => return None,
                    }
                }
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
    }

    fn digits(&mut self) -> Option<()> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > from).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        if self.take(b'-').is_some() && self.peek() == Some(b'I') {
            return self.word();
        }
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        if self.take(b'.').is_some() {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn word(&mut self) -> Option<()> {
        let rest = &self.bytes[self.at..];
        let words = ["true", "false", "null", "NaN", "Infinity"];
        let word = words.iter().find(|w| rest.starts_with(w.as_bytes()))?;
        self.at += word.len();
        Some(())
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
