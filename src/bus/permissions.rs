//! The permissions that a NATS user needs, and the refusals that a server sends.
//!
//! The list is made from the configuration, so that `config --permissions` prints what this
//! configuration needs and no more; a test runs durable delivery under exactly that.

mod reading;
mod roles;

use std::fmt;

use super::layout::Layout;
use crate::config::{Config, Delivery};
use crate::wire::SubjectPattern;

pub use reading::verify_needs;
pub use roles::{Role, text};

/// The subjects on which agents are asked what became of messages.
const FEEDS: &str = "technical.feed.*";

/// An operation on a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Sending to it.
    Publish,
    /// Listening to it.
    Subscribe,
}

/// Something that the server does not let this user do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    /// The attempted operation.
    pub operation: Operation,
    /// On which subject.
    pub subject: String,
}

/// Something that this user must be let do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The operation.
    pub operation: Operation,
    /// On which subjects.
    pub subject: String,
    /// Its purpose.
    pub purpose: &'static str,
    /// A subject of these on which anything can be sent without effect: it shows whether sending is
    /// allowed.
    pub(super) probe: Option<String>,
}

impl Denial {
    /// Reads `Permissions Violation for Publish to "a.b"` and its like.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const SAYS: &str = "permissions violation for ";
        let lower = text.to_ascii_lowercase();
        let said = lower.find(SAYS)? + SAYS.len();
        let operation = if lower[said..].starts_with("publish to ") {
            Operation::Publish
        } else if lower[said..].starts_with("subscription to ") {
            Operation::Subscribe
        } else {
            return None;
        };
        let mut parts = text[said..].split('"');
        let subject = parts.nth(1)?.to_owned();
        Some(Self { operation, subject })
    }

    /// Returns true if it is about an inbox, by which answers come.
    #[must_use]
    pub fn is_about_inbox(&self) -> bool {
        self.subject.starts_with("_INBOX.")
    }

    /// True if no answer can be heard on this connection.
    #[must_use]
    pub fn is_deaf(&self) -> bool {
        self.operation == Operation::Subscribe && self.is_about_inbox()
    }

    /// Returns true if it is about receiving changes of records, without which the table of them is
    /// only read from time to time.
    #[must_use]
    pub fn is_about_changes(&self) -> bool {
        self.operation == Operation::Subscribe && self.subject.starts_with("$KV.")
    }

    /// Returns true if durable work is possible without it: a heartbeat, an answer, a signal of a
    /// forming bar.
    #[must_use]
    pub fn is_minor(&self, config: &Config) -> bool {
        const OPTIONAL: [&str; 4] = [
            "agents.technical.heartbeat.",
            "agents.technical.group.",
            "$SRV.",
            "technical.",
        ];
        let listing = config.nats.jetstream.subject("STREAM.LIST");
        let forming = || {
            let pattern = config.forming_subject.pattern();
            let subject = self.subject.parse::<SubjectPattern>();
            subject.is_ok_and(|subject| pattern.overlaps(&subject))
        };
        // time marks and resets
        let market_data = || {
            let mut patterns = config.subjects.iter();
            patterns.any(|pattern| pattern.matches(&self.subject))
        };
        (self.operation == Operation::Publish
            && (self.is_about_inbox() || self.subject == listing || market_data()))
            || OPTIONAL.iter().any(|start| self.subject.starts_with(start))
            || forming()
    }

    /// The subjects for which the permission should be asked, names that change from one time to
    /// the next left out.
    fn subjects(&self) -> String {
        let tokens: Vec<&str> = self.subject.split('.').collect();
        // the prefix of a domain or an import is longer than `$JS.API`
        let api = tokens.iter().position(|token| *token == "API");
        let rest = api.map_or(0, |at| at + 1);
        let keep = match (api.is_some(), &tokens[rest..]) {
            (false, ["_INBOX", ..]) => 1,
            (true, ["CONSUMER", "MSG", "NEXT", _, _, ..]) => 4,
            (true, ["CONSUMER", _, _, _, ..] | ["DIRECT", "GET", _, _, ..]) => 3,
            (_, ["$KV" | "$O", _, ..]) => 2,
            _ => return self.subject.clone(),
        };
        format!("{}.>", tokens[..rest + keep].join("."))
    }
}

