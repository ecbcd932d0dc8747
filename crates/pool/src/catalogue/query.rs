//! Finding devices and resources in the catalogue.

use std::{fmt, str::FromStr};

use tutti_model::{DeviceId, Name, ResourceKind, Value, text::TextError};

use super::{Catalogue, DeviceEntry, ResourceEntry};

/// A text named no device, or more than one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// No device has this name or id.
    Unknown(String),
    /// Several devices do; the ids tell them apart.
    Ambiguous {
        /// The text.
        text: String,
        /// The devices it could mean.
        candidates: Vec<(DeviceId, Name)>,
    },
}

impl fmt::Display for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(text) => write!(f, "no device is named {text:?}; list the devices to see which there are"),
            Self::Ambiguous { text, candidates } => {
                write!(f, "{text:?} could be")?;
                for (i, (device, name)) in candidates.iter().enumerate() {
                    write!(f, "{} {} ({name})", if i == 0 { "" } else { "," }, device.short())?;
                }
                f.write_str("; use the id")
            }
        }
    }
}

impl std::error::Error for Lookup {}

/// The fewest digits of an id that are taken for one.
const MIN_ID_DIGITS: usize = 6;

/// What to look for: a resource matches if everything given matches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// Only this kind.
    pub kind: Option<ResourceKind>,
    /// Only on this device.
    pub device: Option<DeviceId>,
    /// Only with this name.
    pub name: Option<Name>,
    /// Only with all of these properties.
    pub properties: Vec<PropertyFilter>,
    /// Only those (not) made up.
    pub simulated: Option<bool>,
}

/// A condition on one property of a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct PropertyFilter {
    /// The property. `unit` means the resource's unit if it has no property of that name.
    pub name: Name,
    /// The condition.
    pub test: PropertyTest,
}

/// What a property must be.
#[derive(Clone, Debug, PartialEq)]
pub enum PropertyTest {
    /// There.
    Exists,
    /// Equal: as a number if both are numbers, else letter by letter.
    Is(String),
    /// A number, and at least this.
    AtLeast(f64),
    /// A number, and at most this.
    AtMost(f64),
}

/// The text is no property filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadFilter {
    /// The part before the sign is no name.
    Name(TextError),
    /// The part behind `>=` or `<=` is no number.
    Number,
}

impl fmt::Display for BadFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => write!(f, "the property's name is not one: {error}"),
            Self::Number => f.write_str("a number must follow >= and <="),
        }
    }
}

impl std::error::Error for BadFilter {}

impl FromStr for PropertyFilter {
    type Err = BadFilter;

    /// `model`, `model=bme280`, `max>=100`, `resolution<=0.5`.
    fn from_str(text: &str) -> Result<Self, BadFilter> {
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| BadFilter::Number);
        let (name, test) = if let Some((name, least)) = text.split_once(">=") {
            (name, PropertyTest::AtLeast(number(least)?))
        } else if let Some((name, most)) = text.split_once("<=") {
            (name, PropertyTest::AtMost(number(most)?))
        } else if let Some((name, value)) = text.split_once('=') {
            (name, PropertyTest::Is(value.trim().to_owned()))
        } else {
            (text, PropertyTest::Exists)
        };
        Ok(Self { name: Name::new(name.trim()).map_err(BadFilter::Name)?, test })
    }
}

impl PropertyTest {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Exists => true,
            Self::Is(text) => match (value, text.parse::<f64>()) {
                (Value::Bool(on), _) if text.eq_ignore_ascii_case(&on.to_string()) => true,
                (Value::Text(word), _) => word == text,
                (value, Ok(number)) => value.as_f64() == Some(number),
                (value, Err(_)) => value.to_string() == *text,
            },
            Self::AtLeast(least) => value.as_f64().is_some_and(|number| number >= *least),
            Self::AtMost(most) => value.as_f64().is_some_and(|number| number <= *most),
        }
    }
}

impl Query {
    /// Whether a resource is what is looked for.
    pub fn matches(&self, entry: &ResourceEntry<'_>) -> bool {
        let resource = entry.resource;
        let unit = || Value::Text(resource.unit.to_string());
        let property = |filter: &PropertyFilter| match resource.properties.get(&filter.name) {
            Some(value) => filter.test.holds(value),
            None => filter.name.as_str() == "unit" && !resource.unit.is_empty() && filter.test.holds(&unit()),
        };
        self.kind.is_none_or(|kind| kind == resource.kind)
            && self.device.is_none_or(|device| device == entry.device.device)
            && self.name.is_none_or(|name| name == resource.name)
            && self.simulated.is_none_or(|simulated| simulated == resource.simulated)
            && self.properties.iter().all(property)
    }
}

impl Catalogue {
    /// The resources that match.
    pub fn query<'a>(&'a self, query: &'a Query) -> impl Iterator<Item = ResourceEntry<'a>> {
        self.resources().filter(|entry| query.matches(entry))
    }

    /// The device that a person means: by its name, its id, or at least the first six digits of its id.
    pub fn find(&self, text: &str) -> Result<&DeviceEntry, Lookup> {
        let digits = text.to_ascii_lowercase();
        let is_prefix = digits.len() >= MIN_ID_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let named = |entry: &&DeviceEntry| entry.name.as_str() == text;
        let has_id = |entry: &&DeviceEntry| is_prefix && entry.device.to_string().starts_with(&digits);
        let mut candidates: Vec<&DeviceEntry> = self.devices.values().filter(named).collect();
        if candidates.is_empty() {
            candidates = self.devices.values().filter(has_id).collect();
        }
        match candidates.as_slice() {
            [] => Err(Lookup::Unknown(text.to_owned())),
            [one] => Ok(one),
            many => Err(Lookup::Ambiguous {
                text: text.to_owned(),
                candidates: many.iter().map(|entry| (entry.device, entry.name)).collect(),
            }),
        }
    }
}
