//! What is computed, and the rules that tie its parameters to the window.

use crate::aggregate::Plan;
use crate::engine::AnalysisConfig;
use crate::indicators;
use crate::market::InvalidZone;

use super::check::{Check, count, field, number, whole};
use super::raw::Raw;

/// The largest window, and so the longest period.
const MAX_BARS: u32 = 10_000;

pub(super) fn read(raw: &Raw, check: &mut Check<'_>) -> AnalysisConfig {
    let bars = || count(1..=MAX_BARS);
    let window = check.read(&field!(raw.technical_data_window_size), bars());
    let specs = |list: &str| {
        indicators::parse(list).map_err(|errors| {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            texts.join("; ")
        })
    };
    let analysis = AnalysisConfig {
        window,
        min_bars: check.read(&field!(raw.technical_min_bars_required), bars()),
        publish_frequency: check.read(
            &field!(raw.technical_publish_frequency),
            whole(1..=1_000_000),
        ),
        rsi_period: check.read(&field!(raw.technical_rsi_period), count(2..=MAX_BARS)),
        rsi_overbought: check.read(&field!(raw.technical_rsi_overbought), number(0.0..=100.0)),
        rsi_oversold: check.read(&field!(raw.technical_rsi_oversold), number(0.0..=100.0)),
        macd_fast: check.read(&field!(raw.technical_macd_fast), bars()),
        macd_slow: check.read(&field!(raw.technical_macd_slow), bars()),
        macd_signal: check.read(&field!(raw.technical_macd_signal), bars()),
        bb_period: check.read(&field!(raw.technical_bb_period), bars()),
        bb_std: check.read(&field!(raw.technical_bb_std), deviations),
        sma_short: check.read(&field!(raw.technical_sma_short), bars()),
        sma_long: check.read(&field!(raw.technical_sma_long), bars()),
        ema_short: check.read(&field!(raw.technical_ema_short), bars()),
        ema_long: check.read(&field!(raw.technical_ema_long), bars()),
        volume_sma: check.read(&field!(raw.technical_volume_sma_period), bars()),
        indicators: check
            .read_optional(&field!(raw.technical_indicators), specs)
            .unwrap_or_default(),
        derived: derived(raw, check),
    };
    order(&analysis, check);
    look_backs(&analysis, check);
    analysis
}

/// The timeframes to derive, and the calendar of their days.
fn derived(raw: &Raw, check: &mut Check<'_>) -> Plan {
    let calendar = check.read(&field!(raw.technical_calendar), |text| {
        text.parse().map_err(|error: InvalidZone| error.to_string())
    });
    let plan = check.read_optional(&field!(raw.technical_timeframes), str::parse::<Plan>);
    plan.unwrap_or_default().on_calendar(calendar)
}

fn deviations(text: &str) -> Result<f64, String> {
    number(0.0..=100.0)(text)
        .ok()
        .filter(|std| *std > 0.0)
        .ok_or_else(|| "must be a number above 0, at most 100".to_owned())
}

fn order(analysis: &AnalysisConfig, check: &mut Check<'_>) {
    let a = analysis;
    check.require(
        a.macd_fast < a.macd_slow,
        &["TECHNICAL_MACD_FAST", "TECHNICAL_MACD_SLOW"],
        "fast must be below slow",
    );
    check.require(
        a.sma_short < a.sma_long,
        &["TECHNICAL_SMA_SHORT", "TECHNICAL_SMA_LONG"],
        "short must be below long",
    );
    check.require(
        a.ema_short < a.ema_long,
        &["TECHNICAL_EMA_SHORT", "TECHNICAL_EMA_LONG"],
        "short must be below long",
    );
    check.require(
        a.rsi_oversold < a.rsi_overbought,
        &["TECHNICAL_RSI_OVERSOLD", "TECHNICAL_RSI_OVERBOUGHT"],
        "oversold must be below overbought",
    );
    check.require(
        a.window >= a.min_bars,
        &["TECHNICAL_DATA_WINDOW_SIZE", "TECHNICAL_MIN_BARS_REQUIRED"],
        "the window must hold the bars required",
    );
}

/// The window must hold every bar that some first value needs.
fn look_backs(analysis: &AnalysisConfig, check: &mut Check<'_>) {
    let a = analysis;
    let built_in: [(usize, &[&'static str]); 6] = [
        (a.rsi_period + 1, &["TECHNICAL_RSI_PERIOD"]),
        (
            a.macd_slow + a.macd_signal - 1,
            &["TECHNICAL_MACD_SLOW", "TECHNICAL_MACD_SIGNAL"],
        ),
        (a.bb_period, &["TECHNICAL_BB_PERIOD"]),
        (a.sma_long, &["TECHNICAL_SMA_LONG"]),
        (a.ema_long, &["TECHNICAL_EMA_LONG"]),
        (a.volume_sma, &["TECHNICAL_VOLUME_SMA_PERIOD"]),
    ];
    let mut need = |bars: usize, names: &[&'static str], what: &str| {
        let mut keys = vec!["TECHNICAL_DATA_WINDOW_SIZE"];
        keys.extend(names);
        check.require(
            a.window >= bars,
            &keys,
            format!("the window must hold the {bars} bars that {what} looks back on"),
        );
    };
    for (bars, names) in built_in {
        need(bars, names, "it");
    }
    for spec in &a.indicators {
        need(spec.look_back(), &["TECHNICAL_INDICATORS"], spec.key());
    }
}
