//! Whom a handshake is for.
//!
//! iroh sends the first packet of a handshake to every address that it knows of a device, takes the first answer, and
//! fails if that comes from another key. After a new lease of addresses, or a port taken over, that happens between
//! honest devices, and the right one is never reached as long as the wrong one is quicker.
//!
//! So the dialler adds to the protocols that it offers (ALPN, which others can read in the first packet) one more,
//! `tutti/to/` and 32 hexadecimal digits: 8 random bytes, and the first 8 of their BLAKE3 hash together with the id that
//! is dialled. A device that finds itself meant, or finds no such hint, answers at once. Another waits for
//! [`HOLD_BACK`] first: by then, the right one has answered if it is there; if not, the dialler still learns that the
//! key is wrong. Whoever listens learns no id that it did not know before.
//!
//! The hint is only a hint: keys are proved by the handshake. A stranger on the network who answers quickly on purpose
//! can still spoil attempts, as it can by other means.

use std::time::Duration;

use data_encoding::HEXLOWER;
use tutti_model::DeviceId;

/// How long whoever is not meant waits before it answers.
pub(super) const HOLD_BACK: Duration = Duration::from_millis(300);

const PREFIX: &[u8] = b"tutti/to/";
const SALT: usize = 8;
const HASH: usize = 8;

/// The extra protocol to offer when dialling `to`.
pub(super) fn hint(to: DeviceId, salt: [u8; SALT]) -> Vec<u8> {
    let mut hint = PREFIX.to_vec();
    hint.extend_from_slice(HEXLOWER.encode(&salt).as_bytes());
    hint.extend_from_slice(HEXLOWER.encode(&hash(to, salt)).as_bytes());
    hint
}

/// Whether an offered protocol says that somebody else than `me` is meant.
pub(super) fn means_another(offered: &[u8], me: DeviceId) -> bool {
    let Some(digits) = offered.strip_prefix(PREFIX).and_then(|digits| str::from_utf8(digits).ok()) else {
        return false;
    };
    let Some(bytes) = tutti_model::id::read_hex::<{ SALT + HASH }>(digits) else { return false };
    let salt: [u8; SALT] = std::array::from_fn(|at| bytes[at]);
    bytes[SALT..] != hash(me, salt)
}

fn hash(to: DeviceId, salt: [u8; SALT]) -> [u8; HASH] {
    let mut hasher = blake3::Hasher::new_derive_key("tutti 1 addressee of a handshake");
    hasher.update(&salt).update(to.as_bytes());
    let full = hasher.finalize();
    std::array::from_fn(|at| full.as_bytes()[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_meant_is_meant() {
        let (me, other) = (DeviceId::from_bytes([1; 32]), DeviceId::from_bytes([2; 32]));
        assert!(!means_another(&hint(me, [7; 8]), me));
        assert!(means_another(&hint(other, [7; 8]), me));
        assert_eq!(hint(me, [7; 8]).len(), 9 + 32);
        assert_ne!(hint(me, [7; 8])[25..], hint(me, [8; 8])[25..]);
    }

    #[test]
    fn anything_else_is_no_hint() {
        let me = DeviceId::from_bytes([1; 32]);
        let good = hint(DeviceId::from_bytes([2; 32]), [7; 8]);
        for offered in
            [b"".as_slice(), b"tutti/pool", b"tutti/to/", b"tutti/to/zz", &good[..40], &[&good[..], b"0"].concat()]
        {
            assert!(!means_another(offered, me), "{offered:?}");
        }
        assert!(!means_another(&[b"tutti/to/".as_slice(), &[0xff; 32]].concat(), me));
    }
}
