//! Signatures over bytes as they were received.

use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::id::DeviceId;

/// What a signature is about, so that one made for one purpose says nothing for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context(pub &'static str);

impl Context {
    /// A device describing itself.
    pub const DEVICE_RECORD: Self = Self("tutti 1 device record");
    /// An entry of a trust group.
    pub const GROUP_ENTRY: Self = Self("tutti 1 group entry");
    /// A lease handed over by its holder to another device.
    pub const LEASE_HANDOVER: Self = Self("tutti 1 lease hand-over");

    fn bind(self, bytes: &[u8]) -> Vec<u8> {
        let mut message = Vec::with_capacity(self.0.len() + 1 + bytes.len());
        message.extend_from_slice(self.0.as_bytes());
        message.push(0);
        message.extend_from_slice(bytes);
        message
    }
}

/// The signature is not that of the named device over these bytes in this context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadSignature;

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signature does not match: altered, or signed by another key")
    }
}

impl core::error::Error for BadSignature {}

/// Bytes with an Ed25519 signature. They stay exactly as received, so that relaying them keeps them valid.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    bytes: Vec<u8>,
    #[serde(with = "signature_bytes")]
    signature: [u8; 64],
}

impl Signed {
    /// Signs `bytes` for one purpose.
    pub fn sign(context: Context, bytes: Vec<u8>, key: &SigningKey) -> Self {
        let signature = key.sign(&context.bind(&bytes)).to_bytes();
        Self { bytes, signature }
    }

    /// Puts together what came in two parts. Nothing is checked yet.
    pub fn from_parts(bytes: Vec<u8>, signature: [u8; 64]) -> Self {
        Self { bytes, signature }
    }

    /// The bytes, if `signer` signed them for this purpose. Strict: refuses weak keys and malleable signatures.
    pub fn verify(&self, context: Context, signer: DeviceId) -> Result<&[u8], BadSignature> {
        let key = VerifyingKey::from_bytes(signer.as_bytes()).map_err(|_| BadSignature)?;
        key.verify_strict(&context.bind(&self.bytes), &Signature::from_bytes(&self.signature))
            .map_err(|_| BadSignature)?;
        Ok(&self.bytes)
    }

    /// The bytes without any check: for finding out who claims to have signed them, and for storing them.
    pub fn unverified(&self) -> &[u8] {
        &self.bytes
    }

    /// The signature.
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed({} bytes)", self.bytes.len())
    }
}

/// Serde has no arrays of 64; on the wire they are 64 bytes without a length.
mod signature_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 64], serializer: S) -> Result<S::Ok, S::Error> {
        let (front, back): ([u8; 32], [u8; 32]) = halves(bytes);
        (front, back).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 64], D::Error> {
        let (front, back) = <([u8; 32], [u8; 32])>::deserialize(deserializer)?;
        Ok(core::array::from_fn(|i| if i < 32 { front[i] } else { back[i - 32] }))
    }

    fn halves(bytes: &[u8; 64]) -> ([u8; 32], [u8; 32]) {
        (core::array::from_fn(|i| bytes[i]), core::array::from_fn(|i| bytes[32 + i]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(seed: u8) -> (SigningKey, DeviceId) {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let id = DeviceId::from_bytes(key.verifying_key().to_bytes());
        (key, id)
    }

    #[test]
    fn only_the_signer_in_the_same_context_verifies() {
        let (key_a, a) = key(1);
        let (_, b) = key(2);
        let signed = Signed::sign(Context::DEVICE_RECORD, b"hello".to_vec(), &key_a);
        assert_eq!(signed.verify(Context::DEVICE_RECORD, a), Ok(b"hello".as_slice()));
        assert_eq!(signed.verify(Context::DEVICE_RECORD, b), Err(BadSignature));
        assert_eq!(signed.verify(Context::GROUP_ENTRY, a), Err(BadSignature));
        assert_eq!(signed.verify(Context::DEVICE_RECORD, DeviceId::from_bytes([0; 32])), Err(BadSignature));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn one_changed_bit_is_noticed(at in 0usize..12 + 64, bit in 0u8..8) {
            let (key, id) = key(1);
            let signed = Signed::sign(Context::DEVICE_RECORD, b"twelve bytes".to_vec(), &key);
            let wire = postcard::to_allocvec(&signed).unwrap();
            prop_assert_eq!(wire.len(), 1 + 12 + 64);
            let mut altered = wire.clone();
            altered[1 + at] ^= 1 << bit;
            let altered: Signed = postcard::from_bytes(&altered).unwrap();
            prop_assert_eq!(altered.verify(Context::DEVICE_RECORD, id), Err(BadSignature));
        }
    }
}
