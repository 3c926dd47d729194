//! Any message under any subject, by every dialect, where trades are refused and where they are
//! taken: every element is answered, every bar that comes out is valid and survives being written
//! and read again, and every trade is valid.
#![no_main]

use libfuzzer_sys::fuzz_target;
use technical_analysis_agent::market::{
    BarEvent, Finality, Symbol, Timeframe, Timestamp, TradeConditions, TradeEvent,
};
use technical_analysis_agent::wire::{
    Content, Decoder, DialectRule, InputRules, SubjectParts, SubjectPattern, encode_bar,
};

const NOW: Timestamp = Timestamp::from_nanos(1_800_000_000_000_000_000);
const MAX_BYTES: usize = 65_536;

fn decoder(dialect: DialectRule, trades: Option<TradeConditions>) -> Decoder {
    Decoder::new(InputRules {
        dialect,
        trades,
        ..InputRules::new(MAX_BYTES, Timeframe::MINUTE)
    })
}

fn check(event: &BarEvent<'_>) {
    let bar = event.bar;
    assert!(Symbol::check(&event.symbol).is_ok());
    assert!(bar.low > 0.0 && bar.low <= bar.open.min(bar.close));
    assert!(bar.high.is_finite() && bar.high >= bar.open.max(bar.close));
    assert!(bar.volume.is_finite() && bar.volume.is_sign_positive());

    let mut bytes = Vec::new();
    encode_bar(event, &mut bytes);
    if bytes.len() > MAX_BYTES {
        return;
    }
    // written down, a bar is complete or it is not, and what was widened lies within
    let expected = BarEvent {
        finality: if event.finality.is_final() {
            Finality::Final
        } else {
            Finality::Forming
        },
        adjusted: false,
        ..event.clone()
    };
    let silent = Ok(SubjectParts::default());
    decoder(DialectRule::Auto, None).decode(&bytes, &silent, NOW, |again, _| {
        assert_eq!(again.as_ref(), Ok(&expected));
    });
}

fn check_trade(event: &TradeEvent<'_>) {
    let trade = event.trade;
    assert!(Symbol::check(&event.symbol).is_ok());
    assert!(trade.price.is_finite());
    assert!(trade.size.is_finite() && trade.size > 0.0);
}

fuzz_target!(|data: &[u8]| {
    // an optional first line is the subject
    let (subject, payload) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (std::str::from_utf8(&data[..end]).ok(), &data[end + 1..]),
        None => (None, data),
    };
    let pattern: SubjectPattern = "in.>".parse().expect("a pattern");
    let subject = pattern.parts(subject.unwrap_or("in"));
    for name in DialectRule::names() {
        let dialect = DialectRule::named(name).expect("a name of the list");
        for trades in [
            None,
            Some(TradeConditions::None),
            Some(TradeConditions::Sip),
        ] {
            let mut elements = 0;
            decoder(dialect, trades).decode_all(payload, &subject, NOW, |element| {
                elements += 1;
                match &element.content {
                    Content::Bar(event) => check(event),
                    Content::Trade(event) => {
                        assert!(trades.is_some(), "{name}");
                        check_trade(event);
                    }
                    Content::Ignored(_) | Content::Refused(_) => {}
                }
            });
            assert!(elements > 0, "{name}");
        }
    }
});
