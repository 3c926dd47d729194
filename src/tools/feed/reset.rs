//! Resetting a series: publishing the control message in order with its bars, and asking the agents
//! what became of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::address::{Address, Target};
use super::outcome::Fed;
use super::{Outcome, Publisher, asking, stream_of};
use crate::bus::Link;
use crate::bus::permissions::Operation;
use crate::config::Config;
use crate::market::SeriesKey;
use crate::ops::http::SeriesReset;
use crate::ops::receipts::FeedId;
use crate::wire::Reset;

/// The owner of the series answers within this time.
const PATIENCE: Duration = Duration::from_secs(6);

/// The account of a reset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResetReport {
    /// The instrument.
    pub symbol: String,
    /// The bar length.
    pub timeframe: String,
    /// The subject of the reset.
    pub subject: String,
    /// The stream that stores it, if one does.
    pub stream: Option<String>,
    /// True if the series existed and was reset.
    pub done: bool,
    /// Bars that were in its window.
    pub forgotten: u64,
    /// The agents that have counted it.
    pub by: Vec<String>,
    /// Reason why the reset may not have happened: it was not published, or no agent answers for
    /// it.
    pub problem: Option<String>,
    /// True if a permission is missing.
    #[serde(skip)]
    denied: bool,
    #[serde(skip)]
    refused: bool,
}

impl ResetReport {
    /// True if an agent answered: the series was reset, or was not there.
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        self.problem.is_none()
    }

    /// True if the agents refused the reset, for example because its subject is that of another
    /// series.
    #[must_use]
    pub const fn was_refused(&self) -> bool {
        self.refused
    }

    /// The answer of the admin route.
    #[must_use]
    pub fn answer(self) -> SeriesReset {
        match self.problem {
            Some(problem) if self.denied => SeriesReset::Denied(problem),
            Some(problem) => SeriesReset::Failed(problem),
            None if self.done => SeriesReset::Done {
                forgotten: self.forgotten,
                by: self.by,
            },
            None => SeriesReset::Unknown,
        }
    }
}

impl fmt::Display for ResetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (symbol, timeframe) = (&self.symbol, &self.timeframe);
        let by = self.by.join(", ");
        match (&self.problem, self.done) {
            (Some(problem), _) => write!(f, "{symbol} {timeframe}: {problem}"),
            (None, true) => write!(
                f,
                "{symbol} {timeframe} was reset: {} bars forgotten by {by}",
                self.forgotten
            ),
            (None, false) => write!(
                f,
                "there is no series {symbol} {timeframe}, says {by}: nothing was reset"
            ),
        }
    }
}

/// Publishes a reset of `series` on its own subject, or on `subject`, and asks the agents of the
/// group about it.
///
/// # Errors
/// If the connection fails for good.
pub async fn reset(
    client: &Client,
    link: &Arc<Link>,
    config: &Config,
    series: &SeriesKey,
    subject: Option<&str>,
) -> anyhow::Result<ResetReport> {
    let target = Target::new(&config.subjects, config.input.default_timeframe);
    let address = Address {
        symbol: series.symbol.to_string(),
        timeframe: Some(series.timeframe.to_string()),
    };
    let subject = subject.map_or_else(|| target.subject(&address), str::to_owned);
    let name = nuid::next();
    let message = Reset {
        series: series.clone(),
        id: Some(name.to_string()),
    };
    let id = FeedId::new(xxh3_64(name.as_bytes()));
    let api = &config.nats.jetstream;
    let stream = stream_of(client, api, &subject).await;
    let mut publisher = Publisher::new(client, link, api, stream.is_some(), id);
    publisher
        .publish(subject.clone(), message.payload())
        .await?;
    publisher.finish().await?;
    let mut report = ResetReport {
        symbol: address.symbol,
        timeframe: series.timeframe.to_string(),
        subject,
        stream,
        done: false,
        forgotten: 0,
        by: Vec::new(),
        problem: None,
        denied: false,
        refused: false,
    };
    let of_reset = |denial: &crate::bus::permissions::Denial| {
        denial.operation == Operation::Publish && denial.subject == report.subject
    };
    if link.denials().iter().any(of_reset) {
        report.denied = true;
        report.problem = Some(format!(
            "this user may not publish to `{}`, where the bars of the series come; reset it as a user that may \
             publish market data (`config --permissions=producer`), or over HTTP after giving the agent's user the \
             permissions that `config --permissions=agent` prints with HTTP_ADMIN_TOKEN set",
            report.subject
        ));
        return Ok(report);
    }
    if publisher.confirmed == 0 {
        report.problem = Some("it is not known whether the reset was published".to_owned());
        return Ok(report);
    }
    let fed = Fed {
        messages: 1,
        bars: 1,
    };
    let outcome = asking::ask(client, link, &config.group, id, fed, PATIENCE).await;
    report.told(outcome, &config.group);
    Ok(report)
}

impl ResetReport {
    fn told(&mut self, outcome: Outcome, group: &str) {
        let place = match &self.stream {
            Some(stream) => format!(
                "the reset is stored in stream {stream}, and takes effect where it stands once an agent in durable \
                 delivery comes to it"
            ),
            None => "no stream stores the reset either: start an agent and reset the series again"
                .to_owned(),
        };
        self.problem = if let Some(problem) = outcome.problem {
            Some(format!("the agents cannot be asked: {problem}; {place}"))
        } else if outcome.agents.is_empty() {
            Some(format!("no agent of group {group} answers; {place}"))
        } else if outcome.unknown > 0 {
            let agents = outcome.agents.join(", ");
            Some(format!(
                "no agent of {agents} has answered for it yet; {place}"
            ))
        } else {
            let refused = outcome.refused.keys().next();
            refused.map(|reason| {
                let detail = outcome.details.get(reason).map_or("", String::as_str);
                format!("the reset was refused ({reason}): {detail}")
            })
        };
        self.refused = !outcome.refused.is_empty();
        self.done = outcome.resets > 0;
        self.forgotten = outcome.forgotten;
        self.by = outcome.by;
    }
}
