//! The bars to publish, one message each, from files or made up.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::value::RawValue;

use crate::cli::FeedArgs;
use crate::market::{Timeframe, Timestamp};
use crate::tools::bars_file::{BarsFile, Defaults, LineError};
use crate::tools::synthetic::Synthetic;

use super::address::Address;

/// What a source gives next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A bar to publish.
    Bar { address: Address, payload: Vec<u8> },
    /// What cannot be published, and why.
    Skipped(String),
}

type Items = Box<dyn Iterator<Item = anyhow::Result<Item>> + Send>;

/// The bars that `args` asks for, and how many there are where that is known. A source ends at
/// its first error.
pub(super) fn open(
    args: &FeedArgs,
    default_timeframe: Timeframe,
    now: Timestamp,
) -> anyhow::Result<(Items, Option<u64>)> {
    if args.synthetic {
        let synthetic = Synthetic {
            symbols: args.symbols,
            bars: args.bars,
            seed: args.seed,
            timeframe: args.input.timeframe.unwrap_or(default_timeframe),
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
            })
        });
        let total = u64::from(args.symbols) * u64::from(args.bars);
        return Ok((Box::new(items), Some(total)));
    }
    let mut files: Vec<(PathBuf, BarsFile)> = Vec::new();
    for path in &args.files {
        let defaults = Defaults {
            symbol: args.input.symbol.clone(),
            timeframe: args.input.timeframe,
        };
        files.push((
            path.clone(),
            BarsFile::open(path, args.input.format, defaults)?,
        ));
    }
    let items = files
        .into_iter()
        .flat_map(|(path, file)| file.flat_map(move |line| from_line(&path, line)));
    Ok((Box::new(items), None))
}

/// One line may hold several bars; each is a message of its own.
fn from_line(
    path: &std::path::Path,
    line: Result<crate::tools::bars_file::Line, LineError>,
) -> Vec<anyhow::Result<Item>> {
    let skipped = |reason: String| Ok(Item::Skipped(format!("{}: {reason}", path.display())));
    let line = match line {
        Ok(line) => line,
        Err(bad @ LineError::Bad { .. }) => return vec![skipped(bad.to_string())],
        Err(error) => return vec![Err(error).with_context(|| path.display().to_string())],
    };
    let number = line.number;
    let Ok(text) = std::str::from_utf8(&line.payload) else {
        return vec![skipped(format!("line {number}: is not UTF-8"))];
    };
    let bars: Vec<&str> = if text.starts_with('[') {
        match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(bars) => bars.iter().map(|bar| bar.get()).collect(),
            Err(error) => return vec![skipped(format!("line {number}: is no JSON: {error}"))],
        }
    } else {
        vec![text]
    };
    let item = |bar: &str| match Address::of(bar) {
        Ok(address) => Ok(Item::Bar {
            address,
            payload: bar.as_bytes().to_vec(),
        }),
        Err(reason) => skipped(format!("line {number}: {reason}")),
    };
    bars.into_iter().map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::bars_file::Line;

    #[test]
    fn each_bar_of_an_array_is_a_message_and_a_bad_one_is_skipped_by_itself() {
        let payload = br#"[{"s":"A","c":1.10},7, {"s":"B","tf":"1h"}]"#.to_vec();
        let items = from_line("x.jsonl".as_ref(), Ok(Line { number: 4, payload }));
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
            }
        );
        assert!(matches!(&items[1], Item::Skipped(why) if why.starts_with("x.jsonl: line 4: ")));
        assert!(matches!(&items[2], Item::Bar { address, .. } if address.symbol == "B"));
    }

    #[test]
    fn bad_lines_are_skipped_and_a_failing_file_ends_the_feed() {
        let bad = LineError::Bad {
            number: 2,
            reason: "has 3 cells".to_owned(),
        };
        let items = from_line("x.csv".as_ref(), Err(bad));
        assert!(matches!(&items[0], Ok(Item::Skipped(why)) if why == "x.csv: line 2: has 3 cells"));
        let error = std::io::Error::other("gone");
        let items = from_line("x.csv".as_ref(), Err(LineError::Read { number: 9, error }));
        assert!(items[0].is_err());
    }
}
