//! `/etc/tutti/device.toml`: what the image says of the device. Written by `tutti image build`, read here; whoever
//! changes one changes the other.
//!
//! ```toml
//! hostname = "kitchen"
//! product = "gateway"
//! version = "1.2.0"
//! time-server = "10.0.0.1"        # asked by SNTP; without it, the machine's own clock is believed
//! modules = ["gpio-sim"]          # to be loaded at start besides those that hardware asks for; with parameters
//!                                 # behind a space: "i2c-stub chip_addr=0x48"
//!
//! gpio-sim = ["button", "lamp"]  # the lines of a made-up GPIO chip, by the module gpio-sim
//!
//! [state]
//! device = "PARTLABEL=state"      # or /dev/vda; without it, the state is lost at power off
//! type = "ext4"
//!
//! [network]
//! mode = "dhcp"                   # or "static", "none"
//! interface = "eth0"              # if left out: all by DHCP; with "static" the first
//! address = "10.0.0.2/24"         # these three for "static"
//! gateway = "10.0.0.1"
//! dns = ["10.0.0.1"]
//!
//! [node]
//! arguments = ["--simulate", "sensor"]
//! join = "tutti-ticket…"          # the group to enter; without it the device waits to be paired
//! once = [["app", "install", "/usr/share/tutti/hello"]]   # commands of `tutti`, each until it has succeeded once
//!
//! [watchdog]
//! device = "/dev/watchdog"
//!
//! [system]                        # in a first stage whose system is on a disk, see `packed`
//! device = "/dev/vdb"
//! size = 12345678                 # of so many bytes
//! digest = "<64 hexadecimal digits>" # BLAKE3
//!
//! [update]                        # taken only with a state partition
//! key = "<64 hexadecimal digits>" # images signed by this key are taken
//! slots = ["/state/system/a", "/state/system/b"]
//! deadline = 120                  # seconds that a new system has to join the pool
//! tries = 3                       # starts that a new system has for it
//! ```
//!
//! A field that is unknown, or a value that makes no sense, is an error with its line: the builder checks with this very
//! code. At the start of a device the same error is told and the defaults are used, so that a device with a bad file can
//! still be reached by DHCP and paired.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    str::FromStr,
};

use serde::Deserialize;

use crate::gpio;

/// Where the settings are in an image.
pub const PATH: &str = "/etc/tutti/device.toml";

/// Where a first stage leaves its settings to the system that it unpacks: they count more than that system's own, which
/// know nothing of what was put behind the image.
pub const CARRIED: &str = "/run/tutti-device.toml";

/// The most bytes of settings.
pub const MAX: u64 = 1 << 20;

/// What the image says of the device.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The machine's name.
    pub hostname: String,
    /// What the product is called.
    pub product: String,
    /// The product's version, as images are ordered by.
    pub version: String,
    /// Modules to load besides those that hardware asks for.
    pub modules: Vec<String>,
    /// The lines of a made-up GPIO chip; no chip if there are none.
    pub gpio_sim: Vec<String>,
    /// Where the state is kept.
    pub state: State,
    /// How the network is set up.
    pub network: Network,
    /// How the node is run.
    pub node: Node,
    /// The hardware watchdog.
    pub watchdog: Watchdog,
    /// The packed system, if it is on a disk.
    pub system: Option<Packed>,
    /// How new systems come.
    pub update: Option<Update>,
    /// Bytes of the log that are kept.
    pub log_bytes: u64,
    /// The address of the time server to ask; none is asked if left out.
    pub time_server: Option<IpAddr>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostname: "tutti".into(),
            product: String::new(),
            version: "0.0.0".into(),
            modules: Vec::new(),
            gpio_sim: Vec::new(),
            state: State::default(),
            network: Network::default(),
            node: Node::default(),
            watchdog: Watchdog::default(),
            system: None,
            update: None,
            log_bytes: 1 << 20,
            time_server: None,
        }
    }
}

/// Where the state is kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct State {
    /// The partition; in memory if there is none.
    pub device: Option<Device>,
    /// Its file system.
    #[serde(rename = "type")]
    pub kind: String,
    /// How many seconds to wait for it to appear.
    pub wait: u16,
}

impl Default for State {
    fn default() -> Self {
        Self { device: None, kind: "ext4".into(), wait: 10 }
    }
}

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Device {
    /// A file below `/dev`.
    Path(PathBuf),
    /// `PARTLABEL=`: the partition with this name in the table.
    Label(String),
}

impl TryFrom<String> for Device {
    type Error = BadDevice;
    fn try_from(text: String) -> Result<Self, BadDevice> {
        text.parse()
    }
}

