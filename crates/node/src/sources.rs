//! Where this device's drivers come from, and keeping up with them as they come and go.
//!
//! | source | comes and goes |
//! |---|---|
//! | the storage folder, simulated resources | never |
//! | the machine's hardware | looked for every [`LOOK_EVERY`] |
//! | screens that programs opened | with the program's connection |
//! | what outside programs offer | when they say so, or say nothing for too long |
//!
//! Of two resources with one name, the one from the source higher in the table counts.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use tutti_fabric::clock::Clock;
use tutti_model::{DeviceId, Name, ResourceDescription, Value, WallTime};
use tutti_resources::{
    Driver, DriverError, Inventory, Offers, Screen,
    outside::{Closed, Commands, Offer, OfferError, OfferStatus},
};

use crate::locals::Locals;
use crate::lock::lock;

/// How often hardware that came or went is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// All sources of drivers. Clones share them.
#[derive(Clone)]
pub(crate) struct Sources(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    locals: Locals,
    fixed: Vec<Arc<dyn Driver>>,
    hardware: Mutex<Vec<Arc<dyn Driver>>>,
    screens: Mutex<BTreeMap<Name, Arc<Screen>>>,
    offers: Offers,
    /// When each offered resource was refreshed last, and who sent the commands that wait for its program.
    notes: Mutex<BTreeMap<Name, Note>>,
    stirred: Arc<Notify>,
}

#[derive(Default)]
struct Note {
    refreshed: WallTime,
    commanders: VecDeque<DeviceId>,
}

/// A resource of this name comes from another source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameTaken;

/// Why an offer was not taken.
#[derive(Debug)]
pub(crate) enum PutError {
    NameTaken,
    Offer(OfferError),
}

impl Sources {
    pub(crate) fn new(clock: Arc<dyn Clock>, locals: Locals, fixed: Vec<Arc<dyn Driver>>) -> Self {
        let stirred = Arc::new(Notify::new());
        let offers = Offers::new();
        let wake = stirred.clone();
        offers.changes().hook(move || wake.notify_one());
        let sources = Self(Arc::new(Shared {
            clock,
            locals,
            fixed,
            hardware: Mutex::default(),
            screens: Mutex::default(),
            offers,
            notes: Mutex::default(),
            stirred,
        }));
        sources.publish();
        sources
    }

    /// Keeps up with everything, for ever. Without an inventory, no hardware is offered.
    pub(crate) async fn run(self, inventory: Option<Inventory>) {
        self.run_looking_every(LOOK_EVERY, inventory).await;
    }

    async fn run_looking_every(self, every: Duration, mut inventory: Option<Inventory>) {
        let mut next_look = Instant::now() + every;
        loop {
            let now = self.0.clock.now();
            let expiry = self.0.offers.next_expiry().map_or(every, |at| at.since(now));
            let wake = next_look.min(Instant::now() + expiry);
            // Either way it is time to look at everything that may have changed.
            let _ = tokio::time::timeout_at(wake, self.0.stirred.notified()).await;
            self.expire();
            if Instant::now() >= next_look {
                next_look = Instant::now() + every;
                if let Some(looking) = inventory.take() {
                    inventory = self.look(looking).await;
                }
            }
            self.publish();
        }
    }

    /// Looks for hardware that came or went.
    async fn look(&self, mut inventory: Inventory) -> Option<Inventory> {
        let looked = tokio::task::spawn_blocking(move || {
            let changes = inventory.look();
            (inventory, changes)
        });
        let Ok((inventory, changes)) = looked.await else {
            tracing::error!("looking for hardware broke off; what comes or goes is not noticed any more");
            return None;
        };
        if !changes.is_empty() {
            tracing::info!(added = ?changes.added, removed = ?changes.removed, "hardware changed");
            self.use_hardware(Some(&inventory));
        }
        Some(inventory)
    }

    /// Offers what the inventory has.
    pub(crate) fn use_hardware(&self, inventory: Option<&Inventory>) {
        let drivers = inventory.map(|inventory| inventory.drivers().values().cloned().collect());
        *lock(&self.0.hardware) = drivers.unwrap_or_default();
        self.publish();
    }

    fn publish(&self) {
        let hardware = lock(&self.0.hardware).clone();
        let screens: Vec<_> = lock(&self.0.screens).values().map(|screen| screen.clone() as Arc<dyn Driver>).collect();
        let outside = self.0.offers.drivers();
        self.0.locals.replace(self.0.fixed.iter().cloned().chain(hardware).chain(screens).chain(outside));
    }

    // --- what outside programs offer -----------------------------------------------------------------------

