//! The server's answer to a batch: the place of its last message, or a refusal by its error code.

use async_nats::jetstream::{Error, ErrorCode};
use serde::Deserialize;

/// The reasons for which a server refuses a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::bus::durable) enum Refusal {
    /// Another marker stands on the subject than the one to be replaced.
    #[error("the marker of the partition has changed")]
    Fenced,
    /// A limit of the stream, the account or the server leaves no room.
    #[error("{0}")]
    NoRoom(String),
    /// A message is larger than the stream takes.
    #[error("{0}")]
    TooLarge(String),
    /// The stream has a message of the same id in its window.
    #[error("{0}")]
    Duplicate(String),
    /// The server did not receive or take every message of the batch.
    #[error("{0}")]
    Incomplete(String),
    #[error("{0}")]
    Other(String),
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let reason = error.to_string();
        match error.error_code() {
            ErrorCode::STREAM_WRONG_LAST_SEQUENCE
            | ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT => Self::Fenced,
            ErrorCode::STREAM_STORE_FAILED
            | ErrorCode::INSUFFICIENT_RESOURCES
            | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
            | ErrorCode::STORAGE_RESOURCES_EXCEEDED
            | ErrorCode::MEMORY_RESOURCES_EXCEEDED => Self::NoRoom(reason),
            ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM
            | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => Self::TooLarge(reason),
            ErrorCode::ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE
            | ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT => Self::Duplicate(reason),
            ErrorCode::ATOMIC_PUBLISH_INCOMPLETE_BATCH => Self::Incomplete(reason),
            _ => Self::Other(reason),
        }
    }
}

/// The answer to the last message of a batch.
#[derive(Deserialize)]
pub(super) struct Ack {
    #[serde(default)]
    seq: u64,
    error: Option<Error>,
}

impl Ack {
    /// The sequence of the last message of a batch of `messages`, if the answer names one that it
    /// can have.
    pub fn last(&self, messages: u64) -> Result<Option<u64>, Refusal> {
        match &self.error {
            Some(error) => Err(Refusal::from(error)),
            // a batch is stored without a gap
            None => Ok((self.seq >= messages).then_some(self.seq)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u32, description: &str) -> Result<Option<u64>, Refusal> {
        let json = serde_json::json!({
            "stream": "S", "seq": 0,
            "error": { "code": 400, "err_code": code, "description": description },
        });
        let ack: Ack = serde_json::from_value(json).unwrap();
        ack.last(3)
    }

    #[test]
    fn a_refusal_is_known_by_its_code_and_keeps_the_words_of_the_server() {
        // codes and words of nats-server 2.15
        for code in [10071, 10164] {
            let refusal = answer(code, "wrong last sequence: 7").unwrap_err();
            assert_eq!(refusal, Refusal::Fenced);
        }
        for code in [10077, 10023, 10002, 10047, 10028] {
            let refusal = answer(code, "maximum bytes exceeded").unwrap_err();
            assert!(matches!(refusal, Refusal::NoRoom(_)), "{code}");
            assert!(refusal.to_string().contains("maximum bytes exceeded"));
        }
        let kinds = [
            (10054, Refusal::TooLarge as fn(String) -> Refusal),
            (10201, Refusal::Duplicate),
            (10176, Refusal::Incomplete),
            (10199, Refusal::Other),
        ];
        for (code, kind) in kinds {
            let refusal = answer(code, "no").unwrap_err();
            assert_eq!(refusal, kind(refusal.to_string()), "{code}");
        }
    }

    #[test]
    fn an_answer_without_an_error_names_the_last_message_of_the_batch() {
        let ack = |seq: u64| {
            let json = format!(r#"{{"stream":"S","seq":{seq},"batch":"b","count":3}}"#);
            serde_json::from_str::<Ack>(&json).unwrap()
        };
        assert_eq!(ack(41).last(3), Ok(Some(41)));
        assert_eq!(ack(3).last(3), Ok(Some(3)));
        // three messages cannot end at the second
        assert_eq!(ack(2).last(3), Ok(None));
        let empty: Ack = serde_json::from_str("{}").unwrap();
        assert_eq!(empty.last(1), Ok(None));
    }
}
