//! The version and build of this binary.

/// The crate's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit, as `git describe` names it, or `unknown`.
pub const GIT: &str = env!("BUILD_GIT");
/// The compiler.
pub const RUSTC: &str = env!("BUILD_RUSTC");
/// All three, for people.
pub const FULL: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (git ",
    env!("BUILD_GIT"),
    ", ",
    env!("BUILD_RUSTC"),
    ")"
);
