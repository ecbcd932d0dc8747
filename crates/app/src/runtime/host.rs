//! What an app can call, and what of it is kept.
//!
//! Reading from the world goes to [`Resources`], which the node implements and which answers at once from what it knows. Everything that
//! changes the world is collected and given back when the event has been handled ([`Did`]). What the host keeps for the app,
//! [`Kept`], is small and moves along.

use serde::{Deserialize, Serialize};
use tutti_model::{Reading, Value, WallTime};
use wasmtime::StoreLimits;

use super::bindings::tutti::app::{actuator, clock, display, kv, log, messages, pool, random, sensor, types};
use crate::{
    home::{MAX_EVENT_BYTES, MAX_EVENT_EFFECTS},
    ids::InstanceId,
};

/// The most lines of log, and bytes of them together, in one event.
pub const MAX_LINES: usize = 64;
/// See [`MAX_LINES`].
pub const MAX_LINE_BYTES: usize = 16 * 1024;
/// The most random bytes at once.
pub const MAX_RANDOM: u32 = 1024;

pub use crate::kept::{Kept, MAX_KV, MAX_TIMERS};
pub use types::{Failure, Phase};

/// What the device and the pool have for an app. Answers at once; never waits for the network.
pub trait Resources: Send {
    /// Calendar time.
    fn now(&mut self) -> WallTime;
    /// Fills with bytes that nobody can foresee.
    fn random(&mut self, bytes: &mut [u8]);
    /// Whether the app's manifest has this name, and what meets it now.
    fn find(&mut self, name: &str) -> Result<Option<String>, Failure>;
    /// The last reading of what meets this name.
    fn read(&mut self, name: &str) -> Result<Reading, Failure>;
}

/// What an app is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It is new.
    Started,
    /// It goes on.
    Resumed,
    /// A timer went off.
    Timer(u32),
    /// A reading of what it follows under this name.
    Reading(String, Reading),
    /// A key at the display of this name.
    Key(String, String),
    /// A pointer at the display of this name goes down, moves or goes up; in thousandths of the display.
    Pointer(String, Phase, (u16, u16)),
    /// A message of another instance.
    Message(InstanceId, Vec<u8>),
    /// A want is met now, or not any longer.
    Changed(String, bool),
}

/// How important a line of log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the app's author.
    Debug,
    /// For whoever wants to know.
    Info,
    /// Something is odd.
    Warn,
    /// Something does not work.
    Error,
}

/// Something that an app wants done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Act {
    /// Set a value.
    Set {
        /// By the manifest's name.
        name: String,
        /// To this.
        value: Value,
    },
    /// Show a picture from now on.
    Show {
        /// On the display of this name.
        name: String,
        /// Of this.
        shapes: Vec<Shape>,
    },
    /// Tell another instance.
    Send {
        /// Which.
        to: InstanceId,
        /// What.
        body: Vec<u8>,
    },
}

/// A part of a picture, in thousandths of the display.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Shape {
    /// From, to.
    Line((u16, u16), (u16, u16)),
    /// Where, how high, what.
    Label((u16, u16), u16, String),
    /// PNG.
    Image(Vec<u8>),
}

/// What an app did in one event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Did {
    /// What it wants done.
    pub acts: Vec<Act>,
    /// What it logged.
    pub log: Vec<(Level, String)>,
}

/// The host's side of one instance.
pub(super) struct State {
    pub(super) limits: StoreLimits,
    resources: Box<dyn Resources>,
    now: WallTime,
    kept: Kept,
    did: Did,
    bytes: usize,
    line_bytes: usize,
}

impl State {
    pub(super) fn new(limits: StoreLimits, resources: Box<dyn Resources>) -> Self {
        let (now, kept, did) = (WallTime::default(), Kept::default(), Did::default());
        Self { limits, resources, now, kept, did, bytes: 0, line_bytes: 0 }
    }

    pub(super) fn begin(&mut self) {
        self.now = self.resources.now();
        (self.did, self.bytes, self.line_bytes) = (Did::default(), 0, 0);
    }

    pub(super) fn end(&mut self) -> Did {
        std::mem::take(&mut self.did)
    }

    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Whether a timer is due, which then is not set any more.
    pub(super) fn take_timer(&mut self, id: u32) -> bool {
        let due = self.kept.timers.get(&id).is_some_and(|at| *at <= self.now);
        if due {
            self.kept.timers.remove(&id);
        }
        due
    }

    pub(super) fn forget_timer(&mut self, id: u32) {
        self.kept.timers.remove(&id);
    }

    pub(super) fn restore(&mut self, kept: Kept) {
        self.kept = kept;
    }

    /// Takes something that is to be done, if the event may still do as much and there is somebody to do it to.
    fn act(&mut self, name: Option<&str>, bytes: usize, act: Act) -> Result<(), Failure> {
        if let Some(name) = name {
            self.resources.find(name)?.ok_or(Failure::NotThere)?;
        }
        // What stands around the bytes that the app gave.
        let bytes = bytes + 64;
        if self.did.acts.len() >= MAX_EVENT_EFFECTS || self.bytes + bytes > MAX_EVENT_BYTES {
            return Err(Failure::TooMuch);
        }
        self.bytes += bytes;
        self.did.acts.push(act);
        Ok(())
    }
}

