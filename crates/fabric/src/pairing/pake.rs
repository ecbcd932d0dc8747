//! The password-authenticated key exchange: what pairing needs of one, and the one it uses.
//!
//! A balanced PAKE turns a short password that both sides know into a strong shared key. Each run lets an
//! adversary test exactly one password, and a recording of a run lets him test none; so a six-digit code is enough
//! as long as tries are counted ([`MAX_WRONG_TRIES`](super::MAX_WRONG_TRIES)).
//!
//! [`Spake2Ed25519`] is SPAKE2 (Abdalla and Pointcheval, RSA 2005) over edwards25519 with the constants of
//! python-spake2, as the `spake2` crate implements it. That crate has not been audited, says of itself that it is
//! "probably not constant-time", and does not wipe its state. Therefore it stands behind [`Pake`], where another
//! can take its place; its output is pinned by vectors, one of them from the Python implementation; elements of low
//! order, which it would take, are refused here; and the three tries that a code has leave little to time.

use std::fmt;

use ed25519_dalek::VerifyingKey;
use rand::CryptoRng;
use spake2::{Ed25519Group, Identity, Password, Spake2};
use tutti_model::DeviceId;
use zeroize::{Zeroize, Zeroizing};

/// Which end of the exchange this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Wants to enter the group.
    Joiner,
    /// Takes others into its group.
    Host,
}

/// What one end sends to the other: a curve point.
pub type Share = [u8; 32];

/// What both ends have afterwards: the same if the passwords and identities were.
pub type SharedKey = Zeroizing<[u8; 32]>;

/// The other end's share is no curve point, or one of low order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadShare;

impl fmt::Display for BadShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its share of the key exchange is not valid")
    }
}

impl std::error::Error for BadShare {}

/// A balanced password-authenticated key exchange with the two devices' ids as identities.
pub trait Pake: Sized {
    /// Begins: gives the state to keep and the share to send.
    fn start(
        side: Side,
        password: &[u8; 32],
        joiner: DeviceId,
        host: DeviceId,
        rng: &mut dyn CryptoRng,
    ) -> (Self, Share);

    /// Takes the other end's share and gives the key. A wrong password shows only in the key being different.
    fn finish(self, share: &Share) -> Result<SharedKey, BadShare>;
}

/// The exchange that pairing uses.
pub type Chosen = Spake2Ed25519;

/// SPAKE2 over edwards25519.
pub struct Spake2Ed25519 {
    side: Side,
    state: Spake2<Ed25519Group>,
}

impl Spake2Ed25519 {
    fn start_with(side: Side, password: &[u8], joiner: &[u8], host: &[u8], rng: &mut dyn CryptoRng) -> (Self, Share) {
        let (password, joiner, host) = (Password::new(password), Identity::new(joiner), Identity::new(host));
        let (state, message) = match side {
            Side::Joiner => Spake2::start_a_with_rng(&password, &joiner, &host, rng),
            Side::Host => Spake2::start_b_with_rng(&password, &joiner, &host, rng),
        };
        let mut share = [0; 32];
        // The crate's message is one byte for the side and 32 for the point. The side is clear from the frame that
        // the share comes in, so it does not travel.
        share.copy_from_slice(&message[1..]);
        (Self { side, state }, share)
    }
}

impl Pake for Spake2Ed25519 {
    fn start(
        side: Side,
        password: &[u8; 32],
        joiner: DeviceId,
        host: DeviceId,
        rng: &mut dyn CryptoRng,
    ) -> (Self, Share) {
        Self::start_with(side, password, joiner.as_bytes(), host.as_bytes(), rng)
    }

