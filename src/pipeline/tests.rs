//! The outputs of a message, in order.

mod controls;

use super::*;
use crate::aggregate::TradePlan;
use crate::engine::AnalysisConfig;
use crate::market::{Timeframe, TradeConditions};
use crate::wire::{FinalRule, InputRules};

/// 2024-01-01T00:00:00Z, in seconds.
const BEGIN: i64 = 1_704_067_200;
const NOW: Timestamp = Timestamp::from_nanos((BEGIN + 86_400) * 1_000_000_000);

/// Notes every output as text, and leaves bars out by their close.
#[derive(Default)]
struct Noted {
    outputs: Vec<String>,
    bars: Vec<f64>,
    only_completes: Vec<f64>,
    /// Derived bars that are forming are wanted.
    forming: bool,
    skipped: Vec<f64>,
}

impl Filter for Noted {
    fn admit(&mut self, event: &BarEvent<'_>) -> Admission {
        let close = event.bar.close;
        if self.skipped.contains(&close) {
            Admission::Skip
        } else if self.only_completes.contains(&close) {
            Admission::Complete
        } else {
            Admission::Take
        }
    }
}

impl Sink for Noted {
    fn wants_forming(&mut self, _event: &BarEvent<'_>) -> bool {
        self.forming
    }

    fn before_bar(&mut self, event: &BarEvent<'_>) {
        self.bars.push(event.bar.close);
    }

    fn after_bar(&mut self, event: &BarEvent<'_>) {
        assert_eq!(self.bars.last(), Some(&event.bar.close));
    }

    fn output(&mut self, output: Output<'_>) {
        self.outputs.push(match output {
            Output::Trade(event) => format!("trade {}", event.symbol),
            Output::Derived(taken) => format!(
                "derived {} {:?}",
                taken.event.timeframe,
                taken.signal.map(|signal| (signal.close, signal.is_final)),
            ),
            Output::Revised(taken) => format!(
                "revised {} {:?}",
                taken.event.timeframe,
                taken.signal.map(|signal| (signal.close, signal.revision)),
            ),
            Output::Taken(Taken {
                event,
                begun,
                change,
                missing,
                signal,
                ..
            }) => format!(
                "{change:?} {}{}{} {:?}",
                event.bar.close,
                if begun { " begun" } else { "" },
                if missing > 0 {
                    format!(" after {missing} missing")
                } else {
                    String::new()
                },
                signal.map(|signal| (signal.close, signal.is_final)),
            ),
            Output::Duplicate(event) => format!("duplicate {}", event.bar.close),
            Output::Reset(restarted) => format!("reset {:?}", restarted.forgotten),
            Output::Marked(marked) => format!("mark {} closed {}", marked.mark.at, marked.closed),
            Output::Gathered(bars) => format!("gathered {bars}"),
            Output::Rebuilt(taken) => {
                let rebuilt = taken.rebuilt;
                format!(
                    "rebuilt {} taken {} duplicates {} corrections {}",
                    taken.series, rebuilt.taken, rebuilt.duplicates, rebuilt.corrections
                )
            }
            Output::Restated(taken) => format!(
                "restated {} {:?}",
                taken.event.timeframe,
                taken.signal.map(|signal| (signal.close, signal.revision)),
            ),
            Output::Ignored(kind) => format!("ignored {}", kind.name()),
            Output::Refused(refusal) => format!(
                "{} of {:?}: {}",
                refusal.reason,
                refusal.symbol,
                String::from_utf8_lossy(refusal.payload)
            ),
        });
    }
}

fn pipeline(final_rule: FinalRule, max_series: usize) -> Pipeline {
    let config = AnalysisConfig {
        min_bars: 1,
        indicators: crate::indicators::parse("atr(3)").unwrap(),
        ..AnalysisConfig::default()
    };
    let rules = InputRules {
        final_rule,
        ..InputRules::new(65_536, Timeframe::MINUTE)
    };
    Pipeline::new(
        Decoder::new(rules),
        Engine::new(Arc::new(config), max_series),
    )
}

/// A pipeline that builds minutes from trades, which do not wait for late ones.
fn building() -> Pipeline {
    let config = AnalysisConfig {
        min_bars: 1,
        trades: Some(TradePlan {
            timeframe: Timeframe::MINUTE,
            lateness: std::time::Duration::ZERO,
            conditions: TradeConditions::None,
        }),
        ..AnalysisConfig::default()
    };
    let rules = InputRules {
        trades: Some(TradeConditions::None),
        ..InputRules::new(65_536, Timeframe::MINUTE)
    };
    Pipeline::new(Decoder::new(rules), Engine::new(Arc::new(config), 10))
}

/// A pipeline that derives bars of these timeframes.
fn deriving(timeframes: &str) -> Pipeline {
    let config = AnalysisConfig {
        min_bars: 1,
        derived: timeframes.parse().unwrap(),
        ..AnalysisConfig::default()
    };
    let rules = InputRules::new(65_536, Timeframe::MINUTE);
    Pipeline::new(Decoder::new(rules), Engine::new(Arc::new(config), 10))
}

