//! The connection, configuration and channels that a worker gets, in either kind of delivery.

use std::sync::Arc;

use async_nats::Client;
use tokio::sync::{mpsc, watch};

use super::deliveries::Deliveries;
use super::guard::Guard;
use super::link::Link;
use crate::config::Config;
use crate::ops::health::Health;
use crate::ops::metrics::Metrics;
use crate::ops::query::Query;
use crate::ops::receipts::Receipts;

/// The connection, configuration and channels of a worker.
#[derive(Debug)]
pub struct Setup {
    /// The configuration.
    pub config: Arc<Config>,
    /// The connection.
    pub client: Client,
    /// Its state.
    pub link: Arc<Link>,
    /// The delivery of the other members of the group.
    pub deliveries: Arc<Deliveries>,
    /// Unique to this run.
    pub instance: String,
    /// The machine.
    pub host: String,
    /// The metrics of the process.
    pub metrics: Arc<Metrics>,
    /// The counts of outcomes of fed bars.
    pub receipts: Arc<Receipts>,
    /// The health of the process.
    pub health: Health,
    /// Questions from outside.
    pub queries: mpsc::Receiver<Query>,
    /// Says when to stop, and until when the drain may last.
    pub stop: watch::Receiver<Option<tokio::time::Instant>>,
}

impl Setup {
    /// The guard of this member.
    pub(super) fn guard(&self) -> Guard {
        Guard::new(&self.config, &self.instance, &self.health, &self.metrics)
    }

    /// Announces this member's delivery, and listens to those of the others from now on; returns
    /// when the others have had time to answer.
    pub async fn announce(&self) {
        self.deliveries.start(|| self.guard()).await;
    }
}
