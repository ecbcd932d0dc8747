//! What remote cores have announced on the kernel's RPMsg bus, and a way to talk to it.
//!
//! A remote that announces the service `NAME` at the address `DST` becomes the device `virtioN.NAME.SRC.DST` on the bus (`rpmsg_core.c`,
//! `virtio_rpmsg_bus.c`). Its files `name` and `dst` say which; its place in sysfs says which link it came over, and which remote core that
//! leads to, if it is one of remoteproc's. Endpoints are made by the control device of the same link.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tutti_rpmsg::{Address, Name};

use super::EndpointFile;
use super::endpoint::{EndpointFileError, endpoints};

/// A service that a remote has announced, and that no driver of the kernel's has taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Channel {
    /// The device's name on the bus.
    pub device: String,
    /// What the service is called.
    pub name: String,
    /// Where the remote listens.
    pub address: Address,
    /// The core of remoteproc's (`remoteproc0`) that it is on; none if it is reached in another way.
    pub core: Option<String>,
    /// The link's place in sysfs.
    link: PathBuf,
    root: PathBuf,
}

/// The services on the bus below this root, in order of their devices' names.
#[must_use]
pub fn channels(root: &Path) -> Vec<Channel> {
    let entries = fs::read_dir(root.join("sys/bus/rpmsg/devices")).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries.filter_map(|entry| channel(root, &entry.path())).collect();
    found.sort_by(|a, b| a.device.cmp(&b.device));
    found
}

fn channel(root: &Path, device: &Path) -> Option<Channel> {
    // A driver that has it listens at its address on this side, and would take the answers.
    if device.join("driver").exists() {
        return None;
    }
    let place = device.canonicalize().ok()?;
    let read = |file| fs::read_to_string(place.join(file)).ok();
    let link = place.parent()?.to_owned();
    let core = link.components().rev().find_map(|part| {
        let part = part.as_os_str().to_str()?;
        part.strip_prefix("remoteproc")?.parse::<u32>().ok().map(|_| part.to_owned())
    });
    Some(Channel {
        device: device.file_name()?.to_str()?.to_owned(),
        name: read("name")?.trim_end().to_owned(),
        address: Address(number(&read("dst")?)?),
        core,
        link,
        root: root.to_owned(),
    })
}

/// As the kernel writes addresses: `0x400`.
fn number(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

impl Channel {
    /// An endpoint of this side for it, at an address that stays the same from one time to the next: the remote answers whoever wrote to it
    /// first, also if that was a process that is no more. One that such a process has left behind is used again.
    ///
    /// # Errors
    /// If the link has no control device, or the kernel refuses.
    pub fn open(&self, source: Address) -> Result<EndpointFile, EndpointFileError> {
        for left in endpoints(&self.root).into_iter().filter(|left| self.is_mine(left, source)) {
            if let Ok(endpoint) = EndpointFile::open(&self.root.join("dev").join(left)) {
                return Ok(endpoint.owned());
            }
        }
        let fault = |error| EndpointFileError { path: self.link.clone(), error };
        let name = Name::new(&self.name).map_err(|_| fault(io::ErrorKind::InvalidData.into()))?;
        let control = self.control().ok_or_else(|| fault(io::ErrorKind::NotFound.into()))?;
        EndpointFile::create(&self.root, &self.root.join("dev").join(control), name, source, self.address)
    }

    /// The control device of its link.
    fn control(&self) -> Option<String> {
        let class = fs::read_dir(self.root.join("sys/class/rpmsg")).ok()?.flatten();
        class.filter(|entry| self.is_beside(&entry.path())).find_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.starts_with("rpmsg_ctrl").then_some(name)
        })
    }

    fn is_mine(&self, endpoint: &str, source: Address) -> bool {
        let place = self.root.join("sys/class/rpmsg").join(endpoint);
        let is = |file: &str, wanted: Address| {
            fs::read_to_string(place.join(file)).is_ok_and(|text| decimal(&text) == Some(wanted.0))
        };
        self.is_beside(&place) && is("src", source) && is("dst", self.address)
    }

    /// Whether a device is of the same link.
    fn is_beside(&self, place: &Path) -> bool {
        place.canonicalize().is_ok_and(|place| place.starts_with(&self.link))
    }
}

/// As the kernel writes the addresses of endpoints (`rpmsg_char.c`): with a sign.
fn decimal(text: &str) -> Option<u32> {
    text.trim().parse::<i64>().ok().and_then(|number| u32::try_from(number & 0xffff_ffff).ok())
}
