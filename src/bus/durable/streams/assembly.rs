//! The streams and buckets of durable delivery, found or made one after the other.
//!
//! The order matters: a server recovers streams by name, and a source that is not there yet is tried
//! again late. So what others take from is there before them.

use std::collections::{BTreeSet, HashMap};

use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config as StreamConfig, Info, Source, SubjectTransform};
use async_nats::jetstream::{Context, ErrorCode};

use super::dependency::StreamDependency;
use super::foreign::{covering, in_the_way};
use super::holds::Holds;
use super::setup_error::{SetupError, not_made, overlaps, refused, unanswered};
use super::verify::{broken, verify};
use super::{Beside, PARTITIONS, Streams, Unit, copies, wanted};
use crate::bus::durable::checkpoint::Bucket;
use crate::bus::layout::{Layout, filter};
use crate::config::{Config, DurableConfig};

/// The streams found or created so far.
struct Assembly<'a> {
    js: &'a Context,
    durable: &'a DurableConfig,
    partitions: u32,
    layout: Layout,
    /// The stream that is named as the input, if one is.
    input: Option<StreamDependency>,
    dependencies: Vec<StreamDependency>,
    units: Vec<Unit>,
}

/// Finds or makes everything.
///
/// # Errors
/// The condition that is not met, or that the server did not answer.
pub(super) async fn find_or_make(
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
    let mut assembly = Assembly {
        js,
        durable,
        partitions,
        layout: Layout::new(&config.subjects, partitions),
        input: None,
        dependencies: Vec::new(),
        units: Vec::new(),
    };
    if let Some(name) = &durable.input_stream {
        assembly.input = Some(copies::named(js, name, &config.subjects).await?);
    }
    assembly.bars().await?;
    assembly.bare_bars().await?;
    let signals = assembly.ensure(wanted::signals(config), Holds::Signals);
    let largest = signals.await?.config.max_message_size;
    let members = wanted::leases(durable, &leases);
    assembly.ensure(members, Holds::Members).await?;
    let bucket = format!("{}_CHECKPOINTS", durable.signals_stream);
    let saved = wanted::checkpoints(durable, &bucket);
    assembly.ensure(saved, Holds::Checkpoints).await?;
    let checkpoints = Bucket::open(js, &bucket).await.map_err(|error| {
        SetupError::Unavailable(format!("cannot open the bucket {bucket}: {error}"))
    })?;
    let Assembly {
        layout,
        mut dependencies,
        units,
        ..
    } = assembly;
    // one may be the source of several
    let mut names = BTreeSet::new();
    dependencies.retain(|rest| names.insert(rest.name.clone()));
    Ok(Streams {
        units,
        layout,
        signals: durable.signals_stream.clone(),
        largest,
        leases,
        checkpoints,
        dependencies,
        hint,
    })
}

