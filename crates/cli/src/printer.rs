//! The one place for output.
//!
//! Results go to standard output, everything said about them to standard error. Text is made of pieces with a tone;
//! a tone becomes a colour only on a terminal, and not under `NO_COLOR` (<https://no-color.org>). Much of what is
//! shown was written by other devices: control characters in it are shown as `·`, so that none of them can drive
//! the terminal.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::{failure::Failure, table::Table};

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    /// Text.
    #[default]
    Plain,
    /// What matters in a line.
    Strong,
    /// What matters least.
    Faint,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
    /// To be copied or typed.
    Accent,
}

impl Tone {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| colour.on_default();
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Faint => Style::new().dimmed(),
            Self::Good => colour(AnsiColor::Green),
            Self::Warn => colour(AnsiColor::Yellow),
            Self::Bad => colour(AnsiColor::Red).bold(),
            Self::Accent => colour(AnsiColor::Cyan).bold(),
        }
    }
}

/// A line of text in pieces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Line(Vec<(Tone, String)>);

impl Line {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A line of one piece.
    pub(crate) fn of(tone: Tone, text: impl Display) -> Self {
        Self::new().and(tone, text)
    }

    /// With one more piece.
    pub(crate) fn and(mut self, tone: Tone, text: impl Display) -> Self {
        self.0.push((tone, harmless(&text.to_string())));
        self
    }

    /// With one more plain piece.
    pub(crate) fn plain(self, text: impl Display) -> Self {
        self.and(Tone::Plain, text)
    }

    /// With another line's pieces after its own.
    pub(crate) fn join(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Without what is blank at its end.
    pub(crate) fn trimmed(mut self) -> Self {
        while self.0.pop_if(|(_, text)| text.trim().is_empty()).is_some() {}
        self
    }

    /// Without tones.
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// Its width on the terminal in columns: some characters take two, some none.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| width(text)).sum()
    }

    fn painted(&self) -> String {
        let paint = |(tone, text): &(Tone, String)| {
            let style = tone.style();
            format!("{style}{text}{style:#}")
        };
        self.0.iter().map(paint).collect()
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        Self::of(Tone::Plain, text)
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self::of(Tone::Plain, text)
    }
}

/// The width of a text on the terminal.
pub(crate) fn width(text: &str) -> usize {
    ratatui::text::Span::raw(text).width()
}

/// The text with `·` for each control character and each character that changes the direction of writing.
pub(crate) fn harmless(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if harmful(c) { '·' } else { c }).collect()
}

/// Where output goes.
pub(crate) struct Printer {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    terminal: bool,
}

