//! The bodies of the control API.
//!
//! Ids are hexadecimal text, times are milliseconds (moments: since 1970 UTC), words are lower-case. Readers skip
//! fields that they do not know, so a newer device may add some.

mod app;
mod cores;
mod device;
mod event;
mod history;
mod lease;
mod offer;
mod pairing;
mod resource;
mod satellite;
mod storage;
mod tree;

pub use app::{
    App, AppBinding, AppInstance, AppLevel, AppLine, AppMove, AppWant, AppsState, AuditLine, AuditWhat, CarriedApp,
    InstallCarried, InstanceState, MovePhase, MoveRequest, PlaceObstacle, PlaceOption, PlaceWhy, RecoverInstance,
    RunRequest, StandbyForetold, StandbyRequest, TellInstance,
};
pub use cores::{Core, CoreAction, CoreCrash, CoreKind, CoreLine, CorePing, CoreRequest, CoreState, StopMessage};
pub use device::{
    ApiAddresses, Check, CheckState, Device, DeviceInfo, DeviceRoom, GroupInfo, NearbyDevice, Presence, Rename, Role,
    RoleChange, Source, Traffic,
};
pub use event::Event;
pub use history::{ConsoleLink, ConsoleRequest, Happening, History, NetworkLink, Point, ResourceState, What};
pub use lease::{Lease, LeaseHolder, LeaseMode, LeaseRequest, RenewLease};
pub use offer::{Command, OfferRequest, Offered, ScreenFrame, ScreenRequest};
pub use pairing::{JoinRequest, Joined, PairingOffer, PairingRequest, PairingState, PairingStatus, RecoveryWords};
pub use resource::{Access, Audience, Controlled, Reading, Resource, SetValue, Sharing};
pub use satellite::{LinkRequest, LinkState, LinkedSatellite, SatelliteLink};
pub use storage::{StorageEntry, StorageList, Stored};
pub use tree::{MemoryBlock, MemoryDomain, MemoryMap};

/// An enum of lower-case words that prints and parses as it does in JSON.
macro_rules! words {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its word.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        // Not derived: the macro of utoipa does not see a name that came through a macro, and would describe the
        // variants' names.
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let about = [$($doc),*].map(str::trim).join(" ");
                let schema = utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::Type::String)
                    .description(Some(about))
                    .enum_values(Some(Self::ALL.iter().map(|one| one.word())));
                schema.into()
            }
        }

        impl utoipa::ToSchema for $name {}

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(word: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|one| one.word() == word).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|one| one.word()).collect();
                    format!("there is no {word:?}; there are {}", known.join(", "))
                })
            }
        }
    };
}
use words;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_in_json_and_on_the_command_line() {
        for &role in Role::ALL {
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{role}\""));
            assert_eq!(role.word().parse(), Ok(role));
        }
        assert_eq!("boss".parse::<Role>().unwrap_err(), "there is no \"boss\"; there are guest, member, owner");
    }

    #[test]
    fn requests_may_leave_out_what_has_a_default() {
        assert_eq!(serde_json::from_str::<PairingRequest>("{}").unwrap().role, Role::Member);
        assert_eq!(serde_json::from_str::<PairingRequest>("{}").unwrap().ticket_life_ms, None);
        let lease: LeaseRequest = serde_json::from_str(r#"{"resource":"kitchen/lamp"}"#).unwrap();
        assert_eq!((lease.mode, lease.duration_ms), (LeaseMode::Exclusive, None));
        let offer: OfferRequest = serde_json::from_str(r#"{"kind":"sensor","value":1}"#).unwrap();
        assert_eq!(offer, OfferRequest { value: Some(crate::Value::Int(1)), ..OfferRequest::of_kind("sensor") });
    }
}
