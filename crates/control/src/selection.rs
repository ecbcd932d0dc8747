//! Which device to speak to.
//!
//! | given | the device |
//! |---|---|
//! | `--state DIR` | the one that keeps its state there |
//! | `--device NAME` | the running one with this name, id, or beginning of an id |
//! | `--api ADDRESS` and a token | whichever answers there |
//! | nothing | the one that runs on this host, if it is one |

use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::net::UnixStream;

use crate::{
    client::{Client, Endpoint},
    runtime::{self, RuntimeEntry, STATE_POINTER, SYSTEM_RUNTIME_DIR},
};

/// The fewest digits of an id that name a device.
pub const MIN_ID_PREFIX: usize = 6;

/// How long a socket may take to accept a connection before it does not count.
const PROBE: Duration = Duration::from_secs(2);

/// Which device to speak to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The one that keeps its state in this folder.
    pub state: Option<PathBuf>,
    /// The one with this name, id, or beginning of an id of [`MIN_ID_PREFIX`] digits or more.
    pub device: Option<String>,
    /// The one that answers at this loopback address, and the token for it.
    pub api: Option<(SocketAddr, String)>,
    /// Where to look for running devices: [`runtime::runtime_dir`] if left out.
    pub runtime_dir: Option<PathBuf>,
}

/// Why no device can be spoken to.
#[derive(Debug)]
#[non_exhaustive]
pub enum SelectError {
    /// No device runs on this host.
    NothingRuns {
        /// Where was looked.
        runtime_dir: PathBuf,
    },
    /// No device runs with its state in this folder.
    NotAtState {
        /// The folder.
        state: PathBuf,
    },
    /// No running device is called so.
    NoSuchDevice {
        /// What was asked for.
        wanted: String,
        /// The devices that run.
        running: Vec<RuntimeEntry>,
    },
    /// Several are called so.
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// The devices that are meant by it.
        matching: Vec<RuntimeEntry>,
    },
    /// Several run, and nothing tells which is meant.
    Several {
        /// The devices that run.
        running: Vec<RuntimeEntry>,
    },
    /// A device left its files behind; it was killed.
    Stale {
        /// What it was.
        entry: Box<RuntimeEntry>,
    },
    /// It does not accept a connection, though its process lives.
    Stuck {
        /// What it is.
        entry: Box<RuntimeEntry>,
    },
    /// This user may not use the device.
    PermissionDenied {
        /// The file or folder that is closed.
        path: PathBuf,
        /// Who owns it.
        owner: Option<String>,
    },
    /// A file or folder cannot be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Selection {
    /// Finds the device, and makes sure that it accepts connections.
    pub async fn find(&self) -> Result<Client, SelectError> {
        match &self.api {
            Some((addr, token)) => Ok(Client::new(Endpoint::Tcp { addr: *addr, token: token.clone() })),
            None => self.find_entry().await.map(|entry| Client::unix(entry.socket)),
        }
    }

    /// The same, but gives what its file in the runtime folder tells.
    pub async fn find_entry(&self) -> Result<RuntimeEntry, SelectError> {
        match &self.state {
            Some(state) => at_state(state).await,
            None => self.in_runtime_dir().await,
        }
    }

    async fn in_runtime_dir(&self) -> Result<RuntimeEntry, SelectError> {
        let folder = self.runtime_dir.clone().unwrap_or_else(runtime::runtime_dir);
        let running = running(&folder)?;
        if running.is_empty() {
            // The user's own folder is empty; the device may be the system's.
            return Err(match closed(Path::new(SYSTEM_RUNTIME_DIR)) {
                Some(denied) if self.runtime_dir.is_none() => denied,
                _ => SelectError::NothingRuns { runtime_dir: folder },
            });
        }
        let Some(wanted) = &self.device else { return only_one(running).await };
        let mut matching = matches(&running, wanted);
        match (matching.pop(), matching.is_empty()) {
            (None, _) => Err(SelectError::NoSuchDevice { wanted: wanted.clone(), running }),
            (Some(entry), true) => probe(entry).await,
            (Some(last), false) => {
                matching.push(last);
                Err(SelectError::Ambiguous { wanted: wanted.clone(), matching })
            }
        }
    }
}

/// The running devices that `wanted` names: by the whole name, else by the id or its beginning.
fn matches(running: &[RuntimeEntry], wanted: &str) -> Vec<RuntimeEntry> {
    let named: Vec<_> = running.iter().filter(|entry| entry.name == wanted).cloned().collect();
    if !named.is_empty() || wanted.len() < MIN_ID_PREFIX {
        return named;
    }
    let wanted = wanted.to_ascii_lowercase();
    running.iter().filter(|entry| entry.id.starts_with(&wanted)).cloned().collect()
}

