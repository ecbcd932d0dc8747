//! Switching off, and starting anew.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, wait},
    system::{RebootCommand, reboot},
};

/// What is to become of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// It starts anew.
    Reboot,
    /// Its power is switched off.
    PowerOff,
    /// It stands still with its power on.
    Halt,
}

impl Goal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reboot, Self::PowerOff, Self::Halt];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reboot => "reboot",
            Self::PowerOff => "poweroff",
            Self::Halt => "halt",
        }
    }

    /// The goal that a word stands for.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|goal| goal.word() == word)
    }

    /// What a signal to process 1 asks for: as busybox has it, and ctrl-alt-del (SIGINT), and failing power (SIGPWR).
    pub fn of_signal(signal: i32) -> Option<Self> {
        let is = |of: &[Signal]| of.iter().any(|one| one.as_raw() == signal);
        if is(&[Signal::TERM, Signal::INT]) {
            Some(Self::Reboot)
        } else if is(&[Signal::USR2, Signal::POWER]) {
            Some(Self::PowerOff)
        } else if is(&[Signal::USR1]) {
            Some(Self::Halt)
        } else {
            None
        }
    }

    /// Asks process 1 for it.
    ///
    /// # Errors
    /// If this user may not.
    pub fn ask(self) -> io::Result<()> {
        let signal = match self {
            Self::Reboot => Signal::TERM,
            Self::PowerOff => Signal::USR2,
            Self::Halt => Signal::USR1,
        };
        Ok(kill_process(Pid::INIT, signal)?)
    }

    /// Ends every process there is but this one, in two steps of at most `each`.
    pub(crate) fn end_all(each: Duration) {
        for signal in [Signal::TERM, Signal::KILL] {
            // With the number 1, it is for all. Nobody is left if it fails.
            if kill_process_group(Pid::INIT, signal).is_err() {
                return;
            }
            let end = Instant::now() + each;
            while Instant::now() < end {
                match wait(WaitOptions::NOHANG) {
                    Err(_) => return,
                    Ok(Some(_)) => {}
                    Ok(None) => thread::sleep(Duration::from_millis(20)),
                }
            }
        }
    }

    /// Does it. Comes back only if the kernel refuses.
    pub(crate) fn take(self) -> io::Error {
        rustix::fs::sync();
        let command = match self {
            Self::Reboot => RebootCommand::Restart,
            Self::PowerOff => RebootCommand::PowerOff,
            Self::Halt => RebootCommand::Halt,
        };
        match reboot(command) {
            Ok(()) => io::Error::other("the kernel came back from it"),
            Err(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_signals_have_one_meaning() {
        for goal in Goal::ALL {
            assert_eq!(Goal::named(goal.word()), Some(goal));
        }
        assert_eq!(Goal::named("x"), None);
        assert_eq!(Goal::of_signal(2), Some(Goal::Reboot), "ctrl-alt-del");
        assert_eq!(Goal::of_signal(30), Some(Goal::PowerOff), "SIGPWR");
        assert_eq!(Goal::of_signal(17), None);
    }
}
