//! Streams that get their messages from other streams, as mirrors or by sources, and so name no
//! subjects by which they could be found.
//!
//! Such a stream may hold the market data of another account or domain. Whether it is meant to be
//! analysed only its owner knows, so it is named and not taken: `TECHNICAL_INPUT_STREAM` does that.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config as StreamConfig, Info, Source};
use serde::Deserialize;
use tokio::time::timeout;

use super::dependency::StreamDependency;
use super::holds::Holds;
use super::{SetupError, existing, foreign, refused, second, unanswered};
use crate::bus::link::Link;
use crate::config::Config;
use crate::wire::SubjectPattern;

/// Streams of an account that are looked at, at most.
const MAX_STREAMS: usize = 10_000;
/// For all of the looking: work does not wait for it.
const LOOKING: Duration = Duration::from_secs(10);
/// Streams that are named, at most.
const SHOWN: usize = 5;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    total: usize,
    #[serde(default)]
    streams: Option<Vec<Info>>,
}

/// The subjects of a copy, as far as its configuration tells them.
#[derive(Debug, PartialEq, Eq)]
enum Subjects {
    Known(Vec<String>),
    Unknown,
}

/// Names the copies that may hold the market data, with what to do about them. `None` where there
/// are none, where bars are taken from a named stream, or where the user may not look.
pub(super) async fn hint(js: &Context, link: &Link, config: &Config) -> Option<String> {
    if config.durable.input_stream.is_some() {
        return None;
    }
    let looking = async {
        let all = all(js).await?;
        let mut found = Vec::new();
        for (name, info) in &all {
            if is_own(name, config) || origins(&info.config).next().is_none() {
                continue;
            }
            if may_hold(js, info, &all, &config.subjects).await? {
                found.push(name.clone());
            }
        }
        Ok::<_, SetupError>(found)
    };
    let found = tokio::select! {
        found = timeout(LOOKING, looking) => found.ok()?.ok()?,
        // without the right to look there is nothing to tell
        () = link.refused(config.nats.jetstream.prefix()) => return None,
    };
    let (first, shown) = (found.first()?, found.len().min(SHOWN));
    let more = match found.len() - shown {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "bars are taken from the subjects of TECHNICAL_SUBJECTS, and not from {}{more}: what mirrors \
         or sources other streams cannot be found by its subjects. If the bars to analyse are in \
         there, set TECHNICAL_INPUT_STREAM, such as TECHNICAL_INPUT_STREAM={first}",
        found[..shown].join(", ")
    ))
}

/// The stream that `TECHNICAL_INPUT_STREAM` names.
///
/// # Errors
/// The stream is not there, reading from it would harm others, or it holds other subjects.
pub(super) async fn named(
    js: &Context,
    name: &str,
    subjects: &[SubjectPattern],
) -> Result<StreamDependency, SetupError> {
    let Some(info) = existing(js, name).await? else {
        return Err(SetupError::Conflict(format!(
            "the stream {name}, which TECHNICAL_INPUT_STREAM names, is not there; make it, or name \
             another. It has to be in the account and JetStream domain of the agent: where the bars \
             are elsewhere, make a mirror of their stream"
        )));
    };
    foreign::sparing(&info.config, "market data")?;
    if info.state.messages > 0 {
        for pattern in subjects {
            if holds(js, name, pattern).await? {
                return Ok(StreamDependency::of(info, Holds::Source));
            }
        }
        return Err(not_in(name, subjects, "none of its messages is"));
    }
    // what it will hold is known only where it says so
    match known(&info.config, &BTreeMap::new()) {
        Subjects::Known(known) if !any_overlaps(&known, subjects) => {
            Err(not_in(name, subjects, "it is made for others"))
        }
        _ => Ok(StreamDependency::of(info, Holds::Source)),
    }
}

fn not_in(name: &str, subjects: &[SubjectPattern], why: &str) -> SetupError {
    let subjects: Vec<&str> = subjects.iter().map(SubjectPattern::as_str).collect();
    SetupError::Conflict(format!(
        "the stream {name}, which TECHNICAL_INPUT_STREAM names, holds no market data on {}: {why} \
         (see `nats stream subjects {name}`); set TECHNICAL_SUBJECTS to the subjects under which \
         it stores them, the first `*` or `>` standing for the symbol",
        subjects.join(", ")
    ))
}

fn is_own(name: &str, config: &Config) -> bool {
    let bars = &config.durable.bars_stream;
    name == bars
        || name == second(bars)
        || name == format!("{bars}_BARE")
        || name == config.durable.signals_stream
}

async fn all(js: &Context) -> Result<BTreeMap<String, Info>, SetupError> {
    let mut all = BTreeMap::new();
    loop {
        let request = serde_json::json!({ "offset": all.len() });
        let answer: Response<Page> = js
            .request("STREAM.LIST", &request)
            .await
            .map_err(|error| unanswered(&error))?;
        let page = match answer {
            Response::Ok(page) => page,
            Response::Err { error } => return Err(refused(&error)),
        };
        let before = all.len();
        let streams = page.streams.unwrap_or_default();
        all.extend(streams.into_iter().map(|s| (s.config.name.clone(), s)));
        if all.len() == before || all.len() >= page.total.min(MAX_STREAMS) {
            return Ok(all);
        }
    }
}