impl Need {
    /// True if `denial` is about this.
    pub(super) fn is_denied_by(&self, denial: &Denial) -> bool {
        let pattern = self.subject.parse::<SubjectPattern>();
        self.operation == denial.operation
            && pattern.is_ok_and(|pattern| pattern.matches(&denial.subject))
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = match self.operation {
            Operation::Publish => "publish to",
            Operation::Subscribe => "subscribe to",
        };
        write!(f, "{operation} `{}`", self.subjects())
    }
}

/// The subjects on which owners of partitions publish time marks.
fn mark_patterns(config: &Config) -> Vec<String> {
    if config.analysis.derived.is_empty() || config.delivery == Delivery::Core {
        return Vec::new();
    }
    Layout::new(&config.subjects, 1).mark_patterns()
}

/// The permissions that `config` needs, for its kind of delivery; `auto` is taken for durable.
#[must_use]
pub fn needs(config: &Config) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut need = |operation, purpose, subject: String, probe: Option<&str>| {
        let probe = probe.map(|last| match subject.strip_suffix('>') {
            Some(prefix) => format!("{prefix}{last}"),
            None => subject.clone(),
        });
        needs.push(Need {
            operation,
            subject,
            purpose,
            probe,
        });
    };
    let (publish, subscribe) = (Operation::Publish, Operation::Subscribe);
    let signals = config.publish_subject.pattern().to_string();
    let forming = config.forming_subject.pattern().to_string();
    need(publish, "signals", signals, None);
    need(publish, "signals of bars still forming", forming, None);
    need(
        publish,
        "refused input",
        config.dead_letter_subject.clone(),
        None,
    );
    let inboxes = || "_INBOX.>".to_owned();
    need(publish, "answers to questions", inboxes(), None);
    need(subscribe, "answers", inboxes(), None);
    let agents = || "agents.technical.>".to_owned();
    need(publish, "heartbeats and the group", agents(), None);
    need(subscribe, "the service API", "$SRV.>".to_owned(), None);
    need(subscribe, "the service API", "technical.>".to_owned(), None);
    if config.http.resets_series() {
        for subject in &config.subjects {
            let subject = subject.as_str().to_owned();
            need(
                publish,
                "resets over HTTP, among the market data",
                subject,
                None,
            );
        }
        let subject = FEEDS.to_owned();
        need(publish, "asking what became of a reset", subject, None);
        if config.delivery == Delivery::Core {
            let subject = config.nats.jetstream.subject("STREAM.NAMES");
            need(
                publish,
                "finding a stream that stores resets",
                subject,
                None,
            );
        }
    }
    if config.delivery == Delivery::Core {
        need(subscribe, "the group", agents(), None);
        for subject in &config.subjects {
            need(subscribe, "market data", subject.as_str().to_owned(), None);
        }
        return needs;
    }

    need(
        subscribe,
        "members of the group that deliver in another way",
        "agents.technical.group.>".to_owned(),
        None,
    );
    let durable = &config.durable;
    let (bars, signals) = (&durable.bars_stream, &durable.signals_stream);
    let leases = format!("{signals}_GROUPS");
    let checkpoints = format!("{signals}_CHECKPOINTS");
    let (table, objects) = (format!("KV_{leases}"), format!("OBJ_{checkpoints}"));
    let layout = Layout::new(&config.subjects, 1);
    let mut read = Vec::new();
    let mut sourced = Vec::new();
    if !layout.shapes.is_empty() {
        read.push(bars.clone());
    }
    if layout.shapes.len() > 1 {
        sourced.push(format!("IN_{bars}"));
    }
    if !layout.bare.is_empty() {
        read.push(format!("{bars}_BARE"));
    }
    let streams = read.iter().chain(&sourced);
    let streams = streams.chain([signals, &table, &objects]);
    let jetstream = &config.nats.jetstream;
    let api = |rest: String| jetstream.subject(&rest);
    need(
        publish,
        "finding streams that store the bars already",
        api("STREAM.NAMES".to_owned()),
        Some(""),
    );
    need(
        publish,
        "naming mirrors that may store them",
        api("STREAM.LIST".to_owned()),
        None,
    );
    if let Some(input) = &durable.input_stream {
        need(
            publish,
            "looking at the stream that bars are taken from",
            api(format!("STREAM.INFO.{input}")),
            Some(""),
        );
    }
    for stream in streams {
        need(
            publish,
            "looking at a stream",
            api(format!("STREAM.INFO.{stream}")),
            Some(""),
        );
        need(
            publish,
            "making it where it is missing",
            api(format!("STREAM.CREATE.{stream}")),
            None,
        );
    }
    for stream in &read {
        need(
            publish,
            "reading bars",
            api(format!("CONSUMER.CREATE.{stream}")),
            Some(""),
        );
        for (what, purpose) in [
            ("MSG.NEXT", "reading bars"),
            ("INFO", "seeing whether reading stalls"),
            ("DELETE", "ending it in order"),
        ] {
            need(
                publish,
                purpose,
                api(format!("CONSUMER.{what}.{stream}.>")),
                Some("probe"),
            );
        }
    }
    need(
        publish,
        "how far a partition is",
        api(format!("STREAM.MSG.GET.{signals}")),
        Some(""),
    );
    need(
        publish,
        "how far a partition is",
        api(format!("DIRECT.GET.{signals}.>")),
        Some("probe"),
    );
    need(
        publish,
        "the table of members and leases",
        api(format!("DIRECT.GET.{table}")),
        Some(""),
    );
    need(
        publish,
        "renewing the own record, taking and giving up leases",
        jetstream.record(&format!("$KV.{leases}.>")),
        Some("probe"),
    );
    need(
        subscribe,
        "hearing of changes at once",
        format!("$KV.{leases}.>"),
        None,
    );
    need(
        publish,
        "how far a partition is, stored with its signals",
        format!("commit.{signals}.>"),
        Some("probe"),
    );
    need(
        publish,
        "writing checkpoints",
        format!("$O.{checkpoints}.>"),
        Some("probe"),
    );
    need(
        publish,
        "replacing checkpoints",
        api(format!("DIRECT.GET.{objects}.>")),
        Some("probe"),
    );
    for subject in mark_patterns(config) {
        need(
            publish,
            "time marks, which close derived bars",
            subject,
            None,
        );
    }
    for (what, purpose) in [
        ("MSG.GET", "reading checkpoints"),
        ("PURGE", "replacing checkpoints"),
    ] {
        need(
            publish,
            purpose,
            api(format!("STREAM.{what}.{objects}")),
            (what == "MSG.GET").then_some(""),
        );
    }
    needs
}

