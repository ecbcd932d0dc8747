//! The codes that have failed at this joiner.
//!
//! Somebody who pretends to be the host gets one guess at the code that the joiner was given, each time the joiner
//! tries it. So a code that failed is not tried there again: the person makes a new one, and a guess stays one in a
//! million.

use std::collections::VecDeque;

use tutti_model::DeviceId;

use super::secret::Code;

/// How many burnt codes are remembered; beyond that the oldest are forgotten. A person types a few a minute, and a
/// code is dead after two.
pub const MAX_BURNT: usize = 64;

/// A code that failed at one host, as a digest that differs from host to host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BurntCode([u8; 32]);

impl BurntCode {
    pub(super) fn new(host: DeviceId, code: &Code) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("tutti pairing 1: burnt code");
        hasher.update(host.as_bytes()).update(code.digits());
        Self(*hasher.finalize().as_bytes())
    }
}

/// The codes that are not tried again. Keep one for as long as the program runs.
#[derive(Clone, Debug, Default)]
pub struct BurntCodes(VecDeque<BurntCode>);

impl BurntCodes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers one.
    pub fn add(&mut self, code: BurntCode) {
        if !self.contains(&code) {
            self.0.truncate(MAX_BURNT - 1);
            self.0.push_front(code);
        }
    }

    /// Whether it failed before.
    pub fn contains(&self, code: &BurntCode) -> bool {
        self.0.contains(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_burnt_at_one_host_and_memory_is_bounded() {
        let burnt =
            |host, code: u32| BurntCode::new(DeviceId::from_bytes([host; 32]), &format!("{code:06}").parse().unwrap());
        let mut codes = BurntCodes::new();
        codes.add(burnt(1, 0));
        codes.add(burnt(1, 0));
        assert!(codes.contains(&burnt(1, 0)) && !codes.contains(&burnt(2, 0)) && !codes.contains(&burnt(1, 1)));
        (1..100).for_each(|code| codes.add(burnt(1, code)));
        assert_eq!(codes.0.len(), MAX_BURNT);
        assert!(codes.contains(&burnt(1, 99)) && !codes.contains(&burnt(1, 0)));
    }
}
