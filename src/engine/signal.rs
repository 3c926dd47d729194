//! The signal of a bar.

use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::alerts::AlertSet;
use super::config::AnalysisConfig;
use crate::aggregate::Parts;
use crate::indicators::Spec;
use crate::market::{Bar, Symbol, Timeframe, Timestamp};

/// Direction of at least two of the three trend votes: MACD against its signal, short SMA against
/// long, short EMA against long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trend {
    /// At least two point up.
    Bullish,
    /// At least two point down.
    Bearish,
    /// Neither.
    #[default]
    Neutral,
}

/// Position of the RSI relative to its thresholds, which are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Momentum {
    /// At or above the overbought threshold.
    Overbought,
    /// At or below the oversold threshold.
    Oversold,
    /// Between the two, or no RSI yet.
    #[default]
    Neutral,
}

/// The signal of one bar: a pure function of the bars of its series and the configuration.
/// A value is `null` while its indicator is warming up.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Signal {
    /// The instrument, 1 to 64 bytes.
    #[schemars(with = "String")]
    pub symbol: Symbol,
    /// The bar length.
    #[schemars(with = "String")]
    pub timeframe: Timeframe,
    /// Opening time of the bar, RFC 3339 in UTC.
    #[serde(serialize_with = "Timestamp::serialize_rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub timestamp: Timestamp,
    /// First price of the bar.
    pub open: f64,
    /// Highest price of the bar.
    pub high: f64,
    /// Lowest price of the bar.
    pub low: f64,
    /// Last price of the bar.
    pub close: f64,
    /// Volume of the bar.
    pub volume: f64,
    /// Wilder's relative strength index, 0…100.
    pub rsi: Option<f64>,
    /// Fast EMA − slow EMA, in price.
    pub macd: Option<f64>,
    /// EMA of `macd`.
    pub macd_signal: Option<f64>,
    /// `macd` − `macd_signal`.
    pub macd_histogram: Option<f64>,
    /// Middle + k population standard deviations.
    pub bb_upper: Option<f64>,
    /// Mean of the closes.
    pub bb_middle: Option<f64>,
    /// Middle − k population standard deviations.
    pub bb_lower: Option<f64>,
    /// Upper − lower, in price.
    pub bb_width: Option<f64>,
    /// (close − lower) / width: 0 at the lower band, 1 at the upper; `null` when the width is 0.
    pub bb_position: Option<f64>,
    /// Short simple average of the closes.
    pub sma_short: Option<f64>,
    /// Long simple average of the closes.
    pub sma_long: Option<f64>,
    /// Short exponential average of the closes.
    pub ema_short: Option<f64>,
    /// Long exponential average of the closes.
    pub ema_long: Option<f64>,
    /// Average volume.
    pub volume_sma: Option<f64>,
    /// Volume / average volume; `null` when the average is 0.
    pub volume_ratio: Option<f64>,
    /// Two of three votes.
    pub trend_signal: Trend,
    /// RSI against its thresholds.
    pub momentum_signal: Momentum,
    /// 0…1: mean of data completeness and the share of indicators that have a value.
    pub confidence: f64,
    /// Events of this bar.
    pub alerts: AlertSet,
    /// Bars in the window.
    pub bars_analyzed: usize,
    /// Bars missing since the last signal.
    pub gap_bars: u64,
    /// True if the bar is complete.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Number of times the signal changed because bars were corrected.
    pub revision: u32,
    /// Sender of the bar, if it gave its name.
    #[schemars(with = "Option<String>")]
    pub source: Option<Arc<str>>,
    /// The completeness of a derived bar; other signals have none.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
    /// The further indicators, by key.
    pub indicators: Readings,
}

impl Signal {
    /// A signal to be filled in, with room for the configured indicators.
    pub(super) fn blank(config: &AnalysisConfig) -> Self {
        Self {
            symbol: Symbol::unnamed(),
            timeframe: Timeframe::MINUTE,
            timestamp: Timestamp::from_nanos(0),
            open: 0.0,
            high: 0.0,
            low: 0.0,
            close: 0.0,
            volume: 0.0,
            rsi: None,
            macd: None,
            macd_signal: None,
            macd_histogram: None,
            bb_upper: None,
            bb_middle: None,
            bb_lower: None,
            bb_width: None,
            bb_position: None,
            sma_short: None,
            sma_long: None,
            ema_short: None,
            ema_long: None,
            volume_sma: None,
            volume_ratio: None,
            trend_signal: Trend::Neutral,
            momentum_signal: Momentum::Neutral,
            confidence: 0.0,
            alerts: AlertSet::EMPTY,
            bars_analyzed: 0,
            gap_bars: 0,
            is_final: true,
            revision: 0,
            source: None,
            parts: None,
            indicators: Readings::new(Arc::from(config.indicators.as_slice())),
        }
    }

