//! The bars to publish, one message each, from files or made up.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::value::RawValue;

use crate::cli::FeedArgs;
use crate::config::Config;
use crate::market::{Timestamp, in_order};
use crate::tools::bars_file::{BAD_LINE, BarsFile, Line, LineError, ReadOptions};
use crate::tools::synthetic::Synthetic;
use crate::wire::{Content, Decoder, Reason, Reset, SubjectParts};

use super::address::Address;

/// An entry of a source.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A bar to publish.
    Bar {
        address: Address,
        payload: Vec<u8>,
        /// The bars in it, those that the agent refuses included.
        bars: u64,
        /// Opening times of its first and its last bar, if the agent would accept them.
        times: Option<(Timestamp, Timestamp)>,
    },
    /// Something that is understood and no bar, by its kind.
    Ignored(&'static str),
    /// Something to say of a file.
    Note(String),
    /// Something that cannot be published: the name of its reason, and a text for people.
    Skipped { reason: &'static str, told: String },
}

type Items = Box<dyn Iterator<Item = anyhow::Result<Item>> + Send>;

/// The bars that `args` asks for, and how many there are where that is known. A source ends at
/// its first error.
pub(super) fn open(
    args: &FeedArgs,
    config: &Config,
    now: Timestamp,
) -> anyhow::Result<(Items, Option<u64>)> {
    if args.synthetic {
        let synthetic = Synthetic {
            symbols: args.symbols,
            bars: args.bars,
            seed: args.seed,
            timeframe: args
                .input
                .timeframe
                .unwrap_or(config.input.default_timeframe),
            end: now,
        };
        let timeframe = Some(synthetic.timeframe.to_string());
        let items = synthetic.bars()?.map(move |bar| {
            Ok(Item::Bar {
                address: Address {
                    symbol: bar.symbol,
                    timeframe: timeframe.clone(),
                },
                payload: bar.payload,
                bars: 1,
                times: Some((bar.time, bar.time)),
            })
        });
        let total = u64::from(args.symbols) * u64::from(args.bars);
        return Ok((Box::new(items), Some(total)));
    }
    let mut files: Vec<(PathBuf, BarsFile)> = Vec::new();
    let options = args.input.options(config);
    for path in &args.files {
        let file = BarsFile::open(path, args.input.format, options.clone())?;
        files.push((path.clone(), file));
    }
    let reader = MessageReader::new(config, options, now);
    let items = files
        .into_iter()
        .flat_map(move |(path, file)| FileItems::new(path, file, reader.clone()));
    Ok((Box::new(items), None))
}

/// The bars of a file, and what there is to say of it.
struct FileItems {
    path: PathBuf,
    file: BarsFile,
    reader: MessageReader,
    ready: VecDeque<anyhow::Result<Item>>,
}

impl FileItems {
    fn new(path: PathBuf, file: BarsFile, reader: MessageReader) -> Self {
        let ready = VecDeque::new();
        Self {
            path,
            file,
            reader,
            ready,
        }
    }
}

impl Iterator for FileItems {
    type Item = anyhow::Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            let line = self.file.next();
            let shown = self.path.display();
            let notes = self.file.notes().into_iter();
            self.ready
                .extend(notes.map(|note| Ok(Item::Note(format!("{shown}: {note}")))));
            match line {
                Some(line) => self.ready.extend(self.reader.items(&self.path, line)),
                None if self.ready.is_empty() => return None,
                None => {}
            }
        }
    }
}

/// Finds the bars of a message.
#[derive(Debug, Clone)]
struct MessageReader {
    decoder: Decoder,
    options: ReadOptions,
    now: Timestamp,
}

impl MessageReader {
    fn new(config: &Config, options: ReadOptions, now: Timestamp) -> Self {
        let decoder = Decoder::new(config.input.clone());
        Self {
            decoder,
            options,
            now,
        }
    }

