//! Real nats-servers.

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{PATIENCE, free_port, freeze, signal, until};

const OLDEST: (u32, u32) = (2, 12);

/// Settings of a server.
#[derive(Default, Clone)]
pub struct Options {
    /// Offer JetStream, with a store that outlives [`NatsServer::restart`].
    pub jetstream: bool,
    /// More configuration: authorization, TLS, limits, a cluster.
    pub config: String,
}

/// A server on a port of its own, killed when dropped.
pub struct NatsServer {
    process: Option<Child>,
    port: u16,
    home: TempDir,
    options: Options,
}

impl NatsServer {
    /// Starts a server and returns when it takes connections.
    pub fn start(options: Options) -> Self {
        let mut server = Self::stopped(options);
        assert!(
            server.find_port(),
            "nats-server does not start:\n{}",
            server.log()
        );
        server
    }

    /// [`NatsServer::start`] that returns nothing if the server does not start.
    pub fn try_start(options: Options) -> Option<Self> {
        let mut server = Self::stopped(options);
        server.find_port().then_some(server)
    }

    fn stopped(options: Options) -> Self {
        Self {
            process: None,
            port: 0,
            home: tempfile::tempdir().expect("a temporary directory"),
            options,
        }
    }

    /// Starts it on some port; whether it came up.
    fn find_port(&mut self) -> bool {
        // The free port may be taken by another test before the server binds it.
        (0..5).any(|_| {
            self.port = free_port();
            self.launch()
        })
    }

    /// A server without authorization, TLS or JetStream.
    pub fn plain() -> Self {
        Self::start(Options::default())
    }

    /// A plain server on this port, once it is free.
    pub fn on_port(port: u16) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut server = Self {
            process: None,
            port,
            home,
            options: Options::default(),
        };
        server.restart();
        server
    }

    /// A server with JetStream.
    pub fn jetstream() -> Self {
        Self::start(Options {
            jetstream: true,
            ..Options::default()
        })
    }

    /// A server with more configuration.
    pub fn with(config: impl Into<String>) -> Self {
        Self::start(Options {
            config: config.into(),
            ..Options::default()
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// Ends the server at once, as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Asks the server to end and waits for it.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            signal(&process, "TERM");
            process.wait().expect("the server's exit");
        }
    }

    /// Starts it again (after a kill if it still runs) on the same port and store.
    pub fn restart(&mut self) {
        self.kill();
        until("the server's port to be free again", || {
            self.launch().then_some(())
        });
    }

    /// [`NatsServer::restart`] with another configuration.
    pub fn restart_with(&mut self, config: impl Into<String>) {
        self.options.config = config.into();
        self.restart();
    }

    /// Gives the running server another configuration, as far as it takes one without a restart.
    pub fn reload_with(&mut self, config: impl Into<String>) {
        self.options.config = config.into();
        let file = self.home.path().join("server.conf");
        std::fs::write(file, self.config_text()).expect("a writable directory");
        let before = self.log().matches("Reloaded server configuration").count();
        let pid = self.process().id();
        let status = Command::new(nats_server())
            .arg("--signal")
            .arg(format!("reload={pid}"))
            .status()
            .expect("nats-server --signal");
        assert!(status.success(), "the server takes the signal to reload");
        until("the server to reload", || {
            let now = self.log().matches("Reloaded server configuration").count();
            (now > before).then_some(())
        });
    }

    /// Freezes it: its sockets stay open and answer nothing.
    pub fn freeze(&self) {
        freeze(self.process());
    }

    /// Lets it run on.
    pub fn thaw(&self) {
        signal(self.process(), "CONT");
    }

    /// Tells it to go down slowly: it takes no new client and announces its end to the others.
    pub fn lame_duck(&self) {
        let pid = self.process().id();
        let status = Command::new(nats_server())
            .arg("--signal")
            .arg(format!("ldm={pid}"))
            .status()
            .expect("nats-server --signal");
        assert!(status.success(), "the server takes the lame-duck signal");
    }

    fn process(&self) -> &Child {
        self.process.as_ref().expect("the server runs")
    }

    /// Returns true if the server came up.
    fn launch(&mut self) -> bool {
        let home = self.home.path();
        let config = home.join("server.conf");
        std::fs::write(&config, self.config_text()).expect("a writable directory");
        let log = std::fs::File::create(home.join("log")).expect("a writable directory");
        let mut process = Command::new(nats_server())
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nats-server starts");
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if process.try_wait().expect("a child process").is_some() {
                return false;
            }
            if self.greets() {
                self.process = Some(process);
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = process.kill();
        let _ = process.wait();
        false
    }

    /// Returns true if the server sends INFO: a port that merely accepts may be another test's.
    fn greets(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return false;
        };
        let mut greeting = [0; 4];
        stream
            .set_read_timeout(Some(Duration::from_secs(2)))
            .is_ok()
            && stream.read_exact(&mut greeting).is_ok()
            && &greeting == b"INFO"
            && self.log().contains("Server is ready")
    }

    fn config_text(&self) -> String {
        let mut text = format!("listen: \"127.0.0.1:{}\"\n", self.port);
        if self.options.jetstream {
            let store = self.home.path().join("store");
            writeln!(text, "jetstream {{ store_dir: \"{}\" }}", store.display())
                .expect("a string grows");
        }
        text.push_str(&self.options.config);
        text.push('\n');
        text
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The nats-server to use: `NATS_SERVER`, else that on the `PATH` if it is new enough, else the
/// project's own.
pub fn nats_server() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let mut candidates: Vec<PathBuf> = std::env::var_os("NATS_SERVER")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .into_iter()
            .collect();
        if candidates.is_empty() {
            let path = std::env::var_os("PATH").unwrap_or_default();
            candidates.extend(std::env::split_paths(&path).map(|dir| dir.join("nats-server")));
            candidates.push(Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/nats-server"));
        }
        candidates
            .iter()
            .find(|path| version(path).is_some_and(|version| version >= OLDEST))
            .cloned()
            .unwrap_or_else(|| {
                panic!(
                    "these tests need a nats-server of {}.{} or newer; `make test` installs one, \
                     or set NATS_SERVER to its path. Looked at: {candidates:?}",
                    OLDEST.0, OLDEST.1
                )
            })
    })
}

fn version(binary: &Path) -> Option<(u32, u32)> {
    let output = Command::new(binary).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut parts = text.trim().rsplit_once('v')?.1.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A user of a server's configuration with the permissions that the agent prints for a role under
/// these variables. The password is `p`.
pub fn user_of(name: &str, role: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"))
        .args(["config", "--permissions", role])
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("the agent starts");
    assert!(output.status.success(), "{output:?}");
    let block = String::from_utf8(output.stdout).expect("UTF-8");
    format!("{{ user: {name}, password: p, {block} }}\n")
}
