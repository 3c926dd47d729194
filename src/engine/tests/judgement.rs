//! Trend, momentum, confidence and alerts. Every series here is worked out by hand:
//!
//! - RSI of period 2: G and L are the means of the first two gains and losses, then each
//!   (previous + new) / 2; RSI = 100·G / (G + L).
//! - SMA 1 against 2: close − (close + previous) / 2, so its sign is that of the change.
//! - EMA 1 against 2: close − e, e = previous e + ⅔ (close − previous e), at first the mean of
//!   two; so its sign is that of close − previous e.
//! - MACD 1, 2, 2: that same difference m, against its own average s: s = ⅓ previous s + ⅔ m,
//!   at first the mean of two.

use super::*;

/// The alerts of `kinds` at each close.
fn alerts(closes: &[f64], kinds: &[Alert]) -> Vec<Vec<Alert>> {
    let mut engine = engine(small());
    (0..)
        .zip(closes)
        .map(|(n, close)| {
            let outcome = engine.on_bar(&bar("A", n, *close), minute(0));
            let raised = outcome.signal.unwrap().alerts.iter();
            raised.filter(|alert| kinds.contains(alert)).collect()
        })
        .collect()
}

#[test]
fn rsi_alerts_come_when_a_threshold_is_passed_and_only_then() {
    use Alert::{
        RsiExtremeOverbought, RsiExtremeOversold, RsiOverbought, RsiOversold, RsiRecovered,
    };
    let closes = [
        10.0, 11.0, 10.0, // 50.0: G ½, L ½
        10.8, // 72.2: G 0.65, L 0.25
        11.0, // 77.3: G 0.425, L 0.125
        11.2, // 83.3: G 0.3125, L 0.0625
        10.9, // 46.3: G 0.15625, L 0.18125
        10.7, // 29.1: G 0.078125, L 0.190625
        10.5, // 16.7: G 0.0390625, L 0.1953125
        11.5, // 84.2: G 0.51953125, L 0.09765625
        10.0, // 24.5: G 0.259765625, L 0.798828125
        10.5, // 48.7: G 0.3798828125, L 0.3994140625
    ];
    let kinds = [
        RsiOverbought,
        RsiOversold,
        RsiExtremeOverbought,
        RsiExtremeOversold,
        RsiRecovered,
    ];
    assert_eq!(
        alerts(&closes, &kinds),
        [
            vec![],
            vec![],
            vec![], // the first value has nothing before it to come from
            vec![RsiOverbought],
            vec![RsiExtremeOverbought],
            vec![],
            vec![RsiRecovered],
            vec![RsiOversold],
            vec![RsiExtremeOversold],
            vec![RsiOverbought, RsiExtremeOverbought],
            vec![RsiOversold, RsiExtremeOversold],
            vec![RsiRecovered],
        ]
    );
}

#[test]
fn averages_cross_when_their_difference_leaves_zero_or_changes_sign() {
    use Alert::{DeathCross, GoldenCross};
    let closes = [10.0, 9.0, 11.0, 12.0, 12.0, 11.0, 11.0, 12.0];
    // changes:         −1, +2, +1, 0, −1, 0, +1
    assert_eq!(
        alerts(&closes, &[GoldenCross, DeathCross]),
        [
            vec![],
            vec![],
            vec![GoldenCross],
            vec![],
            vec![],
            vec![DeathCross],
            vec![],
            vec![GoldenCross],
        ]
    );
}

#[test]
fn exponential_averages_and_macd_cross_likewise() {
    use Alert::{EmaBearishCross, EmaBullishCross, MacdBearishCross, MacdBullishCross};
    //             e: –, 9.5, 10.5, 10.4333, 10.4111, 11.4704
    let closes = [10.0, 9.0, 11.0, 10.4, 10.4, 12.0];
    assert_eq!(
        alerts(&closes, &[EmaBullishCross, EmaBearishCross]),
        [
            vec![],
            vec![],
            vec![EmaBullishCross],
            vec![EmaBearishCross],
            vec![],
            vec![EmaBullishCross],
        ]
    );
    // m: –, −½, ½, −0.0333, −0.0111, 0.5296 against s: –, –, 0, −0.0222, −0.0148, 0.3481;
    // at the fourth close m is below s, at the fifth above it
    assert_eq!(
        alerts(&closes, &[MacdBullishCross, MacdBearishCross]),
        [
            vec![],
            vec![],
            vec![],
            vec![MacdBearishCross],
            vec![MacdBullishCross],
            vec![],
        ]
    );
}

#[test]
fn a_breakout_is_a_close_beyond_a_band_after_one_within() {
    use Alert::{BbBreakoutDown, BbBreakoutUp};
    // of three closes, one deviation either side of the mean:
    // 10 ± 0; 10.33 ± 0.47; 11 ± 0.82; 11.67 ± 0.47; 9.67 ± 3.30; 10 ± 3.56
    let closes = [10.0, 10.0, 10.0, 11.0, 12.0, 12.0, 5.0, 13.0];
    assert_eq!(
        alerts(&closes, &[BbBreakoutUp, BbBreakoutDown]),
        [
            vec![],
            vec![],
            vec![],
            vec![BbBreakoutUp],
            vec![],
            vec![],
            vec![BbBreakoutDown],
            vec![],
        ]
    );
}

