//! The events of a bar, and the rules that raise them.
//!
//! Every alert is an *edge*: its condition holds at this bar and did not hold at the bar
//! before. Where the bar before has no value, there is no edge.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};

/// One kind of event. Thresholds are inclusive unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Alert {
    /// RSI rose to the overbought threshold or above.
    RsiOverbought,
    /// RSI fell to the oversold threshold or below.
    RsiOversold,
    /// RSI rose to 75 or above.
    RsiExtremeOverbought,
    /// RSI fell to 25 or below.
    RsiExtremeOversold,
    /// RSI came back between the thresholds from either side.
    RsiRecovered,
    /// The MACD line rose above its signal.
    MacdBullishCross,
    /// The MACD line fell below its signal.
    MacdBearishCross,
    /// The short SMA rose above the long one.
    GoldenCross,
    /// The short SMA fell below the long one.
    DeathCross,
    /// The short EMA rose above the long one.
    EmaBullishCross,
    /// The short EMA fell below the long one.
    EmaBearishCross,
    /// The close rose above the upper Bollinger band.
    BbBreakoutUp,
    /// The close fell below the lower Bollinger band.
    BbBreakoutDown,
    /// The volume rose above twice its average.
    VolumeSpike,
    /// The trend became bullish.
    TrendTurnedBullish,
    /// The trend became bearish.
    TrendTurnedBearish,
}

impl Alert {
    /// Every alert, in the order they appear in a signal.
    pub const ALL: [Self; 16] = [
        Self::RsiOverbought,
        Self::RsiOversold,
        Self::RsiExtremeOverbought,
        Self::RsiExtremeOversold,
        Self::RsiRecovered,
        Self::MacdBullishCross,
        Self::MacdBearishCross,
        Self::GoldenCross,
        Self::DeathCross,
        Self::EmaBullishCross,
        Self::EmaBearishCross,
        Self::BbBreakoutUp,
        Self::BbBreakoutDown,
        Self::VolumeSpike,
        Self::TrendTurnedBullish,
        Self::TrendTurnedBearish,
    ];

    /// Its name in signals and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsiOverbought => "rsi_overbought",
            Self::RsiOversold => "rsi_oversold",
            Self::RsiExtremeOverbought => "rsi_extreme_overbought",
            Self::RsiExtremeOversold => "rsi_extreme_oversold",
            Self::RsiRecovered => "rsi_recovered",
            Self::MacdBullishCross => "macd_bullish_cross",
            Self::MacdBearishCross => "macd_bearish_cross",
            Self::GoldenCross => "golden_cross",
            Self::DeathCross => "death_cross",
            Self::EmaBullishCross => "ema_bullish_cross",
            Self::EmaBearishCross => "ema_bearish_cross",
            Self::BbBreakoutUp => "bb_breakout_up",
            Self::BbBreakoutDown => "bb_breakout_down",
            Self::VolumeSpike => "volume_spike",
            Self::TrendTurnedBullish => "trend_turned_bullish",
            Self::TrendTurnedBearish => "trend_turned_bearish",
        }
    }
}

/// A set of alerts, in the order of [`Alert::ALL`]. In JSON an array of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AlertSet(u16);

impl AlertSet {
    /// No alert.
    pub const EMPTY: Self = Self(0);

    /// Adds `alert` when `raised`.
    pub const fn add(&mut self, alert: Alert, raised: bool) {
        if raised {
            self.0 |= 1 << alert as u8;
        }
    }

    /// Returns true if it holds `alert`.
    #[must_use]
    pub const fn contains(self, alert: Alert) -> bool {
        self.0 & (1 << alert as u8) != 0
    }

    /// Returns true if it holds no alert.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The alerts in it.
    pub fn iter(self) -> impl Iterator<Item = Alert> {
        Alert::ALL.into_iter().filter(move |a| self.contains(*a))
    }
}

impl Serialize for AlertSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.count_ones() as usize))?;
        for alert in self.iter() {
            seq.serialize_element(alert.name())?;
        }
        seq.end()
    }
}

impl<'de> Deserialize<'de> for AlertSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let mut set = Self::EMPTY;
        for name in names {
            let alert = Alert::ALL
                .into_iter()
                .find(|a| a.name() == name)
                .ok_or_else(|| serde::de::Error::custom(format!("unknown alert `{name}`")))?;
            set.add(alert, true);
        }
        Ok(set)
    }
}

impl JsonSchema for AlertSet {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Alerts".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "array",
            "uniqueItems": true,
            "items": { "type": "string", "enum": Alert::ALL.map(Alert::name) },
        })
    }
}
