use std::convert::Infallible;

use rand::{TryCryptoRng, TryRng};

/// Randomness that is the same everywhere and for ever, so that seeds keep their meaning: the output of BLAKE3.
pub(crate) struct FixedRng(blake3::OutputReader);

impl FixedRng {
    pub(crate) fn new(seed: &[u8]) -> Self {
        Self(blake3::Hasher::new().update(seed).finalize_xof())
    }
}

impl TryRng for FixedRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for FixedRng {}
