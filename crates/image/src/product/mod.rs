//! `product.toml`: what a device maker says of a device.
//!
//! ```toml
//! name = "gateway"
//! version = "0.1.0"
//! profile = "standard"
//! parts = ["storage", "compute", "network"]
//!
//! [hardware]
//! board = "qemu-x86-64"
//!
//! [group]
//! join = "pair"
//!
//! [update]
//! key = "update.key"
//!
//! [limits]
//! image = "15 MiB"
//! ```
//!
//! Every value keeps its place in the text, so that a fault can point at it.

mod carried;
mod new;

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use tutti_app::package::Version;
use tutti_model::Name;

pub use new::{Answers, write};

use carried::{RawApp, RawCore};

use crate::{
    fault::{Code, Fault, FileId, Span, Texts},
    manifest::Profile,
    size::Size,
};

/// The largest product file, in bytes.
pub const MAX_PRODUCT: usize = 256 << 10;
/// The most parts, apps or cores that it may name.
const MAX_LIST: usize = 128;

/// A value with its place in the product file.
#[derive(Debug, Clone)]
pub struct Said<T> {
    /// What it says.
    pub value: T,
    /// Where.
    pub span: Span,
}

/// What the device is made of.
#[derive(Debug, Clone)]
pub enum Hardware {
    /// A board that is known by name.
    Board(Said<String>),
    /// A System Device Tree, and the domain that the image is for.
    Tree {
        /// The file.
        file: Said<String>,
        /// The domain's name.
        domain: Said<String>,
    },
}

/// Where the kernel comes from.
#[derive(Debug, Clone)]
pub enum Kernel {
    /// What the board names: Debian's package, as apt knows it.
    OfBoard,
    /// A package of Debian's by name.
    Package(Said<String>),
    /// Files: the kernel, its modules' folder, its configuration.
    Files {
        /// The kernel that is booted.
        file: Said<String>,
        /// The folder that has `modules.dep`.
        modules: Option<Said<String>>,
        /// Its configuration.
        config: Option<Said<String>>,
    },
}

/// Which group the device joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// The one that a person pairs it with.
    Pair,
    /// The one of this ticket.
    Ticket(String),
}

/// How the device gets onto the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// By DHCP.
    Dhcp,
    /// With a fixed address.
    Static {
        /// Address and prefix length.
        address: String,
        /// The router.
        gateway: Option<String>,
    },
}

/// An app that the image carries.
#[derive(Debug, Clone)]
pub struct App {
    /// Its package.
    pub file: Said<String>,
    /// Whether it is to run on the device, once an owner of the group allows it.
    pub run: bool,
}

/// Where a microcontroller's program comes from.
#[derive(Debug, Clone)]
pub enum Firmware {
    /// A file that the linker made.
    File(Said<String>),
    /// Tutti's source, where it is built with what the parts need.
    Source(Said<String>),
}

impl Firmware {
    /// What is named, and where.
    pub fn named(&self) -> &Said<String> {
        match self {
            Self::File(said) | Self::Source(said) => said,
        }
    }
}

/// Another core's firmware that the image carries.
#[derive(Debug, Clone)]
pub struct Core {
    /// The ELF file.
    pub firmware: Said<String>,
    /// What runs it.
    pub on: On,
}

/// What runs a core's firmware.
#[derive(Debug, Clone)]
pub enum On {
    /// Another processor of the chip, by the kernel.
    Processor {
        /// Its domain in the device tree.
        domain: Said<String>,
        /// What the kernel's driver calls it, if that is not the domain's name.
        processor: Option<Said<String>>,
    },
    /// The device's own processors, as a process.
    Process {
        /// What the core is called.
        name: Said<String>,
        /// The program's arguments.
        arguments: Vec<String>,
        /// The endpoint and the bytes of the message that asks it to stop.
        stop: Option<(u32, Vec<u8>)>,
    },
}

impl Core {
    /// What it is called.
    pub fn name(&self) -> &Said<String> {
        match &self.on {
            On::Processor { domain, .. } => domain,
            On::Process { name, .. } => name,
        }
    }
}

/// Limits that the image is held against.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// The initramfs or firmware file, in bytes.
    pub image: Option<Said<Size>>,
    /// RAM.
    pub ram: Option<Said<Size>>,
    /// Flash.
    pub flash: Option<Said<Size>>,
}