/// The one that runs, not counting those that left their files behind.
async fn only_one(running: Vec<RuntimeEntry>) -> Result<RuntimeEntry, SelectError> {
    let mut alive = Vec::new();
    let mut error = None;
    for entry in running {
        match probe(entry).await {
            Ok(entry) => alive.push(entry),
            // A device that may not be spoken to, or is stuck, says more than one that is gone.
            Err(gone @ SelectError::Stale { .. }) => error = error.or(Some(gone)),
            Err(why) => error = Some(why),
        }
    }
    match (alive.pop(), alive.is_empty(), error) {
        (Some(entry), true, _) => Ok(entry),
        (Some(last), false, _) => {
            alive.push(last);
            Err(SelectError::Several { running: alive })
        }
        (None, _, Some(error)) => Err(error),
        (None, _, None) => Err(SelectError::NothingRuns { runtime_dir: runtime::runtime_dir() }),
    }
}

async fn at_state(state: &Path) -> Result<RuntimeEntry, SelectError> {
    let path = state.join(STATE_POINTER);
    match RuntimeEntry::read(&path) {
        Ok(entry) if entry.process_lives() => probe(entry).await,
        Ok(entry) => Err(SelectError::Stale { entry: Box::new(entry) }),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::NotFound => SelectError::NotAtState { state: state.to_owned() },
            io::ErrorKind::PermissionDenied => denied(&path),
            _ => SelectError::Unreadable { path, error },
        }),
    }
}

fn running(folder: &Path) -> Result<Vec<RuntimeEntry>, SelectError> {
    runtime::running(folder).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => denied(folder),
        _ => SelectError::Unreadable { path: folder.to_owned(), error },
    })
}

/// A listening socket is there only as long as its process, so connecting tells whether the device lives.
async fn probe(entry: RuntimeEntry) -> Result<RuntimeEntry, SelectError> {
    match tokio::time::timeout(PROBE, UnixStream::connect(&entry.socket)).await {
        Ok(Ok(_)) => Ok(entry),
        Err(_) => Err(SelectError::Stuck { entry: Box::new(entry) }),
        Ok(Err(error)) => Err(match error.kind() {
            io::ErrorKind::PermissionDenied => denied(&entry.socket),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => SelectError::Stale { entry: Box::new(entry) },
            _ => SelectError::Unreadable { path: entry.socket, error },
        }),
    }
}

/// The error for a folder that is there and that this user may not look into.
fn closed(folder: &Path) -> Option<SelectError> {
    let error = std::fs::read_dir(folder).err()?;
    (error.kind() == io::ErrorKind::PermissionDenied).then(|| denied(folder))
}

/// The error for a path that is closed: names the owner of the nearest part of it that can be seen.
fn denied(path: &Path) -> SelectError {
    let owner = path.ancestors().find_map(runtime::owner_of);
    SelectError::PermissionDenied { path: path.to_owned(), owner }
}

impl SelectError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::NothingRuns { .. } => "start one with: tutti up".into(),
            Self::NotAtState { state } => format!("start it with: tutti up --state {}", state.display()),
            Self::Stale { entry } => format!("start it again with: tutti up --state {}", entry.state_dir.display()),
            Self::Stuck { entry } => format!("look at its log, or end it with: kill {}", entry.pid),
            Self::NoSuchDevice { .. } | Self::Several { .. } => "name one with --device NAME, or --state DIR".into(),
            Self::Ambiguous { .. } => "name one by its id: --device ID, or --state DIR".into(),
            Self::PermissionDenied { owner: Some(owner), .. } if owner == "root" => "run this with sudo".into(),
            Self::PermissionDenied { owner: Some(owner), .. } => format!("run this as {owner}"),
            Self::PermissionDenied { owner: None, .. } => "run this as the user who started the device".into(),
            Self::Unreadable { .. } => "see whether the path is right and its disk is well".into(),
        }
    }
}

impl fmt::Display for SelectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingRuns { runtime_dir } => {
                write!(f, "no device runs on this host (looked in {})", runtime_dir.display())
            }
            Self::NotAtState { state } => write!(f, "no device runs with its state in {}", state.display()),
            Self::NoSuchDevice { wanted, running } => {
                write!(f, "no running device is called {wanted:?}; these run:{}", list(running))
            }
            Self::Ambiguous { wanted, matching } => write!(f, "{wanted:?} may be any of:{}", list(matching)),
            Self::Several { running } => write!(f, "several devices run on this host:{}", list(running)),
            Self::Stale { entry } => {
                write!(
                    f,
                    "{} (process {}) no longer runs; it was ended without a chance to tidy up",
                    entry.name, entry.pid
                )
            }
            Self::Stuck { entry } => {
                write!(f, "{} (process {}) runs, but accepts no connection", entry.name, entry.pid)
            }
            Self::PermissionDenied { path, owner } => {
                write!(f, "{} may not be used by this user", path.display())?;
                owner.as_ref().map_or(Ok(()), |owner| write!(f, "; it belongs to {owner}"))
            }
            Self::Unreadable { path, error } => write!(f, "{} cannot be used: {error}", path.display()),
        }
    }
}

impl std::error::Error for SelectError {}

