//! The worker: connects, answers questions, and works in the delivery that is configured or that
//! the server allows for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Ended;
use super::tasks::{beat, observe};
use crate::bus::core;
use crate::bus::durable::{self, SetupError};
use crate::bus::{Link, ServiceApi, Setup, Sizing, connect};
use crate::config::{Config, Delivery};
use crate::group::Way;
use crate::ops::health::{Component, Health};
use crate::ops::metrics::Metrics;
use crate::ops::query::Queries;

/// Runs the worker from the first connection to its end.
pub(super) async fn work(
    config: &Config,
    link: &Arc<Link>,
    metrics: &Arc<Metrics>,
    health: &Health,
    queries: &Queries,
    mut stop: watch::Receiver<Option<Instant>>,
    setup: impl FnOnce(async_nats::Client) -> Setup,
) -> Ended {
    let component = health.component("nats", true);
    let observer = tokio::spawn(observe(Arc::clone(link), Arc::clone(metrics), component));
    let connecting = connect(&config.nats, &config.agent_name, link, Sizing::default());
    let client = tokio::select! {
        connected = connecting => match connected {
            Ok(client) => client,
            Err(error) => {
                observer.abort();
                return Ended::Unreachable(error);
            }
        },
        // nothing was received, so there is nothing to finish
        _ = stop.wait_for(Option::is_some) => {
            observer.abort();
            return Ended::Stopped;
        }
    };
    let setup = setup(client.clone());
    let service = ServiceApi::start(
        &client,
        &config.agent_name,
        &config.group,
        queries.clone(),
        Arc::clone(metrics),
        Arc::clone(&setup.receipts),
    )
    .await;
    let service = match service {
        Ok(service) => Some(service),
        Err(error) => {
            tracing::warn!(%error, "the service API cannot be offered");
            None
        }
    };
    let beating = tokio::spawn(beat(client, config.agent_name.clone(), queries.clone()));
    let mut working = std::pin::pin!(deliver(setup));
    let outcome = tokio::select! {
        outcome = &mut working => outcome,
        _ = stop.wait_for(Option::is_some) => {
            beating.abort();
            if let Some(service) = service {
                // questions end first, so that no answer is cut
                tokio::select! {
                    outcome = &mut working => outcome,
                    () = service.stop() => working.await,
                }
            } else {
                working.await
            }
        }
    };
    observer.abort();
    outcome
}

/// Works in the delivery that is configured, or that the server allows for.
async fn deliver(mut setup: Setup) -> Ended {
    let mut stop = setup.stop.clone();
    let begun = setup.announce();
    tokio::select! {
        () = begun => {}
        // nothing was received
        _ = stop.wait_for(Option::is_some) => return Ended::Stopped,
    }
    let mut waiting = None;
    loop {
        let without = match setup.config.delivery {
            Delivery::Durable => None,
            Delivery::Core => Some(None),
            Delivery::Auto => match unsupported(&setup).await {
                Some(without) => without.map(Some),
                // stopped before it was known; nothing was received
                None => return Ended::Stopped,
            },
        };
        let Some(without) = without else {
            tracing::info!("delivery is durable");
            return match durable::run(setup).await {
                Ok(()) => Ended::Stopped,
                Err(error) => Ended::Durable(error),
            };
        };
        setup.deliveries.propose(Way::Core);
        if let Some(objection) = setup.deliveries.objection() {
            let reason = match &without {
                Some(error) => format!("{error}; {objection}"),
                None => objection,
            };
            waiting
                .get_or_insert_with(|| Waiting::new(&setup.health))
                .for_reason(reason);
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => continue,
                _ = stop.wait_for(Option::is_some) => {
                    setup.deliveries.leave().await;
                    return Ended::Stopped;
                }
            }
        }
        if let Some(error) = without {
            tracing::warn!(
                %error,
                "delivery is core, not durable, until this process is restarted: bars published while no member listens, and \
                 those of a killed member until it is replaced (3 s), give no signal; set \
                 TECHNICAL_DELIVERY=core to accept that without this warning"
            );
        }
        tracing::info!("delivery is core");
        waiting = None;
        match core::run(setup).await {
            Ok(None) => return Ended::Stopped,
            // durable members came, and work now
            Ok(Some(again)) => setup = again,
            Err(error) => return Ended::Worker(error),
        }
    }
}

/// The condition of an agent whose core delivery waits for the durable members of its group.
struct Waiting {
    intake: Component,
    membership: Component,
    told: Option<String>,
}

impl Waiting {
    fn new(health: &Health) -> Self {
        Self {
            intake: health.component("intake", true),
            membership: health.component("membership", true),
            told: None,
        }
    }

    /// Says why, in health always and in the log once for each reason.
    fn for_reason(&mut self, reason: String) {
        self.intake.down(reason.clone());
        self.membership
            .down("waits for the durable members of the group to leave");
        if self.told.as_ref() != Some(&reason) {
            tracing::error!(reason, "core delivery cannot go on; trying again for ever");
            self.told = Some(reason);
        }
    }
}

/// Asks for `auto` why the server has nothing durable to offer: `Some(None)` where it has. `None`
/// when the time to stop came first.
///
/// Core is chosen only where the server or the account has no durable delivery to offer. Anything
/// else that stands in the way would have this member publish beside the durable members of its
/// group: it is left to durable delivery, which says what it is and waits.
async fn unsupported(setup: &Setup) -> Option<Option<SetupError>> {
    let intake = setup.health.component("intake", true);
    let mut stop = setup.stop.clone();
    loop {
        let offered = tokio::select! {
            offered = durable::offered(setup) => offered,
            _ = stop.wait_for(Option::is_some) => return None,
        };
        match offered {
            Err(error) if error.is_unsupported() => return Some(Some(error)),
            Err(error) if error.is_transient() => intake.down(error.to_string()),
            Ok(()) | Err(_) => return Some(None),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
