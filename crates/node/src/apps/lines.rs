//! Lines for people, the last of them: in memory for whoever follows them, and in two files of bounded size, so that they are there after a
//! restart. Not each line is forced to the disk: a crash of the machine (not of the process) may cost the last ones.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{Mutex, MutexGuard},
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::watch;
use tutti_control::{AppLine, AuditLine};

use crate::lock::lock;

/// How many lines are kept in memory.
const MOST: usize = 1000;
/// The longest text of a line, in bytes.
const LONGEST: usize = 2048;

/// A line with a number.
pub(crate) trait Numbered: Clone + Serialize + DeserializeOwned {
    /// Where its number is.
    fn number(&mut self) -> &mut u64;
    /// Where its text is.
    fn text(&mut self) -> &mut String;
}

impl Numbered for AppLine {
    fn number(&mut self) -> &mut u64 {
        &mut self.number
    }
    fn text(&mut self) -> &mut String {
        &mut self.text
    }
}

impl Numbered for AuditLine {
    fn number(&mut self) -> &mut u64 {
        &mut self.number
    }
    fn text(&mut self) -> &mut String {
        &mut self.about
    }
}

/// The last lines.
pub(crate) struct Lines<T> {
    inner: Mutex<Inner<T>>,
    last: watch::Sender<u64>,
    path: PathBuf,
    /// The most bytes of each of the two files.
    size: u64,
}

struct Inner<T> {
    lines: VecDeque<T>,
    file: Option<(File, u64)>,
}

impl<T: Numbered> Lines<T> {
    /// Those in the file at `path` and in the one beside it with `.old`, and from now on also others.
    pub(crate) fn open(path: PathBuf, size: u64) -> Self {
        let mut lines = VecDeque::new();
        for path in [path.with_extension("old"), path.clone()] {
            let Ok(file) = File::open(&path) else { continue };
            for line in io::BufReader::new(file).lines().map_while(Result::ok) {
                // Half a line is what a crash leaves.
                lines.extend(serde_json::from_str::<T>(&line));
                if lines.len() > MOST {
                    lines.pop_front();
                }
            }
        }
        let last = lines.back_mut().map_or(0, |line| *line.number());
        Self { inner: Mutex::new(Inner { lines, file: None }), last: watch::Sender::new(last), path, size }
    }

    /// Adds one; it gets its number here, and its text is made harmless.
    pub(crate) fn add(&self, mut line: T) {
        let mut inner = self.lock();
        let number = *self.last.borrow() + 1;
        *line.number() = number;
        let text = line.text();
        if text.len() > LONGEST {
            let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
        }
        *text = crate::satellites::harmless(text);
        if let Err(error) = self.write(&mut inner, &mut line) {
            // On a full disk what is in memory has to do.
            tracing::debug!(%error, file = %self.path.display(), "a line was not written");
            inner.file = None;
        }
        if inner.lines.len() >= MOST {
            inner.lines.pop_front();
        }
        inner.lines.push_back(line);
        self.last.send_replace(number);
    }

    fn write(&self, inner: &mut Inner<T>, line: &mut T) -> io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        if let Some((_, len)) = &inner.file
            && *len + text.len() as u64 > self.size
        {
            inner.file = None;
            fs::rename(&self.path, self.path.with_extension("old"))?;
        }
        if inner.file.is_none() {
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
            let len = file.metadata()?.len();
            inner.file = Some((file, len));
        }
        if let Some((file, len)) = &mut inner.file {
            file.write_all(text.as_bytes())?;
            *len += text.len() as u64;
        }
        Ok(())
    }

    /// The lines behind this number, oldest first.
    pub(crate) fn after(&self, number: u64) -> Vec<T> {
        let mut lines: Vec<T> = self.lock().lines.iter().cloned().collect();
        lines.retain_mut(|line| *line.number() > number);
        lines
    }

    /// The number of the last line, now and at every new one.
    pub(crate) fn last(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        lock(&self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_control::AppLevel;

    fn line(text: &str) -> AppLine {
        AppLine { number: 0, at: 7, level: AppLevel::Info, text: text.into() }
    }

    #[test]
    fn lines_are_numbered_bounded_and_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let lines = Lines::open(path.clone(), 4096);
        lines.add(line("\u{1b}[31mred"));
        lines.add(line(&"é".repeat(LONGEST)));
        assert_eq!(lines.after(0)[0].text, "\u{fffd}[31mred");
        assert_eq!(lines.after(1)[0].text.len(), LONGEST);
        for number in 3..=2000u64 {
            lines.add(line(&number.to_string()));
        }
        assert_eq!((lines.after(0).len(), lines.after(1998).len(), *lines.last().borrow()), (MOST, 2, 2000));
        let sizes: u64 =
            ["log", "log.old"].iter().map(|name| fs::metadata(folder.path().join(name)).unwrap().len()).sum();
        assert!(sizes <= 2 * 4096, "{sizes}");
        drop(lines);
        let again = Lines::<AppLine>::open(path, 4096);
        assert_eq!(again.after(1999)[0].text, "2000");
        again.add(line("more"));
        assert_eq!(again.after(2000)[0].number, 2001);
    }
}
