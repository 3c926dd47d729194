//! Parts of a message that can be read without the rest of it.
//!
//! The symbol, the timeframe and the vendor's name of a bar may stand in the envelope around it, so
//! the bar's own bytes can be unreadable alone. An excerpt is the message with all else left out of
//! its arrays: the envelope, and in it the wanted elements. It is never longer than the message,
//! and a decoder reads those elements in it as it does in the message.

use std::ops::Range;

use super::decode::split_array;
use super::tape::{Node, Tape};

/// Bytes of one message that are read again for excerpts of single elements.
const WORK_BYTES: usize = 2 << 20;

/// The excerpts of one message, whose bytes are handed in with each call.
#[derive(Debug, Default)]
pub(crate) struct Excerpts {
    /// The places of the messages in an array of messages; `None` before the first call.
    members: Option<Vec<Range<usize>>>,
    frame: Option<Frame>,
    work: usize,
}

/// The bytes around an element in its excerpt.
#[derive(Debug)]
struct Frame {
    /// The place of the array that the element is in.
    array: Range<usize>,
    before: Vec<u8>,
    after: Vec<u8>,
}

/// The bytes that stand for an element.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Excerpt {
    /// Its own.
    Alone,
    /// These.
    Framed(Vec<u8>),
    /// Unknown: it would take too much work.
    TooMuchWork,
}

impl Excerpts {
    /// The excerpt of the element at `place` of `message`. The elements of one array are all its
    /// items.
    pub fn of(&mut self, message: &[u8], place: &Range<usize>) -> Excerpt {
        let Some(envelope) = self.envelope(message, place) else {
            return Excerpt::Alone;
        };
        let is_framed =
            |frame: &&Frame| frame.array.start < place.start && place.end < frame.array.end;
        if self.frame.as_ref().filter(is_framed).is_none() {
            self.work += envelope.len();
            if self.work > WORK_BYTES {
                return Excerpt::TooMuchWork;
            }
            self.frame = Frame::of(message, &envelope, place);
        }
        match &self.frame {
            Some(Frame { before, after, .. }) => {
                Excerpt::Framed([before, &message[place.clone()], after].concat())
            }
            None => Excerpt::Alone,
        }
    }

    /// The place of the message around the elements at `place` of `message`; `None` if they stand
    /// alone.
    pub fn envelope(&mut self, message: &[u8], place: &Range<usize>) -> Option<Range<usize>> {
        let members = self.members.get_or_insert_with(|| members(message));
        let at = members.partition_point(|member| member.end <= place.start);
        let member = members.get(at)?;
        let is_inside = member.start < place.start && place.end < member.end;
        is_inside.then(|| member.clone())
    }
}

/// The places of the messages in a message: of the elements of an array, else of all of it.
fn members(message: &[u8]) -> Vec<Range<usize>> {
    let text = std::str::from_utf8(message).unwrap_or_default();
    match split_array(text) {
        Some(elements) => elements
            .into_iter()
            .map(|element| place_in(message, element.as_bytes()))
            .collect(),
        None => vec![place_in(message, message.trim_ascii())],
    }
}

/// The place of a part of `message`, which is a slice of it.
pub(crate) fn place_in(message: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(message.as_ptr() as usize);
    start..start + part.len()
}

impl Frame {
    fn of(message: &[u8], envelope: &Range<usize>, place: &Range<usize>) -> Option<Self> {
        let text = std::str::from_utf8(&message[envelope.clone()]).ok()?;
        let tape = Tape::read(text)?;
        let within = place.start - envelope.start..place.end - envelope.start;
        let mut cut = Cut::new(text, std::slice::from_ref(&within));
        cut.write(tape.root());
        let at = cut.kept?;
        let array = cut.array.unwrap_or_else(|| within.clone());
        Some(Self {
            array: array.start + envelope.start..array.end + envelope.start,
            before: cut.out[..at].into(),
            after: cut.out[at + place.len()..].into(),
        })
    }
}

