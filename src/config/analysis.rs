//! The computation, and the rules that tie its parameters to the window.

use crate::aggregate::{Calendar, MOST_OPEN, Plan, TradePlan};
use crate::engine::AnalysisConfig;

use super::check::Check;
use super::keys::analysis::{
    AnalysisValues, TECHNICAL_BB_PERIOD, TECHNICAL_CALENDAR, TECHNICAL_DATA_WINDOW_SIZE,
    TECHNICAL_EMA_LONG, TECHNICAL_EMA_SHORT, TECHNICAL_INDICATORS, TECHNICAL_LATENESS_SECS,
    TECHNICAL_MACD_FAST, TECHNICAL_MACD_SIGNAL, TECHNICAL_MACD_SLOW, TECHNICAL_MIN_BARS_REQUIRED,
    TECHNICAL_RSI_OVERBOUGHT, TECHNICAL_RSI_OVERSOLD, TECHNICAL_RSI_PERIOD, TECHNICAL_SESSION,
    TECHNICAL_SMA_LONG, TECHNICAL_SMA_SHORT, TECHNICAL_TRADES, TECHNICAL_VOLUME_SMA_PERIOD,
};
use super::keys::{Key, Variable};

pub(super) fn read(values: &AnalysisValues, check: &mut Check<'_>) -> AnalysisConfig {
    let window = check.read(&values.TECHNICAL_DATA_WINDOW_SIZE);
    let analysis = AnalysisConfig {
        window,
        min_bars: check.read(&values.TECHNICAL_MIN_BARS_REQUIRED),
        publish_frequency: check.read(&values.TECHNICAL_PUBLISH_FREQUENCY),
        rsi_period: check.read(&values.TECHNICAL_RSI_PERIOD),
        rsi_overbought: check.read(&values.TECHNICAL_RSI_OVERBOUGHT),
        rsi_oversold: check.read(&values.TECHNICAL_RSI_OVERSOLD),
        macd_fast: check.read(&values.TECHNICAL_MACD_FAST),
        macd_slow: check.read(&values.TECHNICAL_MACD_SLOW),
        macd_signal: check.read(&values.TECHNICAL_MACD_SIGNAL),
        bb_period: check.read(&values.TECHNICAL_BB_PERIOD),
        bb_std: check.read(&values.TECHNICAL_BB_STD),
        sma_short: check.read(&values.TECHNICAL_SMA_SHORT),
        sma_long: check.read(&values.TECHNICAL_SMA_LONG),
        ema_short: check.read(&values.TECHNICAL_EMA_SHORT),
        ema_long: check.read(&values.TECHNICAL_EMA_LONG),
        volume_sma: check.read(&values.TECHNICAL_VOLUME_SMA_PERIOD),
        correctable_bars: check.read(&values.TECHNICAL_CORRECTABLE_BARS),
        indicators: check
            .read_optional(&values.TECHNICAL_INDICATORS)
            .unwrap_or_default(),
        derived: derived(values, check),
        trades: trades(values, check),
    };
    order(&analysis, check);
    look_backs(&analysis, check);
    analysis
}

/// The timeframes to derive, and the calendar of their days.
fn derived(values: &AnalysisValues, check: &mut Check<'_>) -> Plan {
    let zone = check.read(&values.TECHNICAL_CALENDAR);
    let session = check.read_optional(&values.TECHNICAL_SESSION);
    if let Some(session) = &session {
        check.require(
            session.is_within_days_of(&zone),
            &[TECHNICAL_SESSION::KEY, TECHNICAL_CALENDAR::KEY],
            format!(
                "the session reaches across midnight of the calendar; set TECHNICAL_CALENDAR={}",
                session.zone()
            ),
        );
    }
    let calendar = Calendar::of_days(zone);
    let plan = check.read_optional(&values.TECHNICAL_TIMEFRAMES);
    let grace = check.read(&values.TECHNICAL_BAR_GRACE_SECS);
    let plan = plan.unwrap_or_default();
    plan.on_calendar(calendar.with_session(session))
        .with_grace(grace)
}

/// The bars to build from trades.
fn trades(values: &AnalysisValues, check: &mut Check<'_>) -> Option<TradePlan> {
    let lateness = check.read(&values.TECHNICAL_LATENESS_SECS);
    let conditions = check.read(&values.TECHNICAL_TRADE_CONDITIONS);
    let plan = TradePlan {
        timeframe: check.read_optional(&values.TECHNICAL_TRADES)?,
        lateness,
        conditions,
    };
    check.require(
        plan.most_open() <= MOST_OPEN + 2,
        &[TECHNICAL_TRADES::KEY, TECHNICAL_LATENESS_SECS::KEY],
        format!("trades may be late by the length of {MOST_OPEN} bars at most"),
    );
    Some(plan)
}

fn order(analysis: &AnalysisConfig, check: &mut Check<'_>) {
    let a = analysis;
    check.require(
        a.macd_fast < a.macd_slow,
        &[TECHNICAL_MACD_FAST::KEY, TECHNICAL_MACD_SLOW::KEY],
        "fast must be below slow",
    );
    check.require(
        a.sma_short < a.sma_long,
        &[TECHNICAL_SMA_SHORT::KEY, TECHNICAL_SMA_LONG::KEY],
        "short must be below long",
    );
    check.require(
        a.ema_short < a.ema_long,
        &[TECHNICAL_EMA_SHORT::KEY, TECHNICAL_EMA_LONG::KEY],
        "short must be below long",
    );
    check.require(
        a.rsi_oversold < a.rsi_overbought,
        &[TECHNICAL_RSI_OVERSOLD::KEY, TECHNICAL_RSI_OVERBOUGHT::KEY],
        "oversold must be below overbought",
    );
    check.require(
        a.window >= a.min_bars,
        &[
            TECHNICAL_DATA_WINDOW_SIZE::KEY,
            TECHNICAL_MIN_BARS_REQUIRED::KEY,
        ],
        "the window must hold the bars required",
    );
}

/// The window must hold every bar that some first value needs.
fn look_backs(analysis: &AnalysisConfig, check: &mut Check<'_>) {
    let a = analysis;
    let built_in: [(usize, &[&'static Key]); 6] = [
        (a.rsi_period + 1, &[TECHNICAL_RSI_PERIOD::KEY]),
        (
            a.macd_slow + a.macd_signal - 1,
            &[TECHNICAL_MACD_SLOW::KEY, TECHNICAL_MACD_SIGNAL::KEY],
        ),
        (a.bb_period, &[TECHNICAL_BB_PERIOD::KEY]),
        (a.sma_long, &[TECHNICAL_SMA_LONG::KEY]),
        (a.ema_long, &[TECHNICAL_EMA_LONG::KEY]),
        (a.volume_sma, &[TECHNICAL_VOLUME_SMA_PERIOD::KEY]),
    ];
    let mut need = |bars: usize, related: &[&'static Key], what: &str| {
        let mut keys = vec![TECHNICAL_DATA_WINDOW_SIZE::KEY];
        keys.extend(related);
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
        need(spec.look_back(), &[TECHNICAL_INDICATORS::KEY], spec.key());
    }
}
