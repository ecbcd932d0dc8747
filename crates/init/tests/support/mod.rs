//! A machine to boot: user-mode Linux with `tutti-init`, and what stands in for the node.
#![allow(dead_code, reason = "each test uses some of it")]

#[path = "../../../amp/host/tests/uml/mod.rs"]
mod uml;

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use uml::{Running, initramfs, lines_of, setting};

/// Each wait for a line ends after so long. A boot takes a second; other tests may run besides.
const PATIENCE: Duration = Duration::from_secs(60);

/// The kernel, if the layer says where it is.
pub(crate) fn kernel() -> Option<PathBuf> {
    let kernel = std::env::var_os("TUTTI_LINUX").map(PathBuf::from);
    if kernel.is_none() {
        eprintln!("skipped: `cargo xtask test init` builds the kernel and runs this");
    }
    kernel
}

pub(crate) struct Machine {
    kernel: PathBuf,
    folder: TempDir,
    disks: Vec<PathBuf>,
    /// `/etc/tutti/device.toml`.
    pub(crate) settings: String,
    /// More words for the kernel.
    pub(crate) line: Vec<String>,
    /// More files of the image.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

impl Machine {
    pub(crate) fn new(kernel: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { kernel, folder, disks: Vec::new(), settings: String::new(), line: Vec::new(), files: Vec::new() }
    }

    pub(crate) fn disk(mut self, path: &Path) -> Self {
        self.disks.push(path.to_owned());
        self
    }

    /// Another disk in place of one.
    pub(crate) fn set_disk(&mut self, number: usize, path: &Path) {
        self.disks[number] = path.to_owned();
    }

    /// The image's archive.
    pub(crate) fn image(&self) -> Vec<u8> {
        let mut files = system();
        files.extend(modules(self.kernel.parent().unwrap()));
        files.push(("etc/tutti/device.toml".into(), self.settings.clone().into_bytes()));
        files.extend(self.files.clone());
        let files: Vec<_> = files.iter().map(|(path, data)| (path.as_str(), data.as_slice())).collect();
        initramfs(&files)
    }

    pub(crate) fn boot(&self) -> Booted {
        self.boot_with(Stdio::piped(), &["con0=fd:0,fd:1"])
    }

    /// With this as its standard input, which these words for the kernel put to some use.
    pub(crate) fn boot_with(&self, input: Stdio, line: &[&str]) -> Booted {
        let initrd = self.folder.path().join("initrd");
        fs::write(&initrd, self.image()).unwrap();
        let mut command = Command::new(&self.kernel);
        command
            .arg(setting("initrd=", &initrd))
            .arg(setting("uml_dir=", self.folder.path()))
            .args(["umid=machine", "mem=256M", "con=null", "ssl=null", "panic=-1", "quiet"])
            .args(self.disks.iter().zip('a'..).map(|(disk, letter)| format!("ubd{letter}={}", disk.display())))
            .args(line)
            .args(&self.line)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut linux = Running(command.spawn().unwrap());
        let lines = lines_of(linux.0.stdout.take().unwrap());
        Booted { linux, lines }
    }
}

/// A machine that runs. Dropping it is a power cut.
pub(crate) struct Booted {
    linux: Running,
    lines: Receiver<String>,
}

impl Booted {
    /// The lines up to one that holds these words.
    pub(crate) fn until(&mut self, words: &str) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = line.contains(words);
                    seen.push(line);
                    if found {
                        return seen;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("{words:?} was not seen within {PATIENCE:?}: {seen:#?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended before {words:?} was seen: {seen:#?}"),
            }
        }
    }

    /// Says a line on its console; the stand-in hands it to `tutti-init`.
    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.linux.0.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Ends it in good order, and gives the lines up to then.
    pub(crate) fn ask(&mut self, how: &str) -> Vec<String> {
        self.say(how);
        let end = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it did not end: {seen:#?}"),
            }
        }
        assert!(self.linux.0.wait().unwrap().success(), "the kernel came to a bad end: {seen:#?}");
        seen
    }

    /// Whether it ends by itself in this time.
    pub(crate) fn ended_within(&mut self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if self.linux.0.try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }
}

