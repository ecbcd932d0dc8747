//! Where running devices tell the other programs of their host of themselves.
//!
//! A running device keeps a file `<id>.json` in the runtime folder and the same as `runtime.json` in its state
//! folder: a [`RuntimeEntry`]. By these files the command line finds it, and the devices of one host find each other
//! without a network. A device that was killed leaves its files behind: an entry only counts as long as its
//! process lives, and a reader never removes one (the process id may just be changing hands).

use std::{
    env, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, getuid, test_kill_process};
use serde::{Deserialize, Serialize};

/// The file in a state folder that points to the running device.
pub const STATE_POINTER: &str = "runtime.json";

/// The file in a state folder that holds the token for the API on TCP.
pub const TOKEN_FILE: &str = "api-token";

/// The environment variable that names the runtime folder.
pub const RUNTIME_ENV: &str = "TUTTI_RUNTIME_DIR";

/// The environment variable that names the state folder.
pub const STATE_ENV: &str = "TUTTI_STATE";

/// The runtime folder of a device that runs as a system service.
pub const SYSTEM_RUNTIME_DIR: &str = "/run/tutti";

/// The longest path of a Unix socket, in bytes (`sun_path` of unix(7) holds 108 with the final zero).
pub const MAX_SOCKET_PATH: usize = 107;

/// The largest entry that is read, in bytes.
const MAX_ENTRY: u64 = 64 * 1024;

/// The most entries that are read from one folder.
const MAX_ENTRIES: usize = 4096;

/// A running device, as its file in the runtime folder tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeEntry {
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Where it keeps its state.
    pub state_dir: PathBuf,
    /// The socket of its control API.
    pub socket: PathBuf,
    /// Where other devices can reach it: `address:port`.
    pub addrs: Vec<String>,
    /// Whether it shows a pairing code now.
    pub pairing_open: bool,
}

impl RuntimeEntry {
    /// Reads an entry from its file.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = fs::File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a file"));
        }
        serde_json::from_reader(io::Read::take(file, MAX_ENTRY)).map_err(io::Error::from)
    }

    /// Writes the entry, so that a reader sees the old or the new one and never a half.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let fresh = path.with_extension(format!("new-{}", std::process::id()));
        let text = serde_json::to_vec(self)?;
        fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, path)).inspect_err(|_| {
            // The reason is what the caller needs; a leftover is overwritten by the next attempt.
            let _ = fs::remove_file(&fresh);
        })
    }

    /// The name of the entry's file in the runtime folder.
    pub fn file_name(&self) -> String {
        format!("{}.json", self.id)
    }

    /// Whether the process that wrote it still lives (or its number has been given to another one).
    pub fn process_lives(&self) -> bool {
        process_lives(self.pid)
    }
}

/// Whether there is a process with this id. One that may not be signalled is one, too; one that has ended and that
/// its parent has not taken note of yet (a zombie) is none.
pub fn process_lives(pid: u32) -> bool {
    let there = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH));
    there && !has_ended(pid)
}

/// Whether the process is a zombie: by the state in `/proc/PID/stat`, which follows the name in parentheses
/// (proc_pid_stat(5)).
fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| matches!(rest.trim_start().chars().next(), Some('Z' | 'X')))
}

/// The devices that run, by the files of this folder, ordered by name. A folder that is not there holds none; a file
/// that is not an entry is skipped (somebody is writing, or it is not ours).
pub fn running(folder: &Path) -> io::Result<Vec<RuntimeEntry>> {
    let files = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut entries: Vec<_> = files
        .take(MAX_ENTRIES)
        .filter_map(Result::ok)
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter_map(|path| RuntimeEntry::read(&path).ok())
        .filter(RuntimeEntry::process_lives)
        .collect();
    entries.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(entries)
}

/// The runtime folder: `$TUTTI_RUNTIME_DIR`, else `$XDG_RUNTIME_DIR/tutti`, else `/run/tutti` for root, else
/// `/tmp/tutti-UID`.
pub fn runtime_dir() -> PathBuf {
    if let Some(folder) = variable(RUNTIME_ENV) {
        return folder;
    }
    if let Some(folder) = variable("XDG_RUNTIME_DIR") {
        return folder.join("tutti");
    }
    match getuid() {
        uid if uid.is_root() => PathBuf::from(SYSTEM_RUNTIME_DIR),
        uid => PathBuf::from(format!("/tmp/tutti-{}", uid.as_raw())),
    }
}

/// The state folder of a device that was started without `--state`: `$TUTTI_STATE`, else `/var/lib/tutti` for root,
/// else `$XDG_STATE_HOME/tutti`, else `~/.local/state/tutti`. None if there is not even a home.
pub fn default_state_dir() -> Option<PathBuf> {
    if let Some(folder) = variable(STATE_ENV) {
        return Some(folder);
    }
    if getuid().is_root() {
        return Some(PathBuf::from("/var/lib/tutti"));
    }
    variable("XDG_STATE_HOME")
        .map(|folder| folder.join("tutti"))
        .or_else(|| variable("HOME").map(|home| home.join(".local/state/tutti")))
}

/// The path in this variable, unless it is empty.
fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Who owns a file or folder: the name of the user, or `user N`.
pub fn owner_of(path: &Path) -> Option<String> {
    let uid = fs::metadata(path).ok()?.uid();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse::<u32>().ok()? == uid).then(|| name.to_owned())
    });
    Some(name.unwrap_or_else(|| format!("user {uid}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn entry(name: &str, folder: &Path) -> RuntimeEntry {
        RuntimeEntry {
            id: format!("{:0>64}", name.len()),
            name: name.into(),
            pid: std::process::id(),
            state_dir: folder.join("state"),
            socket: folder.join(format!("{name}.sock")),
            addrs: vec!["127.0.0.1:7000".into()],
            pairing_open: false,
        }
    }

    #[test]
    fn entries_of_dead_processes_and_foreign_files_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let alive = entry("kitchen", folder.path());
        alive.write(&folder.path().join(alive.file_name())).unwrap();
        let dead = RuntimeEntry { pid: 0x3fff_ffff, id: "d".into(), ..alive.clone() };
        dead.write(&folder.path().join(dead.file_name())).unwrap();
        fs::write(folder.path().join("half.json"), b"{\"id\":").unwrap();
        fs::write(folder.path().join("huge.json"), vec![b' '; 1 << 20]).unwrap();
        fs::create_dir(folder.path().join("folder.json")).unwrap();
        assert_eq!(running(folder.path()).unwrap(), [alive]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5, "nothing is left of writing, nothing is removed");
    }

    #[test]
    fn a_folder_that_is_not_there_holds_no_devices() {
        assert_eq!(running(Path::new("/nonexistent/tutti")).unwrap(), []);
    }

    #[test]
    fn a_zombie_does_not_live() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let start = std::time::Instant::now();
        while process_lives(child.id()) {
            assert!(start.elapsed().as_secs() < 10, "it has ended, but nobody waited for it yet");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.wait().unwrap();
        assert!(process_lives(std::process::id()));
        assert!(!process_lives(0));
    }

    #[test]
    fn the_owner_has_a_name() {
        assert_eq!(owner_of(Path::new("/etc/passwd")).as_deref(), Some("root"));
        assert_eq!(owner_of(Path::new("/nonexistent")), None);
    }
}
