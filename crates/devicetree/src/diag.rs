//! Messages: one fault, the places it concerns, what to do about it; as text with the source line and as JSON.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::source::{Position, Sources, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Warning,
    /// Nothing is made from this input.
    Error,
}

/// Which fault: stable words for scripts and for `--allow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names are the documentation; each message says more")]
pub enum Code {
    // Reading.
    File,
    Limit,
    Preprocessor,
    Macro,
    Lexical,
    Syntax,
    Number,
    UnknownReference,
    DuplicateLabel,
    DuplicateName,
    BadName,
    Delete,
    Phandle,
    Overlay,
    Binary,
    Yaml,
    // Checking.
    Cells,
    UnitAddress,
    DanglingPhandle,
    DomainProperty,
    UnknownCluster,
    UnknownCpu,
    CpuShared,
    DuplicateId,
    OutsideMemory,
    MemoryShared,
    DeviceShared,
    Unreachable,
    CarveoutOverlap,
    CarveoutOutside,
    CarveoutNotGranted,
    Vring,
    Mailbox,
    Interrupt,
    Relation,
    Nesting,
    Firewall,
    Flags,
}

impl Code {
    /// The stable word.
    #[must_use]
    pub fn word(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(word)) => word,
            _ => format!("{self:?}").to_lowercase(),
        }
    }
}

impl std::str::FromStr for Code {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        serde_json::from_value(word.into())
            .map_err(|_| format!("there is no fault '{word}'; each finding begins with its word"))
    }
}

/// A place and what is to be said about it. A tree that came from a blob has paths but no spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// In the text, if there is text.
    pub span: Option<Span>,
    /// The node's path and, after a colon, the property; empty before there is a tree.
    pub path: String,
    /// What is there.
    pub note: String,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diag {
    /// Which.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// One sentence.
    pub message: String,
    /// The places that collide, the one to change first.
    pub places: Vec<Place>,
    /// What to do next.
    pub help: Option<String>,
}

impl Diag {
    /// An error at a place of the text.
    #[must_use]
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::bare(code, Severity::Error, message).at(span, "")
    }

    /// Without a place yet.
    #[must_use]
    pub fn bare(code: Code, severity: Severity, message: impl Into<String>) -> Self {
        Self { code, severity, message: message.into(), places: Vec::new(), help: None }
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// One more place in the text.
    #[must_use]
    pub fn at(mut self, span: Span, note: impl Into<String>) -> Self {
        self.places.push(Place { span: Some(span), path: String::new(), note: note.into() });
        self
    }

    /// One more place.
    #[must_use]
    pub fn place(mut self, place: Place) -> Self {
        self.places.push(place);
        self
    }

    /// Says what the first place is.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        if let Some(place) = self.places.first_mut() {
            place.note = note.into();
        }
        self
    }

    /// The same, safe to show.
    fn harmless(&self) -> Self {
        let mut shown = self.clone();
        let texts = shown.places.iter_mut().flat_map(|p| [&mut p.path, &mut p.note]).chain(&mut shown.help);
        texts.chain([&mut shown.message]).for_each(|text| *text = harmless(text));
        shown
    }

    /// Says what to do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The text with question marks for control characters and those that change the direction of writing; as long in
/// bytes as before, so that places stay where they are.
pub fn harmless(text: &str) -> String {
    let harmful = |c: char| match c {
        '\t' | '\n' => false,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Some editors end lines with it.
            '\r' => out.push(' '),
            c if harmful(c) => out.extend(std::iter::repeat_n('?', c.len_utf8())),
            c => out.push(c),
        }
    }
    out
}

/// The faults of one reading or check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diags {
    /// In the order found.
    pub list: Vec<Diag>,
}

impl Diags {
    /// Adds one.
    pub fn push(&mut self, diag: Diag) {
        self.list.push(diag);
    }

    /// Whether any is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// The text for people: each message with its source lines. `colour` adds terminal colours. Control characters in
    /// what others wrote come out as question marks: none of them can drive the terminal.
    #[must_use]
    pub fn render(&self, sources: &Sources, colour: bool) -> String {
        let mut out = String::new();
        let used: std::collections::BTreeSet<_> = self
            .list
            .iter()
            .flat_map(|d| &d.places)
            .filter_map(|p| p.span.and_then(|s| sources.locate(s)))
            .map(|(f, ..)| f)
            .collect();
        let files = used.into_iter().filter_map(|id| sources.file(id)).map(|f| (f.name.clone(), harmless(&f.text)));
        let mut cache = ariadne::sources(files);
        for diag in &self.list {
            render_one(&mut out, &diag.harmless(), sources, colour, &mut cache);
        }
        out
    }