    /// Offers a resource, or refreshes it.
    pub(crate) fn put(
        &self,
        mut description: ResourceDescription,
        value: Option<Value>,
        ttl: Duration,
    ) -> Result<(), PutError> {
        let name = description.name;
        let mut notes = lock(&self.0.notes);
        let before = self.offered().into_iter().find(|status| status.description.name == name);
        if before.is_none() && self.0.locals.driver(&name).is_some() {
            return Err(PutError::NameTaken);
        }
        // What has a value gives readings, and goes on doing so.
        description.readable = value.is_some() || before.is_some_and(|status| status.value.is_some());
        self.0.offers.put(self.0.clock.now(), Offer { description, value, ttl }).map_err(PutError::Offer)?;
        notes.entry(name).or_default().refreshed = self.0.clock.wall();
        drop(notes);
        self.publish();
        Ok(())
    }

    /// Withdraws an offered resource.
    pub(crate) fn withdraw(&self, name: &Name) -> Result<(), OfferError> {
        self.0.offers.withdraw(name)?;
        lock(&self.0.notes).remove(name);
        self.publish();
        Ok(())
    }

    /// What outside programs offer.
    pub(crate) fn offered(&self) -> Vec<OfferStatus> {
        self.0.offers.list()
    }

    /// When an offered resource was refreshed last.
    pub(crate) fn refreshed(&self, name: &Name) -> WallTime {
        lock(&self.0.notes).get(name).map(|note| note.refreshed).unwrap_or_default()
    }

    /// Listens for what an offered resource is told.
    pub(crate) fn listen(&self, name: &Name) -> Result<Listener, OfferError> {
        let mut notes = lock(&self.0.notes);
        let commands = self.0.offers.listen(name)?;
        notes.entry(*name).or_default().commanders.clear();
        Ok(Listener { sources: self.clone(), name: *name, commands })
    }

    /// Sets a driver of this device to a value, for `from`. Blocks.
    pub(crate) fn write(
        &self,
        driver: &dyn Driver,
        value: &Value,
        from: DeviceId,
        from_name: Option<Name>,
    ) -> Result<(), DriverError> {
        if let Some(screen) = driver.screen() {
            return screen.show(value, from_name);
        }
        let name = driver.description().name;
        let mut notes = lock(&self.0.notes);
        let Some(note) = notes.get_mut(&name) else {
            drop(notes);
            return driver.write(value);
        };
        driver.write(value)?;
        note.commanders.push_back(from);
        Ok(())
    }

    fn expire(&self) {
        for name in self.0.offers.expire(self.0.clock.now()) {
            tracing::info!(%name, "an offered resource was not refreshed in time and is withdrawn");
            lock(&self.0.notes).remove(&name);
        }
    }

    // --- screens -------------------------------------------------------------------------------------------

    /// Opens a screen that stays as long as what is returned.
    pub(crate) fn open_screen(&self, screen: Screen) -> Result<OpenScreen, NameTaken> {
        let name = screen.description().name;
        let screen = Arc::new(screen);
        {
            let mut screens = lock(&self.0.screens);
            if screens.contains_key(&name) || self.0.locals.driver(&name).is_some() {
                return Err(NameTaken);
            }
            screens.insert(name, screen.clone());
        }
        self.publish();
        Ok(OpenScreen { sources: self.clone(), screen })
    }
}

/// A screen that is open as long as this lives.
pub(crate) struct OpenScreen {
    sources: Sources,
    pub(crate) screen: Arc<Screen>,
}

impl Drop for OpenScreen {
    fn drop(&mut self) {
        lock(&self.sources.0.screens).remove(&self.screen.description().name);
        self.sources.publish();
    }
}

/// What an offered resource is told. Dropping it ends the listening.
pub(crate) struct Listener {
    sources: Sources,
    name: Name,
    commands: Commands,
}

impl Listener {
    /// Waits for the next command and who sent it; `None` if none comes within `timeout`. Blocks.
    pub(crate) fn next(&self, timeout: Duration) -> Result<Option<(Value, Option<DeviceId>)>, Closed> {
        let seen = self.commands.signal().generation();
        if let Some(command) = self.take()? {
            return Ok(Some(command));
        }
        self.commands.signal().wait_past(seen, timeout);
        self.take()
    }

    fn take(&self) -> Result<Option<(Value, Option<DeviceId>)>, Closed> {
        // Under the lock under which both are put in, so that they stay together.
        let mut notes = lock(&self.sources.0.notes);
        let Some(value) = self.commands.try_next()? else { return Ok(None) };
        Ok(Some((value, notes.get_mut(&self.name).and_then(|note| note.commanders.pop_front()))))
    }
}

