//! Any file of bars, as a table and as JSON: every line is a message or a mistake with its number,
//! and the decoder answers every message.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use technical_analysis_agent::market::{Timeframe, Timestamp};
use technical_analysis_agent::tools::bars_file::{Format, BarsFile, LineError, Preset, ReadOptions};
use technical_analysis_agent::wire::{InputRules, Decoder, SubjectParts};

const NOW: Timestamp = Timestamp::from_nanos(1_800_000_000_000_000_000);

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else {
        return;
    };
    let format = match choice & 3 {
        0 => Some(Format::Csv),
        1 => Some(Format::Jsonl),
        _ => None,
    };
    let mut options = ReadOptions::default();
    if choice & 4 != 0 {
        options.symbol = Some("A\"B".to_owned());
        options.timeframe = Some(Timeframe::DAY);
    }
    options.preset = match choice >> 3 & 3 {
        0 => None,
        1 => Some(Preset::Binance),
        2 => Some(Preset::Mt5),
        _ => Some(Preset::Databento),
    };
    if choice & 32 != 0 {
        options.columns = Some(["time", "open", "high", "low", "close", "-"].map(str::to_owned).to_vec());
    }
    let input = Box::new(Cursor::new(text.to_vec()));
    let Ok(file) = BarsFile::from_reader(input, format, options) else {
        return;
    };
    let decoder = Decoder::new(InputRules::new(65_536, Timeframe::MINUTE));
    // packed text has more lines than its bytes tell
    let packed = text.starts_with(&[0x1f, 0x8b]) || text.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    let lines = text.iter().filter(|byte| **byte == b'\n' || **byte == b'\r').count() + 1;
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
            // a packed file may be cut off
            Err(LineError::Read { .. }) if packed => return,
            Err(LineError::Read { error, .. }) => panic!("a cursor cannot fail: {error}"),
        };
        assert!(packed || number <= lines as u64, "line {number} of {lines}");
    }
});
