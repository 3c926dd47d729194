//! The roles on a NATS server besides the agents, and the permissions they need.
//!
//! A group without a secret believes every message on its subjects, and one with a secret still
//! believes every bar. So each role gets only the permissions that its work needs: producers alone
//! publish market data, and agents alone publish signals and the messages of members.

use super::{FEEDS, Need, Operation, block, needs, verify_needs};
use crate::bus::layout::Layout;
use crate::config::{Config, Delivery};

/// A kind of NATS user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Runs `run`: reads market data, publishes signals.
    Agent,
    /// Publishes market data.
    Producer,
    /// Reads signals.
    Consumer,
    /// Feeds, puts dead letters back, looks after the streams.
    Operator,
    /// Runs `verify`, which reads the streams and changes nothing.
    Verify,
}

impl Role {
    const ALL: [Self; 5] = [
        Self::Agent,
        Self::Producer,
        Self::Consumer,
        Self::Operator,
        Self::Verify,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Operator => "operator",
            Self::Verify => "verify",
        }
    }

    const fn does(self) -> &'static str {
        match self {
            Self::Agent => "runs the agent",
            Self::Producer => "publishes market data",
            Self::Consumer => "reads signals and dead letters",
            Self::Operator => "runs `feed` and `redrive`, looks after the streams",
            Self::Verify => "runs `verify`",
        }
    }

    /// The permissions that the role needs under `config`.
    #[must_use]
    pub fn needs(self, config: &Config) -> Vec<Need> {
        match self {
            Self::Agent => needs(config),
            Self::Producer => producer(config),
            Self::Consumer => consumer(config),
            Self::Operator => operator(config),
            Self::Verify => verify_needs(config),
        }
    }
}

/// The block of one role; without a role that of the agent, behind those of the others as comments.
#[must_use]
pub fn text(config: &Config, role: Option<Role>) -> String {
    if let Some(role) = role {
        return block(&role.needs(config));
    }
    let mut text = String::from(
        "# A NATS user for each role; `config --permissions ROLE` prints one without comments.\n",
    );
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Agent) {
        text.push_str(&heading(role));
        for line in block(&role.needs(config)).lines() {
            text.push_str(&format!("# {line}\n"));
        }
    }
    text.push_str(&heading(Role::Agent));
    text + &block(&needs(config))
}

fn heading(role: Role) -> String {
    format!("#\n# {}: {}\n", role.name(), role.does())
}

fn need(operation: Operation, purpose: &'static str, subject: impl Into<String>) -> Need {
    Need {
        operation,
        subject: subject.into(),
        purpose,
        probe: None,
    }
}

fn market_data(config: &Config) -> impl Iterator<Item = Need> {
    let subjects = config.subjects.iter();
    subjects.map(|subject| need(Operation::Publish, "market data", subject.as_str()))
}

fn producer(config: &Config) -> Vec<Need> {
    let mut needs: Vec<Need> = market_data(config).collect();
    needs.push(need(
        Operation::Publish,
        "asking what became of bars that `feed` published",
        FEEDS,
    ));
    let answers = "acknowledgements and answers";
    needs.push(need(Operation::Subscribe, answers, "_INBOX.>"));
    needs
}

/// The subjects that signals are published on.
fn outputs(config: &Config) -> [Need; 4] {
    let signals = config.publish_subject.pattern().to_string();
    let forming = config.forming_subject.pattern().to_string();
    let letters = config.dead_letter_subject.clone();
    let heartbeats = "agents.technical.heartbeat.>";
    [
        need(Operation::Subscribe, "signals", signals),
        need(Operation::Subscribe, "signals of forming bars", forming),
        need(Operation::Subscribe, "dead letters", letters),
        need(Operation::Subscribe, "heartbeats", heartbeats),
    ]
}

/// The permissions to ask agents for their state.
fn asking() -> [Need; 3] {
    [
        need(Operation::Subscribe, "answers", "_INBOX.>"),
        need(Operation::Publish, "asking agents", "technical.>"),
        need(Operation::Publish, "finding agents", "$SRV.>"),
    ]
}