    /// The form for programs: an array of objects.
    #[must_use]
    pub fn to_json(&self, sources: &Sources) -> serde_json::Value {
        #[derive(Serialize)]
        struct JsonPlace<'a> {
            #[serde(flatten)]
            position: Option<Position>,
            #[serde(skip_serializing_if = "str::is_empty")]
            path: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            note: &'a str,
        }
        #[derive(Serialize)]
        struct JsonDiag<'a> {
            code: Code,
            severity: Severity,
            message: &'a str,
            places: Vec<JsonPlace<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            help: Option<&'a str>,
        }
        let list: Vec<_> = self
            .list
            .iter()
            .map(|d| JsonDiag {
                code: d.code,
                severity: d.severity,
                message: &d.message,
                places: d
                    .places
                    .iter()
                    .map(|p| JsonPlace {
                        position: p.span.and_then(|s| sources.position(s)),
                        path: &p.path,
                        note: &p.note,
                    })
                    .collect(),
                help: d.help.as_deref(),
            })
            .collect();
        serde_json::to_value(list).unwrap_or_default()
    }
}

/// Lines longer than this are not drawn whole.
const LONG_LINE: usize = 240;

/// The line that holds a byte.
fn line_of(text: &str, at: usize) -> &str {
    let at = at.min(text.len());
    let bytes = text.as_bytes();
    let start = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let end = bytes[at..].iter().position(|b| *b == b'\n').map_or(text.len(), |i| at + i);
    text.get(start..end).unwrap_or("")
}

fn render_one(out: &mut String, diag: &Diag, sources: &Sources, colour: bool, cache: &mut impl ariadne::Cache<String>) {
    use ariadne::{CharSet, Config, IndexType, Label, Report, ReportKind};
    let word = diag.code.word();
    let located: Vec<_> = diag
        .places
        .iter()
        .filter_map(|p| p.span.and_then(|s| sources.locate(s)).map(|(file, range, _)| (p, file, range)))
        .collect();
    let Some((_, file, range)) = located.first().cloned() else {
        let kind = if diag.severity == Severity::Error { "Error" } else { "Warning" };
        let _ = writeln!(out, "[{word}] {kind}: {}", diag.message);
        for place in &diag.places {
            let _ = writeln!(out, "  at {} {}", place.path, place.note);
        }
        if let Some(help) = &diag.help {
            let _ = writeln!(out, "  help: {help}");
        }
        return;
    };
    let text_of = |id: crate::source::FileId| sources.file(id).map_or("", |f| f.text.as_str());
    if located.iter().any(|(_, f, r)| line_of(text_of(*f), r.start).len() > LONG_LINE) {
        let kind = if diag.severity == Severity::Error { "Error" } else { "Warning" };
        let _ = writeln!(out, "[{word}] {kind}: {}", diag.message);
        for (place, f, r) in &located {
            let at = sources.position_in(*f, r.start).map_or_else(String::new, |p| p.to_string());
            let excerpt: String =
                text_of(*f).get(r.start..).unwrap_or("").chars().take(40).take_while(|c| *c != '\n').collect();
            let _ = writeln!(out, "  at {at}: '{}' {}", harmless(&excerpt), place.note);
        }
        if let Some(help) = &diag.help {
            let _ = writeln!(out, "  help: {help}");
        }
        return;
    }
    let name = |id: crate::source::FileId| sources.file(id).map_or("", |f| f.name.as_str());
    let kind = if diag.severity == Severity::Error { ReportKind::Error } else { ReportKind::Warning };
    let config = Config::default()
        .with_color(colour)
        .with_char_set(CharSet::Ascii)
        .with_index_type(IndexType::Byte)
        .with_compact(false);
    let mut report = Report::build(kind, (name(file).to_owned(), range)).with_config(config).with_code(word);
    report.set_message(&diag.message);
    // In the file's order, so that one file makes one excerpt.
    let mut drawn_order: Vec<_> = located.iter().collect();
    drawn_order.sort_by_key(|(_, f, range)| (*f != file, *f, range.start));
    for (i, (place, file, range)) in drawn_order.into_iter().enumerate() {
        let text = if place.note.is_empty() { "here" } else { place.note.as_str() };
        // One line each: a label over a whole node would print the node.
        let end =
            text_of(*file).get(range.clone()).and_then(|s| s.find('\n')).map_or(range.end, |i| range.start + i.max(1));
        report
            .add_label(Label::new((name(*file).to_owned(), range.start..end)).with_message(text).with_order(i as i32));
    }
    if let Some(help) = &diag.help {
        report.set_help(help);
    }
    let mut bytes = Vec::new();
    let drawn = report.finish().write(cache, &mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    if drawn.is_ok() && !text.trim().is_empty() {
        for line in text.lines() {
            let _ = writeln!(out, "{}", line.trim_end());
        }
    } else {
        let place = located.first().and_then(|(p, ..)| p.span).and_then(|s| sources.position(s));
        let _ = writeln!(out, "{}: {}", place.map_or_else(String::new, |p| p.to_string()), diag.message);
    }
}
