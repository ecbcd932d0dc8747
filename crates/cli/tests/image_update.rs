//! Devices that run get new systems by `tutti update`, over the pool that they are in: one that joins, one that does not,
//! one that stands still for a while, one whose power is cut while it comes, and some with kernels of their own. By the layer `image`, which names the kernel of user-mode Linux in
//! `TUTTI_LINUX` and asks for the emulator with `TUTTI_IMAGE_FIRMWARE`; without these nothing is booted.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the layer reads what each part says")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use support::{
    booted::{BOOT, Booted, built, json, named, product},
    device::{Device, Plan, Ran, eventually},
};
use tutti_image::kernel::debian::Cache;

/// An update with all that belongs to it, on a machine with other things to do.
const UPDATE: Duration = Duration::from_secs(300);

/// How long a device stands still; its session is over long before that.
const PAUSE: Duration = Duration::from_secs(8);

/// In how many parts an image is sent.
fn parts(image: &Path) -> u64 {
    fs::metadata(image).unwrap().len().div_ceil(1 << 20)
}

/// A product in its versions, a disk for its device, and a device of this machine that is the owner of the group.
struct Stage {
    folder: tempfile::TempDir,
    /// What differs from the repository's product, whatever the version.
    changes: Vec<(String, String)>,
    studio: Device,
}

impl Stage {
    fn new(changes: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = fs::File::create(folder.path().join("disk")).unwrap();
        disk.set_len(512 << 20).unwrap();
        let mut make = Command::new("/sbin/mke2fs");
        make.args(["-q", "-F", "-t", "ext4"]).arg(folder.path().join("disk"));
        assert!(make.status().expect("mke2fs (package e2fsprogs)").success());
        let studio = Plan::new(folder.path(), "studio").start();
        let changes = changes.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        Self { folder, changes, studio }
    }

    /// An image of this version, with more changes. All versions are signed by the key that the first one has made.
    fn image(&self, version: &str, more: &[(&str, &str)]) -> PathBuf {
        let own = [("0.1.0", version), ("[update]\n", "[update]\ndeadline = 20\n")];
        let all = self.changes.iter().map(|(from, to)| (from.as_str(), to.as_str())).chain(own);
        let all: Vec<_> = all.chain(more.iter().copied()).collect();
        built(&product("gateway", self.folder.path(), &all))
    }

    fn boot(&self, image: &Path, more: &[&str]) -> Booted {
        let disk = self.folder.path().join("disk");
        let booted = Booted::start(&self.studio, image, &[&["--disk", &disk.display().to_string()], more].concat());
        eventually(BOOT, "it is in the pool", || self.studio.sees(&["gateway"]));
        booted
    }

    fn update(&self, image: &Path) -> Ran {
        Ran::of(self.studio.plan.command(&["update", "gateway", &image.display().to_string()]), UPDATE)
    }

    /// The release of the kernel that the device runs.
    fn kernel(&self) -> String {
        let mut release = None;
        eventually(BOOT, "it says its kernel", || {
            let ran = self.studio.run(&["resources", "gateway", "--name", "system", "--json"]);
            let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap_or_default();
            release = said[0]["properties"]["kernel"].as_str().map(str::to_owned);
            release.is_some()
        });
        release.unwrap_or_default()
    }

    /// The same, while this goes on.
    fn begin_update(&self, image: &Path) -> JoinHandle<Ran> {
        let command =
            self.studio.plan.command(&["update", "gateway", &image.display().to_string(), "--patience", "400"]);
        thread::spawn(move || Ran::of(command, 3 * UPDATE))
    }

    /// How many parts of an image the device has; none if it cannot be asked.
    fn there(&self) -> Option<u64> {
        let ran = self.studio.run(&["store", "ls", "gateway/system-parts", "--json"]);
        let entries = serde_json::from_str::<serde_json::Value>(&ran.out).ok()?["entries"].as_array().map(Vec::len);
        entries.map(|count| count as u64)
    }

    /// What the device says of its system.
    fn says(&self) -> String {
        let mut said = String::new();
        eventually(BOOT, "it says what it runs", || {
            said = self.studio.run(&["read", "gateway/system"]).out;
            said.contains(" runs, ")
        });
        said
    }
}

