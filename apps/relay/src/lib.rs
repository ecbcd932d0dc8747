//! A rule: when a sensor is above one value an actuator goes on, when it is below another it goes off. In between it stays as it
//! is, so that a value that trembles about one mark does not make a lamp flicker.
//!
//! It is told its settings by messages (`tutti app tell INSTANCE "above 25 below 24"`), and keeps them in its `kv`, where they
//! outlive a new version of the app:
//!
//! | words | meaning | at first |
//! |---|---|---|
//! | `above 25` | goes on above this | 25 |
//! | `below 24` | goes off below this; not above the other | 24 |
//! | `on 100`, `off 0` | what the actuator is set to: a number, `true` or `false` | `true`, `false` |
//! | `silent 60` | goes off after so many seconds without a reading: no heater stays on for a dead thermometer. 0: never | 60 |
//!
//! "show" is answered with all of them and the present state.

use std::cell::RefCell;

wit_bindgen::generate!({ path: "../../wit", world: "app" });

use exports::tutti::app::events::{Action, Guest, Reading};
use tutti::app::{
    actuator, clock, kv,
    log::{self, Level},
    messages, sensor,
    types::{Failure, Value},
};

/// The manifest's words.
const SENSOR: &str = "sensor";
const ACTUATOR: &str = "actuator";

/// Where in its `kv` the settings are.
const SETTINGS: &str = "settings";

/// The least milliseconds between two readings.
const PACE: u32 = 1000;

/// The timer that goes off when the sensor is silent.
const SILENCE: u32 = 1;

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    above: f64,
    below: f64,
    on: Setting,
    off: Setting,
    silent: u32,
}

/// What an actuator can be set to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Setting {
    Switch(bool),
    Whole(i64),
    Number(f64),
}

impl Setting {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "true" => Some(Self::Switch(true)),
            "false" => Some(Self::Switch(false)),
            _ => match word.parse() {
                Ok(whole) => Some(Self::Whole(whole)),
                Err(_) => word.parse().ok().filter(|it: &f64| it.is_finite()).map(Self::Number),
            },
        }
    }

    fn value(self) -> Value {
        match self {
            Self::Switch(it) => Value::Bool(it),
            Self::Whole(it) => Value::Int(it),
            Self::Number(it) => Value::Float(it),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Switch(it) => it.to_string(),
            Self::Whole(it) => it.to_string(),
            Self::Number(it) => it.to_string(),
        }
    }
}

impl Default for Rule {
    fn default() -> Self {
        Self { above: 25.0, below: 24.0, on: Setting::Switch(true), off: Setting::Switch(false), silent: 60 }
    }
}

impl Rule {
    /// With what these words say, or what is wrong with them.
    fn with(&self, text: &str) -> Result<Self, String> {
        let mut rule = self.clone();
        let mut words = text.split_whitespace();
        while let Some(word) = words.next() {
            let given = words.next().ok_or_else(|| format!("{word} wants a value"))?;
            let wrong = || format!("{given:?} is no value for {word}");
            let number = || given.parse().ok().filter(|it: &f64| it.is_finite()).ok_or_else(wrong);
            match word {
                "above" => rule.above = number()?,
                "below" => rule.below = number()?,
                "on" => rule.on = Setting::parse(given).ok_or_else(wrong)?,
                "off" => rule.off = Setting::parse(given).ok_or_else(wrong)?,
                "silent" => rule.silent = given.parse().map_err(|_| wrong())?,
                _ => return Err(format!("there is no {word:?}; there are above, below, on, off and silent")),
            }
        }
        if rule.below > rule.above {
            return Err(format!("below ({}) must not be over above ({})", rule.below, rule.above));
        }
        Ok(rule)
    }

    fn text(&self) -> String {
        let Self { above, below, on, off, silent } = self;
        format!("above {above} below {below} on {} off {} silent {silent}", on.text(), off.text())
    }
}

#[derive(Default)]
struct Relay {
    rule: Rule,
    /// What the actuator was set to last; nothing has been done yet if there is none.
    on: Option<bool>,
    last: Option<f64>,
}

thread_local! {
    static RELAY: RefCell<Relay> = RefCell::default();
}

