//! Turns over shared memory: played live with a program, or from a transcript.
//!
//! A transcript has for each turn a line that says whose it is (`us` or `c`) and what it is, then for each run of bytes
//! that changed `@OFFSET BYTES`, then for each line that the C program said `> LINE`.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tutti_amp_host::{Mapping, SharedMemory};
use tutti_metal::{DeviceAddr, Memory};

pub(crate) const DEVICE: DeviceAddr = DeviceAddr(0x3ed0_0000);
pub(crate) const BYTES: usize = 0x1_0000;

/// One turn.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Turn {
    pub(crate) title: String,
    pub(crate) changes: Vec<(usize, Vec<u8>)>,
    pub(crate) said: Vec<String>,
}

/// Who plays the other side.
pub(crate) trait Other {
    /// Shares the memory.
    fn begin(&mut self, memory: &SharedMemory);
    /// Obeys an order; what it said.
    fn turn(&mut self, order: &str, memory: &SharedMemory) -> Vec<String>;
    /// What our turn ought to have been, if that is known.
    fn expected(&mut self) -> Option<Turn>;
    /// Whether nothing is left to play.
    fn is_over(&self) -> bool;
}

/// The memory between the two sides, and all that has happened.
pub(crate) struct Table {
    pub(crate) memory: SharedMemory,
    before: Vec<u8>,
    other: Box<dyn Other>,
    turns: Vec<Turn>,
}

impl Table {
    pub(crate) fn new(mut other: Box<dyn Other>) -> Self {
        let memory = Mapping::create(BYTES, DEVICE).unwrap();
        other.begin(&memory);
        Self { memory, before: vec![0; BYTES], other, turns: Vec::new() }
    }

    /// Our turn.
    pub(crate) fn us<T>(&mut self, title: &str, work: impl FnOnce() -> T) -> T {
        let result = work();
        let turn = Turn { title: format!("us {title}"), changes: self.changes(), said: Vec::new() };
        if let Some(expected) = self.other.expected() {
            assert_eq!(show(&turn), show(&expected), "our turn is not as in the transcript");
        }
        self.turns.push(turn);
        result
    }

    /// The other side's turn; what it said.
    pub(crate) fn them(&mut self, order: &str) -> Vec<String> {
        let said = self.other.turn(order, &self.memory);
        let turn = Turn { title: format!("c {order}"), changes: self.changes(), said: said.clone() };
        self.turns.push(turn);
        assert!(!said.iter().any(|line| line.starts_with("failed")), "{order}: {said:?}");
        said
    }

    /// The runs of bytes that changed since the last turn.
    fn changes(&mut self) -> Vec<(usize, Vec<u8>)> {
        let mut now = vec![0; BYTES];
        self.memory.copy_out(0, &mut now).unwrap();
        let mut changes: Vec<(usize, Vec<u8>)> = Vec::new();
        for (at, (new, old)) in now.iter().zip(&self.before).enumerate() {
            if new == old {
                continue;
            }
            match changes.last_mut() {
                Some((start, run)) if *start + run.len() == at => run.push(*new),
                _ => changes.push((at, vec![*new])),
            }
        }
        self.before = now;
        changes
    }

    pub(crate) fn text(&self, title: &str) -> String {
        self.turns.iter().fold(title.to_owned(), |text, turn| text + &show(turn))
    }

    /// How many turns each side had.
    pub(crate) fn finish(self) -> (usize, usize) {
        assert!(self.other.is_over(), "the transcript goes on");
        let ours = self.turns.iter().filter(|turn| turn.title.starts_with("us")).count();
        (ours, self.turns.len() - ours)
    }
}

fn show(turn: &Turn) -> String {
    let mut text = format!("{}\n", turn.title);
    for (at, bytes) in &turn.changes {
        // Long runs in lines that can be read.
        for (line, chunk) in bytes.chunks(64).enumerate() {
            let _ = write!(text, "@{:04x} ", at + 64 * line);
            chunk.iter().for_each(|byte| _ = write!(text, "{byte:02x}"));
            text.push('\n');
        }
    }
    turn.said.iter().for_each(|line| _ = writeln!(text, "> {line}"));
    text
}

/// A transcript that is played.
pub(crate) struct Played {
    turns: std::collections::VecDeque<Turn>,
}

impl Played {
    pub(crate) fn new(text: &str) -> Self {
        let mut turns = std::collections::VecDeque::<Turn>::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(change) = line.strip_prefix('@') {
                let (at, digits) = change.split_once(' ').expect("an offset and bytes");
                let at = usize::from_str_radix(at, 16).expect("an offset");
                let byte = |i: usize| u8::from_str_radix(&digits[i..i + 2], 16).expect("bytes");
                let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
                let changes = &mut turns.back_mut().expect("a turn").changes;
                match changes.last_mut() {
                    Some((start, run)) if *start + run.len() == at => run.extend(bytes),
                    _ => changes.push((at, bytes)),
                }
            } else if let Some(said) = line.strip_prefix("> ") {
                turns.back_mut().expect("a turn").said.push(said.into());
            } else {
                turns.push_back(Turn { title: line.into(), ..Turn::default() });
            }
        }
        Self { turns }
    }
}

impl Other for Played {
    fn begin(&mut self, _: &SharedMemory) {}

    fn turn(&mut self, order: &str, memory: &SharedMemory) -> Vec<String> {
        let turn = self.turns.pop_front().expect("a turn of the C library");
        assert_eq!(turn.title, format!("c {order}"));
        for (at, bytes) in &turn.changes {
            memory.copy_in(*at, bytes).unwrap();
        }
        turn.said
    }

    fn expected(&mut self) -> Option<Turn> {
        Some(self.turns.pop_front().expect("a turn of ours"))
    }

    fn is_over(&self) -> bool {
        self.turns.is_empty()
    }
}

/// A program that takes orders (`xtask/src/test/c_peer/orders.h`).
pub(crate) struct Live {
    command: Command,
    running: Option<(Child, ChildStdin, mpsc::Receiver<String>)>,
}

impl Live {
    pub(crate) fn new(program: &Path, role: &str) -> Self {
        // The shell puts the memory, which it has as its standard error, where the program looks for it.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$1\" 3<&2 2>/dev/null"]).arg(program).arg(role);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        Self { command, running: None }
    }
}

impl Other for Live {
    fn begin(&mut self, memory: &SharedMemory) {
        let file = memory.keeper().as_fd().try_clone_to_owned().unwrap();
        let mut child = self.command.stderr(Stdio::from(file)).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (say, lines) = mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| say.send(line))
        });
        self.running = Some((child, input, lines));
    }

    fn turn(&mut self, order: &str, _: &SharedMemory) -> Vec<String> {
        let (_, input, lines) = self.running.as_mut().unwrap();
        writeln!(input, "{order}").unwrap();
        let mut said = Vec::new();
        loop {
            match lines.recv_timeout(Duration::from_secs(10)) {
                Ok(line) if line == "." => return said,
                Ok(line) => said.push(line),
                Err(_) => panic!("{order}: no answer; before that: {said:?}"),
            }
        }
    }

    fn expected(&mut self) -> Option<Turn> {
        None
    }

    fn is_over(&self) -> bool {
        true
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some((mut child, ..)) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
