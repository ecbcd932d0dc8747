//! Sizes as people write them: `64 KiB`, `15 MiB`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(pub u64);

const UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no size; write a number and B, KiB, MiB or GiB, as in \"64 KiB\"");
        let text = text.trim();
        let (number, shift) =
            UNITS.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift))).ok_or_else(wrong)?;
        let number: u64 = number.trim().parse().map_err(|_| wrong())?;
        number.checked_shl(shift).filter(|bytes| bytes >> shift == number).map(Self).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Size {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        let exact = UNITS.iter().find(|(_, shift)| size.0 >> shift << shift == size.0 && size.0 >> shift > 0);
        let (unit, shift) = exact.copied().unwrap_or(("B", 0));
        format!("{} {unit}", size.0 >> shift)
    }
}

impl fmt::Display for Size {
    /// With three digits at most, and rounded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, shift) = UNITS.iter().find(|(_, shift)| self.0 >> shift > 0).copied().unwrap_or(("B", 0));
        let tenths = (u128::from(self.0) * 10 + (1 << shift) / 2) >> shift;
        if shift == 0 || tenths.is_multiple_of(10) || tenths >= 1000 {
            write!(f, "{} {unit}", tenths / 10)
        } else {
            write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_they_are_written() {
        for (text, bytes) in [("64 KiB", 65536), ("15MiB", 15 << 20), ("0 B", 0), ("7 B", 7), ("3 GiB", 3 << 30)] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
            assert_eq!(String::from(Size(bytes)).parse(), Ok(Size(bytes)));
        }
        for wrong in ["64", "KiB", "-1 B", "1.5 MiB", "20000000000 GiB", "", "1 KB"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
        let shown: Vec<_> = [7, 1536, 1 << 20, 15_204_352, 1 << 30].map(|it| Size(it).to_string()).into();
        assert_eq!(shown, ["7 B", "1.5 KiB", "1 MiB", "14.5 MiB", "1 GiB"]);
    }
}
