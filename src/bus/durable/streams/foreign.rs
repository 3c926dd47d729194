//! Streams of others that store the market data already: read from, never altered.
//!
//! Reading must take nothing away from the stream's own consumers, and must miss nothing. Where
//! that is impossible it is an error, because the alternative is bars that nobody analyses.

use async_nats::jetstream::Context;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config as StreamConfig, RetentionPolicy};
use serde::Deserialize;

use super::dependency::StreamDependency;
use super::holds::Holds;
use super::{SetupError, existing, refused, unanswered};

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    streams: Option<Vec<String>>,
}

/// The names of the streams that capture some of `subjects`.
async fn overlapping(js: &Context, subjects: &str) -> Result<Vec<String>, SetupError> {
    let request = serde_json::json!({ "subject": subjects });
    let answer: Response<Names> = js
        .request("STREAM.NAMES", &request)
        .await
        .map_err(|error| unanswered(&error))?;
    match answer {
        Response::Ok(names) => Ok(names.streams.unwrap_or_default()),
        Response::Err { error } => Err(refused(&error)),
    }
}

/// The stream that captures all of `subjects` and is not our own; nothing when none captures any.
///
/// # Errors
/// If such a stream cannot be read without harm, or captures only a part.
pub(super) async fn covering(
    js: &Context,
    subjects: &str,
    own: &[&str],
) -> Result<Option<StreamDependency>, SetupError> {
    let names = overlapping(js, subjects).await?;
    let mut part = None;
    for name in names {
        if own.contains(&name.as_str()) {
            continue;
        }
        let Some(info) = existing(js, &name).await? else {
            continue;
        };
        readable(&info.config, subjects)?;
        if info.config.subjects.iter().any(|s| covers(s, subjects)) {
            return Ok(Some(StreamDependency::of(info, Holds::Source)));
        }
        part = Some(info.config);
    }
    part.map_or(Ok(None), |part| {
        Err(SetupError::Conflict(format!(
            "the stream {} captures only some of the subjects {subjects} ({}), so no other stream \
             can capture them, and bars on the rest would be stored nowhere; let it capture \
             {subjects}, or set TECHNICAL_SUBJECTS to what it captures",
            part.name,
            part.subjects.join(", ")
        )))
    })
}

/// Returns the reason that the stream cannot be made, with the others that capture its subjects.
pub(super) async fn in_the_way(js: &Context, config: &StreamConfig) -> SetupError {
    let mut captured = Vec::new();
    for subject in &config.subjects {
        match overlapping(js, subject).await {
            Ok(others) if others.is_empty() => {}
            Ok(others) => captured.push(format!("{subject} (by {})", others.join(", "))),
            Err(error) => {
                tracing::debug!(%error, subject, "cannot ask which streams capture the subject");
            }
        }
    }
    let what = if captured.is_empty() {
        format!("some of {}", config.subjects.join(", "))
    } else {
        captured.join(", ")
    };
    SetupError::Conflict(format!(
        "the stream {} cannot be made, as other streams capture subjects of it: {what}; let them \
         capture other subjects, or configure other subjects here",
        config.name
    ))
}

/// Returns whether reading from the stream takes nothing away from others.
pub(super) fn sparing(config: &StreamConfig, subjects: &str) -> Result<(), SetupError> {
    let name = &config.name;
    let kept = match config.retention {
        RetentionPolicy::Limits => None,
        RetentionPolicy::Interest => Some("interest"),
        RetentionPolicy::WorkQueue => Some("work-queue"),
    };
    if let Some(kept) = kept {
        return Err(SetupError::Conflict(format!(
            "the stream {name} stores {subjects} with {kept} retention: to read from it would \
             change what its consumers get, so it is left alone; durable delivery needs the bars \
             in a stream with limits retention"
        )));
    }
    Ok(())
}

/// True if reading from the stream takes nothing away from others, and finds what was published.
fn readable(config: &StreamConfig, subjects: &str) -> Result<(), SetupError> {
    sparing(config, subjects)?;
    let name = &config.name;
    if config.subject_transform.is_some() {
        return Err(SetupError::Conflict(format!(
            "the stream {name} stores {subjects} under other subjects than they were published on \
             (it has a subject transform), so the symbols cannot be told from them; store the bars \
             in a stream without one"
        )));
    }
    Ok(())
}

/// Returns true if every subject that matches `part` also matches `whole`.
fn covers(whole: &str, part: &str) -> bool {
    let (mut whole, mut part) = (whole.split('.'), part.split('.'));
    loop {
        match (whole.next(), part.next()) {
            (None, None) | (Some(">"), Some(_)) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_it_matches_all_of() {
        for (whole, part, expected) in [
            ("raw.>", "raw.price.*", true),
            ("raw.>", "raw.price.*.>", true),
            ("raw.price.*", "raw.price.*", true),
            ("raw.*.*", "raw.price.*", true),
            ("raw.price", "raw.price", true),
            ("raw.price.BTC.>", "raw.price.*.>", false),
            ("raw.price.*.*", "raw.price.*.>", false),
            ("raw.price.*", "raw.price.*.>", false),
            ("raw.price.*.>", "raw.price.*", false),
            ("raw.>", "raw", false),
            ("other.>", "raw.price.*", false),
        ] {
            assert_eq!(covers(whole, part), expected, "{whole} {part}");
        }
    }
}
