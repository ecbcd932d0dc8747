//! Commands of `tutti` that are to succeed once in the life of a device: entering its group, installing its apps. Each
//! runs when the node is ready, one at a time, again with longer and longer pauses until it has succeeded, and then
//! never more: a file on the state partition says so. Its words are not told, since a ticket is a secret.

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::{Pid, WaitStatus};

use crate::{log::Log, mounts::STATE, pid1::how_it_ended, process::Process};

/// The first pause after a failure.
const PAUSE: Duration = Duration::from_secs(5);
/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(80);

/// What is left to do.
#[derive(Default)]
pub(crate) struct Once {
    queue: VecDeque<Vec<String>>,
    /// When the first may run, and how long it waits if it fails again.
    at: Option<Instant>,
    pause: Duration,
    running: Option<Process>,
}

impl Once {
    pub(crate) fn new(commands: impl Iterator<Item = Vec<String>>) -> Self {
        let queue = commands.filter(|words| !mark(words).exists()).collect();
        Self { queue, pause: PAUSE, ..Self::default() }
    }

    pub(crate) fn process(&self) -> Option<&Process> {
        self.running.as_ref()
    }

    pub(crate) fn process_mut(&mut self) -> Option<&mut Process> {
        self.running.as_mut()
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.running.is_none() && !self.queue.is_empty() && self.at.is_none_or(|at| now >= at)
    }

    /// Starts the first one; `command` has the program and its environment.
    pub(crate) fn start(&mut self, mut command: Command, log: &mut Log) {
        let Some(words) = self.queue.front() else { return };
        command.args(words).env("TUTTI_STATE", "/state/tutti");
        match Process::start(&mut command) {
            Ok(process) => self.running = Some(process),
            Err(error) => {
                log.say(format_args!("`tutti {}` cannot be run: {error}", first(words)));
                self.queue.pop_front();
            }
        }
    }

    /// A process has ended, maybe the one that runs.
    pub(crate) fn ended(&mut self, pid: Pid, status: WaitStatus, log: &mut Log) {
        let Some(mut process) = self.running.take_if(|process| process.pid == pid) else { return };
        process.read(|line| log.node(line));
        let Some(words) = self.queue.front() else { return };
        let what = first(words);
        if status.exit_status() != Some(0) {
            log.say(format_args!("`tutti {what}` {}; again in {} s", how_it_ended(status), self.pause.as_secs()));
            self.at = Some(Instant::now() + self.pause);
            self.pause = (self.pause * 2).min(LONGEST);
            return;
        }
        let mark = mark(words);
        let kept = mark.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&mark, what));
        match kept {
            Ok(()) => log.say(format_args!("`tutti {what}` is done")),
            Err(error) => log.say(format_args!(
                "`tutti {what}` is done, which cannot be kept: {error}; it is done again at the next start"
            )),
        }
        self.queue.pop_front();
        (self.at, self.pause) = (None, PAUSE);
    }
}

fn first(words: &[String]) -> &str {
    words.first().map_or("", String::as_str)
}

/// The file that says that a command is done. Its name does not give away the words: FNV-1a, 64 bits.
fn mark(words: &[String]) -> PathBuf {
    let hash = words
        .iter()
        .flat_map(|word| word.bytes().chain([0]))
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    Path::new(STATE).join("once").join(format!("{hash:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_apart_by_their_words() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(mark(&words("pair abc")), mark(&words("pair abc")));
        assert_ne!(mark(&words("pair abc")), mark(&words("pair ab c")));
        assert!(!mark(&words("pair abc")).to_string_lossy().contains("abc"));
        let mut once = Once::new([words("a b")].into_iter());
        let now = Instant::now();
        assert!(once.is_due(now));
        once.at = Some(now + PAUSE);
        assert!(!once.is_due(now) && once.is_due(now + PAUSE));
    }
}
