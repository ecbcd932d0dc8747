//! A system that stays compressed in memory.
//!
//! The archive that the kernel unpacks at its start is in memory as a whole, and nothing can take any of it back. So an
//! image has there only a *first stage*: this program, the modules that it takes to find a system, and the system itself
//! as one file, a compressed file system ([`FILE`]). The first stage has that file become a disk of the kernel's that is
//! memory (`drivers/block/brd.c`), mounts it, gives its own memory back, and the first program of that system goes on.
//! From then on the kernel unpacks what is used, and drops it again when memory is short.
//!
//! Nothing is read from a disk after it was checked: the file came with the boot medium, or out of a slot whose image was
//! checked byte for byte while it was copied into memory. So a disk that is altered later, or ages, alters no
//! running system, and no tree of hashes (dm-verity) has to be looked at for each page; the price is the packed size.
//!
//! The copy takes no second time the room: it is made from the end on, and the file is cut by what was copied.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::mount::{MountFlags, mount};

use crate::{boot, devices::Devices, log::Log, settings};

/// The packed system, in a first stage.
pub const FILE: &str = "/system.squashfs";

/// The largest. It is in memory.
const MAX: u64 = 1 << 30;

const DISK: &str = "/dev/ram0";

/// How long the disk may take to be there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes that are copied at a time.
const PIECE: u64 = 1 << 20;

/// Whether this is a first stage.
pub(crate) fn is_here() -> bool {
    Path::new(FILE).is_file()
}

/// Runs the packed system. Comes back only with why that did not go; then there is nothing left to be run.
pub(crate) fn enter(devices: &mut Devices, log: &mut Log) -> String {
    match unpack(devices, log) {
        Ok(()) => boot::hand_over(log),
        Err(why) => why,
    }
}

fn unpack(devices: &mut Devices, log: &mut Log) -> Result<(), String> {
    let told = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let length = fs::metadata(FILE).map_err(told(FILE))?.len();
    if length == 0 || length > MAX {
        return Err(format!("{FILE} has {length} bytes"));
    }
    devices.load(&format!("brd rd_nr=1 max_part=1 rd_size={}", length.div_ceil(1024)), log);
    devices.load("squashfs", log);
    let end = Instant::now() + PATIENCE;
    while !Path::new(DISK).exists() {
        if Instant::now() >= end {
            return Err(format!("{DISK} has not appeared; the image's kernel is to have the module brd"));
        }
        thread::sleep(Duration::from_millis(5));
        devices.hear(log);
    }
    move_to_disk(Path::new(FILE), Path::new(DISK), length).map_err(told(DISK))?;
    fs::create_dir_all(boot::NEW).map_err(told(boot::NEW))?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount(DISK, boot::NEW, "squashfs", flags, None).map_err(|error| format!("{FILE} cannot be mounted: {error}"))?;
    if !Path::new(boot::NEW).join("init").is_file() {
        return Err(format!("{FILE} has no /init"));
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
