//! Runs a program within a time limit, with its output in a file, and leaves nothing of it behind.
//!
//! Each program gets a session of its own and a guard: a shell that reads from a pipe which xtask holds open. When the
//! time is up, when the program has ended, or when xtask itself goes for any reason (Ctrl-C, `kill -9`), the pipe
//! closes and the guard ends the whole session: first politely, so that tests can tidy up, after two seconds by force.
//! (A process group would not do: test runners give each test a group of its own.)

use std::{
    ffi::OsStr,
    fmt, fs,
    io::{self, IsTerminal as _, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How much a program may write before it is taken to have gone wild.
const MOST_OUTPUT: u64 = 256 << 20;

/// How often a program is looked after.
const TICK: Duration = Duration::from_millis(50);

/// How often a line is printed about a program that is still running, where there is no terminal.
const REMINDER: Duration = Duration::from_secs(60);

/// Why a program did not do what it was started for.
#[derive(Debug)]
pub(crate) enum RunError {
    /// It could not be started.
    Start(String, io::Error),
    /// It ended, but not well.
    Ended(ExitStatus),
    /// It was still running when its time was up.
    TimedOut(Duration),
    /// It wrote without end.
    TooMuchOutput,
    /// Its log could not be kept.
    Log(PathBuf, io::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(program, error) => write!(f, "{program} could not be started: {error}"),
            Self::Ended(status) => write!(f, "{status}"),
            Self::TimedOut(limit) => write!(f, "killed: not done within {} s", limit.as_secs()),
            Self::TooMuchOutput => write!(f, "killed: it wrote more than {} MiB", MOST_OUTPUT >> 20),
            Self::Log(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

/// A program to be run in the repository's root.
pub(crate) struct Program {
    command: Command,
    shown: String,
}

impl Program {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new("setsid");
        command.arg(program.as_ref()).current_dir(root()).stdin(Stdio::null());
        // What `cargo run` tells xtask about itself would make build scripts that watch it run again.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO_CRATE_NAME" {
                command.env_remove(&*name);
            }
        }
        let shown = Path::new(program.as_ref()).file_name().unwrap_or(program.as_ref());
        Self { shown: shown.to_string_lossy().into_owned(), command }
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        for arg in args {
            self.shown += " ";
            self.shown += &arg.as_ref().to_string_lossy();
            self.command.arg(arg);
        }
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The command as a person would type it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Runs it to its end, for five minutes at most; what it wrote to its standard output, if it ended well.
    pub(crate) fn output(mut self) -> Result<Vec<u8>, String> {
        const LIMIT: Duration = Duration::from_secs(300);
        let failed = |error: &dyn fmt::Display| format!("{}: {error}", self.shown);
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.command.spawn().map_err(|error| failed(&error))?;
        let _guard = Guard::new(&child).map_err(|error| failed(&error))?;
        let (ended, end) = mpsc::channel();
        thread::spawn(move || ended.send(child.wait_with_output()));
        let output = end.recv_timeout(LIMIT).map_err(|_| failed(&RunError::TimedOut(LIMIT)))?;
        let output = output.map_err(|error| failed(&error))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(failed(&format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end())))
    }

    /// Runs it to its end with both its outputs appended to `log`, or with its standard output in `stdout` if that is
    /// given.
    pub(crate) fn run(
        mut self,
        log: &Path,
        stdout: Option<fs::File>,
        limit: Duration,
        progress: &mut Progress,
    ) -> Result<(), RunError> {
        let open = || fs::File::options().create(true).append(true).open(log);
        let mut file = open().map_err(|error| RunError::Log(log.into(), error))?;
        let _ = writeln!(file, "$ {}", self.shown);
        let both = (file.try_clone(), file.try_clone());
        let (Ok(out), Ok(err)) = both else { return Err(RunError::Log(log.into(), io::Error::last_os_error())) };
        self.command.stdout(stdout.unwrap_or(out)).stderr(err);
        let mut child = self.command.spawn().map_err(|error| RunError::Start(self.shown.clone(), error))?;
        let guard = match Guard::new(&child) {
            Ok(guard) => guard,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(RunError::Start("sh".into(), error));
            }
        };
        let started = Instant::now();
        let result = loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => break Ok(()),
                Ok(Some(status)) => break Err(RunError::Ended(status)),
                Ok(None) => (),
                Err(error) => break Err(RunError::Start(self.shown.clone(), error)),
            }
            if started.elapsed() > limit {
                break Err(RunError::TimedOut(limit));
            }
            if file.metadata().is_ok_and(|log| log.len() > MOST_OUTPUT) {
                break Err(RunError::TooMuchOutput);
            }
            progress.tick(log);
            thread::sleep(TICK);
        };
        drop(guard);
        let _ = child.wait();
        result
    }
}

/// Ends a session when it is dropped, or when this process is gone.
struct Guard {
    shell: Child,
}

