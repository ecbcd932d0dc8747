//! Server-sent events, read from bytes that arrive in any pieces.
//!
//! By <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>: lines end with
//! LF, CR LF or CR; a line is `field: value`; an empty line ends the event; a line that begins with `:` is a comment;
//! an event without data is none. `id` and `retry` are not used here and are skipped.
//!
//! The sender may be wrong or hostile: an event larger than the bound ends the stream.

use std::{collections::VecDeque, fmt};

/// The largest event that is accepted, in bytes: a snapshot of some 20,000 resources.
pub const MAX_EVENT: usize = 8 << 20;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// Its name; `message` if the sender gave none.
    pub name: String,
    /// Its data.
    pub data: String,
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SseError {
    /// An event is larger than [`MAX_EVENT`].
    TooLarge,
    /// A line is not UTF-8.
    NotText,
}

impl fmt::Display for SseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "an event is larger than {MAX_EVENT} bytes"),
            Self::NotText => f.write_str("an event is not UTF-8 text"),
        }
    }
}

impl std::error::Error for SseError {}

/// Reads events out of bytes. Holds at most one unfinished event and the finished ones that were not taken yet.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    after_cr: bool,
    name: String,
    data: Option<String>,
    ready: VecDeque<SseEvent>,
}

impl SseParser {
    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), SseError> {
        // An empty piece says nothing, not even that the CR before it stands alone.
        if bytes.is_empty() {
            return Ok(());
        }
        // The LF of a CR LF that was split between two pieces.
        if std::mem::take(&mut self.after_cr) && bytes.first() == Some(&b'\n') {
            bytes = bytes.get(1..).unwrap_or_default();
        }
        while let Some(end) = bytes.iter().position(|&byte| matches!(byte, b'\n' | b'\r')) {
            let (piece, rest) = bytes.split_at(end);
            self.push(piece)?;
            self.end_of_line()?;
            bytes = match rest {
                [b'\r', b'\n', rest @ ..] => rest,
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [_, rest @ ..] => rest,
                [] => &[],
            };
        }
        self.push(bytes)
    }

    /// The next finished event.
    pub fn take(&mut self) -> Option<SseEvent> {
        self.ready.pop_front()
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), SseError> {
        let held = self.line.len() + self.name.len() + self.data.as_ref().map_or(0, String::len);
        if held + piece.len() > MAX_EVENT {
            return Err(SseError::TooLarge);
        }
        self.line.extend_from_slice(piece);
        Ok(())
    }

    fn end_of_line(&mut self) -> Result<(), SseError> {
        let line = std::mem::take(&mut self.line);
        let line = str::from_utf8(&line).map_err(|_| SseError::NotText)?;
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            if let Some(data) = self.data.take() {
                let name = if name.is_empty() { "message".to_owned() } else { name };
                self.ready.push_back(SseEvent { name, data });
            }
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = value.to_owned(),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<(String, String)>, SseError> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.feed(piece)?;
            events.extend(std::iter::from_fn(|| parser.take()).map(|event| (event.name, event.data)));
        }
        Ok(events)
    }

    #[test]
    fn the_examples_of_the_specification() {
        let stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n";
        let events = parse([&stream[..]]).unwrap();
        let data: Vec<_> = events.iter().map(|(_, data)| data.as_str()).collect();
        assert_eq!(data, ["first event", "second event", " third event"]);
        assert_eq!(
            parse([&b"data\n\ndata\ndata\n\ndata:"[..]]).unwrap(),
            [("message".into(), String::new()), ("message".into(), "\n".into())]
        );
        assert_eq!(parse([&b"event: ping\r\n\r\nevent: a\rdata: b\r\r"[..]]).unwrap(), [("a".into(), "b".into())]);
    }

    #[test]
    fn an_empty_piece_between_cr_and_lf_ends_no_line() {
        let events = parse([&b"data: a\r"[..], b"", b"\ndata: b\r", b"\n\r", b"", b"\n"]).unwrap();
        assert_eq!(events, [("message".into(), "a\nb".into())]);
    }

    #[test]
    fn bounds_and_bad_bytes() {
        let mut parser = SseParser::default();
        let piece = vec![b'x'; 1 << 20];
        assert_eq!((0..9).try_for_each(|_| parser.feed(&piece)), Err(SseError::TooLarge));
        let mut parser = SseParser::default();
        let line = [b"data: ", &piece[..], b"\n"].concat();
        assert_eq!((0..9).try_for_each(|_| parser.feed(&line)), Err(SseError::TooLarge), "many lines of one event");
        assert_eq!(SseParser::default().feed(b"data: \xff\n"), Err(SseError::NotText));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_stream_is_cut(
            text in "(event: [a-c]|data: ?[a-cé]{0,3}|:x|id: 3|[a-c: ]{0,4}|)(\n|\r\n|\r){1,2}(event: a|data: b|\n|\r\n|\r){0,12}",
            cuts in prop::collection::vec(0usize..64, 0..6),
        ) {
            let bytes = text.as_bytes();
            let whole = parse([bytes]);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            prop_assert_eq!(parse(cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]])), whole);
        }

        #[test]
        fn any_bytes_are_taken_without_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let _ = parse(pieces.iter().map(Vec::as_slice));
        }
    }
}
