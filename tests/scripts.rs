//! `scripts/start_agent.sh` and `scripts/stop_agent.sh` with the real agent and a real
//! nats-server: what they start, refuse, stop and leave alone, and the exit codes they promise.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const AGENT: &str = env!("CARGO_BIN_EXE_technical-analysis-agent");

/// A nats-server, and a directory for pid files and logs; all ended and removed on drop.
struct Rig {
    dir: TempDir,
    _server: Started,
    url: String,
}

impl Rig {
    fn new() -> Self {
        let found = Command::new(script("nats-server.sh")).output().unwrap();
        assert!(found.status.success(), "{}", text(&found));
        let dir = tempfile::tempdir().unwrap();
        let server = Command::new(String::from_utf8(found.stdout).unwrap().trim())
            .args(["-a", "127.0.0.1", "-p", "-1", "--ports_file_dir"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .spawn();
        let mut server = Started(server.unwrap());
        let ports = dir
            .path()
            .join(format!("nats-server_{}.ports", server.id()));
        let url = eventually("the nats-server tells its port", || {
            if let Some(status) = server.0.try_wait().unwrap() {
                panic!("nats-server ended: {status}");
            }
            let told: serde_json::Value = serde_json::from_slice(&fs::read(&ports).ok()?).ok()?;
            Some(told["nats"][0].as_str()?.to_owned())
        });
        Self {
            dir,
            _server: server,
            url,
        }
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(script(name));
        for (key, _) in std::env::vars() {
            if ["TECHNICAL_", "NATS_", "HTTP_", "LOG_", "AGENT_"]
                .iter()
                .any(|ours| key.starts_with(ours))
            {
                command.env_remove(key);
            }
        }
        command
            .args(arguments)
            .env("TECHNICAL_AGENT_BIN", AGENT)
            .env("AGENT_RUN_DIR", self.dir.path().join("run"))
            .env("AGENT_LOG_DIR", self.dir.path().join("logs"))
            .env("NATS_URL", &self.url)
            .stdin(Stdio::null());
        command
    }

    fn start(&self, arguments: &[&str]) -> Output {
        self.command("start_agent.sh", arguments).output().unwrap()
    }

    fn stop(&self, arguments: &[&str]) -> Output {
        self.command("stop_agent.sh", arguments).output().unwrap()
    }

    fn pid_file(&self, name: &str) -> PathBuf {
        self.dir.path().join("run").join(format!("{name}.pid"))
    }

    fn pid(&self, name: &str) -> String {
        let content = fs::read_to_string(self.pid_file(name)).unwrap();
        content.lines().next().unwrap().to_owned()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop(&["--all", "--timeout", "5"]);
    }
}

/// A process that ends with the test, however that ends.
struct Started(Child);

impl Started {
    fn id(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .join(name)
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes))
        .concat()
}

#[track_caller]
fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
}

fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "never: {what}");
        sleep(Duration::from_millis(50));
    }
}

/// An address that nobody listened on a moment ago.
fn unused_address() -> String {
    let probe = TcpListener::bind("127.0.0.1:0").unwrap();
    probe.local_addr().unwrap().to_string()
}

fn signal(name: &str, pid: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), pid])
        .status();
    assert!(sent.unwrap().success(), "kill -{name} {pid}");
}

