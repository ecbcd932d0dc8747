//! What both ends saw, and the keys and codes that bind it.
//!
//! The [`Transcript`] is a running hash over everything that was said, frame by frame and byte by byte as sent,
//! begun with the protocol's name and both device ids. The four [`Keys`] are derived from the shared key of the
//! exchange, each for one purpose, so that no code made for one step is worth anything at another. This is the shape of
//! RFC 9382, section 4 (confirmation keys derived apart from each other; identities and shares in the transcript).

use subtle::ConstantTimeEq;
use tutti_model::DeviceId;
use zeroize::Zeroizing;

use super::{
    frame::{self, FrameKind},
    pake::SharedKey,
};

/// A message authentication code: keyed BLAKE3.
pub(super) type Mac = [u8; 32];

/// A running hash over the attempt so far.
#[derive(Clone)]
pub(super) struct Transcript(Box<blake3::Hasher>);

impl Transcript {
    /// Of an attempt between these two devices.
    pub(super) fn new(joiner: DeviceId, host: DeviceId) -> Self {
        let mut transcript = Self(Box::new(blake3::Hasher::new_derive_key("tutti pairing 1: transcript")));
        transcript.add("joiner", joiner.as_bytes());
        transcript.add("host", host.as_bytes());
        transcript
    }

    /// Adds bytes under a label; lengths in front keep any two rows of additions apart.
    pub(super) fn add(&mut self, label: &str, bytes: &[u8]) {
        for part in [label.as_bytes(), bytes] {
            self.0.update(&(part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    /// The code over everything so far.
    pub(super) fn mac(&self, key: &[u8; 32]) -> Mac {
        *blake3::keyed_hash(key, self.0.finalize().as_bytes()).as_bytes()
    }

    /// Whether `mac` is the code over everything so far. Constant time.
    pub(super) fn verify(&self, key: &[u8; 32], mac: &Mac) -> bool {
        self.mac(key).ct_eq(mac).into()
    }

    /// Takes in a frame of ours and gives it with the code, over it and all before, at its end.
    pub(super) fn seal(&mut self, key: &[u8; 32], kind: FrameKind, frame: Vec<u8>) -> Vec<u8> {
        self.add(kind.word(), &frame);
        frame::with_code(frame, &self.mac(key))
    }

    /// Takes in a frame of theirs, if the code at its end is right.
    pub(super) fn open(&mut self, key: &[u8; 32], kind: FrameKind, frame: &[u8]) -> Result<(), Forged> {
        let (frame, mac) = frame::split_code(frame).ok_or(Forged)?;
        self.add(kind.word(), frame);
        if self.verify(key, mac) { Ok(()) } else { Err(Forged) }
    }
}

/// The code at the end of a frame is missing or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forged;

/// The keys of one attempt.
#[derive(Clone)]
pub(super) struct Keys {
    /// The host shows that it has the key.
    pub(super) host_confirm: Zeroizing<[u8; 32]>,
    /// The joiner shows that it has the key.
    pub(super) joiner_confirm: Zeroizing<[u8; 32]>,
    /// The host hands over its group.
    pub(super) group: Zeroizing<[u8; 32]>,
    /// The joiner has the group on disk.
    pub(super) receipt: Zeroizing<[u8; 32]>,
}

impl Keys {
    pub(super) fn derive(shared: &SharedKey) -> Self {
        let derive = |context| Zeroizing::new(blake3::derive_key(context, shared.as_slice()));
        Self {
            host_confirm: derive("tutti pairing 1: host confirmation"),
            joiner_confirm: derive("tutti pairing 1: joiner confirmation"),
            group: derive("tutti pairing 1: group"),
            receipt: derive("tutti pairing 1: receipt"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_cannot_be_shifted_into_each_other() {
        let id = |byte| DeviceId::from_bytes([byte; 32]);
        let with = |parts: &[(&str, &[u8])]| {
            let mut transcript = Transcript::new(id(1), id(2));
            parts.iter().for_each(|(label, bytes)| transcript.add(label, bytes));
            transcript.mac(&[0; 32])
        };
        let codes = [
            with(&[]),
            with(&[("a", b"bc")]),
            with(&[("ab", b"c")]),
            with(&[("a", b"b"), ("", b"c")]),
            with(&[("a", b"b"), ("c", b"")]),
            Transcript::new(id(2), id(1)).mac(&[0; 32]),
        ];
        for (i, code) in codes.iter().enumerate() {
            assert!(!codes[..i].contains(code), "{i}");
        }
    }

    #[test]
    fn keys_are_all_different() {
        let keys = Keys::derive(&Zeroizing::new([5; 32]));
        let all = [&keys.host_confirm, &keys.joiner_confirm, &keys.group, &keys.receipt];
        for (i, key) in all.iter().enumerate() {
            assert!(!all[..i].contains(key));
        }
    }
}
