//! The Linux kernel's own RPMsg drivers against our device: the layer `linux-peer`, which builds what this takes.
//!
//! `TUTTI_LINUX` is a user-mode Linux kernel with `virtio_uml` and RPMsg, `TUTTI_LINUX_INIT` the static program that it
//! runs (`xtask/src/test/linux_peer/init.c`). Our device is this program started once more; it is killed twice while
//! the kernel runs.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the layer reads how each part went")]

mod common;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tutti_amp_host::vhost::{Connection, Offer, Unsealed, VhostError};

/// The whole run takes some five seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// What the program in the kernel says when each of its parts went well.
const PARTS: [&str; 7] =
    ["ok echo: 20377 messages", "ok tty", "ok endpoints", "ok names", "ok rebind", "ok restart 1", "ok restart 2"];

const SOCKET: &str = "TUTTI_LINUX_PEER_SOCKET";

/// Not a test: the device's process, when it is told where its socket is.
#[test]
fn device() {
    let Some(path) = std::env::var_os(SOCKET) else { return };
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    println!("LISTENING");
    loop {
        let (socket, _) = listener.accept().unwrap();
        // User-mode Linux does not seal its memory; here it is as trusted as this test.
        let mut connection = Connection::new(socket, Offer::default(), Unsealed::Accept).unwrap();
        match common::serve(&mut connection, &|| false) {
            Err(VhostError::Gone) | Ok(()) => {}
            Err(error) => eprintln!("the device refused: {error}"),
        }
    }
}

/// A process that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_device(socket: &Path) -> Running {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "device", "--nocapture"]).env(SOCKET, socket).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut device = Running(command.spawn().unwrap());
    let output = device.0.stdout.take().unwrap();
    let (said, listening) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if line.contains("LISTENING") {
                let _ = said.send(());
            }
        }
    });
    listening.recv_timeout(Duration::from_secs(20)).expect("the device listens");
    device
}

/// An archive as Linux unpacks it at its start (`Documentation/driver-api/early-userspace/buffer-format.rst`): one
/// program, and the console.
fn initramfs(init: &[u8]) -> Vec<u8> {
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
    entry("init", 0o100755, [0, 0], init);
    entry("TRAILER!!!", 0, [0, 0], b"");
    archive
}

fn setting(name: &str, value: &Path) -> OsString {
    let mut setting = OsString::from(name);
    setting.push(value);
    setting
}

#[test]
fn the_linux_kernel_as_a_peer() {
    let (Some(kernel), Some(init)) = (std::env::var_os("TUTTI_LINUX"), std::env::var_os("TUTTI_LINUX_INIT")) else {
        eprintln!("skipped: `cargo xtask test linux-peer` builds the kernel and runs this");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let initrd = folder.path().join("initrd");
    let socket = |life: usize| folder.path().join(format!("rpmsg{life}"));
    std::fs::write(&initrd, initramfs(&std::fs::read(init).unwrap())).unwrap();

    let mut device = Some(start_device(&socket(0)));
    let mut command = Command::new(kernel);
    // One for each life of our device: those that nobody serves yet can be bound later.
    for life in 0..3 {
        let mut plug = setting("virtio_uml.device=", &socket(life));
        plug.push(":7");
        command.arg(plug);
    }
    command
        .arg(setting("initrd=", &initrd))
        .arg(setting("uml_dir=", folder.path()))
        .args(["mem=64M", "con0=fd:0,fd:1", "con=null", "ssl=null", "panic=-1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut linux = Running(command.spawn().unwrap());
    let mut typed = linux.0.stdin.take().unwrap();
    let lines = lines_of(linux.0.stdout.take().unwrap());

    let end = Instant::now() + LIMIT;
    let mut log = VecDeque::<String>::new();
    let mut left: VecDeque<_> = PARTS.into();
    let mut life = 0;
    let passed = loop {
        let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) else { break false };
        log.push_back(line.clone());
        if line.starts_with("ok ") {
            println!("{line}");
            if left.front().is_some_and(|part| line.starts_with(part)) {
                left.pop_front();
            }
        }
        if line.starts_with("RESTART") {
            // In the middle of its echoes.
            std::thread::sleep(Duration::from_millis(150));
            drop(device.take());
            life += 1;
            device = Some(start_device(&socket(life)));
            writeln!(typed, "go").unwrap();
        }
        if line.starts_with("ALL PASSED") {
            break true;
        }
        if line.starts_with("FAILED") || line.contains("Kernel panic") {
            break false;
        }
    };
    // What follows the last line that was looked at.
    while let Ok(line) = lines.recv_timeout(Duration::from_millis(200)) {
        log.push_back(line);
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("linux-peer-kernel.log");
    std::fs::write(&kept, log.iter().flat_map(|line| [line, "\n"]).collect::<String>()).unwrap();
    println!("the kernel's log is in {}", kept.display());
    if !passed || !left.is_empty() {
        log.iter().for_each(|line| println!("linux: {line}"));
    }
    assert!(passed, "the kernel did not come to its end; its log is above");
    assert!(left.is_empty(), "not seen: {left:?}; the kernel's log is above");
}

/// The lines of a program's output, as they come; they end with it. A program that writes without end is cut off.
fn lines_of(output: impl Read + Send + 'static) -> mpsc::Receiver<String> {
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
