//! `tutti app build`: from a crate to one signed file.
//!
//! ```text
//! cargo ─ core module ─ carry: what moves it ─ component ─┐
//!                                    app.toml, icon.png ──┴─ package, signed by the author's key
//! ```

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::Stdio,
};

use clap::Args;
use serde_json::{Value, json};
use tutti_app::{
    carry,
    package::{MAX_ICON, MAX_MANIFEST, MAX_PACKAGE, Manifest, Package},
};
use tutti_fabric::identity;

use super::toolchain::{TARGET, Toolchain};
use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
    words,
};

/// Builds an app and signs it as its author: one file, to be installed
#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// The app's folder, with app.toml and Cargo.toml; an icon.png there comes along
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// The file to write; NAME-VERSION.tutti in the app's folder if left out
    #[arg(short, long = "output", value_name = "FILE")]
    output: Option<PathBuf>,
    /// Pack this component as it is, instead of building a crate
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// The author's key; if left out, author.key in the settings folder of tutti, which is made the first time
    #[arg(long, value_name = "FILE", env = "TUTTI_AUTHOR_KEY", hide_env = true)]
    key: Option<PathBuf>,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: BuildArgs, context: &mut Context) -> Result<Exit, Failure> {
    let folder = &args.folder;
    let toml = read(&folder.join("app.toml"), MAX_MANIFEST)
        .map_err(|failure| failure.next("name the folder of an app; `tutti app new NAME` begins one"))?;
    let wrong = |why: String| Failure::new(format!("{} is wrong", folder.join("app.toml").display())).why(why);
    let toml = String::from_utf8(toml).map_err(|_| wrong("it is not UTF-8".into()))?;
    let manifest = Manifest::parse(&toml).map_err(|error| wrong(error.0))?;
    let icon = folder.join("icon.png");
    let icon = if icon.exists() { Some(read(&icon, MAX_ICON)?) } else { None };
    let component = match &args.component {
        Some(file) => read(file, MAX_PACKAGE)?,
        None => made(folder, context)?,
    };
    let obstacle = carry::check_component(&component).err();
    if let Some(carry::Obstacle::Invalid(why)) = obstacle {
        return Err(Failure::new("the component is not valid WebAssembly").why(why));
    }
    let (path, key) = author(args.key)?;
    let package = Package::make(&toml, &component, icon.as_deref(), &key)
        .map_err(|error| Failure::new("cannot make the package").why(error))?;
    let output = args.output.unwrap_or_else(|| folder.join(format!("{}-{}.tutti", manifest.name, manifest.version)));
    fs::write(&output, &package).explain(|| format!("cannot write {}", output.display()))?;
    let digest = Package::parse(&package).map(|it| data_encoding::HEXLOWER.encode(it.digest()));
    let digest = digest.map_err(|error| Failure::new("the package is not one").why(error))?;
    let author = identity::device_id(&key);
    if args.json {
        context.printer.json(&json!({
            "file": output, "name": manifest.name.to_string(), "version": manifest.version.to_string(),
            "size": package.len(), "digest": digest, "author": author.to_string(), "key": path,
            "obstacle": obstacle.map(|it| it.to_string()),
        }))?;
        return Ok(Exit::Done);
    }
    let size = words::size(package.len() as u64);
    context.printer.line(Line::of(Tone::Good, output.display()).plain(format!(
        ": {} {}, {size}, by {} ({})",
        manifest.name,
        manifest.version,
        author.short(),
        path.display()
    )))?;
    match obstacle {
        Some(why) => context.printer.line(Line::of(Tone::Warn, why))?,
        None => context.printer.line("an instance of it can be moved while it runs")?,
    }
    Ok(Exit::Done)
}

/// The component of the crate in this folder.
fn made(folder: &Path, context: &mut Context) -> Result<Vec<u8>, Failure> {
    if !folder.join("Cargo.toml").exists() {
        return Err(Failure::new(format!("there is no Cargo.toml in {}", folder.display()))
            .next("build an app in another language with its own tools, and pack it with --component FILE"));
    }
    let toolchain = Toolchain::find()?;
    context.printer.note(Line::of(Tone::Faint, format!("building with {}", toolchain.told())));
    let module = compile(&toolchain, folder)?;
    let bytes = read(&module, MAX_PACKAGE)?;
    carry::component(&bytes).map_err(|error| match error {
        carry::BuildError::Obstacle(_) => Failure::new("the app was built, but cannot be made movable").why(error),
        _ => Failure::new("the module is no app").why(error).next("its crate has to be as `tutti app new` makes them"),
    })
}

