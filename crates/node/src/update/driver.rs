//! The resource `system`: says what runs, and installs.
//!
//! Its value is a line for people: `gateway 1.2.0 runs, from slot a`; while it installs, how far it is; after a refusal, why.
//! [`tutti update`](https://docs.rs/tutti-cli) reads the same line.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use tutti_model::{AccessPolicy, Audience, Name, ResourceDescription, Text, Value};
use tutti_resources::{Driver, DriverError, Signal};
use tutti_update::{Machine, System};

use crate::lock::lock;

use super::{
    SYSTEM,
    parts::{MAX_PARTS, Parts},
};

/// How long whoever asked for the update has to read that it went well before the device starts anew.
const FAREWELL: Duration = Duration::from_secs(2);

/// What it takes, in words.
const TAKES: &str = "\"install NAME COUNT\"";

/// The resource.
pub(super) struct SystemDriver(Arc<Inner>);

struct Inner {
    system: System,
    parts: Result<Parts, String>,
    doing: Mutex<Doing>,
    changes: Signal,
    tell: fn(&str),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Doing {
    Nothing,
    Installing(u64),
    Refused(String),
    Restarting(String),
}

impl SystemDriver {
    pub(super) fn new(system: System, parts: Result<Parts, String>, tell: fn(&str)) -> Self {
        let doing = Mutex::new(Doing::Nothing);
        Self(Arc::new(Inner { system, parts, doing, changes: Signal::new(), tell }))
    }
}

impl Inner {
    fn doing(&self) -> MutexGuard<'_, Doing> {
        lock(&self.doing)
    }

    fn set(&self, doing: Doing) {
        let mut now = self.doing();
        if *now != doing {
            *now = doing;
            drop(now);
            self.changes.raise();
        }
    }

    /// Installs what is in the parts. Takes as long as the disk does.
    fn install(&self, parts: &Parts, name: &str, count: u32) {
        let installed = self.system.updates().and_then(|slots| {
            let progress = |written: u64, of: u64| self.set(Doing::Installing(written * 100 / of.max(1)));
            let open = || Ok(parts.image(name, count));
            let device = self.system.device(Machine::here());
            slots.install(open, &device, self.system.tries, progress).map_err(|error| error.to_string())
        });
        match installed {
            Ok((_, version)) => {
                tracing::info!(%version, "a new system is installed; the device starts anew");
                self.set(Doing::Restarting(version.to_string()));
                parts.clear();
                thread::sleep(FAREWELL);
                (self.tell)("X_TUTTI_REBOOT=1");
            }
            Err(why) => {
                tracing::warn!(why, "an update was refused");
                // Bad parts are of no more use. Sending them again costs less than keeping others from coming.
                parts.clear();
                self.set(Doing::Refused(why));
            }
        }
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let System { product, version, running, trial, .. } = &self.system;
        match &*self.doing() {
            Doing::Installing(percent) => return write!(f, "installing: {percent} %"),
            Doing::Refused(why) => return write!(f, "refused: {why}"),
            Doing::Restarting(new) => return write!(f, "restarting: {new} is installed"),
            Doing::Nothing => {}
        }
        let from = if running == "built-in" { "built in".to_owned() } else { format!("from slot {running}") };
        let slots = self.system.updates();
        let record = slots.as_ref().map(tutti_update::Slots::record).unwrap_or_default();
        // That it was on trial when it was started says nothing of now.
        let on_trial = trial.is_some() && record.trial.is_some();
        write!(f, "{product} {version} runs, {from}{}", if on_trial { ", on trial" } else { "" })?;
        if let Some((failed, why)) = record.failed {
            write!(f, "; {failed} has failed: {why}")?;
        }
        match slots {
            Ok(_) => Ok(()),
            Err(why) => write!(f, "; updates are not taken: {why}"),
        }
    }
}

impl Driver for SystemDriver {
    fn description(&self) -> ResourceDescription {
        let name = |text: &str| Name::new(text).expect("a plain word is a name");
        let mut description = ResourceDescription::actuator(name(SYSTEM), tutti_model::Unit::EMPTY);
        description.access = AccessPolicy { read: Audience::Members, control: Audience::Owners };
        let System { product, version, .. } = &self.0.system;
        let (version, kernel) = (version.to_string(), Machine::here().release);
        for (key, value) in [("quantity", SYSTEM), ("product", product), ("version", &version), ("kernel", &kernel)] {
            description.properties.insert(name(key), Value::Text(Text::<63>::lossy(value).as_str().to_owned()));
        }
        description
    }

    fn read(&self) -> Result<Value, DriverError> {
        Ok(Value::Text(self.0.to_string()))
    }