impl FromStr for Device {
    type Err = BadDevice;
    fn from_str(text: &str) -> Result<Self, BadDevice> {
        match text.strip_prefix("PARTLABEL=") {
            Some(label) if !label.is_empty() => Ok(Self::Label(label.to_owned())),
            None if text.starts_with("/dev/") && !text.contains("/../") => Ok(Self::Path(text.into())),
            _ => Err(BadDevice(text.to_owned())),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Label(label) => write!(f, "PARTLABEL={label}"),
        }
    }
}

/// A text that names no block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadDevice(String);

impl fmt::Display for BadDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} names no block device; write it as /dev/vda2 or PARTLABEL=state", self.0)
    }
}

/// How the network is set up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Network {
    /// By whom addresses are given.
    pub mode: Mode,
    /// The one interface to set up. If left out: all by DHCP; the first that is found, if the address is static.
    pub interface: Option<String>,
    /// The address, if it is static.
    pub address: Option<Cidr>,
    /// The way out, if it is static.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers, if it is static.
    pub dns: Vec<IpAddr>,
}

/// By whom addresses are given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// By the network.
    #[default]
    Dhcp,
    /// By the settings.
    Static,
    /// By nobody; interfaces are switched on, and have link-local addresses.
    None,
}

/// An IPv4 address with the length of its network's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Cidr {
    /// The address.
    pub address: Ipv4Addr,
    /// How many bits are the network's.
    pub prefix: u8,
}

impl TryFrom<String> for Cidr {
    type Error = BadCidr;
    fn try_from(text: String) -> Result<Self, BadCidr> {
        text.parse()
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;
    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let parts =
            text.split_once('/').and_then(|(address, prefix)| Some((address.parse().ok()?, prefix.parse().ok()?)));
        match parts {
            Some((address, prefix)) if prefix <= 32 => Ok(Self { address, prefix }),
            _ => Err(BadCidr(text.to_owned())),
        }
    }
}

/// A text that is no address with a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadCidr(String);

impl fmt::Display for BadCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no address with a prefix; write it as 10.0.0.2/24", self.0)
    }
}

/// How the node is run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Node {
    /// The program; `tutti`, but for tests.
    pub program: PathBuf,
    /// More arguments for `tutti up`.
    pub arguments: Vec<String>,
    /// A ticket of the group to enter.
    pub join: Option<String>,
    /// Commands to run once the node is ready, each until it has succeeded once.
    pub once: Vec<Vec<String>>,
    /// Its environment besides what it needs.
    pub environment: std::collections::BTreeMap<String, String>,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            program: "/usr/bin/tutti".into(),
            arguments: Vec::new(),
            join: None,
            once: Vec::new(),
            environment: Default::default(),
        }
    }
}

/// The hardware watchdog.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Watchdog {
    /// Its file; none is used if left out.
    pub device: Option<PathBuf>,
}

/// A packed system on a disk.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Packed {
    /// Where it begins.
    pub device: Device,
    /// Its bytes.
    pub size: u64,
    /// Their BLAKE3 digest: 64 hexadecimal digits.
    pub digest: String,
}

/// How new systems come.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Update {
    /// The public key that images are to be signed by: 64 hexadecimal digits.
    pub key: String,
    /// Where the two systems are: files, or block devices.
    #[serde(default = "Update::default_slots")]
    pub slots: [PathBuf; 2],
    /// Seconds that a new system has to join the pool.
    #[serde(default = "Update::default_deadline")]
    pub deadline: u32,
    /// Starts that a new system has for it.
    #[serde(default = "Update::default_tries")]
    pub tries: u8,
}

