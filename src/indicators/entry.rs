//! An entry of the catalogue: an indicator's name, parameters, outputs and habits.

use std::fmt;

use super::registry::Instance;

/// Whose definition an indicator follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Convention {
    /// TA-Lib's C library.
    TaLib,
    /// TradingView's built-ins.
    TradingView,
    /// Neither has it; the definition is ours.
    Own,
}

impl fmt::Display for Convention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TaLib => "TA-Lib",
            Self::TradingView => "TradingView",
            Self::Own => "own",
        })
    }
}

/// Notation of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number of bars.
    Bars,
    /// A number.
    Real,
    /// A time of day in UTC, `HH:MM`; its value is the minute of the day.
    Time,
}

/// One parameter of an indicator.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// Its name, as in `vwap(session=13:30)`.
    pub name: &'static str,
    /// Its notation.
    pub kind: Kind,
    /// Its value when omitted.
    pub default: f64,
    /// The smallest value accepted.
    pub min: f64,
    /// The largest value accepted.
    pub max: f64,
}

/// The longest period of any indicator, in bars.
pub const LONGEST: f64 = 1000.0;

impl Param {
    /// A period of at least `min` bars.
    #[must_use]
    pub const fn bars(name: &'static str, default: u16, min: u16) -> Self {
        Self {
            name,
            kind: Kind::Bars,
            default: default as f64,
            min: min as f64,
            max: LONGEST,
        }
    }

    /// The parameter `period`, of at least `min` bars.
    #[must_use]
    pub const fn period(default: u16, min: u16) -> Self {
        Self::bars("period", default, min)
    }

    /// A number from `min` to `max`.
    #[must_use]
    pub const fn real(name: &'static str, default: f64, min: f64, max: f64) -> Self {
        Self {
            name,
            kind: Kind::Real,
            default,
            min,
            max,
        }
    }

    /// A time of day in UTC, midnight when omitted.
    #[must_use]
    pub const fn time(name: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Time,
            default: 0.0,
            min: 0.0,
            max: 1439.0,
        }
    }

    /// A value as it is written.
    #[must_use]
    pub fn text(&self, value: f64) -> String {
        match self.kind {
            Kind::Bars | Kind::Real => value.to_string(),
            Kind::Time => format!("{:02}:{:02}", (value / 60.0).floor(), value % 60.0),
        }
    }

    /// A value in JSON: a number, or a time of day as text.
    pub(super) fn json(&self, value: f64) -> serde_json::Value {
        match self.kind {
            Kind::Bars => Parameters(&[value]).bars(0).into(),
            Kind::Real => value.into(),
            Kind::Time => self.text(value).into(),
        }
    }

    /// Reads a value.
    ///
    /// # Errors
    /// If it is not of this kind or is out of range; the text gives the accepted values.
    pub fn read(&self, text: &str) -> Result<f64, String> {
        let value = match self.kind {
            Kind::Bars => text.parse::<u32>().ok().map(f64::from),
            Kind::Real => text.parse::<f64>().ok(),
            Kind::Time => text.split_once(':').and_then(|(hour, minute)| {
                let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
                (hour < 24 && minute < 60).then(|| f64::from(hour * 60 + minute))
            }),
        };
        value
            .filter(|v| (self.min..=self.max).contains(v))
            .ok_or_else(|| format!("{} `{text}` is not {}", self.name, self.range()))
    }

    /// The accepted values, in words.
    #[must_use]
    pub fn range(&self) -> String {
        let span = format!("{} to {}", self.text(self.min), self.text(self.max));
        match self.kind {
            Kind::Bars => format!("a whole number from {span}"),
            Kind::Real => format!("a number from {span}"),
            Kind::Time => format!("a time of day in UTC from {span}"),
        }
    }
}

/// The values of an indicator's parameters, in their order.
#[derive(Debug, Clone, Copy)]
pub struct Parameters<'a>(pub &'a [f64]);