/// A product file that was read.
#[derive(Debug, Clone)]
pub struct Product {
    /// The file.
    pub file: FileId,
    /// What the device is called.
    pub name: Said<String>,
    /// Its version.
    pub version: Said<Version>,
    /// Which sort of system.
    pub profile: Said<Profile>,
    /// What it is made of.
    pub hardware: Hardware,
    /// The parts that are wanted.
    pub parts: Vec<Said<String>>,
    /// Further files with parts.
    pub parts_from: Vec<Said<String>>,
    /// App packages to carry.
    pub apps: Vec<App>,
    /// Where the kernel comes from.
    pub kernel: Kernel,
    /// More words for its command line.
    pub command_line: String,
    /// The program of a microcontroller.
    pub firmware: Option<Firmware>,
    /// Which group it joins.
    pub group: Group,
    /// How it gets onto the network.
    pub network: Network,
    /// The partition that keeps its state, as `/dev/vda` or `PARTLABEL=state`; in memory if there is none.
    pub state: Option<Said<String>>,
    /// The disk that has the system, as `/dev/vdb` or `PARTLABEL=system`; in memory, compressed, if there is none.
    pub system: Option<Said<String>>,
    /// Where it asks for a rescue shell on its console, if it does.
    pub rescue: Option<Span>,
    /// The file with the update key.
    pub update_key: Option<Said<String>>,
    /// Seconds that a new system has to join the pool, if not the usual ones.
    pub deadline: Option<u32>,
    /// Starts that a new system has for it, if not the usual ones.
    pub tries: Option<u8>,
    /// Limits.
    pub limits: Limits,
    /// Firmware of other cores.
    pub cores: Vec<Core>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    name: Spanned<String>,
    version: Spanned<String>,
    #[serde(default = "standard")]
    profile: Spanned<Profile>,
    hardware: Spanned<RawHardware>,
    #[serde(default)]
    parts: Vec<Spanned<String>>,
    #[serde(default)]
    parts_from: Vec<Spanned<String>>,
    #[serde(default)]
    apps: Vec<Spanned<RawApp>>,
    #[serde(default)]
    kernel: Option<Spanned<RawKernel>>,
    #[serde(default)]
    firmware: Option<Spanned<RawFirmware>>,
    #[serde(default)]
    group: Option<Spanned<RawGroup>>,
    #[serde(default)]
    network: Option<Spanned<RawNetwork>>,
    #[serde(default)]
    state: RawState,
    #[serde(default)]
    system: RawState,
    #[serde(default)]
    console: RawConsole,
    #[serde(default)]
    update: RawUpdate,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    core: Vec<RawCore>,
}

