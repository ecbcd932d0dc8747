//! Stands in for the node when `tutti-init` is tested: it is ready at once and its heart beats, or whatever else
//! `STAND_IN` says.
#![expect(clippy::print_stdout, reason = "its lines are what the test sees of it")]

use std::{io::BufRead, os::unix::net::UnixDatagram, thread::sleep, time::Duration};

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
