//! The progress bar of a pass over a stream.

use std::fmt;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::judge::Share;

/// Draws on standard error, and only when that is a terminal.
pub(super) fn progress_bar(messages: u64, share: Share, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(messages);
    let part = if share.of > 1 {
        format!(" ({} of {})", share.number + 1, share.of)
    } else {
        String::new()
    };
    let template = format!("{{bar:40}} {{pos}}/{{len}} {what}{part}  {{rate}}/s  {{eta}} left");
    match ProgressStyle::with_template(&template) {
        Ok(style) => bar.with_style(style.with_key("rate", rate)),
        Err(_) => bar,
    }
}

fn rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    // a display that cannot be written to shows nothing
    let _ = write!(out, "{:.0}", state.per_sec());
}
