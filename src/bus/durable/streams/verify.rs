//! An existing stream against what was configured: looked at, never altered.

use std::fmt::Write as _;

use async_nats::jetstream::stream::{
    Config as StreamConfig, DiscardPolicy, Placement, RetentionPolicy,
};

use super::SetupError;
use super::holds::Holds;
use super::settings::blame;

/// Refuses an existing stream that is unfit, and warns about other settings than configured.
pub(super) fn verify(
    holds: Holds,
    wanted: &StreamConfig,
    actual: &StreamConfig,
) -> Result<(), SetupError> {
    let name = &wanted.name;
    if let Some(what) = broken(wanted, actual) {
        let said = blame(holds, what, wanted, actual).unwrap_or_else(|| {
            format!(
                "the stream {name} is there with other {what} than configured; use another \
                 stream name, or look at it with `nats stream info {name}` and change or remove it"
            )
        });
        return Err(SetupError::Conflict(said));
    }
    if let Some((bars_per_series, command)) = unwanted_bound(wanted, actual) {
        tracing::warn!(
            stream = name,
            bars_per_series,
            command,
            "the stream keeps a limited number of bars per series and drops bars that were not \
             read yet; TECHNICAL_BARS_PER_SERIES is not set, so the bound should be lifted with \
             this command"
        );
    }
    if let Some(command) = correction(wanted, actual) {
        tracing::warn!(
            stream = name,
            command,
            "the stream has other settings than configured; leaving them unchanged, change them \
             with this command"
        );
    }
    if wanted.storage != actual.storage {
        tracing::warn!(
            stream = name,
            storage = ?actual.storage,
            "the storage of the stream differs from the configuration; leaving it, as it cannot \
             change after creation"
        );
    }
    Ok(())
}

/// The settings that make the stream unfit.
pub(super) fn broken(wanted: &StreamConfig, actual: &StreamConfig) -> Option<&'static str> {
    let must = [
        ("subjects", sorted(wanted) == sorted(actual)),
        (
            "subject transform",
            wanted.subject_transform == actual.subject_transform,
        ),
        ("sources", same_sources(wanted, actual)),
        ("content (it is a mirror)", actual.mirror.is_none()),
        ("retention", actual.retention == RetentionPolicy::Limits),
        (
            "access (it is sealed or acknowledges nothing)",
            !actual.sealed && !actual.no_ack,
        ),
        (
            "atomic batches",
            actual.allow_atomic_publish || !wanted.allow_atomic_publish,
        ),
        ("rollup", actual.allow_rollup || !wanted.allow_rollup),
        ("direct access", actual.allow_direct || !wanted.allow_direct),
        (
            "message TTL",
            actual.allow_message_ttl || !wanted.allow_message_ttl,
        ),
    ];
    let (what, _) = must.iter().find(|(_, same)| !same)?;
    Some(what)
}

/// The bound per subject of a stream that is configured to have none, and the command that lifts
/// it. Agents made such a stream when the bound was the default.
pub(in crate::bus::durable) fn unwanted_bound(
    wanted: &StreamConfig,
    actual: &StreamConfig,
) -> Option<(i64, String)> {
    let kept = bound(actual.max_messages_per_subject)?;
    let lift = || {
        let name = &actual.name;
        format!("nats stream edit {name} --max-msgs-per-subject=-1")
    };
    bound(wanted.max_messages_per_subject)
        .is_none()
        .then(|| (kept, lift()))
}

/// The command that makes the other settings of the stream what is configured.
fn correction(wanted: &StreamConfig, actual: &StreamConfig) -> Option<String> {
    let mut options = String::new();
    let mut option = |differs: bool, text: String| {
        if differs {
            let _ = write!(options, " {text}");
        }
    };
    option(
        wanted.max_age != actual.max_age,
        format!("--max-age={}s", wanted.max_age.as_secs()),
    );
    option(
        bound(wanted.max_bytes) != bound(actual.max_bytes),
        format!("--max-bytes={}", wanted.max_bytes),
    );
    option(
        bound(actual.max_messages).is_some(),
        "--max-msgs=-1".to_owned(),
    );
    let per_subject = bound(wanted.max_messages_per_subject);
    option(
        per_subject.is_some() && per_subject != bound(actual.max_messages_per_subject),
        format!("--max-msgs-per-subject={}", per_subject.unwrap_or(-1)),
    );
    option(
        wanted.discard != actual.discard,
        match wanted.discard {
            DiscardPolicy::Old => "--discard=old".to_owned(),
            DiscardPolicy::New => "--discard=new".to_owned(),
        },
    );
    option(
        wanted.num_replicas != actual.num_replicas,
        format!("--replicas={}", wanted.num_replicas),
    );
    let (placed, wished) = (placement(actual), placement(wanted));
    option(
        placed.cluster != wished.cluster,
        // an empty one lifts the condition
        format!("--cluster={}", wished.cluster.unwrap_or_default()),
    );
    let tags: Vec<String> = wished
        .tags
        .iter()
        .map(|tag| format!("--tag={tag}"))
        .collect();
    option(
        placed.tags != wished.tags,
        if tags.is_empty() {
            "--tag=".to_owned()
        } else {
            tags.join(" ")
        },
    );
    (!options.is_empty()).then(|| format!("nats stream edit {}{options}", wanted.name))
}

