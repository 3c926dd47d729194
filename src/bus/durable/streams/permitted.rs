//! Permissions that the server denies: found before they are needed, and tried again until they are
//! granted.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::{Client, HeaderMap, PublishError};
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::SetupError;
use crate::bus::drain::round_trip;
use crate::bus::link::Link;
use crate::bus::permissions::{Need, needs};
use crate::config::Config;

/// Time limit for the server's answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Time for noting a denial that the server sent before its answer: the client hands the two to
/// different tasks.
const NOTED: Duration = Duration::from_millis(100);

/// Tries everything that can be tried without effect. A forbidden subject gives no answer, and
/// would otherwise show up only when it is needed.
pub(super) async fn allowed(
    client: &Client,
    link: &Link,
    config: &Config,
) -> Result<(), SetupError> {
    let unanswered = |error: &dyn std::fmt::Display| SetupError::Unavailable(error.to_string());
    link.forget_denials();
    attempt(client, &needs(config))
        .await
        .map_err(|error| unanswered(&error))?;
    let deadline = Instant::now() + ANSWER;
    round_trip(client, link, deadline)
        .await
        .map_err(|error| unanswered(&error))?;
    denied(link, config).map_or(Ok(()), Err)
}

/// Tries denied operations again, if that has no effect, and forgets the denials that do not recur.
/// A granted permission is therefore noticed even if no work needs it at the moment.
pub(in crate::bus::durable) async fn ask_again(client: &Client, link: &Link, config: &Config) {
    let denials = link.denials();
    let mut denied = needs(config);
    denied.retain(|need| denials.iter().any(|denial| need.is_denied_by(denial)));
    let asked = Instant::now();
    if attempt(client, &denied).await.is_err()
        || round_trip(client, link, asked + ANSWER).await.is_err()
    {
        return;
    }
    sleep(NOTED).await;
    link.forget_denials_before(asked, |denial| {
        let tried = |need: &Need| need.probe.is_some() && need.is_denied_by(denial);
        denied.iter().any(tried)
    });
}

/// Sends messages without effect to the subjects of those `needs` that have one.
async fn attempt(client: &Client, needs: &[Need]) -> Result<(), PublishError> {
    let mut headers = HeaderMap::new();
    // a stream refuses it, because none has that many messages
    headers.insert("Nats-Expected-Last-Sequence", i64::MAX.to_string());
    for subject in needs.iter().filter_map(|need| need.probe.clone()) {
        client
            .publish_with_headers(subject, headers.clone(), Bytes::new())
            .await?;
    }
    Ok(())
}

/// The denied permissions without which durable delivery cannot work.
pub(in crate::bus::durable) fn denied(link: &Link, config: &Config) -> Option<SetupError> {
    let denials = link.denials();
    let grave = denials
        .iter()
        .filter(|denial| !denial.is_minor(config) && !denial.is_about_changes());
    let names: BTreeSet<String> = grave.map(ToString::to_string).collect();
    let names: Vec<String> = names.into_iter().collect();
    (!names.is_empty()).then(|| SetupError::Denied(names.join(", ")))
}
