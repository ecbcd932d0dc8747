//! The devices of the demo: processes of this program, each with its own folder.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::process::{Child, ChildStdin, Command};
use tutti_control::{Client, RuntimeEntry, Selection, runtime};

use super::report::until;
use crate::failure::{Explain, Failure};

/// How the folders of demos begin; the number of the process follows.
const PREFIX: &str = "tutti-demo-";

/// How long a device may take to end after its input was closed, before it is killed.
const END: Duration = Duration::from_secs(10);

/// How long a device may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How much of a device's log is shown when a step failed, in lines.
const LOG_LINES: usize = 15;

/// The folder of a demo. It is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    folder: tempfile::TempDir,
    slower: u32,
}

impl Stage {
    /// A new folder. What demos left behind that were killed is removed. Everything may take `slower` times as long.
    pub(crate) fn new(slower: u32) -> Result<Self, Failure> {
        let parent = std::env::temp_dir();
        sweep(&parent);
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let failed = || format!("cannot make a folder in {}", parent.display());
        let mut builder = tempfile::Builder::new();
        let closed = fs::Permissions::from_mode(0o700);
        let folder = builder.prefix(&prefix).rand_bytes(4).permissions(closed).tempdir_in(&parent).explain(failed)?;
        DirBuilder::new().mode(0o700).create(folder.path().join("run")).explain(failed)?;
        Ok(Self { folder, slower })
    }

    /// Where the devices find each other.
    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// A device that is not running yet.
    pub(crate) fn actor(&self, name: &str, simulate: &[&str]) -> Actor {
        Actor {
            name: name.to_owned(),
            state: self.folder.path().join(name),
            log: self.folder.path().join(format!("{name}.log")),
            runtime_dir: self.runtime_dir(),
            simulate: simulate.join(","),
            process: None,
            slower: self.slower,
        }
    }

    /// What the devices left in the runtime folder.
    pub(crate) fn left_behind(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(self.runtime_dir())?.map(|file| Ok(file?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    /// Removes the folder.
    pub(crate) fn close(self) -> io::Result<()> {
        self.folder.close()
    }

    /// Keeps the folder, for a look at what failed, under a name that the next demo does not sweep.
    pub(crate) fn keep(self) -> PathBuf {
        let folder = self.folder.keep();
        let kept = folder.with_file_name(format!("{PREFIX}failed-{}", std::process::id()));
        // Under its old name it is as good until the next demo.
        if fs::rename(&folder, &kept).is_ok() { kept } else { folder }
    }
}

/// Removes the folders of demos whose process has gone.
fn sweep(parent: &Path) {
    let Ok(folders) = fs::read_dir(parent) else { return };
    for folder in folders.filter_map(Result::ok) {
        let name = folder.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
        let mine = fs::metadata(folder.path()).is_ok_and(|about| about.uid() == rustix::process::geteuid().as_raw());
        if process.is_some_and(|process| !runtime::process_lives(process)) && mine {
            // What cannot be removed is tried again by the next demo.
            let _ = fs::remove_dir_all(folder.path());
        }
    }
}

/// A device of the demo.
#[derive(Debug)]
pub(crate) struct Actor {
    /// What it is called.
    pub(crate) name: String,
    state: PathBuf,
    log: PathBuf,
    runtime_dir: PathBuf,
    simulate: String,
    process: Option<Process>,
    slower: u32,
}

#[derive(Debug)]
struct Process {
    child: Child,
    /// As long as this is open, the device runs.
    _stdin: Option<ChildStdin>,
}

impl Actor {
    /// Starts it.
    pub(crate) fn start(&mut self) -> Result<(), String> {
        let failed = |error: io::Error| format!("{} cannot be started: {error}", self.name);
        let log = |append: bool| -> io::Result<File> {
            OpenOptions::new().create(true).append(append).truncate(!append).write(true).open(&self.log)
        };
        let log = log(true).map_err(failed)?;
        let mut child = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["up", "--foreground", "--exit-with-stdin", "--no-mdns", "--port", "0", "--storage-quota", "16M"])
            .args(["--name", &self.name, "--simulate", &self.simulate, "--state"])
            .arg(&self.state)
            .env(runtime::RUNTIME_ENV, &self.runtime_dir)
            .env_remove("NOTIFY_SOCKET")
            .env_remove("TUTTI_API")
            .env_remove("TUTTI_DEVICE")
            // Ctrl-C is for the demo, which then stops its devices one by one.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let stdin = child.stdin.take();
        self.process = Some(Process { child, _stdin: stdin });
        Ok(())
    }

    /// Waits until it answers.
    pub(crate) async fn ready(&mut self) -> Result<Client, String> {
        let selection = Selection { state: Some(self.state.clone()), ..Selection::default() };
        loop {
            if let Some(status) = self.ended()? {
                self.process = None;
                return Err(format!("{} ended by itself: {status}", self.name));
            }
            if let Ok(entry) = selection.find_entry().await
                && self.is(&entry)
            {
                let client = Client::unix(&entry.socket).timeout(ANSWER * self.slower);
                if client.device().await.is_ok() {
                    return Ok(client);
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills it (SIGKILL) and waits until it has gone.
    pub(crate) async fn kill(&mut self) -> Result<(), String> {
        let Some(mut process) = self.process.take() else { return Err(format!("{} does not run", self.name)) };
        process.child.kill().await.map_err(|error| format!("{} cannot be killed: {error}", self.name))
    }

    /// Ends it by closing its input, as the end of this process would, and waits until it has gone.
    pub(crate) async fn stop(&mut self) -> Result<(), String> {
        let Some(Process { mut child, _stdin: stdin }) = self.process.take() else { return Ok(()) };
        drop(stdin);
        let end = END * self.slower;
        match tokio::time::timeout(end, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("{} did not end well: {status}", self.name)),
            Ok(Err(error)) => Err(format!("{} cannot be waited for: {error}", self.name)),
            Err(_) => {
                let killed = child.kill().await;
                Err(format!("{} did not end within {} s and was killed ({killed:?})", self.name, end.as_secs()))
            }
        }
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref()?.child.id()
    }

    /// The end of its log.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n")
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, String> {
        let Some(process) = &mut self.process else { return Ok(Some(ExitStatus::from_raw(0))) };
        process.child.try_wait().map_err(|error| format!("{} cannot be watched: {error}", self.name))
    }

    fn is(&self, entry: &RuntimeEntry) -> bool {
        self.pid() == Some(entry.pid)
    }
}

/// Waits until no process has any of these numbers.
pub(crate) async fn all_gone(processes: &[u32]) -> Result<(), String> {
    until(|| async { Ok((!processes.iter().any(|&process| runtime::process_lives(process))).then_some(())) }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_demos_left_is_swept_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let mine = format!("{PREFIX}{}-abcd", std::process::id());
        let names = [&mine, "tutti-demo-1073741823-abcd", "tutti-demo-failed-1073741823", "other"];
        for name in names {
            fs::create_dir(parent.path().join(name)).unwrap();
        }
        sweep(parent.path());
        let there = names.map(|name| parent.path().join(name).exists());
        assert_eq!(there, [true, false, true, true]);
    }
}
