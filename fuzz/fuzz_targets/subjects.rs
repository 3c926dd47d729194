//! Any pattern, template, subject and symbol: reading them never panics, and a symbol that is
//! escaped into a subject is read back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use technical_analysis_agent::market::{Symbol, Timeframe};
use technical_analysis_agent::wire::{SubjectPattern, SubjectTemplate};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.splitn(4, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (pattern, template, subject, symbol) = (line(), line(), line(), line());

    let pattern = pattern.parse::<SubjectPattern>();
    if let Ok(pattern) = &pattern {
        assert!(pattern.overlaps(pattern));
        if pattern.matches(subject)
            && let Ok(parts) = pattern.parts(subject)
            && let Some(symbol) = parts.symbol
        {
            assert!(Symbol::check(&symbol).is_ok());
        }
    }
    let Ok(template) = template.parse::<SubjectTemplate>() else {
        return;
    };
    let covering = template.pattern();
    if let Ok(pattern) = &pattern {
        assert_eq!(pattern.overlaps(&covering), covering.overlaps(pattern));
    }
    if Symbol::check(symbol).is_err() {
        return;
    }
    let rendered = template.render(symbol, Timeframe::MINUTE);
    assert!(covering.matches(&rendered), "{covering} does not match {rendered}");
    let series: SubjectPattern = "in.*.*".parse().expect("a pattern");
    let inward: SubjectTemplate = "in.{symbol}.{timeframe}".parse().expect("a template");
    let rendered = inward.render(symbol, Timeframe::DAY);
    let parts = series.parts(&rendered).expect("its own subject");
    assert_eq!(parts.symbol.as_deref(), Some(symbol));
    assert_eq!(parts.timeframe, Some(Timeframe::DAY));
});