/// The permissions as a block for the configuration of a NATS server.
#[must_use]
pub fn block(needs: &[Need]) -> String {
    let list = |operation| {
        let of = needs.iter().filter(|need| need.operation == operation);
        let lines: Vec<String> = of
            .map(|need| format!("    \"{}\" # {}\n", need.subject, need.purpose))
            .collect();
        let lines = lines.concat();
        if lines.is_empty() {
            // a list without subjects would allow all of them
            "{ deny: \">\" }".to_owned()
        } else {
            format!("[\n{lines}  ]")
        }
    };
    format!(
        "permissions {{\n  publish: {}\n  subscribe: {}\n}}\n",
        list(Operation::Publish),
        list(Operation::Subscribe)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_read() {
        let shown = |text: &str| Denial::parse(text).map(|denial| denial.to_string());
        let said = |what: &str| shown(&format!("nats: Permissions Violation for {what}")).unwrap();
        assert_eq!(said("Publish to \"a.b\""), "publish to `a.b`");
        assert_eq!(
            said("Subscription to \"a.*\" using queue \"q\""),
            "subscribe to `a.*`"
        );
        let wide = |subject: &str| said(&format!("Publish to \"{subject}\""));
        assert_eq!(
            wide("$JS.API.CONSUMER.CREATE.B.x1.p.3.>"),
            "publish to `$JS.API.CONSUMER.CREATE.B.>`"
        );
        assert_eq!(
            wide("$JS.API.CONSUMER.MSG.NEXT.B.x1"),
            "publish to `$JS.API.CONSUMER.MSG.NEXT.B.>`"
        );
        assert_eq!(
            wide("$JS.API.STREAM.INFO.B"),
            "publish to `$JS.API.STREAM.INFO.B`"
        );
        assert_eq!(
            wide("$JS.hub.API.CONSUMER.CREATE.B.x1.p.3.>"),
            "publish to `$JS.hub.API.CONSUMER.CREATE.B.>`"
        );
        assert_eq!(
            wide("JS.far.API.$KV.B.g.lease.3"),
            "publish to `JS.far.API.$KV.B.>`"
        );
        assert_eq!(wide("$KV.B.g.lease.3"), "publish to `$KV.B.>`");
        assert_eq!(wide("_INBOX.abc.1"), "publish to `_INBOX.>`");
        assert_eq!(shown("Authorization Violation"), None);
    }
}
