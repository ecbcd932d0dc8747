//! The board: an emulator, and what comes out of it.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A running board. It ends with this.
pub(crate) struct Board {
    emulator: Child,
    keyboard: ChildStdin,
    lines: Receiver<String>,
    /// What was said last, for when something goes wrong.
    seen: VecDeque<String>,
    folder: tempfile::TempDir,
    /// The socket of the satellite's line.
    pub(crate) line: PathBuf,
}

impl Board {
    /// Starts the board with this image.
    pub(crate) fn start(image: &Path, more: &[&str]) -> Self {
        Self::start_as("mps2-an521", image, more)
    }

    /// Starts another board.
    pub(crate) fn start_as(machine: &str, image: &Path, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let line = folder.path().join("line");
        let mut command = Command::new("qemu-system-arm");
        command.args(["-M", machine, "-display", "none", "-monitor", "none", "-kernel"]).arg(image);
        command.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
        command.arg("-serial").arg(format!("unix:{},server=on,wait=off", line.display()));
        command.arg("-serial").arg(format!("file:{}", folder.path().join("dumps").display()));
        command.args(more).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut emulator = command.spawn().expect("qemu-system-arm runs");
        let (keyboard, screen) = (emulator.stdin.take().expect("piped"), emulator.stdout.take().expect("piped"));
        let (to, lines) = channel();
        // Ends with the emulator, which is killed when the board is dropped.
        std::thread::spawn(move || {
            for line in BufReader::new(screen).split(b'\n') {
                let Ok(line) = line else { return };
                if to.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    return;
                }
            }
        });
        Self { emulator, keyboard, lines, seen: VecDeque::new(), folder, line }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Types a line.
    pub(crate) fn say(&mut self, line: &str) {
        self.seen.push_back(format!("> {line}"));
        writeln!(self.keyboard, "{line}").expect("the emulator runs");
    }

    /// Waits for a line that starts so; the rest of it.
    pub(crate) fn wait_for(&mut self, start: &str, within: Duration) -> String {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("there was no {start:?} in {within:?}; seen was:\n{}", self.seen.make_contiguous().join("\n"));
            };
            if self.seen.len() > 60 {
                self.seen.pop_front();
            }
            self.seen.push_back(line.clone());
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }

    /// Has core 0 send messages to core 1 and back, all of them; how many microseconds that took.
    pub(crate) fn echo(&mut self, count: u32, bytes: usize) -> u64 {
        self.say(&format!("echo {count} {bytes}"));
        let said = self.wait_for("echo: ", Duration::from_secs(120));
        let took = said.strip_prefix(&format!("{count} of {bytes} bytes in ")).and_then(|it| it.strip_suffix(" us"));
        took.and_then(|took| took.parse().ok()).unwrap_or_else(|| panic!("not all came back: {said}"))
    }

    /// The last bytes that left by the line for core dumps.
    pub(crate) fn last_dump(&self, len: usize) -> Vec<u8> {
        let all = std::fs::read(self.folder.path().join("dumps")).expect("the dumps");
        all[all.len().checked_sub(len).expect("so many bytes")..].to_vec()
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
    }
}
