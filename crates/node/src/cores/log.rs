//! What a core and its satellites write for people: the last lines, and those who wait for more.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use tokio::sync::watch;
use tutti_model::WallTime;

use crate::lock::lock;
use crate::satellites::harmless;

/// How many lines are kept.
const MOST: usize = 1000;
/// The longest line.
const LONGEST: usize = 1024;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its number; the first ever is 1.
    pub(crate) number: u64,
    /// When it was read.
    pub(crate) at: WallTime,
    /// What it says, made harmless.
    pub(crate) text: String,
}

/// The lines of one core.
pub(crate) struct Log {
    inner: Mutex<Inner>,
    last: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    lines: VecDeque<Line>,
    /// What was written of the line that has not ended.
    begun: Vec<u8>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::default(), last: watch::Sender::new(0) }
    }

    /// A whole line.
    pub(crate) fn line(&self, at: WallTime, text: &str) {
        let mut inner = self.inner();
        self.push(&mut inner, at, text);
    }

    /// Some bytes of a trace.
    pub(crate) fn bytes(&self, at: WallTime, bytes: &[u8]) {
        let mut inner = self.inner();
        for byte in bytes {
            if *byte != b'\n' {
                inner.begun.push(*byte);
            }
            if *byte == b'\n' || inner.begun.len() >= LONGEST {
                let line = std::mem::take(&mut inner.begun);
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end_matches('\r');
                self.push(&mut inner, at, text);
            }
        }
    }

    /// The lines behind this number, oldest first.
    pub(crate) fn after(&self, number: u64) -> Vec<Line> {
        self.inner().lines.iter().filter(|line| line.number > number).cloned().collect()
    }

    /// The number of the last line, now and at every new one.
    pub(crate) fn last(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    fn push(&self, inner: &mut Inner, at: WallTime, text: &str) {
        if inner.lines.len() >= MOST {
            inner.lines.pop_front();
        }
        let number = *self.last.borrow() + 1;
        inner.lines.push_back(Line { number, at, text: harmless(text) });
        self.last.send_replace(number);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_made_harmless_and_bounded() {
        let (log, at) = (Log::new(), WallTime::default());
        log.bytes(at, b"half a ");
        assert!(log.after(0).is_empty());
        log.bytes(at, b"line\r\n\x1b[31mred\xff\n");
        let texts: Vec<_> = log.after(0).into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["half a line", "\u{fffd}[31mred\u{fffd}"]);
        log.bytes(at, &[b'x'; 3 * LONGEST]);
        assert_eq!(log.after(2).len(), 3);
        for _ in 0..2 * MOST {
            log.line(at, "more");
        }
        let kept = log.after(0);
        assert_eq!((kept.len(), kept.last().unwrap().number), (MOST, *log.last().borrow()));
    }
}
