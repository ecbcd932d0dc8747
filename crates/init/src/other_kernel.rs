//! Starts a system by its own kernel, which is not the one that runs ([`tutti_update::kernel`] says when).
//!
//! The kernel that runs loads the other one (`kexec_file_load`) with the command line of this boot and a first file system of these pieces, and
//! a restart starts it in its own place, without the machine's firmware or a boot loader:
//!
//! ```text
//! the image's initramfs, as it is │ archive, plain: /system.squashfs, if the image has the system as a member of its own; TOLD
//! ```
//!
//! The new kernel unpacks all of it, and its first program finds in [`TOLD`] what a system in a slot is told otherwise in
//! [`FILE`](tutti_update::system::FILE): so it neither decides nor counts again, and takes images by the key of the boot medium.
//!
//! # When it does not go
//!
//! - *Before the restart*: the system cannot be started, and why is said, as with one that cannot be unpacked.
//! - *A kernel that panics*: `panic=` is on its command line, so the device starts anew, and the boot record has counted.
//! - *A kernel that hangs*: the hardware watchdog, which is armed before the restart if the system is on trial and will feed it (it has the
//!   part `watchdog`). Drivers stop it at a restart unless the module `watchdog` is told `stop_on_reboot=0`
//!   (`drivers/watchdog/watchdog_core.c`), which `tutti image` puts on the command line of such products. A device without one
//!   has to be switched off and on by hand, and runs its old system then.
//! - *A piece that is cut off for lack of memory*: `tutti.own-kernel` on the command line tells the first program that [`TOLD`]
//!   should be there.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
    time::Instant,
};

use rustix::system::{RebootCommand, reboot};
use tutti_update::{Head, ImageError, Machine, System, kernel, newc};

use crate::{
    boot::{self, NEW},
    cmdline,
    log::Log,
    mounts, packed,
    power::Goal,
    watchdog::Watchdog,
};

/// What the new system's first program is told.
pub(crate) const TOLD: &str = "/tutti-system.json";

/// The part of an image that feeds the hardware watchdog.
const WATCHDOG: &str = "watchdog";

/// Starts the system of an image by its own kernel. Comes back only with why that did not go.
pub(crate) fn start(
    head: &Head,
    mut rest: impl Read,
    system: &System,
    watchdog: Option<&Path>,
    log: &mut Log,
) -> String {
    let begun = Instant::now();
    let loaded = boot::mount_new().map_err(|error| error.to_string()).and_then(|()| {
        let loaded = load(head, &mut rest, system);
        boot::unmount_new();
        loaded
    });
    if let Err(why) = loaded {
        return why;
    }
    let took = begun.elapsed().as_secs_f64();
    let (starting, trial) = (boot::starting(system), boot::on_trial(system));
    log.say(format_args!("{starting} by its own kernel, Linux {}{trial}; loaded in {took:.1} s", head.manifest.kernel));
    if system.trial.is_some() && head.manifest.has_part(WATCHDOG) {
        Watchdog::open(watchdog, log).end(true);
    }
    log.close();
    // From here on there is no way back but a restart, which the counter has counted.
    if let Err(error) = mounts::unmount_state() {
        log.say(format_args!("the state partition cannot be unmounted: {error}; its journal will mend it"));
    }
    rustix::fs::sync();
    let refused = reboot(RebootCommand::Kexec).err();
    log.say(format_args!("the other kernel was not started ({refused:?}); the device starts anew"));
    Goal::Reboot.take().to_string()
}

