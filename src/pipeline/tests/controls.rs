//! Resets and time marks among the bars.

use super::*;

fn reset(symbol: &str) -> String {
    format!(r#"{{"reset":{{"symbol":"{symbol}","timeframe":"1m"}}}}"#)
}

#[test]
fn a_series_that_was_reset_is_as_new_and_the_others_are_as_they_were() {
    let mut reset_one = pipeline(FinalRule::Flag, 10);
    let mut undisturbed = pipeline(FinalRule::Flag, 10);
    for minute in 0..30 {
        outputs(&mut reset_one, &bar("A", minute, 1.0 + minute as f64));
        for pipeline in [&mut reset_one, &mut undisturbed] {
            outputs(pipeline, &bar("B", minute, 2.0));
        }
    }
    assert_eq!(outputs(&mut reset_one, &reset("A")), ["reset Some(30)"]);
    assert_eq!(outputs(&mut reset_one, &reset("C")), ["reset None"]);
    // older bars, and later ones after a gap, as in a series without a past
    for minute in [3, 4, 9, 9, 2] {
        let begun = minute == 3;
        let mut expected = outputs(&mut undisturbed, &bar("A", minute, 5.0));
        if begun {
            // the series existed already
            expected[0] = expected[0].replace(" begun", "");
        }
        assert_eq!(outputs(&mut reset_one, &bar("A", minute, 5.0)), expected);
        assert_eq!(
            outputs(&mut reset_one, &bar("B", 40 + minute, 5.0)),
            outputs(&mut undisturbed, &bar("B", 40 + minute, 5.0))
        );
    }
    let signal = |pipeline: &mut Pipeline| {
        let engine = pipeline.engine_mut();
        let (id, _) = engine.find("A", Timeframe::MINUTE).unwrap();
        serde_json::to_string(engine.latest(id).unwrap()).unwrap()
    };
    assert_eq!(signal(&mut reset_one), signal(&mut undisturbed));
}

#[test]
fn a_forming_bar_is_forgotten_by_a_reset() {
    let mut pipeline = pipeline(FinalRule::Next, 10);
    outputs(&mut pipeline, &bar("A", 0, 1.0));
    outputs(&mut pipeline, &reset("A"));
    let out = outputs(&mut pipeline, &bar("A", 1, 2.0));
    assert_eq!(out.len(), 1, "nothing was completed: {out:?}");
}

#[test]
fn a_reset_of_another_series_than_its_subject_names_is_refused() {
    let mut pipeline = pipeline(FinalRule::Flag, 10);
    outputs(&mut pipeline, &bar("A", 0, 1.0));
    let subject = Ok(SubjectParts {
        symbol: Some("B".into()),
        timeframe: None,
    });
    let mut sink = Noted::default();
    let payload = reset("A");
    let message = Message {
        payload: payload.as_bytes(),
        subject: &subject,
        arrived: NOW,
    };
    pipeline.take(&message, &mut sink);
    assert_eq!(sink.outputs, [format!("mismatch of None: {payload}")]);
    assert_eq!(pipeline.engine().len(), 1);
}

#[test]
fn a_reset_forgets_what_is_derived_from_the_series_too() {
    let (mut reset_one, mut fresh) = (deriving("5m,10m"), deriving("5m,10m"));
    for minute in 100..133 {
        outputs(&mut reset_one, &bar("A", minute, 7.0));
    }
    // 33 bars, six of five minutes and three of ten
    assert_eq!(outputs(&mut reset_one, &reset("A")), ["reset Some(42)"]);
    assert_eq!(reset_one.engine().open_buckets(), 0);
    let mut derived = 0;
    for minute in 3..60 {
        let payload = bar("A", minute, minute as f64);
        let mut expected = outputs(&mut fresh, &payload);
        for one in &mut expected {
            *one = one.replace(" begun", "");
            derived += usize::from(one.starts_with("derived"));
        }
        let mut found = outputs(&mut reset_one, &payload);
        for one in &mut found {
            *one = one.replace(" begun", "");
        }
        assert_eq!(found, expected, "minute {minute}");
    }
    assert!(derived > 10, "{derived}");
    assert_eq!(
        reset_one.engine().open_buckets(),
        fresh.engine().open_buckets()
    );
    // a derived series is reset alone
    let five = reset("A").replace("1m", "5m");
    let before = reset_one.engine().open_buckets();
    assert_eq!(outputs(&mut reset_one, &five), ["reset Some(11)"]);
    assert_eq!(reset_one.engine().open_buckets(), before);
    let (_, ten) = reset_one
        .engine()
        .find("A", "10m".parse().unwrap())
        .unwrap();
    assert_eq!(ten.ring().len(), 5);
}

#[test]
fn a_mark_stands_in_order_with_the_bars_and_closes_what_ended_before_it() {
    let mut pipeline = deriving("5m");
    let mark = |text: &str| format!(r#"{{"mark":"{text}"}}"#);
    outputs(&mut pipeline, &bar("A", 0, 1.0));
    let early = outputs(&mut pipeline, &mark("2024-01-01T00:05:04Z"));
    assert_eq!(early, ["mark 2024-01-01T00:05:04Z closed 0"]);
    let closing = outputs(&mut pipeline, &mark("2024-01-01T00:05:05Z"));
    assert_eq!(
        closing,
        [
            "derived 5m Some((1.0, true))",
            "mark 2024-01-01T00:05:05Z closed 1"
        ]
    );
    // a mark may be at most 5 s ahead of its arrival
    let ahead = outputs(&mut pipeline, &mark("2024-01-02T00:00:06Z"));
    assert!(ahead[0].starts_with("future of None: "), "{ahead:?}");
    outputs(&mut pipeline, &bar("A", 5, 2.0));
    let mut sink = Noted::default();
    pipeline.finish(NOW, &mut sink);
    assert_eq!(sink.outputs, ["derived 5m Some((2.0, true))"]);
}