/// A limit, unless it is none: the server says both 0 and -1 for that.
fn bound(limit: i64) -> Option<i64> {
    (limit > 0).then_some(limit)
}

fn placement(config: &StreamConfig) -> Placement {
    let mut placement = config.placement.clone().unwrap_or_default();
    placement.cluster = placement.cluster.filter(|cluster| !cluster.is_empty());
    placement.tags.sort();
    placement
}

fn sorted(config: &StreamConfig) -> Vec<&String> {
    let mut subjects: Vec<&String> = config.subjects.iter().collect();
    subjects.sort();
    subjects
}

fn same_sources(wanted: &StreamConfig, actual: &StreamConfig) -> bool {
    let key = |config: &StreamConfig| {
        let mut sources: Vec<String> = config
            .sources
            .iter()
            .flatten()
            .map(|s| {
                format!(
                    "{} {:?} {:?}",
                    s.name, s.filter_subject, s.subject_transforms
                )
            })
            .collect();
        sources.sort();
        sources
    };
    key(wanted) == key(actual)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn plain() -> StreamConfig {
        StreamConfig {
            name: "S".to_owned(),
            max_bytes: -1,
            ..StreamConfig::default()
        }
    }

    #[test]
    fn every_setting_that_differs_is_in_the_command() {
        let wanted = StreamConfig {
            max_age: Duration::from_secs(60),
            max_bytes: 1_000,
            max_messages_per_subject: 5,
            discard: DiscardPolicy::New,
            num_replicas: 3,
            placement: Some(Placement {
                cluster: Some("east".to_owned()),
                tags: vec!["a".to_owned(), "b".to_owned()],
            }),
            ..plain()
        };
        assert_eq!(
            correction(&wanted, &plain()).unwrap(),
            "nats stream edit S --max-age=60s --max-bytes=1000 --max-msgs-per-subject=5 \
             --discard=new --replicas=3 --cluster=east --tag=a --tag=b"
        );
        assert_eq!(
            correction(
                &plain(),
                &StreamConfig {
                    num_replicas: 0,
                    ..wanted
                }
            )
            .unwrap(),
            "nats stream edit S --max-age=0s --max-bytes=-1 --discard=old --cluster= --tag="
        );
    }

    #[test]
    fn a_bound_per_series_that_nobody_configured_has_its_own_command() {
        let kept = |messages| StreamConfig {
            max_messages_per_subject: messages,
            ..plain()
        };
        let lift = "nats stream edit S --max-msgs-per-subject=-1".to_owned();
        assert_eq!(unwanted_bound(&kept(-1), &kept(1_000)), Some((1_000, lift)));
        assert_eq!(correction(&kept(-1), &kept(1_000)), None);
        for (wanted, actual) in [(-1, -1), (-1, 0), (500, 1_000), (500, -1)] {
            assert_eq!(unwanted_bound(&kept(wanted), &kept(actual)), None);
        }
        assert_eq!(
            correction(&kept(500), &kept(1_000)).unwrap(),
            "nats stream edit S --max-msgs-per-subject=500"
        );
    }

    #[test]
    fn no_limit_is_no_limit_however_it_is_said() {
        let server = StreamConfig {
            max_messages: -1,
            max_messages_per_subject: -1,
            max_bytes: 0,
            placement: Some(Placement::default()),
            ..plain()
        };
        assert_eq!(correction(&plain(), &server), None);
        assert_eq!(broken(&plain(), &server), None);
    }

    #[test]
    fn what_would_lose_signals_is_no_matter_of_settings() {
        let queue = StreamConfig {
            retention: RetentionPolicy::WorkQueue,
            ..plain()
        };
        assert_eq!(broken(&plain(), &queue), Some("retention"));
        let mute = StreamConfig {
            no_ack: true,
            ..plain()
        };
        assert!(broken(&plain(), &mute).unwrap().starts_with("access"));
    }
}
