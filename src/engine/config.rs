//! What the engine computes and when it speaks.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::indicators::Spec;

/// Everything that a signal's payload depends on besides the bars. Two engines with equal
/// configurations give equal bytes for equal bars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalysisConfig {
    /// Bars kept per series.
    pub window: usize,
    /// Bars a series needs before its first signal, at most `window`.
    pub min_bars: usize,
    /// Every n-th bar of each series is published; bars with alerts always are.
    pub publish_frequency: u64,
    /// Changes the RSI is smoothed over.
    pub rsi_period: usize,
    /// RSI at or above this is overbought.
    pub rsi_overbought: f64,
    /// RSI at or below this is oversold.
    pub rsi_oversold: f64,
    /// Bars of the fast MACD average.
    pub macd_fast: usize,
    /// Bars of the slow MACD average.
    pub macd_slow: usize,
    /// Values of the MACD line in its signal.
    pub macd_signal: usize,
    /// Bars of the Bollinger bands.
    pub bb_period: usize,
    /// Half the width of the Bollinger bands, in standard deviations.
    pub bb_std: f64,
    /// Bars of the short simple average.
    pub sma_short: usize,
    /// Bars of the long simple average.
    pub sma_long: usize,
    /// Bars of the short exponential average.
    pub ema_short: usize,
    /// Bars of the long exponential average.
    pub ema_long: usize,
    /// Bars of the average volume.
    pub volume_sma: usize,
    /// Further indicators, each under its own key.
    pub indicators: Vec<Spec>,
}

/// Raised whenever the same bars and configuration would give other bytes than before.
const REVISION: u32 = 1;

impl AnalysisConfig {
    /// A number that differs when the configuration or the engine's definition differs. State
    /// computed under one fingerprint must not be continued under another.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        // Debug prints every field, doubles in full
        xxh3_64(format!("{REVISION} {self:?}").as_bytes())
    }
}

impl Default for AnalysisConfig {
    fn default() -> Self {
        Self {
            window: 200,
            min_bars: 50,
            publish_frequency: 1,
            rsi_period: 14,
            rsi_overbought: 70.0,
            rsi_oversold: 30.0,
            macd_fast: 12,
            macd_slow: 26,
            macd_signal: 9,
            bb_period: 20,
            bb_std: 2.0,
            sma_short: 20,
            sma_long: 50,
            ema_short: 12,
            ema_long: 26,
            volume_sma: 20,
            indicators: Vec::new(),
        }
    }
}
