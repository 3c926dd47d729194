//! A log file that users can follow by one name: `<agent>.log` is always today's, and what
//! was written on an earlier day (UTC) is moved to `<agent>.log.<date>`.
//!
//! The ready-made appenders put the date into the name of the current file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The file of one agent.
#[derive(Debug)]
pub(super) struct DailyFile {
    path: PathBuf,
    file: File,
    day: Date,
}

impl DailyFile {
    /// Opens `<dir>/<agent>.log` to append to it, making the directory if need be.
    pub fn open(dir: &Path, agent: &str) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let path = dir.join(format!("{}.log", file_stem(agent)));
        let day = today();
        if let Some(written) = day_of(&path).filter(|written| *written != day) {
            shelve(&path, written)?;
        }
        let file = append(&path)?;
        Ok(Self { path, file, day })
    }

    /// The path of today's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write_on(&mut self, day: Date, bytes: &[u8]) -> io::Result<usize> {
        if day != self.day {
            // where the move fails, the day's lines go where yesterday's went
            if shelve(&self.path, self.day).is_ok() {
                self.file = append(&self.path)?;
            }
            self.day = day;
        }
        self.file.write(bytes)
    }
}

impl Write for DailyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_on(today(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn today() -> Date {
    jiff::Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// The day a file was last written to, if there is one.
fn day_of(path: &Path) -> Option<Date> {
    let written = fs::metadata(path).ok()?.modified().ok()?;
    let written = jiff::Timestamp::try_from(written).ok()?;
    Some(written.to_zoned(TimeZone::UTC).date())
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Moves a file of an earlier day out of the way, beside what may already be there.
fn shelve(path: &Path, day: Date) -> io::Result<()> {
    let named = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{day}{suffix}"));
        PathBuf::from(name)
    };
    let mut target = named("");
    let mut count = 1;
    while target.try_exists()? {
        count += 1;
        target = named(&format!(".{count}"));
    }
    fs::rename(path, target)
}

/// An agent's name as the stem of a file: letters, digits and `-_.`, never hidden.
fn file_stem(agent: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let stem: String = agent
        .chars()
        .map(|c| if safe(c) { c } else { '_' })
        .collect();
    match stem.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => stem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_day_begins_a_new_file_and_keeps_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let mut file = DailyFile::open(&dir.path().join("."), "a").unwrap();
        let first = file.day;
        let second = first.tomorrow().unwrap();
        let third = second.tomorrow().unwrap();
        file.write_on(first, b"one\n").unwrap();
        file.write_on(second, b"two\n").unwrap();
        file.write_on(second, b"three\n").unwrap();
        assert_eq!(read("a.log"), "two\nthree\n");
        assert_eq!(read(&format!("a.log.{first}")), "one\n");
        fs::write(dir.path().join(format!("a.log.{second}")), "before\n").unwrap();
        file.write_on(third, b"four\n").unwrap();
        assert_eq!(read("a.log"), "four\n");
        assert_eq!(read(&format!("a.log.{second}")), "before\n");
        assert_eq!(read(&format!("a.log.{second}.2")), "two\nthree\n");
    }

    #[test]
    fn a_file_left_from_an_earlier_day_is_moved_and_one_of_today_is_continued() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        fs::write(&path, "old\n").unwrap();
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(86_400);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
        for _ in 0..2 {
            let mut file = DailyFile::open(dir.path(), "a").unwrap();
            file.write_all(b"new\n").unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\nnew\n");
        let moved = dir.path().join("a.log.1970-01-02");
        assert_eq!(fs::read_to_string(moved).unwrap(), "old\n");
    }

    #[test]
    fn a_name_cannot_leave_the_directory_or_hide() {
        assert_eq!(
            file_stem("technical-analysis-node-7"),
            "technical-analysis-node-7"
        );
        assert_eq!(file_stem("../etc/pass wd"), "_._etc_pass_wd");
        assert_eq!(file_stem("a/b\\c:é"), "a_b_c__");
    }
}
