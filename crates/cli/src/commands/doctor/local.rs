//! What this machine allows: checks that need no running device.

use std::{
    env, fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};
use tutti_control::{Check, CheckState, Selection, runtime};

use super::check;
use crate::words;

/// The group and port of multicast DNS (RFC 6762, 3).
const MDNS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const MDNS_PORT: u16 = 5353;

/// 2024-01-01: a clock before that was never set.
const EARLIEST: u64 = 1_704_067_200;

/// 2100-01-01: a clock after that is not set either.
const LATEST: u64 = 4_102_444_800;

/// Free space below which a device may soon be unable to keep its state, in bytes.
const LITTLE_SPACE: u64 = 64 << 20;

/// The path of a socket in the runtime folder: a slash, ten digits, `.sock`.
const SOCKET_NAME: usize = 16;

/// All of them.
pub(super) fn checks(selection: &Selection) -> Vec<Check> {
    let state = selection.state.clone().or_else(runtime::default_state_dir);
    let folder = selection.runtime_dir.clone().unwrap_or_else(runtime::runtime_dir);
    let mut checks = vec![interfaces(), multicast(), udp(), mdns_port(), clock(SystemTime::now())];
    checks.extend(state.as_deref().map(state_folder));
    checks.push(runtime_folder(&folder));
    checks.extend(state.as_deref().and_then(space));
    checks.extend(firewall());
    checks
}

/// The IPv4 addresses of the interfaces that are up, without loopback.
fn addresses() -> io::Result<Vec<(String, Ipv4Addr)>> {
    let all = if_addrs::get_if_addrs()?.into_iter().filter(|one| !one.is_loopback());
    let v4 = all.filter_map(|one| match one.ip() {
        IpAddr::V4(address) => Some((one.name, address)),
        IpAddr::V6(_) => None,
    });
    Ok(v4.collect())
}

fn interfaces() -> Check {
    let name = "interfaces";
    match addresses() {
        Err(error) => check(name, CheckState::Fail, format!("they cannot be listed: {error}"), ""),
        Ok(found) if found.is_empty() => check(
            name,
            CheckState::Warn,
            "none is up but loopback: only devices on this machine can be seen",
            "connect a cable or a wireless network; see: ip address",
        ),
        Ok(found) => {
            let list: Vec<_> = found.iter().map(|(name, address)| format!("{name} {address}")).collect();
            check(name, CheckState::Ok, list.join(", "), "")
        }
    }
}

fn multicast() -> Check {
    let name = "multicast";
    let failures: Vec<_> = addresses()
        .unwrap_or_default()
        .iter()
        .filter_map(|(interface, address)| {
            let join = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.join_multicast_v4(&MDNS, address);
            join().err().map(|error| format!("{interface}: {error}"))
        })
        .collect();
    if failures.is_empty() {
        check(name, CheckState::Ok, format!("{MDNS} can be joined"), "")
    } else {
        let advice = "switch it on: ip link set NAME multicast on; or pair with a ticket, which needs no discovery";
        check(name, CheckState::Warn, failures.join("\n"), advice)
    }
}

fn udp() -> Check {
    match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) {
        Ok(_) => check("udp", CheckState::Ok, "a port can be opened", ""),
        Err(error) => {
            let advice = "see what a sandbox or the limits of this session forbid: ulimit -a";
            check("udp", CheckState::Fail, format!("no port can be opened: {error}"), advice)
        }
    }
}

fn mdns_port() -> Check {
    let open = || -> rustix::io::Result<()> {
        let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, MDNS_PORT))
    };
    match open() {
        Ok(()) => check("mdns port", CheckState::Ok, format!("{MDNS_PORT} can be shared"), ""),
        Err(error) => {
            let advice =
                format!("see which program does not share it: ss -lunp 'sport = :{MDNS_PORT}'; or pair with a ticket");
            check("mdns port", CheckState::Warn, format!("{MDNS_PORT} cannot be shared: {error}"), advice)
        }
    }
}

fn clock(now: SystemTime) -> Check {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if (EARLIEST..LATEST).contains(&seconds) {
        return check("clock", CheckState::Ok, "it is set", "");
    }
    let year = 1970 + seconds / 31_556_952;
    let what = format!("it says {year}; times that people see will be wrong (leases and time-outs do not go by it)");
    check("clock", CheckState::Warn, what, "set it: timedatectl set-ntp true, or date -s")
}

