//! Finds or makes the streams and buckets of durable delivery, and waits until it can.

use async_nats::Client;
use tokio::time::{sleep, timeout};

use super::streams::{self, SetupError, Streams};
use super::{LAST_FLUSH, jetstream_of};
use crate::bus::backoff::backoff;
use crate::bus::deliveries::home;
use crate::bus::link::Link;
use crate::bus::permissions::Denial;
use crate::bus::setup::Setup;
use crate::group::Way;
use crate::ops::health::Component;

/// Makes the missing streams, and tries until it succeeds. If work was `interrupted`, the reason is
/// logged already.
pub(super) async fn prepared(setup: &Setup, interrupted: Option<Component>) -> Streams {
    let js = jetstream_of(&setup.client, &setup.config.nats.jetstream);
    let to_do = if interrupted.is_some() {
        "go on"
    } else {
        "begin"
    };
    let component = interrupted.unwrap_or_else(|| {
        let component = setup.health.component("intake", true);
        component.down("looking for the streams; JetStream has not answered yet");
        component
    });
    // until the one that works with the streams speaks for it
    let membership = setup.health.component("membership", true);
    membership.down("waiting for the streams");
    let mut warned = None;
    let mut attempt = 0;
    setup.deliveries.propose(way(setup, None));
    loop {
        let beside = beside(setup);
        let prepared = streams::prepare(&setup.client, &js, &setup.link, &setup.config, &beside);
        match prepared.await {
            Ok(streams) => {
                if let Some(hint) = &streams.hint {
                    tracing::warn!("{hint}");
                }
                setup.deliveries.at_work(way(setup, streams.table()));
                return streams;
            }
            Err(error) => {
                component.down(error.to_string());
                if warned.as_ref() != Some(&error) {
                    tracing::error!(%error, "durable delivery cannot {to_do}; retrying until it can");
                    warned = Some(error);
                }
            }
        }
        attempt += 1;
        sleep(backoff(attempt)).await;
        reconnect_if_deaf(&setup.client, &setup.link).await;
    }
}

/// Durable delivery of this member, with the table that this identifies.
fn way(setup: &Setup, table: Option<String>) -> Way {
    Way::Durable(home(&setup.client, &setup.config, table))
}

/// Refuses to work beside members of the group that deliver in another way or elsewhere.
pub(super) fn beside(
    setup: &Setup,
) -> impl Fn(Option<String>) -> Result<(), SetupError> + Sync + use<'_> {
    |table| match setup.deliveries.objection_to(&way(setup, table)) {
        Some(objection) => Err(SetupError::Beside(objection)),
        None => Ok(()),
    }
}

/// Reconnects if the server has refused the subscription to answers, without which nothing works:
/// the client does not subscribe again by itself once that is allowed.
pub(super) async fn reconnect_if_deaf(client: &Client, link: &Link) {
    if link.is_connected() && link.denials().iter().any(Denial::is_deaf) {
        // it fails only when the client has ended
        let _ = client.force_reconnect().await;
        let _ = timeout(LAST_FLUSH, link.wait_for(|state| state.connected)).await;
    }
}
