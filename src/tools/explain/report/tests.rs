//! Accepted forms, hints and words.

use std::sync::Arc;

use super::*;
use crate::engine::{AnalysisConfig, Engine};
use crate::market::BarEvent;
use crate::pipeline::Taken;

#[test]
fn the_accepted_form_keeps_what_is_good() {
    let refusal = |payload: &'static str, reason, detail: &'static str| Refusal {
        reason,
        detail: detail.into(),
        payload: payload.as_bytes(),
        elements: 1,
        symbol: Some("BTC".into()),
    };
    let form = |refusal: Refusal<'static>| accepted(&refusal, Timeframe::MINUTE).unwrap();
    assert_eq!(
        form(refusal(
            r#"{"s":"BTC","t":1704067200,"o":5,"h":6,"l":5,"c":-1}"#,
            Reason::BadPrice,
            "`c` is -1"
        )),
        r#"{"symbol":"BTC","timeframe":"1m","timestamp":1704067200,"open":5,"high":6,"low":5,"close":6,"volume":1000}"#
    );
    assert_eq!(
        form(refusal("nonsense", Reason::NotJson, "no JSON")),
        r#"{"symbol":"BTC","timeframe":"1m","timestamp":"2026-01-31T14:30:00Z","open":10.0,"high":12.0,"low":9.0,"close":11.0,"volume":1000}"#
    );
    let late = refusal(
        r#"{"t":"x","tf":"5m","o":1}"#,
        Reason::BadTimestamp,
        "`t`: `x` is no timestamp",
    );
    assert!(
        form(late).contains(r#""timeframe":"5m","timestamp":"2026-01-31T14:30:00Z","open":1,"#)
    );
}

#[test]
fn prices_that_look_like_fixed_point_numbers_have_a_hint() {
    let hint = scale_hint([372_025e9, 372_050e9, 372_025e9, 372_050e9]).unwrap();
    assert!(hint.contains("open 372025, high 372050, low 372025, close 372050"));
    assert!(
        scale_hint([1_071_500_000.0; 4])
            .unwrap()
            .contains("close 1.0715.")
    );
    for price in [5_000.0, 42_000.5, 1_650_000_123.0, 1_000_000_000.5, -5e12] {
        assert_eq!(scale_hint([1e12, 1e12, price, 1e12]), None, "{price}");
    }
}

#[test]
fn what_the_agent_does_is_said_in_words() {
    let event = BarEvent::flat("A", 0, 1.0, 0.0);
    let config = AnalysisConfig {
        min_bars: 1,
        ..AnalysisConfig::default()
    };
    let mut engine = Engine::new(Arc::new(config), 1);
    let signal = engine.on_bar(&event, event.bar.timestamp).signal;
    assert!(signal.is_some());
    let appended = |begun, signal| {
        does(&Output::Taken(Taken {
            event: &event,
            series: None,
            begun,
            epoch: 0,
            step: 0,
            change: Change::Appended,
            missing: 0,
            signal,
        }))
    };
    assert_eq!(appended(true, None), "begins its series with it");
    assert_eq!(
        appended(false, signal),
        "appends it to its series, and publishes a signal"
    );
    let late = Refusal {
        reason: Reason::Late,
        detail: "bar is earlier".into(),
        payload: b"{}",
        elements: 1,
        symbol: None,
    };
    assert_eq!(does(&Output::Refused(late)), "refuses it: bar is earlier");
    assert_eq!(shown(b"{\n  \"a\":  1 }"), "{ \"a\": 1 }");
    assert_eq!(shown("é".repeat(500).as_bytes()).chars().count(), SHOWN + 1);
}
