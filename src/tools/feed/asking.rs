//! Asking the agents for their receipts of a feed, until every bar is accounted for or no agent
//! comes any further.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::service::NATS_SERVICE_ERROR;
use async_nats::{Client, StatusCode, Subscriber};
use futures_util::StreamExt as _;
use indicatif::ProgressBar;
use tokio::time::{Instant, timeout_at};

use super::outcome::{Fed, Outcome};
use crate::bus::Link;
use crate::bus::permissions::{Denial, Operation};
use crate::ops::receipts::{FeedAnswer, FeedId};
use crate::wire::headers::GROUP;

/// Between two questions.
const ROUND: Duration = Duration::from_millis(250);
/// Questions without any answer before it is said that nobody answers.
const UNANSWERED: u32 = 4;
/// Time to wait for the signals of an agent that is gone.
const SETTLE: Duration = Duration::from_secs(3);

/// Asks the agents of `group` for the outcome of `feed`. The rest counts as unknown when they come no
/// further for `patience`.
pub(super) async fn ask(
    client: &Client,
    link: &Link,
    group: &str,
    feed: FeedId,
    fed: Fed,
    patience: Duration,
) -> Outcome {
    let waiting = ProgressBar::new_spinner();
    let outcome = ask_until_settled(client, link, group, feed, fed, (patience, &waiting)).await;
    waiting.finish_and_clear();
    outcome
}

async fn ask_until_settled(
    client: &Client,
    link: &Link,
    group: &str,
    feed: FeedId,
    fed: Fed,
    (patience, waiting): (Duration, &ProgressBar),
) -> Outcome {
    let subject = format!("technical.feed.{feed}");
    let inbox = client.new_inbox();
    let mut replies = match client.subscribe(inbox.clone()).await {
        Ok(replies) => replies,
        Err(error) => return Outcome::impossible(error.to_string()),
    };
    let mut answers = BTreeMap::new();
    let mut unanswered = 0;
    let mut error = None;
    let (mut known, mut since) = ((0, 0), Instant::now());
    loop {
        let asked = client.publish_with_reply(subject.clone(), inbox.clone(), "".into());
        if let Err(error) = asked.await {
            return Outcome::impossible(error.to_string());
        }
        let until = Instant::now() + ROUND;
        let heard = hear(&mut replies, group, &mut answers, until).await;
        if let Some(denied) = denied(link, &subject) {
            return Outcome::impossible(denied);
        }
        let all: Vec<FeedAnswer> = answers.values().cloned().collect();
        let outcome = Outcome::of(&all, fed);
        if outcome.is_settled() || outcome.problem.is_some() {
            return outcome;
        }
        unanswered += u32::from(heard.nobody);
        if answers.is_empty() && unanswered >= UNANSWERED {
            return outcome;
        }
        error = heard.error.or(error);
        let now = known_to(&all);
        if now != known {
            (known, since) = (now, Instant::now());
        }
        let patience = if outcome.unknown == 0 {
            SETTLE.min(patience)
        } else {
            patience
        };
        if since.elapsed() >= patience {
            return match error {
                Some(error) if answers.is_empty() => Outcome::impossible(error),
                _ => outcome,
            };
        }
        waiting.set_message(format!(
            "waiting for the agents: {} of {} bars to come",
            outcome.unknown, fed.bars
        ));
        waiting.tick();
        tokio::time::sleep_until(until).await;
    }
}

/// Signals and refusals that arrived between the answers.
#[derive(Default)]
struct Heard {
    /// The server says that nobody listens.
    nobody: bool,
    /// An agent could not answer.
    error: Option<String>,
}

/// Takes in answers of `group` until `until`.
async fn hear(
    replies: &mut Subscriber,
    group: &str,
    answers: &mut BTreeMap<String, FeedAnswer>,
    until: Instant,
) -> Heard {
    let mut heard = Heard::default();
    while let Ok(Some(reply)) = timeout_at(until, replies.next()).await {
        if reply.status == Some(StatusCode::NO_RESPONDERS) {
            heard.nobody = true;
            continue;
        }
        let headers = reply.headers.unwrap_or_default();
        if headers.get(GROUP).is_none_or(|of| of.as_str() != group) {
            continue;
        }
        if let Some(error) = headers.get(NATS_SERVICE_ERROR) {
            heard.error = Some(error.to_string());
        } else if let Ok(answer) = serde_json::from_slice::<FeedAnswer>(&reply.payload) {
            answers.insert(answer.instance.clone(), answer);
        }
    }
    heard
}

/// The progress of the agents: elements counted and signals published.
fn known_to(answers: &[FeedAnswer]) -> (u64, u64) {
    let receipts = answers.iter().map(|answer| &answer.receipt);
    receipts.fold((0, 0), |(messages, signals), receipt| {
        (
            messages + receipt.messages,
            signals + receipt.signals_published,
        )
    })
}

/// The permission that is missing for a question or its answer.
fn denied(link: &Link, subject: &str) -> Option<String> {
    let denials = link.denials();
    let asking =
        |denial: &Denial| denial.operation == Operation::Publish && denial.subject == subject;
    if denials.iter().any(asking) {
        return Some(
            "this user may not publish to `technical.feed.*`; `config --permissions=producer` prints what it needs"
                .to_owned(),
        );
    }
    let deaf = denials.iter().find(|denial| denial.is_deaf())?;
    Some(format!("this user may not {deaf}"))
}
