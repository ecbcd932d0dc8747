//! What people point at: `kitchen/lamp`, `kitchen/disk/notes/today.txt`.

use std::{fmt, str::FromStr};

/// A resource of a device, as it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The device: a name, an id, or the beginning of an id.
    pub(crate) device: String,
    /// The resource's name.
    pub(crate) name: String,
}

impl FromStr for Target {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((device, name)) if !device.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { device: device.to_owned(), name: name.to_owned() })
            }
            _ => Err(format!("{text:?} names no resource; write it as DEVICE/RESOURCE, such as kitchen/lamp")),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.device, self.name)
    }
}

/// A file in a storage resource, or the storage itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileTarget {
    /// The storage.
    pub(crate) storage: Target,
    /// The file's path in it; empty for the storage itself.
    pub(crate) path: String,
}

impl FromStr for FileTarget {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} names no storage; write it as DEVICE/STORAGE or DEVICE/STORAGE/PATH");
        let (device, rest) = text.split_once('/').ok_or_else(wrong)?;
        let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
        let storage = format!("{device}/{name}").parse().map_err(|_| wrong())?;
        Ok(Self { storage, path: path.to_owned() })
    }
}

impl fmt::Display for FileTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.path.is_empty() { "" } else { "/" };
        write!(f, "{}{slash}{}", self.storage, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_read_as_they_print() {
        for text in ["kitchen/lamp", "küche/disk.1"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for bad in ["kitchen", "/lamp", "kitchen/", "a/b/c", ""] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
        for text in ["kitchen/disk", "kitchen/disk/a/b c.txt"] {
            assert_eq!(text.parse::<FileTarget>().unwrap().to_string(), text);
        }
        assert_eq!("k/d/".parse::<FileTarget>().unwrap().path, "");
        for bad in ["kitchen", "/disk/x", "kitchen//x"] {
            assert!(bad.parse::<FileTarget>().is_err(), "{bad}");
        }
    }
}
