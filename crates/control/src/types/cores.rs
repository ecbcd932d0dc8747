//! The other cores: remote processors, and processes that stand in for them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

words! {
    /// What runs a core.
    CoreKind {
        /// It is a process of this device's own.
        Process = "process",
        /// It is the kernel's (`/sys/class/remoteproc`).
        Linux = "linux",
    }
}

words! {
    /// The state of a core, in Linux's words.
    CoreState {
        /// It does not run.
        Offline = "offline",
        /// It sleeps.
        Suspended = "suspended",
        /// It runs.
        Running = "running",
        /// It does not run any more, though it should.
        Crashed = "crashed",
        /// It runs, and was taken over.
        Attached = "attached",
        /// It runs, and this device has nothing to do with it.
        Detached = "detached",
    }
}

words! {
    /// What to do with a core.
    CoreAction {
        /// Load its firmware and let it run.
        Start = "start",
        /// Stop it.
        Stop = "stop",
        /// Stop it and start it again.
        Restart = "restart",
        /// Put it to sleep.
        Suspend = "suspend",
        /// Wake it.
        Resume = "resume",
        /// Take it over as it runs.
        Attach = "attach",
        /// Let go of it; it runs on.
        Detach = "detach",
    }
}

/// A core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Core {
    /// Its name on this device.
    pub name: String,
    /// What runs it.
    pub kind: CoreKind,
    /// Its state.
    pub state: CoreState,
    /// Its firmware: a file, or a name that the kernel looks for in its firmware folders; empty if it is not known.
    pub firmware: String,
    /// The arguments of a process.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// The message that asks a process to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_message: Option<StopMessage>,
    /// Which of its lives this is; another one after each start.
    pub generation: u32,
    /// How often it was started again after a crash, since this device started.
    pub recoveries: u32,
    /// Its crashes since then, the latest last; the last 16 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crashes: Vec<CoreCrash>,
    /// Whether there is an RPMsg link with it.
    pub linked: bool,
    /// The names of the satellites behind it, the nearest first.
    pub satellites: Vec<String>,
    /// What was wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// A crash of a core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CoreCrash {
    /// When it was noticed: milliseconds since 1970.
    pub at: u64,
    /// Which of its lives ended.
    pub generation: u32,
    /// How.
    pub what: String,
}

/// What to start a core with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CoreRequest {
    /// For `start`: its firmware from now on. With a name that is new and the whole path of a program, a new core that is
    /// a process. For the kernel's cores, a name in its firmware folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// For `start` with a program: its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// For `start` with a program: the message that asks it to stop, before it is stopped by force. There is no standard
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_message: Option<StopMessage>,
}

/// The message that asks a firmware to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StopMessage {
    /// The address of the firmware's RPMsg endpoint that it goes to.
    pub endpoint: u32,
    /// Its bytes, in hexadecimal.
    pub bytes: String,
}

/// A line of a core's log: of its trace, of its satellite, or (behind `--`) of what happened to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CoreLine {
    /// Its number: a gap means lines that are not kept any more.
    pub number: u64,
    /// When it was read: milliseconds since 1970.
    pub at: u64,
    /// What it says. Written by the core; control characters are replaced.
    pub text: String,
}

/// How long a message took to a core and back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CorePing {
    /// In microseconds.
    pub round_trip_us: f64,
}