/// One line for each.
fn list(entries: &[RuntimeEntry]) -> String {
    entries
        .iter()
        .map(|entry| {
            let id: String = entry.id.chars().take(10).collect();
            format!("\n  {}  {id}  {}", entry.name, entry.state_dir.display())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    struct Host {
        folder: tempfile::TempDir,
        sockets: Vec<UnixListener>,
    }

    impl Host {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), sockets: Vec::new() }
        }

        fn entry(&self, name: &str, digit: char) -> RuntimeEntry {
            RuntimeEntry {
                id: digit.to_string().repeat(64),
                name: name.into(),
                pid: std::process::id(),
                state_dir: PathBuf::from(format!("/state/{digit}")),
                socket: self.folder.path().join(format!("{digit}.sock")),
                addrs: vec![],
                pairing_open: false,
            }
        }

        fn killed(&self, name: &str, digit: char) -> RuntimeEntry {
            let entry = self.entry(name, digit);
            entry.write(&self.folder.path().join(entry.file_name())).unwrap();
            entry
        }

        fn start(&mut self, name: &str, digit: char) -> RuntimeEntry {
            let entry = self.killed(name, digit);
            self.sockets.push(UnixListener::bind(&entry.socket).unwrap());
            entry
        }

        async fn select(&self, device: Option<&str>) -> Result<String, String> {
            let selection = Selection {
                device: device.map(Into::into),
                runtime_dir: Some(self.folder.path().into()),
                ..Selection::default()
            };
            let shown = |error: SelectError| {
                format!("{error} -> {}", error.hint()).replace(&*self.folder.path().to_string_lossy(), "RUN")
            };
            selection.find_entry().await.map(|entry| entry.name).map_err(shown)
        }
    }

    #[tokio::test]
    async fn the_only_one_needs_no_name() {
        let mut host = Host::new();
        insta::assert_snapshot!(host.select(None).await.unwrap_err(), @"no device runs on this host (looked in RUN) -> start one with: tutti up");
        host.start("kitchen", 'a');
        assert_eq!(host.select(None).await.unwrap(), "kitchen");
        host.killed("cellar", 'c');
        assert_eq!(host.select(None).await.unwrap(), "kitchen", "one that was killed does not count");
        host.start("studio", 'b');
        insta::assert_snapshot!(host.select(None).await.unwrap_err(), @r"
        several devices run on this host:
          kitchen  aaaaaaaaaa  /state/a
          studio  bbbbbbbbbb  /state/b -> name one with --device NAME, or --state DIR
        ");
    }

    #[tokio::test]
    async fn names_and_ids() {
        let mut host = Host::new();
        host.start("kitchen", 'a');
        host.start("studio", 'b');
        host.start("studio", 'c');
        assert_eq!(host.select(Some("kitchen")).await.unwrap(), "kitchen");
        assert_eq!(host.select(Some("AAAAAA")).await.unwrap(), "kitchen");
        assert_eq!(host.select(Some("cccccccc")).await.unwrap(), "studio");
        insta::assert_snapshot!(host.select(Some("aaaaa")).await.unwrap_err(), @r#"
        no running device is called "aaaaa"; these run:
          kitchen  aaaaaaaaaa  /state/a
          studio  bbbbbbbbbb  /state/b
          studio  cccccccccc  /state/c -> name one with --device NAME, or --state DIR
        "#);
        insta::assert_snapshot!(host.select(Some("studio")).await.unwrap_err(), @r#"
        "studio" may be any of:
          studio  bbbbbbbbbb  /state/b
          studio  cccccccccc  /state/c -> name one by its id: --device ID, or --state DIR
        "#);
    }

    #[tokio::test]
    async fn a_killed_device_is_called_killed() {
        let host = Host::new();
        host.killed("kitchen", 'a');
        let shown = host.select(None).await.unwrap_err().replace(&std::process::id().to_string(), "PID");
        insta::assert_snapshot!(shown, @"kitchen (process PID) no longer runs; it was ended without a chance to tidy up -> start it again with: tutti up --state /state/a");
    }

    #[tokio::test]
    async fn by_the_state_folder() {
        let mut host = Host::new();
        let entry = host.start("kitchen", 'a');
        let state = tempfile::tempdir().unwrap();
        let selection = Selection { state: Some(state.path().into()), ..Selection::default() };
        let error = selection.find_entry().await.unwrap_err();
        assert!(matches!(error, SelectError::NotAtState { .. }), "{error}");
        entry.write(&state.path().join(STATE_POINTER)).unwrap();
        assert_eq!(selection.find_entry().await.unwrap(), entry);
        std::fs::write(state.path().join(STATE_POINTER), "{").unwrap();
        let error = selection.find_entry().await.unwrap_err();
        assert!(matches!(error, SelectError::Unreadable { .. }), "{error}");
    }

    #[test]
    fn a_closed_folder_names_its_owner() {
        let error = denied(Path::new("/etc/nothing/here.sock"));
        assert_eq!(error.to_string(), "/etc/nothing/here.sock may not be used by this user; it belongs to root");
        assert_eq!(error.hint(), "run this with sudo");
    }
}
