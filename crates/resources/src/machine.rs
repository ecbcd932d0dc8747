//! What sort of machine this is.
//!
//! Sources: os-release(5); the SMBIOS specification (DSP0134, "System Enclosure or Chassis Types") for
//! `/sys/class/dmi/id/chassis_type`; the Devicetree specification for `model` and `compatible` of the root node; and
//! what `systemd-detect-virt` goes by for virtual machines and containers.

use tutti_model::{Name, Text};

use crate::{cpu, memory, names::name, root::SysRoot};

/// What is known about this machine for its device record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineFacts {
    /// `laptop`, `desktop`, `server`, `tablet`, `phone`, `board`, `virtual-machine`, `container` or `computer`.
    pub kind: Text<31>,
    /// The processor architecture as the kernel calls it: `x86_64`, `aarch64`, …
    pub architecture: Text<31>,
    /// The operating system and the kernel: `Debian GNU/Linux 12 (bookworm), Linux 6.1.0`.
    pub os: Text<63>,
    /// Maker and model, where firmware tells.
    pub model: Text<63>,
    /// The host name as a name for the device.
    pub host_name: Option<Name>,
    /// How many processors are online.
    pub cores: usize,
    /// Bytes of memory; 0 if unknown.
    pub memory: u64,
}

/// Looks at the machine below `root`. What cannot be found out is left empty.
pub fn describe_machine(root: &SysRoot) -> MachineFacts {
    let stat = root.text("/proc/stat", 1 << 20).unwrap_or_default();
    let meminfo = root.text("/proc/meminfo", 64 * 1024).unwrap_or_default();
    let architecture = short(root, "/proc/sys/kernel/arch").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    MachineFacts {
        kind: Text::lossy(kind(root)),
        architecture: Text::lossy(&architecture),
        os: Text::lossy(&operating_system(root)),
        model: Text::lossy(&model(root)),
        host_name: short(root, "/proc/sys/kernel/hostname").filter(|host| host != "(none)").map(|host| name(&host)),
        cores: cpu::parse_stat(&stat).len().saturating_sub(1),
        memory: memory::parse_meminfo(&meminfo).map_or(0, |memory| memory.total),
    }
}

/// The first line of a small file, unless it is empty.
fn short(root: &SysRoot, path: &str) -> Option<String> {
    // Strings of a device tree end in NUL.
    let text = root.attribute(path).ok()?;
    let line = text.lines().next()?.trim_matches(['\0', ' ']).to_owned();
    (!line.is_empty()).then_some(line)
}

fn dmi(root: &SysRoot, field: &str) -> Option<String> {
    let text = short(root, &format!("/sys/class/dmi/id/{field}"))?;
    // What makers leave in who do not fill it in.
    let unset = ["To Be Filled By O.E.M.", "Default string", "System Product Name", "System manufacturer", "None"];
    (!unset.iter().any(|unset| text.eq_ignore_ascii_case(unset))).then_some(text)
}

fn device_tree(root: &SysRoot, field: &str) -> Option<String> {
    root.attribute(format!("/sys/firmware/devicetree/base/{field}"))
        .or_else(|_| root.attribute(format!("/proc/device-tree/{field}")))
        .ok()
        .map(|text| text.trim_matches('\0').replace('\0', " "))
        .filter(|text| !text.is_empty())
}

fn kind(root: &SysRoot) -> &'static str {
    if is_container(root) {
        return "container";
    }
    if is_virtual(root) {
        return "virtual-machine";
    }
    match dmi(root, "chassis_type").and_then(|code| code.parse::<u8>().ok()) {
        Some(8..=10 | 14 | 31 | 32) => return "laptop",
        Some(30) => return "tablet",
        Some(11) => return "phone",
        Some(17 | 23 | 25 | 28 | 29) => return "server",
        Some(3..=7 | 13 | 15 | 16 | 24 | 35 | 36) => return "desktop",
        Some(33 | 34) => return "board",
        _ => {}
    }
    if device_tree(root, "model").is_some() { "board" } else { "computer" }
}

