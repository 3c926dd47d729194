//! The engine from outside. Expected values are worked out by hand, with periods short enough
//! for that; where a run is compared with another run, the other one is plainer.

mod corrections;
mod derived;
mod forming;
mod judgement;
mod keeping;
mod marks;
mod order;
mod state;
mod trades;

use std::sync::Arc;

use super::*;
use crate::aggregate::Parts;
use crate::indicators;
use crate::market::{Bar, BarEvent, Finality, Timestamp};

/// A minute after the epoch of the tests.
fn minute(n: i64) -> Timestamp {
    Timestamp::from_nanos(n * Timeframe::MINUTE.nanos())
}

/// The final bar of `symbol` in minute `n` whose prices are all `close`.
fn bar(symbol: &'static str, n: i64, close: f64) -> BarEvent<'static> {
    BarEvent::flat(symbol, n, close, 100.0)
}

fn forming(mut event: BarEvent<'static>) -> BarEvent<'static> {
    event.finality = Finality::Forming;
    event
}

/// Periods of one to three bars: a short average of one bar is the close itself.
fn small() -> AnalysisConfig {
    AnalysisConfig {
        window: 20,
        min_bars: 1,
        rsi_period: 2,
        macd_fast: 1,
        macd_slow: 2,
        macd_signal: 2,
        bb_period: 3,
        bb_std: 1.0,
        sma_short: 1,
        sma_long: 2,
        ema_short: 1,
        ema_long: 2,
        volume_sma: 3,
        correctable_bars: 1,
        ..AnalysisConfig::default()
    }
}

/// A variant of [`small`] with indicators of every kind: windowed, recursive, of several outputs.
fn rich() -> AnalysisConfig {
    let list = "atr(3),adx(3),stoch(3,2,2),sar,vwap,obv,supertrend(3,2),kama(4),rsi(5),engulfing";
    AnalysisConfig {
        indicators: indicators::parse(list).unwrap(),
        ..small()
    }
}

fn engine(config: AnalysisConfig) -> Engine {
    Engine::new(Arc::new(config), 100)
}

/// The bytes of what is said about a bar; nothing when it is not to be published.
fn said(engine: &mut Engine, event: &BarEvent<'_>) -> Option<String> {
    let outcome = engine.on_bar(event, minute(0));
    outcome
        .signal
        .map(|signal| serde_json::to_string(signal).unwrap())
}

/// A panic in the engine, for tests of its consequences elsewhere.
impl Engine {
    /// From here on every bar panics halfway.
    pub(crate) fn poison(&mut self) {
        assert!(!self.config.indicators.is_empty());
        self.signal.indicators.values.clear();
    }

    /// Bars are taken in again.
    pub(crate) fn heal(&mut self) {
        self.signal = Signal::blank(&self.config);
    }
}
