//! The log that is kept: two files of which the older is overwritten when the newer is full, so that there is always at
//! least half of what was asked for, and never more than all of it.
//!
//! Lines that come before the state partition is there wait in memory, a bounded number of them. What is written is
//! handed to the disk every [`SYNC_EVERY`] and at power off; a power cut loses at most the lines since then, which is
//! the price of not wearing out flash by every line.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long a line may be on its way to the disk.
pub const SYNC_EVERY: Duration = Duration::from_secs(10);

/// Lines in memory while there is nowhere else.
const MAX_WAITING: usize = 2000;

/// The log.
#[derive(Debug, Default)]
pub struct Ring {
    waiting: VecDeque<String>,
    lost: u64,
    files: Option<Files>,
}

#[derive(Debug)]
struct Files {
    folder: PathBuf,
    each: u64,
    current: File,
    /// Which of the two it is.
    which: usize,
    size: u64,
    unsynced: Option<Instant>,
}

const NAMES: [&str; 2] = ["log.0", "log.1"];

impl Ring {
    /// Keeps the log in this folder from now on, beginning with what waited in memory.
    ///
    /// # Errors
    /// If the folder cannot be written; lines go on waiting in memory.
    pub fn keep_in(&mut self, folder: &Path, bytes: u64, now: Instant) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let changed =
            |name: &str| fs::metadata(folder.join(name)).ok().map(|about| (about.modified().ok(), about.len()));
        // Go on with the one that was written last. Clocks that were never set make them equally old; then the one
        // that is not full.
        let which = match (changed(NAMES[0]), changed(NAMES[1])) {
            (Some(first), Some(second)) => usize::from((second.0, u64::MAX - second.1) > (first.0, u64::MAX - first.1)),
            (None, Some(_)) => 1,
            _ => 0,
        };
        let current = OpenOptions::new().append(true).create(true).open(folder.join(NAMES[which]))?;
        let size = current.metadata()?.len();
        self.files = Some(Files { folder: folder.to_owned(), each: bytes / 2, current, which, size, unsynced: None });
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            self.line(&format!("tutti: {lost} lines came before the log could be kept, and are lost"), now);
        }
        for line in std::mem::take(&mut self.waiting) {
            self.line(&line, now);
        }
        Ok(())
    }

    /// Takes a line. One that cannot be written is lost; what is to be told goes to the console as well.
    pub fn line(&mut self, line: &str, now: Instant) {
        let Some(files) = &mut self.files else {
            if self.waiting.len() >= MAX_WAITING {
                self.waiting.pop_front();
                self.lost += 1;
            }
            self.waiting.push_back(line.to_owned());
            return;
        };
        if files.line(line, now).is_err() {
            self.files = None;
        }
    }

    /// Hands what was written to the disk, if it has waited long enough.
    pub fn tick(&mut self, now: Instant) {
        let due = |files: &Files| files.unsynced.is_some_and(|since| now >= since + SYNC_EVERY);
        if self.files.as_ref().is_some_and(due) {
            self.sync();
        }
    }

    /// Hands what was written to the disk now.
    pub fn sync(&mut self) {
        if let Some(files) = &mut self.files {
            files.unsynced = None;
            if files.current.sync_data().is_err() {
                self.files = None;
            }
        }
    }

    /// Closes the files, so that their file system can be unmounted.
    pub fn close(&mut self) {
        self.sync();
        self.files = None;
    }
}

impl Files {
    fn line(&mut self, line: &str, now: Instant) -> io::Result<()> {
        let len = line.len() as u64 + 1;
        if self.size > 0 && self.size + len > self.each {
            self.which = 1 - self.which;
            let name = NAMES.get(self.which).copied().unwrap_or(NAMES[0]);
            self.current = OpenOptions::new().write(true).create(true).truncate(true).open(self.folder.join(name))?;
            self.size = 0;
        }
        let mut whole = String::with_capacity(line.len() + 1);
        whole.push_str(line);
        whole.push('\n');
        self.current.write_all(whole.as_bytes())?;
        self.size += len;
        self.unsynced.get_or_insert(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(folder: &Path) -> String {
        NAMES.iter().filter_map(|name| fs::read_to_string(folder.join(name)).ok()).collect()
    }

    #[test]
    fn it_stays_within_its_bounds_and_keeps_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ring, now) = (Ring::default(), Instant::now());
        ring.line("the very first", now);
        ring.keep_in(folder.path(), 4000, now).unwrap();
        assert!(kept(folder.path()).contains("the very first"));
        for n in 0..1000 {
            ring.line(&format!("line {n}"), now);
            assert!(kept(folder.path()).len() <= 4000);
        }
        let all = kept(folder.path());
        assert!((800..1000).all(|n| all.contains(&format!("line {n}\n"))), "half of it at least is there");
    }

    #[test]
    fn a_new_start_goes_on_where_the_last_one_ended() {
        let folder = tempfile::tempdir().unwrap();
        let now = Instant::now();
        for start in 0..3 {
            let mut ring = Ring::default();
            ring.keep_in(folder.path(), 4000, now).unwrap();
            ring.line(&format!("start {start}"), now);
            ring.close();
        }
        assert!((0..3).all(|start| kept(folder.path()).contains(&format!("start {start}"))));
    }

    #[test]
    fn memory_is_bounded_and_what_is_lost_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ring, now) = (Ring::default(), Instant::now());
        (0..MAX_WAITING + 7).for_each(|n| ring.line(&n.to_string(), now));
        ring.keep_in(folder.path(), 1 << 20, now).unwrap();
        assert!(kept(folder.path()).starts_with("tutti: 7 lines came before"));
    }

    #[test]
    fn what_cannot_be_written_fails_nobody() {
        let mut ring = Ring::default();
        let now = Instant::now();
        assert!(ring.keep_in(Path::new("/proc/nowhere"), 4000, now).is_err());
        ring.line("goes on", now);
        ring.tick(now + SYNC_EVERY);
        ring.close();
    }
}