/// The excerpt of a message with the elements at these places, in ascending order. Elements of an
/// array that touch one of the places stay.
pub(crate) fn excerpt(message: &[u8], keep: &[Range<usize>]) -> Vec<u8> {
    let text = std::str::from_utf8(message).unwrap_or_default();
    let Some(tape) = Tape::read(text) else {
        return message.into();
    };
    let mut cut = Cut::new(text, keep);
    cut.write(tape.root());
    cut.out
}

/// A message from which elements are cut out.
struct Cut<'m, 'k> {
    message: &'m str,
    keep: &'k [Range<usize>],
    out: Vec<u8>,
    /// The place in `out` of the first element that was kept.
    kept: Option<usize>,
    /// The innermost array that something was kept of.
    array: Option<Range<usize>>,
}

impl<'m, 'k> Cut<'m, 'k> {
    const fn new(message: &'m str, keep: &'k [Range<usize>]) -> Self {
        Self {
            message,
            keep,
            out: Vec::new(),
            kept: None,
            array: None,
        }
    }

    /// The first of the places that touches a node.
    fn touching(&self, node: &Range<usize>) -> Option<&Range<usize>> {
        let at = self.keep.partition_point(|keep| keep.end <= node.start);
        self.keep.get(at).filter(|keep| keep.start < node.end)
    }

