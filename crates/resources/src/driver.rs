//! What every driver can do, and how it fails.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::io::Errno;
use tutti_model::{ResourceDescription, Value};

use crate::{screen::Screen, signal::Signal, storage::Storage};

/// One resource of this device.
///
/// Calls block for at most about 100 ms by design; a sensor's own bus may add to that. No call may be made on a
/// thread that must not block. Dropping a driver gives the hardware back as [`Driver::release`] does.
pub trait Driver: Send + Sync {
    /// What it is, as the device's record describes it. The name never changes while the driver lives.
    fn description(&self) -> ResourceDescription;

    /// Takes a reading now.
    ///
    /// # Errors
    /// [`DriverError::NotReadable`] and whatever the hardware answers.
    fn read(&self) -> Result<Value, DriverError>;

    /// Drives the actuator.
    ///
    /// # Errors
    /// [`DriverError::NotWritable`] for a sensor; [`DriverError::WrongType`] and [`DriverError::OutOfRange`] before
    /// anything is touched; whatever the hardware answers.
    fn write(&self, _value: &Value) -> Result<(), DriverError> {
        Err(DriverError::NotWritable)
    }

    /// Whoever drove it is done: what the machine itself did with the hardware goes on.
    ///
    /// # Errors
    /// Whatever the hardware answers.
    fn release(&self) -> Result<(), DriverError> {
        Ok(())
    }

    /// How often a changed value is worth taking; `None` if the value changes only when [`Driver::changes`] says so.
    fn refresh_every(&self) -> Option<Duration>;

    /// Tells when the value changed without being asked.
    fn changes(&self) -> Option<&Signal> {
        None
    }

    /// Which file or folder it stands on. Together with the description this tells whether two drivers are the same.
    fn origin(&self) -> Option<&Path> {
        None
    }

    /// The files in it, if it stores some.
    fn storage(&self) -> Option<&Storage> {
        None
    }

    /// What it shows, if it is a display.
    fn screen(&self) -> Option<&Screen> {
        None
    }
}

/// The most bytes in which a driver says what sort of value it takes: so many are sent to whoever asked.
pub const MAX_TAKES: usize = 31;

/// Why a resource did not do what it was asked to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DriverError {
    /// It takes values but gives none.
    NotReadable,
    /// It gives values but takes none.
    NotWritable,
    /// It takes another sort of value.
    WrongType {
        /// What it takes; [`MAX_TAKES`] bytes at most.
        takes: &'static str,
        /// What it was given.
        given: &'static str,
    },
    /// The value is not within its range.
    OutOfRange {
        /// The least it takes.
        min: f64,
        /// The most it takes.
        max: f64,
    },
    /// The value is longer or larger than it takes.
    TooLarge {
        /// The most it takes, in the unit named by `of`.
        max: usize,
        /// What is counted: bytes, pixels.
        of: &'static str,
    },
    /// A picture that cannot be drawn, and what the decoder says about it.
    BadImage(String),
    /// The user that this program runs as may not do this to the file.
    NotPermitted {
        /// Which file.
        path: PathBuf,
        /// What to do about it.
        advice: &'static str,
    },
    /// The hardware is no longer there.
    Gone(PathBuf),
    /// The hardware gives no value now: it is asleep, faulty, or its bus failed.
    Unavailable {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        why: String,
    },
    /// The file holds something other than it should.
    Garbage {
        /// Which file.
        path: PathBuf,
        /// The beginning of what it holds, made printable.
        holds: String,
    },
    /// No value has been given yet.
    NoValueYet,
    /// No program listens for what this resource is told.
    NobodyListens,
    /// The listening program does not keep up.
    Busy {
        /// How many commands wait for it already.
        waiting: usize,
    },
    /// The program behind it has withdrawn it, or its time ran out.
    Withdrawn,
}

impl DriverError {
    /// What an error of the operating system on `path` means.
    pub(crate) fn from_io(path: &Path, error: &io::Error, advice: &'static str) -> Self {
        let path = path.to_path_buf();
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Self::NotPermitted { path, advice },
            Some(Errno::NOENT | Errno::NODEV | Errno::NXIO | Errno::NOTDIR) => Self::Gone(path),
            _ => Self::Unavailable { path, why: error.to_string() },
        }
    }

    /// A file that should have held something else.
    pub(crate) fn garbage(path: &Path, holds: &[u8]) -> Self {
        let start = holds.get(..holds.len().min(40)).unwrap_or_default();
        Self::Garbage { path: path.to_path_buf(), holds: start.escape_ascii().to_string() }
    }
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReadable => f.write_str("this resource gives no readings; it only takes values"),
            Self::NotWritable => f.write_str("this resource cannot be controlled; it only gives readings"),
            Self::WrongType { takes, given } => write!(f, "this resource takes {takes}; it was given a {given}"),
            Self::OutOfRange { min, max } => write!(f, "the value is out of range; give one from {min} to {max}"),
            Self::TooLarge { max, of } => write!(f, "the value is too large; this resource takes at most {max} {of}"),
            Self::BadImage(why) => write!(f, "the picture cannot be drawn: {why}; give a PNG"),
            Self::NotPermitted { path, advice } => {
                write!(f, "this program may not use {}; {advice}", path.display())
            }
            Self::Gone(path) => write!(f, "the hardware is gone: {} does not exist any more", path.display()),
            Self::Unavailable { path, why } => write!(f, "no value now: {}: {why}; try again later", path.display()),
            Self::Garbage { path, holds } => {
                write!(f, "{} holds \"{holds}\", which is not what the kernel documents there", path.display())
            }
            Self::NoValueYet => f.write_str("the program that offers this resource has not given a value yet"),
            Self::NobodyListens => f.write_str(
                "the program that offers this resource does not listen for commands now; start it, or try again",
            ),
            Self::Busy { waiting } => {
                write!(f, "{waiting} commands already wait for the program behind this resource; try again later")
            }
            Self::Withdrawn => f.write_str("the program that offered this resource has withdrawn it"),
        }
    }
}

impl std::error::Error for DriverError {}
