//! Traces the fields of a bar back to the values of its message.
//!
//! Only the decoder knows the answer: each value of the message is changed in turn and the message is
//! decoded again. The fields of the bar that change came from that value. So the answer is right for
//! every dialect, without a second reader that could disagree.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::market::{BarEvent, Finality, Timeframe, Timestamp, Trade, TradeEvent};
use crate::wire::Content;

/// Values of one message that are tried.
const LEAVES: usize = 400;
/// Bytes of one message that are decoded to find out.
const WORK: usize = 64 << 20;
/// The depth to which values are searched.
const DEPTH: usize = 8;

/// The fields of a bar.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    pub symbol: String,
    pub timeframe: Timeframe,
    pub timestamp: Timestamp,
    pub prices: [f64; 4],
    pub volume: f64,
    pub finality: Finality,
    pub source: Option<String>,
}

/// Fields of an element, compared before and after a change to its message.
pub(super) trait Traced: Sized {
    /// The fields of an element of this kind; `None` for another kind.
    fn read(content: &Content<'_>) -> Option<Self>;

    /// The fields in which two differ.
    fn changed(&self, other: &Self) -> Vec<&'static str>;

    /// True if `other`, which differs in `field` alone, makes room for further changes.
    fn is_wider(&self, other: &Self, field: &str) -> bool;
}

/// The fields of a trade.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TradeFacts {
    pub symbol: String,
    pub trade: Trade,
}

impl TradeFacts {
    pub fn of(event: &TradeEvent<'_>) -> Self {
        Self {
            symbol: event.symbol.clone().into_owned(),
            trade: event.trade,
        }
    }
}

impl Traced for TradeFacts {
    fn read(content: &Content<'_>) -> Option<Self> {
        match content {
            Content::Trade(event) => Some(Self::of(event)),
            _ => None,
        }
    }

    fn changed(&self, other: &Self) -> Vec<&'static str> {
        let (one, two) = (&self.trade, &other.trade);
        [
            ("symbol", self.symbol != other.symbol),
            ("timestamp", one.timestamp != two.timestamp),
            ("price", one.price.to_bits() != two.price.to_bits()),
            ("size", one.size.to_bits() != two.size.to_bits()),
            ("trade_id", one.id != two.id),
            ("conditions", one.forms_prices != two.forms_prices),
        ]
        .into_iter()
        .filter_map(|(name, changed)| changed.then_some(name))
        .collect()
    }

    fn is_wider(&self, _: &Self, _: &str) -> bool {
        false
    }
}

impl Facts {
    pub fn of(event: &BarEvent<'_>) -> Self {
        let bar = &event.bar;
        Self {
            symbol: event.symbol.clone().into_owned(),
            timeframe: event.timeframe,
            timestamp: bar.timestamp,
            prices: [bar.open, bar.high, bar.low, bar.close],
            volume: bar.volume,
            finality: event.finality,
            source: event.source.as_deref().map(str::to_owned),
        }
    }
}

impl Traced for Facts {
    fn read(content: &Content<'_>) -> Option<Self> {
        match content {
            Content::Bar(event) => Some(Self::of(event)),
            _ => None,
        }
    }

    fn changed(&self, other: &Self) -> Vec<&'static str> {
        let bits = |price: &f64| price.to_bits();
        let price = |at: usize| bits(&self.prices[at]) != bits(&other.prices[at]);
        [
            ("symbol", self.symbol != other.symbol),
            ("timeframe", self.timeframe != other.timeframe),
            ("timestamp", self.timestamp != other.timestamp),
            ("open", price(0)),
            ("high", price(1)),
            ("low", price(2)),
            ("close", price(3)),
            ("volume", bits(&self.volume) != bits(&other.volume)),
            ("final", self.finality != other.finality),
            ("source", self.source != other.source),
        ]
        .into_iter()
        .filter_map(|(name, changed)| changed.then_some(name))
        .collect()
    }

    fn is_wider(&self, other: &Self, field: &str) -> bool {
        match field {
            "high" => other.prices[1] > self.prices[1],
            "low" => other.prices[2] < self.prices[2],
            _ => false,
        }
    }
}

/// A value in a message: its path and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Leaf {
    path: String,
    start: usize,
    end: usize,
}