/// The product on a disk, with user-mode Linux as its machine.
#[test]
fn new_systems_come_over_the_pool() {
    let Some(kernel) = named("TUTTI_LINUX") else { return };
    let kernel = format!("board = \"user-mode-linux\"\n\n[kernel]\nfile = {kernel:?}");
    let stage = Stage::new(&[
        ("board = \"qemu-x86-64\"", kernel.as_str()),
        ("image = \"15 MiB\"", "image = \"256 MiB\""),
        (", \"watchdog\"", ""),
        ("[system]\ndevice = \"/dev/vda\"\n", "[state]\ndevice = \"/dev/ubda\"\n"),
    ]);
    let old = stage.image("0.1.0", &[]);
    let booted = stage.boot(&old, &["--ram", "512 MiB", "--join"]);
    assert!(stage.says().contains("gateway 0.1.0 runs, built in"), "{}", stage.says());

    let image = stage.image("0.2.0", &[]);
    let parts = parts(&image);
    let begun = Instant::now();
    let update = stage.begin_update(&image);
    eventually(UPDATE, "some of it has come", || stage.there().is_some_and(|count| count > parts / 4));
    booted.pause(PAUSE);
    let ran = update.join().unwrap();
    assert!(ran.err.contains("gateway is away; goes on when it is back"), "{ran:?}");
    println!("\nok pause: stood still for {PAUSE:.0?} as it came, and the command went on by itself");
    assert!(ran.ok && ran.out.contains("gateway 0.2.0 runs, from slot a"), "{ran:?}\n{}", booted.said());
    assert!(booted.said().contains("gateway 0.2.0 has joined the pool: it is good"), "{}", booted.said());
    println!("\nok update: 0.2.0 was sent, checked, started and joined, {:.1?} after the command", begun.elapsed());

    // Of the network that this one is for there is nobody here.
    let elsewhere = [("mode = \"dhcp\"", "mode = \"static\"\naddress = \"203.0.113.9/24\"")];
    let begun = Instant::now();
    let ran = stage.update(&stage.image("0.3.0", &elsewhere));
    assert!(!ran.ok && ran.err.contains("gateway runs the old system again"), "{ran:?}\n{}", booted.said());
    let said = stage.says();
    assert!(said.contains("gateway 0.2.0 runs, from slot a; 0.3.0 has failed"), "{said}");
    println!("\nok fallback: 0.3.0 did not join, 0.2.0 ran again by itself, {:.1?} after the command", begun.elapsed());

    let ran = stage.update(&old);
    assert!(!ran.ok && ran.err.contains("older than 0.2.0"), "{ran:?}");
    drop(booted);
}

/// The power is cut while an image comes; the device runs what it ran, and the command goes on where it was.
#[test]
fn an_update_bears_a_power_cut() {
    if named("TUTTI_IMAGE_FIRMWARE").is_none() {
        return;
    }
    let stage = Stage::new(&[
        ("image = \"15 MiB\"", "image = \"64 MiB\""),
        ("[system]\ndevice = \"/dev/vda\"\n", "[system]\ndevice = \"/dev/vdb\"\n\n[state]\ndevice = \"/dev/vda\"\n"),
    ]);
    let (old, new) = (stage.image("0.1.0", &[]), stage.image("0.2.0", &[]));
    let parts = parts(&new);
    let booted = stage.boot(&old, &["--ram", "256 MiB", "--join"]);

    let begun = Instant::now();
    let update = stage.begin_update(&new);
    eventually(UPDATE, "a third of it has come", || stage.there().is_some_and(|count| count > parts / 3));
    let sent = stage.there().unwrap_or_default();
    booted.cut_power();
    eventually(BOOT, "it is seen to be gone", || !stage.studio.sees(&["gateway"]));

    // It knows its group by what is on its disk.
    let booted = stage.boot(&old, &["--ram", "256 MiB"]);
    let back = begun.elapsed();
    let ran = update.join().unwrap();
    assert!(ran.err.contains("gateway is away; goes on when it is back"), "{ran:?}");
    assert!(ran.ok && ran.out.contains("gateway 0.2.0 runs, from slot a"), "{ran:?}\n{}", booted.said());
    println!(
        "\nok cut: killed with {sent} of {parts} parts there, and back {back:.0?} after the command; that went on by itself, \
         and 0.2.0 had joined after {:.0?}",
        begun.elapsed()
    );
    booted.end();
}