impl Parameters<'_> {
    /// The parameter at `index` as a number of bars.
    #[must_use]
    pub fn bars(self, index: usize) -> usize {
        // read as a `u32` and bounded by the parameter's range
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        {
            self.0[index] as usize
        }
    }

    /// The parameter at `index` as a number.
    #[must_use]
    pub fn real(self, index: usize) -> f64 {
        self.0[index]
    }
}

/// The outputs of an indicator of a single value.
pub const VALUE: &[&str] = &["value"];

/// Number of earlier bars that a value depends on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Memory {
    /// The look-back, and nothing before.
    Window,
    /// Recursive: older bars no longer change the value by more than 1e-6.
    Fading(fn(Parameters<'_>) -> usize),
    /// Cumulative: every bar counts for ever.
    Endless,
}

/// One indicator of the catalogue.
#[derive(Debug)]
pub struct Entry {
    /// Name in a configuration, such as `atr` or `sar@tv`.
    pub name: &'static str,
    /// Its parameters.
    pub params: &'static [Param],
    /// The names of its outputs; `value` for a single one.
    pub outputs: &'static [&'static str],
    /// Whose definition it follows.
    pub convention: Convention,
    /// The function it equals there, or the book.
    pub source: &'static str,
    first: fn(Parameters<'_>) -> usize,
    reads: fn(Parameters<'_>) -> usize,
    memory: Memory,
    pub(super) check: fn(Parameters<'_>) -> Result<(), &'static str>,
    pub(super) build: fn(Parameters<'_>) -> Instance,
}

impl Entry {
    /// An indicator whose first value is at bar `first` (counted from 0) and depends on
    /// nothing before its window, which is `first + 1` bars.
    #[must_use]
    pub const fn new(
        name: &'static str,
        (convention, source): (Convention, &'static str),
        params: &'static [Param],
        outputs: &'static [&'static str],
        first: fn(Parameters<'_>) -> usize,
        build: fn(Parameters<'_>) -> Instance,
    ) -> Self {
        Self {
            name,
            params,
            outputs,
            convention,
            source,
            first,
            reads: |_| 2,
            memory: Memory::Window,
            check: |_| Ok(()),
            build,
        }
    }

    /// Recursive: it agrees with an infinitely long history to 1e-6 after `bars`.
    #[must_use]
    pub const fn fading(mut self, bars: fn(Parameters<'_>) -> usize) -> Self {
        self.memory = Memory::Fading(bars);
        self
    }

    /// Cumulative from its first bar.
    #[must_use]
    pub const fn endless(mut self) -> Self {
        self.memory = Memory::Endless;
        self
    }

    /// It reads `bars` of the window, more than it needs for its first value.
    #[must_use]
    pub const fn reading(mut self, bars: fn(Parameters<'_>) -> usize) -> Self {
        self.reads = bars;
        self
    }

    /// Parameters must also pass `check`, which says what is wrong.
    #[must_use]
    pub const fn checked(mut self, check: fn(Parameters<'_>) -> Result<(), &'static str>) -> Self {
        self.check = check;
        self
    }

    /// The values that omitted parameters have.
    #[must_use]
    pub fn defaults(&self) -> Vec<f64> {
        self.params.iter().map(|p| p.default).collect()
    }

    /// The first bar with a value, counted from 0.
    #[must_use]
    pub fn warmup(&self, values: &[f64]) -> usize {
        (self.first)(Parameters(values))
    }

    /// Bars that the window must hold.
    #[must_use]
    pub fn look_back(&self, values: &[f64]) -> usize {
        (self.warmup(values) + 1).max((self.reads)(Parameters(values)))
    }

    /// Bars until a value agrees with an infinitely long history to 1e-6; never for a
    /// cumulative one.
    #[must_use]
    pub fn converges(&self, values: &[f64]) -> Option<usize> {
        match self.memory {
            Memory::Window => Some(self.look_back(values)),
            Memory::Fading(bars) => Some(bars(Parameters(values)).max(self.look_back(values))),
            Memory::Endless => None,
        }
    }
}

/// For two periods of which the first must be shorter.
pub(super) fn fast_before_slow(p: Parameters<'_>) -> Result<(), &'static str> {
    if p.real(0) < p.real(1) {
        Ok(())
    } else {
        Err("fast must be below slow")
    }
}
