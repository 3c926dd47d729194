//! Permissions to read streams, without any to write.

use super::{Need, Operation};
use crate::bus::layout::Layout;
use crate::config::Config;

/// The permissions that `verify` needs under `config`: only to read.
#[must_use]
pub fn verify_needs(config: &Config) -> Vec<Need> {
    let durable = &config.durable;
    let (bars, signals) = (&durable.bars_stream, &durable.signals_stream);
    let layout = Layout::new(&config.subjects, 1);
    let mut read = vec![signals.clone()];
    if !layout.shapes.is_empty() {
        read.push(bars.clone());
    }
    if !layout.bare.is_empty() {
        read.push(format!("{bars}_BARE"));
    }
    let mut needs = Vec::new();
    let mut need = |operation, purpose, subject: String| {
        needs.push(Need {
            operation,
            subject,
            purpose,
            probe: None,
        });
    };
    let publish = Operation::Publish;
    for stream in &read {
        for (what, purpose) in [
            (format!("STREAM.INFO.{stream}"), "looking at a stream"),
            (format!("CONSUMER.CREATE.{stream}"), "reading it"),
            (format!("CONSUMER.MSG.NEXT.{stream}.>"), "reading it"),
            (
                format!("CONSUMER.INFO.{stream}.>"),
                "knowing that it was read to its end",
            ),
            (
                format!("CONSUMER.DELETE.{stream}.>"),
                "leaving no consumer behind",
            ),
        ] {
            need(publish, purpose, config.nats.jetstream.subject(&what));
        }
    }
    need(
        publish,
        "commit markers, and signals that differ",
        config
            .nats
            .jetstream
            .subject(&format!("STREAM.MSG.GET.{signals}")),
    );
    need(Operation::Subscribe, "answers", "_INBOX.>".to_owned());
    needs
}
