//! One event as one flat JSON object.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The fields of every line; a field of the same name gets the prefix `field_`.
const FIXED: [&str; 6] = ["timestamp", "level", "agent", "pid", "message", "target"];

/// Formats `timestamp, level, agent, pid, message, target`, then the fields of the event and
/// of the spans around it, the inner before the outer.
pub(super) struct JsonLine {
    agent: String,
    pid: u32,
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'a str,
    agent: &'a str,
    pid: u32,
    message: &'a str,
    target: &'a str,
    #[serde(flatten)]
    fields: &'a Map<String, Value>,
}

impl JsonLine {
    pub fn new(agent: &str) -> Self {
        Self {
            agent: agent.to_owned(),
            pid: std::process::id(),
        }
    }
}

impl<S> FormatEvent<S, JsonFields> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let recorded = extensions
                .get::<FormattedFields<JsonFields>>()
                .and_then(|fields| serde_json::from_str::<Map<String, Value>>(fields).ok());
            for (name, value) in recorded.into_iter().flatten() {
                fields.add(&name, value);
            }
        }
        let metadata = event.metadata();
        let line = Line {
            timestamp: format!("{:.6}", jiff::Timestamp::now()),
            level: metadata.level().as_str(),
            agent: &self.agent,
            pid: self.pid,
            message: &fields.message,
            target: fields.target.as_deref().unwrap_or(metadata.target()),
            fields: &fields.others,
        };
        let line = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    /// The target of an event of the `log` crate.
    target: Option<String>,
    others: Map<String, Value>,
}

impl Fields {
    fn add(&mut self, name: &str, value: Value) {
        let name = name.strip_prefix("r#").unwrap_or(name);
        let name = if FIXED.contains(&name) {
            format!("field_{name}")
        } else {
            name.to_owned()
        };
        self.others.entry(name).or_insert(value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            "log.target" => self.target = Some(value.to_owned()),
            name if name.starts_with("log.") => {}
            name => self.add(name, value.into()),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if !field.name().starts_with("log.") {
            self.add(field.name(), value.into());
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let causes = std::iter::successors(value.source(), |error| error.source());
        let text = causes.fold(value.to_string(), |text, cause| format!("{text}: {cause}"));
        self.record_str(field, &text);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::{Layer, fmt, registry};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(events: impl FnOnce()) -> Vec<Value> {
        let page = Page::default();
        let writer = page.clone();
        let layer = fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(JsonLine::new("agent-1"))
            .with_writer(move || writer.clone())
            .boxed();
        tracing::subscriber::with_default(registry().with(layer), events);
        let bytes = page.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn a_line_is_flat_with_the_fields_at_its_top() {
        let lines = logged(|| {
            tracing::warn!(target: "bus", reason = "late", count = 3_u64, price = 1.5, ok = true, "refused \"input\"\nagain");
        });
        let line = lines[0].as_object().unwrap();
        assert_eq!(lines.len(), 1);
        let stamp: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
        assert!(stamp.as_second() > 1_700_000_000);
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["agent"], "agent-1");
        assert_eq!(line["pid"], std::process::id());
        assert_eq!(line["message"], "refused \"input\"\nagain");
        assert_eq!(line["target"], "bus");
        assert_eq!(line["reason"], "late");
        assert_eq!(line["count"], 3);
        assert_eq!(line["price"], 1.5);
        assert_eq!(line["ok"], true);
        assert_eq!(line.len(), 10);
    }

    #[test]
    fn the_spans_around_an_event_add_their_fields_and_no_name_comes_twice() {
        let lines = logged(|| {
            let outer = tracing::info_span!("group", partition = 1, zone = "a");
            let inner = tracing::info_span!(parent: &outer, "series", partition = 2);
            inner.in_scope(|| tracing::info!(pid = 7, partition = 3, "in"));
            inner.in_scope(|| tracing::info!("out"));
        });
        assert_eq!(lines[0]["partition"], 3);
        assert_eq!(lines[0]["zone"], "a");
        assert_eq!(lines[0]["field_pid"], 7);
        assert_eq!(lines[0]["pid"], std::process::id());
        assert_eq!(lines[1]["partition"], 2);
    }

    #[test]
    fn an_error_is_logged_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("commit failed")]
        struct Outer(#[source] io::Error);
        let lines = logged(|| {
            let error = Outer(io::Error::other("disk full"));
            tracing::error!(error = &error as &(dyn std::error::Error + 'static), "no");
        });
        assert_eq!(lines[0]["error"], "commit failed: disk full");
    }
}
