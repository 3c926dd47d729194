//! Ending a process that makes no progress, where no supervisor would notice.
//!
//! systemd has a watchdog, and Kubernetes asks `/livez`; supervisor, PM2 and Docker start again what
//! has ended, and nothing else. So the process ends itself. The watchdog has a thread of its own, since
//! a thread that hangs cannot notice that.

use std::io;
use std::thread;
use std::time::Duration;

use super::health::Health;

/// Between two looks.
const TICK: Duration = Duration::from_secs(1);
/// Looks that must all find it stuck: the whole process may have been suspended, and needs a moment
/// to go on.
const LOOKS: u32 = 3;

/// Watches `health` and calls `stuck`, once, with a description of the loops that have made no
/// progress for `limit` (and for longer than they may).
///
/// # Errors
/// If no thread can be started.
pub fn watch(
    health: Health,
    limit: Duration,
    stuck: impl FnOnce(String) + Send + 'static,
) -> io::Result<()> {
    let looking = move || {
        let mut found = 0;
        loop {
            thread::sleep(TICK);
            let silent = health.silent(limit);
            found = if silent.is_empty() { 0 } else { found + 1 };
            if found >= LOOKS {
                stuck(silent.join("; "));
                return;
            }
        }
    };
    let thread = thread::Builder::new().name("watchdog".to_owned());
    thread.spawn(looking).map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_reported_and_one_that_beats_is_not() {
        let health = Health::new();
        let beating = health.progress("beating", Duration::from_millis(10));
        let still = health.progress("still", Duration::from_millis(10));
        let (sender, receiver) = mpsc::channel();
        let report = move |text| {
            let _ = sender.send(text);
        };
        watch(health, Duration::from_millis(1_500), report).unwrap();
        let began = Instant::now();
        let told = loop {
            beating.beat();
            match receiver.recv_timeout(Duration::from_millis(20)) {
                Ok(told) => break told,
                Err(_) => assert!(began.elapsed() < Duration::from_secs(60)),
            }
        };
        assert!(told.starts_with("still: no progress for"), "{told}");
        assert!(!told.contains("beating"), "{told}");
        assert!(began.elapsed() >= Duration::from_secs(3));
        drop(still);
    }
}
