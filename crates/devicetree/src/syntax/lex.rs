//! Tokens. What a character means depends on where it stands (`-` is a letter of a name, but an operator in a
//! cell list), so the parser says which of three modes it is in.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Blank space.
    Space,
    /// `/* … */` or `// …`.
    Comment,
    /// Node or property name; in values, a word that no macro replaced.
    Name,
    /// `label:`.
    Label,
    /// `&label`.
    Ref,
    /// `&{/path}`.
    PathRef,
    /// `0x10`, `10UL`.
    Number,
    /// `'a'`.
    Char,
    /// `"…"`.
    Text,
    /// Two hexadecimal digits in `[…]`.
    Byte,
    /// `/dts-v1/`, `/bits/` and the like.
    Directive,
    /// One of `{ } ; = , < > [ ] ( ) /` or an operator of one character.
    Punct(u8),
    /// An operator of two characters; its first, with the second's value added for telling `<<` from `<=`.
    Pair(u8, u8),
    /// Not a token.
    Bad,
    /// No more text.
    End,
}

impl Kind {
    /// Blank space and comments.
    #[must_use]
    pub fn is_trivia(self) -> bool {
        matches!(self, Self::Space | Self::Comment)
    }
}

/// Where the parser is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Names are expected.
    Name,
    /// Values are expected.
    Value,
    /// Inside `[…]`.
    Bytes,
}

pub(super) const DIRECTIVES: [&str; 8] = [
    "/dts-v1/",
    "/plugin/",
    "/memreserve/",
    "/bits/",
    "/incbin/",
    "/delete-node/",
    "/delete-property/",
    "/omit-if-no-ref/",
];

const fn name_char(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b',' | b'.' | b'_' | b'+' | b'*' | b'#' | b'?' | b'@' | b'-' | b'\\')
}

