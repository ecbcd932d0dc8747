//! A microcontroller's program, made for a product: its parts are the drivers that are compiled.
//!
//! `[firmware] source = "FOLDER"` names Tutti's source, where `cargo xtask firmware` finds a compiler for the board (rustup's or
//! Debian's) and builds with the features of the parts that were chosen (`feature` in `parts.toml`); a part that is left out is not in
//! the program. A product with its own program names that by `image` instead, and its parts are what it says they are.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    build::BuildError,
    carry::MAX_FIRMWARE,
    fault::{Code, Fault},
    kernel::read_at_most,
    parts::Catalogue,
    product::Said,
    project::Project,
    resolve::Plan,
};

/// How long it may take: at first, the compiler's own library is built along.
const LIMIT: Duration = Duration::from_secs(1800);

/// The features of the parts that were chosen, by name.
pub fn features<'a>(plan: &Plan, catalogue: &'a Catalogue) -> Vec<&'a str> {
    let parts = plan.parts.keys().filter_map(|name| catalogue.parts.get(name));
    parts.filter_map(|part| part.feature.as_deref()).collect()
}

/// The program of a product with the parts that were chosen, built in the source that it names.
pub(crate) fn compiled(
    project: &Project,
    source: &Said<String>,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<u8>, BuildError> {
    let features = features(&project.plan, &project.catalogue);
    let with = if features.is_empty() { "no more than it needs".to_owned() } else { features.join(", ") };
    say(&format!("compiling the firmware for {} with {with}", project.target.name));
    let refuse = |message: String| {
        let fault = Fault::new(Code::File, message).at(&source.span, "built there");
        project.refuse(fault.help("name the folder of Tutti's source, relative to the product's file"))
    };
    let file = build(&project.path(source), &project.target.name, &features).map_err(refuse)?;
    let bytes = read_at_most(&file, MAX_FIRMWARE).map_err(|error| refuse(error.to_string()));
    let _ = fs::remove_file(&file);
    bytes
}

/// Builds the program in `source` for a board; the file that the linker made.
///
/// # Errors
/// What the build said at last.
pub fn build(source: &Path, board: &str, features: &[&str]) -> Result<PathBuf, String> {
    let source = fs::canonicalize(source).map_err(|error| format!("{}: {error}", source.display()))?;
    if !source.join("firmware/Cargo.toml").is_file() {
        return Err(format!("{} is no source of Tutti's: it has no firmware/Cargo.toml", source.display()));
    }
    let folder = source.join("target/firmware/made");
    let name = format!("{board}.{}", std::process::id());
    let (out, log) = (folder.join(format!("{name}.elf")), folder.join(format!("{name}.log")));
    let file = fs::create_dir_all(&folder).and_then(|()| fs::File::create(&log));
    let file = file.map_err(|error| format!("{}: {error}", log.display()))?;
    let both = file.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;
    let mut command = Command::new("cargo");
    command.args(["xtask", "firmware", "--board", board, "--features", &features.join(","), "--out"]).arg(&out);
    command.current_dir(&source).stdin(Stdio::null()).stdout(both).stderr(file);
    let child = command.spawn().map_err(|error| format!("cargo does not start ({error}); install Rust"))?;
    let ended = wait(child);
    let said = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
    let _ = fs::remove_file(&log);
    match ended {
        Ok(true) => Ok(out),
        Ok(false) => Err(said.trim_end().to_owned()),
        Err(error) => Err(error),
    }
}

/// Whether it ended well, within [`LIMIT`].
fn wait(mut child: Child) -> Result<bool, String> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if start.elapsed() < LIMIT => thread::sleep(Duration::from_millis(50)),
            other => {
                let _ = child.kill();
                let _ = child.wait();
                let late = || format!("the firmware was not built in {} s", LIMIT.as_secs());
                return Err(other.err().map_or_else(late, |error| format!("cargo: {error}")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fault::Texts, resolve::Why, size::Size};

    #[test]
    fn the_parts_that_were_chosen_are_features() {
        let (mut texts, mut faults) = (Texts::default(), Vec::new());
        let own = Catalogue::own(&mut texts, &mut faults);
        let chosen = |parts: &[&str]| {
            let parts = parts.iter().map(|part| ((*part).to_owned(), Why::Wanted)).collect();
            features(&Plan { parts, ram: Size(0), flash: Size(0) }, &own)
        };
        assert_eq!(
            chosen(&["satellite", "thermometer", "second-core", "satellite-uart"]),
            ["second-core", "thermometer"]
        );
        assert!(chosen(&["satellite", "satellite-uart"]).is_empty());
    }

    #[test]
    fn what_is_no_source_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert!(build(folder.path(), "mps2-an386", &[]).unwrap_err().contains("no firmware/Cargo.toml"));
        assert!(build(&folder.path().join("nowhere"), "mps2-an386", &[]).is_err());
    }
}
