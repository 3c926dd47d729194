//! The content of a stream.

/// The content of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Bars,
    /// Bars that the stream of bars takes from it.
    Source,
    Signals,
    Members,
    Checkpoints,
}
