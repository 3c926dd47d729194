//! The parts of a series that formats write beside it, and the check of a series that was read.

use super::{Corrections, Derived, Revised, Series};
use crate::aggregate::TradePlan;
use crate::engine::analysis::MOST;
use crate::engine::config::AnalysisConfig;
use crate::market::Timeframe;

impl Series {
    /// True if a deserialized series can be worked with: its bars and its counts are possible,
    /// and both of its states have the parameters of `config`.
    pub(in crate::engine) fn is_sound(&self, config: &AnalysisConfig) -> bool {
        let newest = self.ring.newest().map(|bar| bar.timestamp);
        let oldest = self.correctable_since(config);
        self.ring.window() == config.window
            && self.ring.is_sound()
            && self.ring.is_in_order()
            && self.ring.kept() as u64 == self.bars.min(self.ring.room() as u64)
            && (self.last_open().is_some() || self.epoch != 0 || self.trades.is_some())
            && self.bars <= MOST
            && self.missing <= MOST
            && self.revision < u32::MAX
            && self.before.is_sound(config)
            && self.after.is_sound(config)
            && self
                .corrections
                .is_sound(self.correctable(config), newest, self.revision)
            && self
                .derived
                .is_sound(config, self.key.timeframe, newest, oldest)
            && self.are_trades_sound(config)
    }

    /// Takes out the facts for corrections, if they do not follow from the rest of the series.
    pub(in crate::engine) fn take_corrections(&mut self) -> Option<Corrections> {
        let newest = self.ring.newest().map(|bar| bar.timestamp);
        let corrections = std::mem::take(&mut self.corrections);
        (!corrections.is_trivial(newest)).then_some(corrections)
    }

    /// Moves the horizons of derived bars to the facts that are written.
    pub(in crate::engine) fn put_horizons_aside(&mut self) {
        if let Some(gathered) = &mut self.derived.gathered {
            self.corrections.put_horizons(gathered.take_horizons());
        }
    }

    /// Puts back the facts for corrections: those that were written, and those that follow from the
    /// rest of the series.
    pub(in crate::engine) fn complete_corrections(&mut self, config: &AnalysisConfig) {
        let horizons = self.corrections.take_horizons();
        if let Some(gathered) = &mut self.derived.gathered {
            if config.correctable() == 1 {
                gathered.put_newest_horizons();
            } else if let Some(horizons) = horizons {
                gathered.put_horizons(horizons);
            }
        }
        if let Some((at, revision)) = self.position()
            && self.corrections == Corrections::default()
        {
            self.corrections.set(Revised::new(at, revision));
        }
    }

    pub(in crate::engine) fn take_derived(&mut self) -> Option<Derived> {
        let derived = std::mem::take(&mut self.derived);
        (!derived.is_none()).then_some(derived)
    }

    pub(in crate::engine) fn set_derived(&mut self, derived: Derived) {
        self.derived = derived;
    }

    fn are_trades_sound(&self, config: &AnalysisConfig) -> bool {
        let Some(trades) = &self.trades else {
            return true;
        };
        let zone = config.derived.calendar().zone();
        let is_sound =
            |plan: &TradePlan| plan.timeframe == self.key.timeframe && trades.is_sound(plan, zone);
        config.trades.as_ref().is_some_and(is_sound)
    }

    /// Drops the buckets of timeframes for which `wanted` is false.
    pub(in crate::engine) fn keep_buckets(&mut self, wanted: impl Fn(Timeframe) -> bool) {
        if let Some(gathered) = &mut self.derived.gathered {
            gathered.retain(wanted);
            if gathered.is_empty() {
                self.derived.gathered = None;
            }
        }
    }
}
