//! Any message under any subject: every element is answered, every bar that comes out is
//! valid and survives being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use technical_analysis_agent::market::{Symbol, Timeframe, Timestamp};
use technical_analysis_agent::wire::{
    InputRules, Decoder, SubjectParts, SubjectPattern, encode_bar,
};

const NOW: Timestamp = Timestamp::from_nanos(1_800_000_000_000_000_000);

fuzz_target!(|data: &[u8]| {
    // an optional first line is the subject
    let (subject, payload) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (std::str::from_utf8(&data[..end]).ok(), &data[end + 1..]),
        None => (None, data),
    };
    let pattern: SubjectPattern = "in.>".parse().expect("a pattern");
    let subject = pattern.parts(subject.unwrap_or("in"));
    let decoder = Decoder::new(InputRules::new(65_536, Timeframe::MINUTE));
    let mut elements = 0;
    decoder.decode(payload, &subject, NOW, |element, _| {
        elements += 1;
        let Ok(event) = element else { return };
        let bar = event.bar;
        assert!(Symbol::check(&event.symbol).is_ok());
        assert!(bar.low > 0.0 && bar.low <= bar.open.min(bar.close));
        assert!(bar.high.is_finite() && bar.high >= bar.open.max(bar.close));
        assert!(bar.volume.is_finite() && bar.volume.is_sign_positive());

        let mut bytes = Vec::new();
        encode_bar(&event, &mut bytes);
        if bytes.len() > 65_536 {
            return;
        }
        let silent = Ok(SubjectParts::default());
        decoder.decode(&bytes, &silent, NOW, |again, _| {
            assert_eq!(again.as_ref(), Ok(&event));
        });
    });
    assert!(elements > 0);
});