const fn word_char(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

fn run(bytes: &[u8], at: usize, ok: impl Fn(u8) -> bool) -> usize {
    at + bytes.get(at..).unwrap_or(&[]).iter().take_while(|b| ok(**b)).count()
}

/// A blank or comment at `at`.
pub(super) fn trivia(bytes: &[u8], at: usize) -> Option<(Kind, usize)> {
    match (bytes.get(at)?, bytes.get(at + 1)) {
        (b, _) if b.is_ascii_whitespace() || *b == 0x0b => {
            Some((Kind::Space, run(bytes, at, |b| b.is_ascii_whitespace() || b == 0x0b)))
        }
        (b'/', Some(b'*')) => {
            let rest = bytes.get(at + 2..).unwrap_or(&[]);
            let end = rest.windows(2).position(|w| w == b"*/").map_or(bytes.len(), |i| at + 2 + i + 2);
            Some((Kind::Comment, end))
        }
        (b'/', Some(b'/')) => Some((Kind::Comment, run(bytes, at, |b| b != b'\n'))),
        _ => None,
    }
}

/// The token at `at`, which is no trivia: its kind and end.
pub(super) fn token(bytes: &[u8], at: usize, mode: Mode) -> (Kind, usize) {
    let Some(&first) = bytes.get(at) else { return (Kind::End, at) };
    let second = bytes.get(at + 1).copied().unwrap_or(0);
    match first {
        b'"' => {
            let end = crate::preprocess::lines::string_end(bytes, at);
            let closed = end > at + 1 && bytes.get(end - 1) == Some(&b'"');
            return if closed { (Kind::Text, end) } else { (Kind::Bad, run(bytes, at, |b| b != b'\n')) };
        }
        b'/' if second.is_ascii_lowercase() => {
            if let Some(d) = DIRECTIVES.iter().find(|d| bytes[at..].starts_with(d.as_bytes())) {
                return (Kind::Directive, at + d.len());
            }
            let end = run(bytes, at + 1, |b| b.is_ascii_alphanumeric() || b == b'-');
            if bytes.get(end) == Some(&b'/') {
                return (Kind::Bad, end + 1);
            }
            return (Kind::Punct(b'/'), at + 1);
        }
        b'&' if second == b'{' => {
            let end = run(bytes, at + 2, |b| name_char(b) || b == b'/');
            return if bytes.get(end) == Some(&b'}') { (Kind::PathRef, end + 1) } else { (Kind::Bad, end) };
        }
        b'&' if second.is_ascii_alphabetic() || second == b'_' => return (Kind::Ref, run(bytes, at + 1, word_char)),
        _ => {}
    }
    if first.is_ascii_alphabetic() || first == b'_' {
        let end = run(bytes, at, word_char);
        let colon = bytes.get(end) == Some(&b':');
        if colon && mode != Mode::Bytes {
            return (Kind::Label, end + 1);
        }
    }
    match mode {
        Mode::Name if name_char(first) => (Kind::Name, run(bytes, at, name_char)),
        Mode::Bytes if first.is_ascii_hexdigit() && second.is_ascii_hexdigit() => (Kind::Byte, at + 2),
        Mode::Bytes if word_char(first) => {
            let end = run(bytes, at, word_char);
            if bytes.get(end) == Some(&b':') { (Kind::Label, end + 1) } else { (Kind::Bad, end) }
        }
        _ if first.is_ascii_digit() => (Kind::Number, run(bytes, at, word_char)),
        _ if word_char(first) => (Kind::Name, run(bytes, at, word_char)),
        _ if first == b'\'' => match closing_quote(bytes, at) {
            Some(end) => (Kind::Char, end),
            None => (Kind::Bad, at + 1),
        },
        _ => match (first, second) {
            (b'<', b'<') | (b'>', b'>') | (b'<' | b'>' | b'=' | b'!', b'=') | (b'&', b'&') | (b'|', b'|') => {
                (Kind::Pair(first, second), at + 2)
            }
            _ if first.is_ascii_punctuation() => (Kind::Punct(first), at + 1),
            _ => (Kind::Bad, run(bytes, at + 1, |b| b >= 0x80)),
        },
    }
}

fn closing_quote(bytes: &[u8], at: usize) -> Option<usize> {
    let mut i = at + 1;
    while i < bytes.len().min(at + 12) {
        match bytes[i] {
            b'\'' if i > at + 1 => return Some(i + 1),
            b'\\' => i += 2,
            b'\n' => return None,
            _ => i += 1,
        }
    }
    None
}

/// The value of a C integer literal, if it is one and fits in 64 bits.
#[must_use]
pub fn number(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['u', 'U', 'l', 'L']);
    if text.len() - digits.len() > 3 {
        return None;
    }
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16).ok()
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(digits, 8).ok()
    } else {
        digits.parse().ok()
    }
}

/// The value of a character literal with its quotes.
#[must_use]
pub fn char_value(text: &str) -> Option<u8> {
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    let bytes = unescape(inner);
    match bytes[..] {
        [one] => Some(one),
        _ => None,
    }
}

/// Resolves the escapes of a string's inside, as `dtc` does.
#[must_use]
pub(crate) fn unescape(inner: &str) -> Vec<u8> {
    let bytes = inner.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        i += 1;
        if b != b'\\' {
            out.push(b);
            continue;
        }
        let Some(&c) = bytes.get(i) else { break };
        i += 1;
        match c {
            b'a' => out.push(7),
            b'b' => out.push(8),
            b't' => out.push(b'\t'),
            b'n' => out.push(b'\n'),
            b'v' => out.push(11),
            b'f' => out.push(12),
            b'r' => out.push(b'\r'),
            b'0'..=b'7' => {
                let end = run(bytes, i - 1, |b| (b'0'..=b'7').contains(&b)).min(i + 2);
                let value = bytes[i - 1..end].iter().fold(0u32, |v, d| v * 8 + u32::from(d - b'0'));
                out.push(value as u8);
                i = end;
            }
            b'x' => {
                let end = run(bytes, i, |b| b.is_ascii_hexdigit()).min(i + 2);
                let text = inner.get(i..end).unwrap_or("");
                out.push(u8::from_str_radix(text, 16).unwrap_or(0));
                i = end;
            }
            other => out.push(other),
        }
    }
    out
}