    /// One line may hold several bars; each is a message of its own.
    fn items(&self, path: &Path, line: Result<Line, LineError>) -> Vec<anyhow::Result<Item>> {
        let skipped = |reason, told: String| {
            let told = format!("{}: {told}", path.display());
            vec![Ok(Item::Skipped { reason, told })]
        };
        let line = match line {
            Ok(line) => line,
            Err(LineError::Bad {
                number,
                name,
                reason,
            }) => return skipped(name, format!("line {number}: {reason}")),
            Err(error) => return vec![Err(error).with_context(|| path.display().to_string())],
        };
        let number = line.number;
        let Ok(text) = std::str::from_utf8(&line.payload) else {
            let reason = Reason::NotJson.name();
            return skipped(reason, format!("line {number}: is not UTF-8"));
        };
        // the objects of an array are messages of their own; rows of numbers are one
        let objects = text.strip_prefix('[').map(str::trim_start);
        let objects = objects.is_none_or(|inside| {
            !inside.starts_with(['[', '-']) && !inside.starts_with(|c: char| c.is_ascii_digit())
        });
        let bars: Vec<&str> = if text.starts_with('[') && objects {
            match serde_json::from_str::<Vec<&RawValue>>(text) {
                Ok(bars) => bars.iter().map(|bar| bar.get()).collect(),
                Err(error) => {
                    let told = format!("line {number}: is no JSON: {error}");
                    return skipped(Reason::NotJson.name(), told);
                }
            }
        } else {
            vec![text]
        };
        let item = |bar: &str| {
            let anywhere = Ok(SubjectParts::default());
            if let Some(Ok(reset)) = Reset::read(bar.as_bytes(), &anywhere) {
                return vec![Ok(Item::Bar {
                    address: Address {
                        symbol: reset.series.symbol.to_string(),
                        timeframe: Some(reset.series.timeframe.to_string()),
                    },
                    payload: bar.as_bytes().to_vec(),
                    bars: 1,
                    times: None,
                })];
            }
            let (found, elements) = self.found(bar);
            let message = |address, times| {
                vec![Ok(Item::Bar {
                    address,
                    payload: bar.as_bytes().to_vec(),
                    bars: elements,
                    times,
                })]
            };
            match found {
                Found::Outside => Vec::new(),
                Found::Ignored(kind) => vec![Ok(Item::Ignored(kind))],
                Found::Bars { address, times } => message(address, Some(times)),
                Found::Several(one, other) => skipped(
                    Reason::Mismatch.name(),
                    format!(
                        "line {number}: one message has bars of `{one}` and `{other}`, and no subject is that of both"
                    ),
                ),
                // whether a bar is good is for the agent to say
                Found::Nothing => match Address::of(bar) {
                    Ok(address) => message(address, None),
                    Err(reason) => skipped(BAD_LINE, format!("line {number}: {reason}")),
                },
            }
        };
        // as the agent takes the bars of an array
        in_order(
            bars.into_iter().flat_map(item).collect(),
            |item| match item {
                Ok(Item::Bar {
                    address,
                    times: Some((time, _)),
                    ..
                }) => Some((address.clone(), *time)),
                _ => None,
            },
        )
    }

    /// The bars of a message, as the agent reads them, and the number of its elements.
    fn found(&self, message: &str) -> (Found, u64) {
        let parts = Ok(self.options.parts(message));
        let mut found = Found::Nothing;
        let mut elements = 0;
        self.decoder
            .decode_all(message.as_bytes(), &parts, self.now, |element| {
                elements += match &element.content {
                    Content::Refused(refusal) => refusal.elements as u64,
                    _ => 1,
                };
                let (symbol, timeframe, time) = match element.content {
                    Content::Bar(event) => (
                        event.symbol,
                        Some(event.timeframe.to_string()),
                        event.bar.timestamp,
                    ),
                    Content::Trade(event) => (event.symbol, None, event.trade.timestamp),
                    Content::Ignored(kind) => {
                        if matches!(found, Found::Nothing) {
                            found = Found::Ignored(kind.name());
                        }
                        return;
                    }
                    Content::Refused(_) => return,
                };
                match &mut found {
                    Found::Bars { address, times } if address.symbol == symbol => {
                        *times = (times.0.min(time), times.1.max(time));
                    }
                    Found::Bars { address, .. } => {
                        let other = symbol.into_owned();
                        found = Found::Several(std::mem::take(&mut address.symbol), other);
                    }
                    Found::Several(..) => {}
                    Found::Nothing | Found::Ignored(_) | Found::Outside => {
                        found = if self.options.covers(time) {
                            Found::Bars {
                                address: Address {
                                    symbol: symbol.into_owned(),
                                    timeframe,
                                },
                                times: (time, time),
                            }
                        } else {
                            Found::Outside
                        };
                    }
                }
            });
        (found, elements)
    }
}

