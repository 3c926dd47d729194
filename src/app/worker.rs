//! The worker: connects, answers questions, and works in the delivery that is configured or that
//! the server allows for.
//!
//! It has a thread and a runtime of its own, so that the connection and the worker share one core
//! without cross-thread wake-ups; however it ends, the main thread notices.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::tasks::{beat, observe};
use crate::bus::core::{self, CoreError};
use crate::bus::durable::{self, DurableError, SetupError};
use crate::bus::{ConnectError, Deliveries, Link, ServiceApi, Setup, Sizing, connect};
use crate::config::{Config, Delivery};
use crate::error::Error;
use crate::exit::Exit;
use crate::group::Way;
use crate::ops::health::{Component, Health};
use crate::ops::metrics::Metrics;
use crate::ops::query::{Queries, Query};

/// The end of the worker.
pub(super) enum Ended {
    Stopped,
    Unreachable(ConnectError),
    Core(CoreError),
    Durable(DurableError),
    Broken(anyhow::Error),
}

impl Ended {
    /// The exit of the process.
    pub fn exit(self) -> Result<Exit, Error> {
        match self {
            Self::Stopped => {
                tracing::info!("stopped; everything received was finished");
                Ok(Exit::Done)
            }
            Self::Unreachable(error) => Err(error.into()),
            Self::Core(CoreError::Drain(error)) => Err(Error::DrainCut(error.to_string())),
            Self::Core(error) => Err(Error::Internal(error.into())),
            Self::Durable(DurableError::Drain(error)) => Err(Error::DrainCut(error.to_string())),
            Self::Broken(error) => Err(Error::Internal(error)),
        }
    }
}

/// Everything that the worker needs.
pub(super) struct Worker {
    pub config: Arc<Config>,
    pub host: String,
    pub link: Arc<Link>,
    pub metrics: Arc<Metrics>,
    pub health: Health,
    pub queries: Queries,
    pub questions: mpsc::Receiver<Query>,
    pub stop: watch::Receiver<Option<Instant>>,
}

impl Worker {
    /// Starts the worker's thread; how it ended comes by the channel.
    pub fn spawn(self) -> Result<(JoinHandle<()>, oneshot::Receiver<Ended>), Error> {
        let (end, ended) = oneshot::channel();
        let work = move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let ended = match runtime {
                Ok(runtime) => runtime.block_on(self.work()),
                Err(error) => {
                    Ended::Broken(anyhow::Error::new(error).context("cannot start the runtime"))
                }
            };
            // the main thread may have given up waiting
            let _ = end.send(ended);
        };
        let thread = std::thread::Builder::new().name("worker".to_owned());
        let thread = thread
            .spawn(work)
            .context("cannot start the worker's thread")?;
        Ok((thread, ended))
    }

    /// Works from the first connection to the end.
    async fn work(mut self) -> Ended {
        let component = self.health.component("nats", true);
        let (link, metrics) = (Arc::clone(&self.link), Arc::clone(&self.metrics));
        let observer = tokio::spawn(observe(link, metrics, component));
        let outcome = match self.connect().await {
            Ok(client) => self.serve(client).await,
            Err(ended) => ended,
        };
        observer.abort();
        outcome
    }

    async fn connect(&mut self) -> Result<async_nats::Client, Ended> {
        let Self { config, link, .. } = self;
        let connecting = connect(&config.nats, &config.agent_name, link, Sizing::default());
        tokio::select! {
            connected = connecting => connected.map_err(Ended::Unreachable),
            // nothing was received, so there is nothing to finish
            _ = self.stop.wait_for(Option::is_some) => Err(Ended::Stopped),
        }
    }

    async fn serve(self, client: async_nats::Client) -> Ended {
        let Self {
            config,
            host,
            link,
            metrics,
            health,
            queries,
            questions,
            mut stop,
        } = self;
        let instance = nuid::next().to_string();
        let setup = Setup {
            deliveries: Deliveries::new(&client, &link, &config, &instance),
            config: Arc::clone(&config),
            client: client.clone(),
            link,
            instance,
            host,
            metrics: Arc::clone(&metrics),
            receipts: Arc::default(),
            health,
            queries: questions,
            stop: stop.clone(),
        };
        let service = ServiceApi::start(
            &client,
            &config.agent_name,
            &config.group,
            queries.clone(),
            metrics,
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
        let beating = tokio::spawn(beat(client, config.agent_name.clone(), queries));
        let mut working = std::pin::pin!(deliver(setup));
        tokio::select! {
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
        }
    }
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
            Err(error) => return Ended::Core(error),
        }
    }
}

/// The condition of an agent whose core delivery waits for the durable members of its group.
struct Waiting {
    intake: Component,
    membership: Component,
    logged: Option<String>,
}

impl Waiting {
    fn new(health: &Health) -> Self {
        Self {
            intake: health.component("intake", true),
            membership: health.component("membership", true),
            logged: None,
        }
    }

    /// Says why, in health always and in the log once for each reason.
    fn for_reason(&mut self, reason: String) {
        self.intake.down(reason.clone());
        self.membership
            .down("waiting for the durable members of the group to leave");
        if self.logged.as_ref() != Some(&reason) {
            tracing::error!(reason, "core delivery cannot go on; retrying until it can");
            self.logged = Some(reason);
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
