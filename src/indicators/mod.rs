//! Indicators: one per file, TA-Lib's conventions unless a variant says otherwise.
//!
//! An indicator is [`ta::Next`] over [`Bars`]: it is shown the window that ends in the
//! newest bar and answers with its value at that bar, or `None` while TA-Lib has none yet.
//! *Windowed* indicators compute from the slice and keep no state; *recursive* ones carry a
//! few numbers. State serializes exactly, and `clone_from` does not allocate.
//!
//! [`registry`](Instance) names them all, one line each; `docs/indicators.md` says how to add
//! one.
//!
//! Must not know: NATS, time, threads, the engine.

/// `Clone` of a struct whose `clone_from` copies every field in place.
macro_rules! clone_in_place {
    ($name:ident { $($field:ident),+ $(,)? }) => {
        impl Clone for $name {
            fn clone(&self) -> Self {
                Self { $($field: self.$field.clone()),+ }
            }

            #[inline]
            fn clone_from(&mut self, source: &Self) {
                $(self.$field.clone_from(&source.$field);)+
            }
        }
    };
}

/// An indicator of one period that keeps no state: its struct, constructor and traits.
macro_rules! windowed {
    ($(#[$doc:meta])* $name:ident: |$bars:ident, $period:ident| $value:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            period: usize,
        }

        impl $name {
            /// Over `period` bars.
            #[must_use]
            pub const fn new(period: usize) -> Self {
                Self { period }
            }
        }

        impl ta::Next<$crate::indicators::Bars<'_>> for $name {
            type Output = Option<f64>;

            #[inline]
            fn next(&mut self, $bars: $crate::indicators::Bars<'_>) -> Self::Output {
                let $period = self.period;
                $value
            }
        }

        impl ta::Reset for $name {
            fn reset(&mut self) {}
        }
    };
}

/// An indicator without parameters or state: its struct and traits.
macro_rules! stateless {
    ($(#[$doc:meta])* $name:ident: |$bars:ident| $value:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
        pub struct $name;

        impl ta::Next<$crate::indicators::Bars<'_>> for $name {
            type Output = Option<f64>;

            #[inline]
            fn next(&mut self, $bars: $crate::indicators::Bars<'_>) -> Self::Output {
                $value
            }
        }

        impl ta::Reset for $name {
            fn reset(&mut self) {}
        }
    };
}

mod ad;
mod adosc;
mod adx;
mod adxr;
mod apo;
mod aroon;
mod atr;
mod bars;
mod bollinger;
mod bop;
mod candles;
mod cci;
mod cmf;
mod cmo;
mod dema;
mod deviation;
mod directional;
mod directional_movement;
mod donchian;
mod dx;
mod ema;
mod entry;
mod extremes;
mod hma;
mod ichimoku;
mod imi;
mod kama;
mod keltner;
mod linreg;
mod linreg_slope;
mod macd;
mod macdfix;
mod mfi;
mod midrange;
mod minus_di;
mod mom;
mod names;
mod natr;
mod obv;
mod plus_di;
mod ppo;
mod price;
mod rate;
mod recent;
mod registry;
mod regression;
mod rma;
mod roc;
mod rsi;
mod sar;
mod slices;
mod sma;
mod smoothing;
mod spec;
mod stddev;
mod stoch;
mod stoch_rsi;
mod supertrend;
mod t3;
mod table;
mod tema;
mod trima;
mod trix;
mod true_range;
mod ultimate;
mod variance;
mod volume_ratio;
mod volume_sma;
mod vortex;
mod vwap;
mod vwma;
mod willr;
mod wma;

pub use adx::Adx;
pub use atr::Atr;
pub use bars::{Bars, last};
pub use bollinger::Bollinger;
pub use ema::Ema;
pub use entry::{Convention, Entry, Kind, Param};
pub use macd::Macd;
pub use minus_di::MinusDi;
pub use plus_di::PlusDi;
pub use registry::Instance;
pub use rsi::Rsi;
pub use slices::mean;
pub use sma::Sma;
pub use spec::{InvalidIndicator, Spec, parse};
pub use table::{catalogue, catalogue_json, catalogue_table};

/// The values of an indicator at one bar: `Option<f64>` for one, `[Option<f64>; N]` for several.
pub trait Values: Copy {
    /// Writes the values in the order of the indicator's outputs; `NaN` stands for none.
    fn write(self, out: &mut [f64]);
}

impl Values for Option<f64> {
    #[inline]
    fn write(self, out: &mut [f64]) {
        out[0] = self.unwrap_or(f64::NAN);
    }
}

impl<const N: usize> Values for [Option<f64>; N] {
    #[inline]
    fn write(self, out: &mut [f64]) {
        for (slot, value) in out.iter_mut().zip(self) {
            *slot = value.unwrap_or(f64::NAN);
        }
    }
}
