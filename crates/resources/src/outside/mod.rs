//! Resources that another program on this machine offers: a script that reads a weather station, a lamp behind a
//! bridge.
//!
//! The program gives a description, a value and a time to live, and refreshes them before that time is over; a program that
//! dies takes its resource with it. If the resource takes values, the program listens for them: commands wait in a
//! short queue, and one that nobody listens for is refused at once rather than kept for a lamp that may never come
//! back. Of two listeners the later one counts, since the earlier one is usually a dead connection.
//!
//! The time is passed in; nothing here looks at a clock.

mod driver;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tutti_model::{BootTime, Name, ResourceDescription, Value};

pub use driver::{Closed, Commands};

use self::driver::Outside;
use crate::{driver::Driver, signal::Signal};

/// The most resources that outside programs may offer together.
pub const MAX_OFFERS: usize = 256;
/// The longest time to live.
pub const MAX_TTL: Duration = Duration::from_secs(3600);
/// The time to live of an offer that names none.
pub const DEFAULT_TTL: Duration = Duration::from_secs(60);
/// The longest value, in bytes.
pub const MAX_VALUE: usize = 64 * 1024;
/// The most properties of one resource.
pub const MAX_PROPERTIES: usize = 32;
/// The longest value of a property, in bytes.
pub const MAX_PROPERTY: usize = 256;
/// The most commands that wait for one program.
pub const MAX_COMMANDS: usize = 32;

/// What a program offers, or refreshes.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// What it is.
    pub description: ResourceDescription,
    /// Its value; `None` leaves the one it had.
    pub value: Option<Value>,
    /// How long it is offered if it is not refreshed.
    pub ttl: Duration,
}

/// What an offer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// The resource is new.
    New,
    /// It was there and is now described differently. Who listened for commands must listen again.
    Redescribed,
    /// It was there, and now has this value and a new time to live.
    Refreshed,
}

/// One offered resource as listings show it.
#[derive(Clone, Debug, PartialEq)]
pub struct OfferStatus {
    /// What it is.
    pub description: ResourceDescription,
    /// Its value, if it has one.
    pub value: Option<Value>,
    /// When it is withdrawn unless it is refreshed.
    pub expires: BootTime,
    /// Whether its program listens for commands.
    pub listening: bool,
}

/// Why an offer was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OfferError {
    /// There are as many as there may be.
    TooMany,
    /// The time to live is zero or longer than an hour.
    BadTtl,
    /// The value is too long, or not a finite number.
    BadValue,
    /// There are too many properties, or this one's value is too long or not finite.
    BadProperty(Option<Name>),
    /// Nothing of this name is offered.
    Unknown(Name),
    /// The resource takes no values, so there are no commands to listen for.
    NotWritable(Name),
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "{MAX_OFFERS} resources are offered, the most there may be; withdraw some"),
            Self::BadTtl => write!(f, "the time to live must be more than 0 and at most {} s", MAX_TTL.as_secs()),
            Self::BadValue => write!(f, "the value must be a finite number, or at most {MAX_VALUE} bytes"),
            Self::BadProperty(None) => write!(f, "at most {MAX_PROPERTIES} properties are taken; leave some out"),
            Self::BadProperty(Some(name)) => {
                write!(f, "the property {name} must be a finite number, or at most {MAX_PROPERTY} bytes")
            }
            Self::Unknown(name) => write!(f, "nothing called {name} is offered; offer it first"),
            Self::NotWritable(name) => write!(f, "{name} takes no values; offer it as writable to get commands"),
        }
    }
}

impl std::error::Error for OfferError {}

/// All resources that outside programs offer.
#[derive(Default)]
pub struct Offers {
    offers: Mutex<BTreeMap<Name, Arc<Outside>>>,
    changes: Signal,
}

impl Offers {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Offers a resource, or refreshes one.
    ///
    /// # Errors
    /// [`OfferError`]; then nothing changes.
    pub fn put(&self, now: BootTime, offer: Offer) -> Result<Offered, OfferError> {
        check(&offer)?;
        let name = offer.description.name;
        let expires = now + offer.ttl;
        let same = self.lock().get(&name).filter(|outside| outside.description == offer.description).cloned();
        if same.is_some_and(|outside| outside.refresh(offer.value.clone(), expires)) {
            return Ok(Offered::Refreshed);
        }
        // Signals are raised without the lock: whoever is called may look at the offers.
        let before = {
            let mut offers = self.lock();
            let before = offers.get(&name).cloned();
            if before.is_none() && offers.len() >= MAX_OFFERS {
                return Err(OfferError::TooMany);
            }
            // The value stays if none is given.
            let value = offer.value.or_else(|| before.as_ref().and_then(|outside| outside.lock().value.clone()));
            offers.insert(name, Arc::new(Outside::new(offer.description, value, expires)));
            before
        };
        let offered = if before.is_some() { Offered::Redescribed } else { Offered::New };
        if let Some(before) = before {
            before.withdraw();
        }
        self.changes.raise();
        Ok(offered)
    }

