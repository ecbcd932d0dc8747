//! What a process remote is made from, and why something was not done to it.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

use tutti_remoteproc::elf::LoadError;
use tutti_rpmsg::Address;
use tutti_virtio::Corrupt;

use super::layout::{LayoutFault, MEMORY};
use crate::MappingError;

/// The message that asks a firmware to stop: there is no standard one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shutdown {
    /// To which endpoint of the firmware it goes.
    pub to: Address,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a process remote is made from.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// The program: an ELF file. If it has a section `.resource_table`, that is its table; if not, it gets one with an
    /// RPMsg device of 256 buffers each way, and a trace named `log`.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What is set in its environment besides.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it is to listen for hosts to come: in a folder that only this user can write to.
    pub socket: PathBuf,
    /// How many bytes of memory it shares.
    pub memory: usize,
    /// How many endpoints the host's end of the link can have.
    pub endpoints: usize,
    /// How to ask it to stop.
    pub shutdown: Option<Shutdown>,
    /// Where core dumps go: one file, replaced each time.
    pub dump: Option<PathBuf>,
}

impl ProcessConfig {
    /// With the usual sizes.
    pub fn new(program: impl Into<PathBuf>, socket: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            socket: socket.into(),
            memory: MEMORY,
            endpoints: 64,
            shutdown: None,
            dump: None,
        }
    }
}

/// Why something was not done to a process remote.
#[derive(Debug)]
pub enum ProcessFault {
    /// The operating system refused.
    Io {
        /// What was tried.
        doing: &'static str,
        /// What it said.
        error: io::Error,
    },
    /// There is no shared memory.
    Memory(MappingError),
    /// The program is no executable.
    Load(LoadError),
    /// What the program's table asks for cannot be had.
    Layout(LayoutFault),
    /// The remote wrote something that cannot be.
    Corrupt(Corrupt),
    /// The remote did not do its part in time.
    Silent(&'static str),
    /// It makes no sense now.
    NotNow(&'static str),
}

impl fmt::Display for ProcessFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, error } => write!(f, "cannot {doing}: {error}"),
            Self::Memory(error) => error.fmt(f),
            Self::Load(error) => error.fmt(f),
            Self::Layout(error) => error.fmt(f),
            Self::Corrupt(error) => error.fmt(f),
            Self::Silent(what) => write!(f, "the remote did not {what} in time; see its log, or stop it"),
            Self::NotNow(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ProcessFault {}

impl From<MappingError> for ProcessFault {
    fn from(error: MappingError) -> Self {
        Self::Memory(error)
    }
}

impl From<LoadError> for ProcessFault {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}

impl From<LayoutFault> for ProcessFault {
    fn from(error: LayoutFault) -> Self {
        Self::Layout(error)
    }
}

impl From<Corrupt> for ProcessFault {
    fn from(error: Corrupt) -> Self {
        Self::Corrupt(error)
    }
}

/// Says what a failed step was for.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, ProcessFault>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str) -> Result<T, ProcessFault> {
        self.map_err(|error| ProcessFault::Io { doing, error: error.into() })
    }
}
