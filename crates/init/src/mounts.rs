//! What is mounted where.
//!
//! | place | what | flags |
//! |---|---|---|
//! | `/proc`, `/sys` | the kernel's view | nosuid, nodev, noexec |
//! | `/dev` | devtmpfs; a tmpfs that [`crate`] fills itself if the kernel has none | nosuid |
//! | `/dev/pts`, `/dev/shm` | terminals, shared memory | nosuid, noexec (nodev) |
//! | `/run`, `/tmp` | memory | nosuid, nodev |
//! | `/sys/fs/cgroup`, `/sys/kernel/config` | control groups, configfs | nosuid, nodev, noexec |
//! | `/state` | the state partition, or memory | nosuid, nodev, noexec |

use std::{fs, io, path::Path};

use rustix::{
    io::Errno,
    mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount},
};

/// Where the state is.
pub const STATE: &str = "/state";

/// All places below which something is mounted, in the order in which they can be moved.
pub(crate) const PLACES: [&str; 6] = ["/proc", "/sys", "/dev", "/run", "/tmp", STATE];

/// Whether something is mounted at this place. Asked of the kernel, once `/proc` is there.
pub(crate) fn is_mounted(place: &str) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(place))
}

/// Something to mount.
struct Mount {
    place: &'static str,
    kind: &'static str,
    flags: MountFlags,
    data: Option<&'static std::ffi::CStr>,
    /// Whether a kernel may be without it.
    optional: bool,
}

const fn need(place: &'static str, kind: &'static str, flags: MountFlags) -> Mount {
    Mount { place, kind, flags, data: None, optional: false }
}

const fn wish(place: &'static str, kind: &'static str, flags: MountFlags) -> Mount {
    Mount { optional: true, ..need(place, kind, flags) }
}

const QUIET: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
const STILL: MountFlags = QUIET.union(MountFlags::NOEXEC);

/// What could not be mounted, and why.
pub type Failure = (&'static str, io::Error);

/// What came of mounting.
#[derive(Debug, Default)]
pub struct Mounted {
    /// The kernel makes the files below `/dev` itself.
    pub devtmpfs: bool,
    /// What failed that every kernel should have.
    pub failures: Vec<Failure>,
}

/// Mounts all but the state. What is mounted already stays as it is.
pub fn mount_all() -> Mounted {
    let mut mounted = Mounted::default();
    let first = [need("/proc", "proc", STILL), need("/sys", "sysfs", STILL)];
    take(&first, &mut mounted);
    let devices = Mount { data: Some(c"mode=0755"), ..need("/dev", "devtmpfs", MountFlags::NOSUID) };
    mounted.devtmpfs = if is_mounted("/dev") { has_devtmpfs() } else { try_mount(&devices).is_ok() };
    if !mounted.devtmpfs {
        let plain = Mount { data: Some(c"mode=0755,size=1m"), ..need("/dev", "tmpfs", MountFlags::NOSUID) };
        take(&[plain], &mut mounted);
    }
    let rest = [
        Mount {
            data: Some(c"mode=0620,ptmxmode=0666"),
            ..wish("/dev/pts", "devpts", MountFlags::NOSUID.union(MountFlags::NOEXEC))
        },
        Mount { data: Some(c"mode=1777"), ..wish("/dev/shm", "tmpfs", STILL) },
        Mount { data: Some(c"mode=0755"), ..need("/run", "tmpfs", QUIET) },
        Mount { data: Some(c"mode=1777"), ..need("/tmp", "tmpfs", QUIET) },
        wish("/sys/fs/cgroup", "cgroup2", STILL),
        wish("/sys/kernel/config", "configfs", STILL),
    ];
    take(&rest, &mut mounted);
    mounted
}

fn has_devtmpfs() -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').skip(1).take(2).eq(["/dev", "devtmpfs"]))
}

fn take(mounts: &[Mount], mounted: &mut Mounted) {
    for wanted in mounts {
        match try_mount(wanted) {
            Ok(()) => {}
            Err(_) if wanted.optional => {}
            Err(error) => mounted.failures.push((wanted.place, error)),
        }
    }
}

fn try_mount(wanted: &Mount) -> io::Result<()> {
    if is_mounted(wanted.place) {
        return Ok(());
    }
    // What the kernel itself offers a place for cannot be made, and is there if it is.
    let made = fs::create_dir_all(wanted.place);
    match mount(wanted.kind, wanted.place, wanted.kind, wanted.flags, wanted.data) {
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(Errno::NOENT) => made.and(Err(Errno::NOENT.into())),
        Err(error) => Err(error.into()),
    }
}

/// Mounts the state partition. What was left unfinished by a power cut is finished by its file system's journal.
///
/// # Errors
/// What the kernel says.
pub fn mount_state(device: &Path, kind: &str) -> io::Result<()> {
    fs::create_dir_all(STATE)?;
    Ok(mount(device, STATE, kind, STILL, None)?)
}

/// Has the state in memory.
///
/// # Errors
/// What the kernel says.
pub fn mount_state_in_memory() -> io::Result<()> {
    fs::create_dir_all(STATE)?;
    Ok(mount("tmpfs", STATE, "tmpfs", STILL, c"mode=0755")?)
}

/// Makes the system read-only: what is to be written has its places.
///
/// # Errors
/// What the kernel says.
pub fn seal_root() -> io::Result<()> {
    Ok(mount_remount("/", MountFlags::RDONLY, "")?)
}

/// Unmounts the state; if somebody still uses it, it is made read-only, which writes what there is to be written.
///
/// # Errors
/// What the kernel says if neither goes.
pub fn unmount_state() -> io::Result<()> {
    match unmount(STATE, UnmountFlags::empty()) {
        // It was not mounted.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(_) => Ok(mount_remount(STATE, MountFlags::RDONLY.union(STILL), "")?),
    }
}
