//! How much flash and memory the least remote takes (`crates/amp/rpmsg/minimal`), for a Cortex-M4, at `opt-level =
//! "s"`.
//!
//! Built by whichever toolchain has the target: rustup's, or Debian's (`rustc-web`), which brings the library's
//! source. Counted are the sections of the image that are loaded: flash is code, constants and the initial values of
//! data; RAM is data and what is zeroed, the link itself included, but neither the stack nor the buffers that both
//! sides share.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "rows go to standard output, the rest to standard error")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const TARGET: &str = "thumbv7em-none-eabihf";

fn main() -> ExitCode {
    match measured() {
        Ok((flash, ram)) => {
            println!("{{\"name\":\"amp.size.flash\",\"value\":{flash},\"unit\":\"bytes\"}}");
            println!("{{\"name\":\"amp.size.ram\",\"value\":{ram},\"unit\":\"bytes\"}}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("amp_size: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measured() -> Result<(u32, u32), String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rpmsg/minimal");
    // Beside this program, which lies in `target/PROFILE/deps`.
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = program.ancestors().nth(3).ok_or("there is no target folder")?.join("minimal");
    build(&here, &folder)?;
    let image = folder.join(TARGET).join("release/minimal-remote");
    let bytes = std::fs::read(&image).map_err(|error| format!("{}: {error}", image.display()))?;
    sizes(&bytes).ok_or_else(|| format!("{} is no 32-bit ELF file", image.display()))
}

fn build(here: &Path, folder: &Path) -> Result<(), String> {
    let rustup = Command::new("rustup").args(["target", "list", "--installed"]).output();
    let has_target = rustup.is_ok_and(|it| String::from_utf8_lossy(&it.stdout).lines().any(|line| line == TARGET));
    let script = "-Clink-arg=-Tmemory.x";
    let mut command = if has_target {
        eprintln!("amp_size: with rustup's toolchain");
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.env("RUSTFLAGS", format!("-Clinker=rust-lld {script}"));
        command
    } else {
        let debian =
            [PathBuf::from("/usr/bin/rustc"), PathBuf::from("/usr/bin/cargo"), PathBuf::from("/usr/bin/ld.lld")];
        if let Some(missing) = debian.iter().find(|program| !program.exists()) {
            return Err(format!(
                "{} is missing: run `rustup target add {TARGET}`, or on Debian \
                 `apt-get install rustc-web cargo-web rust-web-src lld`",
                missing.display()
            ));
        }
        eprintln!("amp_size: with Debian's toolchain");
        let mut command = Command::new("/usr/bin/cargo");
        command.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=core");
        command.env("RUSTFLAGS", format!("-Clinker=/usr/bin/ld.lld {script}"));
        command
    };
    // What cargo told this benchmark about the host's toolchain is not for the other one.
    for name in ["RUSTUP_TOOLCHAIN", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        command.env_remove(name);
    }
    let command = command.args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"]).arg(folder);
    let output = command.current_dir(here).output().map_err(|error| format!("cargo did not start: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Flash and RAM, by the sections of a 32-bit little-endian ELF file.
fn sizes(elf: &[u8]) -> Option<(u32, u32)> {
    let half = |at: usize| Some(u32::from(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?)));
    let word = |at: usize| Some(u32::from_le_bytes(elf.get(at..at + 4)?.try_into().ok()?));
    if elf.get(..6)? != b"\x7fELF\x01\x01" {
        return None;
    }
    let (table, each, count) = (word(0x20)? as usize, half(0x2e)? as usize, half(0x30)? as usize);
    let (mut flash, mut ram) = (0, 0);
    for i in 0..count {
        let at = table + each * i;
        let (kind, flags, size) = (word(at + 4)?, word(at + 8)?, word(at + 20)?);
        let (allocated, writable, zeroed) = (flags & 2 != 0, flags & 1 != 0, kind == 8);
        if allocated && !zeroed {
            flash += size;
        }
        if allocated && (writable || zeroed) {
            ram += size;
        }
    }
    Some((flash, ram))
}
