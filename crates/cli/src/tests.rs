//! Commands from the command line to what they print, against a device that answers as a test tells it to.

mod amp;
mod commands;
mod help;
pub(crate) mod sample;
mod update;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use clap::Parser;
use tutti_control::{
    RuntimeEntry, Selection,
    fake::{Answer, Asked, FakeDevice},
};

use crate::{args::Cli, commands::run, context::Context, printer::Printer};

/// What is written, kept.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A host with one device that answers so.
struct Host {
    folder: tempfile::TempDir,
    device: Option<FakeDevice>,
}

impl Host {
    /// A host where nothing runs.
    fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), device: None }
    }

    /// A host with one device.
    fn with(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let mut host = Self::empty();
        let socket = host.folder.path().join("kitchen.sock");
        let entry = RuntimeEntry {
            id: "ab".repeat(32),
            name: "kitchen".into(),
            pid: std::process::id(),
            state_dir: "/state".into(),
            socket: socket.clone(),
            addrs: vec![],
            pairing_open: false,
        };
        entry.write(&host.folder.path().join(entry.file_name())).unwrap();
        host.device = Some(FakeDevice::start(socket, answer).unwrap());
        host
    }

    /// Runs `tutti` with these arguments, and gives what it printed and its exit code.
    async fn tutti(&self, line: &str) -> String {
        let words = std::iter::once("tutti").chain(line.split_whitespace());
        let cli = match Cli::try_parse_from(words) {
            Ok(cli) => cli,
            Err(error) => return format!("{error}[exit {}]", error.exit_code()),
        };
        let (out, err) = (Kept::default(), Kept::default());
        let mut context = Context {
            printer: Printer::to(Box::new(out.clone()), Box::new(err.clone())),
            selection: Selection { runtime_dir: Some(self.folder.path().into()), ..cli.global.selection() },
            can_ask: false,
        };
        let exit = match run(cli.command, &mut context).await {
            Ok(exit) => exit,
            Err(failure) => context.report(&failure),
        };
        let err: String = err.text().lines().map(|line| format!("2> {line}\n")).collect();
        let shown = format!("{}{err}[exit {}]", out.text(), exit as u8);
        shown.replace(&*self.folder.path().to_string_lossy(), "RUN")
    }

    /// What the device was asked: lines and bodies.
    fn asked(&self) -> Vec<String> {
        let asked = self.device.as_ref().map(FakeDevice::asked).unwrap_or_default();
        asked.iter().map(|one| format!("{} {}", one.line(), one.body).trim().to_owned()).collect()
    }
}