/// Writes the pieces to [`NEW`], checked as they come, and has the kernel load them.
fn load(head: &Head, rest: &mut impl Read, system: &System) -> Result<(), String> {
    let told = |error: io::Error| format!("there is no room for it in memory: {error}");
    let (kernel, initramfs) = (Path::new(NEW).join("kernel"), Path::new(NEW).join("initramfs"));
    let mut form = Ok(());
    let mut pieces = Pieces { into: File::create(&initramfs).map_err(told)?, length: 0 };
    let taken = head.take_members(rest, |role, member| {
        match role {
            "kernel" => {
                io::copy(member, &mut File::create(&kernel)?)?;
                form = kernel::look(&mut File::open(&kernel)?, &Machine::here())?;
            }
            "initramfs" => pieces.raw(member)?,
            // What is on a disk of its own on the boot medium is in memory here.
            "system" => {
                let length = head.size_of(&[role]).unwrap_or_default();
                pieces.file(packed::FILE, length, member)?;
            }
            _ => {}
        }
        Ok(())
    });
    taken.map_err(|error| match error {
        ImageError::Io(error) => told(error),
        error => error.to_string(),
    })?;
    form.map_err(|why| why.to_string())?;
    let about = serde_json::to_vec(system).map_err(|error| error.to_string())?;
    pieces.file(TOLD, about.len() as u64, &mut about.as_slice()).map_err(told)?;
    drop(pieces.end().map_err(told)?);
    // Opened anew, for reading: the kernel takes no file that is open for writing.
    let open = |path: &Path| File::open(path).map_err(told);
    let line = cmdline::for_another(&cmdline::text());
    tutti_kexec::load(&open(&kernel)?, &open(&initramfs)?, &line).map_err(|error| error.to_string())?;
    let _ = fs::remove_file(&initramfs);
    Ok(())
}

/// A first file system that is put together.
struct Pieces<W> {
    into: W,
    length: u64,
}

impl<W: Write> Pieces<W> {
    /// An archive as it is, compressed or not.
    fn raw(&mut self, from: &mut dyn Read) -> io::Result<()> {
        self.length += io::copy(from, &mut self.into)?;
        self.pad()
    }

    /// A file of an archive of ours, which only this program may read.
    fn file(&mut self, path: &str, length: u64, from: &mut dyn Read) -> io::Result<()> {
        let short = u32::try_from(length).map_err(io::Error::other)?;
        let head = newc::head(path.trim_start_matches('/'), 1, newc::FILE | 0o600, (0, 0), short);
        self.raw(&mut head.as_slice())?;
        let written = io::copy(from, &mut self.into)?;
        self.length += written;
        if written != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pad()?;
        // Each is an archive of its own, so that what comes next may be of any sort.
        self.raw(&mut newc::head(newc::TRAILER, 0, 0, (0, 0), 0).as_slice())
    }

    fn pad(&mut self) -> io::Result<()> {
        let gap = self.length.next_multiple_of(newc::ALIGN as u64) - self.length;
        self.length += io::copy(&mut io::repeat(0).take(gap), &mut self.into)?;
        Ok(())
    }

    fn end(mut self) -> io::Result<W> {
        self.into.flush()?;
        Ok(self.into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpio;

    #[test]
    fn the_pieces_are_unpacked_as_one() {
        let compressed = {
            let mut pieces = Pieces { into: Vec::new(), length: 0 };
            pieces.file("/init", 7, &mut &b"program"[..]).unwrap();
            pieces.into
        };
        for size in 0..6u64 {
            let mut pieces = Pieces { into: Vec::new(), length: 0 };
            pieces.raw(&mut compressed.as_slice()).unwrap();
            let system = vec![7; usize::try_from(size).unwrap()];
            pieces.file(packed::FILE, size, &mut system.as_slice()).unwrap();
            pieces.file(TOLD, 2, &mut &b"{}"[..]).unwrap();
            let length = pieces.length;
            let whole = pieces.end().unwrap();
            assert_eq!(length, whole.len() as u64);
            let folder = tempfile::tempdir().unwrap();
            let files = cpio::unpack(whole.as_slice(), &mut cpio::Folder(folder.path().into())).unwrap();
            let read = |path: &str| fs::read(folder.path().join(path.trim_start_matches('/'))).unwrap();
            assert_eq!(files, 3);
            assert_eq!((read("init"), read(packed::FILE), read(TOLD)), (b"program".to_vec(), system, b"{}".to_vec()));
        }
        let mut pieces = Pieces { into: Vec::new(), length: 0 };
        assert!(pieces.file("/x", 9, &mut &b"short"[..]).is_err());
    }
}