    fn finish(self, share: &Share) -> Result<SharedKey, BadShare> {
        if VerifyingKey::from_bytes(share).map_err(|_| BadShare)?.is_weak() {
            return Err(BadShare);
        }
        let mut message = [0; 33];
        message[0] = match self.side {
            Side::Joiner => b'B',
            Side::Host => b'A',
        };
        message[1..].copy_from_slice(share);
        let mut bytes = self.state.finish(&message).map_err(|_| BadShare)?;
        let key = <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new).map_err(|_| BadShare);
        bytes.as_mut_slice().zeroize();
        key
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::FixedRng, *};

    fn hex(bytes: &[u8]) -> String {
        data_encoding::HEXLOWER.encode(bytes)
    }

    /// A number written in decimal, little-endian, as the 64 random bytes that reduce to this scalar.
    fn scalar(decimal: &str) -> FixedRng {
        let mut bytes = vec![0u8; 64];
        for digit in decimal.bytes() {
            let mut carry = u32::from(digit - b'0');
            for byte in &mut bytes {
                carry += u32::from(*byte) * 10;
                *byte = carry as u8;
                carry >>= 8;
            }
        }
        FixedRng::bytes(bytes)
    }

    /// The vector that python-spake2 and the Rust crate share (`test_asymmetric` in the crate).
    #[test]
    fn agrees_with_the_python_implementation() {
        let mut a = scalar("2611694063369306139794446498317402240796898290761098242657700742213257926693");
        let mut b = scalar("7002393159576182977806091886122272758628412261510164356026361256515836884383");
        let (joiner, to_host) = Spake2Ed25519::start_with(Side::Joiner, b"password", b"idA", b"idB", &mut a);
        let (host, to_joiner) = Spake2Ed25519::start_with(Side::Host, b"password", b"idA", b"idB", &mut b);
        assert_eq!(hex(&to_host), "6fc960df73c9cf8ed7198b0c9534e2e96a5984bfc5edc023fd24dacf371f2af9");
        assert_eq!(hex(&to_joiner), "354e97b88406922b1df4bea1d7870f17aed3dba7c720b313edae315b00959309");
        let expected = "712295de7219c675ddd31942184aa26e0a957cf216bc230d165b215047b520c1";
        assert_eq!(hex(joiner.finish(&to_joiner).unwrap().as_slice()), expected);
        assert_eq!(hex(host.finish(&to_host).unwrap().as_slice()), expected);
    }

    fn run(password: [&[u8; 32]; 2], ids: [[u8; 2]; 2]) -> [SharedKey; 2] {
        let id = |byte| DeviceId::from_bytes([byte; 32]);
        let mut rng = FixedRng::seeded("pake");
        let [[joiner, host], [joiner_as_seen, host_as_seen]] = ids;
        let (a, to_host) = Spake2Ed25519::start(Side::Joiner, password[0], id(joiner), id(host), &mut rng);
        let (b, to_joiner) =
            Spake2Ed25519::start(Side::Host, password[1], id(joiner_as_seen), id(host_as_seen), &mut rng);
        [a.finish(&to_joiner).unwrap(), b.finish(&to_host).unwrap()]
    }

    #[test]
    fn pinned_with_our_identities() {
        let [a, b] = run([&[3; 32], &[3; 32]], [[1, 2], [1, 2]]);
        assert_eq!(a, b);
        insta::assert_snapshot!(hex(a.as_slice()), @"163349ac15cd4f4e1795c332a634089d9bb19023a17cb37e47e570b787dce884");
    }

    #[test]
    fn keys_differ_when_a_password_or_an_identity_does() {
        for (passwords, ids) in [
            ([&[3; 32], &[4; 32]], [[1, 2], [1, 2]]),
            ([&[3; 32], &[3; 32]], [[1, 2], [9, 2]]),
            ([&[3; 32], &[3; 32]], [[1, 2], [1, 9]]),
            ([&[3; 32], &[3; 32]], [[1, 2], [2, 1]]),
        ] {
            let [a, b] = run(passwords, ids);
            assert_ne!(a, b, "{passwords:?} {ids:?}");
        }
    }

    #[test]
    fn a_reflected_share_gives_no_common_key() {
        let id = |byte| DeviceId::from_bytes([byte; 32]);
        let mut rng = FixedRng::seeded("reflection");
        let start = |side, rng: &mut FixedRng| Spake2Ed25519::start(side, &[3; 32], id(1), id(2), rng);
        let (joiner, to_host) = start(Side::Joiner, &mut rng);
        let (host, to_joiner) = start(Side::Host, &mut rng);
        assert_ne!(joiner.finish(&to_host).unwrap(), host.finish(&to_joiner).unwrap());
    }

    #[test]
    fn shares_of_low_order_and_what_is_no_point_are_refused() {
        let id = |byte| DeviceId::from_bytes([byte; 32]);
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut order_2 = [0xff; 32];
        (order_2[0], order_2[31]) = (0xec, 0x7f);
        let order_4 = [0; 32];
        let mut no_point = [0; 32];
        no_point[0] = 2;
        for share in [identity, order_2, order_4, no_point] {
            let mut rng = FixedRng::seeded("low order");
            let (host, _) = Spake2Ed25519::start(Side::Host, &[3; 32], id(1), id(2), &mut rng);
            assert_eq!(host.finish(&share).err(), Some(BadShare), "{}", hex(&share));
        }
    }
}
