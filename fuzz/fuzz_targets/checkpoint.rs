//! A checkpoint whose header is right and whose series are hostile: reading it never panics, and
//! state that is accepted can be written, read again and continued.
//!
//! The first byte chooses: either the rest stands for the series as it is, or it is a list of
//! changes (two bytes of place, one of value) to the series of a real state.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use technical_analysis_agent::bus::durable::checkpoint_fuzz::{body, continued};
use technical_analysis_agent::engine::{AnalysisConfig, Engine};
use technical_analysis_agent::indicators::parse;
use technical_analysis_agent::market::{Bar, BarEvent, Finality, Timeframe, Timestamp};

/// Set in the first byte: the rest is a list of changes.
const CHANGES: u8 = 0x80;

static CONFIG: LazyLock<Arc<AnalysisConfig>> = LazyLock::new(|| {
    Arc::new(AnalysisConfig {
        window: 60,
        indicators: parse("atr(14),sar,vwap").expect("indicators"),
        ..AnalysisConfig::default()
    })
});

/// The series of a real state: two of them, one with a full window and one with three bars.
static REAL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut engine = Engine::new(Arc::clone(&CONFIG), 10);
    for minute in 0..70_u32 {
        let price = 100.0 + f64::from(minute % 7) / 4.0;
        add(&mut engine, "A", Timeframe::MINUTE, minute, price);
        if minute < 3 {
            add(&mut engine, "B/C", Timeframe::DAY, minute * 1_440, 1e-9 * price);
        }
    }
    body(&engine).expect("a state can be written")
});

fn add(engine: &mut Engine, symbol: &str, timeframe: Timeframe, minute: u32, price: f64) {
    let timestamp = Timestamp::from_epoch(1_700_000_000 + u64::from(minute) * 60);
    let event = BarEvent {
        symbol: symbol.into(),
        timeframe,
        bar: Bar {
            timestamp,
            open: price,
            high: price * 1.01,
            low: price * 0.99,
            close: price,
            volume: f64::from(minute),
        },
        finality: Finality::Final,
        adjusted: false,
        source: None,
    };
    let _ = engine.on_bar(&event, timestamp);
}

fn changed(changes: &[u8]) -> Vec<u8> {
    let mut series = REAL.clone();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % series.len();
        series[at] = change[2];
    }
    series
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let (version, series) = if choice & CHANGES == 0 {
        (choice % 3, rest.to_vec())
    } else {
        (2, changed(rest))
    };
    let Some(mut engine) = continued(version, &series, &CONFIG) else {
        return;
    };
    let written = body(&engine).expect("a state that was read can be written");
    let again = continued(2, &written, &CONFIG).expect("its own bytes are read");
    assert_eq!(again.len(), engine.len());

    let keys: Vec<_> = engine.iter().map(|(_, series)| series.key().clone()).collect();
    for key in keys {
        add(&mut engine, key.symbol.as_str(), key.timeframe, 3_000_000, 11.0);
    }
    assert!(body(&engine).is_some());
});