#[cfg(test)]
mod tests {
    use tutti_fabric::clock::MachineClock;
    use tutti_model::Unit;
    use tutti_resources::screen::Size;

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn sources() -> (Sources, Locals) {
        let locals = Locals::new(Arc::new(MachineClock));
        let fixed = tutti_resources::simulated::simulated(&[tutti_resources::simulated::Simulated::Knob], 1);
        (Sources::new(Arc::new(MachineClock), locals.clone(), fixed), locals)
    }

    #[tokio::test]
    async fn an_offer_is_a_resource_until_its_time_is_over() {
        let (sources, locals) = sources();
        let running = tokio::spawn(sources.clone().run(None));
        let description = ResourceDescription::sensor(name("weather"), Unit::EMPTY);
        let ttl = Duration::from_millis(300);
        sources.put(description.clone(), None, ttl).unwrap();
        assert!(!locals.descriptions().borrow().iter().find(|one| one.name == name("weather")).unwrap().readable);
        sources.put(description.clone(), Some(Value::Int(4)), ttl).unwrap();
        sources.put(description, None, ttl).unwrap();
        assert_eq!(locals.read(&name("weather")).await.unwrap().value, Value::Int(4), "the last value stays");
        let mut descriptions = locals.descriptions();
        let gone = descriptions.wait_for(|all| all.iter().all(|one| one.name != name("weather")));
        tokio::time::timeout(Duration::from_secs(5), gone).await.unwrap().unwrap();
        assert!(locals.driver(&name("knob")).is_some(), "other sources stay");
        running.abort();
    }

    #[tokio::test]
    async fn hardware_that_comes_and_goes_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let root = tutti_resources::SysRoot::new(dir.path()).unwrap();
        let (sources, locals) = sources();
        let inventory = Inventory::new(root, tutti_resources::Options::default());
        let running = tokio::spawn(sources.clone().run_looking_every(Duration::from_millis(100), Some(inventory)));
        let mut descriptions = locals.descriptions();
        // What outside programs do meanwhile does not keep it from looking.
        sources.put(ResourceDescription::sensor(name("weather"), Unit::EMPTY), None, Duration::from_secs(60)).unwrap();
        let led = dir.path().join("sys/class/leds/red");
        for there in [true, false] {
            if there {
                std::fs::create_dir_all(&led).unwrap();
                std::fs::write(led.join("brightness"), "0\n").unwrap();
                std::fs::write(led.join("max_brightness"), "255\n").unwrap();
            } else {
                std::fs::remove_dir_all(&led).unwrap();
            }
            let noticed = descriptions.wait_for(|all| all.iter().any(|one| one.writable) == there);
            tokio::time::timeout(Duration::from_secs(5), noticed).await.unwrap().unwrap();
        }
        running.abort();
    }

    #[tokio::test]
    async fn names_of_other_sources_are_not_taken() {
        let (sources, locals) = sources();
        let knob = ResourceDescription::sensor(name("knob"), Unit::EMPTY);
        assert!(matches!(sources.put(knob, None, Duration::from_secs(9)), Err(PutError::NameTaken)));
        assert!(sources.open_screen(Screen::new(name("knob"), Size::default())).is_err());
        let open = sources.open_screen(Screen::new(name("window"), Size::default())).unwrap();
        assert!(sources.open_screen(Screen::new(name("window"), Size::default())).is_err());
        assert!(locals.driver(&name("window")).is_some());
        drop(open);
        assert!(locals.driver(&name("window")).is_none());
    }

    #[test]
    fn commands_come_with_who_sent_them() {
        let (sources, locals) = sources();
        let lamp = ResourceDescription::actuator(name("lamp"), Unit::EMPTY);
        sources.put(lamp, None, Duration::from_secs(9)).unwrap();
        let driver = locals.driver(&name("lamp")).unwrap();
        let (a, b) = (DeviceId::from_bytes([1; 32]), DeviceId::from_bytes([2; 32]));
        let write = |from, value| sources.write(driver.as_ref(), &Value::Int(value), from, None);
        assert_eq!(write(a, 1), Err(DriverError::NobodyListens));
        let listener = sources.listen(&name("lamp")).unwrap();
        write(a, 2).unwrap();
        write(b, 3).unwrap();
        assert_eq!(listener.next(Duration::ZERO), Ok(Some((Value::Int(2), Some(a)))));
        assert_eq!(listener.next(Duration::ZERO), Ok(Some((Value::Int(3), Some(b)))));
        assert_eq!(listener.next(Duration::from_millis(1)), Ok(None));
        sources.withdraw(&name("lamp")).unwrap();
        assert_eq!(listener.next(Duration::ZERO), Err(Closed));
    }
}
