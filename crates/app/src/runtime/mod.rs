//! Runs apps: one [`Engine`] a device, one [`Running`] an instance.
//!
//! An instance is told one event at a time ([`Running::handle`]) and gives back what it did: effects, timers, lines of log. Between
//! events its state can be taken ([`Running::capture`]) and put into a fresh instance ([`Running::restore`]) of this engine or another.
//!
//! # What an app can do to its device
//! | attempt | what meets it |
//! |---|---|
//! | an endless loop | epochs: [`Engine::tick`] is called each [`TICK`] by the node; after [`Limits::ticks`] of them the event ends in a trap |
//! | eats memory | [`Limits::memory`]; growing beyond it fails in the guest |
//! | deep recursion | a stack of [`STACK`] |
//! | floods its log, its timers, its store or the world | bounds in [`host`], each answered with `too-much` |
//! | reaches for what it was not granted | there is nothing to call but the world `tutti:app/app`; names that its manifest lacks are unknown |
//! | brings native code | only WebAssembly is taken; native code comes from this engine's own compiler and its cache in this device's folder |
//!
//! A trap ends the instance: [`Trap`] says why, and the driver begins anew from the last state that is durable
//! ([`home`](crate::home)).

use std::{fmt, path::Path, sync::OnceLock, time::Duration};

use wasmtime::{
    Cache, CacheConfig, Config, Store, StoreLimitsBuilder,
    component::{Component, HasSelf, InstancePre, Linker, TypedFunc},
};

pub mod host;
pub mod input;

use self::host::{Did, Event, Resources, State};
use crate::{
    carry::{self, Obstacle},
    snapshot::{Draft, Image, MAX_GLOBALS, PAGE, Patch, SnapshotError},
};

mod bindings {
    #![allow(missing_docs, unused_qualifications, unreachable_pub, reason = "it is generated")]
    wasmtime::component::bindgen!({ path: "../../wit", world: "app" });
}

/// How often the node calls [`Engine::tick`].
pub const TICK: Duration = Duration::from_millis(5);
/// The stack of a guest on the host, in bytes.
pub const STACK: usize = 256 * 1024;
/// The most bytes that one call carries between host and guest.
const CHUNK: u32 = 1 << 20;

/// How much an instance may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: usize,
    /// Ticks of processor time for one event.
    pub ticks: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 16 << 20, ticks: 100 }
    }
}

/// What turns WebAssembly into something that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Native code.
    Cranelift,
    /// Wasmtime's interpreter, with the settings under which a microcontroller runs it (there with pointers of 32 bits).
    Pulley,
}

/// Why an app could not be made to run.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// It is not a component of the world `tutti:app/app`, or needs more than its limits.
    Unfit(String),
    /// The engine does not work on this device.
    Engine(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(why) => write!(f, "the app cannot run: {why}"),
            Self::Engine(why) => write!(f, "this device cannot run apps: {why}"),
        }
    }
}

impl std::error::Error for StartError {}

/// An app ended, or was ended, while it handled an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// Why, for its owner.
    pub reason: String,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the app was ended: {}", self.reason)
    }
}

impl std::error::Error for Trap {}

impl From<wasmtime::Error> for Trap {
    fn from(error: wasmtime::Error) -> Self {
        let reason = match error.downcast_ref::<wasmtime::Trap>() {
            Some(wasmtime::Trap::Interrupt) => "it took too long over one event".into(),
            Some(wasmtime::Trap::StackOverflow) => "it recursed too deeply".into(),
            Some(wasmtime::Trap::MemoryOutOfBounds) => {
                "it reached outside of its memory, or recursed too deeply".into()
            }
            Some(trap) => trap.to_string(),
            None => error.root_cause().to_string(),
        };
        Self { reason }
    }
}

/// Why a state could not be taken or put.
#[derive(Debug)]
#[non_exhaustive]
pub enum CarryError {
    /// The app cannot be carried at all; known since it was installed.
    Obstacle(Obstacle),
    /// The snapshot does not fit.
    Snapshot(SnapshotError),
    /// The app broke while it was carried.
    Trap(Trap),
}

