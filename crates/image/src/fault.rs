//! What is wrong with a product: one fault, the places that collide, and a way out.
//!
//! Texts come from files that anybody may have written: control characters in them are shown as question marks.

use std::{fmt::Write as _, ops::Range};

use serde::Serialize;
use tutti_devicetree::diag::harmless;

/// Which fault: stable words for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Code {
    /// A file is missing, unreadable or too large.
    File,
    /// It is not TOML, or holds a word or a value that has no meaning.
    Syntax,
    /// There is no such part.
    UnknownPart,
    /// There is no such board.
    UnknownBoard,
    /// Parts need each other in a circle.
    Cycle,
    /// Two parts cannot be together.
    Conflict,
    /// A part is not for this profile.
    Profile,
    /// Nothing gives what a part needs.
    Unmet,
    /// The hardware lacks what a part needs.
    Hardware,
    /// It does not fit.
    Limit,
    /// Two things want the same addresses, or one is outside of its memory.
    Address,
    /// The kernel lacks what a part needs.
    Kernel,
    /// The device tree has faults.
    Tree,
}

impl Code {
    /// The stable word.
    pub fn word(self) -> String {
        serde_json::to_value(self).ok().and_then(|it| it.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// Which file a place is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(usize);

/// A stretch of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The bytes.
    pub range: Range<usize>,
}

/// The texts that faults point into.
#[derive(Debug, Clone, Default)]
pub struct Texts(Vec<(String, String)>);

impl Texts {
    /// One more file.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        self.0.push((name.into(), text.into()));
        FileId(self.0.len() - 1)
    }

    /// What a file is called.
    pub fn name(&self, file: FileId) -> &str {
        self.0.get(file.0).map_or("", |it| it.0.as_str())
    }

    /// What it holds.
    pub fn text(&self, file: FileId) -> &str {
        self.0.get(file.0).map_or("", |it| it.1.as_str())
    }

    /// Line and column of a span's begin, counted from 1.
    pub fn position(&self, span: &Span) -> (usize, usize) {
        let before = self.text(span.file).get(..span.range.start).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

/// A place and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub span: Span,
    /// What is there.
    pub note: String,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which.
    pub code: Code,
    /// One sentence.
    pub message: String,
    /// The places that collide, the one to change first.
    pub places: Vec<Place>,
    /// What to do.
    pub help: Option<String>,
}

impl Fault {
    /// One without a place.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), places: Vec::new(), help: None }
    }

    /// With one more place.
    #[must_use]
    pub fn at(mut self, span: &Span, note: impl Into<String>) -> Self {
        self.places.push(Place { span: span.clone(), note: note.into() });
        self
    }

    /// With a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All faults of one product, with the texts that they are in.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// In the order found.
    pub list: Vec<Fault>,
    /// The texts.
    pub texts: Texts,
}

impl Faults {
    /// As text for people, with the source lines; `colour` adds terminal colours.
    pub fn render(&self, colour: bool) -> String {
        let files = self.texts.0.iter().map(|(name, text)| (name.clone(), harmless(text)));
        let mut cache = ariadne::sources(files.collect::<Vec<_>>());
        let mut out = String::new();
        for fault in &self.list {
            self.render_one(fault, colour, &mut cache, &mut out);
        }
        out
    }

    fn render_one(&self, fault: &Fault, colour: bool, cache: &mut impl ariadne::Cache<String>, out: &mut String) {
        let word = fault.code.word();
        let Some(first) = fault.places.first() else {
            let _ = writeln!(out, "[{word}] Error: {}", harmless(&fault.message));
            if let Some(help) = &fault.help {
                let _ = writeln!(out, "  help: {}", harmless(help));
            }
            return;
        };
        let name = |span: &Span| self.texts.name(span.file).to_owned();
        let config = ariadne::Config::default()
            .with_color(colour)
            .with_char_set(ariadne::CharSet::Ascii)
            .with_index_type(ariadne::IndexType::Byte);
        let place = (name(&first.span), self.one_line(&first.span));
        let mut report = ariadne::Report::build(ariadne::ReportKind::Error, place).with_config(config).with_code(word);
        report.set_message(harmless(&fault.message));
        // In the file's order, so that one file makes one excerpt.
        let mut places: Vec<_> = fault.places.iter().enumerate().collect();
        places.sort_by_key(|(_, it)| (it.span.file != first.span.file, it.span.file, it.span.range.start));
        for (order, place) in places {
            let note = if place.note.is_empty() { "here".to_owned() } else { harmless(&place.note) };
            let label = ariadne::Label::new((name(&place.span), self.one_line(&place.span)));
            report.add_label(label.with_message(note).with_order(i32::try_from(order).unwrap_or(i32::MAX)));
        }
        if let Some(help) = &fault.help {
            report.set_help(harmless(help));
        }
        let mut bytes = Vec::new();
        if report.finish().write(cache, &mut bytes).is_err() {
            bytes = format!("Error: {}\n", harmless(&fault.message)).into_bytes();
        }
        for line in String::from_utf8_lossy(&bytes).lines() {
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }

    /// The span, cut where its first line ends: a label over a whole table would print the table.
    fn one_line(&self, span: &Span) -> Range<usize> {
        let text = self.texts.text(span.file);
        let start = span.range.start.min(text.len());
        let end = span.range.end.clamp(start, text.len());
        let cut = text.get(start..end).and_then(|it| it.find('\n')).map_or(end, |at| start + at);
        start..cut.max(start)
    }

    /// For programs: an array of objects.
    pub fn to_json(&self) -> serde_json::Value {
        let place = |place: &Place| {
            let (line, column) = self.texts.position(&place.span);
            serde_json::json!({
                "file": self.texts.name(place.span.file), "line": line, "column": column, "note": place.note,
            })
        };
        let fault = |fault: &Fault| {
            let places: Vec<_> = fault.places.iter().map(place).collect();
            serde_json::json!({
                "code": fault.code, "message": fault.message, "places": places, "help": fault.help,
            })
        };
        self.list.iter().map(fault).collect()
    }
}
