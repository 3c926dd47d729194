//! A checkpoint whose header is right and whose series are hostile: reading it never panics, and
//! state that is accepted can be written, read again and continued.
//!
//! The first byte chooses the configuration and the meaning of the rest: a series in a version of
//! its own, or a list of changes (two bytes of place, one of value) to the series of a real state.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use technical_analysis_agent::bus::durable::checkpoint_fuzz::{VERSIONS, body, continued};
use technical_analysis_agent::engine::{AnalysisConfig, Engine};
use technical_analysis_agent::indicators::parse;
use technical_analysis_agent::market::{BarEvent, Timeframe, Timestamp};
use technical_analysis_agent::pipeline::{Filter, Message, Output, Pipeline, Sink};
use technical_analysis_agent::wire::{Decoder, FinalRule, InputRules, SubjectParts, SubjectPattern};

/// Set in the first byte: the rest is a list of changes.
const CHANGES: u8 = 0x80;
/// Set in the first byte: larger bars are derived.
const DERIVES: u8 = 0x40;

/// A configuration with a state of it: the version and the series.
struct Real {
    config: Arc<AnalysisConfig>,
    version: u8,
    series: Vec<u8>,
}

static PLAIN: LazyLock<Real> = LazyLock::new(|| real("", false));
static DERIVED: LazyLock<Real> = LazyLock::new(|| real("5m,1h,1d", true));

/// Three series: one with a full window, one with three bars, and one that was reset and whose
/// newest bar is complete only with the next one.
fn real(timeframes: &str, derives: bool) -> Real {
    let config = Arc::new(AnalysisConfig {
        window: 60,
        indicators: parse("atr(14),sar,vwap").expect("indicators"),
        derived: if derives {
            timeframes.parse().expect("timeframes")
        } else {
            AnalysisConfig::default().derived
        },
        ..AnalysisConfig::default()
    });
    let engine = Engine::new(Arc::clone(&config), 100);
    let mut pipeline = pipeline(engine);
    for minute in 0..70 {
        take(&mut pipeline, "in.A.1m", &bar(minute, 100.0 + f64::from(minute % 7) / 4.0));
        if minute < 3 {
            take(&mut pipeline, "in.B.1d", &bar(minute * 1_440, 1e-9));
        }
    }
    take(&mut pipeline, "in.C.1m", &bar(0, 5.0));
    let reset = r#"{"reset":{"symbol":"C","timeframe":"1m","id":"1"}}"#;
    take(&mut pipeline, "in.C.1m", reset);
    for minute in 0..4 {
        let forming = bar(minute, 5.0).replace('}', r#","final":false}"#);
        take(&mut pipeline, "in.C.1m", &forming);
    }
    let (version, series) = body(pipeline.engine()).expect("a state can be written");
    Real {
        config,
        version,
        series,
    }
}

fn bar(minute: u32, price: f64) -> String {
    let timestamp = Timestamp::from_epoch(1_700_000_040 + u64::from(minute) * 60);
    let (high, low) = (price * 1.01, price * 0.99);
    format!(
        r#"{{"timestamp":"{timestamp}","open":{price},"high":{high},"low":{low},"close":{price},"volume":{minute}}}"#
    )
}

/// A driver that ignores outputs.
struct Silent;

impl Filter for Silent {}

impl Sink for Silent {
    fn wants_forming(&mut self, _event: &BarEvent<'_>) -> bool {
        true
    }

    fn output(&mut self, _output: Output<'_>) {}
}

fn pipeline(engine: Engine) -> Pipeline {
    let rules = InputRules {
        final_rule: FinalRule::Next,
        ..InputRules::new(65_536, Timeframe::MINUTE)
    };
    Pipeline::new(Decoder::new(rules), engine)
}

fn take(pipeline: &mut Pipeline, subject: &str, payload: &str) {
    let pattern: SubjectPattern = "in.{symbol}.{timeframe}".parse().expect("a pattern");
    let subject: Result<SubjectParts<'_>, _> = pattern.parts(subject);
    let message = Message {
        payload: payload.as_bytes(),
        subject: &subject,
        arrived: Timestamp::from_epoch(1_900_000_000),
    };
    pipeline.take(&message, &mut Silent);
}

fn changed(series: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut series = series.to_vec();
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
    let real = if choice & DERIVES == 0 { &PLAIN } else { &DERIVED };
    let (version, series) = if choice & CHANGES == 0 {
        ((choice & 0x3f) % VERSIONS, rest.to_vec())
    } else {
        (real.version, changed(&real.series, rest))
    };
    let Some(engine) = continued(version, &series, &real.config) else {
        return;
    };
    let (version, written) = body(&engine).expect("a state that was read can be written");
    let again = continued(version, &written, &real.config).expect("its own bytes are read");
    assert_eq!(again.len(), engine.len());

    let keys: Vec<_> = engine.iter().map(|(_, series)| series.key().clone()).collect();
    let mut pipeline = pipeline(engine);
    for key in keys {
        // bars that name themselves, long after all others
        for minute in [3_000_000, 3_000_001] {
            let fields = format!(
                r#"{{"symbol":{},"timeframe":"{}","#,
                serde_json::to_string(key.symbol.as_str()).expect("a string"),
                key.timeframe
            );
            let bar = bar(minute, 11.0).replacen('{', &fields, 1);
            take(&mut pipeline, "in.A.1m", &bar);
        }
    }
    assert!(body(pipeline.engine()).is_some());
});
