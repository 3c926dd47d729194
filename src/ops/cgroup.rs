//! The memory that a container or a service unit grants this process.
//!
//! Control groups nest, and every level may have a limit: the lowest one counts. Inside a
//! container the path that the kernel names may not be mounted; then the root of the mount is
//! the container's own group, and is read in its place.

use std::fs;

/// Version 1 says "no limit" with the largest multiple of the page size; nothing real is near.
const UNLIMITED: u64 = 1 << 62;

/// The lowest memory limit above this process, in bytes; none if there is none.
#[must_use]
pub fn memory_limit() -> Option<u64> {
    lowest(|path| fs::read_to_string(path).ok())
}

/// Memory that does not depend on the number of series: the binary and its own, and what waits to
/// be worked off in a flood.
const REST: u64 = 185_000_000;

/// The warning that `series` of `each` bytes do not fit in `limit`; none if they do.
#[must_use]
pub fn shortage(limit: u64, series: usize, each: usize) -> Option<String> {
    let (series, each) = (series as u64, each as u64);
    let all = series.saturating_mul(each);
    if all.saturating_add(REST) <= limit {
        return None;
    }
    let fitting = limit.saturating_sub(REST) / each.max(1);
    let megabytes = |bytes: u64| bytes / 1_000_000;
    Some(format!(
        "TECHNICAL_MAX_SERIES={series} does not fit the memory limit of {} MB: a series takes up to {each} bytes, so all of \
         them take {} MB, and the rest takes {} MB; set TECHNICAL_MAX_SERIES to at most {fitting}, or raise the limit",
        megabytes(limit),
        megabytes(all),
        megabytes(REST),
    ))
}

fn lowest(read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let groups = read("/proc/self/cgroup")?;
    groups.lines().filter_map(|line| of(line, &read)).min()
}

/// The lowest limit in one hierarchy. A line reads `number:controllers:path`; version 2 has
/// the number 0 and no controllers.
fn of(line: &str, read: &impl Fn(&str) -> Option<String>) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (mount, file) = if number == "0" && controllers.is_empty() {
        ("/sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|name| name == "memory") {
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return None;
    };
    let mut path = path.trim_end_matches('/');
    let mut least = None;
    loop {
        let limit = read(&format!("{mount}{path}/{file}"))
            .and_then(|text| text.trim().parse().ok())
            .filter(|&bytes: &u64| bytes < UNLIMITED);
        least = [least, limit].into_iter().flatten().min();
        match path.rfind('/') {
            Some(at) => path = &path[..at],
            None => return least,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(files: &[(&str, &str)]) -> Option<u64> {
        lowest(|path| {
            let found = files.iter().find(|(name, _)| *name == path);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn in_a_container_the_root_of_the_mount_tells() {
        let files = [
            ("/proc/self/cgroup", "0::/\n"),
            ("/sys/fs/cgroup/memory.max", "536870912\n"),
        ];
        assert_eq!(limit(&files), Some(536_870_912));
    }

    #[test]
    fn of_nested_groups_the_lowest_limit_counts() {
        let mut files = vec![
            ("/proc/self/cgroup", "0::/system.slice/agent.service\n"),
            (
                "/sys/fs/cgroup/system.slice/agent.service/memory.max",
                "max\n",
            ),
            ("/sys/fs/cgroup/system.slice/memory.max", "1073741824\n"),
        ];
        assert_eq!(limit(&files), Some(1 << 30));
        files[1].1 = "268435456\n";
        assert_eq!(limit(&files), Some(1 << 28));
    }

    #[test]
    fn version_1_is_read_where_the_memory_controller_is_mounted() {
        let groups = "9:cpu,cpuacct:/docker/4f\n4:memory:/docker/4f\n0::/\n";
        let mut files = vec![
            ("/proc/self/cgroup", groups),
            // the container sees its own group as the root, not the path that is named
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n"),
        ];
        assert_eq!(limit(&files), Some(67_108_864));
        files[1].1 = "9223372036854771712\n";
        assert_eq!(limit(&files), None);
    }

    #[test]
    fn too_many_series_for_the_limit_are_told_with_the_arithmetic() {
        // 20,000 × 14,600 = 292 MB, and 185 MB for the rest
        assert_eq!(shortage(477_000_000, 20_000, 14_600), None);
        let told = shortage(476_999_999, 20_000, 14_600).unwrap();
        for part in [
            "=20000",
            "476 MB",
            "14600 bytes",
            "292 MB",
            "185 MB",
            "at most 19999,",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let told = shortage(100_000_000, 20_000, 14_600).unwrap();
        assert!(told.contains("at most 0,"), "{told}");
    }

    #[test]
    fn without_control_groups_there_is_no_limit() {
        assert_eq!(limit(&[]), None);
        assert_eq!(limit(&[("/proc/self/cgroup", "0::/\n")]), None);
        assert_eq!(limit(&[("/proc/self/cgroup", "garbage\n\n")]), None);
    }
}