fn consumer(config: &Config) -> Vec<Need> {
    let mut needs = Vec::from(outputs(config));
    needs.extend(asking());
    if config.delivery != Delivery::Core {
        needs.push(api(config, "finding the stream of signals", "STREAM.NAMES"));
        let signals = &config.durable.signals_stream;
        needs.push(api(
            config,
            "looking at it",
            format!("STREAM.INFO.{signals}"),
        ));
        needs.extend(reading(config, signals));
    }
    needs
}

/// Reading a stream by consumers.
fn reading(config: &Config, stream: &str) -> Vec<Need> {
    let create = "a consumer to read with";
    vec![
        api(config, create, format!("CONSUMER.CREATE.{stream}")),
        api(config, create, format!("CONSUMER.CREATE.{stream}.>")),
        api(
            config,
            create,
            format!("CONSUMER.DURABLE.CREATE.{stream}.>"),
        ),
        api(config, "looking at it", format!("CONSUMER.INFO.{stream}.>")),
        api(config, "reading", format!("CONSUMER.MSG.NEXT.{stream}.>")),
        need(
            Operation::Publish,
            "acknowledging",
            format!("$JS.ACK.{stream}.>"),
        ),
    ]
}

fn api(config: &Config, purpose: &'static str, rest: impl AsRef<str>) -> Need {
    let subject = config.nats.jetstream.subject(rest.as_ref());
    need(Operation::Publish, purpose, subject)
}

fn operator(config: &Config) -> Vec<Need> {
    let mut needs: Vec<Need> = market_data(config).collect();
    needs.extend(outputs(config));
    for subject in &config.subjects {
        let subject = subject.as_str();
        needs.push(need(Operation::Subscribe, "market data", subject));
    }
    needs.push(need(
        Operation::Subscribe,
        "the group",
        "agents.technical.group.>",
    ));
    needs.extend(asking());
    if config.delivery == Delivery::Core {
        return needs;
    }
    let signals = &config.durable.signals_stream;
    needs.push(need(
        Operation::Publish,
        "the journal of `redrive`",
        format!("commit.{signals}.redrive"),
    ));
    for what in ["INFO", "STREAM.NAMES", "STREAM.LIST"] {
        needs.push(api(config, "what there is", what));
    }
    for stream in streams(config) {
        let manage = "managing a stream";
        needs.push(api(config, manage, format!("STREAM.*.{stream}")));
        needs.push(api(config, manage, format!("STREAM.MSG.*.{stream}")));
        needs.push(api(config, manage, format!("DIRECT.GET.{stream}")));
        needs.push(api(config, manage, format!("DIRECT.GET.{stream}.>")));
        needs.push(api(config, "its consumers", format!("CONSUMER.*.{stream}")));
        needs.push(api(
            config,
            "its consumers",
            format!("CONSUMER.*.{stream}.>"),
        ));
        needs.extend(reading(config, &stream).into_iter().filter(|need| {
            let subject = &need.subject;
            subject.contains(".DURABLE.") || subject.contains(".MSG.") || subject.contains(".ACK.")
        }));
    }
    needs
}

/// Every stream that durable delivery may make.
fn streams(config: &Config) -> Vec<String> {
    let durable = &config.durable;
    let (bars, signals) = (&durable.bars_stream, &durable.signals_stream);
    let layout = Layout::new(&config.subjects, 1);
    let mut streams = Vec::new();
    if !layout.shapes.is_empty() {
        streams.push(bars.clone());
    }
    if layout.shapes.len() > 1 {
        streams.push(format!("IN_{bars}"));
    }
    if !layout.bare.is_empty() {
        streams.push(format!("{bars}_BARE"));
    }
    streams.push(signals.clone());
    streams.push(format!("KV_{signals}_GROUPS"));
    streams.push(format!("OBJ_{signals}_CHECKPOINTS"));
    streams
}
