//! `tutti app new`: a folder with a small app that works. All of it is in this program, so that nothing else has to be had.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
};

/// Begins a new app: a folder with a small one that works, to go on from
#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// What it is called: lower-case letters, digits, - and _; first a letter
    name: String,
    /// Make it in this folder instead of one of its name here
    #[arg(long, value_name = "DIR")]
    at: Option<PathBuf>,
}

/// Each file, and what is in it. `NAME` stands for the app's name.
const FILES: [(&str, &str); 6] = [
    ("Cargo.toml", include_str!("template/Cargo.toml")),
    ("app.toml", include_str!("template/app.toml")),
    ("build.rs", include_str!("template/build.rs")),
    ("src/lib.rs", include_str!("template/lib.rs")),
    ("wit/app.wit", include_str!("../../../../../wit/app.wit")),
    (".gitignore", "/target\n*.tutti\n"),
];

/// Whether Cargo and the pool both take it for a name.
fn is_name(name: &str) -> bool {
    let plain = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-' || it == '_';
    // These are crates that every program has.
    let taken = ["core", "std", "alloc", "proc_macro", "test"].contains(&name);
    name.starts_with(|it: char| it.is_ascii_lowercase()) && name.len() <= 40 && name.chars().all(plain) && !taken
}

pub(super) fn run(args: &NewArgs, context: &mut Context) -> Result<Exit, Failure> {
    let NewArgs { name, at } = args;
    if !is_name(name) {
        return Err(Failure::wrong_use(format!("{name:?} is no name for an app")).next(
            "take up to 40 lower-case letters, digits, - and _; first a letter; and no name of Rust's own such as core",
        ));
    }
    let folder = at.clone().unwrap_or_else(|| PathBuf::from(name));
    let all = || -> io::Result<()> {
        // What somebody has written is not written over.
        let full = fs::read_dir(&folder).is_ok_and(|mut there| there.next().is_some());
        if full {
            return Err(io::Error::new(
                ErrorKind::AlreadyExists,
                "it is there, and not empty; take another with --at DIR",
            ));
        }
        FILES.iter().try_for_each(|(file, text)| write(&folder.join(file), &text.replace("NAME", name)))
    };
    all().explain(|| format!("cannot make the folder {}", folder.display()))?;
    let shown = folder.display();
    context.printer.line(Line::of(Tone::Good, name).plain(format!(" begins in {shown}: its code is in src/lib.rs")))?;
    context.printer.line(format!("build it:   tutti app build {shown}"))?;
    context.printer.line(format!("install it: tutti app install {shown}/{name}-0.1.0.tutti"))?;
    context.printer.line(format!("run it:     tutti app run {name}"))?;
    Ok(Exit::Done)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_crates_and_of_the_pool() {
        for good in ["thermo", "my-app", "a1_b"] {
            assert!(is_name(good) && tutti_model::Name::new(good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "My", "a b", "-a", "core", "ä", "a/b", "..", &"a".repeat(41)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn the_manifest_of_the_template_is_one() {
        let (_, text) = FILES[1];
        let manifest = tutti_app::package::Manifest::parse(&text.replace("NAME", "first")).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.version.to_string()), ("first", "0.1.0".into()));
    }
}
