//! The streams and buckets of durable delivery: made where they are missing, verified where they
//! are there, never altered.
//!
//! What an existing stream must be (its subjects, partitions, atomic batches) and is not, is an
//! error; what it may be (retention, replicas, storage) and is not as configured, is a warning with
//! the command that would change it.

mod copies;
mod foreign;
mod settings;
mod standing;
mod verify;
mod wanted;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind};
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config as StreamConfig, Info, Source, SubjectTransform};
use async_nats::jetstream::{Context, ErrorCode};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use tokio::time::Instant;

use super::checkpoint::Bucket;
use crate::bus::drain::round_trip;
use crate::bus::layout::{Layout, filter, key};
use crate::bus::link::Link;
use crate::bus::permissions::needs;
use crate::config::{Config, DurableConfig, JetStreamApi};
use foreign::{covering, in_the_way};
use standing::Holds;
pub(super) use standing::{Rest, missing};
use verify::{broken, verify};

/// The oldest server that has what a commit needs.
const OLDEST: (u32, u32) = (2, 12);
/// For the server to read what was sent to it.
const ANSWER: Duration = Duration::from_secs(5);
/// Metadata of the stream of bars: how many partitions its subjects are divided into.
pub(super) const PARTITIONS: &str = "technical.partitions";

/// Why durable delivery cannot begin.
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

/// One partition and where its bars are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    pub stream: String,
    /// Identifies the stream: one made anew under the same name counts from the beginning.
    pub origin: String,
    /// Nothing when the whole stream is the partition.
    pub filter: String,
}

/// What there is to work with.
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
    pub rests: Vec<Rest>,
    /// Streams that may hold the market data and are not read.
    pub hint: Option<String>,
}

