//! Denied permissions, which this member asks for again until they are given.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::bus::durable::{Common, streams};

/// The interval of requests to the server.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The request for denied permissions, of which one is under way at a time.
pub(super) struct DenialMonitor {
    common: Arc<Common>,
    asking: JoinSet<()>,
    asked_at: Option<Instant>,
}

impl DenialMonitor {
    pub fn new(common: &Arc<Common>) -> Self {
        Self {
            common: Arc::clone(common),
            asking: JoinSet::new(),
            asked_at: None,
        }
    }

    /// Asks for what is denied, if it is time to.
    pub fn probe(&mut self) {
        while self.asking.try_join_next().is_some() {}
        let early = self.asked_at.is_some_and(|at| at.elapsed() < ASK_EVERY);
        let link = &self.common.link;
        if early || !self.asking.is_empty() || !link.is_connected() {
            return;
        }
        if streams::denied(link, &self.common.config).is_none() {
            return;
        }
        self.asked_at = Some(Instant::now());
        let common = Arc::clone(&self.common);
        self.asking.spawn(async move {
            streams::ask_again(&common.client, &common.link, &common.config).await;
        });
    }
}