    fn write(&self, value: &Value) -> Result<(), DriverError> {
        let wrong = || DriverError::WrongType { takes: TAKES, given: value.word() };
        let Value::Text(text) = value else { return Err(wrong()) };
        let Some((name, count)) = order(text) else { return Err(wrong()) };
        let parts =
            self.0.parts.clone().map_err(|why| DriverError::Unavailable { path: self.0.system.folder.clone(), why })?;
        {
            let mut doing = self.0.doing();
            if matches!(*doing, Doing::Installing(_) | Doing::Restarting(_)) {
                return Err(DriverError::Busy { waiting: 1 });
            }
            *doing = Doing::Installing(0);
        }
        let inner = self.0.clone();
        let work = move || inner.install(&parts, &name, count);
        if let Err(error) = thread::Builder::new().name("update".into()).spawn(work) {
            self.0.set(Doing::Refused(error.to_string()));
        }
        Ok(())
    }

    fn refresh_every(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }

    fn changes(&self) -> Option<&Signal> {
        Some(&self.0.changes)
    }

    fn origin(&self) -> Option<&Path> {
        Some(&self.0.system.folder)
    }
}

/// `install NAME COUNT`.
fn order(text: &str) -> Option<(String, u32)> {
    let mut words = text.split(' ');
    let (Some("install"), Some(name), Some(count), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return None;
    };
    let plain = !name.is_empty() && name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let count = count.parse().ok().filter(|count| (1..=MAX_PARTS).contains(count))?;
    plain.then(|| (name.to_owned(), count))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Instant,
    };

    use tutti_resources::storage::StoragePath;
    use tutti_update::{
        Slot, Version,
        testing::{Made, key},
    };

    use super::*;

    static TOLD: AtomicU32 = AtomicU32::new(0);

    fn device(folder: &Path) -> (SystemDriver, Parts) {
        let public: String = key(1).0.verifying_key().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let system = System {
            product: "gateway".into(),
            version: Version([1, 0, 0]),
            running: "built-in".into(),
            trial: None,
            key: Ok(public),
            folder: folder.join("system"),
            slots: ["a", "b"].map(|slot| folder.join(slot)),
            tries: 3,
            other_kernels: Err("it is a test".into()),
        };
        let parts = Parts::open(&folder.join("parts")).unwrap();
        let driver = SystemDriver::new(system, Ok(parts.clone()), |_| {
            TOLD.fetch_add(1, Ordering::Relaxed);
        });
        (driver, parts)
    }

    fn put(parts: &Parts, name: &str, image: &[u8]) -> usize {
        let pieces = image.chunks(1000);
        for (number, mut piece) in pieces.clone().enumerate() {
            let path = StoragePath::new(format!("{name}/{number:05}").as_str()).unwrap();
            parts.storage().unwrap().put(path, None, &mut piece).unwrap();
        }
        pieces.len()
    }

    fn until(driver: &SystemDriver, words: &str) -> String {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let said = driver.0.to_string();
            if said.contains(words) {
                return said;
            }
            assert!(Instant::now() < end, "{said}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn an_image_in_parts_is_installed() {
        let folder = tempfile::tempdir().unwrap();
        let (driver, parts) = device(folder.path());
        assert_eq!(driver.0.to_string(), "gateway 1.0.0 runs, built in");
        let count = put(&parts, "abc", &Made::new("gateway", "1.1.0", &[5; 20_000]).sign(&key(1).0));
        driver.write(&Value::Text(format!("install abc {count}"))).unwrap();
        until(&driver, "restarting: 1.1.0 is installed");
        assert!(driver.write(&Value::Text("install abc 1".into())).is_err(), "one at a time");
        let slots = driver.0.system.updates().unwrap();
        assert_eq!(slots.record().trial, Some((Slot::A, 3)));
        let end = Instant::now() + Duration::from_secs(10);
        while TOLD.load(Ordering::Relaxed) == 0 {
            assert!(Instant::now() < end);
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(parts.storage().unwrap().usage().files, 0);
    }

    #[test]
    fn a_refusal_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let (driver, parts) = device(folder.path());
        let image = Made::new("gateway", "1.1.0", &[5; 20_000]).sign(&key(2).0);
        let count = put(&parts, "abc", &image);
        driver.write(&Value::Text(format!("install abc {count}"))).unwrap();
        until(&driver, "refused: the image is refused: it is signed by another key");
        let other = Made::new("gateway", "1.1.0", &[5; 20_000]).for_kernel("0.1-other").kernel(b"x").sign(&key(1).0);
        let count = put(&parts, "abc", &other);
        driver.write(&Value::Text(format!("install abc {count}"))).unwrap();
        until(&driver, "runs here, and it is a test; build it with the kernel that runs");
        let count = put(&parts, "abc", &Made::new("gateway", "1.1.0", &[5; 20_000]).sign(&key(1).0));
        driver.write(&Value::Text(format!("install abc {}", count - 1))).unwrap();
        until(&driver, "altered or cut off");
        driver.write(&Value::Text("install abc 7".into())).unwrap();
        until(&driver, "part 0");
    }

    #[test]
    fn orders_are_checked() {
        assert_eq!(order("install 00ff 12"), Some(("00ff".into(), 12)));
        for bad in [
            "",
            "install",
            "install a",
            "install ../x 3",
            "install a 0",
            "install a 5000",
            "install a 3 x",
            "remove a 3",
        ] {
            assert_eq!(order(bad), None, "{bad}");
        }
    }
}
