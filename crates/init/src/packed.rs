//! A system that stays compressed.
//!
//! The archive that the kernel unpacks at its start is in memory as a whole, and nothing can take any of it back. So an
//! image has there only a *first stage*: this program, and the modules that it takes to find a system. The system
//! is a compressed file system, which the first stage mounts; it gives its own memory back, and the first program of
//! the system goes on. From then on the kernel unpacks what is used, and drops it again when memory is short.
//!
//! | where the system is | what the first stage does | memory that it takes |
//! |---|---|---|
//! | [`FILE`], beside the first stage | copies it to a disk that is memory (`drivers/block/brd.c`), from its end on and cutting it by what was copied, so that there is never more than one of it | its packed size; while the kernel unpacks the archive, twice |
//! | on a disk (`[system]` of the settings) | reads all of it once and compares it with the digest that it was built with | none that cannot be dropped |
//! | in a slot ([`tutti_update`]) | the first stage before it has put the file beside this one, as the image was checked | as the first row |
//!
//! # What is trusted
//! What is in memory was checked before it came there, and a disk that is altered later, or ages, alters nothing. A system on a
//! disk is checked at the start and not when it is read: whoever can write that disk while the device runs can alter the
//! system, and bad sectors end programs. dm-verity would see to that page by page; a mapped device is made by ioctls, which our
//! libraries offer only as unsafe code. Who needs more than the check at the start leaves `[system]` out.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::mount::{MountFlags, mount};
use tutti_update::image::has_digest;

use crate::{
    boot,
    devices::Devices,
    log::Log,
    settings::{self, Settings},
};

/// The packed system, in a first stage.
pub const FILE: &str = "/system.squashfs";

/// The largest. It is in memory.
const MAX: u64 = 1 << 30;

const DISK: &str = "/dev/ram0";

/// How long the disk may take to be there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes that are copied at a time.
const PIECE: u64 = 1 << 20;

/// How long a disk with the system may take to be there.
pub(crate) const DISK_PATIENCE: Duration = Duration::from_secs(30);

/// Where a first stage has its system.
pub(crate) enum From<'a> {
    /// In itself.
    File,
    /// On this disk.
    Disk(PathBuf, &'a settings::Packed),
}

/// Whether this is a first stage, and not the system that one has entered.
pub(crate) fn is_first_stage(settings: &Settings) -> bool {
    let has_system = has_file() || settings.system.is_some();
    has_system && !Path::new(settings::CARRIED).exists()
}

/// Whether the first stage has the system in itself.
pub(crate) fn has_file() -> bool {
    Path::new(FILE).is_file()
}

/// Runs the packed system. Comes back only with why that did not go; then there is nothing left to be run.
pub(crate) fn enter(from: &From<'_>, devices: &mut Devices, log: &mut Log) -> String {
    devices.load("squashfs", log);
    let disk = match from {
        From::File => unpacked(devices, log),
        From::Disk(disk, system) => checked(disk, system),
    };
    match disk.and_then(|disk| mounted(&disk)) {
        Ok(()) => boot::hand_over(log),
        Err(why) => why,
    }
}

/// The disk, if what is on it is what the image was made with.
fn checked(disk: &Path, system: &settings::Packed) -> Result<PathBuf, String> {
    let told = |error: io::Error| format!("{}: {error}", disk.display());
    let mut file = File::open(disk).map_err(told)?;
    if !has_digest(&mut file, system.size, &system.digest).map_err(told)? {
        return Err(format!("what is on {} is not the system of this image; write it anew", disk.display()));
    }
    // What was read is not kept, if that can be helped: the file system reads for itself.
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    Ok(disk.to_owned())
}

/// The disk in memory that the file has become.
fn unpacked(devices: &mut Devices, log: &mut Log) -> Result<PathBuf, String> {
    let told = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let length = fs::metadata(FILE).map_err(told(FILE))?.len();
    if length == 0 || length > MAX {
        return Err(format!("{FILE} has {length} bytes"));
    }
    devices.load(&format!("brd rd_nr=1 max_part=1 rd_size={}", length.div_ceil(1024)), log);
    let end = Instant::now() + PATIENCE;
    while !Path::new(DISK).exists() {
        if Instant::now() >= end {
            return Err(format!("{DISK} has not appeared; the image's kernel is to have the module brd"));
        }
        thread::sleep(Duration::from_millis(5));
        devices.hear(log);
    }
    move_to_disk(Path::new(FILE), Path::new(DISK), length).map_err(told(DISK))?;
    Ok(DISK.into())
}

fn mounted(disk: &Path) -> Result<(), String> {
    let told = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    fs::create_dir_all(boot::NEW).map_err(told(boot::NEW))?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount(disk, boot::NEW, "squashfs", flags, None)
        .map_err(|error| format!("{} cannot be mounted as squashfs: {error}", disk.display()))?;
    if !Path::new(boot::NEW).join("init").is_file() {
        return Err(format!("the system on {} has no /init", disk.display()));
    }
    // What it was told here, which may be more than it was built with.
    fs::copy(settings::PATH, settings::CARRIED).map(drop).map_err(told(settings::CARRIED))
}

/// Copies from the end on, and cuts the file by what was copied.
fn move_to_disk(file: &Path, disk: &Path, length: u64) -> io::Result<()> {
    let from = OpenOptions::new().read(true).write(true).open(file)?;
    let mut left = length;
    while left > 0 {
        let start = (left - 1) / PIECE * PIECE;
        let mut piece = vec![0; usize::try_from(left - start).unwrap_or_default()];
        from.read_exact_at(&mut piece, start)?;
        // Closed after each piece: the kernel forgets its second copy then.
        let to = OpenOptions::new().write(true).open(disk)?;
        to.write_all_at(&piece, start)?;
        to.sync_data()?;
        from.set_len(start)?;
        left = start;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_moved_from_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let (file, disk) = (folder.path().join("file"), folder.path().join("disk"));
        for length in [1, 5, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            fs::write(&file, &bytes).unwrap();
            fs::write(&disk, vec![9; bytes.len() + 3]).unwrap();
            move_to_disk(&file, &disk, length).unwrap();
            let moved = fs::read(&disk).unwrap();
            assert!(moved[..bytes.len()] == bytes && moved[bytes.len()..] == [9; 3], "{length}");
            assert_eq!(fs::metadata(&file).unwrap().len(), 0);
        }
    }
}
