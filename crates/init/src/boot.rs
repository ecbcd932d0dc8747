//! Which system runs: decided by the first program of the boot medium before anything else is started, by the
//! record of [`tutti_update`].
//!
//! The system that the kernel has unpacked is the built-in one. If another is to run, it is unpacked into memory, takes
//! the place of the built-in one, whose memory is given back, and its own first program goes on from here with the mounts
//! that there are. So no boot loader has to know of any of this, and no file system has to be built; the kernel stays
//! that of the boot medium.
//!
//! What every system is told is in [`FILE`]: which one it is, whether it is on trial, and how new ones are taken.

use std::{
    fs, io,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::Command,
};

use rustix::mount::{MountFlags, mount, mount_move};
use tutti_update::{Choice, Failure, Head, ImageError, Machine, Record, Slots, System, Way, kernel::way, system::FILE};

use crate::{
    cpio,
    log::Log,
    mounts::{self, STATE},
    other_kernel, packed,
    pid1::SORRY,
    settings::{Settings, Update},
};

/// Where a system is unpacked.
pub(crate) const NEW: &str = "/newroot";

/// How deep the folders of a system are at most that are removed.
const DEPTH: usize = 64;

/// Whether this program goes on from a first one.
pub(crate) fn is_second() -> bool {
    Path::new(FILE).exists()
}

/// Takes what a system before this one has said when it has started this one by its own kernel. `said` is whether the command
/// line has that.
pub(crate) fn adopt(said: bool, log: &mut Log) {
    if Path::new(other_kernel::TOLD).exists()
        && let Err(error) = fs::copy(other_kernel::TOLD, FILE)
    {
        log.say(format_args!("{FILE} cannot be written: {error}"));
    }
    if said && !is_second() {
        // It would take itself for the built-in one, and its own key for that one's.
        log.say(
            "what the system before this one has said is missing: there was too little memory; the device starts anew",
        );
        std::thread::sleep(SORRY);
        crate::power::Goal::Reboot.take();
    }
}

/// Decides, and runs another system if that is what is decided. Comes back if the built-in one is to run, with what it
/// is told.
pub(crate) fn decide(settings: &Settings, wish: Option<&str>, on_disk: bool, log: &mut Log) -> Option<System> {
    let mut system = System {
        product: settings.product.clone(),
        version: settings.version.parse().unwrap_or_default(),
        running: Choice::BuiltIn.word().into(),
        trial: None,
        key: Err("the product has no update key".into()),
        folder: Path::new(STATE).join("system"),
        slots: Default::default(),
        tries: 0,
        other_kernels: tutti_kexec::possible().map_err(|error| error.to_string()),
    };
    if let Some(update) = &settings.update {
        system.slots.clone_from(&update.slots);
        system.tries = update.tries;
        system.key = if on_disk { Ok(update.key.clone()) } else { Err("the device has no state partition".into()) };
        if let Ok(slots) = system.updates() {
            run_another(&slots, &mut system, update, (wish, settings.watchdog.device.as_deref()), log);
        }
    }
    if let Err(error) = system.write(Path::new(FILE)) {
        log.say(format_args!("{FILE} cannot be written: {error}; updates are not taken"));
        return None;
    }
    Some(system)
}

/// Comes back if the built-in system is to run.
fn run_another(
    slots: &Slots,
    system: &mut System,
    update: &Update,
    (wish, watchdog): (Option<&str>, Option<&Path>),
    log: &mut Log,
) {
    let own = (system.version, system.running.clone());
    let wish = wish.and_then(|word| {
        let choice = Choice::named(word);
        if choice.is_none() {
            log.say(format_args!("tutti.slot={word}: write it as a, b or built-in"));
        }
        choice
    });
    // Each failure takes something away that could be run, so this ends.
    for _ in 0..4 {
        let record = slots.record();
        let start = record.start(|slot| match slots.check(slot) {
            Ok(version) => Some(version),
            Err(ImageError::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                log.say(format_args!("{}: {error}", Choice::Slot(slot)));
                None
            }
        });
        if let Some(next) = &start.record {
            if let Some((version, failure)) = next.failed.filter(|_| record.failed != next.failed) {
                log.say(format_args!("the new system {version} has failed: {failure}"));
            }
            // Whatever cannot be counted may not be tried.
            if let Err(error) = slots.write(next) {
                log.say(format_args!("the boot record cannot be written: {error}; the built-in system runs"));
                return;
            }
        }
        let run = wish.unwrap_or(start.run);
        let Choice::Slot(slot) = run else { return };
        let trial = start.trial && run == start.run;
        system.running = run.word().into();
        system.trial = trial.then_some(update.deadline);
        let why = match slots.open(slot) {
            Err(error) => error.to_string(),
            Ok((head, rest)) => {
                system.version = head.manifest.version;
                match way(&head, &Machine::here(), &system.other_kernels) {
                    Ok(Way::SameKernel) => switch(&head, rest, system, log),
                    Ok(Way::OwnKernel) => other_kernel::start(&head, rest, system, watchdog, log),
                    Err(why) => why.to_string(),
                }
            }
        };
        log.say(format_args!("{run} cannot be started: {why}"));
        ((system.version, system.running), system.trial) = (own.clone(), None);
        if !trial {
            return;
        }
        let version = slots.check(slot).unwrap_or_default();
        let failed = slots.record().failed(version, Failure::NotStarted);
        if slots.write(&failed).is_err() {
            return;
        }
    }
}

