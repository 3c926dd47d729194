//! Requests to JetStream, and the meaning of a refusal or of no answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::RequestErrorKind;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::Info;
use async_nats::jetstream::{Context, ErrorCode};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::RedriveError;
use crate::bus::Link;
use crate::market::Timestamp;
use crate::tools::reader::{Reader, Scope};

/// Longer than a batch of letters takes, at any rate.
const INACTIVE: Duration = Duration::from_secs(300);
/// Deletions under way at a time.
const DELETIONS: usize = 64;

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    streams: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Deleted {}

pub(super) struct Store {
    pub js: Context,
    link: Arc<Link>,
    /// The streams that store each subject, as far as known.
    streams: HashMap<String, Option<String>>,
}

impl Store {
    pub fn new(js: Context, link: &Arc<Link>) -> Self {
        Self {
            js,
            link: Arc::clone(link),
            streams: HashMap::new(),
        }
    }

    /// A stream's configuration and state, if there is one of this name.
    pub async fn info(&self, name: &str) -> Result<Option<Info>, RedriveError> {
        match self.ask(&format!("STREAM.INFO.{name}"), &()).await? {
            Response::Ok(info) => Ok(Some(info)),
            Response::Err { error } if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                Ok(None)
            }
            Response::Err { error } => Err(refused(&error)),
        }
    }

    /// The stream that stores what is published on `subject`.
    pub async fn stream_of(&mut self, subject: &str) -> Result<Option<String>, RedriveError> {
        if let Some(known) = self.streams.get(subject) {
            return Ok(known.clone());
        }
        let request = json!({ "subject": subject });
        let names: Names = match self.ask("STREAM.NAMES", &request).await? {
            Response::Ok(names) => names,
            Response::Err { error } => return Err(refused(&error)),
        };
        // no two streams capture the same subject
        let stream = names.streams.and_then(|names| names.into_iter().next());
        self.streams.insert(subject.to_owned(), stream.clone());
        Ok(stream)
    }

    /// Takes messages out of a stream; one that has gone already is as good.
    pub async fn delete(
        &self,
        stream: &str,
        seqs: impl IntoIterator<Item = u64>,
    ) -> Result<(), RedriveError> {
        let subject = format!("STREAM.MSG.DELETE.{stream}");
        let deletions = seqs.into_iter().map(|seq| {
            let subject = subject.as_str();
            async move {
                // the bytes need not be overwritten: they are in the stream of bars
                let request = json!({ "seq": seq, "no_erase": true });
                match self.ask::<Deleted>(subject, &request).await? {
                    Response::Ok(Deleted {}) => Ok(()),
                    Response::Err { error } if is_gone(&error) => Ok(()),
                    Response::Err { error } => Err(refused(&error)),
                }
            }
        });
        stream::iter(deletions)
            .buffer_unordered(DELETIONS)
            .try_collect()
            .await
    }

    /// Reads the messages of `subject` (or all) that are in a stream now.
    pub fn read(
        &self,
        info: &Info,
        subject: &str,
        since: Option<Timestamp>,
        headers_only: bool,
    ) -> Reader {
        let scope = Scope {
            stream: info.config.name.clone(),
            subject: subject.to_owned(),
            since,
            last: info.state.last_sequence,
            headers_only,
            max_payload: self.link.server().map_or(0, |server| server.max_payload),
            inactive: INACTIVE,
        };
        Reader::new(&self.js, scope)
    }

    /// The error for a request that was not answered: what the server forbids is not answered
    /// either.
    pub fn unanswered(&self, what: &dyn std::fmt::Display) -> RedriveError {
        match self.link.denials().first() {
            Some(denial) => {
                RedriveError::Setup(format!("the NATS user lacks a permission: {denial}"))
            }
            None => RedriveError::Unanswered(what.to_string()),
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        subject: &str,
        request: &impl Serialize,
    ) -> Result<Response<T>, RedriveError> {
        let answer = self.js.request(subject.to_owned(), request).await;
        answer.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => no_jetstream(),
            _ => self.unanswered(&format!("JetStream does not answer: {error}")),
        })
    }
}

fn no_jetstream() -> RedriveError {
    RedriveError::Setup(
        "nobody answers JetStream requests: dead letters are stored in durable delivery only, \
         which needs a server and account with JetStream; check NATS_URL and the user"
            .to_owned(),
    )
}

/// The error for a refusal of JetStream.
pub(super) fn refused(error: &async_nats::jetstream::Error) -> RedriveError {
    match error.error_code() {
        ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
            no_jetstream()
        }
        _ => RedriveError::Refused(format!("JetStream refuses: {error}")),
    }
}

fn is_gone(error: &async_nats::jetstream::Error) -> bool {
    let message = error.to_string();
    match error.error_code() {
        ErrorCode::SEQUENCE_NOT_FOUND | ErrorCode::NO_MESSAGE_FOUND => true,
        // of any deletion that failed: only the text says why
        ErrorCode::STREAM_MESSAGE_DELETE_FAILED => ["no message found", "deleted message"]
            .iter()
            .any(|text| message.contains(text)),
        _ => false,
    }
}
