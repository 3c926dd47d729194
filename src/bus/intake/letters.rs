//! The dead letters that one message may cause.
//!
//! A letter can be put back alone: it holds the refused element, in the envelope of its message where
//! the element cannot be read without that ([`Excerpts`]).
//!
//! An element of a few bytes costs its letter some hundred bytes of headers, so a small message of
//! many bad elements could fill a stream. So the letters of one message hold at most
//! [`LETTERS_BYTES`]. All further elements, refused or beyond the number that is taken, go into one
//! letter more, as an array. No element of a message is in two letters.

use std::borrow::Cow;
use std::ops::Range;

use crate::wire::{Excerpt, Excerpts, excerpt, place_in};

/// Payload that letters of single elements have, for one message.
pub(super) const LETTERS_BYTES: usize = 65_536;

/// The rest of [`LETTERS_BYTES`], and the elements that have no letter of their own.
#[derive(Debug)]
pub(super) struct LetterBudget {
    left: usize,
    excerpts: Excerpts,
    rest: Vec<Rest>,
    elements: usize,
}

/// Elements without a letter of their own, by their places in the message.
#[derive(Debug)]
enum Rest {
    /// They stand alone.
    Alone(Range<usize>),
    /// They are in an envelope.
    Within {
        envelope: Range<usize>,
        places: Vec<Range<usize>>,
    },
}

impl Default for LetterBudget {
    /// The room of a message of which nothing is refused yet.
    fn default() -> Self {
        Self {
            left: LETTERS_BYTES,
            excerpts: Excerpts::default(),
            rest: Vec::new(),
            elements: 0,
        }
    }
}

impl LetterBudget {
    /// The letter of an element of `message`; `None` if the element is left for the last one.
    pub fn letter<'m>(&mut self, message: &'m [u8], element: &'m [u8]) -> Option<Cow<'m, [u8]>> {
        // a message that is refused as a whole is its own letter, whatever its size
        if element.len() == message.len() {
            return Some(element.into());
        }
        let place = place_in(message, element);
        // after the first element without a letter no later one gets one, which keeps their order
        if self.left > 0 {
            let letter: Option<Cow<'m, [u8]>> = match self.excerpts.of(message, &place) {
                Excerpt::Alone => Some(element.into()),
                Excerpt::Framed(bytes) if bytes.len() >= message.trim_ascii().len() => {
                    return Some(bytes.into());
                }
                Excerpt::Framed(bytes) => Some(bytes.into()),
                Excerpt::TooMuchWork => None,
            };
            let takes = letter.filter(|letter| letter.len() <= self.left);
            self.left -= takes.as_ref().map_or(self.left, |letter| letter.len());
            if takes.is_some() {
                return takes;
            }
        }
        self.leave(message, place);
        self.elements += 1;
        None
    }

    /// Leaves this number of elements for the last letter; `rest` is the part of `message` from the
    /// first of them to the last, or to the end of their array.
    pub fn leave_rest(&mut self, message: &[u8], rest: &[u8], elements: usize) {
        let rest = rest.strip_suffix(b"]").unwrap_or(rest).trim_ascii_end();
        self.leave(message, place_in(message, rest));
        self.elements += elements;
    }

    fn leave(&mut self, message: &[u8], place: Range<usize>) {
        let Some(envelope) = self.excerpts.envelope(message, &place) else {
            self.rest.push(Rest::Alone(place));
            return;
        };
        if let Some(Rest::Within {
            envelope: last,
            places,
        }) = self.rest.last_mut()
            && *last == envelope
        {
            places.push(place);
            return;
        }
        let places = vec![place];
        self.rest.push(Rest::Within { envelope, places });
    }

    /// The number of elements of `message` without a letter, and an array of them; `None` when all
    /// have one.
    pub fn rest(&mut self, message: &[u8]) -> Option<(usize, Vec<u8>)> {
        if self.elements == 0 {
            return None;
        }
        let mut array = Vec::new();
        for rest in std::mem::take(&mut self.rest) {
            array.push(if array.is_empty() { b'[' } else { b',' });
            match rest {
                Rest::Alone(place) => {
                    array.extend_from_slice(message.get(place).unwrap_or_default())
                }
                Rest::Within { envelope, places } => {
                    array.extend_from_slice(&excerpt(
                        &message[envelope.clone()],
                        &relative(places, envelope.start),
                    ));
                }
            }
        }
        array.push(b']');
        Some((std::mem::take(&mut self.elements), array))
    }
}

