//! Which subjects go into which stream, and how a subject names its partition.
//!
//! A stream has one subject transform, and only a `*` can be hashed. So a pattern that ends in
//! `>` has two shapes, `a.*` and `a.*.>`. The first shape is captured and transformed by the stream
//! of bars itself; further ones are captured by a second stream that the first one sources with a
//! transform each. Subjects without a symbol have a stream to themselves, which is one partition.
//!
//! Must not know: how streams are made.

use crate::wire::{SubjectPattern, token};

/// What stands before the original subject in the stream of bars: `p.<partition>.`.
const PREFIX: &str = "p.";

/// One shape of subject with a symbol in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bus) struct Shape {
    /// Subjects of this shape; the symbol is the first wildcard.
    pub subjects: String,
    /// What they become in the stream of bars.
    pub stored: String,
}

/// The shapes of all market-data subjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bus) struct Layout {
    pub shapes: Vec<Shape>,
    /// Subjects that name no symbol.
    pub bare: Vec<String>,
    patterns: Vec<SubjectPattern>,
}

impl Layout {
    pub fn new(patterns: &[SubjectPattern], partitions: u32) -> Self {
        let mut shapes = Vec::new();
        let mut bare = Vec::new();
        for pattern in patterns {
            let text = pattern.as_str();
            if text.split('.').any(|token| token == "*") {
                shapes.push(Shape::new(text.to_owned(), partitions));
            } else if let Some(prefix) = text.strip_suffix('>') {
                // those with a timeframe are the many, and go the short way
                shapes.push(Shape::new(format!("{prefix}*.>"), partitions));
                shapes.push(Shape::new(format!("{prefix}*"), partitions));
            } else {
                bare.push(text.to_owned());
            }
        }
        Self {
            shapes,
            bare,
            patterns: patterns.to_vec(),
        }
    }

    /// The subject that a stored message was published on.
    pub fn original(stored: &str) -> &str {
        stored
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('.'))
            .map_or(stored, |(_, original)| original)
    }

    /// The pattern that `subject` came in by.
    pub fn pattern(&self, subject: &str) -> &SubjectPattern {
        let found = self.patterns.iter().find(|p| p.matches(subject));
        // a stream that was edited by hand may hold others; what they say is refused
        found.unwrap_or(&self.patterns[0])
    }
}

impl Shape {
    fn new(subjects: String, partitions: u32) -> Self {
        let mut wildcards = 0;
        let tokens: Vec<String> = subjects
            .split('.')
            .map(|token| {
                if token == "*" {
                    wildcards += 1;
                    format!("{{{{wildcard({wildcards})}}}}")
                } else {
                    token.to_owned()
                }
            })
            .collect();
        let stored = format!(
            "{PREFIX}{{{{partition({partitions},1)}}}}.{}",
            tokens.join(".")
        );
        Self { subjects, stored }
    }
}

/// The filter of one partition in the stream of bars.
pub(super) fn filter(partition: u32) -> String {
    format!("{PREFIX}{partition}.>")
}

/// A text as part of a key or subject in which only letters, digits, `-`, `_` and `=` may stand.
pub(super) fn key(text: &str) -> String {
    token(text).to_string().replace('%', "=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(patterns: &[&str]) -> Layout {
        let patterns: Vec<SubjectPattern> = patterns.iter().map(|p| p.parse().unwrap()).collect();
        Layout::new(&patterns, 32)
    }

    #[test]
    fn the_default_subjects_have_two_shapes_with_a_symbol_and_one_without() {
        let layout = layout(&["raw.market_data.price", "raw.market_data.price.>"]);
        let shapes: Vec<_> = layout
            .shapes
            .iter()
            .map(|s| (s.subjects.as_str(), s.stored.as_str()))
            .collect();
        assert_eq!(
            shapes,
            [
                (
                    "raw.market_data.price.*.>",
                    "p.{{partition(32,1)}}.raw.market_data.price.{{wildcard(1)}}.>"
                ),
                (
                    "raw.market_data.price.*",
                    "p.{{partition(32,1)}}.raw.market_data.price.{{wildcard(1)}}"
                ),
            ]
        );
        assert_eq!(layout.bare, ["raw.market_data.price"]);
    }

    #[test]
    fn a_star_is_the_symbol_wherever_it_stands() {
        let layout = layout(&["*.bars.*"]);
        assert_eq!(
            layout.shapes[0].stored,
            "p.{{partition(32,1)}}.{{wildcard(1)}}.bars.{{wildcard(2)}}"
        );
        assert!(layout.bare.is_empty());
    }

    #[test]
    fn a_stored_subject_leads_back_to_its_pattern() {
        let layout = layout(&["raw.price", "raw.price.>", "x.*"]);
        for (stored, original, pattern) in [
            ("p.31.raw.price.A.1m", "raw.price.A.1m", "raw.price.>"),
            ("p.0.x.A", "x.A", "x.*"),
            ("raw.price", "raw.price", "raw.price"),
        ] {
            assert_eq!(Layout::original(stored), original);
            assert_eq!(layout.pattern(original).as_str(), pattern);
        }
    }

    #[test]
    fn a_key_holds_nothing_that_a_bucket_refuses() {
        assert_eq!(key("desk.1/é"), "desk=2E1=2F=C3=A9");
    }
}