impl fmt::Display for CarryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Obstacle(error) => error.fmt(f),
            Self::Snapshot(error) => error.fmt(f),
            Self::Trap(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CarryError {}

impl From<SnapshotError> for CarryError {
    fn from(error: SnapshotError) -> Self {
        Self::Snapshot(error)
    }
}

impl From<wasmtime::Error> for CarryError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Trap(error.into())
    }
}

/// What runs apps on this device.
pub struct Engine {
    engine: wasmtime::Engine,
}

impl Engine {
    /// An engine; native code is kept in `cache`, which must be this device's own folder.
    pub fn new(kind: Kind, cache: Option<&Path>) -> Result<Self, StartError> {
        let failed = |error: wasmtime::Error| StartError::Engine(format!("{error:#}"));
        let mut config = Config::new();
        config.epoch_interruption(true).max_wasm_stack(STACK);
        // What snapshots do not carry, and what differs between processors.
        config.wasm_simd(false).wasm_relaxed_simd(false).wasm_multi_memory(false).wasm_memory64(false);
        if kind == Kind::Pulley {
            config.target(if cfg!(target_pointer_width = "64") { "pulley64" } else { "pulley32" }).map_err(failed)?;
            config.memory_reservation(0).memory_guard_size(0).memory_reservation_for_growth(0);
            config.memory_init_cow(false).signals_based_traps(false).guard_before_linear_memory(false);
        }
        if let Some(folder) = cache {
            let mut settings = CacheConfig::new();
            settings.with_directory(folder);
            config.cache(Some(Cache::new(settings).map_err(failed)?));
        }
        Ok(Self { engine: wasmtime::Engine::new(&config).map_err(failed)? })
    }

    /// Time has passed. To be called each [`TICK`] while an instance handles an event.
    pub fn tick(&self) {
        self.engine.increment_epoch();
    }

    /// Makes an app ready to run.
    pub fn load(&self, component: &[u8]) -> Result<App, StartError> {
        let unfit = |error: wasmtime::Error| StartError::Unfit(format!("{error:#}"));
        let code = Component::from_binary(&self.engine, component).map_err(unfit)?;
        let mut linker = Linker::<State>::new(&self.engine);
        bindings::App::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).map_err(unfit)?;
        let instance = linker.instantiate_pre(&code).map_err(unfit)?;
        bindings::AppPre::new(instance.clone()).map_err(unfit)?;
        let obstacle = carry::check_component(component).err();
        Ok(App { instance, obstacle, fresh: OnceLock::new() })
    }
}

/// An app that is ready to run.
pub struct App {
    instance: InstancePre<State>,
    obstacle: Option<Obstacle>,
    /// The state of its first fresh instance, which others have in common with it.
    fresh: OnceLock<Image>,
}

impl App {
    /// Why it cannot be moved, if so: to be told when it is installed.
    pub fn obstacle(&self) -> Option<&Obstacle> {
        self.obstacle.as_ref()
    }

    /// A fresh instance, which has been told nothing yet.
    pub fn start(&self, limits: Limits, resources: Box<dyn Resources>) -> Result<Running, StartError> {
        let unfit = |error: wasmtime::Error| StartError::Unfit(Trap::from(error).reason);
        let memory = StoreLimitsBuilder::new().memory_size(limits.memory).memories(1).tables(8).instances(64);
        let state = State::new(memory.build(), resources);
        let mut store = Store::new(self.instance.engine(), state);
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(limits.ticks);
        let instance = self.instance.instantiate(&mut store).map_err(unfit)?;
        let events = bindings::App::new(&mut store, &instance).map_err(unfit)?;
        let carry = match self.obstacle {
            None => Some(Carry::new(&mut store, &instance).map_err(unfit)?),
            Some(_) => None,
        };
        let obstacle = self.obstacle.clone();
        let known = self.fresh.get().cloned();
        let mut running = Running { store, events, carry, obstacle, limits, fresh: None, known, moved_on: true };
        if running.carry.is_some() {
            let fresh = running.capture().map_err(|error| StartError::Unfit(error.to_string()))?;
            self.fresh.get_or_init(|| fresh.clone());
            running.fresh = Some(fresh);
        }
        Ok(running)
    }
}