/// Returns whether market data is in the copy, or may come into it while it is empty.
async fn may_hold(
    js: &Context,
    info: &Info,
    all: &BTreeMap<String, Info>,
    subjects: &[SubjectPattern],
) -> Result<bool, SetupError> {
    match known(&info.config, all) {
        Subjects::Known(known) => Ok(any_overlaps(&known, subjects)),
        Subjects::Unknown if info.state.messages == 0 => Ok(true),
        Subjects::Unknown => {
            for pattern in subjects {
                if holds(js, &info.config.name, pattern).await? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

/// Returns whether the stream holds a message on a subject of `pattern` now.
async fn holds(js: &Context, name: &str, pattern: &SubjectPattern) -> Result<bool, SetupError> {
    #[derive(Deserialize)]
    struct Found {
        state: State,
    }
    #[derive(Deserialize)]
    struct State {
        #[serde(default)]
        subjects: BTreeMap<String, u64>,
    }
    let request = serde_json::json!({ "subjects_filter": pattern.as_str() });
    let answer: Response<Found> = js
        .request(format!("STREAM.INFO.{name}"), &request)
        .await
        .map_err(|error| unanswered(&error))?;
    match answer {
        Response::Ok(found) => Ok(!found.state.subjects.is_empty()),
        Response::Err { error } => Err(refused(&error)),
    }
}

fn origins(config: &StreamConfig) -> impl Iterator<Item = &Source> {
    config.mirror.iter().chain(config.sources.iter().flatten())
}

/// The patterns of the subjects under which a stream stores what it gets.
fn known(config: &StreamConfig, all: &BTreeMap<String, Info>) -> Subjects {
    if config.subject_transform.is_some() {
        return Subjects::Unknown;
    }
    let mut known = config.subjects.clone();
    for origin in origins(config) {
        let transforms = &origin.subject_transforms;
        let filter = origin.filter_subject.iter().find(|f| !f.is_empty());
        if !transforms.is_empty() {
            known.extend(transforms.iter().map(|t| stored_as(&t.destination)));
        } else if let Some(filter) = filter {
            known.push(filter.clone());
        } else {
            let local = all.get(&origin.name).filter(|_| origin.external.is_none());
            let plain = local.map(|info| &info.config).filter(|config| {
                config.subject_transform.is_none() && origins(config).next().is_none()
            });
            match plain {
                Some(config) => known.extend(config.subjects.iter().cloned()),
                None => return Subjects::Unknown,
            }
        }
    }
    Subjects::Known(known)
}

/// The pattern of what a transform can make: `p.{{partition(8,1)}}.$2` is `p.*.*`.
fn stored_as(destination: &str) -> String {
    let tokens = destination.split('.').map(|token| {
        if token.contains("{{") || token.starts_with('$') {
            "*"
        } else {
            token
        }
    });
    tokens.collect::<Vec<_>>().join(".")
}

fn any_overlaps(known: &[String], subjects: &[SubjectPattern]) -> bool {
    let pattern = |text: &String| text.parse::<SubjectPattern>().ok();
    let mut known = known.iter().filter_map(pattern);
    known.any(|known| subjects.iter().any(|subject| subject.overlaps(&known)))
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::{External, SubjectTransform};

    use super::*;

    fn copy(origin: Source) -> StreamConfig {
        StreamConfig {
            name: "COPY".to_owned(),
            mirror: Some(origin),
            ..StreamConfig::default()
        }
    }

    fn origin() -> Source {
        Source {
            name: "MARKET".to_owned(),
            ..Source::default()
        }
    }

    #[test]
    fn filters_and_transforms_say_what_a_copy_holds() {
        let filtered = Source {
            filter_subject: Some("raw.price.*".to_owned()),
            ..origin()
        };
        let known_of = |origin| known(&copy(origin), &BTreeMap::new());
        assert_eq!(
            known_of(filtered),
            Subjects::Known(vec!["raw.price.*".to_owned()])
        );
        let transformed = Source {
            subject_transforms: vec![SubjectTransform {
                source: "raw.price.*.>".to_owned(),
                destination: "p.{{partition(8,1)}}.$1.x.>".to_owned(),
            }],
            ..origin()
        };
        assert_eq!(
            known_of(transformed),
            Subjects::Known(vec!["p.*.*.x.>".to_owned()])
        );
        let elsewhere = Source {
            external: Some(External {
                api_prefix: "$JS.far.API".to_owned(),
                delivery_prefix: None,
            }),
            ..origin()
        };
        assert_eq!(known_of(elsewhere), Subjects::Unknown);
        assert_eq!(known_of(origin()), Subjects::Unknown);
    }

    #[test]
    fn what_is_known_is_compared_with_the_subjects_asked_for() {
        let subjects = ["raw.price.>".parse().unwrap()];
        for (known, expected) in [
            ("raw.price.*", true),
            ("raw.>", true),
            ("p.*.raw.price.*", false),
            ("other.>", false),
        ] {
            let known = [known.to_owned()];
            assert_eq!(any_overlaps(&known, &subjects), expected, "{known:?}");
        }
    }
}
