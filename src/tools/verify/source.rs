//! Requests to JetStream, none of which changes anything, and what a missing answer means.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::RequestErrorKind;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Info, LastRawMessageErrorKind, RawMessageErrorKind};
use async_nats::jetstream::{Context, ErrorCode};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::json;

use crate::bus::Link;
use crate::bus::durable::Committed;
use crate::config::Config;
use crate::tools::reader::{Reader, Scope};
use crate::wire::headers::REASON;

/// For the server to answer a request.
const ANSWER: Duration = Duration::from_secs(10);
/// A consumer that is left behind by a process that was killed goes after this.
const INACTIVE: Duration = Duration::from_secs(30);
/// Deleted messages that a stream may have for each to be looked at.
pub const MAX_DELETED: u64 = 2_000_000;

/// The reason why nothing can be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The streams are not there, or cannot be read.
    #[error("{0}")]
    Unavailable(String),
}

/// A message as it is stored.
#[derive(Debug, Clone)]
pub struct Message {
    /// The subject it was published on.
    pub subject: String,
    /// The published outputs.
    pub payload: Bytes,
    /// Of a dead letter: why its message was refused.
    pub reason: Option<String>,
}

/// JetStream, to be read from.
pub struct Source {
    js: Context,
    link: Arc<Link>,
}

impl Source {
    /// Over the connection of `js`, which `link` watches.
    #[must_use]
    pub fn new(mut js: Context, link: &Arc<Link>) -> Self {
        js.set_timeout(ANSWER);
        Self {
            js,
            link: Arc::clone(link),
        }
    }

    /// The configuration and state of a stream, with its deleted messages where there are at most
    /// [`MAX_DELETED`]; nothing when there is no such stream.
    pub async fn info(&self, name: &str) -> Result<Option<Info>, VerifyError> {
        let Some(info) = self.ask_info(name, false).await? else {
            return Ok(None);
        };
        match info.state.deleted_count {
            Some(1..=MAX_DELETED) => self.ask_info(name, true).await,
            _ => Ok(Some(info)),
        }
    }

    async fn ask_info(&self, name: &str, deleted: bool) -> Result<Option<Info>, VerifyError> {
        let request = json!({ "deleted_details": deleted });
        let subject = format!("STREAM.INFO.{name}");
        let answer = self.js.request(subject, &request).await;
        let answer: Response<Info> = answer.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => no_jetstream("nobody answers JetStream requests"),
            _ => self.unanswered(&format!("the stream {name} cannot be looked at: {error}")),
        })?;
        match answer {
            Response::Ok(info) => Ok(Some(info)),
            Response::Err { error } => match error.error_code() {
                ErrorCode::STREAM_NOT_FOUND => Ok(None),
                ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
                    Err(no_jetstream(&error.to_string()))
                }
                _ => Err(VerifyError::Unavailable(format!(
                    "the stream {name} cannot be looked at: {error}"
                ))),
            },
        }
    }

    /// The progress of the group in partition `number`; `None` before its first commit.
    pub async fn committed(
        &self,
        config: &Config,
        number: u32,
    ) -> Result<Option<Committed>, VerifyError> {
        let name = &config.durable.signals_stream;
        let subject = Committed::subject(config, number);
        let stream = self.js.get_stream_no_info(name).await;
        let stream = stream.map_err(|error| self.unanswered(&error))?;
        match stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => Ok(Committed::read(&message.payload).map_or_else(
                |error| {
                    // whoever may publish there can leave anything; what is stored tells as well
                    tracing::warn!(subject, %error, "a commit marker cannot be read, and is passed over");
                    None
                },
                Some,
            )),
            Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => {
                Ok(None)
            }
            Err(error) => Err(self.unanswered(&format!(
                "the commit marker on {subject} cannot be read: {error}"
            ))),
        }
    }

    /// The number of groups that commit to the stream of signals.
    pub async fn groups(&self, config: &Config) -> Result<usize, VerifyError> {
        let name = &config.durable.signals_stream;
        let stream = self.js.get_stream_no_info(name).await;
        let stream = stream.map_err(|error| self.unanswered(&error))?;
        let subjects = stream.info_with_subjects(Committed::subjects(config)).await;
        let mut subjects = subjects.map_err(|error| self.unanswered(&error))?;
        let mut groups = BTreeSet::from([Committed::own_group(config)]);
        while let Some(subject) = subjects.next().await {
            let (subject, _) = subject.map_err(|error| self.unanswered(&error))?;
            groups.extend(Committed::group(&subject).map(str::to_owned));
        }
        Ok(groups.len())
    }

    /// One message; nothing when it is not there any more.
    pub async fn message(&self, stream: &str, seq: u64) -> Result<Option<Message>, VerifyError> {
        let found = self.js.get_stream_no_info(stream).await;
        let found = found.map_err(|error| self.unanswered(&error))?;
        match found.get_raw_message(seq).await {
            Ok(message) => Ok(Some(Message {
                reason: message
                    .headers
                    .get(REASON)
                    .map(|value| value.as_str().to_owned()),
                subject: message.subject.to_string(),
                payload: message.payload,
            })),
            Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => Ok(None),
            Err(error) => Err(self.unanswered(&format!(
                "message {seq} of {stream} cannot be read: {error}"
            ))),
        }
    }

    /// Reads what `subject` has in the stream `info`, which is all of it when it is empty.
    #[must_use]
    pub fn read(&self, info: &Info, subject: &str) -> Reader {
        let scope = Scope {
            stream: info.config.name.clone(),
            subject: subject.to_owned(),
            since: None,
            last: info.state.last_sequence,
            headers_only: false,
            max_payload: self.link.server().map_or(0, |server| server.max_payload),
            inactive: INACTIVE,
        };
        Reader::new(&self.js, scope)
    }

    /// The error for a request that was not answered: what the server forbids is not answered
    /// either.
    pub fn unanswered(&self, error: &dyn std::fmt::Display) -> VerifyError {
        VerifyError::Unavailable(match self.link.denials().first() {
            Some(denial) => format!("the NATS user lacks a permission: {denial}"),
            None => error.to_string(),
        })
    }
}

fn no_jetstream(reason: &str) -> VerifyError {
    VerifyError::Unavailable(format!(
        "there is no JetStream here ({reason}): only what durable delivery stores can be verified; \
         check NATS_URL and the user"
    ))
}
