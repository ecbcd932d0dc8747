//! What a device is started with.

use std::{net::SocketAddr, path::PathBuf};

use tutti_model::{DeviceId, Name, ProtocolVersion, VersionRange};
use tutti_resources::simulated::Simulated;

/// How to run a device. [`Options::new`] has what most want.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it keeps its key, group and data. Made if it is not there.
    pub state: PathBuf,
    /// Where the running devices of this machine register. Made if it is not there.
    pub runtime: PathBuf,
    /// What to call it from now on; if none, as before, or after the machine.
    pub name: Option<Name>,
    /// The UDP port; 0 for any that is free.
    pub port: u16,
    /// Whether to discover devices on the local network.
    pub mdns: bool,
    /// Loopback address for the control API on TCP, with a token; port 0 for any that is free.
    pub api_tcp: Option<SocketAddr>,
    /// Below which the machine's hardware is looked for: `/`, but for tests.
    pub sysfs: PathBuf,
    /// The chip's System Device Tree: a tree, then what to lay over it. If none, it is looked for: see `tree`.
    pub device_tree: Vec<PathBuf>,
    /// The list of what the image carries for this device, if there is one: see `tutti_update::carried`.
    pub carried: Option<PathBuf>,
    /// Whether to offer this machine's hardware.
    pub hardware: bool,
    /// The storage to offer, if any.
    pub storage: Option<StorageOptions>,
    /// How many bytes of memory apps may have together; half of the machine's if none.
    pub app_memory: Option<u64>,
    /// Made-up resources to offer.
    pub simulated: Vec<Simulated>,
    /// Makes made-up values differ between devices.
    pub seed: u64,
    /// The protocol versions to speak: [`VersionRange::SUPPORTED`], but for tests.
    pub versions: VersionRange,
    /// The user's word that what is damaged in the state folder be moved aside and begun anew.
    pub reset_corrupt: bool,
}

/// A folder to offer as storage.
#[derive(Clone, Debug)]
pub struct StorageOptions {
    /// The resource's name.
    pub name: Name,
    /// The folder; `storage` in the state folder if none.
    pub folder: Option<PathBuf>,
    /// The most bytes that it may hold.
    pub quota: u64,
}

impl Options {
    /// A device on this state folder: its hardware, discovery, any port, 1 GiB of storage.
    pub fn new(state: PathBuf, runtime: PathBuf) -> Self {
        let storage = Name::new("storage").ok().map(|name| StorageOptions { name, folder: None, quota: 1 << 30 });
        Self {
            state,
            runtime,
            name: None,
            port: 0,
            mdns: true,
            api_tcp: None,
            sysfs: "/".into(),
            device_tree: Vec::new(),
            carried: None,
            hardware: true,
            storage,
            app_memory: None,
            simulated: Vec::new(),
            seed: 0,
            versions: VersionRange::SUPPORTED,
            reset_corrupt: false,
        }
    }

    /// Speaks this version of the protocol and no other.
    pub fn speak_only(&mut self, version: u16) {
        self.versions = VersionRange::only(ProtocolVersion(version));
    }
}

/// A device that runs now.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Its id.
    pub id: DeviceId,
    /// Its name.
    pub name: Name,
    /// The socket of its control API.
    pub socket: PathBuf,
    /// The TCP address of its control API, if it has one.
    pub tcp: Option<SocketAddr>,
    /// Where other devices reach it.
    pub addresses: Vec<SocketAddr>,
    /// How many devices are in its group, itself included.
    pub members: usize,
}
