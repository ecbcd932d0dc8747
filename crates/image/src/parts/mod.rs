//! The parts that images are made of: what each needs and gives, declared once, as data.
//!
//! `data/parts.toml` has those that come with Tutti. A product may name files with more (`parts-from`), which are read the same
//! way: a device maker's own programs and drivers. A part's name is one; what is declared twice is a fault.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::{
    fault::{Code, Fault, FileId, Span, Texts},
    kernel::{config, modules},
    manifest::Profile,
    product::{Said, syntax},
    size::Size,
};

/// The parts that come with Tutti.
const OWN: &str = include_str!("../../data/parts.toml");
const OWN_NAME: &str = "tutti:parts.toml";
/// The most parts that a product may have to choose from.
const MAX_PARTS: usize = 1024;

/// What a part needs.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// These parts.
    pub parts: Vec<Said<String>>,
    /// Any part that gives each of these.
    pub interfaces: Vec<Said<String>>,
    /// These words of the board.
    pub hardware: Vec<Said<String>>,
    /// These options of the kernel, without `CONFIG_`.
    pub kernel: Vec<Said<String>>,
    /// These modules, unless they are built in.
    pub modules: Vec<Said<String>>,
    /// Which option builds a module in, where it is not called as the module is.
    pub built_in: Vec<(String, Said<String>)>,
    /// What a kernel that is built for the product has besides: options with their values.
    pub own_kernel: Vec<(Said<String>, Said<String>)>,
    /// RAM.
    pub ram: Size,
    /// Flash.
    pub flash: Size,
}

/// A part.
#[derive(Debug, Clone)]
pub struct Part {
    /// What it is called, and where it is declared.
    pub name: Said<String>,
    /// One line for people.
    pub about: String,
    /// What it may be in.
    pub profiles: Vec<Profile>,
    /// Whether every image of its profiles has it.
    pub always: bool,
    /// Whether its modules are there before the system is: what it takes to find that.
    pub early: bool,
    /// What it needs.
    pub needs: Needs,
    /// The parts that it cannot be with.
    pub conflicts: Vec<Said<String>>,
    /// The interfaces that it gives.
    pub interfaces: Vec<String>,
    /// The sorts of resources that it gives.
    pub resources: Vec<String>,
    /// The feature of a microcontroller's firmware that it is.
    pub feature: Option<String>,
    /// Files to carry: where they go, and where they come from.
    pub files: Vec<(String, Said<String>)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    about: String,
    profiles: Vec<Profile>,
    #[serde(default)]
    always: bool,
    #[serde(default)]
    early: bool,
    #[serde(default)]
    needs: RawNeeds,
    #[serde(default)]
    conflicts: Vec<Spanned<String>>,
    #[serde(default)]
    gives: RawGives,
    #[serde(default)]
    feature: Option<String>,
    #[serde(default)]
    files: BTreeMap<String, Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawNeeds {
    #[serde(default)]
    parts: Vec<Spanned<String>>,
    #[serde(default)]
    interfaces: Vec<Spanned<String>>,
    #[serde(default)]
    hardware: Vec<Spanned<String>>,
    #[serde(default)]
    kernel: Vec<Spanned<String>>,
    #[serde(default)]
    modules: Vec<Spanned<String>>,
    #[serde(default, rename = "built-in")]
    built_in: BTreeMap<String, Spanned<String>>,
    #[serde(default, rename = "own-kernel")]
    own_kernel: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    ram: Size,
    #[serde(default)]
    flash: Size,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawGives {
    #[serde(default)]
    interfaces: Vec<String>,
    #[serde(default)]
    resources: Vec<String>,
}

/// All parts that there are to choose from, by name.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// By name.
    pub parts: BTreeMap<String, Part>,
}

impl Catalogue {
    /// Those that come with Tutti.
    pub fn own(texts: &mut Texts, faults: &mut Vec<Fault>) -> Self {
        let mut catalogue = Self::default();
        catalogue.add(texts, OWN_NAME, OWN, faults);
        catalogue
    }

    /// Reads one more file of parts.
    pub fn add(&mut self, texts: &mut Texts, name: &str, text: &str, faults: &mut Vec<Fault>) {
        let file = texts.add(name, text);
        let raw: BTreeMap<Spanned<String>, Raw> = match toml::from_str(text) {
            Ok(raw) => raw,
            Err(error) => {
                faults.push(syntax(file, &error));
                return;
            }
        };
        for (key, raw) in raw {
            let part = part(file, key, raw);
            if self.parts.len() >= MAX_PARTS {
                let message = format!("there are more than {MAX_PARTS} parts");
                faults.push(Fault::new(Code::Limit, message).at(&part.name.span, "this is one too many"));
                return;
            }
            if let Some(bad) = part.files.iter().find(|(to, _)| !is_plain_path(to)) {
                let message = format!("the part {} wants a file at {:?}", part.name.value, bad.0);
                let help = "a file's place is an absolute path without . and ..";
                faults.push(Fault::new(Code::Syntax, message).at(&bad.1.span, "this file").help(help));
            }
            faults.extend(options_at_fault(&part));
            faults.extend(self.told_otherwise(&part));
            if let Some(first) = self.parts.get(&part.name.value) {
                let fault = Fault::new(Code::Syntax, format!("the part {} is declared twice", part.name.value));
                let fault = fault.at(&part.name.span, "here").at(&first.name.span, "and here before");
                faults.push(fault.help("give one of them another name"));
                continue;
            }
            self.parts.insert(part.name.value.clone(), part);
        }
    }

