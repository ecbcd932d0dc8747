//! `memory-used` and `memory-available`, in bytes, with the property `total`.
//!
//! Source: Documentation/filesystems/proc.rst ("meminfo"): all figures are in KiB though it prints `kB`; `MemAvailable`
//! (Linux 3.14) is what new programs can have without swapping. Used is what is not available.

use std::{path::Path, sync::Arc, time::Duration};

use tutti_model::{ResourceDescription, Value};

use crate::{
    driver::{Driver, DriverError},
    names::{count, name, unit, with, words},
    root::SysRoot,
};

const MEMINFO: &str = "/proc/meminfo";
const MAX_MEMINFO: usize = 64 * 1024;

pub(crate) fn discover(root: &SysRoot) -> Vec<Arc<dyn Driver>> {
    let Ok(Some(memory)) = root.text(MEMINFO, MAX_MEMINFO).map(|text| parse_meminfo(&text)) else { return Vec::new() };
    [false, true]
        .map(|available| {
            let (what, root) = (if available { "memory-available" } else { "memory-used" }, root.clone());
            let description = with(
                ResourceDescription::sensor(name(what), unit("B")),
                [("quantity", words("memory")), ("total", count(memory.total))],
            );
            Arc::new(MemoryDriver { root, description, available }) as Arc<dyn Driver>
        })
        .into()
}

/// The machine's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All that the kernel has.
    pub total: u64,
    /// What programs can still have without swapping; at most `total`.
    pub available: u64,
}

/// Reads `/proc/meminfo`. `None` if it lacks the total, or anything to tell the available memory by.
pub fn parse_meminfo(text: &str) -> Option<Memory> {
    let field = |wanted: &str| {
        text.lines().find_map(|line| {
            let mut words = line.strip_prefix(wanted)?.strip_prefix(':')?.split_ascii_whitespace();
            let kib: u64 = words.next()?.parse().ok()?;
            (words.next() == Some("kB")).then(|| kib.saturating_mul(1024))
        })
    };
    let total = field("MemTotal")?;
    let available = field("MemAvailable").or_else(|| {
        let caches = field("Buffers").unwrap_or(0).saturating_add(field("Cached").unwrap_or(0));
        Some(field("MemFree")?.saturating_add(caches))
    })?;
    Some(Memory { total, available: available.min(total) })
}

struct MemoryDriver {
    root: SysRoot,
    description: ResourceDescription,
    available: bool,
}

impl Driver for MemoryDriver {
    fn description(&self) -> ResourceDescription {
        self.description.clone()
    }

    fn read(&self) -> Result<Value, DriverError> {
        let text = self.root.text(MEMINFO, MAX_MEMINFO)?;
        let memory =
            parse_meminfo(&text).ok_or_else(|| DriverError::garbage(&self.root.locate(MEMINFO), text.as_bytes()))?;
        Ok(count(if self.available { memory.available } else { memory.total - memory.available }))
    }

    fn refresh_every(&self) -> Option<Duration> {
        Some(Duration::from_secs(2))
    }

    fn origin(&self) -> Option<&Path> {
        Some(Path::new(MEMINFO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn old_and_new_kernels_are_read() {
        let new = "MemTotal:       1000 kB\nMemFree: 100 kB\nMemAvailable:    600 kB\n";
        assert_eq!(parse_meminfo(new), Some(Memory { total: 1_024_000, available: 614_400 }));
        let old = "MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 25 kB\nSwapCached: 9 kB\n";
        assert_eq!(parse_meminfo(old), Some(Memory { total: 1_024_000, available: 179_200 }));
        assert_eq!(parse_meminfo("MemTotal: 1000\nMemFree: 1 kB"), None, "no unit");
        assert_eq!(parse_meminfo("MemTotal: 1000 kB\nMemAvail"), None, "cut off");
    }

    proptest! {
        #[test]
        fn what_the_kernel_prints_is_read(total in 0u64..1 << 50, available in 0u64..1 << 50) {
            let text = format!("MemTotal:{total:>15} kB\nMemFree: 7 kB\nMemAvailable:{available:>15} kB\nCached: 1 kB\n");
            let memory = parse_meminfo(&text).unwrap();
            prop_assert_eq!(memory.total, total * 1024);
            prop_assert_eq!(memory.available, available.min(total) * 1024);
        }

        #[test]
        fn anything_is_survived(text in "((MemTotal|MemFree|MemAvailable|x):? *[0-9]{0,22} ?(kB)?\n?){0,6}") {
            if let Some(memory) = parse_meminfo(&text) {
                prop_assert!(memory.available <= memory.total);
            }
        }
    }
}