/// A disk of 32 MiB with an empty file system.
pub(crate) fn disk() -> tempfile::TempPath {
    let disk = tempfile::NamedTempFile::new().unwrap();
    disk.as_file().set_len(32 << 20).unwrap();
    let made = Command::new("/sbin/mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(disk.path()).status();
    assert!(made.unwrap().success(), "mke2fs (package e2fsprogs) makes no file system");
    disk.into_temp_path()
}

/// What a file on a disk holds that nobody has mounted.
pub(crate) fn file_on(disk: &Path, file: &str) -> String {
    let cat = Command::new("/sbin/debugfs").args(["-R", &format!("cat {file}")]).arg(disk).output().unwrap();
    String::from_utf8_lossy(&cat.stdout).into_owned()
}

/// The programs and the libraries that they run with, which are those that this test runs with.
fn system() -> Vec<(String, Vec<u8>)> {
    let init = Path::new(env!("CARGO_BIN_EXE_tutti-init"));
    let stand_in = init.parent().unwrap().join("examples/stand-in");
    let mut files = vec![("init".to_owned(), read(init)), ("usr/bin/tutti".to_owned(), read(&stand_in))];
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mapped = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    for path in mapped.filter(|path| path.contains(".so")).collect::<BTreeSet<_>>() {
        // Programs know their loader by this path, whichever folder it is in.
        let loader = path.ends_with("/ld-linux-x86-64.so.2");
        let place = if loader { "lib64/ld-linux-x86-64.so.2" } else { path.trim_start_matches('/') };
        files.push((place.to_owned(), read(Path::new(path))));
    }
    files
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The kernel's modules, one of them compressed, with the lists that depmod would write of these.
fn modules(kernel: &Path) -> Vec<(String, Vec<u8>)> {
    let release = release(&kernel.join("linux"));
    let base = format!("lib/modules/{release}");
    let entries = fs::read_dir(kernel.join("modules")).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|file| (file.file_name().into_string().unwrap(), read(&file.path()))).collect();
    for (name, bytes) in &mut files {
        if name == "lm75.ko" {
            // As Debian's newer kernels have them all.
            *bytes = xz(bytes);
            name.push_str(".xz");
        }
    }
    files.sort();
    let needs = |file: &str| if file == "lm75.ko.xz" { " kernel/regmap-i2c.ko" } else { "" };
    let dep: String = files.iter().map(|(file, _)| format!("kernel/{file}:{}\n", needs(file))).collect();
    let alias = "alias i2c:lm75 lm75\nalias input:b*v*p*e*-e* evdev\n";
    let mut all: Vec<_> = files.into_iter().map(|(file, data)| (format!("{base}/kernel/{file}"), data)).collect();
    all.push((format!("{base}/modules.dep"), dep.into_bytes()));
    all.push((format!("{base}/modules.alias"), alias.as_bytes().to_vec()));
    all
}

/// Compressed as the kernel's build does it (`scripts/Makefile.modinst`).
fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut xz = Command::new("xz");
    xz.args(["--check=crc32", "--lzma2=dict=1MiB", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut xz = xz.spawn().expect("xz (package xz-utils), which the kernel's build needs too");
    let mut input = xz.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writing = std::thread::spawn(move || input.write_all(&bytes));
    let output = xz.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    output.stdout
}

/// What the kernel calls itself, as `uname -r` has it.
fn release(kernel: &Path) -> String {
    let bytes = read(kernel);
    let marker = b"Linux version ";
    let found = bytes.windows(marker.len()).position(|window| window == marker).expect("a kernel says its version");
    let rest = &bytes[found + marker.len()..];
    let end = rest.iter().position(|byte| *byte == b' ').unwrap();
    String::from_utf8(rest[..end].to_vec()).unwrap()
}
