//! The division of subjects among streams, and the partition in a subject's name.
//!
//! A stream has one subject transform, and only a `*` can be hashed. So a pattern that ends in
//! `>` has two shapes, `a.*` and `a.*.>`. The first shape is captured and transformed by the stream
//! of bars itself; further ones are captured by a second stream that the first one sources with a
//! transform each. Subjects without a symbol have a stream to themselves, which is one partition.
//!
//! Must not know: how streams are made.

use crate::wire::{Reason, SubjectParts, SubjectPattern, SubjectRefusal, token};

/// The prefix of the original subject in the stream of bars: `p.<partition>.`.
const PREFIX: &str = "p.";

/// Token in subjects of time marks, in place of the timeframe and other tokens of bars.
const MARK: &str = "mark";
/// Number of names to try in place of a symbol, to find one that belongs to a partition.
const NAMES_MAX: u32 = 1 << 20;

/// One shape of subject with a symbol in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    /// Subjects of this shape.
    pub subjects: String,
    /// The same subjects as the stream of bars stores them.
    pub stored: String,
    /// The number of the wildcard that is the symbol, counted from 1.
    symbol: usize,
}

/// The shapes of all market-data subjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub shapes: Vec<Shape>,
    /// Subjects that name no symbol.
    pub bare: Vec<String>,
    /// The number of partitions that the symbols are divided into.
    pub partitions: u32,
    patterns: Vec<SubjectPattern>,
}

impl Layout {
    pub fn new(patterns: &[SubjectPattern], partitions: u32) -> Self {
        let mut shapes = Vec::new();
        let mut bare = Vec::new();
        for pattern in patterns {
            let text = pattern.as_str();
            if let Some(symbol) = pattern.symbol_wildcard() {
                shapes.push(Shape::new(text.to_owned(), symbol, partitions));
            } else if let Some(prefix) = text.strip_suffix('>') {
                // those with a timeframe are the many, and go the short way
                shapes.push(Shape::new(format!("{prefix}*.>"), 1, partitions));
                shapes.push(Shape::new(format!("{prefix}*"), 1, partitions));
            } else {
                bare.push(text.to_owned());
            }
        }
        Self {
            shapes,
            bare,
            partitions,
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
    fn pattern(&self, subject: &str) -> &SubjectPattern {
        let found = self.patterns.iter().find(|p| p.matches(subject));
        // a stream that was edited by hand may hold others; what they say is refused
        found.unwrap_or(&self.patterns[0])
    }

    /// The subject of time marks that are stored in the partition `unit`: the partition of subjects
    /// without a symbol if it `is_bare`. No bar has that subject.
    pub fn mark_subject(&self, unit: u32, is_bare: bool) -> Option<String> {
        if is_bare {
            return self.bare.first().cloned();
        }
        let shape = self.shapes.first()?;
        let mut names = (0..NAMES_MAX).map(|n| format!("{MARK}-{n}"));
        let name = names.find(|name| partition(name, self.partitions) == unit)?;
        Some(shape.with_symbol(&name))
    }

    /// Patterns of the subjects of time marks.
    pub fn mark_patterns(&self) -> Vec<String> {
        let shape = self.shapes.first().map(|shape| shape.with_symbol("*"));
        shape
            .into_iter()
            .chain(self.bare.first().cloned())
            .collect()
    }

    /// The symbol and timeframe in `subject`, which is refused where its spelling of the symbol
    /// belongs to another partition than the rest of the series.
    ///
    /// # Errors
    /// The refusal.
    pub fn parts<'a>(&self, subject: &'a str) -> Result<SubjectParts<'a>, SubjectRefusal> {
        let pattern = self.pattern(subject);
        match misplaced(pattern, subject, self.partitions) {
            Some(refusal) => Err(refusal),
            None => pattern.parts(subject),
        }
    }
}

impl Shape {
    /// The symbol is the wildcard of the number `symbol`, counted from 1.
    fn new(subjects: String, symbol: usize, partitions: u32) -> Self {
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
            "{PREFIX}{{{{partition({partitions},{symbol})}}}}.{}",
            tokens.join(".")
        );
        Self {
            subjects,
            stored,
            symbol,
        }
    }

    /// A subject of this shape with `symbol` in the place of the symbol.
    fn with_symbol(&self, symbol: &str) -> String {
        let mut wildcards = 0;
        let tokens = self.subjects.split('.').map(|token| match token {
            "*" | ">" => {
                wildcards += 1;
                if wildcards == self.symbol {
                    symbol
                } else {
                    MARK
                }
            }
            token => token,
        });
        tokens.collect::<Vec<_>>().join(".")
    }
}

/// The partition that the server puts a symbol's token into: `{{partition(n,1)}}` is FNV-1a of the
/// token's bytes, modulo `n`.
#[must_use]
pub fn partition(token: &str, partitions: u32) -> u32 {
    const OFFSET: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(PRIME);
    token.bytes().fold(OFFSET, hash) % partitions.max(1)
}

