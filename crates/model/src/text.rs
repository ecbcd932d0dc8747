//! Short inline texts: names and units. They own their bytes without a heap and are checked when they are made.

use core::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextError {
    /// A name needs at least one character.
    Empty,
    /// More than the `max` bytes that this text may have (in UTF-8).
    TooLong {
        /// The most bytes allowed.
        max: usize,
    },
    /// A character that this text may not hold.
    BadCharacter(char),
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty; give at least one character"),
            Self::TooLong { max } => write!(f, "it is longer than {max} bytes; shorten it"),
            Self::BadCharacter(c) => {
                write!(f, "it contains {c:?}; names take letters, digits, '-', '_' and '.'")
            }
        }
    }
}

impl core::error::Error for TextError {}

/// UTF-8 text of at most `N` bytes (`N` ≤ 255), stored inline, without control characters.
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    len: u8,
    bytes: [u8; N],
}

impl<const N: usize> Text<N> {
    /// The empty text.
    pub const EMPTY: Self = {
        assert!(N <= 255, "an inline text holds at most 255 bytes");
        Self { len: 0, bytes: [0; N] }
    };

    /// Checks and copies `text`.
    pub fn new(text: &str) -> Result<Self, TextError> {
        if text.len() > N {
            return Err(TextError::TooLong { max: N });
        }
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            return Err(TextError::BadCharacter(c));
        }
        let mut out = Self::EMPTY;
        out.bytes[..text.len()].copy_from_slice(text.as_bytes());
        out.len = text.len() as u8;
        Ok(out)
    }

    /// Copies as much of `text` as fits, dropping control characters and never splitting a character.
    pub fn lossy(text: &str) -> Self {
        let mut out = Self::EMPTY;
        for c in text.chars().filter(|c| !c.is_control()) {
            let at = usize::from(out.len);
            let Some(room) = out.bytes.get_mut(at..at + c.len_utf8()) else { break };
            c.encode_utf8(room);
            out.len += c.len_utf8() as u8;
        }
        out
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Only whole, checked characters are ever copied in, so the fallback is never taken.
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or("")
    }

    /// True for the empty text.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl<const N: usize> Eq for Text<N> {}

impl<const N: usize> PartialOrd for Text<N> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Text<N> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl<const N: usize> core::hash::Hash for Text<N> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl<const N: usize> FromStr for Text<N> {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, TextError> {
        Self::new(text)
    }
}

impl<const N: usize> Serialize for Text<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, const N: usize> Deserialize<'de> for Text<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parsed(Self::new))
    }
}

/// The unit of a value as people write it: `°C`, `%`, `B`, `B/s`, `V`, `lx`. At most 15 bytes; empty for none.
pub type Unit = Text<15>;

/// The name of a device, a resource or a property: 1 to 63 bytes of letters, digits, `-`, `_` and `.`, not
/// beginning with `-` or `.` (so that it is never mistaken for an option or a hidden file).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Text<63>);

impl Name {
    /// Checks and copies `name`.
    pub fn new(name: &str) -> Result<Self, TextError> {
        let first = name.chars().next().ok_or(TextError::Empty)?;
        if let Some(c) = name.chars().find(|&c| !Self::allows(c)) {
            return Err(TextError::BadCharacter(c));
        }
        if first == '-' || first == '.' {
            return Err(TextError::BadCharacter(first));
        }
        Text::new(name).map(Self)
    }

    /// Makes a name out of any text: what a name may not hold becomes `-`, repeats of `-` and those at the ends
    /// are dropped, and nothing left over becomes `fallback`.
    pub fn sanitize(text: &str, fallback: Self) -> Self {
        let mut out = Text::<63>::EMPTY;
        let mut gap = false;
        let mut buffer = [0; 4];
        for c in text.chars() {
            if c == '-' || !Self::allows(c) || (out.is_empty() && c == '.') {
                gap = true;
                continue;
            }
            let dash = usize::from(gap && !out.is_empty());
            if usize::from(out.len) + dash + c.len_utf8() > 63 {
                break;
            }
            for part in ["-"][..dash].iter().copied().chain([&*c.encode_utf8(&mut buffer)]) {
                let at = usize::from(out.len);
                out.bytes[at..at + part.len()].copy_from_slice(part.as_bytes());
                out.len += part.len() as u8;
            }
            gap = false;
        }
        if out.is_empty() { fallback } else { Self(out) }
    }

    fn allows(c: char) -> bool {
        c.is_alphanumeric() || matches!(c, '-' | '_' | '.')
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for Name {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, TextError> {
        Self::new(text)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parsed(Self::new))
    }
}

/// Visits a string and parses it, so that nothing unchecked ever comes in through deserialisation.
struct Parsed<T>(fn(&str) -> Result<T, TextError>);

impl<T> de::Visitor<'_> for Parsed<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a short text")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(Name::new("kitchen").unwrap().as_str(), "kitchen");
        assert_eq!(Name::new("Küche_2.b").unwrap().as_str(), "Küche_2.b");
        assert_eq!(Name::new(""), Err(TextError::Empty));
        assert_eq!(Name::new("a/b"), Err(TextError::BadCharacter('/')));
        assert_eq!(Name::new("--json"), Err(TextError::BadCharacter('-')));
        assert_eq!(Name::new(".."), Err(TextError::BadCharacter('.')));
        assert_eq!(Name::new(&"x".repeat(64)), Err(TextError::TooLong { max: 63 }));
    }

    proptest! {
        #[test]
        fn sanitized_names_are_names(text in ".*") {
            let fallback = Name::new("device").unwrap();
            let name = Name::sanitize(&text, fallback);
            prop_assert_eq!(Name::new(name.as_str()), Ok(name));
        }

        #[test]
        fn lossy_texts_are_prefixes(text in ".{0,40}") {
            let short = Text::<15>::lossy(&text);
            let clean: String = text.chars().filter(|c| !c.is_control()).collect();
            prop_assert!(clean.starts_with(short.as_str()));
            prop_assert_eq!(Text::new(short.as_str()), Ok(short));
        }

        #[test]
        fn names_survive_the_wire(text in "[a-z0-9][a-z0-9._-]{0,62}") {
            let name = Name::new(&text).unwrap();
            let bytes = postcard::to_allocvec(&name).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Name>(&bytes).unwrap(), name);
        }
    }

    #[test]
    fn a_bad_name_does_not_come_in_by_deserialising() {
        let bytes = postcard::to_allocvec("a/b").unwrap();
        assert!(postcard::from_bytes::<Name>(&bytes).is_err());
    }
}