fn standard() -> Spanned<Profile> {
    Spanned::new(0..0, Profile::Standard)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHardware {
    board: Option<Spanned<String>>,
    tree: Option<Spanned<String>>,
    domain: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawKernel {
    package: Option<Spanned<String>>,
    file: Option<Spanned<String>>,
    modules: Option<Spanned<String>>,
    config: Option<Spanned<String>>,
    #[serde(default)]
    command_line: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFirmware {
    image: Option<Spanned<String>>,
    source: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    join: Spanned<String>,
    ticket: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNetwork {
    mode: Spanned<String>,
    address: Option<String>,
    gateway: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawState {
    device: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawConsole {
    rescue: Option<Spanned<bool>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawUpdate {
    key: Option<Spanned<String>>,
    deadline: Option<Spanned<u32>>,
    tries: Option<Spanned<u8>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    image: Option<Spanned<Size>>,
    ram: Option<Spanned<Size>>,
    flash: Option<Spanned<Size>>,
}

/// The fault of a text that is not what it should be, at the place that the reader names.
pub(crate) fn syntax(file: FileId, error: &toml::de::Error) -> Fault {
    let range = error.span().unwrap_or(0..0);
    let message = error.message().lines().next().unwrap_or_default().to_owned();
    Fault::new(Code::Syntax, message).at(&Span { file, range }, "here")
}

/// Reads a product file; what is wrong with it goes to `faults`.
pub fn parse(texts: &mut Texts, name: &str, text: &str, faults: &mut Vec<Fault>) -> Option<Product> {
    let file = texts.add(name, text);
    if text.len() > MAX_PRODUCT {
        faults.push(Fault::new(Code::File, format!("{name} is longer than {MAX_PRODUCT} bytes")));
        return None;
    }
    let raw: Raw = match toml::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            let help = "every word that may stand here is in the file that `tutti image new` writes";
            faults.push(syntax(file, &error).help(help));
            return None;
        }
    };
    let before = faults.len();
    let product = Reader { file, faults }.product(raw);
    if faults.len() > before { None } else { product }
}

struct Reader<'a> {
    file: FileId,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    fn span(&self, range: Range<usize>) -> Span {
        Span { file: self.file, range }
    }

    fn said<T>(&self, spanned: Spanned<T>) -> Said<T> {
        let span = self.span(spanned.span());
        Said { value: spanned.into_inner(), span }
    }

    fn list(&mut self, what: &str, list: Vec<Spanned<String>>) -> Vec<Said<String>> {
        if let Some(first) = list.first().filter(|_| list.len() > MAX_LIST) {
            let message = format!("there are more than {MAX_LIST} {what}");
            self.faults.push(Fault::new(Code::Syntax, message).at(&self.span(first.span()), "the first of them"));
        }
        list.into_iter().take(MAX_LIST).map(|it| self.said(it)).collect()
    }

    fn wrong(&mut self, range: Range<usize>, message: impl Into<String>, help: &str) {
        self.faults.push(Fault::new(Code::Syntax, message).at(&self.span(range), "here").help(help));
    }

    fn product(mut self, raw: Raw) -> Option<Product> {
        if let Err(error) = Name::new(raw.name.get_ref()) {
            self.wrong(raw.name.span(), format!("{:?} is no name: {error}", raw.name.get_ref()), "choose another name");
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !raw.name.get_ref().chars().all(plain) || raw.name.get_ref().starts_with('.') {
            let help = "the image's file is called by it: use letters a to z, digits, - and _";
            self.wrong(raw.name.span(), format!("{:?} cannot be a file's name", raw.name.get_ref()), help);
        }
        let version = match raw.version.get_ref().parse::<Version>() {
            Ok(version) => version,
            Err(error) => {
                self.wrong(raw.version.span(), error, "newer versions have larger numbers, the first one first");
                return None;
            }
        };
        let hardware = self.hardware(raw.hardware)?;
        let (kernel, command_line) = self.kernel(raw.kernel)?;
        let firmware = self.firmware(raw.firmware)?;
        let group = self.group(raw.group)?;
        let network = self.network(raw.network)?;
        let state = self.partition(raw.state)?;
        let system = self.partition(raw.system)?;
        if let (Some(state), Some(system)) = (&state, &system)
            && state.value == system.value
        {
            let fault = Fault::new(Code::Syntax, "the system and the state cannot be on the same partition");
            let fault = fault.at(&system.span, "the system").at(&state.span, "the state");
            self.faults.push(fault.help("give each its own: the system's is only read"));
        }
        if let Some(wait) = raw.update.deadline.as_ref().filter(|wait| !(10..=3600).contains(wait.get_ref())) {
            let message = format!("a new system cannot have {} s to join the pool", wait.get_ref());
            self.wrong(wait.span(), message, "write 10 to 3600 seconds; 120 is what it has if nothing is said");
        }
        if let Some(tries) = raw.update.tries.as_ref().filter(|tries| !(1..=10).contains(tries.get_ref())) {
            let message = format!("a new system cannot have {} starts to join the pool", tries.get_ref());
            self.wrong(tries.span(), message, "write 1 to 10; 3 is what it has if nothing is said");
        }
        let cores = raw.core.into_iter().take(MAX_LIST).filter_map(|core| carried::core(&mut self, core)).collect();
        let apps = carried::apps(&mut self, raw.apps);
        let size = |it: Option<Spanned<Size>>| it.map(|it| self.said(it));
        let limits = Limits { image: size(raw.limits.image), ram: size(raw.limits.ram), flash: size(raw.limits.flash) };
        Some(Product {
            file: self.file,
            name: self.said(raw.name),
            version: Said { span: self.span(raw.version.span()), value: version },
            profile: self.said(raw.profile),
            hardware,
            parts: self.list("parts", raw.parts),
            parts_from: self.list("files of parts", raw.parts_from),
            apps,
            kernel,
            command_line,
            firmware,
            group,
            network,
            state,
            system,
            rescue: raw.console.rescue.filter(|it| *it.get_ref()).map(|it| self.span(it.span())),
            deadline: raw.update.deadline.map(Spanned::into_inner),
            tries: raw.update.tries.map(Spanned::into_inner),
            update_key: raw.update.key.map(|it| self.said(it)),
            limits,
            cores,
        })
    }

    fn hardware(&mut self, raw: Spanned<RawHardware>) -> Option<Hardware> {
        let range = raw.span();
        match raw.into_inner() {
            RawHardware { board: Some(board), tree: None, domain: None } => Some(Hardware::Board(self.said(board))),
            RawHardware { board: None, tree: Some(tree), domain: Some(domain) } => {
                Some(Hardware::Tree { file: self.said(tree), domain: self.said(domain) })
            }
            _ => {
                let help = "write board = \"NAME\" (`tutti image ls --boards` lists them), or tree = \"FILE.dts\" and \
                            domain = \"NAME\"";
                self.wrong(range, "the hardware is either a board, or a device tree and a domain of it", help);
                None
            }
        }
    }

    fn kernel(&mut self, raw: Option<Spanned<RawKernel>>) -> Option<(Kernel, String)> {
        let Some(raw) = raw else { return Some((Kernel::OfBoard, String::new())) };
        let range = raw.span();
        let RawKernel { package, file, modules, config, command_line } = raw.into_inner();
        if command_line.chars().any(char::is_control) || command_line.len() > 1024 {
            self.wrong(range, "the command line is one line of at most 1,024 bytes", "take the line break out");
            return None;
        }
        let kernel = match (package, file) {
            (None, None) if modules.is_none() && config.is_none() => Kernel::OfBoard,
            (Some(package), None) if modules.is_none() && config.is_none() => Kernel::Package(self.said(package)),
            (None, Some(file)) => Kernel::Files {
                file: self.said(file),
                modules: modules.map(|it| self.said(it)),
                config: config.map(|it| self.said(it)),
            },
            _ => {
                let help = "write package = \"linux-image-amd64\", or file = \"vmlinuz\" with modules and config";
                self.wrong(range, "the kernel is either a package of Debian's or files", help);
                return None;
            }
        };
        Some((kernel, command_line))
    }

    fn firmware(&mut self, raw: Option<Spanned<RawFirmware>>) -> Option<Option<Firmware>> {
        let Some(raw) = raw else { return Some(None) };
        let range = raw.span();
        match raw.into_inner() {
            RawFirmware { image: Some(image), source: None } => Some(Some(Firmware::File(self.said(image)))),
            RawFirmware { image: None, source: Some(source) } => Some(Some(Firmware::Source(self.said(source)))),
            _ => {
                let help = "write source = \"FOLDER\" (of Tutti's source), or image = \"FILE.elf\"";
                self.wrong(range, "the firmware is either built from a source, or a file", help);
                None
            }
        }
    }

    fn partition(&mut self, raw: RawState) -> Option<Option<Said<String>>> {
        let Some(device) = raw.device else { return Some(None) };
        let text = device.get_ref();
        let label = text.strip_prefix("PARTLABEL=").is_some_and(|label| !label.is_empty());
        if !(label || text.starts_with("/dev/")) || text.contains("/../") || text.chars().any(char::is_control) {
            let help = "write device = \"PARTLABEL=state\" or device = \"/dev/vda\"";
            self.wrong(device.span(), format!("{text:?} names no partition"), help);
            return None;
        }
        Some(Some(self.said(device)))
    }

    fn group(&mut self, raw: Option<Spanned<RawGroup>>) -> Option<Group> {
        let Some(raw) = raw else { return Some(Group::Pair) };
        let RawGroup { join, ticket } = raw.into_inner();
        match (join.get_ref().as_str(), ticket) {
            ("pair", None) => Some(Group::Pair),
            ("ticket", Some(ticket)) => Some(Group::Ticket(ticket)),
            (word, _) => {
                let help = "write join = \"pair\", or join = \"ticket\" with ticket = \"…\"";
                self.wrong(join.span(), format!("join is \"pair\", or \"ticket\" with a ticket, not {word:?}"), help);
                None
            }
        }
    }

    fn network(&mut self, raw: Option<Spanned<RawNetwork>>) -> Option<Network> {
        let Some(raw) = raw else { return Some(Network::Dhcp) };
        let RawNetwork { mode, address, gateway } = raw.into_inner();
        let is_address = |text: &str| text.parse::<std::net::IpAddr>().is_ok();
        let is_net = |text: &str| {
            text.split_once('/').is_some_and(|(address, prefix)| {
                let most = if address.contains(':') { 128 } else { 32 };
                is_address(address) && prefix.parse::<u8>().is_ok_and(|it| it <= most)
            })
        };
        match (mode.get_ref().as_str(), address, gateway) {
            ("dhcp", None, None) => Some(Network::Dhcp),
            ("static", Some(address), gateway) if is_net(&address) && gateway.as_deref().is_none_or(is_address) => {
                Some(Network::Static { address, gateway })
            }
            _ => {
                let help = "write mode = \"dhcp\", or mode = \"static\" with address = \"192.168.1.5/24\" and \
                            gateway = \"192.168.1.1\"";
                self.wrong(mode.span(), "the network is neither \"dhcp\" nor \"static\" with an address", help);
                None
            }
        }
    }
}
