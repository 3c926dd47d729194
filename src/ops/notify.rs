//! Telling the supervisor that started the process how it is doing: systemd, or PM2.
//!
//! Both are silent when they are not there, and neither can hold the process up: a failure
//! to tell is logged and that is all.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use tokio::time::timeout;

use super::health::Health;

/// The time that the process may take to end after its drain.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The greatest age of the status text.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// The supervisor, as far as there is one.
#[derive(Debug)]
pub struct Notifier {
    systemd: Option<UnixDatagram>,
    /// The channel of a Node.js parent, which is what PM2 is: JSON values, one per line.
    node: Option<File>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// From `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID` (systemd) and
    /// `NODE_CHANNEL_FD` (PM2), which `env` looks up.
    #[must_use]
    pub fn new(env: impl Fn(&str) -> Option<String>) -> Self {
        let systemd = env("NOTIFY_SOCKET").and_then(|path| {
            let connected = connect(&path);
            logged("systemd's socket cannot be opened", connected)
        });
        let node = env("NODE_CHANNEL_FD").and_then(|fd| {
            let fd = fd.parse().ok()?;
            logged("PM2's channel cannot be opened", own_descriptor(fd))
        });
        let for_us = env("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = env("WATCHDOG_USEC")
            .filter(|_| for_us)
            .and_then(|usec| usec.parse().ok())
            .filter(|usec| *usec > 0)
            .map(Duration::from_micros);
        Self {
            systemd,
            node,
            watchdog,
        }
    }

    /// The process is ready. To be called once.
    pub fn ready(&self, status: &str) {
        self.systemd(&format!("READY=1\nSTATUS={}", one_line(status)));
        if let Some(mut node) = self.node.as_ref() {
            let sent = node.write_all(b"\"ready\"\n");
            logged("PM2 cannot be told of readiness", sent);
        }
    }

    /// Tells of readiness once it is there, and of what is missing whenever it is not. Never
    /// ends.
    pub async fn readiness(&self, health: &Health) {
        let mut changes = health.watch_ready();
        let (mut ready_sent, mut sent) = (false, String::new());
        loop {
            let ready = *changes.borrow_and_update();
            let status = if ready {
                "ready".to_owned()
            } else {
                format!("not ready: {}", health.missing().join("; "))
            };
            if ready && !ready_sent {
                tracing::info!("ready");
                self.ready(&status);
                ready_sent = true;
            } else if status != sent {
                self.status(&status);
            }
            sent = status;
            // what is missing changes without readiness doing so; a change of readiness ends
            // the pause, and `health` holds the sender, so waiting for one cannot fail
            let _ = timeout(STATUS_INTERVAL, changes.changed()).await;
        }
    }

    /// Sets the status text that `systemctl status` shows.
    pub fn status(&self, status: &str) {
        self.systemd(&format!("STATUS={}", one_line(status)));
    }

    /// It is about to stop, and needs at most `within` for that. systemd is asked for a
    /// little more: to be cut short is to be reported by the process, not by a kill.
    pub fn stopping(&self, within: Duration) {
        self.systemd(&format!(
            "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC={}",
            (within + LAST_WORDS).as_micros()
        ));
    }

    /// Feeds systemd's watchdog, twice per its interval, for as long as every loop makes
    /// progress, the drain included. Ends at once where there is no watchdog.
    pub async fn watchdog(&self, health: &Health) {
        let (Some(limit), Some(_)) = (self.watchdog, &self.systemd) else {
            return;
        };
        let mut ticks = tokio::time::interval(limit / 2);
        loop {
            ticks.tick().await;
            if health.stalled().is_empty() {
                self.systemd("WATCHDOG=1");
            }
        }
    }

    fn systemd(&self, message: &str) {
        if let Some(socket) = &self.systemd {
            logged("systemd cannot be told", socket.send(message.as_bytes()));
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

fn logged<T>(what: &str, result: io::Result<T>) -> Option<T> {
    result
        .inspect_err(|error| tracing::warn!(%error, "{what}"))
        .ok()
}

fn connect(path: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match path.strip_prefix('@') {
        Some(name) => connect_abstract(&socket, name)?,
        None => socket.connect(path)?,
    }
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn connect_abstract(socket: &UnixDatagram, name: &str) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;
    socket.connect_addr(&SocketAddr::from_abstract_name(name)?)
}

#[cfg(not(target_os = "linux"))]
fn connect_abstract(_: &UnixDatagram, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A duplicate of a descriptor this process inherited. Taking over a bare number is unsafe
/// in Rust; asking the kernel for a duplicate is not: at worst it is not there.
#[cfg(target_os = "linux")]
fn own_descriptor(fd: i32) -> io::Result<File> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(File::from(pidfd_getfd(this, fd, PidfdGetfdFlags::empty())?))
}

#[cfg(not(target_os = "linux"))]
fn own_descriptor(_: i32) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn systemd_is_told_over_its_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let notifier =
            Notifier::new(|key| (key == "NOTIFY_SOCKET").then(|| path.display().to_string()));
        notifier.ready("all\nwell");
        assert_eq!(received(&systemd), "READY=1\nSTATUS=all well");
        notifier.stopping(Duration::from_secs(25));
        assert_eq!(
            received(&systemd),
            "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=30000000"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn systemd_is_told_once_of_readiness_and_of_whatever_takes_it_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let notifier =
            Notifier::new(|key| (key == "NOTIFY_SOCKET").then(|| path.display().to_string()));
        let health = Health::new();
        let nats = health.component("nats", true);
        nats.down("connecting");
        health.started();
        let following = async {
            let pause = async || tokio::time::sleep(Duration::from_millis(1)).await;
            pause().await;
            nats.down("refused");
            tokio::time::sleep(STATUS_INTERVAL).await;
            nats.up("");
            pause().await;
            nats.down("gone");
            pause().await;
            nats.up("");
            pause().await;
        };
        tokio::select! {
            () = notifier.readiness(&health) => {}
            () = following => {}
        }
        let sent: [String; 5] = std::array::from_fn(|_| received(&systemd));
        assert_eq!(
            sent,
            [
                "STATUS=not ready: nats: connecting",
                "STATUS=not ready: nats: refused",
                "READY=1\nSTATUS=ready",
                "STATUS=not ready: nats: gone",
                "STATUS=ready",
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_only_while_every_loop_makes_progress() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        systemd.set_nonblocking(true).unwrap();
        let notifier = Notifier::new(|key| match key {
            "NOTIFY_SOCKET" => Some(path.display().to_string()),
            "WATCHDOG_USEC" => Some("2000000".to_owned()),
            _ => None,
        });
        let health = Health::new();
        let worker = health.progress("worker", Duration::from_secs(10));
        let feeding = async |seconds| {
            let fed = notifier.watchdog(&health);
            let _ = tokio::time::timeout(Duration::from_secs(seconds), fed).await;
        };
        feeding(1).await;
        assert_eq!(received(&systemd), "WATCHDOG=1");
        tokio::time::advance(Duration::from_secs(11)).await;
        while systemd.recv(&mut [0; 64]).is_ok() {}
        feeding(3).await;
        let nothing = systemd.recv(&mut [0; 64]).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        drop(worker);
    }

    #[test]
    fn pm2_is_told_over_the_inherited_channel() {
        let (mut parent, child) = UnixStream::pair().unwrap();
        let fd = child.as_raw_fd().to_string();
        let notifier = Notifier::new(|key| (key == "NODE_CHANNEL_FD").then(|| fd.clone()));
        notifier.ready("");
        drop((notifier, child));
        let mut text = String::new();
        parent.read_to_string(&mut text).unwrap();
        assert_eq!(text, "\"ready\"\n");
    }

    #[test]
    fn without_a_supervisor_nothing_happens() {
        let notifier = Notifier::new(|_| None);
        notifier.ready("x");
        notifier.stopping(Duration::ZERO);
        let astray = Notifier::new(|key| (key == "NODE_CHANNEL_FD").then(|| "9999".to_owned()));
        astray.ready("x");
    }
}
