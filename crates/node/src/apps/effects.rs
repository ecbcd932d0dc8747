//! Effects on their way, and what becomes of them at the device that owns what they are for.
//!
//! An effect for a resource goes to the device that owns it, which judges it by the ledger of that resource, performs it, makes the ledger durable and
//! only then says so: each is applied once, in order, whichever home says it how often. Setting the same value twice is the same as once, so a crash between
//! performing and writing changes nothing. An effect for another instance is an event there, and its ledger is part of that instance's state.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tutti_app::{
    effects::{Effect, Ledger, Receiver, Verdict},
    home::{Incoming, Origin},
    ids::{Epoch, InstanceId},
    runtime::host::{Event, Shape},
};
use tutti_model::{
    DeviceId, Operation, ResourceId, ResourceKind, Role, Sharing, Value,
    message::{LeaseMode, Refusal, Token},
};
use tutti_pool::driver::{Caller, LocalResources};
use tutti_resources::Driver;

use super::{
    Shared,
    actor::Ask,
    picture,
    wire::{self, Answer},
};
use crate::lock::lock;
use crate::state::write_file;

/// How long a driver may take.
const PERFORM: Duration = Duration::from_secs(3);
/// The most resources whose ledgers are kept.
const LEDGERS: usize = 512;

/// What an effect on a resource is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Body {
    /// A value.
    Set(Value),
    /// A picture.
    Show(Vec<Shape>),
}

impl Body {
    pub(crate) fn emit(&self) -> Vec<u8> {
        wire::emit(self).to_vec()
    }
}

/// What the resources of this device and of its satellites have applied.
pub(crate) struct Ledgers {
    folder: PathBuf,
    open: Mutex<BTreeMap<ResourceId, Arc<tokio::sync::Mutex<Option<Ledger>>>>>,
}

