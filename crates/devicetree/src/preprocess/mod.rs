//! The part of the C preprocessor that device trees use, in the manner of `cpp -x assembler-with-cpp -undef`.
//!
//! `#include`, `#define` (both kinds, `#` and `##`, variadic), `#undef`, the `#if` family, `#error`, `#warning`,
//! `#line`; `/include/` is followed here too, so that one text comes out. Comments and strings stay as they
//! are (comments are worth keeping; the lexer skips them). As in assembler sources, a line that begins with `#`
//! and no directive's word (`#address-cells = <1>;`) is text.
//!
//! Macros follow C's rules: arguments are expanded first unless they meet `#` or `##`, the result is scanned again
//! together with what follows, and a name that is being replaced is not replaced again (Prosser's hide sets).
//!
//! Attacks: include loops end at [`Limits::includes`]; macro bombs at [`Limits::macro_steps`]; all text at
//! [`Limits::text`]; conditions nest no deeper than [`Limits::depth`]. Nothing recurses over input except the
//! bounded `#include` and `#if` expression.

mod directives;
mod expr;
pub(crate) mod lines;
mod macros;
mod tokens;

use crate::diag::{Code, Diag, Diags};
use crate::source::{FileError, FileId, Files, Limits, Sources, Span};
use lines::{directive, line_break, logical_line, logical_line_raw, string_end};
use macros::Expander;
use std::ops::Range;

/// What a device tree's preprocessing depends on besides its text.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Directories searched for `#include`, in order.
    pub include: Vec<String>,
    /// Macros defined beforehand, as `NAME` or `NAME=VALUE`.
    pub define: Vec<String>,
    /// What it may cost.
    pub limits: Limits,
}

/// Preprocesses `name` and appends the result to `sources`; returns the stretch of text that it makes.
pub(crate) fn run(sources: &mut Sources, files: &dyn Files, name: &str, options: &Options, diags: &mut Diags) -> Span {
    let start = sources.text().len();
    let mut pp = Preprocessor {
        sources,
        files,
        options,
        diags,
        macros: Expander::new(options.limits.macro_steps),
        stopped: false,
    };
    pp.predefine();
    pp.enter(name, None, 0);
    let end = pp.sources.text().len();
    Span::new(start, end)
}

struct Preprocessor<'a> {
    sources: &'a mut Sources,
    files: &'a dyn Files,
    options: &'a Options,
    diags: &'a mut Diags,
    macros: Expander,
    stopped: bool,
}

/// One `#if` that is open.
struct Condition {
    /// This branch is read.
    live: bool,
    /// A branch was already read, so no other one is.
    taken: bool,
    otherwise: bool,
    at: Range<usize>,
}

/// Files that include each other twice over grow as two to the depth: counted, they end early.
const MOST_FILES: usize = 4096;

