//! Indicators: one per file, TA-Lib's conventions unless a variant says otherwise.
//!
//! An indicator is [`ta::Next`] over [`Bars`]: it is shown the window that ends in the
//! newest bar and answers with its value at that bar, or `None` while TA-Lib has none yet.
//! *Windowed* indicators compute from the slice and keep no state; *recursive* ones carry a
//! few numbers. State serializes exactly, and `clone_from` does not allocate.
//!
//! Must not know: NATS, time, threads, the engine.

mod bars;
mod bollinger;
mod ema;
mod macd;
mod registry;
mod rsi;
mod sma;

pub use bars::{Bars, last};
pub use bollinger::Bollinger;
pub use ema::Ema;
pub use macd::Macd;
pub use registry::{Instance, Spec, parse};
pub use rsi::Rsi;
pub use sma::{Sma, mean};

/// The values of an indicator at one bar: `Option<f64>` for one, `[Option<f64>; N]` for several.
pub trait Values: Copy {
    /// Writes the values in the order of the indicator's outputs; `NaN` stands for none.
    fn write(self, out: &mut [f64]);
}

impl Values for Option<f64> {
    fn write(self, out: &mut [f64]) {
        out[0] = self.unwrap_or(f64::NAN);
    }
}

impl<const N: usize> Values for [Option<f64>; N] {
    fn write(self, out: &mut [f64]) {
        for (slot, value) in out.iter_mut().zip(self) {
            *slot = value.unwrap_or(f64::NAN);
        }
    }
}
