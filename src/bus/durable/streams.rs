//! The streams and buckets of durable delivery: made where they are missing, verified where they
//! are there, never altered.
//!
//! A mismatch in what an existing stream must have (its subjects, partitions, atomic batches) is an
//! error. A mismatch in retention, replicas or storage is a warning with the command that would
//! change it.

mod assembly;
mod copies;
mod dependency;
mod foreign;
mod holds;
mod permitted;
mod settings;
mod setup_error;
mod verify;
mod wanted;

use async_nats::Client;
use async_nats::jetstream::Context;

use super::checkpoint::Bucket;
use crate::bus::layout::{Layout, key};
use crate::bus::link::Link;
use crate::config::{Config, JetStreamApi};
use assembly::{existing, find_or_make, second};
pub(super) use dependency::{StreamDependency, missing};
use holds::Holds;
use permitted::allowed;
pub(super) use permitted::{ask_again, denied};
pub use setup_error::SetupError;
use setup_error::{refused, unanswered};

/// The oldest server that has what a commit needs.
const OLDEST: (u32, u32) = (2, 12);
/// Metadata of the stream of bars: how many partitions its subjects are divided into.
pub(super) const PARTITIONS: &str = "technical.partitions";

/// One partition and where its bars are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    pub stream: String,
    /// Identifies the stream: one that was recreated under the same name counts from the beginning.
    pub origin: String,
    /// Nothing when the whole stream is the partition.
    pub filter: String,
}

/// The streams and buckets to work with.
#[derive(Clone)]
pub(super) struct Streams {
    pub units: Vec<Unit>,
    pub layout: Layout,
    pub signals: String,
    /// The size limit of messages in the stream of signals, as it is configured there.
    pub largest: i32,
    pub leases: String,
    pub checkpoints: Bucket,
    /// All streams that have to be there.
    pub dependencies: Vec<StreamDependency>,
    /// Streams that may hold the market data and are not read.
    pub hint: Option<String>,
}

impl Streams {
    /// The identity of the table of members and leases.
    pub fn table(&self) -> Option<String> {
        let members = |rest: &&StreamDependency| rest.holds == Holds::Members;
        self.dependencies
            .iter()
            .find(members)
            .map(|rest| rest.origin.clone())
    }
}

/// Refuses to work beside other members, given what identifies the table that is there.
pub(super) type Beside<'a> = &'a (dyn Fn(Option<String>) -> Result<(), SetupError> + Sync);

/// The subject pattern of commit markers in the stream `signals`.
pub(super) fn marker_subjects(signals: &str) -> String {
    format!("commit.{signals}.>")
}

/// The subject of one partition's commit marker.
pub(super) fn marker_subject(signals: &str, group: &str, unit: u32) -> String {
    format!("commit.{signals}.{}.{unit}", key(group))
}

/// Finds or makes everything.
///
/// # Errors
/// The reason why it cannot begin, or that the server did not answer.
pub(super) async fn prepare(
    client: &Client,
    js: &Context,
    link: &Link,
    config: &Config,
    beside: Beside<'_>,
) -> Result<Streams, SetupError> {
    let api = &config.nats.jetstream;
    if api.is_default() {
        can_serve(link)?;
    }
    // a denial of this is forgotten with what is tried next
    let hint = copies::hint(js, link, config).await;
    allowed(client, link, config).await?;
    tokio::select! {
        outcome = find_or_make(js, config, hint, beside) => outcome.map_err(|error| match elsewhere(api, error) {
            // it has JetStream, which is not up yet
            SetupError::NoJetStream(reason) if link.server().is_some_and(|s| s.jetstream) => {
                SetupError::Unavailable(reason)
            }
            error => error,
        }),
        () = link.refused(config.nats.jetstream.prefix()) => Err(denied(link, config).unwrap_or_else(|| {
            SetupError::Unavailable(link.last_error().unwrap_or_default())
        })),
    }
}

/// Says what the absence of `JetStream` means where another than that of this server is asked. It
/// may be out of reach for a while, or be misspelt; it is never for this server to do without.
pub(super) fn elsewhere(api: &JetStreamApi, error: SetupError) -> SetupError {
    let (Some(setting), SetupError::NoJetStream(reason) | SetupError::NotForAccount(reason)) =
        (api.setting(), &error)
    else {
        return error;
    };
    SetupError::Unavailable(format!(
        "the JetStream of {setting} does not answer ({reason}); it is out of reach, or the setting \
         names none: `nats account info` on a server that has it shows its domain"
    ))
}

/// Says what `too_old` a server means: nothing durable is possible there, unless durable members
/// have made their streams already. Those members would publish beside one in core delivery.
pub(super) async fn outdated(js: &Context, config: &Config, too_old: SetupError) -> SetupError {
    let signals = &config.durable.signals_stream;
    match existing(js, signals).await {
        Ok(Some(_)) => SetupError::Conflict(format!(
            "{too_old}, and the stream {signals} of durable delivery is there; connect this agent \
             to newer servers (NATS_URL), as members in core delivery would publish every signal \
             a second time"
        )),
        Ok(None) => too_old,
        Err(error) if error.is_unsupported() => too_old,
        Err(error) => error,
    }
}

fn can_serve(link: &Link) -> Result<(), SetupError> {
    let Some(server) = link.server() else {
        return Err(SetupError::Unavailable("not connected".to_owned()));
    };
    let mut parts = server.version.split('.').map_while(|p| p.parse().ok());
    if (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < OLDEST {
        return Err(SetupError::TooOld(server.version));
    }
    Ok(())
}