/// The path of the value that each field of a bar or trade was made of. `decode` reads the bar again in a
/// message that was changed; places where `is_other` are parts of other bars, and stay as they are.
pub(super) fn sources<F: Traced>(
    message: &str,
    is_other: impl Fn(usize) -> bool,
    decode: impl Fn(&[u8]) -> Option<F>,
) -> BTreeMap<&'static str, String> {
    let mut found = BTreeMap::new();
    let mut message = message.to_owned();
    let mut leaves = Vec::new();
    if let Ok(raw) = serde_json::from_str::<&RawValue>(&message) {
        collect(
            raw.get(),
            offset(&message, raw.get()),
            String::new(),
            0,
            &mut leaves,
        );
    }
    leaves.retain(|leaf| !is_other(leaf.start));
    let mut work = 0;
    let mut fact = |text: &str| -> Option<Option<F>> {
        work += text.len();
        (work <= WORK).then(|| decode(text.as_bytes()))
    };
    let Some(Some(mut before)) = fact(&message) else {
        return found;
    };
    // twice: a price that equals the high cannot be raised, nor one that equals the low lowered,
    // before these two have been moved out of the way
    for round in 0..2 {
        let mut index = 0;
        while index < leaves.len() {
            let leaf = leaves[index].clone();
            index += 1;
            if found.values().any(|path| *path == leaf.path) {
                continue;
            }
            for other in variants(&message[leaf.start..leaf.end]) {
                let changed = format!("{}{other}{}", &message[..leaf.start], &message[leaf.end..]);
                let Some(after) = fact(&changed) else {
                    return found;
                };
                let Some(after) = after else {
                    continue;
                };
                let mut fields = before.changed(&after);
                if fields.len() > 3 {
                    // the bars of the message have changed places, as only a time can make them
                    fields = vec!["timestamp"];
                }
                fields.retain(|field| !found.contains_key(field));
                if fields.is_empty() {
                    continue;
                }
                let wider = match fields[..] {
                    [field] => before.is_wider(&after, field),
                    _ => false,
                };
                for field in fields {
                    found.insert(field, leaf.path.clone());
                }
                if wider && round == 0 {
                    let shift = |place: usize| {
                        if place > leaf.start {
                            place + other.len() - (leaf.end - leaf.start)
                        } else {
                            place
                        }
                    };
                    for leaf in &mut leaves {
                        (leaf.start, leaf.end) = (shift(leaf.start), shift(leaf.end));
                    }
                    (message, before) = (changed, after);
                }
                break;
            }
        }
    }
    found
}

fn offset(message: &str, part: &str) -> usize {
    part.as_ptr() as usize - message.as_ptr() as usize
}

fn collect(json: &str, start: usize, path: String, depth: usize, to: &mut Vec<Leaf>) {
    if to.len() >= LEAVES || depth > DEPTH {
        return;
    }
    let inside = |raw: &RawValue| start + offset(json, raw.get());
    match json.as_bytes().first() {
        Some(b'{') => {
            let Ok(fields) = serde_json::from_str::<Entries<'_>>(json) else {
                return;
            };
            for (name, raw) in fields.0 {
                let path = if path.is_empty() {
                    name
                } else {
                    format!("{path}.{name}")
                };
                collect(raw.get(), inside(raw), path, depth + 1, to);
            }
        }
        Some(b'[') => {
            let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(json) else {
                return;
            };
            for (at, raw) in elements.into_iter().enumerate() {
                collect(
                    raw.get(),
                    inside(raw),
                    format!("{path}[{at}]"),
                    depth + 1,
                    to,
                );
            }
        }
        _ => to.push(Leaf {
            path,
            start,
            end: start + json.len(),
        }),
    }
}

/// The entries of an object in order, keys that come twice included.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Entries<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> serde::de::Visitor<'de> for Object {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// Other values of the same kind, near enough to be taken.
fn variants(json: &str) -> Vec<String> {
    if let Ok(text) = serde_json::from_str::<String>(json) {
        let quoted = |text: &String| serde_json::Value::from(text.as_str()).to_string();
        return texts(&text).iter().map(quoted).collect();
    }
    match json {
        "true" => vec!["false".to_owned()],
        "false" => vec!["true".to_owned()],
        _ => numbers(json),
    }
}

