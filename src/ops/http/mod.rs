//! The operations endpoint: HTTP/1.1 for people, probes and scrapers.
//!
//! Bounded in everything a client decides about: the number of connections, the time for a
//! request's head, for its answer and for the connection as a whole, and the size of a body. When
//! there are too many connections, the oldest that is not being answered makes room for the newest,
//! so that clients which send nothing cannot keep a probe out. The probes are answered whatever
//! else is asked; of the other questions, a few at once.

mod admin;
mod connections;
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
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub use admin::{Admin, Checkpoint, SeriesReset};
use connections::{Answering, Open};

use super::health::Health;
use super::metrics::Metrics;
use super::query::Queries;

/// Connections open at once. More than twice the questions that are answered at once, so that most of
/// them can be closed at any time.
const MAX_CONNECTIONS: usize = 128;
/// From the start of a connection, or the end of an answer, to the end of the next head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The age at which a connection is asked to end after its current answer.
const CONNECTION_AGE: Duration = Duration::from_secs(60);
/// The time that a connection has left when it is asked to end.
const GRACE: Duration = Duration::from_secs(2);

/// The sources of the routes' answers.
#[derive(Clone)]
pub struct OpsState {
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For the probes.
    pub health: Health,
    /// For `/status` and `/series`.
    pub queries: Queries,
    /// The actions of the admin routes.
    pub admin: Arc<dyn Admin>,
    /// The bearer token of the admin routes; without one they are closed.
    pub admin_token: Option<Arc<str>>,
}

/// The reason why the endpoint cannot listen.
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
    /// The address it listens on, with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Listens on `addr` (`host:port`).
///
/// # Errors
/// If the address is taken or cannot be used.
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
    let router = routes::router(state);
    let (closing, closed) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut open = Open::new(MAX_CONNECTIONS);
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = bound.listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                if !open.make_room() {
                    // all of them are being answered; the client sees that it is closed
                    continue;
                }
                let answering = Answering::default();
                let service = answering.watch(router.clone());
                let service = TowerToHyperService::new(service);
                let handle = connections.spawn(connection(stream, service, closed.clone()));
                open.add(handle, answering);
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