fn state_folder(folder: &Path) -> Check {
    let name = "state folder";
    let shown = folder.display();
    let about = match fs::metadata(folder) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return check(name, CheckState::Ok, format!("{shown} will be made by: tutti up"), "");
        }
        Err(error) => return check(name, CheckState::Fail, format!("{shown} cannot be used: {error}"), ""),
    };
    let mode = about.permissions().mode() & 0o777;
    let mine = about.uid() == rustix::process::geteuid().as_raw();
    if !about.is_dir() {
        check(name, CheckState::Fail, format!("{shown} is no folder"), "name another one with --state")
    } else if !mine {
        let owner = runtime::owner_of(folder).unwrap_or_else(|| "somebody else".into());
        let advice = format!("run this as {owner}, or name another one with --state");
        check(name, CheckState::Fail, format!("{shown} belongs to {owner}"), advice)
    } else if mode & 0o077 != 0 {
        let what = format!("{shown} is open to others (mode {mode:03o})");
        check(name, CheckState::Warn, what, format!("close it: chmod 700 {shown}"))
    } else {
        check(name, CheckState::Ok, shown.to_string(), "")
    }
}

fn runtime_folder(folder: &Path) -> Check {
    let name = "runtime folder";
    let shown = folder.display();
    let length = folder.as_os_str().len() + SOCKET_NAME;
    if length > runtime::MAX_SOCKET_PATH {
        let what = format!("{shown} is too long: a socket's path has at most {} bytes", runtime::MAX_SOCKET_PATH);
        return check(name, CheckState::Fail, what, format!("name a shorter one in {}", runtime::RUNTIME_ENV));
    }
    match runtime::running(folder) {
        Err(error) => {
            let advice = format!("name another one in {}", runtime::RUNTIME_ENV);
            check(name, CheckState::Fail, format!("{shown} cannot be read: {error}"), advice)
        }
        Ok(running) => {
            let what = format!("{shown}, {} running", words::count(running.len(), "device"));
            check(name, CheckState::Ok, what, "")
        }
    }
}

/// Space for the state, on the disk of the nearest folder that is there.
fn space(state: &Path) -> Option<Check> {
    let there = state.ancestors().find(|folder| folder.exists())?;
    let disk = rustix::fs::statvfs(there).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let what = format!("{} free for {}", words::size(free), state.display());
    Some(if free < LITTLE_SPACE {
        check("disk space", CheckState::Warn, what, "make room: a device that cannot write its state refuses changes")
    } else {
        check("disk space", CheckState::Ok, what, "")
    })
}

/// A firewall may be in the way; whether it is, only its owner can tell.
fn firewall() -> Option<Check> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from)).collect();
    let found = ["nft", "iptables", "ufw", "firewall-cmd"]
        .into_iter()
        .find(|tool| folders.iter().any(|folder| folder.join(tool).is_file()))?;
    let look = match found {
        "nft" => "nft list ruleset",
        "iptables" => "iptables -L -n",
        "ufw" => "ufw status",
        _ => "firewall-cmd --list-all",
    };
    let advice = format!(
        "if nobody is seen, look with: sudo {look}\nUDP {MDNS_PORT} must come in, and the port of: tutti up --port N"
    );
    Some(check("firewall", CheckState::Ok, format!("{found} is installed, so there may be rules"), advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_clock_at_1970_is_noticed() {
        assert_eq!(clock(SystemTime::now()).ok, CheckState::Ok);
        let check = clock(UNIX_EPOCH + Duration::from_secs(60));
        assert_eq!(check.ok, CheckState::Warn);
        assert!(check.what.contains("it says 1970"), "{}", check.what);
        assert_eq!(clock(UNIX_EPOCH - Duration::from_secs(60)).ok, CheckState::Warn);
    }

    #[test]
    fn an_open_state_folder_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(state_folder(folder.path()).ok, CheckState::Ok);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let open = state_folder(folder.path());
        assert_eq!(open.ok, CheckState::Warn);
        assert!(open.what.contains("mode 755"));
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(state_folder(&file).ok, CheckState::Fail);
        assert_eq!(state_folder(&folder.path().join("new")).ok, CheckState::Ok);
    }

    #[test]
    fn a_long_runtime_folder_is_noticed() {
        assert_eq!(runtime_folder(Path::new("/nonexistent")).ok, CheckState::Ok);
        assert_eq!(runtime_folder(&Path::new("/").join("x".repeat(100))).ok, CheckState::Fail);
    }
}
