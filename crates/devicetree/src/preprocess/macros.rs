//! Macro definitions and their expansion, by Prosser's algorithm (the one behind the C standard's wording).

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use super::tokens::{Hide, Token, TokenKind, common, hidden, next_token, nothing, paste, spell, tokenize, with};
use crate::source::FileId;

/// A definition.
#[derive(Debug, Clone)]
pub(crate) struct Macro {
    pub(crate) file: FileId,
    pub(crate) at: Range<usize>,
    params: Option<Vec<Rc<str>>>,
    variadic: bool,
    body: Rc<[Token]>,
}

impl Macro {
    fn same(&self, other: &Self) -> bool {
        self.params == other.params
            && self.body.len() == other.body.len()
            && self.body.iter().zip(other.body.iter()).all(|(a, b)| a.text == b.text)
    }
}

/// Reads what stands behind `#define`.
pub(crate) fn parse_define(text: &str, file: FileId, offset: usize) -> Result<(String, Macro), (usize, String)> {
    let mut at = 0;
    let name = match next_token(text, &mut at) {
        Some(t) if t.kind == TokenKind::Name && &*t.text != "defined" => t,
        Some(t) => return Err((at, format!("#define needs a name, not '{}'", t.text))),
        None => return Err((at, "#define needs a name".to_owned())),
    };
    let name_end = at;
    let mut params = None;
    let mut variadic = false;
    if text.as_bytes().get(at) == Some(&b'(') {
        at += 1;
        let mut list: Vec<Rc<str>> = Vec::new();
        loop {
            match next_token(text, &mut at) {
                Some(t) if &*t.text == ")" && list.is_empty() => break,
                Some(t) if t.kind == TokenKind::Name => list.push(t.text),
                Some(t) if &*t.text == "." && text[at..].starts_with("..") => {
                    at += 2;
                    variadic = true;
                    list.push(Rc::from("__VA_ARGS__"));
                }
                _ => {
                    return Err((
                        at,
                        format!("the parameters of macro '{}' are malformed: names and commas are expected", name.text),
                    ));
                }
            }
            match next_token(text, &mut at) {
                Some(t) if &*t.text == "," && !variadic => {}
                Some(t) if &*t.text == ")" => break,
                _ => return Err((at, format!("the parameters of macro '{}' are not closed by ')'", name.text))),
            }
            if list.len() > 127 {
                return Err((at, "a macro may have 127 parameters".to_owned()));
            }
        }
        params = Some(list);
    }
    let mut body = Vec::new();
    while let Some(token) = next_token(text, &mut at) {
        body.push(token);
    }
    if let Some(first) = body.first_mut() {
        first.space = false;
    }
    if body.first().is_some_and(|t| &*t.text == "##") || body.last().is_some_and(|t| &*t.text == "##") {
        return Err((at, "'##' cannot stand at an end of a macro".to_owned()));
    }
    let start = name_end - name.text.len();
    let makro = Macro { file, at: offset + start..offset + name_end, params, variadic, body: body.into() };
    Ok((name.text.to_string(), makro))
}

/// Why a call was not expanded.
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) defined: Option<(FileId, Range<usize>)>,
    pub(crate) resume: usize,
    pub(crate) exhausted: bool,
}

/// All definitions, and the work left.
pub(crate) struct Expander {
    macros: HashMap<Rc<str>, Rc<Macro>>,
    steps: usize,
    /// Arguments within arguments.
    depth: usize,
}

/// Arguments nest no deeper: each level takes stack.
const DEEPEST: usize = 128;

/// Where tokens come from during one expansion: those pushed back first, then the source text.
struct Input<'t> {
    pushed: Vec<Token>,
    text: &'t str,
    at: usize,
}

impl Input<'_> {
    fn next(&mut self) -> Option<Token> {
        self.pushed.pop().or_else(|| next_token(self.text, &mut self.at))
    }

    fn next_is_open(&mut self) -> bool {
        if let Some(t) = self.pushed.iter().rev().find(|t| t.kind != TokenKind::Nothing) {
            return &*t.text == "(";
        }
        let mut at = self.at;
        next_token(self.text, &mut at).is_some_and(|t| &*t.text == "(")
    }
}

impl Expander {
    pub(crate) fn new(steps: usize) -> Self {
        Self { macros: HashMap::new(), steps, depth: 0 }
    }

    /// Returns the old definition if it differs.
    pub(crate) fn define(&mut self, name: String, makro: Macro) -> Option<Macro> {
        let new = Rc::new(makro);
        let old = self.macros.insert(Rc::from(name), new.clone())?;
        (!old.same(&new)).then(|| (*old).clone())
    }

    pub(crate) fn undefine(&mut self, name: &str) {
        self.macros.remove(name);
    }

    pub(crate) fn is_defined(&self, name: &str) -> bool {
        self.macros.contains_key(name)
    }

    pub(crate) fn is_macro(&self, name: &str) -> bool {
        self.macros.contains_key(name) || name == "__LINE__" || name == "__FILE__"
    }

