//! YAML as a bounded tree of values with positions; merge keys are resolved here.

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::source::{Limits, Span};

/// A value.
#[derive(Debug, Clone)]
pub(super) struct Yaml {
    pub(super) kind: Kind,
    pub(super) span: Span,
    pub(super) tag: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Scalar { text: String, plain: bool },
    List(Vec<Yaml>),
    Map(Vec<(String, Span, Yaml)>),
}

impl Yaml {
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> &[Self] {
        match &self.kind {
            Kind::List(list) => list,
            _ => std::slice::from_ref(self),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Map(map) => map.iter().find(|(k, ..)| k == key).map(|(.., v)| v),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<u64> {
        match &self.kind {
            Kind::Scalar { text, plain: true } => number(text),
            _ => None,
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match &self.kind {
            Kind::Scalar { text, plain: true } => match text.as_str() {
                "true" | "True" => Some(true),
                "false" | "False" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }
}

/// `0x10`, `16`, `64K`, `2M`, `4G`, `1T`.
fn number(text: &str) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        b'G' => (&text[..text.len() - 1], 30),
        b'T' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

type Fault = (Span, String);

enum Open {
    List(Vec<Yaml>),
    Map(Vec<(String, Span, Yaml)>, Option<(String, Span)>),
}

struct Frame {
    open: Open,
    anchor: usize,
    span: Span,
    tag: Option<String>,
}

/// Reads the first document of a text that begins at `base` of all text.
pub(super) fn parse(text: &str, base: u32, limits: &Limits) -> Result<Option<Yaml>, Fault> {
    // The parser counts characters, spans count bytes.
    let table: Option<Vec<u32>> = (!text.is_ascii()).then(|| text.char_indices().map(|(i, _)| i as u32).collect());
    let byte = |chars: usize| match &table {
        None => chars as u32,
        Some(t) => t.get(chars).copied().unwrap_or(text.len() as u32),
    };
    let mut anchors: std::collections::HashMap<usize, (Yaml, usize)> = std::collections::HashMap::new();
    let mut stack: Vec<Frame> = Vec::new();
    let mut values = 0usize;
    let mut done: Option<Yaml> = None;
    for event in Parser::new_from_str(text) {
        let (event, at) = event.map_err(|e| {
            let start = base + byte(e.marker().index()).min(text.len().saturating_sub(1) as u32);
            (Span { start, end: start + 1 }, format!("this is no YAML: {}", e.info()))
        })?;
        let span =
            Span { start: base + byte(at.start.index()), end: base + byte(at.end.index()).max(byte(at.start.index())) };
        let (value, anchor) = match event {
            Event::SequenceStart(anchor, tag) => {
                stack.push(Frame { open: Open::List(Vec::new()), anchor, span, tag: tag.map(|t| t.suffix.clone()) });
                if stack.len() > limits.depth {
                    return Err((span, format!("collections nest deeper than {}", limits.depth)));
                }
                continue;
            }
            Event::MappingStart(anchor, tag) => {
                stack.push(Frame {
                    open: Open::Map(Vec::new(), None),
                    anchor,
                    span,
                    tag: tag.map(|t| t.suffix.clone()),
                });
                if stack.len() > limits.depth {
                    return Err((span, format!("collections nest deeper than {}", limits.depth)));
                }
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(frame) = stack.pop() else { continue };
                let kind = match frame.open {
                    Open::List(list) => Kind::List(list),
                    Open::Map(map, _) => Kind::Map(map),
                };
                (Yaml { kind, span: frame.span.to(span), tag: frame.tag }, frame.anchor)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                (
                    Yaml {
                        kind: Kind::Scalar { text: text.into_owned(), plain },
                        span,
                        tag: tag.map(|t| t.suffix.clone()),
                    },
                    anchor,
                )
            }
            Event::Alias(id) => {
                let Some((value, size)) = anchors.get(&id).cloned() else {
                    return Err((span, "an alias without its anchor".to_owned()));
                };
                values = values.saturating_add(size);
                (Yaml { span, ..value }, 0)
            }
            Event::DocumentEnd => break,
            _ => continue,
        };
        values += 1;
        if values > limits.nodes {
            return Err((value.span, format!("more than {} values, aliases included", limits.nodes)));
        }
        if anchor > 0 {
            let size = count(&value);
            anchors.insert(anchor, (value.clone(), size));
        }
        match stack.last_mut().map(|f| &mut f.open) {
            None => done = Some(value),
            Some(Open::List(list)) => merge_list(list, value),
            Some(Open::Map(map, key)) => match key.take() {
                None => {
                    let Some(name) = value.text() else {
                        return Err((value.span, "a key must be a plain text".to_owned()));
                    };
                    *key = Some((name.to_owned(), value.span));
                }
                Some((name, at)) if name.starts_with("<<") => merge_map(map, &value, at),
                Some((name, at)) => {
                    if let Some((_, first, _)) = map.iter().find(|(k, ..)| *k == name) {
                        let _ = first;
                        return Err((at, format!("'{name}' is there twice in one mapping")));
                    }
                    map.push((name, at, value));
                }
            },
        }
    }
    Ok(done)
}

fn count(value: &Yaml) -> usize {
    1 + match &value.kind {
        Kind::Scalar { .. } => 0,
        Kind::List(list) => list.iter().map(count).sum(),
        Kind::Map(map) => map.iter().map(|(.., v)| count(v)).sum(),
    }
}

/// `- <<+: *alias` in a list stands for the alias's entries.
fn merge_list(list: &mut Vec<Yaml>, value: Yaml) {
    list.push(value);
}

/// `<<: *alias` and its kin: the alias's keys, where they are not there already.
fn merge_map(map: &mut Vec<(String, Span, Yaml)>, value: &Yaml, at: Span) {
    let mut add = |key: &String, span: Span, value: &Yaml| {
        if !map.iter().any(|(k, ..)| k == key) {
            map.push((key.clone(), span, value.clone()));
        }
    };
    match &value.kind {
        Kind::Map(entries) => entries.iter().for_each(|(k, s, v)| add(k, *s, v)),
        Kind::List(list) => {
            for (i, entry) in list.iter().enumerate() {
                match &entry.kind {
                    Kind::Map(entries) => entries.iter().for_each(|(k, s, v)| add(k, *s, v)),
                    _ => add(&format!("<<{i}"), at, entry),
                }
            }
        }
        Kind::Scalar { .. } => {}
    }
}
