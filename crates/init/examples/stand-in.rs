//! Stands in for the node when `tutti-init` is tested: it is ready at once and its heart beats, or whatever else
//! `STAND_IN` says.
#![expect(clippy::print_stdout, reason = "its lines are what the test sees of it")]

#[path = "stand-in/hardware.rs"]
mod hardware;

use std::{io::BufRead, os::unix::net::UnixDatagram, path::Path, thread::sleep, time::Duration};

use tutti_update::{Choice, Machine, System, system::FILE};

fn main() {
    let mode = std::env::var("STAND_IN").unwrap_or_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("stand-in: {}", arguments.join(" "));
    if arguments.first().is_some_and(|word| word != "up") {
        return;
    }
    let socket = UnixDatagram::unbound().expect("a socket");
    let place = std::env::var("NOTIFY_SOCKET").expect("somebody listens");
    let say = |words: &str| drop(socket.send_to(words.as_bytes(), &place));
    if mode == "dies" {
        std::process::exit(7);
    }
    if std::env::var_os("STAND_IN_SHOWS").is_some() {
        tell_what_is_there();
    }
    std::thread::spawn(obey_the_console);
    say("READY=1\nSTATUS=it stands in");
    if mode == "joins" {
        say("X_TUTTI_JOINED=1");
    }
    if mode == "reboots" {
        sleep(Duration::from_millis(200));
        say("X_TUTTI_REBOOT=1");
    }
    if mode == "hardware" {
        hardware::show();
    }
    if mode == "updates" {
        match update() {
            Ok(what) => println!("stand-in: {what}"),
            Err(why) => println!("stand-in: {why}"),
        }
        say("X_TUTTI_REBOOT=1");
    }
    let call = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    loop {
        if mode == "calls" {
            // In vain until there is an address.
            let _ = call.send_to(b"the stand-in calls", "10.77.0.1:7");
        }
        sleep(Duration::from_secs(1));
        say("WATCHDOG=1");
    }
}

/// Installs the image that is on the second disk.
fn update() -> Result<String, Box<dyn std::error::Error>> {
    let system = System::read(Path::new(FILE)).ok_or("nobody says what runs")?;
    let device = system.device(Machine::here());
    let open = || std::fs::File::open("/dev/ubdb");
    let slots = system.updates()?;
    let (slot, version) = slots.install(open, &device, system.tries, |written, of| {
        if written % (1 << 20) == 0 {
            println!("stand-in: {written} of {of}");
        }
    })?;
    Ok(format!("installed {version} in slot {}", Choice::Slot(slot).word()))
}

/// Each line on the console is a command for `tutti-init`.
fn obey_the_console() {
    let console = match std::fs::File::open("/dev/console") {
        Ok(console) => console,
        Err(error) => return println!("stand-in: the console: {error}"),
    };
    println!("stand-in: obeys the console");
    for line in std::io::BufReader::new(console).lines().map_while(Result::ok) {
        let done = std::process::Command::new("/init").arg(line.trim()).status();
        println!("stand-in: {line}: {done:?}");
    }
}

fn tell_what_is_there() {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    mounts.lines().for_each(|line| println!("stand-in: mount {line}"));
    let modules = std::fs::read_to_string("/proc/modules").unwrap_or_default();
    modules.lines().for_each(|line| println!("stand-in: module {line}"));
    let files: Vec<_> =
        std::fs::read_dir("/dev").into_iter().flatten().flatten().map(|file| file.file_name()).collect();
    println!("stand-in: devices {files:?}");
    let starts: u32 = std::fs::read_to_string("/state/starts").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    std::fs::write("/state/starts", (starts + 1).to_string()).expect("the state can be written");
    println!("stand-in: start {}", starts + 1);
    println!("stand-in: the system is read-only: {}", std::fs::write("/etc/x", "x").is_err());
    println!("stand-in: end");
}
