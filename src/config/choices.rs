//! Settings that are one of a few words.

/// The way in which bars come in and signals go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Durable where the server can, else core.
    Auto,
    /// Plain NATS.
    Core,
    /// JetStream.
    Durable,
}

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// JSON where no terminal is looking.
    Auto,
    /// One JSON object per line.
    Json,
    /// For people.
    Pretty,
}

/// The storage of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// On disk.
    File,
    /// In memory.
    Memory,
}