    /// Expands the call whose name is at `word`; what it becomes is appended to `out`.
    pub(crate) fn expand_call(
        &mut self,
        text: &str,
        word: Range<usize>,
        row: u32,
        out: &mut String,
    ) -> Result<usize, Fault> {
        let name = &text[word.clone()];
        match name {
            "__LINE__" => {
                out.push_str(&row.to_string());
                return Ok(word.end);
            }
            "__FILE__" => {
                out.push_str("\"\"");
                return Ok(word.end);
            }
            _ => {}
        }
        let mut input = Input {
            pushed: vec![Token { kind: TokenKind::Name, text: Rc::from(name), space: false, hide: None }],
            text,
            at: word.end,
        };
        let mut tokens = Vec::new();
        while !input.pushed.is_empty() {
            self.step(&mut input, &mut tokens).map_err(|mut f| {
                f.resume = input.at;
                f
            })?;
        }
        spell(&tokens, out);
        Ok(input.at)
    }

    /// Expands a whole text, for `#include MACRO` and `#line`.
    pub(crate) fn expand_text(&mut self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        spell(&self.expand_list(tokenize(text)).map_err(|f| f.message)?, &mut out);
        Ok(out)
    }

    /// Expands an `#if`'s text; `defined NAME` is answered before anything is replaced.
    pub(crate) fn expand_condition(&mut self, text: &str) -> Result<Vec<Token>, String> {
        let mut tokens = Vec::new();
        let mut rest = tokenize(text).into_iter().peekable();
        while let Some(token) = rest.next() {
            if &*token.text != "defined" {
                tokens.push(token);
                continue;
            }
            let open = rest.next_if(|t| &*t.text == "(").is_some();
            let name = rest.next().filter(|t| t.kind == TokenKind::Name).ok_or("'defined' needs a name")?;
            if open && rest.next_if(|t| &*t.text == ")").is_none() {
                return Err("'defined(' is not closed by ')'".to_owned());
            }
            let value = if self.is_macro(&name.text) { "1" } else { "0" };
            tokens.push(Token { kind: TokenKind::Number, text: Rc::from(value), space: true, hide: None });
        }
        self.expand_list(tokens).map_err(|f| f.message)
    }

    fn expand_list(&mut self, mut tokens: Vec<Token>) -> Result<Vec<Token>, Fault> {
        if self.depth >= DEEPEST {
            return Err(Fault {
                message: format!("macro calls nest deeper than {DEEPEST} in their arguments"),
                defined: None,
                resume: 0,
                exhausted: true,
            });
        }
        self.depth += 1;
        tokens.reverse();
        let mut input = Input { pushed: tokens, text: "", at: 0 };
        let mut out = Vec::new();
        while !input.pushed.is_empty() {
            self.step(&mut input, &mut out)?;
        }
        self.depth -= 1;
        Ok(out)
    }

    fn spend(&mut self, steps: usize) -> Result<(), Fault> {
        self.steps = self.steps.saturating_sub(steps);
        if self.steps == 0 {
            return Err(Fault {
                message: "the macros of this file expand without end".to_owned(),
                defined: None,
                resume: 0,
                exhausted: true,
            });
        }
        Ok(())
    }

    /// Takes one token: passes it on, or replaces it by what it stands for.
    fn step(&mut self, input: &mut Input<'_>, out: &mut Vec<Token>) -> Result<(), Fault> {
        self.spend(1)?;
        let Some(token) = input.next() else { return Ok(()) };
        self.spend(token.hide.as_ref().map_or(0, |h| h.names.len()))?;
        if token.kind != TokenKind::Name || hidden(&token.hide, &token.text) {
            out.push(token);
            return Ok(());
        }
        let Some((name, makro)) = self.macros.get_key_value(&*token.text).map(|(n, m)| (n.clone(), m.clone())) else {
            out.push(token);
            return Ok(());
        };
        let (mut replaced, hide) = match &makro.params {
            None => (self.substitute(&makro, &[])?, with(&token.hide, &None, Some(&name))),
            Some(params) => {
                if !input.next_is_open() {
                    out.push(token);
                    return Ok(());
                }
                let (args, close) = self.arguments(input, &name, &makro)?;
                let wanted = params.len();
                let given = args.len();
                if given != wanted && !(wanted == 1 && given == 0) && !(makro.variadic && given + 1 == wanted) {
                    return Err(Fault {
                        message: format!(
                            "macro '{name}' takes {wanted} argument{}, {given} given",
                            if wanted == 1 { "" } else { "s" }
                        ),
                        defined: Some((makro.file, makro.at.clone())),
                        resume: 0,
                        exhausted: false,
                    });
                }
                let hide = with(&common(&token.hide, &close), &None, Some(&name));
                (self.substitute(&makro, &args)?, hide)
            }
        };
        self.spend(replaced.len())?;
        if let Some(first) = replaced.first_mut() {
            first.space = token.space;
        }
        let mut last: Option<(Hide, Hide)> = None;
        for t in replaced.iter_mut().filter(|t| t.kind == TokenKind::Name || &*t.text == ")") {
            let hit = last.as_ref().filter(|(from, _)| match (from, &t.hide) {
                (None, None) => true,
                (Some(a), Some(b)) => Rc::ptr_eq(a, b),
                _ => false,
            });
            let new = hit.map_or_else(|| with(&t.hide, &hide, None), |(_, to)| to.clone());
            last = Some((t.hide.clone(), new.clone()));
            t.hide = new;
        }
        input.pushed.extend(replaced.into_iter().rev());
        Ok(())
    }

