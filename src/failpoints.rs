//! Faults on purpose, for the tests that prove what the agent does about them.
//!
//! Some take away what durable delivery's promise rests on: without it the same schedule must lose
//! or double signals, or else the tests that find none prove nothing. The others are bars on which
//! the engine or the worker panics or stands still, of which none is known.
//!
//! Only a build with the cargo feature `failpoints` has them, and there only the environment
//! variable `TA_FAILPOINT` sets one. In any other build these functions are empty and nothing of
//! them is in the binary (`scripts/check-failpoints.sh`). The package depends on itself with the
//! feature for its tests, so `cargo test` builds the agent with it.

#[cfg(feature = "failpoints")]
mod active;
#[cfg(feature = "failpoints")]
pub(crate) use active::{
    after_bar, announce, ignores_time_marks, in_worker, keeps_corrections_down, skips_fence,
    skips_marker,
};

#[cfg(not(feature = "failpoints"))]
mod inactive {
    pub(crate) const fn announce() {}

    pub(crate) const fn skips_fence() -> bool {
        false
    }

    pub(crate) const fn skips_marker() -> bool {
        false
    }

    pub(crate) const fn ignores_time_marks() -> bool {
        false
    }

    pub(crate) const fn keeps_corrections_down() -> bool {
        false
    }

    pub(crate) const fn after_bar(_close: f64) {}

    pub(crate) const fn in_worker() {}
}
#[cfg(not(feature = "failpoints"))]
pub(crate) use inactive::{
    after_bar, announce, ignores_time_marks, in_worker, keeps_corrections_down, skips_fence,
    skips_marker,
};
