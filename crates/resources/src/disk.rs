//! How full the disks are: `disk-NAME-used` and `disk-NAME-available` in bytes, with the property `total`.
//!
//! Offered is each mounted filesystem that lies on a block device, once, at its shortest mount point; for a container,
//! which has none, its root. Network and user-space filesystems are left out: asking them may block for ever.
//!
//! Sources: proc_mounts(5), fstab(5) for the octal escapes, statvfs(3): available is what users other than root may
//! still fill, used is what is not free, so the two need not add up to the total.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tutti_model::{ResourceDescription, Value};

use crate::{
    driver::{Driver, DriverError},
    names::{count, name, unit, with, words},
    root::SysRoot,
};

const MOUNTS: &str = "/proc/mounts";
const MAX_MOUNTS: usize = 1 << 20;
/// Filesystems that are offered; one more is left out.
const MAX_DISKS: usize = 32;

/// Filesystems whose code is in the kernel, and on whose space somebody can act.
const FILESYSTEMS: &[&str] =
    &["bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "ntfs3", "vfat", "xfs"];

pub(crate) fn discover(root: &SysRoot) -> Vec<Arc<dyn Driver>> {
    let Ok(text) = root.text(MOUNTS, MAX_MOUNTS) else { return Vec::new() };
    let mut drivers: Vec<Arc<dyn Driver>> = Vec::new();
    for mount in disks(&parse_mounts(&text)) {
        let Some(total) = root.filesystem(&mount.point).ok().map(|full| Space::of(&full).total) else { continue };
        if total == 0 {
            continue;
        }
        let point = mount.point.to_string_lossy();
        let short = if point == "/" { "root" } else { &point };
        for available in [false, true] {
            let what = if available { "available" } else { "used" };
            let description = with(
                ResourceDescription::sensor(name(&format!("disk-{short}-{what}")), unit("B")),
                [
                    ("quantity", words("disk-space")),
                    ("total", count(total)),
                    ("mount", words(&point)),
                    ("filesystem", words(&mount.filesystem)),
                ],
            );
            drivers.push(Arc::new(Disk { root: root.clone(), description, point: mount.point.clone(), available }));
        }
    }
    drivers
}

/// One line of `/proc/mounts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub source: String,
    /// Where.
    pub point: PathBuf,
    /// The filesystem's type.
    pub filesystem: String,
}

/// Reads `/proc/mounts`; lines that are cut off are left out.
pub fn parse_mounts(text: &str) -> Vec<Mount> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (source, point, filesystem) = (words.next()?, words.next()?, words.next()?);
            words.next()?;
            point.starts_with('/').then(|| Mount {
                source: unescape(source),
                point: PathBuf::from(unescape(point)),
                filesystem: filesystem.to_owned(),
            })
        })
        .collect()
}

/// Space, tab, newline and backslash come as `\040`, `\011`, `\012` and `\134`.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or("").as_bytes().to_vec();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                bytes.extend_from_slice(part.get(3..).unwrap_or("").as_bytes());
            }
            None => {
                bytes.push(b'\\');
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What of it is offered, in order of mount points.
fn disks(mounts: &[Mount]) -> Vec<&Mount> {
    let mut by_source: BTreeMap<&str, &Mount> = BTreeMap::new();
    for mount in mounts.iter().filter(|mount| FILESYSTEMS.contains(&mount.filesystem.as_str())) {
        let shortest = by_source.entry(&mount.source).or_insert(mount);
        if mount.point.as_os_str().len() < shortest.point.as_os_str().len() {
            *shortest = mount;
        }
    }
    let mut disks: Vec<&Mount> = by_source.into_values().collect();
    if !disks.iter().any(|mount| mount.point == Path::new("/")) {
        // A container's root is an overlay; the files that its host binds into it are no disks of it.
        let overlay = mounts.iter().rev().find(|mount| mount.point == Path::new("/") && mount.filesystem == "overlay");
        disks.extend(overlay);
    }
    disks.sort_by(|a, b| a.point.cmp(&b.point));
    disks.truncate(MAX_DISKS);
    disks
}

struct Space {
    total: u64,
    used: u64,
    available: u64,
}

impl Space {
    fn of(filesystem: &rustix::fs::StatVfs) -> Self {
        let bytes = |blocks: u64| blocks.saturating_mul(filesystem.f_frsize);
        Self {
            total: bytes(filesystem.f_blocks),
            used: bytes(filesystem.f_blocks.saturating_sub(filesystem.f_bfree)),
            available: bytes(filesystem.f_bavail),
        }
    }
}

struct Disk {
    root: SysRoot,
    description: ResourceDescription,
    point: PathBuf,
    available: bool,
}

impl Driver for Disk {
    fn description(&self) -> ResourceDescription {
        self.description.clone()
    }

    fn read(&self) -> Result<Value, DriverError> {
        let space =
            Space::of(&self.root.filesystem(&self.point).map_err(|error| self.root.error(&self.point, &error))?);
        Ok(count(if self.available { space.available } else { space.used }))
    }

    fn refresh_every(&self) -> Option<Duration> {
        Some(Duration::from_secs(10))
    }

    fn origin(&self) -> Option<&Path> {
        Some(&self.point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_disk_is_offered_once() {
        let mounts = parse_mounts(
            "proc /proc proc rw 0 0\n/dev/sda1 / ext4 rw 0 0\n/dev/sda1 /etc/hosts ext4 rw 0 0\n\
             server:/x /net nfs4 rw 0 0\n/dev/sdb1 /media/my\\040disk vfat rw 0 0\n/dev/loop0 /snap/x squashfs ro 0 0\n\
             /dev/sdc1 /cut",
        );
        let points: Vec<_> = disks(&mounts).iter().map(|mount| mount.point.to_str().unwrap()).collect();
        assert_eq!(points, ["/", "/media/my disk"]);
    }

    #[test]
    fn a_containers_root_counts() {
        let mounts = parse_mounts("overlay / overlay rw 0 0\nproc /proc proc rw 0 0\n");
        assert_eq!(disks(&mounts).len(), 1);
    }

    proptest! {
        #[test]
        fn escapes_round_trip(path in "/[ a-z\\\\\t0-7]{0,20}") {
            let escaped: String = path
                .chars()
                .map(|c| match c {
                    ' ' => "\\040".to_owned(),
                    '\t' => "\\011".to_owned(),
                    '\\' => "\\134".to_owned(),
                    c => c.to_string(),
                })
                .collect();
            prop_assert_eq!(unescape(&escaped), path);
        }

        #[test]
        fn anything_is_survived(text in "[/a-z \\\\0-9\n]{0,80}") {
            disks(&parse_mounts(&text));
        }
    }
}
