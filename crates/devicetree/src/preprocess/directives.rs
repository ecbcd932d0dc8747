//! What each directive does: `#if` and its family, `#include`, `#define`, `#line` and the rest.

use std::ops::Range;

use super::lines::join_lines;
use super::macros::{self, Macro};
use super::{Condition, Preprocessor, expr, tokens};
use crate::diag::Code;
use crate::source::{FileId, Renumber};

impl Preprocessor<'_> {
    #[allow(clippy::too_many_arguments, reason = "one call site, in the loop above")]
    pub(super) fn directive(
        &mut self,
        file: FileId,
        text: &str,
        word: &str,
        line: Range<usize>,
        word_end: usize,
        open: &mut Vec<Condition>,
        depth: usize,
    ) {
        let live = open.last().is_none_or(|c| c.live);
        let body = join_lines(&text[word_end..line.end]);
        let body = body.trim();
        match word {
            "if" | "ifdef" | "ifndef" => {
                if open.len() >= self.options.limits.depth {
                    let diag = self.fault(Code::Limit, file, line, "conditions nest too deeply");
                    self.stopped = true;
                    return self.report(diag);
                }
                let holds = live && self.condition(file, word, body, &line);
                open.push(Condition { live: holds, taken: holds || !live, otherwise: false, at: line });
            }
            "elif" | "else" => {
                let Some(last) = open.last() else {
                    let diag = self.fault(Code::Preprocessor, file, line, format!("#{word} without #if"));
                    return self.report(diag);
                };
                if last.otherwise {
                    let diag = self.fault(Code::Preprocessor, file, line, format!("#{word} after #else"));
                    return self.report(diag);
                }
                let taken = last.taken;
                let holds = !taken && (word == "else" || self.condition(file, "if", body, &line));
                if let Some(last) = open.last_mut() {
                    last.live = holds;
                    last.taken |= holds;
                    last.otherwise = word == "else";
                }
            }
            "endif" if open.pop().is_some() => {}
            "endif" => {
                let diag = self.fault(Code::Preprocessor, file, line, "#endif without #if");
                self.report(diag);
            }
            _ if !live => {}
            "include" => {
                let mut name = body.to_owned();
                if !name.starts_with(['"', '<']) {
                    name = self.macros.expand_text(body).unwrap_or_default().trim().to_owned();
                }
                let quoted = name.starts_with('"');
                let close = if quoted { '"' } else { '>' };
                match name.get(1..).and_then(|rest| rest.split_once(close)) {
                    Some((path, _)) if name.starts_with(['"', '<']) && !path.is_empty() => {
                        let path = path.to_owned();
                        self.include(file, line, &path, quoted, depth);
                    }
                    _ => {
                        let diag = self.fault(Code::Preprocessor, file, line, "#include needs \"FILE\" or <FILE>");
                        self.report(diag);
                    }
                }
            }
            "define" => {
                let offset = word_end;
                match macros::parse_define(&text[word_end..line.end], file, offset) {
                    Ok((name, makro)) => self.define(file, line, name, makro),
                    Err((_, message)) => {
                        let diag = self.fault(Code::Macro, file, line, message);
                        self.report(diag);
                    }
                }
            }
            "undef" => {
                let name = &body[..tokens::word_len(body.as_bytes())];
                if name.is_empty() {
                    let diag = self.fault(Code::Preprocessor, file, line, "#undef needs a name");
                    self.report(diag);
                } else {
                    self.macros.undefine(name);
                }
            }
            "error" => {
                let diag = self.fault(Code::Preprocessor, file, line, format!("#error {body}"));
                self.report(diag);
            }
            "warning" => {
                let diag = self.fault(Code::Preprocessor, file, line, format!("#warning {body}")).warning();
                self.report(diag);
            }
            "line" => {
                let expanded = self.macros.expand_text(body).unwrap_or_default();
                self.line_number(file, line, &expanded);
            }
            // `# 12 "file"`: what a preprocessor before us left.
            "" => self.line_number(file, line, body),
            _ => {}
        }
    }

    fn define(&mut self, file: FileId, line: Range<usize>, name: String, makro: Macro) {
        let at = makro.at.clone();
        if let Some((before, range)) = self.macros.define(name.clone(), makro).map(|old| (old.file, old.at))
            && (before, range.clone()) != (file, at)
        {
            let first =
                self.fault(Code::Macro, before, range, "").places.pop().and_then(|p| p.span).unwrap_or_default();
            let diag = self
                .fault(Code::Macro, file, line, format!("'{name}' is defined again, differently"))
                .note("this definition now holds")
                .at(first, "the first")
                .warning();
            self.report(diag);
        }
    }

    fn line_number(&mut self, file: FileId, line: Range<usize>, body: &str) {
        let mut words = body.splitn(2, char::is_whitespace);
        let number = words.next().and_then(|w| w.parse::<u32>().ok());
        let name = words
            .next()
            .and_then(|rest| rest.trim().strip_prefix('"'))
            .and_then(|r| r.split_once('"'))
            .map(|(n, _)| n.to_owned());
        match number {
            // The next line carries the number.
            Some(line_no) => self.sources.renumber(file, Renumber { from: line.end as u32 + 1, line: line_no, name }),
            None => {
                let diag = self.fault(Code::Preprocessor, file, line, "#line needs a number");
                self.report(diag);
            }
        }
    }

    fn condition(&mut self, file: FileId, word: &str, body: &str, line: &Range<usize>) -> bool {
        if word != "if" {
            let name = &body[..tokens::word_len(body.as_bytes())];
            if name.is_empty() {
                let diag = self.fault(Code::Preprocessor, file, line.clone(), format!("#{word} needs a name"));
                self.report(diag);
                return false;
            }
            return self.macros.is_defined(name) == (word == "ifdef");
        }
        let tokens = match self.macros.expand_condition(body) {
            Ok(tokens) => tokens,
            Err(message) => {
                let diag = self.fault(Code::Preprocessor, file, line.clone(), message);
                self.report(diag);
                return false;
            }
        };
        match expr::evaluate(&tokens, self.options.limits.depth) {
            Ok(value) => value != 0,
            Err(message) => {
                let diag = self.fault(
                    Code::Preprocessor,
                    file,
                    line.clone(),
                    format!("this condition cannot be evaluated: {message}"),
                );
                self.report(diag);
                false
            }
        }
    }
}