/// The functions of the interface `carry`.
struct Carry {
    globals: TypedFunc<(), (u32,)>,
    get_global: TypedFunc<(u32,), (u64,)>,
    set_global: TypedFunc<(u32, u64), ()>,
    pages: TypedFunc<(), (u32,)>,
    grow: TypedFunc<(u32,), (bool,)>,
    read: TypedFunc<(u32, u32, u32), (wasmtime::component::WasmList<u8>,)>,
    aim: TypedFunc<(u32,), ()>,
    write: TypedFunc<(Vec<u8>,), ()>,
}

impl Carry {
    fn new(store: &mut Store<State>, instance: &wasmtime::component::Instance) -> wasmtime::Result<Self> {
        let interface = instance.get_export_index(&mut *store, None, carry::INTERFACE);
        let missing = || wasmtime::Error::msg("the interface that carries it is incomplete");
        let interface = interface.ok_or_else(missing)?;
        let index = |store: &mut Store<State>, name: &str| {
            instance.get_export_index(store, Some(&interface), name).ok_or_else(missing)
        };
        macro_rules! function {
            ($name:literal) => {{
                let at = index(store, $name)?;
                instance.get_typed_func(&mut *store, &at)?
            }};
        }
        Ok(Self {
            globals: function!("globals"),
            get_global: function!("get-global"),
            set_global: function!("set-global"),
            pages: function!("pages"),
            grow: function!("grow"),
            read: function!("read"),
            aim: function!("aim"),
            write: function!("write"),
        })
    }
}

/// A running copy of an app.
pub struct Running {
    store: Store<State>,
    events: bindings::App,
    carry: Option<Carry>,
    obstacle: Option<Obstacle>,
    limits: Limits,
    fresh: Option<Image>,
    /// The state when it was last taken or put. What is taken next shares with it what is as it was.
    known: Option<Image>,
    /// It may have changed since.
    moved_on: bool,
}

impl Running {
    /// Lets the app handle an event.
    ///
    /// # Errors
    /// [`Trap`]: the instance is of no more use.
    pub fn handle(&mut self, event: &Event) -> Result<Did, Trap> {
        self.store.set_epoch_deadline(self.limits.ticks);
        self.store.data_mut().begin();
        self.moved_on = true;
        // A timer goes off once; one that was set anew or cleared in the meantime does not go off now.
        if let Event::Timer(id) = event
            && !self.store.data_mut().take_timer(*id)
        {
            return Ok(Did::default());
        }
        let guest = self.events.tutti_app_events();
        let store = &mut self.store;
        match event {
            Event::Started => guest.call_started(store)?,
            Event::Resumed => guest.call_resumed(store)?,
            Event::Timer(id) => guest.call_timer(store, *id)?,
            Event::Reading(name, reading) => guest.call_measured(store, name, &host::reading_out(reading))?,
            Event::Key(name, key) => {
                guest.call_input(store, name, &bindings::tutti::app::types::Action::Key(key.clone()))?;
            }
            Event::Pointer(name, phase, (x, y)) => {
                let pointer = bindings::tutti::app::types::Pointer { phase: *phase, x: *x, y: *y };
                guest.call_input(store, name, &bindings::tutti::app::types::Action::Pointer(pointer))?;
            }
            Event::Message(from, body) => guest.call_message(store, &from.to_string(), body)?,
            Event::Changed(name, there) => guest.call_changed(store, name, *there)?,
        }
        Ok(self.store.data_mut().end())
    }

    /// What the host keeps for it: moves along.
    pub fn kept(&self) -> &host::Kept {
        self.store.data().kept()
    }

    /// Clears a timer that ends the app whenever it goes off.
    pub fn forget_timer(&mut self, id: u32) {
        self.store.data_mut().forget_timer(id);
    }

    /// The state of a fresh instance, which every snapshot of this app is told against.
    pub fn fresh(&self) -> Option<&Image> {
        self.fresh.as_ref()
    }

