//! The Rust that builds apps: which of those that are here can make WebAssembly, and how it is asked to.
//!
//! 1. The one on the path, if it has the target: `rustup target add`, or a Debian whose packages for WebAssembly are current.
//! 2. Debian's own in /usr/bin, if it has the target.
//! 3. Debian's own with the library's source, from which the target's library is built along with the app: takes a minute the
//!    first time.
//!
//! Debian's compiler names a linker that its packages do not bring, so LLVM's is looked for; rustup brings its own.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use crate::failure::Failure;

pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// Where Debian keeps its programs.
const DEBIAN: &str = "/usr/bin";

/// A Rust that can build apps.
#[derive(Debug)]
pub(super) struct Toolchain {
    cargo: OsString,
    rustc: Option<PathBuf>,
    linker: Option<PathBuf>,
    build_std: bool,
}

/// What a compiler says when asked, if it can be.
fn asked(rustc: &Path, args: &[&str]) -> Option<PathBuf> {
    let output = Command::new(rustc).args(args).output().ok().filter(|it| it.status.success())?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

fn has_target(rustc: &Path) -> bool {
    asked(rustc, &["--print", "target-libdir", "--target", TARGET]).is_some_and(|folder| folder.is_dir())
}

/// The newest LLVM linker for WebAssembly of Debian's.
fn debian_linker(bin: &Path) -> Option<PathBuf> {
    let plain = bin.join("wasm-ld");
    if plain.exists() {
        return Some(plain);
    }
    let all = std::fs::read_dir(bin).ok()?.flatten().map(|it| it.path());
    let version = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("wasm-ld-")?.parse::<u32>().ok();
    all.filter_map(|path| Some((version(&path)?, path))).max().map(|(_, path)| path)
}

impl Toolchain {
    /// The first that can, or what is missing and how it is got.
    pub(super) fn find() -> Result<Self, Failure> {
        let bin = Path::new(DEBIAN);
        let on_path = std::env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
        let is_debian = |sysroot: &PathBuf| sysroot == Path::new("/usr");
        let sysroot = asked(&on_path, &["--print", "sysroot"]);
        if has_target(&on_path) {
            let debian = sysroot.as_ref().is_some_and(is_debian);
            let linker = if debian { Some(linker(bin)?) } else { None };
            return Ok(Self { cargo: "cargo".into(), rustc: None, linker, build_std: false });
        }
        let rustc = bin.join("rustc");
        let cargo = bin.join("cargo");
        if cargo.exists() && rustc.exists() {
            let debian = |build_std| {
                let linker = Some(linker(bin)?);
                Ok(Self { cargo: cargo.clone().into(), rustc: Some(rustc.clone()), linker, build_std })
            };
            if has_target(&rustc) {
                return debian(false);
            }
            let source = asked(&rustc, &["--print", "sysroot"]).map(|it| it.join("lib/rustlib/src/rust/library/std"));
            if source.is_some_and(|it| it.is_dir()) {
                return debian(true);
            }
        }
        Err(match sysroot {
            None => Failure::new("there is no Rust here to build apps with")
                .next("get it from your distribution or with rustup, then: rustup target add wasm32-unknown-unknown"),
            Some(_) => Failure::new(format!("the Rust that is here has not the target {TARGET}"))
                .next("rustup target add wasm32-unknown-unknown; on Debian without rustup: apt-get install libstd-rust-dev-wasm32 lld"),
        })
    }

    /// What is built with, for people.
    pub(super) fn told(&self) -> String {
        match (&self.rustc, self.build_std) {
            (None, _) => "the Rust on the path".into(),
            (Some(rustc), false) => format!("{}, since the Rust on the path has not the target", rustc.display()),
            (Some(rustc), true) => {
                format!("{} and the library's source, since the Rust on the path has not the target", rustc.display())
            }
        }
    }

    /// Cargo, asked to build the app in this folder.
    pub(super) fn cargo(&self, folder: &Path) -> Command {
        let mut cargo = Command::new(&self.cargo);
        cargo.current_dir(folder).args(["build", "--release", "--target", TARGET]);
        cargo.arg("--message-format=json-render-diagnostics");
        if let Some(rustc) = &self.rustc {
            // Programs that cargo calls by name are Debian's as well.
            let path = std::env::var_os("PATH").unwrap_or_default();
            let all = [PathBuf::from(DEBIAN)].into_iter().chain(std::env::split_paths(&path));
            if let Ok(path) = std::env::join_paths(all) {
                cargo.env("PATH", path);
            }
            cargo.env("RUSTC", rustc).env_remove("RUSTUP_TOOLCHAIN");
        }
        if self.build_std {
            cargo.args(["-Zbuild-std=std,panic_abort"]).env("RUSTC_BOOTSTRAP", "1");
        }
        if let Some(linker) = &self.linker {
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        cargo
    }
}

fn linker(bin: &Path) -> Result<PathBuf, Failure> {
    debian_linker(bin).ok_or_else(|| {
        Failure::new("there is no linker for WebAssembly here")
            .why("Debian's Rust does not bring one")
            .next("apt-get install lld")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_linker_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(debian_linker(folder.path()), None);
        for name in ["wasm-ld-9", "wasm-ld-19", "wasm-ld-x", "ld.lld-20"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(debian_linker(folder.path()), Some(folder.path().join("wasm-ld-19")));
        std::fs::write(folder.path().join("wasm-ld"), "").unwrap();
        assert_eq!(debian_linker(folder.path()), Some(folder.path().join("wasm-ld")));
    }

    #[test]
    fn a_compiler_that_is_not_there_has_no_target() {
        assert!(!has_target(Path::new("/nowhere/rustc")));
    }
}
