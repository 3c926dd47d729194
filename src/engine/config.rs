//! Settings of the computation and of its signals.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use crate::aggregate::{Plan, TradePlan};
use crate::indicators::Spec;
use crate::market::Timeframe;

/// Everything that a signal's payload depends on besides the bars. Two engines with equal
/// configurations give equal bytes for equal bars.
#[derive(Clone, PartialEq)]
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
    /// Number of newest bars of a series that can be corrected, or inserted if they are missing.
    pub correctable_bars: usize,
    /// Further indicators, each under its own key.
    pub indicators: Vec<Spec>,
    /// The timeframes that are derived from the smallest bars of each symbol.
    pub derived: Plan,
    /// The bars that are built from trades, if there are any.
    pub trades: Option<TradePlan>,
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

    /// Number of newest bars of a series that can be corrected: at least one, at most the window.
    #[must_use]
    pub const fn correctable(&self) -> usize {
        match self.correctable_bars {
            0 => 1,
            bars if bars > self.window => self.window,
            bars => bars,
        }
    }

    /// True if bars are derived from others or built from trades.
    #[must_use]
    pub fn derives(&self) -> bool {
        !self.derived.is_empty() || self.trades.is_some()
    }

    /// True if bars of `timeframe` are built from trades.
    #[must_use]
    pub fn builds(&self, timeframe: Timeframe) -> bool {
        self.trades
            .as_ref()
            .is_some_and(|plan| plan.timeframe == timeframe)
    }

    /// Bars between two states that a series with several correctable bars keeps.
    pub(super) const fn mark_every(&self) -> u64 {
        match self.correctable() {
            1 => 1,
            bars => bars as u64 - 1,
        }
    }

    /// True if the state after `count` bars is kept when the next bar comes.
    pub(super) const fn is_mark(&self, count: u64) -> bool {
        count > 0 && (self.correctable() == 1 || count.is_multiple_of(self.mark_every()))
    }

    /// The bar counts of the two states that a series of `count` bars keeps. The first is the
    /// newest before every correctable bar, the second the next one if that is before the newest
    /// bar. With one correctable bar the first is the state before the newest bar.
    pub(super) const fn marks(&self, count: u64) -> (u64, Option<u64>) {
        let every = self.mark_every();
        let first = count.saturating_sub(self.correctable() as u64) / every * every;
        let second = first + every;
        (first, if second < count { Some(second) } else { None })
    }

    /// Number of bars that a series keeps before its window, so that every bar after the first of
    /// [`Self::marks`] can be recomputed.
    pub(super) fn spare_bars(&self) -> usize {
        if self.correctable() == 1 {
            return 0;
        }
        let again = 2 * (self.correctable() - 1);
        // one more than is read: an indicator must see that it is past its first bars
        let read = (self.look_back() + 2).min(self.window);
        (read + again).saturating_sub(self.window)
    }

    /// Number of bars that the longest of its indicators reads, the newest included.
    fn look_back(&self) -> usize {
        let built_in = [
            self.rsi_period + 1,
            self.macd_slow + self.macd_signal,
            self.bb_period,
            self.sma_long,
            self.ema_long,
            self.volume_sma,
        ];
        let further = self.indicators.iter().map(Spec::look_back);
        further.chain(built_in).max().unwrap_or(0)
    }
}

impl fmt::Debug for AnalysisConfig {
    /// Fingerprints are made of this text. Settings at their former fixed values (no trades, no
    /// derived timeframes, only the newest bar correctable) are left out, so that checkpoints of
    /// agents without these settings can be continued.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // no `..`: a new field has to be in the fingerprint
        let Self {
            window,
            min_bars,
            publish_frequency,
            rsi_period,
            rsi_overbought,
            rsi_oversold,
            macd_fast,
            macd_slow,
            macd_signal,
            bb_period,
            bb_std,
            sma_short,
            sma_long,
            ema_short,
            ema_long,
            volume_sma,
            correctable_bars: _,
            indicators,
            derived,
            trades,
        } = self;
        let mut text = f.debug_struct("AnalysisConfig");
        text.field("window", window)
            .field("min_bars", min_bars)
            .field("publish_frequency", publish_frequency)
            .field("rsi_period", rsi_period)
            .field("rsi_overbought", rsi_overbought)
            .field("rsi_oversold", rsi_oversold)
            .field("macd_fast", macd_fast)
            .field("macd_slow", macd_slow)
            .field("macd_signal", macd_signal)
            .field("bb_period", bb_period)
            .field("bb_std", bb_std)
            .field("sma_short", sma_short)
            .field("sma_long", sma_long)
            .field("ema_short", ema_short)
            .field("ema_long", ema_long)
            .field("volume_sma", volume_sma)
            .field("indicators", indicators);
        if self.correctable() > 1 {
            text.field("correctable_bars", &self.correctable());
        }
        if self.derives() {
            text.field("derived", derived);
        }
        if let Some(trades) = trades {
            text.field("trades", trades);
        }
        text.finish()
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
            correctable_bars: 32,
            indicators: Vec::new(),
            derived: Plan::default(),
            trades: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Calendar;
    use crate::market::Zone;

    #[test]
    fn with_former_fixed_values_a_fingerprint_is_what_it_was_before_there_were_settings() {
        let text = "1 AnalysisConfig { window: 200, min_bars: 50, publish_frequency: 1, \
            rsi_period: 14, rsi_overbought: 70.0, rsi_oversold: 30.0, macd_fast: 12, \
            macd_slow: 26, macd_signal: 9, bb_period: 20, bb_std: 2.0, sma_short: 20, \
            sma_long: 50, ema_short: 12, ema_long: 26, volume_sma: 20, indicators: [] }";
        let plain = AnalysisConfig {
            correctable_bars: 1,
            ..AnalysisConfig::default()
        };
        assert_eq!(plain.fingerprint(), xxh3_64(text.as_bytes()));
        let derived = |names: &[&str], zone: &str| {
            let timeframes = names.iter().map(|name| name.parse().unwrap()).collect();
            let derived = Plan::new(timeframes, zone.parse::<Zone>().unwrap()).unwrap();
            let config = AnalysisConfig {
                derived,
                ..plain.clone()
            };
            config.fingerprint()
        };
        assert_eq!(derived(&[], "Asia/Tokyo"), plain.fingerprint());
        let session = |session: &str| {
            let calendar = Calendar::UTC.with_session(Some(session.parse().unwrap()));
            let plan = Plan::new(vec!["5m".parse().unwrap()], Zone::UTC).unwrap();
            let config = AnalysisConfig {
                derived: plan.on_calendar(calendar),
                ..plain.clone()
            };
            config.fingerprint()
        };
        let all = [
            plain.fingerprint(),
            derived(&["5m"], "UTC"),
            derived(&["5m", "1h"], "UTC"),
            derived(&["5m"], "Asia/Tokyo"),
            AnalysisConfig::default().fingerprint(),
            session("09:30-16:00 America/New_York"),
            session("09:30-16:00 America/Chicago"),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[..at].contains(one));
        }
    }
}
