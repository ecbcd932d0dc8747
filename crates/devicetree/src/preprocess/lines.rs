//! Lines as the preprocessor sees them: joined by `\`, with comments and strings that may hold anything.

use std::ops::Range;

use super::tokens;

const DIRECTIVES: [&str; 14] = [
    "include", "define", "undef", "if", "ifdef", "ifndef", "elif", "else", "endif", "error", "warning", "line",
    "pragma", "ident",
];

/// The directive at a `#` that begins a line, and where its word ends.
pub(super) fn directive(text: &str, at: usize) -> Option<(&str, usize)> {
    let rest = &text[at + 1..];
    let skipped = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    let start = at + 1 + skipped;
    let len = tokens::word_len(&text.as_bytes()[start..]);
    let word = &text[start..start + len];
    if len == 0 {
        // `# 1 "file"`, and the null directive.
        let next = text.as_bytes().get(start).copied().unwrap_or(b'\n');
        let numbered = skipped > 0 && next.is_ascii_digit();
        return (numbered).then_some(("", start));
    }
    let next = text.as_bytes().get(start + len).copied().unwrap_or(b'\n');
    let word = DIRECTIVES.iter().find(|d| **d == word)?;
    // `#line-cells = <1>` and the like are property names.
    (!matches!(next, b'-' | b',' | b'=' | b'+' | b'.' | b'?' | b'@')).then_some((*word, start + len))
}

/// To the end of the line that `at` is in, over `\` line breaks and block comments; the break is not included.
pub(super) fn logical_line(text: &str, at: usize) -> Range<usize> {
    let bytes = text.as_bytes();
    let mut i = at;
    let comment = text[at..].starts_with("//");
    while i < bytes.len() {
        match bytes[i] {
            b'\n' => break,
            b'\\' if line_break(bytes, i + 1).is_some() => i = line_break(bytes, i + 1).unwrap_or(i + 1),
            b'"' if !comment => {
                let end = string_end(bytes, i);
                i = if text[i..end].contains('\n') { i + 1 } else { end };
            }
            b'/' if !comment && bytes.get(i + 1) == Some(&b'*') => {
                i = text[i + 2..].find("*/").map_or(bytes.len(), |n| i + 2 + n + 2);
            }
            b'/' if !comment && bytes.get(i + 1) == Some(&b'/') => i = logical_line(text, i).end,
            _ => i += 1,
        }
    }
    at..i
}

/// To the next line break, whatever stands before it, but not over the start of a block comment.
pub(super) fn logical_line_raw(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let line = rest.find('\n').unwrap_or(rest.len());
    let comment = rest.get(1..).and_then(|r| r.find("/*")).map_or(line, |i| i + 1);
    let step = line.min(comment);
    // Always forward: a character at least.
    at + step.max(rest.chars().next().map_or(1, char::len_utf8))
}

pub(super) fn line_break(bytes: &[u8], at: usize) -> Option<usize> {
    match (bytes.get(at), bytes.get(at + 1)) {
        (Some(b'\n'), _) => Some(at + 1),
        (Some(b'\r'), Some(b'\n')) => Some(at + 2),
        _ => None,
    }
}

/// The byte after the string that starts at `at`.
pub(crate) fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut i = at + 1;
    while i < bytes.len() {
        match bytes[i] {
            b'"' => return i + 1,
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
    bytes.len()
}

/// A directive's text on one line, without comments.
pub(super) fn join_lines(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    let mut from = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' if line_break(bytes, i + 1).is_some() => {
                out.push_str(&text[from..i]);
                i = line_break(bytes, i + 1).unwrap_or(i + 1);
                from = i;
            }
            b'"' => i = string_end(bytes, i),
            b'/' if bytes.get(i + 1) == Some(&b'*') => {
                out.push_str(&text[from..i]);
                out.push(' ');
                i = text[i + 2..].find("*/").map_or(bytes.len(), |n| i + 2 + n + 2);
                from = i;
            }
            b'/' if bytes.get(i + 1) == Some(&b'/') => {
                out.push_str(&text[from..i]);
                return out;
            }
            _ => i += 1,
        }
    }
    out.push_str(&text[from..]);
    out
}
