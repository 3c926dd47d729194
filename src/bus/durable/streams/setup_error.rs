//! The reasons why durable delivery cannot begin, and the server's refusals among them.

use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, RequestError, RequestErrorKind,
};
use async_nats::jetstream::stream::Config as StreamConfig;
use async_nats::jetstream::{Error, ErrorCode};

/// The reason why durable delivery cannot begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// No `JetStream`, for this server or account.
    #[error("JetStream is not enabled for this server or account: {0}")]
    NoJetStream(String),
    /// The account may not use the `JetStream` that the server has.
    #[error("JetStream is not enabled for this account: {0}")]
    NotForAccount(String),
    /// The server lacks atomic batches.
    #[error("nats-server {0} is too old: atomic batches need 2.12 or newer")]
    TooOld(String),
    /// The user may not do what it takes.
    #[error("the NATS user lacks a permission: {0}")]
    Denied(String),
    /// Something that is there stands in the way.
    #[error("{0}")]
    Conflict(String),
    /// Another member of the group works in a way that does not go with this one's.
    #[error("{0}")]
    Beside(String),
    /// A limit of the server or of the account.
    #[error("{0}")]
    Limit(String),
    /// It may go better next time.
    #[error("{0}")]
    Unavailable(String),
}

impl SetupError {
    /// True if this server or account has no durable delivery to offer at all. Anything else is
    /// for somebody to put right, or passes by itself.
    #[must_use]
    pub const fn is_unsupported(&self) -> bool {
        matches!(
            self,
            Self::NoJetStream(_) | Self::NotForAccount(_) | Self::TooOld(_)
        )
    }

    /// Returns whether it may pass by itself.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Returns whether the stream was refused because another one has its subjects.
pub(super) fn overlaps(error: &CreateStreamError) -> bool {
    let CreateStreamErrorKind::JetStream(error) = error.kind() else {
        return false;
    };
    error.error_code() == ErrorCode::STREAM_SUBJECT_OVERLAP
}

/// The reason why the stream `config` could not be made.
pub(super) fn not_made(config: &StreamConfig, error: &CreateStreamError) -> SetupError {
    let name = &config.name;
    if let CreateStreamErrorKind::JetStream(error) = error.kind() {
        return match refused(&error) {
            SetupError::Unavailable(reason) => {
                let reason = format!("cannot make the stream {name}: {reason}");
                match limit(error.error_code()) {
                    Some(hint) => SetupError::Limit(format!("{reason}; {hint}")),
                    None => SetupError::Unavailable(reason),
                }
            }
            other => other,
        };
    }
    SetupError::Unavailable(format!("cannot make the stream {name}: {error}"))
}

/// Advice about a limit that a new stream would exceed.
fn limit(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::MAXIMUM_STREAMS_LIMIT => {
            "raise max_streams of the account: durable delivery takes up to six streams"
        }
        ErrorCode::STORAGE_RESOURCES_EXCEEDED => {
            "raise max_file_store of the server or max_file of the account, or lower \
             TECHNICAL_BARS_MAX_BYTES and TECHNICAL_SIGNALS_MAX_BYTES"
        }
        ErrorCode::MEMORY_RESOURCES_EXCEEDED => {
            "raise max_memory_store of the server or max_mem of the account, or lower \
             TECHNICAL_BARS_MAX_BYTES and TECHNICAL_SIGNALS_MAX_BYTES"
        }
        ErrorCode::ACCOUNT_RESOURCES_EXCEEDED => {
            "raise max_file, max_mem and max_streams of the account"
        }
        ErrorCode::STREAM_MAX_STREAM_BYTES_EXCEEDED => {
            "raise disk_max_stream_bytes (mem_max_stream_bytes) of the account, or lower \
             TECHNICAL_BARS_MAX_BYTES and TECHNICAL_SIGNALS_MAX_BYTES"
        }
        ErrorCode::STREAM_MAX_BYTES_REQUIRED => {
            "unset max_bytes_required of the account: some of the streams have no bound"
        }
        _ => return None,
    })
}

/// The error for a request that the server refused.
pub(super) fn refused(error: &Error) -> SetupError {
    match error.error_code() {
        ErrorCode::JETSTREAM_NOT_ENABLED => SetupError::NoJetStream(error.to_string()),
        ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
            SetupError::NotForAccount(error.to_string())
        }
        _ => SetupError::Unavailable(error.to_string()),
    }
}

/// The error for a request without an answer.
pub(super) fn unanswered(error: &RequestError) -> SetupError {
    match error.kind() {
        RequestErrorKind::NoResponders => SetupError::NoJetStream(
            "nobody answers JetStream requests; on a leaf node set NATS_JETSTREAM_DOMAIN to the \
                 domain of the servers that have it"
                .to_owned(),
        ),
        _ => SetupError::Unavailable(format!("JetStream does not answer: {error}")),
    }
}
