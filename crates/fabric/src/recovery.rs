//! Recovery words: 24 words on paper that can make a device an owner of its group again.
//!
//! The words are BIP-39 English (<https://github.com/bitcoin/bips/blob/master/bip-0039.mediawiki>): 256 bits and a
//! checksum of 8, 11 bits to a word. They stand for an Ed25519 key, derived from the 256 bits with BLAKE3's
//! `derive_key`; not with BIP-39's own stretching, which serves its passphrases, and here there is none. Only the
//! public half of the key goes into the group ([`Group::set_recovery`](crate::group::Group::set_recovery)); the
//! words are shown once and kept nowhere.
//!
//! Secrets are wiped from memory when they are dropped. (The `bip39` crate leaves word numbers on the stack, which
//! are overwritten by what runs next.)

use std::fmt;

use bip39::{Language, Mnemonic};
use ed25519_dalek::SigningKey;
use zeroize::{Zeroize, Zeroizing};

/// How many words there are.
pub const WORDS: usize = 24;

/// Separates this key from any other use of the same words.
const KEY_CONTEXT: &str = "tutti 1 recovery words to Ed25519 key of a trust group";

/// Recovery words. Neither shown nor compared by accident: see [`words`](Self::words).
#[derive(Clone)]
pub struct RecoveryWords(Zeroizing<[u8; 32]>);

impl RecoveryWords {
    /// The words for 32 random bytes. The bytes must come from the operating system's generator.
    pub fn from_entropy(entropy: [u8; 32]) -> Self {
        Self(Zeroizing::new(entropy))
    }

    /// Reads words as a person types them: any case, any white space, also with the numbers of a list (`1.`, `2)`)
    /// or commas between them.
    pub fn parse(text: &str) -> Result<Self, WordsError> {
        let lower = Zeroizing::new(text.to_lowercase());
        let between = |c: char| c.is_whitespace() || c.is_ascii_digit() || ".,;:)".contains(c);
        let words: Vec<&str> = lower.split(between).filter(|word| !word.is_empty()).collect();
        for (at, word) in words.iter().enumerate() {
            if Language::English.find_word(word).is_none() {
                return Err(WordsError::Unknown { position: at + 1, suggestion: suggestion(word) });
            }
        }
        if words.len() != WORDS {
            return Err(WordsError::Count { found: words.len() });
        }
        let joined = Zeroizing::new(words.join(" "));
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, &joined).map_err(|_| WordsError::Checksum)?;
        let (mut bytes, _) = mnemonic.to_entropy_array();
        let mut entropy = Zeroizing::new([0; 32]);
        entropy.iter_mut().zip(bytes.iter()).for_each(|(to, from)| *to = *from);
        bytes.zeroize();
        Ok(Self(entropy))
    }

    /// The words, to be shown once.
    pub fn words(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(WORDS * 9));
        // 32 bytes are among the lengths that BIP-39 allows.
        for word in Mnemonic::from_entropy(self.0.as_slice()).iter().flat_map(Mnemonic::words) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }

    /// The key that they stand for.
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::from_bytes(&Zeroizing::new(blake3::derive_key(KEY_CONTEXT, self.0.as_slice())))
    }
}

impl fmt::Debug for RecoveryWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryWords(..)")
    }
}

/// The word that was probably meant: BIP-39 words differ within their first four letters.
fn suggestion(word: &str) -> Option<&'static str> {
    [4, 3].into_iter().filter_map(|len| word.get(..len)).find_map(|start| {
        let mut found = Language::English.words_by_prefix_iter(start);
        found.next().filter(|_| found.next().is_none())
    })
}

/// Why a text is not recovery words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WordsError {
    /// There are not [`WORDS`] of them.
    Count {
        /// How many there are.
        found: usize,
    },
    /// One of them is not in the list. It is not repeated here, as errors end up in logs.
    Unknown {
        /// Which: 1 for the first.
        position: usize,
        /// What was probably meant.
        suggestion: Option<&'static str>,
    },
    /// All are words of the list, but not together: one is another, or two changed places.
    Checksum,
}

