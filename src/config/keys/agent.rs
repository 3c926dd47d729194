//! The agent, its group and its subjects.

use super::{derived, secret, section, set};
use crate::config::choices::Delivery;
use crate::config::readers::{count, name, one_of, parsed};
use crate::config::secret::Secret;
use crate::wire::{SubjectPattern, SubjectTemplate};

section! {
    AgentValues, "Agent and delivery":

    TECHNICAL_AGENT_NAME: String = name,
        derived("<group>-<host>-<pid>", "technical-1",
            "this process, in logs, metrics, headers and status",
        );

    TECHNICAL_GROUP: String = name,
        set("technical-analysis", "technical-analysis",
            "replicas of one group share the symbols; another group is another, independent \
             analysis",
        );

    TECHNICAL_GROUP_SECRET: Vec<Secret> = group_secrets,
        secret("new-secret,old-secret",
            "messages and records of the group are signed with the first of these secrets, \
             comma-separated; all are accepted, an empty one accepts unsigned",
        );

    TECHNICAL_DELIVERY: Delivery = one_of(DELIVERIES),
        set("auto", "core",
            "`durable` (JetStream), `core` (plain NATS), or `auto`: durable where it can be had, \
             else core",
        );

    TECHNICAL_SUBJECTS: Vec<SubjectPattern> = patterns,
        set("raw.market_data.price,raw.market_data.price.>", "raw.market_data.price.>",
            "market-data subjects, comma-separated; `{symbol}` and `{timeframe}` say where they \
             stand, else the wildcards are the symbol and then the timeframe",
        );

    TECHNICAL_PUBLISH_SUBJECT: SubjectTemplate = parsed,
        set("insight.technical.{symbol}.{timeframe}", "insight.technical.{symbol}.{timeframe}",
            "where signals go; the placeholders are optional",
        );

    TECHNICAL_FORMING_SUBJECT: SubjectTemplate = parsed,
        set("insight.forming.technical.{symbol}.{timeframe}", "insight.forming.technical.{symbol}.{timeframe}",
            "where signals of bars still forming go: plain NATS, never stored",
        );

    TECHNICAL_DEAD_LETTER_SUBJECT: SubjectTemplate = plain_subject,
        set("dead.technical", "dead.technical",
            "where refused input goes, with the reason in headers",
        );

    TECHNICAL_MAX_PAYLOAD_BYTES: usize = count(1_024..=67_108_864),
        set("262144", "262144", "larger input is refused");
}

const DELIVERIES: &[(&str, Delivery)] = &[
    ("auto", Delivery::Auto),
    ("core", Delivery::Core),
    ("durable", Delivery::Durable),
];

/// Secrets that may be in use at a time; more than a roll from one to the next needs.
const MAX_SECRETS: usize = 16;

fn group_secrets(text: &str) -> Result<Vec<Secret>, String> {
    let secrets: Vec<&str> = text.split(',').map(str::trim).collect();
    if secrets.iter().all(|secret| secret.is_empty()) {
        return Err("names no secret: set one, or leave the variable unset".to_owned());
    }
    if secrets.len() > MAX_SECRETS {
        return Err(format!(
            "has {} secrets; at most {MAX_SECRETS} are allowed",
            secrets.len()
        ));
    }
    let secret = |text: &&str| Secret::new((*text).to_owned());
    Ok(secrets.iter().map(secret).collect())
}

fn patterns(list: &str) -> Result<Vec<SubjectPattern>, String> {
    let mut patterns: Vec<SubjectPattern> = Vec::new();
    for text in list.split(',') {
        let pattern: SubjectPattern = text.trim().parse().map_err(|error| format!("{error}"))?;
        if let Some(other) = patterns.iter().find(|other| other.overlaps(&pattern)) {
            return Err(format!(
                "`{other}` and `{pattern}` overlap: a bar on both would come twice"
            ));
        }
        patterns.push(pattern);
    }
    Ok(patterns)
}

fn plain_subject(text: &str) -> Result<SubjectTemplate, String> {
    if text.contains('{') {
        return Err("must be one subject without placeholders".to_owned());
    }
    parsed(text)
}
