//! Images that are built from the repository's products, and boot on this machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::device::{Device, TUTTI, eventually};

const S: fn(u64) -> Duration = Duration::from_secs;

/// A boot by an emulator that is an interpreter, on a machine with other things to do.
pub(crate) const BOOT: Duration = Duration::from_secs(240);

/// What the layer names; nothing without it.
pub(crate) fn named(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from);
    if path.is_none() {
        eprintln!("left out: {variable} names nothing; use `cargo xtask test image`");
    }
    path
}

/// Runs `tutti image …`, which has to go well; what it printed.
fn image(args: &[&str]) -> String {
    let ran = Command::new(TUTTI).arg("image").args(args).stdin(Stdio::null()).output().expect("tutti runs");
    assert!(
        ran.status.success(),
        "{args:?}: {}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
    String::from_utf8(ran.stdout).expect("it prints text")
}

pub(crate) fn json(args: &[&str]) -> Value {
    serde_json::from_str(&image(args)).expect("it prints JSON")
}

/// One of the repository's products in a folder of its own, with these words changed.
pub(crate) fn product(name: &str, folder: &Path, changes: &[(&str, &str)]) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../products").join(name).join("product.toml");
    let text = fs::read_to_string(path).expect("the product is there");
    let text = changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{name} has no {from:?}");
        text.replace(from, to)
    });
    let into = folder.join(name);
    fs::create_dir_all(&into).unwrap();
    let path = into.join("product.toml");
    fs::write(&path, text).unwrap();
    path
}

/// Builds it; the image. What is not optimised is larger than what is promised, and compressing it hard takes long.
pub(crate) fn built(product: &Path) -> PathBuf {
    built_with(product, &[])
}

pub(crate) fn built_with(product: &Path, more: &[&str]) -> PathBuf {
    let said = json(&[&["build", "--fast", "--json", &product.display().to_string()][..], more].concat());
    PathBuf::from(said["file"].as_str().expect("it says which file"))
}

/// A booted image. It ends with this.
pub(crate) struct Booted {
    child: Child,
    log: PathBuf,
}

impl Booted {
    pub(crate) fn start(host: &Device, image: &Path, more: &[&str]) -> Self {
        Self::with(host, image, more, Stdio::null())
    }

    /// With a keyboard, see [`types`](Self::types).
    pub(crate) fn typed(host: &Device, image: &Path, more: &[&str]) -> Self {
        Self::with(host, image, more, Stdio::piped())
    }

    fn with(host: &Device, image: &Path, more: &[&str], keyboard: Stdio) -> Self {
        let log = image.with_extension("log");
        let file = fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut command = host.plan.command(&["image", "run"]);
        command.arg(image).args(more).stdin(keyboard).stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().expect("tutti runs"), log }
    }

    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Types something on its console.
    pub(crate) fn types(&mut self, text: &str) {
        use std::io::Write as _;
        let keyboard = self.child.stdin.as_mut().expect("it has a keyboard");
        keyboard.write_all(text.as_bytes()).expect("it reads");
    }

    /// The seconds after the kernel's start at which it said this.
    pub(crate) fn seconds(&self, what: &str) -> Option<f64> {
        let said = self.said();
        let line = said.lines().find(|line| line.contains(what))?;
        line.split_once(what)?.1.split_whitespace().find_map(|word| word.parse().ok())
    }

    /// Cuts its power: the emulator is killed, and whoever has started it ends.
    pub(crate) fn cut_power(mut self) {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        eventually(S(10), "its emulator is gone", || {
            for pid in fs::read_to_string(&children).unwrap_or_default().split_whitespace() {
                let pid = rustix::process::Pid::from_raw(pid.parse().expect("a number")).expect("a process");
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            self.child.try_wait().is_ok_and(|it| it.is_some())
        });
    }

    /// Has it stand still for so long, as a machine does that has no time for it.
    pub(crate) fn pause(&self, time: Duration) {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.child.id())).unwrap();
        for signal in [rustix::process::Signal::STOP, rustix::process::Signal::CONT] {
            for pid in children.split_whitespace() {
                let pid = rustix::process::Pid::from_raw(pid.parse().expect("a number")).expect("a process");
                rustix::process::kill_process(pid, signal).expect("it runs");
            }
            if signal == rustix::process::Signal::STOP {
                std::thread::sleep(time);
            }
        }
    }

    /// Ends it as Ctrl-C does, and waits for that.
    pub(crate) fn end(mut self) -> Duration {
        let begun = Instant::now();
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
        eventually(S(60), "it ends", || self.child.try_wait().is_ok_and(|it| it.is_some()));
        begun.elapsed()
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            // It has an emulator to end, which it does when it is asked.
            let pid = rustix::process::Pid::from_child(&self.child);
            for _ in 0..2 {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
                std::thread::sleep(Duration::from_millis(500));
            }
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            let said = self.said();
            let lines: Vec<_> = said.lines().collect();
            eprintln!("--- {} ---\n{}", self.log.display(), lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}
