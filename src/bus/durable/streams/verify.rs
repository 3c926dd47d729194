//! An existing stream against what was configured: looked at, never altered.

use std::fmt::Write as _;

use async_nats::jetstream::stream::Config as StreamConfig;

use super::SetupError;

/// What an existing stream must be; what it should be is only told.
pub(super) fn verify(wanted: &StreamConfig, actual: &StreamConfig) -> Result<(), SetupError> {
    let name = &wanted.name;
    let must = [
        ("subjects", sorted(wanted) == sorted(actual)),
        (
            "subject transform",
            wanted.subject_transform == actual.subject_transform,
        ),
        ("sources", same_sources(wanted, actual)),
        (
            "atomic batches",
            actual.allow_atomic_publish || !wanted.allow_atomic_publish,
        ),
        ("rollup", actual.allow_rollup || !wanted.allow_rollup),
        (
            "message TTL",
            actual.allow_message_ttl || !wanted.allow_message_ttl,
        ),
    ];
    if let Some((what, _)) = must.iter().find(|(_, same)| !same) {
        return Err(SetupError::Conflict(format!(
            "the stream {name} is there with other {what} than configured; use another stream \
             name, or look at it with `nats stream info {name}` and change or remove it"
        )));
    }
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
        wanted.max_bytes != actual.max_bytes,
        format!("--max-bytes={}", wanted.max_bytes),
    );
    option(
        wanted.max_messages_per_subject.max(0) != actual.max_messages_per_subject.max(0),
        format!("--max-msgs-per-subject={}", wanted.max_messages_per_subject),
    );
    option(
        wanted.num_replicas != actual.num_replicas,
        format!("--replicas={}", wanted.num_replicas),
    );
    if !options.is_empty() {
        tracing::warn!(
            stream = name,
            command = format!("nats stream edit {name}{options}"),
            "the stream is there with other settings than configured, and is left as it is"
        );
    }
    if wanted.storage != actual.storage {
        tracing::warn!(
            stream = name,
            storage = ?actual.storage,
            "the stream is stored otherwise than configured, which is fixed when it is made"
        );
    }
    Ok(())
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
