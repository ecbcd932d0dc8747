//! What the two people carry from one device to the other: a short code, or a ticket's secret.

use std::{fmt, str::FromStr};

use rand::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// Digits of a code.
pub const CODE_DIGITS: usize = 6;

/// A code of six digits, short enough to be read aloud. Wiped from memory when dropped; `Debug` hides it.
#[derive(Clone)]
pub struct Code([u8; CODE_DIGITS]);

impl Code {
    /// A fresh code. All million are equally likely, to within one part in 10^13.
    pub fn random(rng: &mut dyn CryptoRng) -> Self {
        let mut rest = rng.next_u64() % 1_000_000;
        let mut digits = [0; CODE_DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit = (rest % 10) as u8;
            rest /= 10;
        }
        Self(digits)
    }

    /// What the key exchange takes as its password.
    pub(super) fn password(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key("tutti pairing 1: password from code", &self.0))
    }

    /// The digits' values, for storing.
    pub(super) fn digits(&self) -> &[u8; CODE_DIGITS] {
        &self.0
    }

    /// The code with these digits, if that is what they are.
    pub(super) fn from_digits(digits: [u8; CODE_DIGITS]) -> Option<Self> {
        digits.iter().all(|&digit| digit < 10).then_some(Self(digits))
    }
}

/// Six digits.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|digit| write!(f, "{digit}"))
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(hidden)")
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The text is not a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadCode;

impl fmt::Display for BadCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pairing code has six digits, such as 042917; type it as the other device shows it")
    }
}

impl std::error::Error for BadCode {}

impl FromStr for Code {
    type Err = BadCode;
    /// Reads six digits; spaces and dashes between them do not matter.
    fn from_str(text: &str) -> Result<Self, BadCode> {
        let mut digits = [0; CODE_DIGITS];
        let mut given = text.trim().chars().filter(|c| !matches!(c, ' ' | '-'));
        for digit in &mut digits {
            *digit = given.next().and_then(|c| c.to_digit(10)).ok_or(BadCode)? as u8;
        }
        if given.next().is_some() { Err(BadCode) } else { Ok(Self(digits)) }
    }
}

/// The 128 secret bits of a ticket. Wiped from memory when dropped; `Debug` hides them; compared in constant time.
#[derive(Clone)]
pub struct TicketSecret([u8; 16]);

impl TicketSecret {
    /// A fresh secret.
    pub fn random(rng: &mut dyn CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The secret with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The secret itself.
    pub const fn expose(&self) -> &[u8; 16] {
        &self.0
    }

    /// What the key exchange takes as its password.
    pub(super) fn password(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key("tutti pairing 1: password from ticket", &self.0))
    }

    /// The key of the proof that opens the ticket lane.
    pub(super) fn proof_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key("tutti pairing 1: ticket proof", &self.0))
    }
}

impl PartialEq for TicketSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TicketSecret {}

impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSecret(hidden)")
    }
}

impl Drop for TicketSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What the joiner was given.
#[derive(Clone, Debug)]
pub enum Secret {
    /// The six digits.
    Code(Code),
    /// The secret of a ticket.
    Ticket(TicketSecret),
}

impl Secret {
    /// Which of the two it is.
    pub const fn mode(&self) -> Mode {
        match self {
            Self::Code(_) => Mode::Code,
            Self::Ticket(_) => Mode::Ticket,
        }
    }

    pub(super) fn password(&self) -> Zeroizing<[u8; 32]> {
        match self {
            Self::Code(code) => code.password(),
            Self::Ticket(ticket) => ticket.password(),
        }
    }
}

/// Which secret an attempt is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// The code: guessable, so tries are counted.
    Code,
    /// The ticket: not guessable, so they are not.
    Ticket,
}

impl Mode {
    /// Its number on the wire.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Code => 1,
            Self::Ticket => 2,
        }
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Code),
            2 => Some(Self::Ticket),
            _ => None,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Code => "code",
            Self::Ticket => "ticket",
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn codes_read_as_they_print_and_as_people_type_them() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..100 {
            let code = Code::random(&mut rng);
            assert_eq!(code.to_string().len(), CODE_DIGITS);
            assert_eq!(code.to_string().parse::<Code>().unwrap().digits(), code.digits());
        }
        assert_eq!(" 042 917 ".parse::<Code>().unwrap().to_string(), "042917");
        assert_eq!("042-917".parse::<Code>().unwrap().to_string(), "042917");
        for bad in ["", "12345", "1234567", "12345a", "１２３４５６", "12 34 5"] {
            assert_eq!(bad.parse::<Code>().err(), Some(BadCode), "{bad:?}");
        }
    }

    #[test]
    fn every_digit_occurs_in_every_place() {
        let mut rng = StdRng::seed_from_u64(2);
        let mut seen = [[0u32; 10]; CODE_DIGITS];
        for _ in 0..2000 {
            for (place, digit) in Code::random(&mut rng).digits().iter().enumerate() {
                seen[place][usize::from(*digit)] += 1;
            }
        }
        // 200 expected of each; 5 standard deviations are 67.
        assert!(seen.iter().flatten().all(|count| (130..270).contains(count)), "{seen:?}");
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let shown = format!(
            "{:?} {:?}",
            Secret::Code("123456".parse().unwrap()),
            Secret::Ticket(TicketSecret::from_bytes([7; 16]))
        );
        assert_eq!(shown, "Code(Code(hidden)) Ticket(TicketSecret(hidden))");
    }
}
