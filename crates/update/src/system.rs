//! What every system is told by the program that has decided to run it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    image::Key,
    kernel::Machine,
    record::Choice,
    slots::{Device, Slots},
    version::Version,
};

/// Where it is told.
pub const FILE: &str = "/run/tutti-system.json";

/// The longest that is read.
const MAX: u64 = 1 << 20;

/// What runs, and how new systems are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// Which product.
    pub product: String,
    /// Which version.
    pub version: Version,
    /// `built-in`, `a` or `b`.
    pub running: String,
    /// Seconds that it has to join the pool, if it is on trial.
    pub trial: Option<u32>,
    /// The key that images are to be signed by, in hexadecimal digits; or why updates are not taken.
    pub key: Result<String, String>,
    /// Where the record is.
    pub folder: PathBuf,
    /// Where systems are.
    pub slots: [PathBuf; 2],
    /// Starts that a new system has.
    pub tries: u8,
    /// Whether systems with another kernel can be started: the first program of the boot medium says so, which is the one that
    /// starts them. One that says nothing is older than that.
    #[serde(default = "nothing_said")]
    pub other_kernels: Result<(), String>,
}

fn nothing_said() -> Result<(), String> {
    Err("the first program of its boot medium is of an older version".into())
}

impl System {
    /// What this system was told; none if nobody has told it anything.
    pub fn read(path: &Path) -> Option<Self> {
        if fs::metadata(path).ok()?.len() > MAX {
            return None;
        }
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Tells it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        fs::write(path, serde_json::to_vec_pretty(self)?)
    }

    /// Which one runs.
    pub fn choice(&self) -> Choice {
        Choice::named(&self.running).unwrap_or_default()
    }

    /// The slots.
    ///
    /// # Errors
    /// Why updates are not taken.
    pub fn updates(&self) -> Result<Slots, String> {
        let key = self.key.clone()?;
        let key = Key::from_hex(&key).ok_or("the update key of this system is none")?;
        Ok(Slots::new(self.folder.clone(), self.slots.clone(), key))
    }

    /// What images are held against.
    pub fn device(&self, machine: Machine) -> Device {
        let other_kernels = self.other_kernels.clone();
        Device { product: self.product.clone(), running: self.choice(), version: self.version, machine, other_kernels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("system");
        assert_eq!(System::read(&path), None);
        let mut system = System {
            product: "gateway".into(),
            version: Version([1, 2, 3]),
            running: "b".into(),
            trial: Some(120),
            key: Ok("ab".repeat(32)),
            folder: "/state/system".into(),
            slots: ["/a".into(), "/b".into()],
            tries: 3,
            other_kernels: Ok(()),
        };
        system.write(&path).unwrap();
        assert_eq!(System::read(&path), Some(system.clone()));
        assert_eq!(system.choice(), Choice::named("b").unwrap());
        assert!(system.updates().is_ok());
        system.key = Err("there is no state partition".into());
        assert_eq!(system.updates().unwrap_err(), "there is no state partition");
        let mut older: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        older.as_object_mut().unwrap().remove("other_kernels").unwrap();
        fs::write(&path, older.to_string()).unwrap();
        assert!(System::read(&path).unwrap().other_kernels.unwrap_err().contains("older version"));
        fs::write(&path, "nonsense").unwrap();
        assert_eq!(System::read(&path), None);
    }
}
