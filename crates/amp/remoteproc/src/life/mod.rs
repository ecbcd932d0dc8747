//! The life of a remote core, as a machine that is told what happened and says what to do.
//!
//! ```text
//!                     ┌───────────────── Offline ─────────────────┐
//!                     │ bare ──1──▶ configured ──2──▶ ready       │
//!                     │   ◀──9──        ▲                │        │
//!                     └─────────────────│────────────────│────────┘
//!                              4        │                │ 3 (generation + 1)
//!          ┌───────────────────────────▶┘                ▼
//!          │                 ┌───────────────────── Running ◀──6── Suspended
//!          │                 │           5 ────────▶ │   │  ──────────▲ 5
//!       Crashed ◀────────────┘ 10                    │ 8 ▼
//!          ▲ ◀──10── Attached ◀───────7──────────── Detached  (found running, or let go)
//!                        └───────────8──────────────▲
//! ```
//!
//! | | action | what it means |
//! |---|---|---|
//! | 1 | [`Action::Configure`] | its memories and doorbells are there |
//! | 2 | [`Action::Load`] | the firmware is in them |
//! | 3 | [`Action::Start`] | it runs, in a new generation |
//! | 4 | [`Action::Ask`], [`Action::Halt`] | asked to stop, given time, then stopped by force; its memories stay, its firmware has to be loaded again |
//! | 5, 6 | [`Action::Suspend`], [`Action::Resume`] | it sleeps and wakes |
//! | 7, 8 | [`Action::Attach`], [`Action::Detach`] | this host takes over a core that runs already, or lets go of it; the generation is the core's |
//! | 9 | [`Action::Release`] | its memories are given back |
//! | 10 | [`Action::Dump`] | it crashed, was silent for too long, or ended by itself; what happens next is the [`Recovery`] |
//!
//! The names and the outer states are those of Linux (`include/linux/remoteproc.h`, `enum rproc_state`); bare, configured and
//! ready are what the OpenAMP library calls offline, configured and ready.
//!
//! # Rules
//!
//! * One action is under way at a time, under a ticket. Each has a deadline; what comes in after it is ignored.
//! * A core that this host did not start is never halted by anything but a command or a crash.
//! * Everything that is observed carries the generation in which it was. What an earlier life still says is ignored.
//! * A core that somebody else has started again after a crash ([`Sign::Restarted`]) runs on, in a new generation.
//! * A host that was killed finds the core [`Detached`](State::Detached) when it comes back, and attaches: no restart.

mod machine;
mod plan;

use core::fmt;
use core::time::Duration;

pub use machine::Life;

/// The state of a remote core.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum State {
    /// It does not run.
    Offline(Stage),
    /// It sleeps.
    Suspended,
    /// It runs, and this host started it.
    Running,
    /// It does not run any more, though it should.
    Crashed,
    /// It runs; somebody else started it, and this host has taken it over.
    Attached,
    /// It runs, and this host has nothing to do with it.
    Detached,
}

/// How far a core that does not run is prepared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Stage {
    /// Not at all.
    Bare,
    /// Its memories and doorbells are there.
    Configured,
    /// Its firmware is loaded.
    Ready,
}

impl State {
    /// The word that Linux has for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Offline(_) => "offline",
            Self::Suspended => "suspended",
            Self::Running => "running",
            Self::Crashed => "crashed",
            Self::Attached => "attached",
            Self::Detached => "detached",
        }
    }

    /// The state of this word; of the stages, offline means bare.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Offline(Stage::Bare), Self::Suspended, Self::Running, Self::Crashed, Self::Attached, Self::Detached]
            .into_iter()
            .find(|state| state.word() == word)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Which life of a core something belongs to: it changes at each start, and is never 0 in a core that runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub struct Generation(pub u32);

impl Generation {
    /// The one of the next start.
    #[must_use]
    pub const fn next(self) -> Self {
        match self.0.wrapping_add(1) {
            0 => Self(1),
            next => Self(next),
        }
    }
}

/// What somebody wants of a core.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Command {
    /// Make its memories and doorbells.
    Configure,
    /// Load its firmware, after configuring if that was not done.
    Load,
    /// Start it, after loading if that was not done. A detached one is attached to, as in Linux.
    Start,
    /// Stop it: ask first if there is a way to, then by force.
    Stop,
    /// Put it to sleep.
    Suspend,
    /// Wake it.
    Resume,
    /// Take over a core that runs already.
    Attach,
    /// Let go of it; it runs on.
    Detach,
    /// Give its memories back.
    Release,
}

impl Command {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Configure,
        Self::Load,
        Self::Start,
        Self::Stop,
        Self::Suspend,
        Self::Resume,
        Self::Attach,
        Self::Detach,
        Self::Release,
    ];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Load => "load",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Attach => "attach",
            Self::Detach => "detach",
            Self::Release => "release",
        }
    }
}