impl Update {
    fn default_slots() -> [PathBuf; 2] {
        ["/state/system/a", "/state/system/b"].map(PathBuf::from)
    }
    const fn default_deadline() -> u32 {
        120
    }
    const fn default_tries() -> u8 {
        3
    }
}

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadSettings {
    /// The text is no TOML, or has another form than it should: what, and where.
    Form(String),
    /// What is wrong with a value.
    Value(&'static str),
}

impl fmt::Display for BadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(what) => write!(f, "{}", what.trim_end()),
            Self::Value(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for BadSettings {}

impl FromStr for Settings {
    type Err = BadSettings;

    fn from_str(text: &str) -> Result<Self, BadSettings> {
        let settings: Self = toml::from_str(text).map_err(|error| BadSettings::Form(error.to_string()))?;
        settings.check().map_err(BadSettings::Value)?;
        Ok(settings)
    }
}

impl Settings {
    fn check(&self) -> Result<(), &'static str> {
        let name = |char: char| char.is_ascii_alphanumeric() || char == '-';
        if self.hostname.is_empty() || self.hostname.len() > 63 || !self.hostname.chars().all(name) {
            return Err("hostname takes 1 to 63 letters, digits and '-'");
        }
        if self.gpio_sim.len() > gpio::MOST || !self.gpio_sim.iter().all(|name| gpio::is_name(name)) {
            return Err("gpio-sim takes at most 32 names of 1 to 32 letters, digits and '-'");
        }
        if !matches!(self.log_bytes, 0x1_0000..=0x4000_0000) {
            return Err("log-bytes takes 65536 to 1073741824");
        }
        if self.network.mode == Mode::Static && self.network.address.is_none() {
            return Err("network.mode = \"static\" needs network.address, such as \"10.0.0.2/24\"");
        }
        if !self.node.program.is_absolute() {
            return Err("node.program takes a path that begins with '/'");
        }
        if let Some(system) = &self.system {
            let hex = system.digest.bytes().all(|byte| byte.is_ascii_hexdigit());
            if system.size == 0 || system.digest.len() != 64 || !hex {
                return Err("system takes a size in bytes and a digest of 64 hexadecimal digits");
            }
        }
        if let Some(update) = &self.update {
            if update.key.len() != 64 || !update.key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err("update.key takes 64 hexadecimal digits");
            }
            if !(10..=3600).contains(&update.deadline) {
                return Err("update.deadline takes 10 to 3600 seconds");
            }
            if !(1..=10).contains(&update.tries) {
                return Err("update.tries takes 1 to 10");
            }
            if update.slots.iter().any(|slot| !slot.is_absolute()) || update.slots[0] == update.slots[1] {
                return Err("update.slots takes two different paths that begin with '/'");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    #[test]
    fn nothing_said_is_a_device_of_defaults() {
        let settings: Settings = "".parse().unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!(settings.network.mode, Mode::Dhcp);
        assert_eq!(settings.node.program, PathBuf::from("/usr/bin/tutti"));
    }

    #[test]
    fn everything_can_be_said() {
        let text = format!(
            "hostname = \"kitchen\"\nproduct = \"gateway\"\nversion = \"1.2.0\"\nmodules = [\"gpio-sim\"]\n\
             log-bytes = 100000\ntime-server = \"10.0.0.1\"\n\
             [state]\ndevice = \"PARTLABEL=state\"\ntype = \"ext4\"\nwait = 3\n\
             [network]\nmode = \"static\"\ninterface = \"eth0\"\naddress = \"10.0.0.2/24\"\ngateway = \"10.0.0.1\"\n\
             dns = [\"10.0.0.1\", \"fd00::1\"]\n\
             [node]\narguments = [\"--simulate\", \"sensor\"]\njoin = \"ticket\"\nonce = [[\"status\"]]\n\
             [watchdog]\ndevice = \"/dev/watchdog\"\n[update]\nkey = \"{KEY}\"\n"
        );
        let settings: Settings = text.parse().unwrap();
        assert_eq!(settings.state.device, Some(Device::Label("state".into())));
        assert_eq!(settings.network.address.unwrap().prefix, 24);
        let update = settings.update.unwrap();
        assert_eq!((update.deadline, update.tries), (120, 3));
        assert_eq!(update.slots[1], PathBuf::from("/state/system/b"));
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        let error = |text: &str| text.parse::<Settings>().unwrap_err().to_string();
        assert!(error("a = 1").contains("line 1"), "{}", error("a = 1"));
        assert!(error("[network]\nmode = \"magic\"").contains("line 2"));
        assert!(error("[state]\ndevice = \"disk\"").contains("PARTLABEL=state"));
        assert!(error("[network]\naddress = \"10.0.0.2\"").contains("10.0.0.2/24"));
        assert!(error("hostname = \"a b\"").contains("hostname"));
        assert!(error("[network]\nmode = \"static\"").contains("network.address"));
        assert!(error("[update]\nkey = \"x\"").contains("update.key"));
        assert!(error("[node]\nprogram = \"tutti\"").contains("node.program"));
        assert!(error("gpio-sim = [\"a/b\"]").contains("gpio-sim"));
        assert!(error("log-bytes = 5").contains("log-bytes"));
        let system =
            |size: &str, digest: &str| format!("[system]\ndevice = \"/dev/vdb\"\nsize = {size}\ndigest = \"{digest}\"");
        assert!(system("7", KEY).parse::<Settings>().unwrap().system.is_some_and(|it| it.size == 7));
        assert!(error(&system("0", KEY)).contains("system takes"));
        assert!(error(&system("7", &KEY[1..])).contains("system takes"));
    }
}
