//! The state of the link, its log and the permissions that the server denies, by events alone.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use async_nats::ServerError;

use super::line::lock;
use super::*;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Keeps what this thread logs until the guard is dropped.
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(lock(&self.0).clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_drops_is_one_line_with_its_count() {
    let (log, _guard) = Log::start();
    let link = Link::new();
    for _ in 0..5000 {
        link.observe(Event::SlowConsumer(1));
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(link.slow_consumer_events(), 5000);
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("\"events\":5000"), "{lines:?}");

    for _ in 0..30 {
        link.observe(Event::SlowConsumer(1));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let lines = log.lines().split_off(1);
    assert!((3..=4).contains(&lines.len()), "one per 10 s: {lines:?}");
    let events = |line: &String| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["fields"]["events"].as_u64().unwrap()
    };
    assert_eq!(lines.iter().map(events).sum::<u64>(), 30);
}

#[tokio::test(start_paused = true)]
async fn an_outage_or_a_forbidden_subject_does_not_flood_the_log() {
    let (log, _guard) = Log::start();
    let link = Link::new();
    for _ in 0..1000 {
        link.observe(Event::Connected);
        link.observe(Event::Disconnected);
        link.observe(Event::ClientError(ClientError::Other(
            "IO error".to_owned(),
        )));
        link.observe(Event::ServerError(ServerError::Other(
            "forbidden".to_owned(),
        )));
    }
    let lines = log.lines();
    // The loss, the return, the error.
    assert_eq!(lines.len(), 3, "{lines:?}");
}

#[tokio::test]
async fn the_state_follows_the_events() {
    let link = Link::new();
    let mut seen = link.watch();
    assert_eq!(link.state(), LinkState::default());
    link.observe(Event::Connected);
    assert!(link.is_connected() && seen.has_changed().unwrap());
    link.observe(Event::LameDuckMode);
    assert!(seen.borrow_and_update().lame_duck);
    link.observe(Event::Disconnected);
    assert_eq!(link.state(), LinkState::default());
    link.observe(Event::Closed);
    link.wait_closed().await;
    assert!(link.state().closed);
}

/// The server denies what follows `Permissions Violation for`.
fn deny(link: &Arc<Link>, what: &str) {
    let text = format!("Permissions Violation for {what}");
    link.observe(Event::ServerError(ServerError::Other(text)));
}

fn shown(link: &Link) -> Vec<String> {
    link.denials().iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_forgotten_unless_it_came_again_when_it_was_tried_again() {
    let link = Link::new();
    deny(&link, "Publish to \"$JS.API.STREAM.MSG.GET.A\"");
    deny(&link, "Publish to \"$JS.API.STREAM.MSG.GET.B\"");
    deny(&link, "Publish to \"$JS.API.STREAM.PURGE.A\"");
    tokio::time::advance(Duration::from_secs(1)).await;
    let asked = Instant::now();
    deny(&link, "Publish to \"$JS.API.STREAM.MSG.GET.B\"");
    link.forget_denials_before(asked, |denial| denial.subject.contains("MSG.GET"));
    let left = [
        "publish to `$JS.API.STREAM.MSG.GET.B`",
        "publish to `$JS.API.STREAM.PURGE.A`",
    ];
    assert_eq!(shown(&link), left);
}

#[tokio::test]
async fn an_inbox_that_was_denied_stays_so_until_the_next_connection() {
    let link = Link::new();
    deny(&link, "Subscription to \"_INBOX.abc.*\"");
    deny(&link, "Publish to \"commit.TECHNICAL_SIGNALS.probe\"");
    assert_eq!(shown(&link).len(), 2);
    // the server refuses what is published again, but not an inbox that is there already
    link.forget_denials();
    assert_eq!(shown(&link), ["subscribe to `_INBOX.>`"]);
    link.observe(Event::Connected);
    assert_eq!(shown(&link), [""; 0]);
}
