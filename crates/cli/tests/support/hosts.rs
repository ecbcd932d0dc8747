//! Hosts in network namespaces, each with a running device.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;

const TUTTI: &str = env!("CARGO_BIN_EXE_tutti");

/// Waits until something holds; gives how long that took.
pub(crate) fn eventually(within: Duration, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    loop {
        if holds() {
            return start.elapsed();
        }
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn sh(command: &str) -> Output {
    let out = Command::new("sh").arg("-c").arg(command).output().expect("there is a shell");
    assert!(out.status.success(), "`{command}` failed: {}", String::from_utf8_lossy(&out.stderr));
    out
}

/// A network of its own: a bridge in one namespace, and a namespace for each host. Gone when dropped.
pub(crate) struct Lan {
    prefix: String,
    hosts: usize,
    folder: tempfile::TempDir,
}

impl Lan {
    pub(crate) fn new(hosts: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("tt{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let lan = Self { prefix, hosts, folder: tempfile::tempdir().expect("a temporary folder") };
        let bridge = lan.bridge();
        sh(&format!(
            "ip netns add {bridge} && ip -n {bridge} link add br0 type bridge mcast_snooping 0 && ip -n {bridge} link set br0 up"
        ));
        for at in 0..hosts {
            let space = lan.space(at);
            sh(&format!(
                "ip netns add {space} && ip -n {space} link set lo up && \
                 ip -n {space} link add eth0 type veth peer name veth{at} netns {bridge} && \
                 ip -n {bridge} link set veth{at} master br0 up && \
                 ip -n {space} addr add 10.77.0.{}/24 dev eth0 && ip -n {space} link set eth0 up && \
                 ip -n {space} route add 224.0.0.0/4 dev eth0",
                at + 1
            ));
        }
        lan
    }

    fn bridge(&self) -> String {
        format!("{}br", self.prefix)
    }

    fn space(&self, at: usize) -> String {
        format!("{}h{at}", self.prefix)
    }

    pub(crate) fn routes(&self, at: usize) -> String {
        let out = sh(&format!("ip -n {} route", self.space(at)));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Drops so many of a hundred packets that come in at each host.
    pub(crate) fn lose(&self, percent: u32) {
        for at in 0..self.hosts {
            let space = self.space(at);
            sh(&format!(
                "ip netns exec {space} nft 'add table netdev loss; \
                 add chain netdev loss in {{ type filter hook ingress device eth0 priority 0; }}; \
                 add rule netdev loss in numgen random mod 100 < {percent} drop'"
            ));
        }
    }

    /// Pulls a host's cable, and puts it back.
    pub(crate) fn cut(&self, at: usize) {
        sh(&format!("ip -n {} link set veth{at} nomaster", self.bridge()));
    }

    pub(crate) fn mend(&self, at: usize) {
        sh(&format!("ip -n {} link set veth{at} master br0", self.bridge()));
    }

    /// A host with a device that is up.
    pub(crate) fn host(&self, at: usize, name: &str) -> Host {
        let state = self.folder.path().join(format!("{name}-state"));
        let runtime = self.folder.path().join(format!("{name}-run"));
        let log = self.folder.path().join(format!("{name}.log"));
        let device = Command::new("ip")
            .args(["netns", "exec", &self.space(at), TUTTI, "up", "--foreground", "--name", name])
            .arg("--state")
            .arg(&state)
            .env("TUTTI_RUNTIME_DIR", &runtime)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a log file"))
            .spawn()
            .expect("ip is there");
        let host = Host { name: name.to_owned(), state, runtime, log, device };
        eventually(Duration::from_secs(15), &format!("{name} is up"), || host.run(&["status", "--json"]).ok);
        host
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for space in (0..self.hosts).map(|at| self.space(at)).chain([self.bridge()]) {
            let _ = Command::new("ip").args(["netns", "del", &space]).status();
        }
    }
}

/// A host whose device is up.
pub(crate) struct Host {
    pub(crate) name: String,
    state: PathBuf,
    runtime: PathBuf,
    log: PathBuf,
    device: Child,
}

/// What a command gave.
pub(crate) struct Ran {
    pub(crate) ok: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Host {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(TUTTI);
        command.arg("--state").arg(&self.state).args(args).env("TUTTI_RUNTIME_DIR", &self.runtime);
        command
    }

    /// Runs a command against this host's device.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let out = self.command(args).stdin(Stdio::null()).output().expect("tutti runs");
        Ran {
            ok: out.status.success(),
            out: String::from_utf8_lossy(&out.stdout).into_owned(),
            err: String::from_utf8_lossy(&out.stderr).into_owned(),
        }
    }

    /// Runs a listing.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let ran = self.run(&[args, &["--json"]].concat());
        assert!(ran.ok, "{}: {args:?} failed: {}", self.name, ran.err);
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{args:?} gave no JSON ({error}): {}", ran.out))
    }

    /// Offers to pair, as `tutti pair --json` does.
    pub(crate) fn offer(&self) -> Offer {
        let mut child = self
            .command(&["pair", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tutti runs");
        let mut lines = BufReader::new(child.stdout.take().expect("is piped"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("it prints the offer");
        let offer = serde_json::from_str(&line).unwrap_or_else(|error| panic!("no offer ({error}): {line}"));
        Offer { child, offer, lines }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.run(&["down"]);
        let _ = self.device.kill();
        let _ = self.device.wait();
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{}", self.name, tail(&self.log));
        }
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// An open offer to pair.
pub(crate) struct Offer {
    child: Child,
    offer: Value,
    lines: BufReader<std::process::ChildStdout>,
}

impl Offer {
    /// The six digits.
    pub(crate) fn code(&self) -> String {
        self.offer["code"].as_str().unwrap_or_else(|| panic!("no code in {}", self.offer)).to_owned()
    }

    /// Waits until the command says that a device has joined.
    pub(crate) fn paired(mut self) {
        let mut rest = String::new();
        let _ = self.lines.read_to_string(&mut rest);
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "the offer failed: {rest}");
    }
}
