//! The elements of an array, each a message of its own.
//!
//! Bars are taken in the order of time within each series, as in an array that is one message, but
//! many services send the newest bar first. If one of the first elements goes back in time, the whole
//! array is read and sorted. An array that begins in order is not held in memory.

use std::collections::VecDeque;

use super::MAX_ARRAY;
use crate::market::{Timeframe, Timestamp, in_order};
use crate::tools::bars_file::{Line, LineError, ReadOptions};
use crate::wire::SubjectParts;

/// Most elements that are read to find the order.
const SAMPLE: usize = 1_000;
/// Most bytes that are read to find the order.
const SAMPLE_BYTES: usize = 4 << 20;
/// Most bytes of elements that are sorted.
const SORT_BYTES: usize = 512 << 20;
/// Bytes that an element takes beside its own.
const OVERHEAD: usize = 200;
/// Rows of numbers in one message.
pub(super) const MAX_ROWS: usize = 1_000;

/// An element of an array.
#[derive(Debug)]
pub(super) struct Part {
    pub line: Line,
    /// True for a row of numbers, which stays together with others.
    pub is_row: bool,
}

/// An element, or the error of reading it.
type Element = Result<Part, LineError>;

/// The series and open time of an element that is a bar.
type Place = ((String, Timeframe), Timestamp);

#[derive(Default)]
pub(super) struct Elements {
    begun: bool,
    /// Elements that were read, and not given out yet.
    queue: VecDeque<Element>,
    /// True if there is nothing more to read.
    ended: bool,
    note: Option<&'static str>,
}

impl Elements {
    /// The next message of the array, whose elements `read` reads; none at its end.
    pub fn next(
        &mut self,
        mut read: impl FnMut() -> Result<Option<Part>, LineError>,
        options: &ReadOptions,
    ) -> Result<Option<Line>, LineError> {
        if !self.begun {
            self.begun = true;
            self.begin(&mut read, options);
        }
        let Part { line, is_row } = match self.take(&mut read) {
            None => return Ok(None),
            Some(part) => part?,
        };
        if !is_row {
            return Ok(Some(line));
        }
        let Line { number, payload } = line;
        let mut rows = [b"[", payload.as_slice()].concat();
        let mut count = 1;
        while count < MAX_ROWS && rows.len() <= MAX_ARRAY {
            match self.take(&mut read) {
                None => break,
                Some(Ok(Part { line, is_row: true })) => {
                    rows.push(b',');
                    rows.extend_from_slice(&line.payload);
                    count += 1;
                }
                Some(other) => {
                    self.queue.push_front(other);
                    break;
                }
            }
        }
        rows.push(b']');
        Ok(Some(Line::new(number, rows)))
    }

    /// Takes the note for the user about the order of the array.
    pub fn note(&mut self) -> Option<String> {
        self.note.take().map(str::to_owned)
    }

    fn take(
        &mut self,
        read: &mut impl FnMut() -> Result<Option<Part>, LineError>,
    ) -> Option<Element> {
        self.queue.pop_front().or_else(|| self.read(read))
    }

    fn read(
        &mut self,
        read: &mut impl FnMut() -> Result<Option<Part>, LineError>,
    ) -> Option<Element> {
        if self.ended {
            return None;
        }
        let next = read().transpose();
        self.ended = matches!(next, None | Some(Err(LineError::Read { .. })));
        next
    }

    /// Reads a sample of the array, and all of it if the sample is not in order.
    fn begin(
        &mut self,
        read: &mut impl FnMut() -> Result<Option<Part>, LineError>,
        options: &ReadOptions,
    ) {
        let mut elements: Vec<(Element, Option<Place>)> = Vec::new();
        let mut bytes = 0;
        let (mut most, mut is_sorting) = (SAMPLE_BYTES, false);
        while bytes < most && (is_sorting || elements.len() < SAMPLE) {
            let Some(element) = self.read(read) else {
                break;
            };
            let part = element.as_ref().ok();
            bytes += part.map_or(0, |part| part.line.payload.len()) + OVERHEAD;
            let place = part.and_then(|part| place(&part.line, options));
            elements.push((element, place));
            let is_end = bytes >= most || elements.len() == SAMPLE;
            if !is_sorting && is_end && goes_back(&elements) {
                (most, is_sorting) = (SORT_BYTES, true);
            }
        }
        if is_sorting || goes_back(&elements) {
            self.note = Some(if self.ended {
                "the bars of the array are not in the order of time; they are put in it"
            } else {
                "the bars of the array are not in the order of time, and are more than the 512 MiB that are \
                 put in it; sort the file first"
            });
            elements = in_order(elements, |(_, place)| place.clone());
        }
        self.queue = elements.into_iter().map(|(element, _)| element).collect();
    }
}

/// True if a bar opens before one of its series that comes earlier.
fn goes_back(elements: &[(Element, Option<Place>)]) -> bool {
    let mut newest = std::collections::HashMap::new();
    elements
        .iter()
        .filter_map(|(_, place)| place.as_ref())
        .any(|(series, at)| newest.insert(series, at).is_some_and(|before| at < before))
}

/// The place of an element among the bars, as the agent reads it.
fn place(line: &Line, options: &ReadOptions) -> Option<Place> {
    let parts: SubjectParts<'_> = options.parts(std::str::from_utf8(&line.payload).ok()?);
    let parts = Ok(parts);
    let mut place = None;
    // nothing is in the future of the end of time
    let now = Timestamp::from_nanos(i64::MAX);
    options
        .decoder
        .decode(&line.payload, &parts, now, |read, _| {
            if let (Ok(event), None) = (read, &place) {
                let series = (event.symbol.into_owned(), event.timeframe);
                place = Some((series, event.bar.timestamp));
            }
        });
    place
}
