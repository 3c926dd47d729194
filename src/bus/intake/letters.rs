//! The dead letters that one message may cause.
//!
//! An element of a few bytes costs its letter some hundred bytes of headers, so a small message of
//! many bad elements could fill a stream. So the letters of one message hold at most
//! [`LETTERS_BYTES`] of it. All further elements, refused or beyond the number that is taken, go
//! into one letter more, as an array. Nothing of a message is in two letters.

/// Payload that letters of single elements have, for one message.
pub(super) const LETTERS_BYTES: usize = 65_536;

/// The rest of [`LETTERS_BYTES`], and the elements that have no letter of their own.
#[derive(Debug)]
pub(super) struct LetterBudget {
    left: usize,
    /// The elements without a letter, as the inside of an array.
    rest: Vec<u8>,
    elements: usize,
}

impl Default for LetterBudget {
    /// The room of a message of which nothing is refused yet.
    fn default() -> Self {
        Self {
            left: LETTERS_BYTES,
            rest: Vec::new(),
            elements: 0,
        }
    }
}

impl LetterBudget {
    /// True if a refused element gets a letter of its own; otherwise it is left for the last one.
    pub fn takes(&mut self, element: &[u8]) -> bool {
        if let Some(left) = self.left.checked_sub(element.len()) {
            self.left = left;
            return true;
        }
        // a shorter one that follows must not come before this one
        self.left = 0;
        self.append(element);
        self.elements += 1;
        false
    }

    /// Leaves this number of elements for the last letter; `rest` is the array from the first of
    /// them on.
    pub fn leave_rest(&mut self, rest: &[u8], elements: usize) {
        self.append(rest.strip_suffix(b"]").unwrap_or(rest).trim_ascii_end());
        self.elements += elements;
    }

    /// The number of elements without a letter, and an array of them; `None` when all have one.
    pub fn rest(&mut self) -> Option<(usize, Vec<u8>)> {
        if self.elements == 0 {
            return None;
        }
        self.rest.push(b']');
        let elements = std::mem::take(&mut self.elements);
        Some((elements, std::mem::take(&mut self.rest)))
    }

    fn append(&mut self, elements: &[u8]) {
        self.rest
            .push(if self.rest.is_empty() { b'[' } else { b',' });
        self.rest.extend_from_slice(elements);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_bytes_goes_into_one_array() {
        let element = vec![b'1'; 20_000];
        let mut budget = LetterBudget::default();
        for _ in 0..3 {
            assert!(budget.takes(&element));
        }
        assert!(!budget.takes(&element));
        assert!(!budget.takes(b"2"), "order is kept");
        budget.leave_rest(b"3, 4 ]", 2);
        let (elements, array) = budget.rest().unwrap();
        assert_eq!(elements, 4);
        let expected = [b"[", element.as_slice(), b",2,3, 4]"].concat();
        assert!(array == expected);
        assert_eq!(budget.rest(), None);
    }
}