    /// Withdraws a resource.
    ///
    /// # Errors
    /// [`OfferError::Unknown`].
    pub fn withdraw(&self, name: &Name) -> Result<(), OfferError> {
        let outside = self.lock().remove(name).ok_or(OfferError::Unknown(*name))?;
        outside.withdraw();
        self.changes.raise();
        Ok(())
    }

    /// Withdraws what was not refreshed in time, and returns the names.
    pub fn expire(&self, now: BootTime) -> Vec<Name> {
        let gone: Vec<(Name, Arc<Outside>)> =
            self.lock().extract_if(.., |_, outside| outside.lock().expires <= now).collect();
        for (_, outside) in &gone {
            outside.withdraw();
        }
        if !gone.is_empty() {
            self.changes.raise();
        }
        gone.into_iter().map(|(name, _)| name).collect()
    }

    /// Listens for what the resource is told. Whoever listened before is cut off.
    ///
    /// # Errors
    /// [`OfferError::Unknown`], [`OfferError::NotWritable`].
    pub fn listen(&self, name: &Name) -> Result<Commands, OfferError> {
        let outside = self.lock().get(name).cloned().ok_or(OfferError::Unknown(*name))?;
        if !outside.description.writable {
            return Err(OfferError::NotWritable(*name));
        }
        Ok(Commands::begin(outside))
    }

    /// When [`Offers::expire`] has something to do next.
    pub fn next_expiry(&self) -> Option<BootTime> {
        self.lock().values().map(|outside| outside.lock().expires).min()
    }

    /// The drivers, by name.
    pub fn drivers(&self) -> Vec<Arc<dyn Driver>> {
        self.lock().values().map(|outside| outside.clone() as Arc<dyn Driver>).collect()
    }

    /// What is offered, by name.
    pub fn list(&self) -> Vec<OfferStatus> {
        let status = |outside: &Arc<Outside>| {
            let state = outside.lock();
            OfferStatus {
                description: outside.description.clone(),
                value: state.value.clone(),
                expires: state.expires,
                listening: state.listening.is_some(),
            }
        };
        self.lock().values().map(status).collect()
    }

