//! What outside programs offer through this device: resources of their own, and screens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Sharing;
// Under another name: utoipa takes a field of a type called `Value` for one of serde_json, which may be anything.
use crate::Value as AnyValue;

/// Offers a resource of this device, or refreshes it. One that is not refreshed within `ttl_ms` is withdrawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OfferRequest {
    /// `sensor`, `actuator`, ….
    pub kind: String,
    /// The unit of its values.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, AnyValue>,
    /// Its value from now on; without one the last stays. A resource that never had one is not readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<AnyValue>,
    /// Whether it takes values: they come as `GET /v1/offers/{name}/commands`.
    #[serde(default)]
    pub writable: bool,
    /// How it may be leased: shared if left out.
    #[serde(default = "shared")]
    pub sharing: Sharing,
    /// Whether its values are made up.
    #[serde(default)]
    pub simulated: bool,
    /// For how long without a refresh: 60 s if left out, at most an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

const fn shared() -> Sharing {
    Sharing::Shared
}

impl OfferRequest {
    /// An offer of this kind with everything else left out.
    pub fn of_kind(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            unit: String::new(),
            properties: BTreeMap::new(),
            value: None,
            writable: false,
            sharing: Sharing::Shared,
            simulated: false,
            ttl_ms: None,
        }
    }
}

/// A resource that an outside program offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Offered {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The unit of its values; empty for none.
    pub unit: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<AnyValue>,
    /// When it was offered or refreshed last: milliseconds since 1970.
    pub at: u64,
    /// Whether it takes values.
    pub writable: bool,
    /// For how long it stays without a refresh.
    pub expires_in_ms: u64,
}

/// A value that somebody sets an offered resource to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Command {
    /// The value.
    pub value: AnyValue,
    /// The id of the device that sets it.
    pub from: String,
    /// Its name.
    pub from_name: String,
}

/// Opens a screen: a display resource of this device that stays as long as the answer is being read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScreenRequest {
    /// Its width in characters.
    pub columns: u16,
    /// Its height in lines.
    pub rows: u16,
    /// The width of the largest picture that it shows, in pixels; with `height`. If there is none, a character is as wide as a
    /// pixel, and as high as two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u16>,
    /// Its height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u16>,
}

/// What a screen shows: text, or an image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ScreenFrame {
    /// Lines of text.
    #[serde(default)]
    pub text: Vec<String>,
    /// An image: PNG, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The name of the device that drew it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}
