//! User-mode Linux as a program of a test: what it is started with, and what it says.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A process that does not outlive the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An archive as Linux unpacks it at its start (`Documentation/driver-api/early-userspace/buffer-format.rst`): these
/// programs, by their paths without the first slash, and the console.
pub(crate) fn initramfs(files: &[(impl AsRef<str>, impl AsRef<[u8]>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut entry = |name: &str, mode: u32, device: [u32; 2], data: &[u8]| {
        let number = archive.len() as u32;
        let fields =
            [number, mode, 0, 0, 1, 0, data.len() as u32, 0, 0, device[0], device[1], name.len() as u32 + 1, 0];
        archive.extend(b"070701");
        fields.iter().for_each(|field| archive.extend(format!("{field:08x}").bytes()));
        archive.extend(name.bytes().chain([0]));
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(data);
        archive.resize(archive.len().next_multiple_of(4), 0);
    };
    entry("dev", 0o40755, [0, 0], b"");
    entry("dev/console", 0o20600, [5, 1], b"");
    let mut folders = BTreeSet::new();
    for (path, data) in files {
        let path = path.as_ref();
        for (end, _) in path.match_indices('/') {
            if folders.insert(&path[..end]) {
                entry(&path[..end], 0o40755, [0, 0], b"");
            }
        }
        entry(path, 0o100755, [0, 0], data.as_ref());
    }
    entry("TRAILER!!!", 0, [0, 0], b"");
    archive
}

/// This program as the first one of a kernel.
pub(crate) fn this_program() -> Vec<(String, Vec<u8>)> {
    program(&std::env::current_exe().unwrap(), "init")
}

/// What tells this program, in a kernel, that it is there: the setting of this name. What the kernel does not know itself is in
/// the environment of its first program.
pub(crate) fn again(name: &str) -> [OsString; 4] {
    [format!("{name}=1").as_str(), "RUST_TEST_THREADS=1", "RUST_TEST_NOCAPTURE=1", "RUST_BACKTRACE=0"]
        .map(OsString::from)
}

/// A program, to be at `place`, with the libraries that it is loaded with.
pub(crate) fn program(path: &Path, place: &str) -> Vec<(String, Vec<u8>)> {
    // The loader's own way of telling (ld.so(8)): a line for each, with its path where there is one.
    let told = Command::new(path).env("LD_TRACE_LOADED_OBJECTS", "1").output().unwrap().stdout;
    let told = String::from_utf8(told).unwrap();
    let libraries = told.split_whitespace().filter(|word| word.starts_with('/'));
    let files = libraries.map(|path| (path.trim_start_matches('/'), Path::new(path)));
    let read = |(place, path): (&str, &Path)| (place.to_owned(), fs::read(path).unwrap());
    files.chain([(place, path)]).map(read).collect()
}

/// `NAME=PATH`, for its command line.
pub(crate) fn setting(name: &str, value: &Path) -> OsString {
    let mut setting = OsString::from(name);
    setting.push(value);
    setting
}

/// The lines of a program's output, as they come; they end with it. A program that writes without end is cut off.
pub(crate) fn lines_of(output: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (say, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output.take(4 << 20));
        let mut line = Vec::new();
        while matches!(output.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if say.send(text).is_err() {
                return;
            }
        }
    });
    lines
}

/// User-mode Linux at work, with a program that says how each of its parts went: `ok PART` for each, `ALL PASSED` in the end.
pub(crate) struct Linux {
    process: Running,
    typed: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Linux {
    /// Starts `kernel`, whose first files are these, with so much memory and these further words on its command line. What it
    /// needs itself is in `folder`.
    pub(crate) fn start(
        kernel: &Path,
        folder: &Path,
        files: &[(String, Vec<u8>)],
        memory: &str,
        words: impl IntoIterator<Item = OsString>,
    ) -> Self {
        let initrd = folder.join("initrd");
        fs::write(&initrd, initramfs(files)).unwrap();
        let mut command = Command::new(kernel);
        command
            .args([setting("initrd=", &initrd), setting("uml_dir=", folder), format!("mem={memory}").into()])
            .args(["con0=fd:0,fd:1", "con=null", "ssl=null", "panic=-1"])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = Running(command.spawn().unwrap());
        let typed = process.0.stdin.take().unwrap();
        let lines = lines_of(process.0.stdout.take().unwrap());
        Self { process, typed, lines }
    }

    /// Listens until it has passed, and has named these parts in their order. `hear` hears each line, and may answer on the
    /// kernel's console. What the kernel said is kept in a file of this name, and shown if something went wrong.
    #[allow(clippy::print_stdout, reason = "the layer reads how each part went")]
    pub(crate) fn passes(
        mut self,
        limit: Duration,
        parts: &[&str],
        kept: &str,
        mut hear: impl FnMut(&str, &mut ChildStdin),
    ) {
        let end = Instant::now() + limit;
        let mut log = Vec::<String>::new();
        let mut left = parts.iter().peekable();
        let passed = loop {
            let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) else { break false };
            if line.starts_with("ok ") {
                println!("{line}");
                left.next_if(|part| line.starts_with(**part));
            }
            hear(&line, &mut self.typed);
            log.push(line);
            let line = log.last().map_or("", String::as_str);
            if line.starts_with("ALL PASSED") {
                break true;
            }
            if line.contains("FAILED") || line.contains("Kernel panic") {
                break false;
            }
        };
        // What follows the last line that was looked at.
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(200)) {
            log.push(line);
        }
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(kept);
        fs::write(&kept, log.iter().flat_map(|line| [line, "\n"]).collect::<String>()).unwrap();
        println!("the kernel's log is in {}", kept.display());
        let left: Vec<_> = left.collect();
        if !passed || !left.is_empty() {
            log.iter().for_each(|line| println!("linux: {line}"));
        }
        assert!(passed, "the kernel did not come to its end; its log is above");
        assert!(left.is_empty(), "not seen: {left:?}; the kernel's log is above");
    }
}