/// A kernel by its looks, which does nothing for ever when it is started, as what a product says of it.
fn kernel_that_hangs(folder: &Path) -> String {
    let cache = Cache::of_user().expect("there is a place for kernels");
    let kernel = cache.kernel("linux-image-amd64", "x86_64", &mut |_| ()).expect("apt has it");
    let mut bytes = kernel.read().unwrap();
    // Documentation/arch/x86/boot.rst: behind the sectors of 16 bits, entered with 64 bits at 0x200; a jump to itself.
    let entry = (usize::from(bytes[0x1f1]) + 1) * 512 + 0x200;
    bytes[entry..entry + 2].copy_from_slice(&[0xeb, 0xfe]);
    // What runs is another release, or it would not be started.
    let (file, modules) = (folder.join("vmlinuz"), folder.join(format!("{}-hangs", kernel.release)));
    fs::write(&file, bytes).unwrap();
    std::os::unix::fs::symlink(kernel.modules.expect("it has modules"), &modules).unwrap();
    let config = kernel.image.with_file_name(format!("config-{}", kernel.release));
    format!("{BOARD}\n\n[kernel]\nfile = {file:?}\nmodules = {modules:?}\nconfig = {config:?}")
}

const BOARD: &str = "board = \"qemu-x86-64\"";

/// An image brings its kernel, which the one that runs starts, at each start; one that hangs is ended by the watchdog and given up.
#[test]
fn a_new_system_brings_its_kernel() {
    if named("TUTTI_IMAGE_FIRMWARE").is_none() {
        return;
    }
    let stage = Stage::new(&[
        ("image = \"15 MiB\"", "image = \"64 MiB\""),
        ("[system]\ndevice = \"/dev/vda\"\n", "[system]\ndevice = \"/dev/vdb\"\n\n[state]\ndevice = \"/dev/vda\"\n"),
        ("[update]\n", "[update]\ntries = 1\n"),
    ]);
    let old = stage.image("0.1.0", &[]);
    // Debian's kernel for clouds is another release, and has neither sensors nor the board's watchdog.
    let cloud = format!("{BOARD}\n\n[kernel]\npackage = \"linux-image-cloud-amd64\"");
    let new = stage.image("0.2.0", &[(BOARD, &cloud), (", \"sensors\", \"watchdog\"", "")]);
    let releases = [&old, &new].map(|image| json(&["inspect", "--json", &image.display().to_string()]));
    let releases = releases.map(|said| said["manifest"]["kernel"].as_str().expect("it says which").to_owned());
    assert_ne!(releases[0], releases[1]);

    let booted = stage.boot(&old, &["--ram", "512 MiB", "--join"]);
    assert_eq!(stage.kernel(), releases[0]);
    let begun = Instant::now();
    let ran = stage.update(&new);
    assert!(ran.ok && ran.out.contains("gateway 0.2.0 runs, from slot a"), "{ran:?}\n{}", booted.said());
    assert_eq!(stage.kernel(), releases[1]);
    let took = begun.elapsed();

    let hangs = kernel_that_hangs(stage.folder.path());
    let begun = Instant::now();
    let ran = stage.update(&stage.image("0.3.0", &[(BOARD, &hangs)]));
    assert!(!ran.ok && ran.err.contains("gateway runs the old system again"), "{ran:?}\n{}", booted.said());
    let said = stage.says();
    assert!(said.contains("gateway 0.2.0 runs, from slot a; 0.3.0 has failed: it crashed"), "{said}");
    assert!(booted.said().contains("starting gateway 0.3.0 from slot b by its own kernel"), "{}", booted.said());
    assert_eq!(stage.kernel(), releases[1]);
    println!(
        "\nok kernel: an update brought Linux {} to a device with {} within {took:.1?}; one that hangs was given up, and the \
         other one was started again, {:.1?} after the command",
        releases[1],
        releases[0],
        begun.elapsed()
    );
    booted.end();
}
