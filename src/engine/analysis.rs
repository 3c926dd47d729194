//! From the window of a series to the values, votes and alerts of its newest bar.
//!
//! [`State`] is everything that is carried from bar to bar besides the bars themselves. It is
//! copied in place, without allocating, so that a bar can be tried and taken back.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset as _};

use super::alerts::{Alert, AlertSet};
use super::config::AnalysisConfig;
use super::signal::{Momentum, Signal, Trend, finite};
use crate::indicators::{Bars, Bollinger, Ema, Instance, Macd, Rsi, Sma, Spec, last, mean};

/// RSI at or above this is extremely overbought.
const EXTREME_OVERBOUGHT: f64 = 75.0;
/// RSI at or below this is extremely oversold.
const EXTREME_OVERSOLD: f64 = 25.0;
/// A volume above this many times its average is a spike.
const VOLUME_SPIKE: f64 = 2.0;
/// Indicators that count towards the confidence.
const COUNTED: f64 = 11.0;

/// A count beyond this is damage: no series is ever counted so far, and sums of two still fit.
pub(super) const MOST: u64 = u64::MAX / 4;

/// Values that the series remembers after a bar.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    standard: Standard,
    further: Vec<Instance>,
    levels: Levels,
    /// Bars missing since the last published signal.
    pub gap: u64,
    /// True if the bar's signal was published.
    pub published: bool,
}

/// The indicators that every signal has fields for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Standard {
    rsi: Rsi,
    macd: Macd,
    bollinger: Bollinger,
    sma_short: Sma,
    sma_long: Sma,
    ema_short: Ema,
    ema_long: Ema,
}

impl Clone for State {
    fn clone(&self) -> Self {
        Self {
            further: self.further.clone(),
            ..*self
        }
    }

    /// Copies in place: `Vec::clone_from` keeps its allocation and clones each instance into
    /// the one that is there.
    fn clone_from(&mut self, source: &Self) {
        self.standard = source.standard;
        self.further.clone_from(&source.further);
        self.levels = source.levels;
        self.gap = source.gap;
        self.published = source.published;
    }
}

/// The values of a bar that the alerts of the next one are measured against.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Levels {
    rsi: Option<f64>,
    /// MACD line − signal.
    macd: Option<f64>,
    /// Short SMA − long.
    sma: Option<f64>,
    /// Short EMA − long.
    ema: Option<f64>,
    /// Close − upper Bollinger band.
    above_upper: Option<f64>,
    /// Lower Bollinger band − close.
    below_lower: Option<f64>,
    volume_ratio: Option<f64>,
    trend: Option<Trend>,
}

impl State {
    /// Before the first bar.
    pub fn new(config: &AnalysisConfig) -> Self {
        Self {
            standard: Standard {
                rsi: Rsi::new(config.rsi_period),
                macd: Macd::new(config.macd_fast, config.macd_slow, config.macd_signal),
                bollinger: Bollinger::new(config.bb_period, config.bb_std),
                sma_short: Sma::new(config.sma_short),
                sma_long: Sma::new(config.sma_long),
                ema_short: Ema::new(config.ema_short),
                ema_long: Ema::new(config.ema_long),
            },
            further: config.indicators.iter().map(Spec::build).collect(),
            levels: Levels::default(),
            gap: 0,
            published: false,
        }
    }

    /// True if a deserialized state was computed with the parameters of `config`: with its bars
    /// forgotten it has to be that of a new series, to the byte. Anything else, such as a period
    /// of 0, could make an indicator panic.
    pub fn is_sound(&self, config: &AnalysisConfig) -> bool {
        if self.further.len() != config.indicators.len() || self.gap > MOST {
            return false;
        }
        let mut reset = self.clone();
        reset.reset();
        // NaN is a value here, and equal to itself as bytes only
        let bytes = |state: &Self| postcard::to_allocvec(state).ok();
        bytes(&reset).is_some_and(|reset| Some(reset) == bytes(&Self::new(config)))
    }

    /// Forgets every bar.
    fn reset(&mut self) {
        let standard = &mut self.standard;
        standard.rsi.reset();
        standard.macd.reset();
        standard.bollinger.reset();
        standard.sma_short.reset();
        standard.sma_long.reset();
        standard.ema_short.reset();
        standard.ema_long.reset();
        self.further.iter_mut().for_each(Instance::reset);
        self.levels = Levels::default();
        self.gap = 0;
        self.published = false;
    }

    /// Advances the state by the newest bar of `bars`, and writes the results into `signal`. The
    /// window holds `held` bars; `bars` are at least those of them that the indicators read.
    pub fn advance(
        &mut self,
        config: &AnalysisConfig,
        bars: Bars<'_>,
        held: usize,
        signal: &mut Signal,
    ) {
        let bar = bars.bar();
        let standard = &mut self.standard;
        let [macd, macd_signal, macd_histogram] = standard.macd.next(bars);
        let [bb_upper, bb_middle, bb_lower] = standard.bollinger.next(bars);
        signal.rsi = known(standard.rsi.next(bars));
        signal.macd = known(macd);
        signal.macd_signal = known(macd_signal);
        signal.macd_histogram = known(macd_histogram);
        signal.bb_upper = known(bb_upper);
        signal.bb_middle = known(bb_middle);
        signal.bb_lower = known(bb_lower);
        signal.bb_width = difference(signal.bb_upper, signal.bb_lower);
        signal.bb_position = match (signal.bb_lower, signal.bb_width) {
            (Some(lower), Some(width)) if width != 0.0 => finite((bar.close - lower) / width),
            _ => None,
        };
        signal.sma_short = known(standard.sma_short.next(bars));
        signal.sma_long = known(standard.sma_long.next(bars));
        signal.ema_short = known(standard.ema_short.next(bars));
        signal.ema_long = known(standard.ema_long.next(bars));
        signal.volume_sma = known(last(bars.volume, config.volume_sma).map(mean));
        signal.volume_ratio = match signal.volume_sma {
            Some(average) if average != 0.0 => finite(bar.volume / average),
            _ => None,
        };

        let mut rest = signal.indicators.values.as_mut_slice();
        for (instance, spec) in self.further.iter_mut().zip(&config.indicators) {
            let (out, more) = rest.split_at_mut(spec.outputs().len());
            instance.update(bars, out);
            rest = more;
        }

        self.judge(config, bar.close, signal);
        signal.bars_analyzed = held;
        signal.confidence = confidence(config, signal);
    }

