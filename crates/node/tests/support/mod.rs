//! Devices in processes of their own, for the tests of whole devices. Each test program has a test called `device`, which
//! calls [`device`] and is run again by the others.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tutti_control::{Client, JoinRequest, PairingState, Presence, Role};
use tutti_model::Name;
use tutti_node::{Options, run, runtime};
use tutti_resources::simulated::Simulated;

#[cfg(feature = "apps")]
pub(crate) mod apps;

const FOLDER: &str = "TUTTI_TEST_DEVICE_FOLDER";
const NAME: &str = "TUTTI_TEST_DEVICE_NAME";
const APP_MEMORY: &str = "TUTTI_TEST_APP_MEMORY";

/// A device, if this process was started to be one. Says where its control API is when it is ready.
pub(crate) fn device() {
    let (Ok(folder), Ok(name)) = (std::env::var(FOLDER), std::env::var(NAME)) else { return };
    let folder = PathBuf::from(folder);
    let mut options = Options::new(folder.join(&name), folder.join("run"));
    options.name = Some(Name::new(&name).unwrap());
    options.mdns = false;
    options.sysfs = folder.join("no-hardware");
    options.hardware = false;
    options.simulated = vec![Simulated::RoomTemperature, Simulated::Lamp];
    options.app_memory = std::env::var(APP_MEMORY).ok().and_then(|bytes| bytes.parse().ok());
    options.carried = Some(folder.join(format!("{name}.carried.json"))).filter(|list| list.exists());
    options.reset_corrupt = std::env::var_os("TUTTI_TEST_RESET").is_some();
    std::fs::create_dir_all(&options.sysfs).unwrap();
    let ended = runtime().unwrap().block_on(run(
        options,
        |ready| say(&format!("ready {}", ready.socket.display())),
        std::future::pending(),
    ));
    match ended {
        Ok(()) => say("stopped"),
        Err(error) => say(&format!("error {error}; {}", error.hint())),
    }
}

/// Past the test harness, which would keep what is printed to itself.
fn say(line: &str) {
    rustix::io::write(std::io::stdout(), format!("{line}\n").as_bytes()).unwrap();
}

/// The devices of one test, on one "machine".
pub(crate) struct Host {
    pub(crate) folder: TempDir,
}

pub(crate) struct Device {
    pub(crate) process: Child,
    pub(crate) client: Client,
    pub(crate) name: &'static str,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// What the image of a device carries, from its next start on.
    pub(crate) fn carry(&self, name: &str, list: &tutti_update::Carried) {
        let path = self.folder.path().join(format!("{name}.carried.json"));
        std::fs::write(path, list.to_bytes().unwrap()).unwrap();
    }

    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a device and waits until it is ready, or gives what it said instead.
    pub(crate) fn try_start(&self, name: &'static str, reset: bool) -> Result<Device, String> {
        self.start_with(name, reset.then_some(("TUTTI_TEST_RESET", "1".to_owned())))
    }

    /// A device whose apps may have this many bytes of memory together.
    pub(crate) fn start_small(&self, name: &'static str, app_memory: u64) -> Device {
        let started = self.start_with(name, Some((APP_MEMORY, app_memory.to_string())));
        started.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn start_with(&self, name: &'static str, more: Option<(&str, String)>) -> Result<Device, String> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "device", "--ignored", "--nocapture"])
            .env(FOLDER, self.folder.path())
            .env(NAME, name)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .envs(more);
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said = lines.find(|line| line.starts_with("ready ") || line.starts_with("error "));
        std::thread::spawn(move || lines.count());
        match said.as_deref().and_then(|line| line.split_once(' ')) {
            Some(("ready", socket)) => Ok(Device { process, client: Client::unix(socket), name }),
            said => {
                let _ = process.wait();
                Err(said.map(|(_, error)| error.to_owned()).unwrap_or_default())
            }
        }
    }

    pub(crate) fn start(&self, name: &'static str) -> Device {
        self.try_start(name, false).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

impl Device {
    /// kill -9
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Stops it through the API and waits for its end.
    pub(crate) async fn stop(mut self) {
        self.client.shutdown().await.unwrap();
        let begun = Instant::now();
        while self.process.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{} does not stop", self.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Enters the other's group by the code that it shows.
    pub(crate) async fn pair_with(&self, host: &Self, role: Role) {
        let offer = host.client.offer_pairing(role).await.unwrap();
        assert_eq!(host.client.pairing().await.unwrap().state, PairingState::Open);
        eventually("sees the other nearby", async || {
            self.client.nearby().await.unwrap().iter().any(|device| device.name == host.name)
        })
        .await;
        let request = JoinRequest { device: Some(host.name.into()), code: Some(offer.code), ticket: None };
        let joined = self.client.join(&request).await.unwrap();
        assert_eq!((joined.host_name.as_str(), joined.role), (host.name, role));
        eventually("paired", async || host.client.pairing().await.unwrap().state == PairingState::Paired).await;
    }

    pub(crate) async fn sees(&self, other: &str, presence: Presence) {
        eventually(&format!("{} sees {other} {presence}", self.name), async || {
            let devices = self.client.devices().await.unwrap();
            devices.iter().any(|device| device.name == other && device.presence == presence && device.resources > 0)
        })
        .await;
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(15), "not within 15 s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