impl Printer {
    /// To the process's own output.
    pub(crate) fn of_process() -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let terminal = out.is_terminal();
        let (out_choice, err_choice) = (AutoStream::choice(&out), AutoStream::choice(&err));
        Self {
            out: Box::new(AutoStream::new(out, out_choice)),
            err: Box::new(AutoStream::new(err, err_choice)),
            terminal,
        }
    }

    /// To these, without colours.
    #[cfg(test)]
    pub(crate) fn to(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        Self { out: Box::new(AutoStream::never(out)), err: Box::new(AutoStream::never(err)), terminal: false }
    }

    /// Whether standard output is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The width of the terminal.
    pub(crate) fn columns(&self) -> usize {
        ratatui::crossterm::terminal::size().map_or(80, |(columns, _)| columns.into())
    }

    /// A line of the result.
    pub(crate) fn line(&mut self, line: impl Into<Line>) -> Result<(), Failure> {
        written(writeln!(self.out, "{}", line.into().painted()))
    }

    /// A table of the result.
    pub(crate) fn table(&mut self, table: &Table) -> Result<(), Failure> {
        table.lines().into_iter().try_for_each(|line| self.line(line))
    }

    /// The result as one JSON document.
    pub(crate) fn json(&mut self, result: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(result).map_err(|error| Failure::new(error.to_string()))?;
        written(writeln!(self.out, "{text}"))
    }

    /// A part of the result as one line of JSON.
    pub(crate) fn json_line(&mut self, part: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(part).map_err(|error| Failure::new(error.to_string()))?;
        written(writeln!(self.out, "{text}").and_then(|()| self.out.flush()))
    }

    /// Bytes of the result, as they are: never to be used for a terminal.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.terminal {
            return Err(
                Failure::wrong_use("this would write bytes to the terminal").next("send them to a file: > FILE")
            );
        }
        // Past the layer for colours, which would take some bytes out.
        written(io::stdout().write_all(bytes))
    }

    /// Text whose colours are its own (a picture made of characters).
    pub(crate) fn picture(&mut self, text: &str) -> Result<(), Failure> {
        written(writeln!(self.out, "{text}"))
    }

    /// Text in lines, indented by tabs. What is no terminal gets them as they are.
    pub(crate) fn source(&mut self, text: &str) -> Result<(), Failure> {
        if !self.terminal {
            return written(self.out.write_all(text.as_bytes()));
        }
        text.lines().try_for_each(|line| self.line(line.replace('\t', "    ")))
    }

    /// Says something about the result in text whose colours are its own; nothing if there is nothing to say.
    pub(crate) fn note_picture(&mut self, text: &str) {
        if !text.is_empty() {
            let _ = writeln!(self.err, "{text}");
        }
    }

    /// Replaces the last line, on a terminal; elsewhere nothing.
    pub(crate) fn progress(&mut self, line: impl Into<Line>) -> Result<(), Failure> {
        if !self.terminal {
            return Ok(());
        }
        written(write!(self.out, "\r{}\x1b[K", line.into().painted()).and_then(|()| self.out.flush()))
    }

    /// Ends the line of [`progress`](Self::progress).
    pub(crate) fn progress_done(&mut self) -> Result<(), Failure> {
        if self.terminal { written(writeln!(self.out)) } else { Ok(()) }
    }

    /// Says something about the result.
    pub(crate) fn note(&mut self, line: impl Into<Line>) {
        // Who has closed standard error does not want to hear it.
        let _ = writeln!(self.err, "{}", line.into().painted());
    }

    /// Asks, without ending the line.
    pub(crate) fn ask(&mut self, question: &str) {
        let _ = write!(self.err, "{}", Line::of(Tone::Strong, question).painted()).and_then(|()| self.err.flush());
    }

    /// Says what went wrong.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        if failure.silent {
            return;
        }
        let mut lines = failure.what.lines();
        self.note(Line::of(Tone::Bad, "error: ").plain(lines.next().unwrap_or_default()));
        lines.for_each(|line| self.note(line));
        for (title, text) in [("  why: ", &failure.why), (" next: ", &failure.next)] {
            let mut lines = text.iter().flat_map(|text| text.lines());
            if let Some(first) = lines.next() {
                self.note(Line::of(Tone::Strong, title).plain(first));
            }
            lines.for_each(|line| self.note(Line::from("       ").plain(line)));
        }
    }

    /// A stream for the log of `up --foreground`, with colours if standard error takes them.
    pub(crate) fn log_takes_colour() -> bool {
        AutoStream::choice(&io::stderr()) != ColorChoice::Never
    }
}

fn written(outcome: io::Result<()>) -> Result<(), Failure> {
    outcome.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::reader_gone(),
        _ => Failure::new("cannot write to standard output").why(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_drive_the_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\nc\u{9b}d\u{202e}e"), "a·[2Jb·c·d·e");
        assert_eq!(Line::from("\x07x").width(), 2);
        assert_eq!(width("温度°"), 5);
    }

    #[test]
    fn a_tone_is_a_style_and_nothing_else() {
        assert_eq!(Line::of(Tone::Good, "ok").plain("!").painted(), "\x1b[32mok\x1b[0m!");
    }
}