impl fmt::Display for WordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { found } => write!(f, "there are {found} recovery words; {WORDS} are needed"),
            Self::Unknown { position, suggestion: None } => {
                write!(f, "word {position} is none of the recovery words' list; check how it is written")
            }
            Self::Unknown { position, suggestion: Some(word) } => {
                write!(f, "word {position} is none of the recovery words' list; is it \"{word}\"?")
            }
            Self::Checksum => {
                f.write_str("these words do not belong together; one is another, or two have changed places")
            }
        }
    }
}

impl std::error::Error for WordsError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ZEROES: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                          abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                          abandon art";

    #[test]
    fn the_vectors_of_bip_39() {
        // From the Trezor test vectors that BIP-39 refers to.
        for (byte, words) in [
            (0x00, ZEROES),
            (
                0x7f,
                "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth useful \
                 legal winner thank year wave sausage worth title",
            ),
            (0xff, "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo vote"),
        ] {
            assert_eq!(*RecoveryWords::from_entropy([byte; 32]).words(), words);
        }
    }

    #[test]
    fn the_key_is_pinned() {
        let key = RecoveryWords::from_entropy([0; 32]).signing_key().verifying_key().to_bytes();
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        insta::assert_snapshot!(hex, @"f524ba91a97c334334e781fefc4d171bd08aadea25848c4f30a93f4744d2c6b7");
    }

    #[test]
    fn words_are_read_as_people_write_them() {
        let list: String = ZEROES.split(' ').enumerate().map(|(i, word)| format!("{}. {word}\n", i + 1)).collect();
        let glued: String = ZEROES.split(' ').enumerate().map(|(i, word)| format!("{}){word}, ", i + 1)).collect();
        for text in [ZEROES.to_uppercase(), list, glued, format!("\t{ZEROES}\r\n")] {
            assert_eq!(*RecoveryWords::parse(&text).unwrap().words(), ZEROES);
        }
    }

    #[test]
    fn errors_say_which_word_is_wrong() {
        let errors = [
            ZEROES.replacen("abandon art", "abandn art", 1),
            ZEROES.replacen("abandon", "xyzzy", 1),
            ZEROES.replacen("abandon ", "", 1),
            ZEROES.replace("art", "zoo"),
            String::new(),
            ZEROES.replacen("abandon", "ábandon", 1),
        ]
        .map(|text| RecoveryWords::parse(&text).unwrap_err().to_string());
        insta::assert_snapshot!(errors.join("\n"), @r#"
        word 23 is none of the recovery words' list; is it "abandon"?
        word 1 is none of the recovery words' list; check how it is written
        there are 23 recovery words; 24 are needed
        these words do not belong together; one is another, or two have changed places
        there are 0 recovery words; 24 are needed
        word 1 is none of the recovery words' list; check how it is written
        "#);
    }

    #[test]
    fn nothing_secret_is_printed_by_accident() {
        assert_eq!(format!("{:?}", RecoveryWords::from_entropy([1; 32])), "RecoveryWords(..)");
    }

    proptest! {
        #[test]
        fn words_read_back(entropy: [u8; 32]) {
            let words = RecoveryWords::from_entropy(entropy);
            let back = RecoveryWords::parse(&words.words()).unwrap();
            prop_assert_eq!(&*back.0, &entropy);
            prop_assert_eq!(back.signing_key().to_bytes(), words.signing_key().to_bytes());
        }

        #[test]
        fn any_text_is_words_or_an_error(text in ".{0,200}") {
            let _ = RecoveryWords::parse(&text);
        }

        #[test]
        fn another_word_is_noticed(entropy: [u8; 32], at in 0usize..24, other in 0usize..2048) {
            let words = RecoveryWords::from_entropy(entropy);
            let text = words.words();
            let mut changed: Vec<&str> = text.split(' ').collect();
            changed[at] = Language::English.word_list()[other];
            // One in 256 passes the checksum: then it stands for another key.
            if let Ok(read) = RecoveryWords::parse(&changed.join(" ")) {
                prop_assert_eq!(*read.0 == entropy, changed.join(" ") == **text);
            }
        }
    }
}