impl Preprocessor<'_> {
    fn predefine(&mut self) {
        for definition in &self.options.define {
            let (name, value) = definition.split_once('=').unwrap_or((definition, "1"));
            let text = format!("{name} {value}");
            let file = self.sources.add_file("<command line>".to_owned(), text.clone());
            match macros::parse_define(&text, file, 0) {
                Ok((name, makro)) => {
                    self.macros.define(name, makro);
                }
                Err((_, message)) => self.diags.push(Diag::bare(
                    Code::Macro,
                    crate::diag::Severity::Error,
                    format!("the definition '{definition}' is not one: {message}"),
                )),
            }
        }
    }

    /// A message about a range of a file: a stretch of text is made for it to point at.
    fn fault(&mut self, code: Code, file: FileId, range: Range<usize>, message: impl Into<String>) -> Diag {
        let at = self.sources.text().len();
        self.sources.replace(file, range, " ");
        Diag::error(code, Span::new(at, at + 1), message)
    }

    fn report(&mut self, diag: Diag) {
        self.diags.push(diag);
        if self.diags.list.len() >= self.options.limits.messages {
            self.stopped = true;
        }
    }

    fn read(&mut self, path: &str) -> Result<String, FileError> {
        let bytes = self.files.read(path, self.options.limits.file)?;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            // Comments in old trees are Latin-1; nothing else may be.
            Err(e) => e.into_bytes().iter().map(|b| char::from(*b)).collect(),
        })
    }

    fn enter(&mut self, path: &str, from: Option<(FileId, Range<usize>)>, depth: usize) {
        let text = match self.read(path) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("cannot read '{path}': {error}");
                let diag = match from {
                    Some((file, range)) => self.fault(Code::File, file, range, message),
                    None => Diag::bare(Code::File, crate::diag::Severity::Error, message),
                };
                return self.report(diag);
            }
        };
        if self.sources.files().len() >= MOST_FILES {
            let message = format!("more than {MOST_FILES} files are included");
            let diag = match from {
                Some((file, range)) => self.fault(Code::Limit, file, range, message),
                None => Diag::bare(Code::Limit, crate::diag::Severity::Error, message),
            };
            self.stopped = true;
            return self.report(diag);
        }
        let file = self.sources.add_file(path.to_owned(), text.clone());
        self.scan(file, &text, depth);
    }

    fn find(&mut self, file: FileId, name: &str, quoted: bool) -> Option<String> {
        if name.starts_with('/') {
            return Some(name.to_owned());
        }
        let mut candidates = Vec::new();
        if quoted {
            let here = self.sources.file(file).map(|f| f.name.clone()).unwrap_or_default();
            candidates.push(here.rsplit_once('/').map_or_else(|| name.to_owned(), |(dir, _)| format!("{dir}/{name}")));
        }
        candidates.extend(self.options.include.iter().map(|dir| format!("{}/{name}", dir.trim_end_matches('/'))));
        let limit = self.options.limits.file;
        candidates.into_iter().find(|path| !matches!(self.files.read(path, limit), Err(FileError::Missing)))
    }

    fn include(&mut self, file: FileId, range: Range<usize>, name: &str, quoted: bool, depth: usize) {
        if depth + 1 >= self.options.limits.includes {
            let diag = self
                .fault(Code::Limit, file, range, format!("includes nest deeper than {}", self.options.limits.includes))
                .help("a file that includes itself needs an #ifndef guard");
            self.stopped = true;
            return self.report(diag);
        }
        match self.find(file, name, quoted) {
            Some(path) => self.enter(&path, Some((file, range)), depth + 1),
            None => {
                let searched = self.options.include.join(", ");
                let diag = self
                    .fault(Code::File, file, range, format!("cannot find the included file '{name}'"))
                    .note("included here")
                    .help(if searched.is_empty() {
                        "no include directories were given: use -I DIR".to_owned()
                    } else {
                        format!("searched in: {searched}")
                    });
                self.report(diag);
            }
        }
    }

    fn scan(&mut self, file: FileId, text: &str, depth: usize) {
        let bytes = text.as_bytes();
        let mut open: Vec<Condition> = Vec::new();
        let mut at = 0;
        let mut copied = 0;
        let mut line_start = true;
        while at < bytes.len() {
            if self.stopped {
                return;
            }
            if self.sources.text().len() + (at - copied) > self.options.limits.text {
                let diag = self.fault(Code::Limit, file, at..at + 1, "the preprocessed text grows beyond the limit");
                self.stopped = true;
                return self.report(diag);
            }
            let live = open.last().is_none_or(|c| c.live);
            match bytes[at] {
                b'#' if line_start => {
                    if let Some((word, end)) = directive(text, at) {
                        if live {
                            self.sources.copy(file, copied..at);
                        }
                        let line = logical_line(text, at);
                        self.directive(file, text, word, at..line.end, end, &mut open, depth);
                        // The line break itself stays, so that line comments end.
                        at = line.end;
                        copied = at;
                        continue;
                    }
                    line_start = false;
                    at += 1;
                }
                b'\n' => {
                    line_start = true;
                    at += 1;
                    if !live {
                        copied = at;
                    }
                }
                b if b.is_ascii_whitespace() => at += 1,
                b'/' if bytes.get(at + 1) == Some(&b'*') => {
                    let end = text[at + 2..].find("*/").map_or(bytes.len(), |i| at + 2 + i + 2);
                    at = end;
                    if !live {
                        copied = at;
                    }
                }
                b'/' if bytes.get(at + 1) == Some(&b'/') => {
                    at = logical_line(text, at).end;
                    if !live {
                        copied = at;
                    }
                }
                _ if !live => {
                    at = logical_line_raw(text, at);
                    copied = at;
                }
                b'"' => {
                    line_start = false;
                    at = string_end(bytes, at);
                }
                b'\'' => {
                    line_start = false;
                    at = tokens::char_end(bytes, at).unwrap_or(at + 1);
                }
                b'\\' if line_break(bytes, at + 1).is_some() => {
                    self.sources.copy(file, copied..at);
                    at = line_break(bytes, at + 1).unwrap_or(at + 1);
                    copied = at;
                }
                b'/' if text[at..].starts_with("/include/") => {
                    line_start = false;
                    let rest = at + "/include/".len();
                    let skipped = rest + text[rest..].len() - text[rest..].trim_start().len();
                    let Some(end) = (bytes.get(skipped) == Some(&b'"')).then(|| string_end(bytes, skipped)) else {
                        let diag = self.fault(
                            Code::Preprocessor,
                            file,
                            at..rest,
                            "/include/ is not followed by a file name in quotes",
                        );
                        self.report(diag);
                        at = rest;
                        continue;
                    };
                    self.sources.copy(file, copied..at);
                    let name = text.get(skipped + 1..end.saturating_sub(1).max(skipped + 1)).unwrap_or("").to_owned();
                    self.include(file, at..end, &name, true, depth);
                    at = end;
                    copied = at;
                }
                b if b.is_ascii_alphabetic() || b == b'_' => {
                    line_start = false;
                    let end = at + tokens::word_len(&bytes[at..]);
                    let word = &text[at..end];
                    if self.macros.is_macro(word) {
                        self.sources.copy(file, copied..at);
                        at = self.expand(file, text, at..end);
                        copied = at;
                    } else {
                        at = end;
                    }
                }
                b if b.is_ascii_digit() => {
                    line_start = false;
                    // A number swallows the letters behind it (0x10UL), as in C.
                    at += 1 + tokens::word_len(&bytes[at + 1..]);
                }
                _ => {
                    line_start = false;
                    at += 1;
                }
            }
        }
        if open.last().is_none_or(|c| c.live) {
            self.sources.copy(file, copied..bytes.len());
        }
        for condition in open {
            let diag =
                self.fault(Code::Preprocessor, file, condition.at, "this condition is never closed").help("add #endif");
            self.report(diag);
        }
    }

    /// Replaces the macro call that starts at `word`; returns where the source goes on.
    fn expand(&mut self, file: FileId, text: &str, word: Range<usize>) -> usize {
        let row = self.sources.row_in(file, word.start);
        let mut out = String::new();
        match self.macros.expand_call(text, word.clone(), row, &mut out) {
            Ok(end) => {
                self.sources.replace(file, word.start..end, &out);
                end
            }
            Err(fault) => {
                let mut diag = self.fault(
                    if fault.exhausted { Code::Limit } else { Code::Macro },
                    file,
                    word.clone(),
                    fault.message,
                );
                if let Some((at, range)) = fault.defined {
                    let span =
                        self.fault(Code::Macro, at, range, "").places.pop().and_then(|p| p.span).unwrap_or_default();
                    diag = diag.note("used here").at(span, "defined here");
                }
                if fault.exhausted {
                    self.stopped = true;
                }
                self.report(diag);
                fault.resume.max(word.end)
            }
        }
    }
}
