//! The driver of one offered resource, and the queue of commands to the program behind it.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tutti_model::{BootTime, ResourceDescription, Value};

use super::{MAX_COMMANDS, MAX_VALUE};
use crate::{
    driver::{Driver, DriverError},
    signal::Signal,
};

/// One resource behind an outside program.
pub(super) struct Outside {
    pub(super) description: ResourceDescription,
    state: Mutex<State>,
    changes: Signal,
    commanded: Signal,
}

pub(super) struct State {
    pub(super) value: Option<Value>,
    pub(super) expires: BootTime,
    withdrawn: bool,
    /// How many have listened; the last of them has this number.
    listeners: u64,
    pub(super) listening: Option<u64>,
    queue: VecDeque<Value>,
}

impl Outside {
    pub(super) fn new(description: ResourceDescription, value: Option<Value>, expires: BootTime) -> Self {
        let state = State { value, expires, withdrawn: false, listeners: 0, listening: None, queue: VecDeque::new() };
        Self { description, state: Mutex::new(state), changes: Signal::new(), commanded: Signal::new() }
    }

    /// Takes a new value and a new end. False if it was withdrawn meanwhile.
    pub(super) fn refresh(&self, value: Option<Value>, expires: BootTime) -> bool {
        let changed = {
            let mut state = self.lock();
            if state.withdrawn {
                return false;
            }
            state.expires = expires;
            let changed = value.is_some() && value != state.value;
            state.value = value.or_else(|| state.value.take());
            changed
        };
        if changed {
            self.changes.raise();
        }
        true
    }

    pub(super) fn withdraw(&self) {
        {
            let mut state = self.lock();
            (state.withdrawn, state.listening) = (true, None);
            state.queue.clear();
        }
        self.changes.raise();
        self.commanded.raise();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver for Outside {
    fn description(&self) -> ResourceDescription {
        self.description.clone()
    }

    fn read(&self) -> Result<Value, DriverError> {
        let state = self.lock();
        match &state.value {
            _ if state.withdrawn => Err(DriverError::Withdrawn),
            _ if !self.description.readable => Err(DriverError::NotReadable),
            Some(value) => Ok(value.clone()),
            None => Err(DriverError::NoValueYet),
        }
    }

    /// Queues a command for the program. What comes of it shows when the program refreshes the value.
    fn write(&self, value: &Value) -> Result<(), DriverError> {
        if !self.description.writable {
            return Err(DriverError::NotWritable);
        }
        check_range(&self.description, value)?;
        {
            let mut state = self.lock();
            if state.withdrawn {
                return Err(DriverError::Withdrawn);
            }
            if state.listening.is_none() {
                return Err(DriverError::NobodyListens);
            }
            if state.queue.len() >= MAX_COMMANDS {
                return Err(DriverError::Busy { waiting: state.queue.len() });
            }
            state.queue.push_back(value.clone());
        }
        self.commanded.raise();
        Ok(())
    }

    fn refresh_every(&self) -> Option<Duration> {
        None
    }

    fn changes(&self) -> Option<&Signal> {
        Some(&self.changes)
    }
}

/// Holds a value against what the description says about it: its length, and `min` and `max` where both are numbers.
fn check_range(description: &ResourceDescription, value: &Value) -> Result<(), DriverError> {
    let too_long = match value {
        Value::Text(text) => text.len() > MAX_VALUE,
        Value::Bytes(bytes) => bytes.len() > MAX_VALUE,
        _ => false,
    };
    if too_long {
        return Err(DriverError::TooLarge { max: MAX_VALUE, of: "bytes" });
    }
    let bound = |key: &str| {
        let found = description.properties.iter().find(|(name, _)| name.as_str() == key)?.1.as_f64()?;
        found.is_finite().then_some(found)
    };
    let min = bound("min").unwrap_or(f64::NEG_INFINITY);
    let max = bound("max").unwrap_or(f64::INFINITY);
    match value {
        // A switch is on or off whatever the range.
        Value::Int(_) | Value::Float(_) => {
            let number = value.as_f64().unwrap_or(f64::NAN);
            let within = number.is_finite() && (min..=max).contains(&number);
            if within { Ok(()) } else { Err(DriverError::OutOfRange { min, max }) }
        }
        _ => Ok(()),
    }
}

/// The resource was withdrawn, or somebody else listens for its commands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the resource was withdrawn or described anew, or another program listens for its commands now")
    }
}

impl std::error::Error for Closed {}

/// What an offered resource is told, for the program behind it. Dropping it ends the listening.
pub struct Commands {
    outside: Arc<Outside>,
    listener: u64,
}

impl Commands {
    pub(super) fn begin(outside: Arc<Outside>) -> Self {
        let listener = {
            let mut state = outside.lock();
            state.listeners += 1;
            state.listening = Some(state.listeners);
            state.queue.clear();
            state.listeners
        };
        // Whoever listened before wakes and finds that it is over.
        outside.commanded.raise();
        Self { outside, listener }
    }

    /// The next command if one waits.
    ///
    /// # Errors
    /// [`Closed`] when there will be no more.
    pub fn try_next(&self) -> Result<Option<Value>, Closed> {
        let mut state = self.outside.lock();
        if state.withdrawn || state.listening != Some(self.listener) {
            Err(Closed)
        } else {
            Ok(state.queue.pop_front())
        }
    }

    /// Waits for the next command; `None` if none comes within `timeout`.
    ///
    /// # Errors
    /// [`Closed`] when there will be no more.
    pub fn next(&self, timeout: Duration) -> Result<Option<Value>, Closed> {
        let until = Instant::now() + timeout;
        loop {
            let seen = self.signal().generation();
            let left = until.saturating_duration_since(Instant::now());
            match self.try_next()? {
                None if !left.is_zero() => self.signal().wait_past(seen, left),
                answer => return Ok(answer),
            };
        }
    }

    /// Tells when there may be a command, or the end.
    pub fn signal(&self) -> &Signal {
        &self.outside.commanded
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        let mut state = self.outside.lock();
        if state.listening == Some(self.listener) {
            state.listening = None;
            state.queue.clear();
        }
    }
}