/// A value as the app sees it.
fn value_out(value: &Value) -> types::Value {
    match value {
        Value::Bool(it) => types::Value::Bool(*it),
        Value::Int(it) => types::Value::Int(*it),
        Value::Float(it) => types::Value::Float(*it),
        Value::Text(it) => types::Value::Text(it.clone()),
        Value::Bytes(it) => types::Value::Bytes(it.clone()),
        other => types::Value::Text(other.to_string()),
    }
}

/// A reading as the app sees it.
pub(super) fn reading_out(reading: &Reading) -> types::Reading {
    types::Reading { value: value_out(&reading.value), at: reading.at.as_unix_millis() }
}

impl types::Host for State {}

impl log::Host for State {
    fn write(&mut self, level: log::Level, text: String) {
        // What is too much is left out; the last line says so.
        if self.did.log.len() >= MAX_LINES || self.line_bytes + text.len() > MAX_LINE_BYTES {
            return;
        }
        self.line_bytes += text.len();
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        let last = self.did.log.len() + 1 == MAX_LINES;
        self.did.log.push(if last {
            (Level::Warn, "it logs too much; the rest is left out".into())
        } else {
            (level, text)
        });
    }
}

impl clock::Host for State {
    fn now(&mut self) -> u64 {
        self.now.as_unix_millis()
    }

    fn set_timer(&mut self, id: u32, millis: u64) -> Result<(), Failure> {
        if self.kept.timers.len() >= MAX_TIMERS && !self.kept.timers.contains_key(&id) {
            return Err(Failure::TooMuch);
        }
        let at = WallTime::from_unix_millis(self.now.as_unix_millis().saturating_add(millis));
        self.kept.timers.insert(id, at);
        Ok(())
    }

    fn clear_timer(&mut self, id: u32) {
        self.kept.timers.remove(&id);
    }
}

impl random::Host for State {
    fn bytes(&mut self, len: u32) -> Vec<u8> {
        let mut bytes = vec![0; len.min(MAX_RANDOM) as usize];
        self.resources.random(&mut bytes);
        bytes
    }
}

impl kv::Host for State {
    fn get(&mut self, key: String) -> Option<Vec<u8>> {
        self.kept.kv.get(&key).cloned()
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), Failure> {
        let old = self.kept.kv.get(&key).map_or(0, |old| key.len() + old.len());
        if self.kept.kv_size() - old + key.len() + value.len() > MAX_KV {
            return Err(Failure::TooMuch);
        }
        self.kept.kv.insert(key, value);
        Ok(())
    }

    fn delete(&mut self, key: String) {
        self.kept.kv.remove(&key);
    }

    fn keys(&mut self) -> Vec<String> {
        self.kept.kv.keys().cloned().collect()
    }
}

impl pool::Host for State {
    fn find(&mut self, name: String) -> Option<String> {
        self.resources.find(&name).ok().flatten()
    }
}

impl sensor::Host for State {
    fn read(&mut self, name: String) -> Result<types::Reading, Failure> {
        self.resources.read(&name).map(|reading| reading_out(&reading))
    }

    fn follow(&mut self, name: String, least_interval_millis: u32) -> Result<(), Failure> {
        // It may come later; only names that the manifest lacks are refused.
        self.resources.find(&name)?;
        if self.kept.follows.len() >= MAX_TIMERS && !self.kept.follows.contains_key(&name) {
            return Err(Failure::TooMuch);
        }
        self.kept.follows.insert(name, least_interval_millis);
        Ok(())
    }

    fn unfollow(&mut self, name: String) {
        self.kept.follows.remove(&name);
    }
}

impl actuator::Host for State {
    fn set(&mut self, name: String, value: types::Value) -> Result<(), Failure> {
        let value = match value {
            types::Value::Bool(it) => Value::Bool(it),
            types::Value::Int(it) => Value::Int(it),
            types::Value::Float(it) => Value::Float(it),
            types::Value::Text(it) => Value::Text(it),
            types::Value::Bytes(it) => Value::Bytes(it),
        };
        let bytes = match &value {
            Value::Text(it) => it.len(),
            Value::Bytes(it) => it.len(),
            _ => 0,
        };
        self.act(Some(&name.clone()), bytes + name.len(), Act::Set { name, value })
    }
}

impl display::Host for State {
    fn show(&mut self, name: String, shapes: Vec<display::Shape>) -> Result<(), Failure> {
        let mut bytes = name.len();
        let shapes = shapes
            .into_iter()
            .map(|shape| {
                bytes += 16;
                match shape {
                    display::Shape::Line(it) => Shape::Line((it.x1, it.y1), (it.x2, it.y2)),
                    display::Shape::Label(it) => {
                        bytes += it.text.len();
                        Shape::Label((it.x, it.y), it.size, it.text)
                    }
                    display::Shape::Image(png) => {
                        bytes += png.len();
                        Shape::Image(png)
                    }
                }
            })
            .collect();
        self.act(Some(&name.clone()), bytes, Act::Show { name, shapes })
    }
}

impl messages::Host for State {
    fn send(&mut self, to: String, body: Vec<u8>) -> Result<(), Failure> {
        let to = to.parse().map_err(|_| Failure::UnknownName)?;
        self.act(None, body.len(), Act::Send { to, body })
    }
}