fn bar(symbol: &str, minute: i64, close: f64) -> String {
    let at = BEGIN + 60 * minute;
    format!(r#"{{"s":"{symbol}","t":{at},"o":{close},"h":{close},"l":{close},"c":{close}}}"#)
}

fn take(pipeline: &mut Pipeline, payload: &str, sink: &mut Noted) -> Result<(), Panicked> {
    let subject = Ok(SubjectParts::default());
    let message = Message {
        payload: payload.as_bytes(),
        subject: &subject,
        arrived: NOW,
    };
    pipeline.guard(|pipeline| pipeline.take(&message, sink))
}

/// The outputs of one message.
fn outputs(pipeline: &mut Pipeline, payload: &str) -> Vec<String> {
    let mut sink = Noted::default();
    assert_eq!(take(pipeline, payload, &mut sink), Ok(()));
    sink.outputs
}

#[test]
fn every_element_has_its_output_in_the_order_of_the_message() {
    let mut pipeline = pipeline(FinalRule::Flag, 1);
    let forming = bar("A", 5, 9.0).replace('}', r#","final":false}"#);
    let elements = [
        bar("A", 0, 1.0),
        bar("A", 0, 1.0),
        bar("A", 0, 2.0),
        bar("A", 3, 3.0),
        forming,
        bar("B", 3, 5.0),
        "7".to_owned(),
        bar("A", 3_000, 6.0),
    ];
    let out = outputs(&mut pipeline, &format!("[{}]", elements.join(",")));
    let future = &elements[7];
    assert_eq!(
        out,
        [
            "Appended 1 begun Some((1.0, true))".to_owned(),
            "duplicate 1".to_owned(),
            "Corrected 2 Some((2.0, true))".to_owned(),
            "Appended 3 after 2 missing Some((3.0, true))".to_owned(),
            "Forming 9 Some((9.0, false))".to_owned(),
            format!(r#"too_many_series of Some("B"): {}"#, elements[5]),
            "wrong_type of None: 7".to_owned(),
            format!(r#"future of Some("A"): {future}"#),
        ]
    );
    // within a message the bars of a series are put in order, so the earlier one is refused first
    let late = [bar("A", 4, 7.0), bar("A", -1, 4.0)];
    assert_eq!(
        outputs(&mut pipeline, &format!("[{}]", late.join(","))),
        [
            format!(r#"late of Some("A"): {}"#, late[1]),
            "Appended 7 Some((7.0, true))".to_owned(),
        ]
    );
}

#[test]
fn the_corrections_of_one_message_revise_a_bounded_number_of_later_signals() {
    let mut pipeline = pipeline(FinalRule::Flag, 1);
    let all: Vec<String> = (0..40)
        .map(|minute| bar("A", minute, 100.0 + (minute * 7 % 11) as f64))
        .collect();
    outputs(&mut pipeline, &format!("[{}]", all.join(",")));
    // each changes the oldest correctable bar, and the signals of the 31 bars after it
    let corrections: Vec<String> = (0..140).map(|n| bar("A", 8, 50.0 + f64::from(n))).collect();
    let next = bar("A", 40, 99.0);
    let message = format!("[{},{},{next}]", corrections.join(","), all[39]);
    let out = outputs(&mut pipeline, &message);
    let count = |what: &str| out.iter().filter(|one| one.starts_with(what)).count();
    // 4,096 are reached with the 133rd
    assert_eq!((count("Corrected"), count("revised")), (133, 133 * 31));
    let refused: Vec<&String> = out
        .iter()
        .filter(|one| one.starts_with("too_many_elements"))
        .collect();
    assert_eq!(refused.len(), 7);
    assert!(refused[0].ends_with(&corrections[133]), "{}", refused[0]);
    // what revises nothing is taken
    assert_eq!((count("duplicate"), count("Appended 99")), (1, 1));
    // and the next message may revise again
    let out = outputs(&mut pipeline, &bar("A", 9, 1.0));
    assert_eq!(out.len(), 32);
}

#[test]
fn so_do_the_late_trades_of_one_message() {
    let mut pipeline = building();
    let trade = |second: i64, price: f64| {
        let at = BEGIN + second;
        format!(r#"{{"s":"A","t":{at},"price":{price},"size":1}}"#)
    };
    for minute in 0..60 {
        let price = 100.0 + (minute * 7 % 11) as f64;
        outputs(&mut pipeline, &trade(60 * minute, price));
    }
    // each changes the close of the oldest correctable bar; minute 58 is the newest closed one
    let late: Vec<String> = (0..140)
        .map(|n| trade(27 * 60 + 1, 50.0 + f64::from(n)))
        .collect();
    let out = outputs(&mut pipeline, &format!("[{}]", late.join(",")));
    let count = |what: &str| out.iter().filter(|one| one.starts_with(what)).count();
    assert_eq!((count("trade"), count("revised")), (133, 133 * 31));
    assert_eq!(count("too_many_elements"), 7);
}

#[test]
fn the_time_that_is_handed_in_decides_about_the_future_and_nothing_else() {
    let subject = Ok(SubjectParts::default());
    let payload = bar("A", 0, 1.0);
    for (arrived, refused) in [(-86_401, true), (-86_400, false), (90_000_000, false)] {
        let mut pipeline = pipeline(FinalRule::Flag, 1);
        let mut sink = Noted::default();
        let message = Message {
            payload: payload.as_bytes(),
            subject: &subject,
            arrived: Timestamp::from_nanos((BEGIN + arrived) * 1_000_000_000),
        };
        pipeline.take(&message, &mut sink);
        assert_eq!(sink.outputs[0].starts_with("future"), refused, "{arrived}");
    }
}

#[test]
fn a_bar_comes_after_the_one_that_it_completes() {
    let mut pipeline = pipeline(FinalRule::Next, 10);
    assert_eq!(
        outputs(&mut pipeline, &bar("A", 0, 1.0)),
        ["Forming 1 begun Some((1.0, false))"]
    );
    assert_eq!(
        outputs(&mut pipeline, &bar("A", 1, 2.0)),
        [
            "Appended 1 Some((1.0, true))",
            "Forming 2 Some((2.0, false))"
        ]
    );
}

#[test]
fn a_bar_that_is_left_out_completes_the_one_before_it_only_where_it_may() {
    let mut pipeline = pipeline(FinalRule::Next, 10);
    let mut sink = Noted {
        skipped: vec![2.0],
        only_completes: vec![3.0],
        ..Noted::default()
    };
    for (minute, close) in [(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)] {
        take(&mut pipeline, &bar("A", minute, close), &mut sink).unwrap();
    }
    assert_eq!(
        sink.outputs,
        [
            "Forming 1 begun Some((1.0, false))",
            "Appended 1 Some((1.0, true))",
            "Forming 4 Some((4.0, false))"
        ]
    );
    assert_eq!(sink.bars, [1.0, 1.0, 4.0]);
}

#[test]
fn a_panic_is_rolled_back_and_the_bars_before_it_stay() {
    let mut disturbed = pipeline(FinalRule::Flag, 10);
    let mut undisturbed = pipeline(FinalRule::Flag, 10);
    for pipeline in [&mut disturbed, &mut undisturbed] {
        outputs(pipeline, &bar("A", 0, 1.0));
    }
    disturbed.engine_mut().poison();
    let mut sink = Noted::default();
    // a duplicate takes no computing, so it is not what panics
    let array = format!("[{},{}]", bar("A", 0, 1.0), bar("A", 1, 2.0));
    assert_eq!(take(&mut disturbed, &array, &mut sink), Err(Panicked));
    assert_eq!(sink.outputs, ["duplicate 1"]);
    assert_eq!(
        take(&mut disturbed, &bar("B", 0, 1.0), &mut sink),
        Err(Panicked)
    );
    disturbed.engine_mut().heal();
    assert_eq!(disturbed.engine().len(), 1);
    for message in [bar("A", 1, 2.5), bar("A", 2, 3.0), bar("B", 0, 1.0)] {
        let expected = outputs(&mut undisturbed, &message);
        assert_eq!(outputs(&mut disturbed, &message), expected);
    }
}

#[test]
fn a_poisonous_message_is_refused_whole() {
    let refusal = poison(b"[1,2]");
    assert_eq!(refusal.reason, Reason::Poison);
    assert_eq!((refusal.payload, refusal.elements), (&b"[1,2]"[..], 1));
}

#[test]
fn derived_bars_come_in_the_order_of_their_ends() {
    let mut pipeline = deriving("5m,10m");
    let message = |minutes: std::ops::Range<i64>| {
        let bars: Vec<String> = minutes.map(|minute| bar("A", minute, 7.0)).collect();
        format!("[{}]", bars.join(","))
    };
    let found = outputs(&mut pipeline, &message(8..10));
    // 5m of minute 5 was not seen from its open
    assert!(
        found.iter().all(|one| one.starts_with("Appended")),
        "{found:?}"
    );
    let found = outputs(&mut pipeline, &message(10..20));
    let derived: Vec<(usize, &String)> = found
        .iter()
        .enumerate()
        .filter(|(_, one)| one.starts_with("derived"))
        .collect();
    let five = "derived 5m Some((7.0, true))".to_owned();
    let ten = "derived 10m Some((7.0, true))".to_owned();
    // each after the bar that completes it, the smaller first
    assert_eq!(derived, [(5, &five), (11, &five), (12, &ten)]);
    outputs(&mut pipeline, &bar("A", 20, 8.0));
    // with a bar missing, before the bar that closes it
    let found = outputs(&mut pipeline, &bar("A", 26, 9.0));
    assert_eq!(found[0], "derived 5m Some((8.0, true))");
    assert!(
        found[1].starts_with("Appended 9 after 5 missing"),
        "{found:?}"
    );
    assert_eq!(found.len(), 2);
    let mut sink = Noted {
        forming: true,
        ..Noted::default()
    };
    assert_eq!(take(&mut pipeline, &bar("A", 27, 6.0), &mut sink), Ok(()));
    let shown = [
        "derived 5m Some((6.0, false))",
        "derived 10m Some((6.0, false))",
    ];
    assert_eq!(sink.outputs[1..], shown);
}
