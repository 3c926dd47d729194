//! Readings of the operating system about this process, from `/proc`.
//!
//! Every reading is an `Option`: some systems have no `/proc`.

use std::fs;

use serde::Serialize;

/// One reading of the process.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ProcessUsage {
    /// User and system time since the start, in seconds; resolution one clock tick (10 ms).
    pub cpu_seconds: f64,
    /// Resident set size, in bytes.
    pub resident_bytes: u64,
    /// Virtual memory size, in bytes.
    pub virtual_bytes: u64,
    /// Start of the process, in seconds since boot.
    pub started_after_boot_seconds: f64,
}

impl ProcessUsage {
    /// Reads it for the calling process.
    #[must_use]
    pub fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        Self::parse(
            &stat,
            rustix::param::clock_ticks_per_second(),
            rustix::param::page_size(),
        )
    }

    /// Fields as numbered in `proc_pid_stat(5)`: 14 utime, 15 stime, 22 starttime, 23 vsize,
    /// 24 rss. The command (field 2) stands in parentheses and may itself hold spaces and
    /// parentheses, so counting starts after the last one.
    #[allow(clippy::cast_precision_loss)] // exact up to 2⁵³ ticks
    fn parse(stat: &str, ticks_per_second: u64, page_bytes: usize) -> Option<Self> {
        let (_, after_command) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after_command.split_ascii_whitespace().collect();
        let field = |number: usize| -> Option<u64> { fields.get(number - 3)?.parse().ok() };
        let seconds = |ticks: u64| ticks as f64 / ticks_per_second as f64;
        Some(Self {
            cpu_seconds: seconds(field(14)? + field(15)?),
            started_after_boot_seconds: seconds(field(22)?),
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page_bytes as u64,
        })
    }
}

/// The boot time of the machine, in seconds since the epoch.
#[must_use]
pub fn boot_time() -> Option<u64> {
    parse_boot_time(&fs::read_to_string("/proc/stat").ok()?)
}

fn parse_boot_time(stat: &str) -> Option<u64> {
    stat.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

/// The number of open file descriptors, without the one used for counting.
#[must_use]
pub fn open_fds() -> Option<u64> {
    let listed = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(listed.saturating_sub(1) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "4242 (a (b) c) S 1 4242 4242 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 4 0 \
                    987600 104857600 2560 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0";
        assert_eq!(
            ProcessUsage::parse(stat, 100, 4096),
            Some(ProcessUsage {
                cpu_seconds: 2.0,
                started_after_boot_seconds: 9876.0,
                virtual_bytes: 104_857_600,
                resident_bytes: 10_485_760,
            })
        );
        assert_eq!(ProcessUsage::parse("4242 (cut) S 1", 100, 4096), None);
    }

    #[test]
    fn the_boot_time_is_found_among_the_other_lines() {
        let stat = "cpu  1 2 3\nintr 5 6\nctxt 7\nbtime 1700000000\nprocesses 9\n";
        assert_eq!(parse_boot_time(stat), Some(1_700_000_000));
        assert_eq!(parse_boot_time("cpu 1\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_running_process_has_memory_and_descriptors() {
        let usage = ProcessUsage::read().unwrap();
        assert!(usage.resident_bytes > 1 << 20);
        assert!(usage.virtual_bytes >= usage.resident_bytes);
        assert!(open_fds().unwrap() >= 3);
    }
}