/// Refuses a subject whose spelling of the symbol the server puts into another partition than the
/// canonical spelling: the bars of one series would be divided between two owners.
fn misplaced(pattern: &SubjectPattern, subject: &str, partitions: u32) -> Option<SubjectRefusal> {
    let canonical = pattern.canonical(subject)?;
    let place = |subject: &str| {
        let token = pattern.symbol_token(subject)?;
        Some(partition(token, partitions))
    };
    (place(subject) != place(&canonical)).then(|| SubjectRefusal {
        reason: Reason::Mismatch,
        detail: format!(
            "subject `{subject}` spells its symbol so that it belongs to another partition than \
             the rest of its series; publish on `{canonical}`"
        ),
    })
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
    fn the_placeholder_of_the_symbol_is_what_is_divided_by() {
        let layout = layout(&["md.{timeframe}.{symbol}.*", "x.{symbol}.>"]);
        let stored: Vec<_> = layout.shapes.iter().map(|s| s.stored.as_str()).collect();
        assert_eq!(
            stored,
            [
                "p.{{partition(32,2)}}.md.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}",
                "p.{{partition(32,1)}}.x.{{wildcard(1)}}.>",
            ]
        );
        assert!(layout.bare.is_empty());
        let pattern = layout.pattern("md.1m.A%41PL.x");
        let refusal = misplaced(pattern, "md.1m.A%41PL.x", 32).unwrap();
        assert!(
            refusal.detail.contains("`md.1m.AAPL.x`"),
            "{}",
            refusal.detail
        );
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
    fn a_token_has_the_partition_that_the_server_gives_it() {
        // read from the streams of nats-server 2.15.1
        for (token, of_8, of_32, of_100) in [
            ("AAPL", 3, 11, 55),
            ("A%41PL", 0, 0, 8),
            ("BTC%2FUSDT", 3, 3, 91),
            ("BTC%2fUSDT", 3, 3, 91),
            ("EUR=X", 2, 2, 22),
            ("EUR%3DX", 3, 11, 55),
            ("é", 1, 1, 17),
            ("x", 7, 7, 95),
            ("BRK%2EB", 6, 14, 70),
            ("0123456789-_", 6, 22, 82),
        ] {
            let places = [8, 32, 100].map(|n| partition(token, n));
            assert_eq!(places, [of_8, of_32, of_100], "{token}");
        }
    }

    #[test]
    fn a_spelling_is_misplaced_only_where_it_parts_a_series() {
        let pattern: SubjectPattern = "p.>".parse().unwrap();
        let refused = |subject, n| misplaced(&pattern, subject, n).map(|refusal| refusal.detail);
        for n in [1, 8, 32, 64, 512] {
            assert_eq!(refused("p.AAPL.1m", n), None);
            assert_eq!(refused("p.BTC%2FUSDT.1m", n), None);
        }
        // the low five bits of `f` and `F` are the same
        assert_eq!(refused("p.BTC%2fUSDT.1m", 32), None);
        let detail = refused("p.BTC%2fUSDT.1m", 64).unwrap();
        assert!(detail.contains("publish on `p.BTC%2FUSDT.1m`"), "{detail}");
        let detail = refused("p.A%41PL", 32).unwrap();
        assert!(detail.contains("publish on `p.AAPL`"), "{detail}");
        assert_eq!(refused("p.A%41PL", 1), None);
    }

    #[test]
    fn a_time_mark_has_a_subject_in_every_partition() {
        for (patterns, prefix, suffix, allowed) in [
            (
                &["raw.price", "raw.price.>"][..],
                "raw.price.",
                ".mark",
                &["raw.price.*.mark", "raw.price"][..],
            ),
            (&["*.bars.*"], "", ".bars.mark", &["*.bars.mark"]),
            (
                &["md.{timeframe}.{symbol}.*"],
                "md.mark.",
                ".mark",
                &["md.mark.*.mark"],
            ),
            (&["raw.*"], "raw.", "", &["raw.*"]),
        ] {
            let layout = layout(patterns);
            assert_eq!(layout.mark_patterns(), allowed);
            for unit in 0..32 {
                let subject = layout.mark_subject(unit, false).unwrap();
                let name = subject.strip_prefix(prefix).unwrap();
                let name = name.strip_suffix(suffix).unwrap();
                assert_eq!(partition(name, 32), unit, "{subject}");
                assert!(patterns.iter().any(|one| {
                    let pattern: SubjectPattern = one.parse().unwrap();
                    pattern.matches(&subject)
                }));
            }
        }
        assert_eq!(
            layout(&["raw.price"]).mark_subject(0, true).unwrap(),
            "raw.price"
        );
    }

    #[test]
    fn a_key_holds_nothing_that_a_bucket_refuses() {
        assert_eq!(key("desk.1/é"), "desk=2E1=2F=C3=A9");
    }
}
