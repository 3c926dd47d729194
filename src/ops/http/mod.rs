//! The operations endpoint: HTTP/1.1 for people, probes and scrapers.
//!
//! Bounded in everything a client decides about: the number of connections, the time for a
//! request's head, for its answer and for the connection as a whole, and the size of a body.

mod admin;
mod routes;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub use admin::{Admin, Checkpoint};

use super::health::Health;
use super::metrics::Metrics;
use super::query::Queries;

/// Connections open at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 128;
/// From the start of a connection, or the end of an answer, to the end of the next head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The age at which a connection is asked to end after its current answer.
const CONNECTION_AGE: Duration = Duration::from_secs(60);
/// What a connection that is asked to end has left.
const GRACE: Duration = Duration::from_secs(2);

/// What the routes answer from.
#[derive(Clone)]
pub struct OpsState {
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For the probes.
    pub health: Health,
    /// For `/status` and `/series`.
    pub queries: Queries,
    /// What the admin routes do.
    pub admin: Arc<dyn Admin>,
    /// The bearer token of the admin routes; without one they are closed.
    pub admin_token: Option<Arc<str>>,
}

/// Why the endpoint cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process listens there.
    #[error("HTTP_ADDR {0} is in use; set HTTP_ADDR to another address or `off`")]
    InUse(String),
    /// Anything else.
    #[error("HTTP_ADDR {0} cannot be listened on ({1}); set HTTP_ADDR to another address or `off`")]
    Unusable(String, #[source] io::Error),
}

/// An endpoint that listens and does not answer yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Where it listens, the port chosen by the system included.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Listens on `addr` (`host:port`).
///
/// # Errors
/// When the address is taken or cannot be used.
pub async fn bind(addr: &str) -> Result<Bound, BindError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(addr.to_owned()),
        _ => BindError::Unusable(addr.to_owned(), error),
    };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Bound { listener, address })
}

/// Answers until `shutdown`, then finishes the answers begun, within two seconds.
pub async fn serve(bound: Bound, state: OpsState, shutdown: impl Future<Output = ()>) {
    let service = TowerToHyperService::new(routes::router(state));
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (closing, closed) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, bound.listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, service.clone(), closed.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            // out of descriptors, most likely: the listener stays readable, so wait a little
            Err(error) => {
                tracing::warn!(%error, "HTTP connection cannot be accepted");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(bound);
    closing.send_replace(true);
    let finished = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(GRACE, finished).await;
}

async fn connection<S>(stream: TcpStream, service: S, mut closed: watch::Receiver<bool>)
where
    S: hyper::service::Service<
            hyper::Request<hyper::body::Incoming>,
            Response = axum::response::Response,
            Error = Infallible,
        >,
{
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(32 * 1024)
            .serve_connection(TokioIo::new(stream), service)
    );
    let too_long = async {
        tokio::select! {
            _ = closed.wait_for(|closed| *closed) => {}
            () = sleep(CONNECTION_AGE) => {}
        }
    };
    // a client that breaks off or breaks the protocol is its own business
    tokio::select! {
        _ = connection.as_mut() => {}
        () = too_long => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(GRACE, connection).await;
        }
    }
}

#[cfg(test)]
mod tests;
