//! The last thing that went wrong on a connection, until it goes right again.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// An error that comes this long before the connection is lost is taken for its reason.
const FAREWELL: Duration = Duration::from_secs(2);

/// Something that went wrong.
#[derive(Debug)]
pub(super) struct Failure {
    text: String,
    at: Instant,
}

/// The last failure, if it is not over.
#[derive(Debug)]
pub(super) struct LastError(watch::Sender<Option<Failure>>);

impl Default for LastError {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl LastError {
    pub fn subscribe(&self) -> watch::Receiver<Option<Failure>> {
        self.0.subscribe()
    }

    pub fn text(&self) -> Option<String> {
        let last = self.0.borrow();
        last.as_ref().map(|failure| failure.text.clone())
    }

    pub fn set(&self, text: String) {
        let at = Instant::now();
        self.0.send_replace(Some(Failure { text, at }));
    }

    pub fn clear(&self) {
        self.0.send_replace(None);
    }

    /// Drops an error of long ago, when the connection is lost: it is not the reason. An error that
    /// the server gave with its farewell is.
    pub fn keep_farewell(&self) {
        self.0.send_if_modified(|last| {
            last.take_if(|failure| failure.at.elapsed() >= FAREWELL)
                .is_some()
        });
    }
}
