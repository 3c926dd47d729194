//! Resources that another process uses, from `/proc`.

use std::fs;

fn field(pid: u32, file: &str, at: usize) -> f64 {
    let path = format!("/proc/{pid}/{file}");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    // the command of `stat` stands in parentheses and may hold spaces
    let fields = text
        .rsplit_once(") ")
        .map_or(text.as_str(), |(_, rest)| rest);
    let value = fields.split_ascii_whitespace().nth(at);
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("{path} has no number at {at}"))
}

/// Seconds of processor time so far; resolution 10 ms.
pub fn cpu_seconds(pid: u32) -> f64 {
    let ticks = field(pid, "stat", 11) + field(pid, "stat", 12);
    #[allow(clippy::cast_precision_loss)] // a hundred
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    ticks / per_second
}

/// Resident memory in bytes.
pub fn resident_bytes(pid: u32) -> f64 {
    #[allow(clippy::cast_precision_loss)] // a few thousand
    let page = rustix::param::page_size() as f64;
    field(pid, "statm", 1) * page
}
