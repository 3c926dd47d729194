//! The dialects from outside: real bars in the shapes of every vendor, through the decoder and the
//! engine as they work in the agent, and through the program itself.

mod law;
mod order;
mod page;
mod program;
mod vendors;

use std::path::Path;

use technical_analysis_agent::market::{Bar, Timeframe, Timestamp};

/// The first bars of a real series, put to a time of our own, so that any timeframe will do.
fn bars(timeframe: Timeframe, count: usize) -> Vec<Bar> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bars/spy_1m.csv");
    let mut reader = csv::Reader::from_path(path).unwrap();
    // 2024-01-01T00:00:00Z, a Monday
    let begin = Timestamp::from_epoch(1_704_067_200).nanos();
    (0..)
        .zip(reader.records().take(count))
        .map(|(at, record)| {
            let record = record.unwrap();
            let number = |column: usize| record[column].parse().unwrap();
            Bar {
                timestamp: Timestamp::from_nanos(begin + at * timeframe.nanos()),
                open: number(1),
                high: number(2),
                low: number(3),
                close: number(4),
                volume: number(5),
            }
        })
        .collect()
}