/// The content that the agent finds in a message.
enum Found {
    /// Bars of one symbol, with the times of the first and the last.
    Bars {
        address: Address,
        times: (Timestamp, Timestamp),
    },
    /// Bars of these symbols and perhaps others.
    Several(String, String),
    /// Bars that are not asked for.
    Outside,
    /// Something that is understood and no bar.
    Ignored(&'static str),
    /// Nothing that the agent takes.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Timeframe;
    use crate::wire::InputRules;

    fn from_line(path: &str, line: Result<Line, LineError>) -> Vec<anyhow::Result<Item>> {
        let decoder = Decoder::new(InputRules::new(1_000, Timeframe::MINUTE));
        let now = Timestamp::from_nanos(1_800_000_000_000_000_000);
        let reader = MessageReader {
            decoder,
            options: ReadOptions::default(),
            now,
        };
        reader.items(path.as_ref(), line)
    }

    #[test]
    fn each_bar_of_an_array_is_a_message_and_a_bad_one_is_skipped_by_itself() {
        let payload = br#"[{"s":"A","c":1.10},7, {"s":"B","tf":"1h"}]"#.to_vec();
        let items = from_line("x.jsonl", Ok(Line { number: 4, payload }));
        let items: Vec<Item> = items.into_iter().map(Result::unwrap).collect();
        assert_eq!(items.len(), 3);
        assert_eq!(
            items[0],
            Item::Bar {
                address: Address {
                    symbol: "A".to_owned(),
                    timeframe: None
                },
                payload: br#"{"s":"A","c":1.10}"#.to_vec(),
                bars: 1,
                times: None,
            }
        );
        assert!(
            matches!(&items[1], Item::Skipped { told, .. } if told.starts_with("x.jsonl: line 4: "))
        );
        assert!(matches!(&items[2], Item::Bar { address, .. } if address.symbol == "B"));
    }

    #[test]
    fn an_array_with_the_newest_first_is_published_in_the_order_of_time() {
        let bar = |symbol: &str, minute: u32| {
            format!(
                r#"{{"s":"{symbol}","tf":"1m","t":"2026-01-02T10:0{minute}:00Z","o":1,"h":1,"l":1,"c":1}}"#
            )
        };
        let sent = [
            bar("A", 3),
            bar("A", 2),
            bar("B", 9),
            bar("A", 1),
            bar("B", 8),
        ];
        let payload = format!("[{}]", sent.join(",")).into_bytes();
        let items = from_line("x.jsonl", Ok(Line { number: 1, payload }));
        let payloads: Vec<Vec<u8>> = items
            .into_iter()
            .map(|item| match item {
                Ok(Item::Bar { payload, .. }) => payload,
                other => panic!("{other:?}"),
            })
            .collect();
        let due = [
            bar("A", 1),
            bar("A", 2),
            bar("B", 8),
            bar("A", 3),
            bar("B", 9),
        ];
        assert_eq!(payloads, due.map(String::into_bytes));
    }

    #[test]
    fn bad_lines_are_skipped_and_a_failing_file_ends_the_feed() {
        let bad = LineError::Bad {
            number: 2,
            name: BAD_LINE,
            reason: "has 3 cells".to_owned(),
        };
        let items = from_line("x.csv", Err(bad));
        assert!(
            matches!(&items[0], Ok(Item::Skipped { told, .. }) if told == "x.csv: line 2: has 3 cells")
        );
        let error = std::io::Error::other("gone");
        let items = from_line("x.csv", Err(LineError::Read { number: 9, error }));
        assert!(items[0].is_err());
    }

    #[test]
    fn the_messages_of_vendors_go_whole_to_the_subject_of_their_symbol() {
        let kraken = |symbol: &str| {
            format!(
                r#"{{"symbol":"{symbol}","open":2,"high":3,"low":1,"close":2,"volume":9,"interval_begin":"2023-10-04T16:25:00Z","interval":5,"timestamp":"2023-10-04T16:30:00Z"}}"#
            )
        };
        let envelope = |bars: &[String]| {
            let bars = bars.join(",");
            format!(r#"{{"channel":"ohlc","type":"update","data":[{bars}]}}"#)
        };
        let one = envelope(&[kraken("MATIC/USD")]);
        let read = |text: &str| -> Vec<Item> {
            let payload = text.as_bytes().to_vec();
            let items = from_line("x", Ok(Line { number: 1, payload }));
            items.into_iter().map(Result::unwrap).collect()
        };
        let [
            Item::Bar {
                address,
                payload,
                bars: 1,
                times,
            },
        ] = &read(&one)[..]
        else {
            panic!("no bar")
        };
        assert_eq!(address.symbol, "MATIC/USD");
        assert_eq!(address.timeframe.as_deref(), Some("5m"));
        assert_eq!(payload, one.as_bytes());
        assert_eq!(times.unwrap().0.to_string(), "2023-10-04T16:25:00Z");
        let two = envelope(&[kraken("A"), kraken("B")]);
        assert!(matches!(
            &read(&two)[..],
            [Item::Skipped {
                reason: "mismatch",
                ..
            }]
        ));
        let heartbeat = r#"{"channel":"heartbeat"}"#;
        assert_eq!(read(heartbeat), [Item::Ignored("heartbeat")]);
    }

    #[test]
    fn rows_of_numbers_are_one_message_of_the_symbol_that_is_given() {
        let mut options = ReadOptions::default();
        let rows = "[[1704067200000,1,2,1,2,7],[1704067260000,1,2,1,2,7]]";
        assert!(options.parts(rows).symbol.is_none());
        options.symbol = Some("A/B".to_owned());
        options.timeframe = Some(Timeframe::MINUTE);
        assert!(options.parts(r#"{"s":"C"}"#).symbol.is_none());
        let reader = MessageReader {
            decoder: Decoder::new(InputRules::new(1_000, Timeframe::DAY)),
            options,
            now: Timestamp::from_nanos(1_800_000_000_000_000_000),
        };
        let payload = rows.as_bytes().to_vec();
        let items = reader.items("x".as_ref(), Ok(Line { number: 1, payload }));
        let [
            Ok(Item::Bar {
                address,
                bars: 2,
                times,
                ..
            }),
        ] = &items[..]
        else {
            panic!("no bar: {items:?}")
        };
        assert_eq!(
            (address.symbol.as_str(), address.timeframe.as_deref()),
            ("A/B", Some("1m"))
        );
        assert_eq!(times.unwrap().1.to_string(), "2024-01-01T00:01:00Z");
    }
}