/// Unpacks a system and becomes it. Comes back only with why that did not go.
fn switch(head: &Head, mut rest: impl io::Read, system: &System, log: &mut Log) -> String {
    let unpacked = (|| -> Result<(), String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        mount_new().map_err(|error| told(&error))?;
        let mut files = 0;
        let taken = head.take_members(&mut rest, |role, member| {
            match role {
                "initramfs" => {
                    let unpacked = cpio::unpack(member, &mut cpio::Folder(NEW.into()));
                    files += unpacked.map_err(|error| ImageError::Io(io::Error::other(error)))?;
                }
                // What is on a disk of its own on the boot medium is in memory here.
                "system" => {
                    let place = Path::new(NEW).join(packed::FILE.trim_start_matches('/'));
                    io::copy(member, &mut fs::File::create(place)?)?;
                }
                _ => {}
            }
            Ok(())
        });
        taken.map_err(|error| told(&error))?;
        if !Path::new(NEW).join("init").is_file() {
            return Err("it has no /init".into());
        }
        log.say(format_args!("{}: {files} files{}", starting(system), on_trial(system)));
        Ok(())
    })();
    let told = unpacked.and_then(|()| system.write(Path::new(FILE)).map_err(|error| error.to_string()));
    let why = told.map_or_else(|why| why, |()| hand_over(log));
    let _ = fs::remove_file(FILE);
    unmount_new();
    why
}

/// A place in memory for a system.
pub(crate) fn mount_new() -> io::Result<()> {
    fs::create_dir_all(NEW)?;
    Ok(mount("tmpfs", NEW, "tmpfs", MountFlags::NOSUID, c"mode=0755,size=90%")?)
}

pub(crate) fn unmount_new() {
    let _ = rustix::mount::unmount(NEW, rustix::mount::UnmountFlags::DETACH);
}

pub(crate) fn starting(system: &System) -> String {
    format!("starting {} {} from slot {}", system.product, system.version, system.running)
}

pub(crate) const fn on_trial(system: &System) -> &'static str {
    if system.trial.is_some() { ", on trial" } else { "" }
}

/// The system in [`NEW`] becomes the root, and its first program this one. Comes back only with why that did not go.
pub(crate) fn hand_over(log: &mut Log) -> String {
    // From here on there is no way back but a restart, which the counter has counted.
    if let Err(error) = take_its_place() {
        return error.to_string();
    }
    let error = Command::new("/init").exec();
    log.say(format_args!("its /init cannot be run: {error}; the device starts anew"));
    crate::power::Goal::Reboot.take();
    error.to_string()
}

/// The new system becomes the root, with everything that is mounted below the old one.
fn take_its_place() -> io::Result<()> {
    // Asked before anything is moved, the place that answers being one of them.
    for place in mounts::PLACES.into_iter().filter(|place| mounts::is_mounted(place)).collect::<Vec<_>>() {
        let to = format!("{NEW}{place}");
        fs::create_dir_all(&to)?;
        mount_move(place, &to)?;
    }
    // The memory of the built-in system. Its first program goes on running: what is open stays until it ends.
    let root = fs::symlink_metadata("/")?.dev();
    empty(Path::new("/"), root, DEPTH);
    rustix::process::chdir(NEW)?;
    mount_move(".", "/")?;
    rustix::process::chroot(".")?;
    Ok(rustix::process::chdir("/")?)
}

/// Removes what is in a folder of this file system, and nothing that is mounted below it. What cannot be removed costs
/// memory, nothing else.
fn empty(folder: &Path, device: u64, depth: usize) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match fs::symlink_metadata(&path) {
            Ok(about) if about.dev() != device => {}
            Ok(about) if about.is_dir() => {
                if depth > 0 {
                    empty(&path, device, depth - 1);
                }
                let _ = fs::remove_dir(&path);
            }
            _ => drop(fs::remove_file(&path)),
        }
    }
}

/// The system on trial has joined the pool.
pub(crate) fn confirm(system: &System) -> Result<Record, String> {
    let slots = system.updates()?;
    let Choice::Slot(slot) = system.choice() else { return Err("the built-in system is on no trial".into()) };
    let record = slots.record().confirmed(slot, system.version);
    slots.write(&record).map_err(|error| error.to_string())?;
    Ok(record)
}

/// The system on trial has failed.
pub(crate) fn condemn(system: &System, failure: Failure) -> Result<(), String> {
    let slots = system.updates()?;
    slots.write(&slots.record().failed(system.version, failure)).map_err(|error| error.to_string())
}