impl Ledgers {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, open: Mutex::default() }
    }

    fn of(&self, resource: ResourceId) -> Option<Arc<tokio::sync::Mutex<Option<Ledger>>>> {
        let mut open = lock(&self.open);
        if open.len() >= LEDGERS && !open.contains_key(&resource) {
            // Those that nobody uses now are on the disk.
            open.retain(|_, ledger| Arc::strong_count(ledger) > 1);
        }
        (open.len() < LEDGERS || open.contains_key(&resource)).then(|| open.entry(resource).or_default().clone())
    }

    fn name(resource: ResourceId) -> String {
        format!("{}-{}", &resource.device.to_string()[..16], resource.name)
    }

    async fn load(&self, resource: ResourceId) -> Result<Ledger, String> {
        let path = self.folder.join(Self::name(resource));
        let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
        match read.map_err(|error| error.to_string())? {
            Ok(bytes) => wire::parse(&bytes).ok_or_else(|| "what it has applied cannot be read".into()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Ledger::default()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn save(&self, resource: ResourceId, ledger: &Ledger) -> Result<(), String> {
        let (folder, name, bytes) = (self.folder.clone(), Self::name(resource), wire::emit(ledger));
        let saved = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&folder)?;
            write_file(&folder, &name, &bytes)
        });
        saved.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

impl Shared {
    /// Sends an effect on its way; what becomes of it comes back to the instance. May be lost: it is sent again.
    pub(crate) fn carry(self: &Arc<Self>, from: InstanceId, home: Epoch, effect: Effect, token: Option<Token>) {
        let shared = self.clone();
        self.runtime.spawn(async move {
            let Ok(_turn) = shared.carrying.try_acquire() else { return };
            let (to, id) = (effect.to, effect.id);
            let at = match to {
                Receiver::Resource(resource) => shared.host_of(resource.device),
                Receiver::Instance(instance) => shared.home_of(instance),
            };
            let Some(at) = at else { return };
            let answer = if at == shared.me {
                shared.take_effect(shared.me, from, home, effect, token).await
            } else {
                shared.ask(at, &wire::Ask::Effect { from, home, effect, token }).await.unwrap_or(Answer::No)
            };
            let Some(instance) = shared.find_actor(from) else { return };
            match answer {
                Answer::Yes => instance.tell(Ask::Delivered(to, id)),
                Answer::Never(why) => {
                    instance.log_system(&shared, &format!("what it did was refused and is left out: {why}"));
                    instance.tell(Ask::Delivered(to, id));
                }
                Answer::Superseded(by) => instance.tell(Ask::Superseded(by)),
                _ => {}
            }
        });
    }

    /// An effect has come, for something of this device.
    pub(crate) async fn take_effect(
        self: &Arc<Self>,
        by: DeviceId,
        from: InstanceId,
        home: Epoch,
        effect: Effect,
        token: Option<Token>,
    ) -> Answer {
        if home.home != by {
            return Answer::Never("it was said by another device than the instance's home".into());
        }
        match effect.to {
            Receiver::Instance(instance) => {
                let Some(actor) = self.find_actor(instance) else { return Answer::No };
                let origin = Origin { from, home, id: effect.id, previous: effect.previous };
                let event = Event::Message(from, effect.body);
                actor.tell(Ask::Event(Incoming { origin: Some(origin), event }));
                Answer::Taken
            }
            Receiver::Resource(resource) => {
                let Some(ledger) = self.ledgers.of(resource) else { return Answer::No };
                let mut ledger = ledger.lock().await;
                let before = match ledger.take() {
                    Some(before) => before,
                    None => match self.ledgers.load(resource).await {
                        Ok(before) => before,
                        Err(error) => {
                            tracing::error!(%resource, error, "effects on a resource are not taken");
                            return Answer::No;
                        }
                    },
                };
                let mut after = before.clone();
                let answer = match after.judge(from, home, effect.id, effect.previous) {
                    Verdict::Repeat => Answer::Yes,
                    Verdict::Gap => Answer::No,
                    Verdict::Superseded(by) => Answer::Superseded(by),
                    Verdict::Apply => match self.perform(by, resource, &effect.body, token).await {
                        Ok(()) => Answer::Yes,
                        Err((why, true)) => Answer::Never(why),
                        Err((why, false)) => {
                            tracing::debug!(%resource, why, "an effect waits");
                            *ledger = Some(before);
                            return Answer::No;
                        }
                    },
                };
                if after != before
                    && let Err(error) = self.ledgers.save(resource, &after).await
                {
                    tracing::error!(%resource, error, "an effect cannot be acknowledged");
                    *ledger = Some(before);
                    return Answer::No;
                }
                *ledger = Some(after);
                answer
            }
        }
    }

    /// Performs an effect on a resource of this device or of a satellite of it, as its policy and leases allow; else says why not, and whether that stays so.
    async fn perform(
        &self,
        by: DeviceId,
        resource: ResourceId,
        body: &[u8],
        token: Option<Token>,
    ) -> Result<(), (String, bool)> {
        let for_good = |why: &str| Err((why.to_owned(), true));
        let catalogue = self.pool.catalogue();
        let Some(entry) = catalogue.resource(&resource) else { return Err(("it is not there now".into(), false)) };
        let role = catalogue.device(by).and_then(|device| device.role).unwrap_or(Role::Guest);
        if !entry.resource.access.allows(role, Operation::Control) {
            return for_good("its owner does not allow that device to control it");
        }
        let value = match (wire::parse::<Body>(body), entry.resource.kind) {
            (Some(Body::Set(value)), _) => value,
            (Some(Body::Show(shapes)), ResourceKind::Display) => picture::value(&shapes),
            (Some(Body::Show(_)), _) => return for_good("it is no display"),
            (None, _) => return for_good("what was to be done cannot be read"),
        };
        // A picture made of shapes takes the place of what was there, be that text or an image; a screen keeps one of each.
        let instead = match (entry.resource.kind, &value) {
            (ResourceKind::Display, Value::Text(_)) => Some(Value::Bytes(Vec::new())),
            (ResourceKind::Display, Value::Bytes(_)) => Some(Value::Text(String::new())),
            _ => None,
        };
        let now = self.clock.now();
        let leases = self.pool.leases();
        let held = leases
            .known
            .iter()
            .find(|known| known.lease.resource == resource && known.mode == LeaseMode::Exclusive && known.until > now);
        match held {
            Some(known) if known.holder == by && token == Some(known.lease.token) => {}
            Some(_) => return Err(("somebody else has leased it".into(), false)),
            None if entry.resource.sharing == Sharing::Exclusive && entry.resource.kind == ResourceKind::Actuator => {
                return Err(("it needs a lease".into(), false));
            }
            None => {}
        }
        let name = resource.name;
        let done = if resource.device == self.me {
            let (sources, from) = (self.sources.clone(), catalogue.device(by).map(|device| device.name));
            let write = move |driver: &dyn Driver| {
                let done = sources.write(driver, &value, by, from);
                match instead.filter(|_| driver.screen().is_some() && done.is_ok()) {
                    Some(nothing) => sources.write(driver, &nothing, by, from),
                    None => done,
                }
            };
            timeout(PERFORM, self.locals.change(&name, write)).await
        } else {
            let resources: Option<Arc<dyn LocalResources>> = self.satellites.resources_of(resource.device);
            let Some(resources) = resources else { return Err(("its satellite is not there".into(), false)) };
            timeout(PERFORM, resources.write(name, value, Caller { device: by, role, token })).await
        };
        match done {
            Ok(Ok(())) => Ok(()),
            Err(_) => Err(("it took too long".into(), false)),
            Ok(Err(refusal)) => {
                let stays = matches!(
                    refusal,
                    Refusal::NotWritable
                        | Refusal::OutOfRange(_)
                        | Refusal::WrongType { .. }
                        | Refusal::TooLarge { .. }
                        | Refusal::NotAllowed { .. }
                        | Refusal::Unsupported
                );
                Err((refusal.to_string(), stays))
            }
        }
    }
}
