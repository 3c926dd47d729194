//! The letter of one element of a message, read alone.

use super::*;
use crate::wire::{Excerpt, Excerpts, place_in};

/// A place of an element, and its content.
fn elements(
    message: &str,
    subject: &SubjectParts<'static>,
) -> Vec<(std::ops::Range<usize>, String)> {
    let rules = InputRules {
        trades: Some(TradeConditions::None),
        ..InputRules::new(262_144, Timeframe::MINUTE)
    };
    let subject = Ok(subject.clone());
    let mut found = Vec::new();
    Decoder::new(rules).decode_all(message.as_bytes(), &subject, NOW, |element| {
        let place = place_in(message.as_bytes(), element.bytes);
        found.push((place, written(&element)));
    });
    found
}

/// A bar of a snapshot is complete because a newer one is beside it. Alone, it waits for that.
fn alone(content: &str) -> String {
    content.replace(" History", " UntilNext")
}

#[test]
fn every_element_of_every_vendor_is_read_from_its_excerpt_as_from_its_message() {
    let mut framed = BTreeSet::new();
    for dialect in REGISTRY {
        for case in cases(dialect.name) {
            let message = case.message.get();
            let mut excerpts = Excerpts::default();
            for (place, content) in elements(message, &case.subject) {
                let letter = match excerpts.of(message.as_bytes(), &place) {
                    Excerpt::Alone => message[place].to_owned(),
                    Excerpt::Framed(bytes) => {
                        framed.insert(dialect.name);
                        String::from_utf8(bytes).unwrap()
                    }
                    Excerpt::TooMuchWork => panic!("{message}"),
                };
                assert!(letter.len() <= message.len());
                let contents: Vec<String> = elements(&letter, &case.subject)
                    .into_iter()
                    .map(|(_, content)| content)
                    .collect();
                assert_eq!(contents, [alone(&content)], "{}: {letter}", case.shows);
            }
        }
    }
    let of_envelopes = [
        "binance",
        "bitmex",
        "bybit",
        "coinbase",
        "deribit",
        "finnhub",
        "gate",
        "hyperliquid",
        "kraken",
        "kucoin",
        "okx",
        "twelvedata",
    ];
    assert!(framed.iter().eq(of_envelopes.iter()), "{framed:?}");
}
