//! What resources give and take.

use alloc::{string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::time::WallTime;

/// A value read from or written to a resource, or a property of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Value {
    /// A switch.
    Bool(bool),
    /// A count.
    Int(i64),
    /// A measure, in the resource's unit.
    Float(f64),
    /// Words: a line of text for a display, a state's name.
    Text(String),
    /// Anything else; what it is, the resource's description says (an image for a display is PNG).
    Bytes(Vec<u8>),
}

impl Value {
    /// The value as a number, if it is one (a switch is 0 or 1).
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Bool(on) => Some(f64::from(u8::from(on))),
            Self::Int(count) => Some(count as f64),
            Self::Float(measure) => Some(measure),
            Self::Text(_) | Self::Bytes(_) => None,
        }
    }

    /// The word for what sort of value it is.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Bool(_) => "switch",
            Self::Int(_) => "whole number",
            Self::Float(_) => "number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(true) => f.write_str("on"),
            Self::Bool(false) => f.write_str("off"),
            Self::Int(count) => write!(f, "{count}"),
            Self::Float(measure) => write!(f, "{measure:.2}"),
            Self::Text(text) => f.write_str(text),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

/// A value with the moment it was taken, by its device's calendar clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// What was read.
    pub value: Value,
    /// When.
    pub at: WallTime,
}
