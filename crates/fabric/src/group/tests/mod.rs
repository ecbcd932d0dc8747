//! Tests of the trust group, and what they share.

use ed25519_dalek::SigningKey;

use super::*;

pub(super) use tutti_model::{Name, WallTime};

mod golden;
mod grants;
mod limits;
mod properties;
mod scenarios;

/// A device of the tests.
pub(super) struct Device {
    pub(super) key: SigningKey,
    pub(super) id: DeviceId,
}

/// The device with this number.
pub(super) fn device(number: u8) -> Device {
    let mut seed = [0x5a; 32];
    seed[0] = number;
    let key = SigningKey::from_bytes(&seed);
    let id = DeviceId::from_bytes(key.verifying_key().to_bytes());
    Device { key, id }
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn at(second: u64) -> WallTime {
    WallTime::from_unix_millis(second * 1000)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Roles by the number of the device.
pub(super) fn roles(group: &Group) -> String {
    let letter = |number: u8| (b'a' + number) as char;
    let role = |number: u8| group.role_of(device(number).id).map(|role| format!("{} {role}", letter(number)));
    (0..26).filter_map(role).collect::<Vec<_>>().join(", ")
}

/// An entry that no honest device would make: signed whatever it says.
pub(super) fn forge(
    key: &SigningKey,
    group: &Group,
    parents: &[EntryHash],
    authority: EntryHash,
    action: Action,
) -> Signed {
    let mut parents = parents.to_vec();
    parents.sort_unstable();
    let author = DeviceId::from_bytes(key.verifying_key().to_bytes());
    let authority = Some(authority);
    let entry = Entry { group: Some(group.id()), parents, authority, author, at: at(99), nonce: [9; 16], action };
    entry.sign(key).unwrap()
}
