//! Which of the kernel's modules a device wants, and in which order they are loaded.
//!
//! `depmod` writes three lists beside the modules (depmod(8), modules.dep(5)): which patterns of names of hardware each module
//! drives, which modules each needs before it, and what is built into the kernel. The hardware's name is in its
//! [`uevent`](crate::uevent). This module is the arithmetic on them; [`load`] asks the kernel.
//!
//! The lists are part of the image and no more trusted than that it must not hang or crash the first program: lines
//! that make no sense are skipped, cycles end, matching takes bounded time.

pub mod load;
mod pattern;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use pattern::matches;

/// The longest list that is read. Debian's `modules.alias` has some 1.5 MB.
pub const MAX_LIST: u64 = 16 << 20;

/// What the lists say.
#[derive(Debug, Default)]
pub struct Modules {
    /// Patterns by what they begin with up to the first `:`, which is the bus; each with its module.
    aliases: HashMap<String, Vec<(String, String)>>,
    /// Each module's file, and the files that it needs, by its name.
    files: BTreeMap<String, (String, Vec<String>)>,
    builtin: BTreeSet<String>,
}

/// A module's name as the kernel knows it: its file's, without the ends, and with `_` for `-`.
pub fn name_of(file: &str) -> String {
    let file = file.rsplit('/').next().unwrap_or(file);
    plain(file.split(".ko").next().unwrap_or(file))
}

/// A module's name as the kernel writes it.
pub(crate) fn plain(name: &str) -> String {
    name.replace('-', "_")
}

impl Modules {
    /// From the contents of `modules.alias`, `modules.dep` and `modules.builtin`.
    pub fn new(alias: &str, dep: &str, builtin: &str) -> Self {
        let mut modules = Self::default();
        for line in alias.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_ascii_whitespace();
            if let (Some("alias"), Some(pattern), Some(module), None) =
                (words.next(), words.next(), words.next(), words.next())
            {
                let of_bus = modules.aliases.entry(bus(pattern).to_owned()).or_default();
                of_bus.push((pattern.to_owned(), plain(module)));
            }
        }
        for line in dep.lines() {
            let Some((file, needs)) = line.split_once(':') else { continue };
            let needs = needs.split_ascii_whitespace().map(str::to_owned).collect();
            modules.files.insert(name_of(file), (file.to_owned(), needs));
        }
        modules.builtin.extend(builtin.lines().map(name_of).filter(|name| !name.is_empty()));
        modules
    }

    /// The modules that drive hardware of this name, in the order of the list.
    pub fn for_hardware(&self, modalias: &str) -> Vec<&str> {
        let mut found = Vec::new();
        // A pattern whose own bus is a pattern is rare, and is in the list of what begins with anything.
        let lists = [bus(modalias), "*"].into_iter().filter_map(|bus| self.aliases.get(bus));
        for (pattern, module) in lists.flatten() {
            if !found.contains(&module.as_str()) && matches(pattern, modalias) {
                found.push(module);
            }
        }
        found
    }

    /// The files to load for a module, those it needs first; empty if it is built in.
    ///
    /// # Errors
    /// [`NoSuchModule`] if no list has it.
    pub fn files_for(&self, module: &str) -> Result<Vec<&str>, NoSuchModule> {
        let module = name_of(module);
        let Some((file, needs)) = self.files.get(&module) else {
            return if self.builtin.contains(&module) { Ok(Vec::new()) } else { Err(NoSuchModule) };
        };
        // The list names all that are needed, also by those that are needed, the last one first.
        let mut files: Vec<&str> = Vec::with_capacity(needs.len() + 1);
        for need in needs.iter().rev().chain([file]) {
            if !files.contains(&need.as_str()) {
                files.push(need);
            }
        }
        Ok(files)
    }

    /// How many modules there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// No list has the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchModule;

fn bus(name: &str) -> &str {
    let bus = name.split(':').next().unwrap_or(name);
    if bus.contains(['*', '?', '[']) { "*" } else { bus }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lines of the lists that Debian's 6.1 kernel comes with.
    const ALIAS: &str = "# Aliases extracted from modules themselves.\n\
        alias virtio:d00000001v* virtio_net\n\
        alias pci:v00008086d0000100Esv*sd*bc*sc*i* e1000\n\
        alias usb:v*p*d*dc*dsc*dp*ic03isc*ip*in* usbhid\n\
        alias of:N*T*Cti,tmp75C* lm75\n\
        alias input:b*v*p*e*-e*1,*k*r*a*m*l*s*f*w* evdev\n\
        alias symbol:x crc32c-intel\n";
    const DEP: &str = "kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko\n\
        kernel/drivers/hwmon/lm75.ko.xz: kernel/drivers/base/regmap/regmap-i2c.ko.xz\n\
        kernel/net/core/failover.ko:\n";

    fn modules() -> Modules {
        Modules::new(ALIAS, DEP, "kernel/fs/ext4/ext4.ko\nkernel/crypto/crc32c-generic.ko\n")
    }

    #[test]
    fn hardware_finds_its_module() {
        let modules = modules();
        assert_eq!(modules.for_hardware("virtio:d00000001v00001AF4"), ["virtio_net"]);
        assert_eq!(modules.for_hardware("pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00"), ["e1000"]);
        assert_eq!(modules.for_hardware("of:Nsensor@48Tsensor_deviceCti,tmp75C"), ["lm75"]);
        assert!(modules.for_hardware("pci:v00008086d0000100F").is_empty());
        assert!(modules.for_hardware("").is_empty());
        let keyboard = "input:b0003v046DpC31Ce0110-e0,1,4,11,14,k71,72,ram4,l0,1,2,sfw";
        assert_eq!(modules.for_hardware(keyboard), ["evdev"]);
    }

    #[test]
    fn what_is_needed_comes_first() {
        let modules = modules();
        let files =
            ["kernel/net/core/failover.ko", "kernel/drivers/net/net_failover.ko", "kernel/drivers/net/virtio_net.ko"];
        assert_eq!(modules.files_for("virtio_net").unwrap(), files);
        assert_eq!(modules.files_for("virtio-net").unwrap(), files);
        let compressed = modules.files_for("lm75").unwrap();
        assert_eq!(compressed.last(), Some(&"kernel/drivers/hwmon/lm75.ko.xz"));
        assert_eq!(modules.files_for("crc32c_generic"), Ok(vec![]), "it is built in");
        assert_eq!(modules.files_for("nothing"), Err(NoSuchModule));
        assert_eq!(modules.len(), 3);
    }

    proptest! {
        #[test]
        fn nothing_panics(alias in "\\PC{0,200}", dep in "[a-z:/. \n]{0,200}", name in "\\PC{0,50}") {
            let modules = Modules::new(&alias, &dep, &dep);
            modules.for_hardware(&name);
            let _ = modules.files_for(&name);
        }
    }
}
