//! The Linux kernel's own RPMsg drivers against our device: the layer `linux-peer`, which builds what this takes.
//!
//! `TUTTI_LINUX` is a user-mode Linux kernel with `virtio_uml` and RPMsg, `TUTTI_LINUX_INIT` the static program that it
//! runs (`xtask/src/test/linux_peer/init.c`). Our device is this program started once more; it is killed twice while
//! the kernel runs.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the layer reads how each part went")]

mod common;
mod uml;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tutti_amp_host::vhost::{Connection, Offer, Unsealed, VhostError};
use uml::{Linux, Running, setting};

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

#[test]
fn the_linux_kernel_as_a_peer() {
    let (Some(kernel), Some(init)) = (std::env::var_os("TUTTI_LINUX"), std::env::var_os("TUTTI_LINUX_INIT")) else {
        eprintln!("skipped: `cargo xtask test linux-peer` builds the kernel and runs this");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let socket = |life: usize| folder.path().join(format!("rpmsg{life}"));
    let files = [("init".to_owned(), std::fs::read(init).unwrap())];
    let mut device = Some(start_device(&socket(0)));
    // One for each life of our device: those that nobody serves yet can be bound later.
    let plugs = (0..3).map(|life| {
        let mut plug = setting("virtio_uml.device=", &socket(life));
        plug.push(":7");
        plug
    });
    let linux = Linux::start(Path::new(&kernel), folder.path(), &files, "64M", plugs);
    let mut life = 0;
    linux.passes(LIMIT, &PARTS, "linux-peer-kernel.log", |line, typed| {
        if line.starts_with("RESTART") {
            // In the middle of its echoes.
            std::thread::sleep(Duration::from_millis(150));
            drop(device.take());
            life += 1;
            device = Some(start_device(&socket(life)));
            writeln!(typed, "go").unwrap();
        }
    });
}