fn is_container(root: &SysRoot) -> bool {
    ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"].iter().any(|mark| root.exists(mark))
}

fn is_virtual(root: &SysRoot) -> bool {
    const MAKERS: &[&str] = &[
        "QEMU",
        "KVM",
        "Bochs",
        "Xen",
        "VMware",
        "innotek GmbH",
        "VirtualBox",
        "Parallels",
        "Amazon EC2",
        "Google Compute",
    ];
    let firmware = ["sys_vendor", "product_name", "bios_vendor"].map(|field| dmi(root, field).unwrap_or_default());
    let by_firmware = firmware.iter().any(|text| MAKERS.iter().any(|maker| text.starts_with(maker)));
    // Microsoft also makes laptops.
    let hyper_v = firmware.iter().any(|text| text == "Virtual Machine");
    let by_tree = device_tree(root, "compatible")
        .is_some_and(|compatible| compatible.contains("linux,dummy-virt") || compatible.contains("qemu"));
    // Any guest of x86 has this flag, whatever its firmware says (CPUID leaf 1, bit 31 of ECX).
    let by_flag = root.text("/proc/cpuinfo", 4 << 20).is_ok_and(|cpuinfo| {
        cpuinfo
            .lines()
            .find(|line| line.starts_with("flags"))
            .is_some_and(|flags| flags.split_ascii_whitespace().any(|flag| flag == "hypervisor"))
    });
    by_firmware || hyper_v || by_tree || by_flag || root.exists("/sys/hypervisor/type")
}

fn model(root: &SysRoot) -> String {
    if let Some(model) = device_tree(root, "model") {
        return model;
    }
    let product = dmi(root, "product_version")
        // One maker puts the model's name here and a part number into `product_name`.
        .filter(|version| version.starts_with("ThinkPad") || version.starts_with("IdeaPad"))
        .or_else(|| dmi(root, "product_name"))
        .unwrap_or_default();
    match dmi(root, "sys_vendor") {
        Some(maker) if !product.starts_with(&maker) => format!("{maker} {product}").trim().to_owned(),
        _ => product,
    }
}

fn operating_system(root: &SysRoot) -> String {
    let os_release = ["/etc/os-release", "/usr/lib/os-release"]
        .into_iter()
        .find_map(|path| root.text(path, 64 * 1024).ok())
        .unwrap_or_default();
    let distribution = os_release_field(&os_release, "PRETTY_NAME").or_else(|| os_release_field(&os_release, "NAME"));
    let release = short(root, "/proc/sys/kernel/osrelease");
    match (distribution, release) {
        (Some(distribution), Some(release)) => format!("{distribution}, Linux {release}"),
        (Some(distribution), None) => distribution,
        (None, Some(release)) => format!("Linux {release}"),
        (None, None) => "Linux".to_owned(),
    }
}

/// A field of an os-release file; quotes and backslashes as a shell would read them.
pub fn os_release_field(text: &str, field: &str) -> Option<String> {
    let value = text.lines().rev().find_map(|line| line.trim().strip_prefix(field)?.strip_prefix('='))?.trim();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let inner = quote.and_then(|quote| value.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(value);
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quote != Some('\'') => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_is_read_as_a_shell_would() {
        let text = "NAME=Plain\nPRETTY_NAME=\"Quoted \\\"x\\\" \\$5\"\nEMPTY=\nSINGLE='a\\b'\n#NAME=no\n";
        assert_eq!(os_release_field(text, "PRETTY_NAME").as_deref(), Some("Quoted \"x\" $5"));
        assert_eq!(os_release_field(text, "NAME").as_deref(), Some("Plain"));
        assert_eq!(os_release_field(text, "SINGLE").as_deref(), Some("a\\b"));
        assert_eq!(os_release_field(text, "EMPTY"), None);
        assert_eq!(os_release_field(text, "PRETTY"), None);
    }
}