impl Streams {
    /// The identity of the table of members and leases.
    pub fn table(&self) -> Option<String> {
        let members = |rest: &&Rest| rest.holds == Holds::Members;
        self.rests
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
/// What stands in the way, or that the server did not answer.
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
            SetupError::NoJetStream(told) if link.server().is_some_and(|s| s.jetstream) => {
                SetupError::Unavailable(told)
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
    let (Some(setting), SetupError::NoJetStream(told) | SetupError::NotForAccount(told)) =
        (api.setting(), &error)
    else {
        return error;
    };
    SetupError::Unavailable(format!(
        "the JetStream of {setting} does not answer ({told}); it is out of reach, or the setting \
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

/// Tries everything that can be tried without effect: a subject that is forbidden answers nothing,
/// and is otherwise only found out when it is needed.
async fn allowed(client: &Client, link: &Link, config: &Config) -> Result<(), SetupError> {
    let unanswered = |error: &dyn std::fmt::Display| SetupError::Unavailable(error.to_string());
    link.forget_denials();
    let mut headers = HeaderMap::new();
    // should it be stored after all, then not: no stream is there yet
    headers.insert("Nats-Expected-Last-Sequence", i64::MAX.to_string());
    for subject in needs(config).into_iter().filter_map(|need| need.probe) {
        client
            .publish_with_headers(subject, headers.clone(), Bytes::new())
            .await
            .map_err(|error| unanswered(&error))?;
    }
    let deadline = Instant::now() + ANSWER;
    round_trip(client, link, deadline)
        .await
        .map_err(|error| unanswered(&error))?;
    denied(link, config).map_or(Ok(()), Err)
}

/// What stands in the way of all that is denied.
pub(super) fn denied(link: &Link, config: &Config) -> Option<SetupError> {
    let denials = link.denials();
    let grave = denials
        .iter()
        .filter(|denial| !denial.is_minor(config) && !denial.is_about_changes());
    let told: BTreeSet<String> = grave.map(ToString::to_string).collect();
    let told: Vec<String> = told.into_iter().collect();
    (!told.is_empty()).then(|| SetupError::Denied(told.join(", ")))
}

async fn find_or_make(
    js: &Context,
    config: &Config,
    hint: Option<String>,
    beside: Beside<'_>,
) -> Result<Streams, SetupError> {
    let durable = &config.durable;
    let leases = format!("{}_GROUPS", durable.signals_stream);
    let table = existing(js, &format!("KV_{leases}")).await?;
    // before anything is made: bars that a new stream captures would get their signals later on
    beside(table.map(|info| info.created.to_string()))?;
    let partitions = recorded_partitions(js, durable).await?;
    let layout = Layout::new(&config.subjects, partitions);
    let main = durable.bars_stream.as_str();
    // a server recovers streams by name, and a source that is not there yet is tried again late
    let second = second(main);
    let bare = format!("{main}_BARE");
    let own = [main, &second, &bare];

    let mut bars = wanted::bars(durable, main);
    bars.max_messages_per_subject = wanted::per_subject(durable);
    bars.metadata = HashMap::from([(PARTITIONS.to_owned(), partitions.to_string())]);
    let mut captured = wanted::bars(durable, &second);
    captured.max_messages_per_subject = bars.max_messages_per_subject;
    let mut rests = Vec::new();
    let mut sources = Vec::new();
    let input = match &durable.input_stream {
        Some(name) => Some(copies::named(js, name, &config.subjects).await?),
        None => None,
    };
    for shape in &layout.shapes {
        let transform = SubjectTransform {
            source: shape.subjects.clone(),
            destination: shape.stored.clone(),
        };
        let foreign = match &input {
            Some(input) => Some(input.clone()),
            None => covering(js, &shape.subjects, &own).await?,
        };
        if foreign.is_none() && bars.subjects.is_empty() {
            bars.subjects.push(shape.subjects.clone());
            bars.subject_transform = Some(transform);
            continue;
        }
        let name = match foreign {
            Some(foreign) => {
                let name = foreign.name.clone();
                rests.push(foreign);
                name
            }
            None => {
                captured.subjects.push(shape.subjects.clone());
                second.clone()
            }
        };
        sources.push(Source {
            name,
            subject_transforms: vec![transform],
            ..Source::default()
        });
    }
    bars.sources = (!sources.is_empty()).then_some(sources);
    if !captured.subjects.is_empty() {
        rests.push(ensure(js, captured, Holds::Source).await?);
    }
    let mut units = Vec::new();
    if !layout.shapes.is_empty() {
        let found = ensure(js, bars, Holds::Bars).await?;
        let origin = found.origin.clone();
        rests.push(found);
        units.extend((0..partitions).map(|partition| Unit {
            stream: main.to_owned(),
            origin: origin.clone(),
            filter: filter(partition),
        }));
    }
    if let Some(config) = bare_config(
        js,
        durable,
        &bare,
        &layout,
        &own,
        input.as_ref(),
        &mut rests,
    )
    .await?
    {
        let found = ensure(js, config, Holds::Bars).await?;
        let origin = found.origin.clone();
        rests.push(found);
        units.push(Unit {
            stream: bare,
            origin,
            filter: String::new(),
        });
    }
    let signals = ensure(js, wanted::signals(config), Holds::Signals).await?;
    let largest = signals.config.max_message_size;
    rests.push(signals);
    rests.push(ensure(js, wanted::leases(durable, &leases), Holds::Members).await?);
    let bucket = format!("{}_CHECKPOINTS", durable.signals_stream);
    let saved = wanted::checkpoints(durable, &bucket);
    rests.push(ensure(js, saved, Holds::Checkpoints).await?);
    let checkpoints = Bucket::open(js, &bucket).await.map_err(|error| {
        SetupError::Unavailable(format!("cannot open the bucket {bucket}: {error}"))
    })?;
    // one may be the source of several
    let mut names = BTreeSet::new();
    rests.retain(|rest| names.insert(rest.name.clone()));
    Ok(Streams {
        units,
        layout,
        signals: durable.signals_stream.clone(),
        largest,
        leases,
        checkpoints,
        rests,
        hint,
    })
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

/// The stream of bars on the subjects that the stream `bars` cannot capture itself.
fn second(bars: &str) -> String {
    format!("IN_{bars}")
}

/// How many partitions there are: as recorded when the stream was made.
async fn recorded_partitions(js: &Context, durable: &DurableConfig) -> Result<u32, SetupError> {
    let wanted = u32::try_from(durable.partitions).unwrap_or(u32::MAX);
    let name = &durable.bars_stream;
    let Some(existing) = existing(js, name).await? else {
        return Ok(wanted);
    };
    let recorded = existing.config.metadata.get(PARTITIONS);
    let Some(recorded) = recorded.and_then(|text| text.parse().ok()) else {
        return Err(SetupError::Conflict(format!(
            "the stream {name} is there and was not made for this; set TECHNICAL_BARS_STREAM to a \
             name of its own (bars that {name} stores are then read from it)"
        )));
    };
    for source in existing.config.sources.iter().flatten() {
        let source = &source.name;
        // one of our own is made again
        if *source != second(name) && self::existing(js, source).await?.is_none() {
            return Err(SetupError::Conflict(format!(
                "the stream {source}, from which {name} takes bars, is not there; make it again, or \
                 remove {name} to have it made for bars that come to it directly"
            )));
        }
    }
    if recorded != wanted {
        tracing::warn!(
            stream = name,
            recorded,
            wanted,
            "the stream has another number of partitions than TECHNICAL_PARTITIONS; that of the \
             stream is used, as it is fixed when the stream is made"
        );
    }
    Ok(recorded)
}

async fn bare_config(
    js: &Context,
    durable: &DurableConfig,
    name: &str,
    layout: &Layout,
    own: &[&str],
    input: Option<&Rest>,
    rests: &mut Vec<Rest>,
) -> Result<Option<StreamConfig>, SetupError> {
    if layout.bare.is_empty() {
        return Ok(None);
    }
    // all series share the subject, so a bound per subject would drop bars that were never read
    let mut config = wanted::bars(durable, name);
    let mut sources = Vec::new();
    for subject in &layout.bare {
        let foreign = match input {
            Some(input) => Some(input.clone()),
            None => covering(js, subject, own).await?,
        };
        match foreign {
            None => config.subjects.push(subject.clone()),
            Some(foreign) => {
                sources.push(Source {
                    name: foreign.name.clone(),
                    filter_subject: Some(subject.clone()),
                    ..Source::default()
                });
                rests.push(foreign);
            }
        }
    }
    config.sources = (!sources.is_empty()).then_some(sources);
    Ok(Some(config))
}

async fn existing(js: &Context, name: &str) -> Result<Option<Info>, SetupError> {
    let answer: Response<Info> = js
        .request(format!("STREAM.INFO.{name}"), &())
        .await
        .map_err(|error| unanswered(&error))?;
    match answer {
        Response::Ok(info) => Ok(Some(info)),
        Response::Err { error } if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
        Response::Err { error } => Err(refused(&error)),
    }
}

/// Makes the stream unless it is there, and says what identifies it.
async fn ensure(js: &Context, config: StreamConfig, holds: Holds) -> Result<Rest, SetupError> {
    let name = config.name.clone();
    if let Some(existing) = existing(js, &name).await? {
        verify(holds, &config, &existing.config)?;
        return Ok(Rest::of(existing, holds));
    }
    match js.create_stream(config.clone()).await {
        Ok(stream) => {
            tracing::info!(stream = name, subjects = ?config.subjects, "stream made");
            let made = stream.cached_info().clone();
            // a server ignores what it is too old for, and another one may have made it
            if let Some(what) = broken(&config, &made.config) {
                return Err(SetupError::Conflict(format!(
                    "the server made the stream {name} without {what}: durable delivery needs \
                     nats-server 2.12 or newer where the stream is; remove {name} after an upgrade"
                )));
            }
            Ok(Rest::of(made, holds))
        }
        Err(error) if overlaps(&error) => Err(in_the_way(js, &config).await),
        Err(error) => Err(not_made(&config, &error)),
    }
}

fn overlaps(error: &CreateStreamError) -> bool {
    let CreateStreamErrorKind::JetStream(error) = error.kind() else {
        return false;
    };
    error.error_code() == ErrorCode::STREAM_SUBJECT_OVERLAP
}

fn not_made(config: &StreamConfig, error: &CreateStreamError) -> SetupError {
    let name = &config.name;
    if let CreateStreamErrorKind::JetStream(error) = error.kind() {
        return match refused(&error) {
            SetupError::Unavailable(told) => {
                let told = format!("cannot make the stream {name}: {told}");
                match limit(error.error_code()) {
                    Some(hint) => SetupError::Limit(format!("{told}; {hint}")),
                    None => SetupError::Unavailable(told),
                }
            }
            other => other,
        };
    }
    SetupError::Unavailable(format!("cannot make the stream {name}: {error}"))
}

/// What to do about a limit that a new stream would exceed.
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

fn refused(error: &async_nats::jetstream::Error) -> SetupError {
    match error.error_code() {
        ErrorCode::JETSTREAM_NOT_ENABLED => SetupError::NoJetStream(error.to_string()),
        ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
            SetupError::NotForAccount(error.to_string())
        }
        _ => SetupError::Unavailable(error.to_string()),
    }
}

fn unanswered(error: &async_nats::jetstream::context::RequestError) -> SetupError {
    use async_nats::jetstream::context::RequestErrorKind;
    match error.kind() {
        RequestErrorKind::NoResponders => SetupError::NoJetStream(
            "nobody answers JetStream requests; on a leaf node set NATS_JETSTREAM_DOMAIN to the \
                 domain of the servers that have it"
                .to_owned(),
        ),
        _ => SetupError::Unavailable(format!("JetStream does not answer: {error}")),
    }
}