    /// Tells when something is offered, described differently, or withdrawn; not when a value changes, which the
    /// driver's own signal tells.
    pub const fn changes(&self) -> &Signal {
        &self.changes
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<Outside>>> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(offer: &Offer) -> Result<(), OfferError> {
    let fits = |value: &Value, max: usize| match value {
        Value::Float(measure) => measure.is_finite(),
        Value::Text(text) => text.len() <= max,
        Value::Bytes(bytes) => bytes.len() <= max,
        _ => true,
    };
    let properties = &offer.description.properties;
    if offer.ttl.is_zero() || offer.ttl > MAX_TTL {
        Err(OfferError::BadTtl)
    } else if offer.value.as_ref().is_some_and(|value| !fits(value, MAX_VALUE)) {
        Err(OfferError::BadValue)
    } else if properties.len() > MAX_PROPERTIES {
        Err(OfferError::BadProperty(None))
    } else if let Some((name, _)) = properties.iter().find(|(_, value)| !fits(value, MAX_PROPERTY)) {
        Err(OfferError::BadProperty(Some(*name)))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::DriverError;
    use tutti_model::Unit;

    fn at(seconds: u64) -> BootTime {
        BootTime::ZERO + Duration::from_secs(seconds)
    }

    fn named(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn sensor(text: &str, value: Option<Value>, ttl: u64) -> Offer {
        let description = ResourceDescription::sensor(named(text), Unit::new("°C").unwrap());
        Offer { description, value, ttl: Duration::from_secs(ttl) }
    }

    fn lamp() -> Offer {
        let mut description = ResourceDescription::actuator(named("lamp"), Unit::EMPTY);
        description.properties.insert(named("max"), Value::Int(10));
        Offer { description, value: None, ttl: Duration::from_secs(60) }
    }

    #[test]
    fn an_offer_lives_as_long_as_it_is_refreshed() {
        let offers = Offers::new();
        assert_eq!(offers.put(at(0), sensor("weather", Some(Value::Float(4.5)), 10)), Ok(Offered::New));
        let driver = offers.drivers().remove(0);
        assert_eq!(driver.read(), Ok(Value::Float(4.5)));
        assert_eq!(offers.put(at(8), sensor("weather", None, 10)), Ok(Offered::Refreshed));
        assert_eq!(driver.read(), Ok(Value::Float(4.5)), "no value given: the old one stays");
        assert_eq!(offers.put(at(9), sensor("weather", Some(Value::Float(5.0)), 10)), Ok(Offered::Refreshed));
        assert_eq!(driver.changes().unwrap().generation(), 1);
        assert_eq!(offers.next_expiry(), Some(at(19)));
        assert!(offers.expire(at(18)).is_empty());
        assert_eq!(offers.expire(at(19)), [named("weather")]);
        assert_eq!(driver.read(), Err(DriverError::Withdrawn));
        assert!(offers.drivers().is_empty());
        assert_eq!(offers.withdraw(&named("weather")), Err(OfferError::Unknown(named("weather"))));
    }

    #[test]
    fn commands_reach_who_listens_last() {
        let offers = Offers::new();
        offers.put(at(0), lamp()).unwrap();
        let driver = offers.drivers().remove(0);
        assert_eq!(driver.read(), Err(DriverError::NoValueYet));
        assert_eq!(driver.write(&Value::Int(3)), Err(DriverError::NobodyListens));
        let first = offers.listen(&named("lamp")).unwrap();
        driver.write(&Value::Int(3)).unwrap();
        assert_eq!(driver.write(&Value::Int(11)), Err(DriverError::OutOfRange { min: f64::NEG_INFINITY, max: 10.0 }));
        assert_eq!(first.try_next(), Ok(Some(Value::Int(3))));
        let second = offers.listen(&named("lamp")).unwrap();
        assert_eq!(first.try_next(), Err(Closed));
        drop(first);
        for _ in 0..MAX_COMMANDS {
            driver.write(&Value::Bool(true)).unwrap();
        }
        assert_eq!(driver.write(&Value::Bool(true)), Err(DriverError::Busy { waiting: MAX_COMMANDS }));
        assert_eq!(second.next(Duration::ZERO), Ok(Some(Value::Bool(true))));
        drop(second);
        assert_eq!(driver.write(&Value::Bool(true)), Err(DriverError::NobodyListens));
        let third = offers.listen(&named("lamp")).unwrap();
        assert_eq!(third.next(Duration::from_millis(1)), Ok(None), "what was for another is gone");
        offers.withdraw(&named("lamp")).unwrap();
        assert_eq!(third.next(Duration::from_secs(10)), Err(Closed));
    }

    #[test]
    fn a_waiting_listener_wakes() {
        let offers = Offers::new();
        offers.put(at(0), lamp()).unwrap();
        let commands = offers.listen(&named("lamp")).unwrap();
        let waiting = std::thread::spawn(move || commands.next(Duration::from_secs(10)));
        offers.drivers().remove(0).write(&Value::Int(1)).unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(Some(Value::Int(1))));
    }

    #[test]
    fn a_new_description_replaces_the_old_resource() {
        let offers = Offers::new();
        offers.put(at(0), sensor("x", Some(Value::Int(1)), 10)).unwrap();
        let old = offers.drivers().remove(0);
        let mut offer = sensor("x", None, 10);
        offer.description.unit = Unit::new("K").unwrap();
        assert_eq!(offers.put(at(1), offer), Ok(Offered::Redescribed));
        assert_eq!(old.read(), Err(DriverError::Withdrawn));
        assert_eq!(offers.list()[0].value, Some(Value::Int(1)));
        assert_eq!(offers.changes().generation(), 2);
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let offers = Offers::new();
        let refused = |offer| offers.put(at(0), offer).unwrap_err();
        assert_eq!(refused(sensor("x", None, 0)), OfferError::BadTtl);
        assert_eq!(refused(sensor("x", None, 3601)), OfferError::BadTtl);
        assert_eq!(refused(sensor("x", Some(Value::Float(f64::NAN)), 1)), OfferError::BadValue);
        assert_eq!(refused(sensor("x", Some(Value::Bytes(vec![0; MAX_VALUE + 1])), 1)), OfferError::BadValue);
        let mut wordy = sensor("x", None, 1);
        wordy.description.properties.insert(named("p"), Value::Text("x".repeat(300)));
        assert_eq!(refused(wordy), OfferError::BadProperty(Some(named("p"))));
        let mut many = sensor("x", None, 1);
        many.description.properties = (0..33).map(|i| (named(&format!("p{i}")), Value::Int(i))).collect();
        assert_eq!(refused(many), OfferError::BadProperty(None));
        for i in 0..MAX_OFFERS {
            offers.put(at(0), sensor(&format!("r{i}"), None, 1)).unwrap();
        }
        assert_eq!(refused(sensor("x", None, 1)), OfferError::TooMany);
        assert_eq!(offers.put(at(0), sensor("r0", None, 1)), Ok(Offered::Refreshed));
        assert_eq!(offers.listen(&named("r0")).err(), Some(OfferError::NotWritable(named("r0"))));
        assert_eq!(offers.listen(&named("none")).err(), Some(OfferError::Unknown(named("none"))));
    }
}