/// Waits for its input to end, then ends the session `$0`. In `/proc/PID/stat` the state, the parent, the group and
/// the session follow the last bracket; a zombie has ended already.
const GUARD: &str = r#"
trap "" INT TERM HUP
members() {
    for stat in /proc/[0-9]*/stat; do
        read -r line < "$stat" || continue
        set -- ${line##*) }
        [ "$4" = "$session" ] && [ "$1" != Z ] && pid=${stat#/proc/} && echo "${pid%/stat}"
    done
}
session=$0
read -r _
for signal in TERM KILL KILL; do
    found=$(members)
    [ -z "$found" ] && exit
    kill -s $signal $found
    for wait in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -z "$(members)" ] && exit
        sleep 0.1
    done
done
"#;

impl Guard {
    fn new(child: &Child) -> io::Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", GUARD, &child.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { shell })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// Says what runs and for how long: in place on a terminal, now and then elsewhere.
pub(crate) struct Progress {
    name: String,
    started: Instant,
    said: Instant,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new(name: &str) -> Self {
        let terminal = io::stdout().is_terminal();
        if !terminal {
            println!("{name} …");
        }
        let started = Instant::now();
        Self { name: name.into(), started, said: started, terminal }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn tick(&mut self, log: &Path) {
        let pause = if self.terminal { Duration::from_millis(500) } else { REMINDER };
        if self.said.elapsed() < pause {
            return;
        }
        self.said = Instant::now();
        let (seconds, last) = (self.elapsed().as_secs(), last_line(log));
        if self.terminal {
            let line: String = format!("{} {seconds} s  {last}", self.name).chars().take(78).collect();
            print!("\r\x1b[2K{line}");
            let _ = io::stdout().flush();
        } else {
            println!("{} … {seconds} s, at: {last}", self.name);
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        if self.terminal {
            print!("\r\x1b[2K");
            let _ = io::stdout().flush();
        }
    }
}

/// Runs these one after the other, with a line that says how far they are; what they said is shown if one fails.
///
/// # Errors
/// That of the first that fails.
pub(crate) fn run_all(name: &str, steps: Vec<Program>, limit: Duration) -> Result<(), String> {
    let logs = target_dir().join("xtask");
    fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
    let log = logs.join(format!("{name}.log"));
    let _ = fs::remove_file(&log);
    let mut progress = Progress::new(name);
    for step in steps {
        if let Err(error) = step.run(&log, None, limit, &mut progress) {
            progress.clear();
            print!("{}", fs::read_to_string(&log).unwrap_or_default());
            return Err(error.to_string());
        }
    }
    progress.clear();
    Ok(())
}

/// The last line of a file that is being written, without control characters.
fn last_line(path: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = fs::File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(400)))?;
        let mut end = Vec::new();
        file.take(400).read_to_end(&mut end)?;
        Ok(end)
    };
    let end = read().unwrap_or_default();
    let end = String::from_utf8_lossy(&end);
    let last = end.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    last.chars().filter(|char| !char.is_control()).collect()
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Where cargo builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    fn sh(script: &str, limit: Duration, log: &Path) -> Result<(), RunError> {
        Program::new("sh").args(["-c", script]).run(log, None, limit, &mut Progress::new("test"))
    }

    /// Whether a process is alive; one that only its parent has yet to notice is not.
    fn alive(pid: &str) -> bool {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    #[test]
    fn what_a_program_says_is_kept_and_how_it_ended() {
        let log = log("says");
        sh("echo out; echo err >&2", Duration::from_secs(10), &log).unwrap();
        assert!(matches!(sh("exit 3", Duration::from_secs(10), &log), Err(RunError::Ended(s)) if s.code() == Some(3)));
        let kept = fs::read_to_string(&log).unwrap();
        assert!(kept.contains("\nout\nerr\n$ sh -c exit 3\n"), "{kept}");
        assert_eq!(last_line(&log), "$ sh -c exit 3");
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn a_program_that_takes_too_long_ends_with_its_children() {
        let log = log("slow");
        let start = Instant::now();
        let result = sh("sleep 60 & echo $!; wait", Duration::from_millis(400), &log);
        assert!(matches!(result, Err(RunError::TimedOut(_))), "{result:?}");
        assert!(start.elapsed() < Duration::from_secs(10));
        assert!(!alive(&last_line(&log)));
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn a_child_with_a_group_of_its_own_is_killed_too_even_if_it_is_deaf() {
        let log = log("deaf");
        let script = "set -m; (trap '' TERM; echo deaf; sleep 60; sleep 60) & echo $!; wait";
        assert!(matches!(sh(script, Duration::from_millis(400), &log), Err(RunError::TimedOut(_))));
        let kept = fs::read_to_string(&log).unwrap();
        let pid = kept.lines().find(|line| line.parse::<u32>().is_ok()).unwrap();
        assert!(!alive(pid));
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn what_a_program_leaves_behind_is_killed() {
        let log = log("behind");
        sh("sleep 60 & echo $!", Duration::from_secs(10), &log).unwrap();
        let pid = last_line(&log);
        assert!(pid.parse::<u32>().is_ok());
        thread::sleep(Duration::from_millis(100));
        assert!(!alive(&pid));
        fs::remove_file(log).unwrap();
    }
}