/// What a platform is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Action {
    /// Make the memories and doorbells.
    Configure,
    /// Load the firmware, check its resource table, serve it.
    Load,
    /// Let the core run, in this generation.
    Start(Generation),
    /// Send the message that asks the firmware to stop. Done when it is sent.
    Ask,
    /// Stop the core, whatever it does. Done when it does nothing any more.
    Halt,
    /// Put it to sleep.
    Suspend,
    /// Wake it.
    Resume,
    /// Take over the running core. Done with the generation in which it runs.
    Attach,
    /// Let go of it.
    Detach,
    /// Keep what is in its memories, for people to look at.
    Dump,
    /// Give the memories back.
    Release,
}

/// What a platform can do. What is not here is refused as unsupported, before anything is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Abilities {
    /// Load and start.
    pub start: bool,
    /// Send the firmware's message that asks it to stop.
    pub ask: bool,
    /// Stop by force.
    pub halt: bool,
    /// Suspend and resume.
    pub suspend: bool,
    /// Attach.
    pub attach: bool,
    /// Detach.
    pub detach: bool,
    /// Keep a core dump.
    pub dump: bool,
}

impl Abilities {
    /// Everything.
    pub const ALL: Self =
        Self { start: true, ask: true, halt: true, suspend: true, attach: true, detach: true, dump: true };
}

/// Why a command was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It makes no sense in this state.
    State(Command, State),
    /// The platform has no way to do it.
    Unsupported(Command),
    /// Something else is under way.
    Busy(Action),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(command, state) => {
                write!(f, "a remote that is {state} cannot {}", command.word())?;
                f.write_str(match (command, state) {
                    (Command::Start, _) => "; it runs already",
                    (Command::Stop | Command::Suspend | Command::Detach, State::Detached) => "; attach to it first",
                    (Command::Attach, State::Offline(_)) => "; start it",
                    (_, State::Running | State::Attached) => "; stop it first",
                    _ => "",
                })
            }
            Self::Unsupported(command) => {
                write!(f, "this platform has no way to {} a remote", command.word())
            }
            Self::Busy(action) => write!(f, "{action:?} is still under way; try again when it is done"),
        }
    }
}

impl core::error::Error for Refused {}

/// How an action failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The platform said so; why, it tells in its own words.
    Platform,
    /// Nothing was heard of it in time.
    TimedOut,
    /// The core was lost meanwhile.
    Crashed,
}

/// Why a core counts as crashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Cause {
    /// It, or its hardware, said so; what the number means is the platform's business.
    Fault(u32),
    /// It gave no sign of life for too long.
    Watchdog,
    /// It ended without having been asked to.
    Ended,
    /// What it wrote into shared memory cannot be.
    Corrupt,
}

/// What a platform notices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// It lives.
    Heartbeat,
    /// It crashed.
    Crashed(Cause),
    /// It came to its end: as it was asked to, or by itself.
    Ended,
    /// It was lost for this reason, and whoever else leads it (the kernel) has started it again already: it runs, in
    /// the generation after this one.
    Restarted(Cause),
}

/// What to do about a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Recovery {
    /// Nothing: it stays as it is, to be looked at.
    #[default]
    Never,
    /// Start it again at once, so many times in a row at most.
    Immediately {
        /// The most starts without it having been well for a while in between.
        attempts: u32,
    },
    /// Start it again after a while, which doubles each time.
    BackOff {
        /// The first wait.
        first: Duration,
        /// The longest.
        most: Duration,
        /// The most starts without it having been well for a while in between.
        attempts: u32,
    },
}

/// How a life is to be led.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// How long each action may take.
    pub limit: Duration,
    /// How long the firmware has to stop once it was asked to; `None` to stop it by force at once.
    pub grace: Option<Duration>,
    /// How long the core may be silent; `None` if it gives no signs of life.
    pub watchdog: Option<Duration>,
    /// What to do about a crash.
    pub recovery: Recovery,
    /// How long it has to run for its crashes before to be forgotten.
    pub well_after: Duration,
    /// Whether to keep a core dump of a crash.
    pub dump: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limit: Duration::from_secs(10),
            grace: None,
            watchdog: None,
            recovery: Recovery::Never,
            well_after: Duration::from_secs(30),
            dump: true,
        }
    }
}

/// Something that whoever keeps the log wants to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Report {
    /// The state changed.
    Now(State, Generation),
    /// A command was carried out.
    Done(Command),
    /// A command, or the recovery if there was none, ended at this action.
    Failed(Option<Command>, Action, Failure),
    /// It crashed.
    Crashed(Cause, Generation),
    /// It is to be started again then.
    Restart(tutti_metal::Instant),
    /// It crashed too often, and stays as it is.
    GivenUp,
}