    /// Votes and alerts: this bar's levels against those of the bar before.
    fn judge(&mut self, config: &AnalysisConfig, close: f64, signal: &mut Signal) {
        let was = self.levels;
        let mut now = Levels {
            rsi: signal.rsi,
            macd: difference(signal.macd, signal.macd_signal),
            sma: difference(signal.sma_short, signal.sma_long),
            ema: difference(signal.ema_short, signal.ema_long),
            above_upper: difference(Some(close), signal.bb_upper),
            below_lower: difference(signal.bb_lower, Some(close)),
            volume_ratio: signal.volume_ratio,
            trend: None,
        };
        let votes = [now.macd, now.sma, now.ema];
        let count = |side: fn(f64) -> bool| votes.iter().flatten().filter(|v| side(**v)).count();
        signal.trend_signal = if count(|v| v > 0.0) >= 2 {
            Trend::Bullish
        } else if count(|v| v < 0.0) >= 2 {
            Trend::Bearish
        } else {
            Trend::Neutral
        };
        now.trend = (votes.iter().flatten().count() >= 2).then_some(signal.trend_signal);
        signal.momentum_signal = match now.rsi {
            Some(rsi) if rsi >= config.rsi_overbought => Momentum::Overbought,
            Some(rsi) if rsi <= config.rsi_oversold => Momentum::Oversold,
            _ => Momentum::Neutral,
        };

        let (over, under) = (config.rsi_overbought, config.rsi_oversold);
        let mut alerts = AlertSet::EMPTY;
        let rsi = |holds: &dyn Fn(f64) -> bool| edge(was.rsi, now.rsi, holds);
        alerts.add(Alert::RsiOverbought, rsi(&|x| x >= over));
        alerts.add(Alert::RsiOversold, rsi(&|x| x <= under));
        alerts.add(
            Alert::RsiExtremeOverbought,
            rsi(&|x| x >= EXTREME_OVERBOUGHT),
        );
        alerts.add(Alert::RsiExtremeOversold, rsi(&|x| x <= EXTREME_OVERSOLD));
        alerts.add(Alert::RsiRecovered, rsi(&|x| x > under && x < over));
        let up = |was, now| edge(was, now, &|x| x > 0.0);
        let down = |was, now| edge(was, now, &|x| x < 0.0);
        alerts.add(Alert::MacdBullishCross, up(was.macd, now.macd));
        alerts.add(Alert::MacdBearishCross, down(was.macd, now.macd));
        alerts.add(Alert::GoldenCross, up(was.sma, now.sma));
        alerts.add(Alert::DeathCross, down(was.sma, now.sma));
        alerts.add(Alert::EmaBullishCross, up(was.ema, now.ema));
        alerts.add(Alert::EmaBearishCross, down(was.ema, now.ema));
        alerts.add(Alert::BbBreakoutUp, up(was.above_upper, now.above_upper));
        alerts.add(Alert::BbBreakoutDown, up(was.below_lower, now.below_lower));
        alerts.add(
            Alert::VolumeSpike,
            edge(was.volume_ratio, now.volume_ratio, &|x| x > VOLUME_SPIKE),
        );
        let turned = |to: Trend| matches!((was.trend, now.trend), (Some(was), Some(now)) if was != to && now == to);
        alerts.add(Alert::TrendTurnedBullish, turned(Trend::Bullish));
        alerts.add(Alert::TrendTurnedBearish, turned(Trend::Bearish));
        signal.alerts = alerts;
        self.levels = now;
    }
}

/// Returns true if a condition holds now that did not hold at the bar before.
fn edge(was: Option<f64>, now: Option<f64>, holds: &dyn Fn(f64) -> bool) -> bool {
    matches!((was, now), (Some(was), Some(now)) if !holds(was) && holds(now))
}

fn difference(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    Some(a? - b?)
}

/// A value that JSON can carry: an overflow is no value.
fn known(value: Option<f64>) -> Option<f64> {
    value.and_then(finite)
}

/// Mean of data completeness and of the share of indicators that have a value.
fn confidence(config: &AnalysisConfig, signal: &Signal) -> f64 {
    let available = [
        signal.rsi,
        signal.macd,
        signal.macd_signal,
        signal.bb_upper,
        signal.bb_lower,
        signal.sma_short,
        signal.sma_long,
        signal.ema_short,
        signal.ema_long,
        signal.volume_sma,
        signal.volume_ratio,
    ]
    .iter()
    .flatten()
    .count();
    #[allow(clippy::cast_precision_loss)]
    let (bars, wanted, available) = (
        signal.bars_analyzed as f64,
        2.0 * config.min_bars as f64,
        available as f64,
    );
    f64::midpoint((bars / wanted).min(1.0), available / COUNTED)
}