impl Relay {
    /// Holds the last reading against the rule.
    fn judge(&mut self) {
        let Some(value) = self.last else { return };
        let wanted = if value > self.rule.above {
            true
        } else if value < self.rule.below {
            false
        } else {
            // Nothing was done yet: between the marks it is off.
            self.on.unwrap_or(false)
        };
        if self.on != Some(wanted) {
            self.set(wanted, &format!("at {value}"));
        }
    }

    fn set(&mut self, on: bool, why: &str) {
        let setting = if on { self.rule.on } else { self.rule.off };
        match actuator::set(ACTUATOR, &setting.value()) {
            Ok(()) => {
                self.on = Some(on);
                log::write(Level::Info, &format!("{} ({why})", if on { "on" } else { "off" }));
            }
            // It is tried again with the next reading, and when there is an actuator.
            Err(Failure::NotThere) => self.on = None,
            Err(error) => log::write(Level::Error, &format!("the actuator cannot be set: {error:?}")),
        }
    }

    fn watch(&self) {
        match self.rule.silent {
            0 => clock::clear_timer(SILENCE),
            seconds => {
                // One timer is always within the limit.
                let _ = clock::set_timer(SILENCE, u64::from(seconds) * 1000);
            }
        }
    }

    fn told(&mut self, text: &str) -> String {
        if text.trim() != "show" {
            match self.rule.with(text) {
                Ok(rule) => {
                    let other = (rule.on, rule.off) != (self.rule.on, self.rule.off);
                    self.rule = rule;
                    if let Err(error) = kv::set(SETTINGS, self.rule.text().as_bytes()) {
                        log::write(Level::Error, &format!("the settings cannot be kept: {error:?}"));
                    }
                    if other {
                        self.on = None;
                    }
                    self.judge();
                    self.watch();
                }
                Err(wrong) => return wrong,
            }
        }
        let state = match self.on {
            Some(true) => "on",
            Some(false) => "off",
            None => "nothing done yet",
        };
        let value = self.last.map_or_else(|| "no reading yet".into(), |it| it.to_string());
        format!("{}; {state}, {value}", self.rule.text())
    }
}

struct App;

impl Guest for App {
    fn started() {
        RELAY.with_borrow_mut(|relay| {
            // Settings of an instance before it, of another version perhaps.
            let kept = kv::get(SETTINGS).and_then(|bytes| String::from_utf8(bytes).ok());
            if let Some(Ok(rule)) = kept.map(|text| relay.rule.with(&text)) {
                relay.rule = rule;
            }
            relay.watch();
        });
        if let Err(error) = sensor::follow(SENSOR, PACE) {
            log::write(Level::Error, &format!("the sensor cannot be followed: {error:?}"));
        }
    }

    /// What it follows and its timers have come along, and so has what it knows.
    fn resumed() {}

    fn timer(_: u32) {
        RELAY.with_borrow_mut(|relay| {
            relay.last = None;
            let why = format!("no reading for {} s", relay.rule.silent);
            if relay.on == Some(true) {
                relay.set(false, &why);
            } else {
                log::write(Level::Warn, &why);
            }
        });
    }

    fn measured(_: String, reading: Reading) {
        let value = match reading.value {
            Value::Bool(it) => f64::from(u8::from(it)),
            Value::Int(it) => it as f64,
            Value::Float(it) if it.is_finite() => it,
            _ => return log::write(Level::Warn, "the sensor does not give numbers"),
        };
        RELAY.with_borrow_mut(|relay| {
            relay.last = Some(value);
            relay.judge();
            relay.watch();
        });
    }

    fn input(_: String, _: Action) {}

    fn message(from: String, body: Vec<u8>) {
        let told = RELAY.with_borrow_mut(|relay| relay.told(&String::from_utf8_lossy(&body)));
        log::write(Level::Info, &told);
        // Whoever asked may be a person, to whom no message can be sent: the log has the answer.
        let _ = messages::send(&from, told.as_bytes());
    }

    fn changed(name: String, there: bool) {
        // Another actuator, or the same after a while: it is to be as the rule says.
        if there && name == ACTUATOR {
            RELAY.with_borrow_mut(|relay| {
                relay.on = None;
                relay.judge();
            });
        }
    }
}

export!(App);
