use std::{collections::VecDeque, convert::Infallible};

use rand::{TryCryptoRng, TryRng};

/// Randomness that is the same in every version of every library: given bytes, or the output of BLAKE3.
pub(in crate::pairing) enum FixedRng {
    Bytes(VecDeque<u8>),
    Seeded(Box<blake3::OutputReader>),
}

impl FixedRng {
    pub(in crate::pairing) fn bytes(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }

    pub(in crate::pairing) fn seeded(seed: &str) -> Self {
        Self::Seeded(Box::new(blake3::Hasher::new().update(seed.as_bytes()).finalize_xof()))
    }
}

impl TryRng for FixedRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        match self {
            Self::Bytes(bytes) => out.iter_mut().for_each(|byte| *byte = bytes.pop_front().unwrap()),
            Self::Seeded(reader) => reader.fill(out),
        }
        Ok(())
    }
}

impl TryCryptoRng for FixedRng {}
