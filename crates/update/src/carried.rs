//! What an image carries for its node to take up: app packages, and the firmware of other cores.
//!
//! Whoever builds an image writes this list beside the files ([`FILE`]); the node reads it at each start, and takes up what is in it. It
//! is as trustworthy as the image that it comes in, and no more: a carried app is offered to the group, and runs only where an owner's
//! signed word allows it; a core's firmware runs on this device alone.
//!
//! The list is JSON, at most [`MAX`] bytes of it, with at most [`MOST`] apps and as many cores. A field that is unknown is an error: the reader
//! comes in the same image as the list.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tutti_model::Name;

/// Where the list is in an image.
pub const FILE: &str = "/usr/share/tutti/carried.json";

/// The longest list, in bytes.
pub const MAX: u64 = 1 << 20;

/// The most apps, and the most cores.
pub const MOST: usize = 16;

/// The longest message that asks a core to stop, in bytes: what an RPMsg buffer of the usual size has room for.
pub const MOST_STOP: usize = 496;

/// The most arguments of a core's program, and the most bytes of them.
pub const MOST_ARGUMENTS: (usize, usize) = (64, 4096);

/// The list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Carried {
    /// Apps.
    pub apps: Vec<App>,
    /// Other cores.
    pub cores: Vec<Core>,
}

/// An app's package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// The package.
    pub file: PathBuf,
    /// Whether an instance of it is to run on this device, once the app is allowed.
    #[serde(default)]
    pub run: bool,
}

/// Another core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Core {
    /// What it is called.
    pub name: String,
    /// What it runs, and on what.
    pub firmware: Firmware,
}

/// What a core runs, and on what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Firmware {
    /// A program: the core is a process of this device.
    Process {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        #[serde(default)]
        arguments: Vec<String>,
        /// What it is sent before it is stopped by force.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stop: Option<Stop>,
    },
    /// A file below `/lib/firmware`, for one of the kernel's remote processors.
    Kernel {
        /// The file, as the kernel looks for it.
        file: String,
        /// What the processor's driver calls it: the file `name` in its folder of `/sys/class/remoteproc`.
        processor: String,
    },
}

/// A message that asks a program to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// The address of the endpoint that it is for.
    pub endpoint: u32,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Why there is no list.
#[derive(Debug)]
pub enum CarriedError {
    /// It cannot be read.
    Io(PathBuf, io::Error),
    /// It is longer than [`MAX`].
    TooLong(PathBuf),
    /// It does not have the form of one.
    Form(String),
    /// There are more than [`MOST`] apps, or cores.
    TooMany,
    /// Something in it makes no sense.
    Value(String),
}

impl fmt::Display for CarriedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::TooLong(path) => write!(f, "{} has more than {MAX} bytes", path.display()),
            Self::Form(why) => write!(f, "the list of what the image carries cannot be read: {why}"),
            Self::TooMany => write!(f, "an image carries at most {MOST} apps and {MOST} cores"),
            Self::Value(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for CarriedError {}

impl Carried {
    /// Reads the list.
    ///
    /// # Errors
    /// See [`CarriedError`].
    pub fn read(path: &Path) -> Result<Self, CarriedError> {
        let failed = |error| CarriedError::Io(path.to_owned(), error);
        if fs::metadata(path).map_err(failed)?.len() > MAX {
            return Err(CarriedError::TooLong(path.to_owned()));
        }
        Self::parse(&fs::read(path).map_err(failed)?)
    }

    /// Reads the bytes of a list.
    ///
    /// # Errors
    /// See [`CarriedError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CarriedError> {
        let list: Self = serde_json::from_slice(bytes).map_err(|error| CarriedError::Form(error.to_string()))?;
        list.check()?;
        Ok(list)
    }

    /// The list's bytes: the same list makes the same ones.
    ///
    /// # Errors
    /// See [`CarriedError`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, CarriedError> {
        self.check()?;
        serde_json::to_vec_pretty(self).map_err(|error| CarriedError::Form(error.to_string()))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.apps.is_empty() && self.cores.is_empty()
    }

    fn check(&self) -> Result<(), CarriedError> {
        if self.apps.len() > MOST || self.cores.len() > MOST {
            return Err(CarriedError::TooMany);
        }
        for (index, core) in self.cores.iter().enumerate() {
            let name = Name::new(&core.name);
            name.map_err(|error| CarriedError::Value(format!("{:?} cannot be a core's name: {error}", core.name)))?;
            if self.cores.iter().take(index).any(|other| other.name == core.name) {
                return Err(CarriedError::Value(format!("two cores are called {}", core.name)));
            }
        }
        let programs = self.cores.iter().filter_map(|core| match &core.firmware {
            Firmware::Process { program, .. } => Some(program),
            Firmware::Kernel { .. } => None,
        });
        match self.apps.iter().map(|app| &app.file).chain(programs).find(|path| !path.is_absolute()) {
            Some(path) => Err(CarriedError::Value(format!("{} is no whole path", path.display()))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list() -> Carried {
        let stop = Some(Stop { endpoint: 100, bytes: vec![0] });
        let process = Firmware::Process { program: "/usr/bin/brain".into(), arguments: vec!["x".into()], stop };
        let kernel = Firmware::Kernel { file: "m4.elf".into(), processor: "m4".into() };
        Carried {
            apps: vec![App { file: "/a/counter.app".into(), run: true }],
            cores: vec![Core { name: "brain".into(), firmware: process }, Core { name: "m4".into(), firmware: kernel }],
        }
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let bytes = list().to_bytes().unwrap();
        assert_eq!(Carried::parse(&bytes).unwrap(), list());
        assert!(Carried::parse(b"{}").unwrap().is_empty());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("carried");
        fs::write(&path, &bytes).unwrap();
        assert_eq!(Carried::read(&path).unwrap(), list());
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let said = |bytes: &[u8]| Carried::parse(bytes).unwrap_err().to_string();
        assert!(said(b"{\"app\": []}").contains("unknown field"));
        assert!(said(b"{\"apps\": [{\"file\": \"a\"}]}").contains("a is no whole path"));
        let mut twice = list();
        twice.cores[1].name = "brain".into();
        assert_eq!(twice.to_bytes().unwrap_err().to_string(), "two cores are called brain");
        twice.cores[1].name = "a/b".into();
        assert!(twice.to_bytes().unwrap_err().to_string().contains("cannot be a core's name"));
        let many = Carried { apps: vec![list().apps[0].clone(); MOST + 1], cores: Vec::new() };
        assert!(matches!(many.to_bytes(), Err(CarriedError::TooMany)));
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Carried::read(&folder.path().join("none")), Err(CarriedError::Io(..))));
        let path = folder.path().join("long");
        fs::write(&path, vec![b' '; 1 + usize::try_from(MAX).unwrap()]).unwrap();
        assert!(matches!(Carried::read(&path), Err(CarriedError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn nothing_panics(at in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
            let mut bytes = list().to_bytes().unwrap();
            if let Some(it) = bytes.get_mut(at) {
                *it = byte;
            }
            bytes.truncate(bytes.len().saturating_sub(cut));
            if let Ok(list) = Carried::parse(&bytes) {
                prop_assert_eq!(Carried::parse(&list.to_bytes().unwrap()).unwrap(), list);
            }
        }
    }
}
