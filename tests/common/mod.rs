//! The rig of the black-box tests: real nats-servers, the real binary, real messages.
//!
//! Nothing here sleeps for luck: what is waited for is an event, and the bound on the wait is
//! only there so that a broken test ends.
#![allow(dead_code)] // each test file takes the parts it needs

mod agent;
mod cluster;
mod market;
mod proxy;
mod server;
mod signals;

#[allow(unused_imports)]
pub use agent::{Agent, Metrics, Response};
#[allow(unused_imports)]
pub use cluster::Cluster;
#[allow(unused_imports)]
pub use market::{
    DAY_ONE, Flow, Market, assert_nothing_twice, assert_same, flat, publish, publish_with, replay,
    replay_files, send, settled, when,
};
#[allow(unused_imports)]
pub use proxy::{Ending, Network, Proxy};
#[allow(unused_imports)]
pub use server::{NatsServer, Options, nats_server, user_of};
#[allow(unused_imports)]
pub use signals::{Collected, Received, bars, collect_signals};

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A port that was free a moment ago, and not given out before by this process.
///
/// From below the range from which systems take the ports of outgoing connections: of those, one
/// that was free a moment ago may be in use by the time that somebody wants to listen on it.
pub fn free_port() -> u16 {
    const PORTS: std::ops::Range<u32> = 10_000..32_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    for _ in PORTS {
        // processes begin at different places, far enough apart for what one needs
        let at = std::process::id()
            .wrapping_mul(997)
            .wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(PORTS.start + at % PORTS.len() as u32).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port of {PORTS:?} is free");
}

/// Asks `check` until it answers, at most for [`PATIENCE`].
pub fn until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// [`until`] that does not block the runtime.
pub async fn until_async<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Sends `signal` (as `kill` names it) to a process that we started.
fn signal(child: &Child, signal: &str) {
    let status = Command::new("kill")
        .arg(format!("-{signal}"))
        .arg(child.id().to_string())
        .stderr(Stdio::null())
        .status()
        .expect("the `kill` command");
    assert!(status.success(), "kill -{signal} {}", child.id());
}

/// Stops a process that we started, and returns once it stands still.
fn freeze(child: &Child) {
    signal(child, "STOP");
    until("the process to stand still", || {
        let mut ps = Command::new("ps");
        let ps = ps.args(["-o", "state=", "-p", &child.id().to_string()]);
        let state = ps.output().expect("the `ps` command").stdout;
        state.starts_with(b"T").then_some(())
    });
}
