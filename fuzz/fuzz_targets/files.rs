//! Any file of bars, as CSV and as JSON lines: every line is a message or a mistake with its
//! number, numbers never go back, and the decoder answers every message.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use technical_analysis_agent::cli::Format;
use technical_analysis_agent::market::{Timeframe, Timestamp};
use technical_analysis_agent::tools::bars_file::{BarsFile, Defaults, LineError};
use technical_analysis_agent::wire::{DecodeLimits, Decoder, SubjectParts};

const NOW: Timestamp = Timestamp::from_nanos(1_800_000_000_000_000_000);

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else {
        return;
    };
    let format = if choice & 1 == 0 { Format::Csv } else { Format::Jsonl };
    let defaults = if choice & 2 == 0 {
        Defaults::default()
    } else {
        Defaults {
            symbol: Some("A\"B".to_owned()),
            timeframe: Some(Timeframe::DAY),
        }
    };
    let input = Box::new(Cursor::new(text.to_vec()));
    let Ok(file) = BarsFile::from_reader(input, format, defaults) else {
        return;
    };
    let decoder = Decoder::new(DecodeLimits {
        max_payload_bytes: 65_536,
        default_timeframe: Timeframe::MINUTE,
    });
    let lines = text.iter().filter(|byte| **byte == b'\n' || **byte == b'\r').count() + 1;
    let returns = text.contains(&b'\r');
    let mut last = 0;
    for line in file {
        let number = match line {
            Ok(line) => {
                let mut answered = 0;
                let silent = Ok(SubjectParts::default());
                decoder.decode(&line.payload, &silent, NOW, |_, _| answered += 1);
                assert!(answered > 0);
                line.number
            }
            Err(LineError::Bad { number, .. }) => number,
            Err(LineError::Read { error, .. }) => panic!("a cursor cannot fail: {error}"),
        };
        // only a line feed begins a new line, and a carriage return alone ends a record too
        assert!(number >= last, "line {number} after line {last}");
        assert!(number > last || returns, "line {number} twice");
        assert!(number <= lines as u64, "line {number} of {lines}");
        last = number;
    }
});