    /// True if the payloads of both differ at most in the revision.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        // no `..`: a new field has to be compared
        let Self {
            symbol,
            timeframe,
            timestamp,
            open,
            high,
            low,
            close,
            volume,
            rsi,
            macd,
            macd_signal,
            macd_histogram,
            bb_upper,
            bb_middle,
            bb_lower,
            bb_width,
            bb_position,
            sma_short,
            sma_long,
            ema_short,
            ema_long,
            volume_sma,
            volume_ratio,
            trend_signal,
            momentum_signal,
            confidence,
            alerts,
            bars_analyzed,
            gap_bars,
            is_final,
            revision: _,
            source,
            parts,
            indicators,
        } = self;
        let same_values = [
            (open, &other.open),
            (high, &other.high),
            (low, &other.low),
            (close, &other.close),
            (volume, &other.volume),
            (confidence, &other.confidence),
        ]
        .iter()
        .all(|(a, b)| a.to_bits() == b.to_bits());
        let bits = |value: &Option<f64>| value.map(f64::to_bits);
        let same_indicators = [
            (rsi, &other.rsi),
            (macd, &other.macd),
            (macd_signal, &other.macd_signal),
            (macd_histogram, &other.macd_histogram),
            (bb_upper, &other.bb_upper),
            (bb_middle, &other.bb_middle),
            (bb_lower, &other.bb_lower),
            (bb_width, &other.bb_width),
            (bb_position, &other.bb_position),
            (sma_short, &other.sma_short),
            (sma_long, &other.sma_long),
            (ema_short, &other.ema_short),
            (ema_long, &other.ema_long),
            (volume_sma, &other.volume_sma),
            (volume_ratio, &other.volume_ratio),
        ]
        .iter()
        .all(|(a, b)| bits(a) == bits(b));
        same_values
            && same_indicators
            && (symbol, timeframe, timestamp) == (&other.symbol, &other.timeframe, &other.timestamp)
            && (trend_signal, momentum_signal) == (&other.trend_signal, &other.momentum_signal)
            && (alerts, bars_analyzed, gap_bars)
                == (&other.alerts, &other.bars_analyzed, &other.gap_bars)
            && (is_final, source, parts) == (&other.is_final, &other.source, &other.parts)
            && indicators.say_the_same(&other.indicators)
    }

    /// The bar it is about.
    #[must_use]
    pub const fn bar(&self) -> Bar {
        Bar {
            timestamp: self.timestamp,
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.close,
            volume: self.volume,
        }
    }
}

/// The values of the further indicators. In JSON an object: a number for an indicator of one
/// output, an object for one of several, `null` for what has no value yet.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    pub(super) specs: Arc<[Spec]>,
    /// The outputs of every spec in turn, `NaN` for none.
    pub(super) values: Vec<f64>,
}

impl Readings {
    /// Room for the outputs of `specs`.
    #[must_use]
    pub fn new(specs: Arc<[Spec]>) -> Self {
        let width = specs.iter().map(|s| s.outputs().len()).sum();
        Self {
            specs,
            values: vec![f64::NAN; width],
        }
    }

    /// True if the indicators and their values are the same.
    fn say_the_same(&self, other: &Self) -> bool {
        let bits = |value: &f64| finite(*value).map(f64::to_bits);
        let (ours, theirs) = (self.values.iter().map(bits), other.values.iter().map(bits));
        self.specs == other.specs && ours.eq(theirs)
    }

    /// Each indicator with its outputs' values.
    pub fn iter(&self) -> impl Iterator<Item = (&Spec, &[f64])> {
        let mut rest = self.values.as_slice();
        self.specs.iter().map(move |spec| {
            let (values, more) = rest.split_at(spec.outputs().len());
            rest = more;
            (spec, values)
        })
    }
}

struct Outputs<'a>(&'a Spec, &'a [f64]);

impl Serialize for Outputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(spec, values) = self;
        if let [value] = values {
            return finite(*value).serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(values.len()))?;
        for (name, value) in spec.outputs().iter().zip(*values) {
            map.serialize_entry(name, &finite(*value))?;
        }
        map.end()
    }
}

impl Serialize for Readings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.specs.len()))?;
        for (spec, values) in self.iter() {
            map.serialize_entry(spec.key(), &Outputs(spec, values))?;
        }
        map.end()
    }
}

impl JsonSchema for Readings {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Indicators".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    { "type": ["number", "null"] },
                    { "type": "object", "additionalProperties": { "type": ["number", "null"] } },
                ],
            },
        })
    }
}

/// A value, unless there is none.
pub(super) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