    /// The state as it is now, between two events. Costs a comparison with the last that was taken or put, and a copy of what differs;
    /// nothing if no event was handled since.
    pub fn capture(&mut self) -> Result<Image, CarryError> {
        if let Some(known) = self.known.as_ref().filter(|_| !self.moved_on) {
            return Ok(known.clone());
        }
        let carry = self.carry.as_ref().ok_or_else(|| obstacle(&self.obstacle))?;
        let store = &mut self.store;
        store.set_epoch_deadline(self.limits.ticks);
        let (count,) = carry.globals.call(&mut *store, ())?;
        let mut globals = Vec::new();
        for at in 0..count.min(MAX_GLOBALS as u32) {
            globals.push(carry.get_global.call(&mut *store, (at,))?.0);
        }
        let (pages,) = carry.pages.call(&mut *store, ())?;
        let size = pages as usize * PAGE;
        if size > self.limits.memory {
            return Err(SnapshotError::TooLarge.into());
        }
        let mut draft = Draft::new(self.known.as_ref(), pages as usize);
        let (half, end) = (size as u32 / 2, size as u32);
        let mut at = 0;
        while at < end {
            // The scratch is in the half that is not read.
            let (stop, scratch) = if at < half { (half, end - 8) } else { (end, 0) };
            let len = CHUNK.min(stop - at);
            // Time counts for each piece by itself: large memories take long, and are no endless loops.
            store.set_epoch_deadline(self.limits.ticks);
            let (list,) = carry.read.call(&mut *store, (at, len, scratch))?;
            let bytes = list.as_le_slice(&mut *store);
            // The app's own code answers, and could have been made to answer with less.
            if bytes.len() != len as usize {
                return Err(SnapshotError::Malformed.into());
            }
            draft.write(at as usize, bytes);
            at += len;
        }
        let image = draft.finish(globals);
        (self.known, self.moved_on) = (Some(image.clone()), false);
        Ok(image)
    }

    /// Makes this its state. Only what differs from the state that it has is written. Memory cannot shrink.
    ///
    /// # Errors
    /// If it does not fit, or the app broke: then the instance is of no more use.
    pub fn restore(&mut self, image: &Image, kept: host::Kept) -> Result<(), CarryError> {
        let known = self.capture()?;
        // Until all of it is there, it is neither.
        self.moved_on = true;
        let carry = self.carry.as_ref().ok_or_else(|| obstacle(&self.obstacle))?;
        let store = &mut self.store;
        store.set_epoch_deadline(self.limits.ticks);
        let more = image.pages().checked_sub(known.pages()).and_then(|more| u32::try_from(more).ok());
        let grown = more.map(|more| carry.grow.call(&mut *store, (more,))).transpose()?;
        if !matches!(grown, Some((true,))) {
            return Err(SnapshotError::TooLarge.into());
        }
        let mut write = |at: usize, bytes: Vec<u8>| {
            store.set_epoch_deadline(self.limits.ticks);
            carry.aim.call(&mut *store, (at as u32,))?;
            carry.write.call(&mut *store, (bytes,))
        };
        let (mut from, mut bytes) = (0, Vec::new());
        for (at, changed) in image.changes_since(&known) {
            if at != from + bytes.len() || bytes.len() + changed.len() > CHUNK as usize {
                if !bytes.is_empty() {
                    write(from, std::mem::take(&mut bytes))?;
                }
                from = at;
            }
            bytes.extend_from_slice(changed);
        }
        if !bytes.is_empty() {
            write(from, bytes)?;
        }
        for (at, bits) in image.globals().iter().enumerate() {
            carry.set_global.call(&mut *store, (at as u32, *bits))?;
        }
        store.data_mut().restore(kept);
        (self.known, self.moved_on) = (Some(image.clone()), false);
        Ok(())
    }

    /// The state as it is now, as what makes it out of `base` (or a fresh instance).
    pub fn snapshot(&mut self, base: Option<&Image>) -> Result<(Image, Patch), CarryError> {
        let image = self.capture()?;
        let base = base.or(self.fresh.as_ref()).ok_or_else(|| obstacle(&self.obstacle))?;
        let patch = image.since(base);
        Ok((image, patch))
    }
}

fn obstacle(of: &Option<Obstacle>) -> CarryError {
    CarryError::Obstacle(of.clone().unwrap_or(Obstacle::NotInstrumented))
}

#[cfg(test)]
mod tests;