    /// Those that give this interface, by name.
    pub fn giving<'a>(&'a self, interface: &'a str) -> impl Iterator<Item = &'a Part> {
        self.parts.values().filter(move |part| part.interfaces.iter().any(|it| it == interface))
    }

    /// The option that builds a module in, with or without parameters behind its name: what a part says of it, or its own name as options are
    /// written.
    pub fn option_of(&self, module: &str) -> String {
        let name = modules::bare(module);
        let said = self.parts.values().find_map(|part| said_of(part, name));
        said.map_or_else(|| name.to_uppercase().replace('-', "_"), |said| said.value.clone())
    }

    /// What a part says of a module that another part says something else of.
    fn told_otherwise(&self, part: &Part) -> Option<Fault> {
        let all = part.needs.built_in.iter();
        let (module, here, there) = all.into_iter().find_map(|(module, here)| {
            let there = self.parts.values().find_map(|other| said_of(other, module))?;
            (there.value != here.value).then_some((module, here, there))
        })?;
        let fault = Fault::new(Code::Syntax, format!("two options are said to build the module {module} in"));
        let fault = fault.at(&here.span, "here").at(&there.span, "and here before");
        Some(fault.help("say it once: it holds for the module in every part"))
    }

    /// The name that is meant, perhaps: the one with the fewest letters to change.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.parts.keys().map(String::as_str))
    }
}

/// Which option builds this module in, by the word of this part.
fn said_of<'a>(part: &'a Part, module: &str) -> Option<&'a Said<String>> {
    part.needs.built_in.iter().find(|(of, _)| modules::plain(of) == modules::plain(module)).map(|(_, said)| said)
}

/// Options of the kernel whose names or values are none: they become lines of a file that a kernel is built by.
fn options_at_fault(part: &Part) -> Vec<Fault> {
    let needs = &part.needs;
    let names = needs.kernel.iter().chain(needs.built_in.iter().map(|(_, option)| option));
    let names = names.chain(needs.own_kernel.iter().map(|(option, _)| option));
    let names = names.filter(|name| !config::is_option(&name.value)).map(|name| (name, "is no option of a kernel"));
    let values = needs.own_kernel.iter().map(|(_, value)| value).filter(|value| !config::is_value(&value.value));
    let faults = names.chain(values.map(|value| (value, "is no value of an option")));
    let fault = |(said, what): (&Said<String>, &str)| {
        let fault = Fault::new(Code::Syntax, format!("{:?} {what}", said.value)).at(&said.span, "here");
        fault.help("write options without CONFIG_, and y, a number or a quoted text as what they are")
    };
    faults.map(fault).collect()
}

fn part(file: FileId, key: Spanned<String>, raw: Raw) -> Part {
    let said = |it: Spanned<String>| Said { span: Span { file, range: it.span() }, value: it.into_inner() };
    let list = |list: Vec<Spanned<String>>| list.into_iter().map(said).collect();
    Part {
        name: said(key),
        about: raw.about,
        profiles: raw.profiles,
        always: raw.always,
        early: raw.early,
        needs: Needs {
            parts: list(raw.needs.parts),
            interfaces: list(raw.needs.interfaces),
            hardware: list(raw.needs.hardware),
            kernel: list(raw.needs.kernel),
            modules: list(raw.needs.modules),
            built_in: raw.needs.built_in.into_iter().map(|(module, option)| (module, said(option))).collect(),
            own_kernel: raw.needs.own_kernel.into_iter().map(|(option, value)| (said(option), said(value))).collect(),
            ram: raw.needs.ram,
            flash: raw.needs.flash,
        },
        conflicts: list(raw.conflicts),
        interfaces: raw.gives.interfaces,
        resources: raw.gives.resources,
        feature: raw.feature,
        files: raw.files.into_iter().map(|(to, from)| (to, said(from))).collect(),
    }
}

/// Whether it is an absolute path of plain names.
fn is_plain_path(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|rest| {
        rest.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_control))
    })
}

/// The name that is meant, perhaps.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = name.chars().count().div_ceil(3);
    known.map(|it| (distance(name, it), it)).filter(|(far, _)| *far <= most).min().map(|(_, it)| it)
}

/// How many letters must change: Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_parts_are_whole() {
        let (mut texts, mut faults) = (Texts::default(), Vec::new());
        let own = Catalogue::own(&mut texts, &mut faults);
        assert_eq!(faults, []);
        for part in own.parts.values() {
            for need in &part.needs.parts {
                assert!(own.parts.contains_key(&need.value), "{} needs {}", part.name.value, need.value);
            }
            for need in &part.needs.interfaces {
                assert!(own.giving(&need.value).count() > 0, "{} needs {}", part.name.value, need.value);
            }
            assert!(!part.profiles.is_empty() && !part.about.is_empty());
            assert!(part.feature.is_none() || part.profiles == [Profile::Mini], "{}", part.name.value);
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_seen() {
        let known = || ["storage", "compute", "gpio"].into_iter();
        assert_eq!(nearest("storge", known()), Some("storage"));
        assert_eq!(nearest("gpoi", known()), Some("gpio"));
        assert_eq!(nearest("camera", known()), None);
    }

    #[test]
    fn files_stay_within_the_image() {
        assert!(is_plain_path("/usr/bin/x"));
        for bad in ["usr/bin", "/", "/a//b", "/a/../b", "/a/.", "", "/a\nb"] {
            assert!(!is_plain_path(bad), "{bad}");
        }
    }
}