/// Runs cargo, whose messages go where this program's go, and finds the module among what it made.
fn compile(toolchain: &Toolchain, folder: &Path) -> Result<PathBuf, Failure> {
    let mut cargo = toolchain.cargo(folder);
    let failed = || "cannot build the app".to_owned();
    let mut child = cargo.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().explain(failed)?;
    let mut said = String::new();
    if let Some(out) = child.stdout.take() {
        // A line for each crate: far below this. Whoever says more is cut off.
        out.take(64 << 20).read_to_string(&mut said).explain(failed)?;
    }
    let status = child.wait().explain(failed)?;
    if !status.success() {
        return Err(Failure::new("the app could not be built").next("mend what cargo names above"));
    }
    module(&said, folder).ok_or_else(|| {
        Failure::new("the app was built, but there is no module")
            .why("its crate makes no library of the type cdylib")
            .next("write into its Cargo.toml: [lib] crate-type = [\"cdylib\"]")
    })
}

/// The WebAssembly that the crate of this folder became, among what cargo says it made.
fn module(said: &str, folder: &Path) -> Option<PathBuf> {
    let manifest = fs::canonicalize(folder.join("Cargo.toml")).ok()?;
    let artifacts = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ours = |it: &Value| {
        it["reason"] == "compiler-artifact"
            && it["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest)
    };
    let is_module = |path: &Path| path.extension().is_some_and(|it| it == "wasm") && path.iter().any(|it| it == TARGET);
    artifacts
        .filter(ours)
        .flat_map(|it| it["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|it| it.as_str().map(PathBuf::from))
        .find(|path| is_module(path))
}

/// A file of at most so many bytes.
pub(super) fn read(path: &Path, most: usize) -> Result<Vec<u8>, Failure> {
    let cannot = || format!("cannot read {}", path.display());
    let file = fs::File::open(path).explain(cannot)?;
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes).explain(cannot)?;
    if bytes.len() > most {
        return Err(Failure::new(cannot()).why(format!("it has more than {}", words::size(most as u64))));
    }
    Ok(bytes)
}

/// The author's key, and where it is.
fn author(named: Option<PathBuf>) -> Result<(PathBuf, ed25519_dalek::SigningKey), Failure> {
    let settings = || {
        let home = std::env::var_os("HOME").filter(|it| !it.is_empty()).map(|it| PathBuf::from(it).join(".config"));
        let folder = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|it| it.is_absolute()).or(home)?;
        Some(folder.join("tutti/author.key"))
    };
    let path = named.or_else(settings).ok_or_else(|| {
        Failure::wrong_use("there is no home folder to keep the author's key in").next("name a file with --key FILE")
    })?;
    let cannot = || format!("cannot use the author's key {}", path.display());
    if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        fs::create_dir_all(folder).explain(cannot)?;
    }
    let key = identity::load_or_create(&path, &mut rand::rng());
    let key =
        key.map_err(|error| Failure::new(cannot()).why(error).next("keep it safe: it is what apps are known by"))?;
    Ok((path, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_found_among_what_cargo_made() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("Cargo.toml"), "").unwrap();
        let ours = fs::canonicalize(folder.path().join("Cargo.toml")).unwrap();
        let line = |manifest: &Path, file: &str| {
            json!({"reason": "compiler-artifact", "manifest_path": manifest, "filenames": [file]}).to_string()
        };
        let wasm = "/t/wasm32-unknown-unknown/release/a.wasm";
        let said = [
            line(Path::new("/other/Cargo.toml"), "/t/wasm32-unknown-unknown/release/other.wasm"),
            "not JSON".into(),
            line(&ours, "/t/release/build/a-1/build-script-build"),
            line(&ours, wasm),
        ]
        .join("\n");
        assert_eq!(module(&said, folder.path()), Some(wasm.into()));
        assert_eq!(module("", folder.path()), None);
    }

    #[test]
    fn a_key_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/author.key");
        let (_, first) = author(Some(path.clone())).unwrap();
        let (_, again) = author(Some(path.clone())).unwrap();
        assert_eq!(first.to_bytes(), again.to_bytes());
        fs::write(&path, "damaged").unwrap();
        assert!(author(Some(path)).unwrap_err().what.contains("author's key"));
    }
}