#[test]
fn a_volume_spike_is_more_than_twice_the_average() {
    let mut engine = engine(small());
    // ratios: 1, 2.14, 1.88, 0.19, 0.25, 1, 2 exactly
    let volumes = [
        100.0, 100.0, 100.0, 500.0, 1000.0, 100.0, 100.0, 100.0, 400.0,
    ];
    let spikes: Vec<usize> = (0..)
        .zip(volumes)
        .filter_map(|(n, volume)| {
            let mut event = bar("A", i64::try_from(n).unwrap(), 10.0);
            event.bar.volume = volume;
            let outcome = engine.on_bar(&event, minute(0));
            let alerts = outcome.signal.unwrap().alerts;
            alerts.contains(Alert::VolumeSpike).then_some(n)
        })
        .collect();
    assert_eq!(spikes, [3]);
}

#[test]
fn the_trend_is_what_two_of_three_say_and_turns_are_told() {
    use Alert::{TrendTurnedBearish, TrendTurnedBullish};
    let kinds = [TrendTurnedBullish, TrendTurnedBearish];
    // all three votes as in the crosses above; at the second close there are but two
    let closes = [10.0, 9.0, 11.0, 10.4, 12.0];
    assert_eq!(
        alerts(&closes, &kinds),
        [
            vec![],
            vec![],
            vec![TrendTurnedBullish],
            vec![TrendTurnedBearish],
            vec![TrendTurnedBullish],
        ]
    );
    let mut engine = engine(small());
    let mut trend = |n, close| {
        let outcome = engine.on_bar(&bar("A", n, close), minute(0));
        outcome.signal.unwrap().trend_signal
    };
    assert_eq!(trend(0, 10.0), Trend::Neutral); // nobody votes yet
    assert_eq!(trend(1, 9.0), Trend::Bearish);
    assert_eq!(trend(2, 11.0), Trend::Bullish);
    assert_eq!(trend(3, 10.4), Trend::Bearish);
    // the SMA stands still, the EMA points down, the MACD up
    assert_eq!(trend(4, 10.4), Trend::Neutral);
    // out of neutral it turns too: flat, then up
    assert_eq!(
        alerts(&[10.0, 10.0, 10.0, 11.0], &kinds),
        [vec![], vec![], vec![], vec![TrendTurnedBullish]]
    );
}

#[test]
fn the_thresholds_of_momentum_are_inclusive() {
    let at_50 = |overbought, oversold| {
        let mut engine = engine(AnalysisConfig {
            rsi_overbought: overbought,
            rsi_oversold: oversold,
            ..small()
        });
        for (n, close) in [(0, 10.0), (1, 11.0)] {
            let outcome = engine.on_bar(&bar("A", n, close), minute(0));
            assert_eq!(outcome.signal.unwrap().momentum_signal, Momentum::Neutral);
        }
        let outcome = engine.on_bar(&bar("A", 2, 10.0), minute(0));
        let signal = outcome.signal.unwrap();
        assert_eq!(signal.rsi, Some(50.0));
        signal.momentum_signal
    };
    assert_eq!(at_50(50.0, 30.0), Momentum::Overbought);
    assert_eq!(at_50(70.0, 50.0), Momentum::Oversold);
    assert_eq!(at_50(50.1, 49.9), Momentum::Neutral);
}

#[test]
fn confidence_is_the_mean_of_completeness_and_of_what_has_a_value() {
    let mut engine = engine(AnalysisConfig {
        min_bars: 2,
        ..small()
    });
    let mut confidence = |n, volume| {
        let mut event = bar("A", n, 10.0 + f64::from(n as i32 % 2));
        event.bar.volume = volume;
        engine.on_bar(&event, minute(0));
        let (id, _) = engine.find("A", Timeframe::MINUTE).unwrap();
        engine.latest(id).unwrap().confidence
    };
    let near = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-12, "{value}");
    // short averages only
    near(confidence(0, 1.0), f64::midpoint(1.0 / 4.0, 2.0 / 11.0));
    // and the long ones; MACD has no value before its signal has, as in TA-Lib
    near(confidence(1, 1.0), f64::midpoint(2.0 / 4.0, 4.0 / 11.0));
    // and RSI, MACD and its signal, both bands, volume average and ratio: all eleven
    near(confidence(2, 1.0), f64::midpoint(3.0 / 4.0, 1.0));
    near(confidence(3, 1.0), 1.0);
    near(confidence(4, 1.0), 1.0);
    // without volume there is no ratio
    near(confidence(5, 0.0), 1.0);
    near(confidence(6, 0.0), 1.0);
    near(confidence(7, 0.0), f64::midpoint(1.0, 10.0 / 11.0));
}

#[test]
fn a_flat_band_has_a_width_and_no_position() {
    let mut engine = engine(small());
    for n in 0..2 {
        engine.on_bar(&bar("A", n, 10.0), minute(0));
    }
    let outcome = engine.on_bar(&bar("A", 2, 10.0), minute(0));
    let signal = outcome.signal.unwrap();
    assert_eq!((signal.bb_width, signal.bb_position), (Some(0.0), None));
    let outcome = engine.on_bar(&bar("A", 3, 13.0), minute(0));
    let signal = outcome.signal.unwrap();
    // mean 11, deviation √2: the close is (2 + √2) / (2 √2) of the way up
    let expected = (2.0 + 2f64.sqrt()) / (2.0 * 2f64.sqrt());
    assert!((signal.bb_position.unwrap() - expected).abs() < 1e-12);
    assert_eq!(signal.bars_analyzed, 4);
}