impl Assembly<'_> {
    /// Finds or makes the stream of bars on subjects with a symbol, and what it takes bars from.
    async fn bars(&mut self) -> Result<(), SetupError> {
        let main = self.durable.bars_stream.as_str();
        let second = second(main);
        let mut bars = wanted::bars(self.durable, main);
        bars.max_messages_per_subject = wanted::per_subject(self.durable);
        bars.metadata = HashMap::from([(PARTITIONS.to_owned(), self.partitions.to_string())]);
        let mut captured = wanted::bars(self.durable, &second);
        captured.max_messages_per_subject = bars.max_messages_per_subject;
        let mut sources = Vec::new();
        for shape in self.layout.shapes.clone() {
            let transform = SubjectTransform {
                source: shape.subjects.clone(),
                destination: shape.stored.clone(),
            };
            let foreign = self.foreign(&shape.subjects).await?;
            if foreign.is_none() && bars.subjects.is_empty() {
                bars.subjects.push(shape.subjects);
                bars.subject_transform = Some(transform);
                continue;
            }
            let name = foreign.unwrap_or_else(|| {
                captured.subjects.push(shape.subjects);
                second.clone()
            });
            sources.push(Source {
                name,
                subject_transforms: vec![transform],
                ..Source::default()
            });
        }
        bars.sources = (!sources.is_empty()).then_some(sources);
        if !captured.subjects.is_empty() {
            self.ensure(captured, Holds::Source).await?;
        }
        if self.layout.shapes.is_empty() {
            return Ok(());
        }
        let origin = self.ensure(bars, Holds::Bars).await?.origin;
        self.units.extend((0..self.partitions).map(|number| Unit {
            stream: main.to_owned(),
            origin: origin.clone(),
            filter: filter(number),
        }));
        Ok(())
    }

    /// Finds or makes the stream of bars on subjects without a symbol, if there are such subjects.
    async fn bare_bars(&mut self) -> Result<(), SetupError> {
        if self.layout.bare.is_empty() {
            return Ok(());
        }
        let name = bare(&self.durable.bars_stream);
        // all series share the subject, so a bound per subject would drop bars that were never read
        let mut config = wanted::bars(self.durable, &name);
        let mut sources = Vec::new();
        for subject in self.layout.bare.clone() {
            match self.foreign(&subject).await? {
                None => config.subjects.push(subject),
                Some(foreign) => sources.push(Source {
                    name: foreign,
                    filter_subject: Some(subject),
                    ..Source::default()
                }),
            }
        }
        config.sources = (!sources.is_empty()).then_some(sources);
        let origin = self.ensure(config, Holds::Bars).await?.origin;
        self.units.push(Unit {
            stream: name,
            origin,
            filter: String::new(),
        });
        Ok(())
    }

    /// The name of another's stream that stores `subjects`, if there is one.
    async fn foreign(&mut self, subjects: &str) -> Result<Option<String>, SetupError> {
        let main = self.durable.bars_stream.as_str();
        let (second, bare) = (second(main), bare(main));
        let foreign = match &self.input {
            Some(input) => Some(input.clone()),
            None => covering(self.js, subjects, &[main, &second, &bare]).await?,
        };
        Ok(foreign.map(|foreign| {
            let name = foreign.name.clone();
            self.dependencies.push(foreign);
            name
        }))
    }

    /// Makes the stream unless it is there, and notes it.
    async fn ensure(
        &mut self,
        config: StreamConfig,
        holds: Holds,
    ) -> Result<StreamDependency, SetupError> {
        let found = ensure(self.js, config, holds).await?;
        self.dependencies.push(found.clone());
        Ok(found)
    }
}

/// The stream of bars on the subjects that the stream `bars` cannot capture itself.
pub(super) fn second(bars: &str) -> String {
    format!("IN_{bars}")
}

/// The stream of bars on subjects without a symbol.
fn bare(bars: &str) -> String {
    format!("{bars}_BARE")
}

/// The number of partitions, as recorded when the stream was created.
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
            "the stream has another number of partitions than TECHNICAL_PARTITIONS; using the \
             stream's, which is fixed at creation"
        );
    }
    Ok(recorded)
}

/// The stream called `name`; none where there is no such stream.
pub(super) async fn existing(js: &Context, name: &str) -> Result<Option<Info>, SetupError> {
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
async fn ensure(
    js: &Context,
    config: StreamConfig,
    holds: Holds,
) -> Result<StreamDependency, SetupError> {
    let name = config.name.clone();
    if let Some(existing) = existing(js, &name).await? {
        verify(holds, &config, &existing.config)?;
        return Ok(StreamDependency::of(existing, holds));
    }
    match js.create_stream(config.clone()).await {
        Ok(stream) => {
            tracing::info!(stream = name, subjects = ?config.subjects, "created the stream");
            let made = stream.cached_info().clone();
            // a server ignores what it is too old for, and another one may have made it
            if let Some(what) = broken(&config, &made.config) {
                return Err(SetupError::Conflict(format!(
                    "the server made the stream {name} without {what}: durable delivery needs \
                     nats-server 2.12 or newer where the stream is; remove {name} after an upgrade"
                )));
            }
            Ok(StreamDependency::of(made, holds))
        }
        Err(error) if overlaps(&error) => Err(in_the_way(js, &config).await),
        Err(error) => Err(not_made(&config, &error)),
    }
}