fn texts(text: &str) -> Vec<String> {
    let mut variants = numbers(text);
    // a time as people write it: the other day, a week later
    if variants.is_empty() && text.len() >= 8 && text.starts_with(|c: char| c.is_ascii_digit()) {
        let mut other = text.to_owned();
        for (from, to) in [("19", "20"), ("20", "19")] {
            if let Some(rest) = text.strip_prefix(from) {
                other = format!("{to}{rest}");
            }
        }
        variants.push(other);
    }
    variants.extend(["1h", "5m", "60", "5", "D"].map(str::to_owned));
    // a name may be a part of a text, such as a topic
    variants.push(format!("{text}X"));
    for (at, _) in text.match_indices(|c: char| c.is_ascii_digit()) {
        for digit in ["5", "1", "3"] {
            variants.push(format!("{}{digit}{}", &text[..at], &text[at + 1..]));
        }
    }
    let variants: Vec<String> = variants.into_iter().filter(|other| other != text).collect();
    variants
}

fn numbers(text: &str) -> Vec<String> {
    const WEEK: i64 = 604_800;
    let Ok(number) = text.parse::<f64>() else {
        return Vec::new();
    };
    let mut variants = Vec::new();
    if let Ok(whole) = text.parse::<i64>() {
        // an epoch goes back by a week, which is on every grid and in no future
        for unit in [1, 1_000, 1_000_000, 1_000_000_000] {
            let size = whole / unit;
            if (315_532_800..100_000_000_000).contains(&size) {
                variants.push((whole - WEEK * unit).to_string());
            }
        }
        variants.extend([whole.saturating_add(1), whole.saturating_sub(1)].map(|n| n.to_string()));
        if whole == 0 {
            variants.push("1".to_owned());
        }
    }
    for factor in [1.000_1, 0.999_9, 1.01, 0.99] {
        variants.push(format!("{}", number * factor));
    }
    variants
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Decoder, InputRules, SubjectParts};

    fn paths(message: &str, at: usize) -> Vec<String> {
        let decoder = Decoder::new(InputRules::new(65_536, Timeframe::MINUTE));
        let now = Timestamp::from_nanos(1_800_000_000_000_000_000);
        let decode = |bytes: &[u8]| {
            let silent = Ok(SubjectParts::default());
            let mut bars = Vec::new();
            decoder.decode(bytes, &silent, now, |read, _| {
                bars.push(read.ok().map(|event| Facts::of(&event)));
            });
            bars.get(at).cloned().flatten()
        };
        sources(message, |_| false, decode)
            .into_iter()
            .map(|(field, path)| format!("{field}={path}"))
            .collect()
    }

    #[test]
    fn every_field_is_traced_to_the_value_that_it_came_from() {
        assert_eq!(
            paths(
                r#"{"n":7,"symbol":"A","tf":"1m","t":1704067200,"o":1.5,"h":2.5,"l":1,"c":"2.0","v":9,"x":true}"#,
                0
            ),
            [
                "close=c",
                "final=x",
                "high=h",
                "low=l",
                "open=o",
                "symbol=symbol",
                "timeframe=tf",
                "timestamp=t",
                "volume=v"
            ]
        );
        // a name that does not count is not named
        assert_eq!(
            paths(
                r#"{"s":"A","symbol":"A","timestamp":"2024-01-01T00:00:00Z","open":1,"high":2,"low":1,"close":2,"c":2}"#,
                0
            ),
            [
                "close=close",
                "high=high",
                "low=low",
                "open=open",
                "symbol=symbol",
                "timestamp=timestamp"
            ]
        );
    }

    #[test]
    fn a_bar_of_one_price_is_traced_too() {
        assert_eq!(
            paths(r#"{"s":"A","t":1704067200000,"o":5,"h":5,"l":5,"c":5}"#, 0),
            [
                "close=c",
                "high=h",
                "low=l",
                "open=o",
                "symbol=s",
                "timestamp=t"
            ]
        );
    }

    #[test]
    fn the_bars_of_an_array_have_paths_with_their_place() {
        let message = r#"[{"s":"A","t":1704067200,"o":1,"h":2,"l":1,"c":2}, 7, {"s":"B","t":1704067200,"o":1,"h":2,"l":1,"c":2}]"#;
        assert_eq!(
            paths(message, 2),
            [
                "close=[2].c",
                "high=[2].h",
                "low=[2].l",
                "open=[2].o",
                "symbol=[2].s",
                "timestamp=[2].t"
            ]
        );
        assert!(paths(message, 1).is_empty());
        assert!(paths("nonsense", 0).is_empty());
    }
}
