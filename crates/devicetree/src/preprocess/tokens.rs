//! Preprocessing tokens: reading them, writing them back, and the names that each may not be replaced by again.

use std::rc::Rc;

use super::lines::string_end;

/// What a preprocessing token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Name,
    Number,
    Text,
    Punct,
    /// An argument that was empty beside `##`.
    Nothing,
}

/// One preprocessing token.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) text: Rc<str>,
    /// Blank space stood before it.
    pub(crate) space: bool,
    pub(super) hide: Hide,
}

/// Names that this token may not be replaced by again: a shared list, longest part first.
pub(super) type Hide = Option<Rc<HideSet>>;

#[derive(Debug)]
pub(crate) struct HideSet {
    pub(super) names: Vec<Rc<str>>,
}

pub(super) fn hidden(hide: &Hide, name: &str) -> bool {
    hide.as_ref().is_some_and(|h| h.names.iter().any(|n| &**n == name))
}

pub(super) fn with(hide: &Hide, more: &Hide, name: Option<&Rc<str>>) -> Hide {
    if name.is_none() {
        match (hide, more) {
            (None, _) => return more.clone(),
            (_, None) => return hide.clone(),
            (Some(a), Some(b)) if Rc::ptr_eq(a, b) => return hide.clone(),
            _ => {}
        }
    }
    let mut names: Vec<Rc<str>> = hide.as_ref().map_or_else(Vec::new, |h| h.names.clone());
    for other in more.iter().flat_map(|h| h.names.iter()).chain(name) {
        if !names.contains(other) {
            names.push(other.clone());
        }
    }
    Some(Rc::new(HideSet { names }))
}

pub(super) fn common(a: &Hide, b: &Hide) -> Hide {
    let (Some(a), Some(b)) = (a, b) else { return None };
    let names: Vec<_> = a.names.iter().filter(|n| b.names.contains(n)).cloned().collect();
    (!names.is_empty()).then(|| Rc::new(HideSet { names }))
}

/// Length of the identifier or number tail at the start of `bytes`.
pub(crate) fn word_len(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count()
}

/// The end of a character literal at `at`, if it is one.
pub(crate) fn char_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut i = at + 1;
    while i < bytes.len() && i < at + 8 {
        match bytes[i] {
            b'\'' if i > at + 1 => return Some(i + 1),
            b'\n' => return None,
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
    None
}

/// The next token of `text` from `*at`.
pub(super) fn next_token(text: &str, at: &mut usize) -> Option<Token> {
    let bytes = text.as_bytes();
    let mut space = false;
    let mut i = *at;
    loop {
        match bytes.get(i) {
            Some(b) if b.is_ascii_whitespace() => i += 1,
            Some(b'\\') if matches!(bytes.get(i + 1), Some(b'\n' | b'\r')) => i += 2,
            Some(b'/') if bytes.get(i + 1) == Some(&b'*') => {
                i = text[i + 2..].find("*/").map_or(bytes.len(), |n| i + 2 + n + 2);
            }
            Some(b'/') if bytes.get(i + 1) == Some(&b'/') => {
                i += text[i..].find('\n').unwrap_or(text.len() - i);
            }
            _ => break,
        }
        space = true;
    }
    let start = i;
    let first = *bytes.get(i)?;
    let kind = if first.is_ascii_alphabetic() || first == b'_' {
        i += word_len(&bytes[i..]);
        TokenKind::Name
    } else if first.is_ascii_digit() {
        i += word_len(&bytes[i..]);
        TokenKind::Number
    } else if first == b'"' {
        i = string_end(bytes, i);
        TokenKind::Text
    } else if first == b'\''
        && let Some(end) = char_end(bytes, i)
    {
        i = end;
        TokenKind::Text
    } else {
        const PAIRS: [&str; 9] = ["##", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||"];
        let pair = text.get(i..i + 2).is_some_and(|p| PAIRS.contains(&p));
        i += if pair { 2 } else { text[i..].chars().next().map_or(1, char::len_utf8) };
        TokenKind::Punct
    };
    *at = i;
    Some(Token { kind, text: Rc::from(text.get(start..i)?), space, hide: None })
}

pub(super) fn nothing() -> Token {
    Token { kind: TokenKind::Nothing, text: Rc::from(""), space: false, hide: None }
}

pub(super) fn paste(left: &Token, right: &Token) -> Token {
    let text = format!("{}{}", left.text, right.text);
    let mut at = 0;
    let kind = next_token(&text, &mut at).filter(|_| at == text.len()).map_or(TokenKind::Punct, |t| t.kind);
    let kind = if text.is_empty() { TokenKind::Nothing } else { kind };
    Token { kind, text: Rc::from(text), space: left.space, hide: common(&left.hide, &right.hide) }
}

pub(super) fn tokenize(text: &str) -> Vec<Token> {
    let mut at = 0;
    std::iter::from_fn(|| next_token(text, &mut at)).collect()
}

/// Writes tokens with the spaces that were between them, and one where two would run together.
pub(super) fn spell(tokens: &[Token], out: &mut String) {
    let mut before: Option<TokenKind> = None;
    for token in tokens {
        let wordy = |k| matches!(k, TokenKind::Name | TokenKind::Number);
        let glued = before.is_some_and(|k| wordy(k) && wordy(token.kind));
        if before.is_some() && (token.space || glued) {
            out.push(' ');
        }
        out.push_str(&token.text);
        before = Some(token.kind);
    }
}
