//! Makes text from strangers safe to print on a terminal.
//!
//! Terminals act on control characters and on the sequences that begin with them: they move the cursor, rename the
//! window, paste into the input, and more (ECMA-48; xterm's "ctlseqs"). Unicode adds characters that reorder what
//! stands around them so that a line reads as something it is not (U+202A to U+202E, U+2066 to U+2069), that are not
//! seen, or that pile up over many lines. None of these is passed on; what is left is plain text in plain order.

/// The most combining marks on one character.
const MAX_MARKS: usize = 2;

/// Cleans a text and cuts it to at most `lines` lines of at most `columns` characters.
pub fn clean(text: &str, columns: usize, lines: usize) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut line = Line::new(columns);
    let mut state = State::Text;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        // A sequence never goes beyond its line, so that an unfinished one cannot swallow the rest.
        if matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}') {
            if c == '\r' && chars.peek() == Some(&'\n') {
                continue;
            }
            state = State::Text;
            out.push(line.take());
            if out.len() == lines {
                return out;
            }
            continue;
        }
        state = match (state, c) {
            (State::Text | State::Escape | State::Sequence | State::Intermediate, '\u{1b}') => State::Escape,
            (State::Text, '\u{9b}') => State::Sequence,
            (State::Text, '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}') => State::Words,
            (State::Text, c) => {
                line.push(c);
                State::Text
            }
            (State::Escape, '[') => State::Sequence,
            (State::Escape, 'P' | 'X' | ']' | '^' | '_') => State::Words,
            (State::Escape | State::Intermediate, ' '..='/') => State::Intermediate,
            (State::Sequence, ' '..='?') => State::Sequence,
            // The final character of a short sequence; anything that is none ends the sequence and is dropped too.
            (State::Escape | State::Intermediate | State::Sequence, _) => State::Text,
            (State::Words, '\u{7}' | '\u{9c}') => State::Text,
            (State::Words, '\u{1b}') => State::WordsEscape,
            (State::Words, _) => State::Words,
            // `ESC \` ends words; any other sequence ends them too and begins itself.
            (State::WordsEscape, '[') => State::Sequence,
            (State::WordsEscape, 'P' | 'X' | ']' | '^' | '_') => State::Words,
            (State::WordsEscape, _) => State::Text,
        };
    }
    if !line.text.is_empty() {
        out.push(line.take());
    }
    out
}

/// Where in an escape sequence the text is.
#[derive(Clone, Copy)]
enum State {
    Text,
    /// After ESC.
    Escape,
    /// After ESC and a character from 0x20 to 0x2F.
    Intermediate,
    /// In a control sequence, `ESC [ … final`.
    Sequence,
    /// In a string of words to the terminal: a title, a colour, a file. `ESC ] … BEL` or `ESC \`.
    Words,
    /// After ESC in such a string.
    WordsEscape,
}

/// One line as it grows.
struct Line {
    columns: usize,
    text: String,
    length: usize,
    marks: usize,
}

impl Line {
    const fn new(columns: usize) -> Self {
        Self { columns, text: String::new(), length: 0, marks: 0 }
    }

    fn push(&mut self, c: char) {
        if c == '\t' {
            let to_next_stop = 8 - self.length % 8;
            (0..to_next_stop).for_each(|_| self.push(' '));
        } else if c.is_control() || is_unseen(c) {
            // Dropped.
        } else if is_mark(c) {
            if self.length > 0 && self.length <= self.columns && self.marks < MAX_MARKS {
                self.marks += 1;
                self.text.push(c);
            }
        } else {
            self.marks = 0;
            self.length += 1;
            if self.length <= self.columns {
                self.text.push(c);
            }
        }
    }

    fn take(&mut self) -> String {
        (self.length, self.marks) = (0, 0);
        std::mem::take(&mut self.text)
    }
}

/// Characters that are not seen but change what is: direction, invisible separators, tags, private use.
const fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
}

/// Marks that are drawn over the character before them (the blocks of combining marks, and variation selectors).
const fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> String {
        clean(text, 80, 10).join("|")
    }

    #[test]
    fn sequences_go_with_all_that_belongs_to_them() {
        assert_eq!(one("\u{1b}[31mred\u{1b}[0m"), "red");
        assert_eq!(one("a\u{1b}]0;new title\u{7}b"), "ab");
        assert_eq!(one("a\u{1b}]52;c;ZXZpbA==\u{1b}\\b"), "ab");
        assert_eq!(one("a\u{1b}Pq#0;2;0;0;0\u{1b}\\b"), "ab");
        assert_eq!(one("a\u{9b}2Jb\u{9d}0;x\u{9c}c"), "abc");
        assert_eq!(one("a\u{1b}(Bb\u{1b}c"), "ab");
        assert_eq!(one("a\u{1b}\u{1b}[2Jb"), "ab");
        assert_eq!(one("unfinished \u{1b}]0;rest\nnext"), "unfinished |next");
        assert_eq!(one("bell\u{7}, back\u{8}space"), "bell, backspace");
    }

    #[test]
    fn plain_text_stays() {
        assert_eq!(one("Grüße, 世界 🙂"), "Grüße, 世界 🙂");
        assert_eq!(one("a\tb\r\nc\rd\n"), "a       b|c|d");
        assert_eq!(one("safe \u{202e}txet\u{2069}"), "safe txet");
        assert_eq!(one("z\u{300}\u{301}\u{302}\u{303}a"), "z\u{300}\u{301}a");
        assert_eq!(clean("12345\nx\ny", 3, 2), ["123", "x"]);
        assert_eq!(clean("", 3, 2), Vec::<String>::new());
        assert_eq!(clean("a\n\nb", 3, 5), ["a", "", "b"]);
    }

    proptest! {
        #[test]
        fn nothing_that_acts_comes_through(
            text in "(\u{1b}[\\[\\]P(]?[0-9;?]{0,4}[a-zA-Z\u{7}\\\\]?|\\PC|\\p{Cf}|\\p{Cc}|[a-z ]){0,60}",
            columns in 1usize..40,
            lines in 1usize..6,
        ) {
            let cleaned = clean(&text, columns, lines);
            prop_assert!(cleaned.len() <= lines);
            for line in &cleaned {
                prop_assert!(!line.chars().any(|c| c.is_control() || is_unseen(c)));
                prop_assert!(line.chars().filter(|c| !is_mark(*c)).count() <= columns);
                prop_assert!(line.len() <= columns * 4 * (1 + MAX_MARKS));
            }
            // Cleaning clean text changes nothing.
            prop_assert_eq!(clean(&cleaned.iter().map(|line| format!("{line}\n")).collect::<String>(), columns, lines), cleaned);
        }
    }
}