    fn write(&mut self, node: Node<'_, 'm>) {
        let place = place_in(self.message.as_bytes(), node.text().as_bytes());
        let is_whole = match self.touching(&place) {
            None => true,
            Some(keep) if keep.start <= place.start && place.end <= keep.end => {
                self.kept.get_or_insert(self.out.len());
                true
            }
            Some(_) => false,
        };
        if is_whole {
            self.out.extend_from_slice(node.text().as_bytes());
        } else if node.is_array() {
            self.array = Some(place);
            self.out.push(b'[');
            let mut is_first = true;
            for item in node.items() {
                let at = place_in(self.message.as_bytes(), item.text().as_bytes());
                if self.touching(&at).is_some() {
                    if !std::mem::take(&mut is_first) {
                        self.out.push(b',');
                    }
                    self.write(item);
                }
            }
            self.out.push(b']');
        } else {
            let mut from = place.start;
            for item in node.items() {
                let at = place_in(self.message.as_bytes(), item.text().as_bytes());
                self.out
                    .extend_from_slice(&self.message.as_bytes()[from..at.start]);
                self.write(item);
                from = at.end;
            }
            self.out
                .extend_from_slice(&self.message.as_bytes()[from..place.end]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(message: &str, part: &str) -> Range<usize> {
        let at = message.find(part).unwrap();
        at..at + part.len()
    }

    fn of(message: &str, part: &str) -> Excerpt {
        Excerpts::default().of(message.as_bytes(), &place(message, part))
    }

    fn framed(text: &str) -> Excerpt {
        Excerpt::Framed(text.as_bytes().to_vec())
    }

    #[test]
    fn an_element_keeps_what_is_around_it_and_loses_what_is_beside_it() {
        for (message, part, expected) in [
            (
                r#" {"topic":"kline.5.A", "data":[ {"c":1} , {"c":2}, {"c":3}],"ts":7} "#,
                r#"{"c":2}"#,
                r#"{"topic":"kline.5.A", "data":[{"c":2}],"ts":7}"#,
            ),
            (
                r#"{"channel":"candles","x":[1,2],"events":[{"type":"snapshot","candles":[{"a":1},{"a":2}]},{"type":"update","candles":[{"a":3},{"a":4}]}]}"#,
                r#"{"a":3}"#,
                r#"{"channel":"candles","x":[1,2],"events":[{"type":"update","candles":[{"a":3}]}]}"#,
            ),
            (
                r#"{"arg":{"channel":"candle1m","instId":"A"},"data":[["1","2"],["3","4"]]}"#,
                r#"["3","4"]"#,
                r#"{"arg":{"channel":"candle1m","instId":"A"},"data":[["3","4"]]}"#,
            ),
            (
                r#"{"params":{"channel":"chart.trades.A.1","data":{"tick":1}}}"#,
                r#"{"tick":1}"#,
                r#"{"params":{"channel":"chart.trades.A.1","data":{"tick":1}}}"#,
            ),
            (
                r#"[{"topic":"a","data":[1,2]},{"topic":"b","data":[{"c":3},{"c":4}]}]"#,
                r#"{"c":4}"#,
                r#"{"topic":"b","data":[{"c":4}]}"#,
            ),
        ] {
            assert_eq!(of(message, part), framed(expected), "{message}");
        }
    }

    #[test]
    fn an_element_of_a_plain_array_and_a_whole_message_stand_alone() {
        for (message, part) in [
            (r#"[{"c":1}, {"c":2}]"#, r#"{"c":2}"#),
            (r#"[[1,2],[3,4]]"#, "[3,4]"),
            (r#"{"c":2}"#, r#"{"c":2}"#),
            (" {\"c\":2}\n", r#"{"c":2}"#),
            ("[{},NaN,7", "[{},NaN,7"),
            ("nonsense", "sense"),
        ] {
            assert_eq!(of(message, part), Excerpt::Alone, "{message}");
        }
    }

    #[test]
    fn elements_of_one_array_share_a_frame_and_those_of_others_have_their_own() {
        let message = r#"{"e":[{"n":"x","c":["aa","bb"]},{"n":"y","c":["cc","dd"]}]}"#;
        let mut excerpts = Excerpts::default();
        for (part, expected) in [
            (r#""aa""#, r#"{"e":[{"n":"x","c":["aa"]}]}"#),
            (r#""bb""#, r#"{"e":[{"n":"x","c":["bb"]}]}"#),
            (r#""dd""#, r#"{"e":[{"n":"y","c":["dd"]}]}"#),
            (r#""aa""#, r#"{"e":[{"n":"x","c":["aa"]}]}"#),
        ] {
            let found = excerpts.of(message.as_bytes(), &place(message, part));
            assert_eq!(found, framed(expected), "{part}");
        }
        assert_eq!(
            excerpts.work,
            3 * message.len(),
            "read once for a run of one array"
        );
    }

    #[test]
    fn the_work_on_one_message_has_a_bound() {
        let events: Vec<String> = (0..2_000)
            .map(|at| format!(r#"{{"candles":[{{"n":{at}}}]}}"#))
            .collect();
        let padding = "x".repeat(60_000);
        let message = format!(r#"{{"pad":"{padding}","events":[{}]}}"#, events.join(","));
        let mut excerpts = Excerpts::default();
        let mut framed = 0;
        for at in 0..2_000 {
            match excerpts.of(
                message.as_bytes(),
                &place(&message, &format!(r#"{{"n":{at}}}"#)),
            ) {
                Excerpt::Framed(bytes) => {
                    assert!(bytes.len() < 61_000);
                    framed += 1;
                }
                other => assert_eq!(other, Excerpt::TooMuchWork),
            }
        }
        assert_eq!(framed, WORK_BYTES / message.len());
    }

    #[test]
    fn several_elements_stay_in_one_excerpt() {
        let message = r#"{"topic":"t","data":[{"c":1},{"c":2},{"c":3},{"c":4}],"ts":7}"#;
        let places = [
            place(message, r#"{"c":1}"#),
            place(message, r#"{"c":3},{"c":4}"#),
        ];
        assert_eq!(
            excerpt(message.as_bytes(), &places),
            br#"{"topic":"t","data":[{"c":1},{"c":3},{"c":4}],"ts":7}"#
        );
        assert_eq!(excerpt(b"no json", &places), b"no json");
    }
}