fn binary_of(pid: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// The status line of one agent, by columns.
fn status_line(status: &Output, name: &str) -> Vec<String> {
    let shown = text(status);
    let line = shown
        .lines()
        .find(|line| line.split_whitespace().next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name} in\n{shown}"))
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

#[test]
fn agents_run_side_by_side_under_names_of_their_own() {
    let rig = Rig::new();
    let starts = ["one", "two"].map(|name| {
        rig.command("start_agent.sh", &["--background", "--name", name])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    });
    for start in starts {
        assert_code(&start.wait_with_output().unwrap(), 0);
    }

    let status = rig.stop(&["--status"]);
    assert_code(&status, 0);
    let [one, two] = ["one", "two"].map(|name| status_line(&status, name));
    assert_eq!((&one[1], &two[1]), (&rig.pid("one"), &rig.pid("two")));
    assert!(one[3].starts_with("http://127.0.0.1:"), "{one:?}");
    assert_ne!(one[3], two[3], "each needs an HTTP port of its own");
    assert_eq!(one[4..], ["ready"]);

    let again = rig.start(&["--background", "--name", "one"]);
    assert_code(&again, 1);
    assert!(text(&again).contains(&one[1]), "{}", text(&again));
    assert_eq!(rig.pid("one"), one[1]);

    assert_code(&rig.stop(&["--name", "one"]), 0);
    assert_eq!(binary_of(&one[1]), None, "it must be gone");
    assert!(!rig.pid_file("one").exists());
    assert!(binary_of(&two[1]).is_some(), "the other must not notice");
    assert_code(&rig.stop(&["--status", "--name", "one"]), 3);

    assert_code(&rig.stop(&["--all"]), 0);
    assert_eq!(binary_of(&two[1]), None);
    assert_code(&rig.stop(&["--status"]), 3);
    assert_code(&rig.stop(&["--name", "one"]), 0);
    let log = fs::metadata(rig.dir.path().join("logs/one.log")).unwrap();
    assert!(log.len() > 0);
}

#[test]
fn of_many_starts_of_one_name_one_succeeds() {
    let rig = Rig::new();
    let starts: Vec<Child> = (0..3)
        .map(|_| {
            rig.command("start_agent.sh", &["--background", "--name", "same"])
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut codes: Vec<i32> = starts
        .into_iter()
        .map(|mut start| start.wait().unwrap().code().unwrap())
        .collect();
    codes.sort_unstable();
    assert_eq!(codes, [0, 1, 1]);
}

#[test]
fn the_pid_file_of_a_killed_agent_does_not_stand_in_the_way() {
    let rig = Rig::new();
    assert_code(&rig.start(&["--background", "--name", "victim"]), 0);
    let pid = rig.pid("victim");
    signal("KILL", &pid);
    eventually("the killed agent is gone", || {
        binary_of(&pid).is_none().then_some(())
    });
    assert_code(&rig.start(&["--background", "--name", "victim"]), 0);
    let pid = rig.pid("victim");
    signal("KILL", &pid);
    eventually("the killed agent is gone", || {
        binary_of(&pid).is_none().then_some(())
    });
    assert_code(&rig.stop(&["--status"]), 1);
}

#[test]
fn an_agent_that_should_run_and_does_not_is_listed_until_it_is_started_or_stopped() {
    let rig = Rig::new();
    for name in ["one", "two", "three"] {
        assert_code(&rig.start(&["--background", "--name", name]), 0);
    }
    assert_code(&rig.stop(&["--status"]), 0);
    let pid = rig.pid("two");
    signal("KILL", &pid);
    eventually("the killed agent is gone", || {
        binary_of(&pid).is_none().then_some(())
    });
    // however often it is asked
    for _ in 0..3 {
        let status = rig.stop(&["--status"]);
        assert_code(&status, 1);
        let two = status_line(&status, "two").join(" ");
        assert!(two.contains("not running, but it was not stopped"), "{two}");
        assert_eq!(status_line(&status, "one")[4..], ["ready"]);
    }
    assert_code(&rig.stop(&["--status", "--name", "two"]), 1);
    assert_code(&rig.stop(&["--status", "--name", "one"]), 0);

    // a start that fails changes nothing about that
    let failed = rig
        .command("start_agent.sh", &["--background", "--name", "two"])
        .env("HTTP_ADDR", "192.0.2.1:8080")
        .output()
        .unwrap();
    assert!(!failed.status.success(), "{}", text(&failed));
    assert_code(&rig.stop(&["--status"]), 1);

    assert_code(&rig.start(&["--background", "--name", "two"]), 0);
    assert_code(&rig.stop(&["--status"]), 0);
    let pid = rig.pid("two");
    signal("KILL", &pid);
    eventually("the killed agent is gone", || {
        binary_of(&pid).is_none().then_some(())
    });
    assert_code(&rig.stop(&["--name", "two"]), 0);
    let status = rig.stop(&["--status"]);
    assert_code(&status, 0);
    assert!(!text(&status).contains("two"), "{}", text(&status));

    // all of them gone is no peace
    for name in ["one", "three"] {
        let pid = rig.pid(name);
        signal("KILL", &pid);
        eventually("the killed agent is gone", || {
            binary_of(&pid).is_none().then_some(())
        });
    }
    assert_code(&rig.stop(&["--status"]), 1);
    assert_code(&rig.stop(&["--all"]), 0);
    assert_code(&rig.stop(&["--status"]), 3);
}

#[test]
fn a_recycled_process_id_is_never_signalled() {
    let rig = Rig::new();
    let mut bystander = Started(Command::new("sleep").arg("600").spawn().unwrap());
    fs::create_dir_all(rig.dir.path().join("run")).unwrap();
    // the number of a living process, and the start time of one long gone
    fs::write(rig.pid_file("old"), format!("{}\n1\n", bystander.id())).unwrap();
    assert_code(&rig.stop(&["--status", "--name", "old"]), 1);
    assert_code(&rig.stop(&["--name", "old", "--timeout", "1"]), 0);
    assert!(!rig.pid_file("old").exists());
    assert_eq!(
        bystander.0.try_wait().unwrap(),
        None,
        "it must not be touched"
    );
}

#[test]
fn an_agent_that_does_not_drain_in_time_is_killed() {
    let rig = Rig::new();
    assert_code(&rig.start(&["--background", "--name", "stuck"]), 0);
    let pid = rig.pid("stuck");
    // a stopped process gets SIGTERM only when it is continued
    signal("STOP", &pid);
    let status = rig.stop(&["--status"]);
    assert_code(&status, 1);
    assert!(text(&status).contains("not ready"), "{}", text(&status));
    assert_code(&rig.stop(&["--name", "stuck", "--timeout", "1"]), 1);
    assert_eq!(binary_of(&pid), None);
    assert!(!rig.pid_file("stuck").exists());
}

#[test]
fn what_cannot_work_is_refused_before_anything_starts() {
    let rig = Rig::new();
    let bad = rig
        .command("start_agent.sh", &["--background"])
        .env("TECHNICAL_RSI_PERIOD", "1")
        .output()
        .unwrap();
    assert_code(&bad, 78);
    assert!(
        text(&bad).contains("TECHNICAL_RSI_PERIOD"),
        "{}",
        text(&bad)
    );

    let nobody = format!("nats://{}", unused_address());
    let alone = rig.start(&["--background", "--nats-url", &nobody]);
    assert_code(&alone, 69);
    assert!(text(&alone).contains(&nobody), "{}", text(&alone));
    // one server that answers is enough
    let both = format!("{nobody},{}", rig.url);
    assert_code(&rig.start(&["--background", "--nats-url", &both]), 0);

    for arguments in [
        &["--name"][..],
        &["--nonsense"],
        &["--name", "../etc"],
        &["--name", ""],
    ] {
        assert_code(&rig.start(arguments), 64);
    }
    for arguments in [
        &[][..],
        &["--all", "--name", "a"],
        &["--all", "--timeout", "soon"],
    ] {
        assert_code(&rig.stop(arguments), 64);
    }
    assert_code(&rig.start(&["--help"]), 0);
    assert_code(&rig.stop(&["--help"]), 0);
}

#[test]
fn an_agent_that_dies_while_starting_shows_why() {
    let rig = Rig::new();
    let died = rig
        .command("start_agent.sh", &["--background", "--name", "late"])
        // an address for documentation: no machine has it, so nobody can listen on it
        .env("HTTP_ADDR", "192.0.2.1:8080")
        .output()
        .unwrap();
    assert!(!died.status.success(), "{}", text(&died));
    assert!(text(&died).contains("late.log"), "{}", text(&died));
    assert!(!rig.pid_file("late").exists());
    assert_code(&rig.stop(&["--status"]), 3);
}

#[test]
fn an_http_address_that_is_taken_is_refused() {
    let rig = Rig::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = rig
        .command("start_agent.sh", &["--background", "--name", "second"])
        .env("HTTP_ADDR", &address)
        .output()
        .unwrap();
    assert_code(&refused, 1);
    assert!(text(&refused).contains(&address), "{}", text(&refused));
    assert!(!rig.pid_file("second").exists());
}

#[test]
fn in_the_foreground_the_agent_takes_the_place_of_the_script() {
    let rig = Rig::new();
    let address = unused_address();
    let agent = rig
        .command("start_agent.sh", &["--name", "here"])
        .env("HTTP_ADDR", &address)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut agent = Started(agent.unwrap());
    let pid = agent.id();
    let binary = fs::canonicalize(AGENT).unwrap();
    eventually("the agent replaces the script", || {
        (binary_of(&pid)? == binary).then_some(())
    });
    eventually("the agent is ready", || {
        let asked = Command::new(AGENT)
            .args(["health", "--ready", "--url", &format!("http://{address}")])
            .output();
        asked.unwrap().status.success().then_some(())
    });
    assert!(!rig.pid_file("here").exists());
    signal("TERM", &pid);
    assert_eq!(agent.0.wait().unwrap().code(), Some(0));
}