    fn arguments(
        &mut self,
        input: &mut Input<'_>,
        name: &str,
        makro: &Macro,
    ) -> Result<(Vec<Vec<Token>>, Hide), Fault> {
        let mut args: Vec<Vec<Token>> = Vec::new();
        let mut current = Vec::new();
        let mut depth = 0usize;
        let mut any = false;
        // The opening parenthesis.
        while input.next().is_some_and(|t| t.kind == TokenKind::Nothing) {}
        loop {
            self.spend(1)?;
            let Some(token) = input.next() else {
                return Err(Fault {
                    message: format!("the call of macro '{name}' is not closed by ')'"),
                    defined: Some((makro.file, makro.at.clone())),
                    resume: 0,
                    exhausted: false,
                });
            };
            let last_param = makro.variadic && args.len() + 1 == makro.params.as_ref().map_or(0, Vec::len);
            match &*token.text {
                "(" => depth += 1,
                ")" if depth == 0 => {
                    if any || !current.is_empty() {
                        args.push(current);
                    }
                    return Ok((args, token.hide));
                }
                ")" => depth -= 1,
                "," if depth == 0 && !last_param => {
                    any = true;
                    args.push(std::mem::take(&mut current));
                    continue;
                }
                _ => {}
            }
            if token.kind != TokenKind::Nothing {
                current.push(token);
            }
        }
    }

    fn substitute(&mut self, makro: &Macro, args: &[Vec<Token>]) -> Result<Vec<Token>, Fault> {
        let params: &[Rc<str>] = makro.params.as_deref().unwrap_or(&[]);
        let empty: Vec<Token> = Vec::new();
        let argument = |t: &Token| {
            (t.kind == TokenKind::Name)
                .then(|| params.iter().position(|p| *p == t.text))
                .flatten()
                .map(|i| args.get(i).unwrap_or(&empty))
        };
        let mut expanded: Vec<Option<Vec<Token>>> = vec![None; params.len()];
        let mut out: Vec<Token> = Vec::new();
        let body = &makro.body;
        let mut i = 0;
        while let Some(token) = body.get(i) {
            let next_pastes = body.get(i + 1).is_some_and(|t| &*t.text == "##");
            if &*token.text == "#"
                && makro.params.is_some()
                && let Some(arg) = body.get(i + 1).and_then(argument)
            {
                let mut text = String::new();
                spell(arg, &mut text);
                let quoted = format!("\"{}\"", text.trim().replace('\\', "\\\\").replace('"', "\\\""));
                out.push(Token { kind: TokenKind::Text, text: Rc::from(quoted), space: token.space, hide: None });
                i += 2;
                continue;
            }
            if &*token.text == "##" {
                i += 1;
                let Some(right) = body.get(i) else { break };
                let right: Vec<Token> = match argument(right) {
                    Some(arg) if arg.is_empty() => vec![nothing()],
                    Some(arg) => arg.clone(),
                    None => vec![right.clone()],
                };
                let mut right = right.into_iter();
                if let (Some(left), Some(first)) = (out.pop(), right.next()) {
                    out.push(paste(&left, &first));
                }
                out.extend(right);
                self.spend(1)?;
                i += 1;
                continue;
            }
            match argument(token) {
                Some(arg) if next_pastes => {
                    let at = out.len();
                    if arg.is_empty() {
                        out.push(nothing());
                    } else {
                        out.extend(arg.iter().cloned());
                    }
                    if let Some(first) = out.get_mut(at) {
                        first.space = token.space;
                    }
                }
                Some(arg) => {
                    let index = params.iter().position(|p| *p == token.text).unwrap_or(0);
                    let ready = match expanded.get(index).and_then(Clone::clone) {
                        Some(ready) => ready,
                        None => {
                            let ready = self.expand_list(arg.clone())?;
                            if let Some(slot) = expanded.get_mut(index) {
                                *slot = Some(ready.clone());
                            }
                            ready
                        }
                    };
                    self.spend(ready.len())?;
                    let at = out.len();
                    out.extend(ready);
                    if let Some(first) = out.get_mut(at) {
                        first.space = token.space;
                    }
                }
                None => out.push(token.clone()),
            }
            i += 1;
        }
        out.retain(|t| t.kind != TokenKind::Nothing);
        Ok(out)
    }
}