/// Places within an envelope that starts at `start`, in ascending order.
fn relative(mut places: Vec<Range<usize>>, start: usize) -> Vec<Range<usize>> {
    for place in &mut places {
        *place = place.start - start..place.end - start;
    }
    places.sort_by_key(|place| place.start);
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The letters of these parts of a message, and the last one.
    fn letters<'m>(message: &'m str, parts: &[&'m str]) -> (Vec<String>, Option<(usize, String)>) {
        let mut budget = LetterBudget::default();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let letters = parts
            .iter()
            .filter_map(|part| budget.letter(message.as_bytes(), part.as_bytes()))
            .map(|letter| text(&letter))
            .collect();
        let rest = budget.rest(message.as_bytes());
        assert_eq!(budget.rest(message.as_bytes()), None);
        (
            letters,
            rest.map(|(elements, array)| (elements, text(&array))),
        )
    }

    fn part<'m>(message: &'m str, of: &str) -> &'m str {
        let at = message.find(of).unwrap();
        &message[at..at + of.len()]
    }

    #[test]
    fn what_is_beyond_the_bytes_goes_into_one_array() {
        let element = "1".repeat(20_000);
        let message = format!("[{element},{element},{element},{element}, 2 ,3, 4 ]");
        let bytes = message.as_bytes();
        let mut budget = LetterBudget::default();
        for at in 0..3 {
            let element = &bytes[1 + at * 20_001..][..20_000];
            let letter = budget.letter(bytes, element).unwrap();
            assert!(*letter == *element);
        }
        let fourth = &bytes[1 + 3 * 20_001..][..20_000];
        assert!(budget.letter(bytes, fourth).is_none());
        let second = part(&message, "2 ,").trim_end_matches(" ,");
        assert!(
            budget.letter(bytes, second.as_bytes()).is_none(),
            "order is kept"
        );
        budget.leave_rest(bytes, part(&message, "3, 4 ]").as_bytes(), 2);
        let (elements, array) = budget.rest(bytes).unwrap();
        assert_eq!(elements, 4);
        assert!(array == format!("[{element},2,3, 4]").as_bytes());
        assert_eq!(budget.rest(bytes), None);
    }

    #[test]
    fn an_element_of_an_envelope_is_in_its_envelope_alone_and_among_the_rest() {
        let note = "n".repeat(40_000);
        let message = format!(r#" {{"note":"{note}","data":[{{"a":1}}, {{"a":2}}, {{"a":3}}]}}"#);
        let parts = [r#"{"a":1}"#, r#"{"a":3}"#].map(|of| part(&message, of));
        let (letters, rest) = letters(&message, &parts);
        assert_eq!(
            letters,
            [format!(r#"{{"note":"{note}","data":[{{"a":1}}]}}"#)]
        );
        let last = format!(r#"[{{"note":"{note}","data":[{{"a":3}}]}}]"#);
        assert_eq!(rest, Some((1, last)));
    }

    #[test]
    fn the_only_element_of_a_message_has_a_letter_whatever_its_size() {
        let note = "n".repeat(70_000);
        let message = format!(r#"{{"note":"{note}","data":[{{"a":1}}]}}"#);
        let (letters, rest) = letters(&message, &[part(&message, r#"{"a":1}"#)]);
        assert_eq!((letters, rest), (vec![message], None));
    }

    #[test]
    fn the_rest_of_several_envelopes_is_an_array_of_them_in_the_order_of_the_message() {
        let large = "x".repeat(70_000);
        let message = format!(
            r#"[{{"t":"a","data":[{{"a":"{large}"}},{{"a":2}},{{"a":3}}]}},{{"a":4}},{{"t":"b","data":[{{"a":5}},{{"a":6}}]}}]"#
        );
        let first = format!(r#"{{"a":"{large}"}}"#);
        // the bars of an envelope come in the order of time
        let parts = [
            &first,
            r#"{"a":3}"#,
            r#"{"a":2}"#,
            r#"{"a":4}"#,
            r#"{"a":6}"#,
        ];
        let parts = parts.map(|of| part(&message, of));
        let (letters, rest) = letters(&message, &parts);
        assert_eq!(letters, [""; 0]);
        let last = format!(
            r#"[{{"t":"a","data":[{first},{{"a":2}},{{"a":3}}]}},{{"a":4}},{{"t":"b","data":[{{"a":6}}]}}]"#
        );
        assert_eq!(rest, Some((5, last)));
    }
}
