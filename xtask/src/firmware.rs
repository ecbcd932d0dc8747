//! `cargo xtask firmware`: the images in `firmware/`, by whichever compiler has their processor.
//!
//! rustup's, if it has the target; else Debian's (`rustc-web`), which has the library's source, and cargo builds it along. Core 0 of
//! the an521 carries core 1's image, which is why that is built first. An image for a product has the parts that this wants
//! (`--board`, `--features`), which is how `tutti image build` has it made.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Failure,
    cargo::{cargo_path, has_target},
    needs::{self, Need, in_ci},
    process::{Program, run_all, target_dir},
    row,
    table::columns,
    test::arm64::debian_is_new_enough,
};

/// Cortex-M33, without floating point: core 0 of the an521 has none.
pub(crate) const TARGET: &str = "thumbv8m.main-none-eabi";
/// Cortex-M4: the an386, whose floating point nobody switches on.
pub(crate) const TARGET_M4: &str = "thumbv7em-none-eabi";

/// The packages of Debian's compiler.
pub(crate) const DEBIAN: &str = "rustc-web cargo-web rust-web-src lld";

const LINKER: &str = "/usr/bin/ld.lld";

const USAGE: &str = "\
Usage: cargo xtask firmware
       cargo xtask firmware --board mps2-an521|mps2-an386 --features A,B --out FILE

Builds the images for microcontrollers and remote cores in firmware/, with the toolchain of rustup if it has the
target, else with Debian's, and shows where they are and how large.

With a board: the image of its first core with these parts and no others (thermometer, lamp, second-core), to FILE.
";

/// Whether something here can compile for it.
pub(crate) fn has_compiler() -> bool {
    let debian = debian_is_new_enough() && Path::new(LINKER).exists();
    debian || [TARGET, TARGET_M4].into_iter().all(has_target)
}

/// An image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Image {
    /// Of the first core of the an521.
    Core0,
    /// Of its second core.
    Core1,
    /// Of the an386.
    An386,
}

impl Image {
    const ALL: [Self; 3] = [Self::Core0, Self::Core1, Self::An386];

    const fn package(self) -> &'static str {
        match self {
            Self::Core0 | Self::An386 => "core0",
            Self::Core1 => "core1",
        }
    }

    const fn target(self) -> &'static str {
        match self {
            Self::Core0 | Self::Core1 => TARGET,
            Self::An386 => TARGET_M4,
        }
    }

    const fn board(self) -> &'static str {
        match self {
            Self::Core0 | Self::Core1 => "mps2-an521",
            Self::An386 => "mps2-an386",
        }
    }

    /// What it has unless somebody says otherwise.
    const fn parts(self) -> &'static str {
        match self {
            Self::Core0 => "second-core",
            Self::Core1 => "",
            Self::An386 => "thermometer,lamp",
        }
    }

    /// Where cargo leaves it, with whatever parts it was built last.
    fn made(self) -> PathBuf {
        folder().join(self.target()).join("release").join(self.package())
    }

    /// Where it is kept with the parts that it has unless somebody says otherwise.
    pub(crate) fn path(self) -> PathBuf {
        folder().join("images").join(format!("{}-{}", self.board(), self.package()))
    }

    /// How large it is.
    pub(crate) fn size(self) -> Result<Size, String> {
        let path = self.path();
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Size::of(&bytes).ok_or_else(|| format!("{} is no 32-bit ELF file", path.display()))
    }

    /// The same, if that is no more than was promised: flash, and RAM with its stack.
    pub(crate) fn size_within(self, [flash, ram]: [u32; 2]) -> Result<Size, String> {
        let size = self.size()?;
        if size.flash <= flash && size.ram <= ram {
            return Ok(size);
        }
        let (image, board) = (self.package(), self.board());
        Err(format!("{image} of the {board} takes {size}; at most {flash} and {ram} were promised"))
    }
}

fn folder() -> PathBuf {
    target_dir().join("firmware")
}

/// The device tree that the images of the an521 are built from.
pub(crate) const TREE: &str = "examples/devicetree/mps2-an521.dts";

/// Builds the images of these boards, with the parts that they have unless a product says otherwise; core 0 of the an521 brings
/// core 1 with it.
pub(crate) fn steps(images: &[Image]) -> Vec<Program> {
    println!(
        "firmware: compiled by {}",
        if has_target(TARGET) { "rustup's toolchain" } else { "Debian's rustc, with the library from source" }
    );
    images.iter().flat_map(|image| kept(*image)).collect()
}

/// Builds it with the parts that it has unless somebody says otherwise, and keeps it, with what it brings with it.
fn kept(image: Image) -> Vec<Program> {
    let brought = (image == Image::Core0).then_some(Image::Core1);
    let keep = brought.into_iter().chain([image]).map(|image| copy(image, &image.path()));
    steps_with(image, image.parts()).into_iter().chain(keep).collect()
}

/// Builds the image of a board's first core with these parts.
fn steps_with(image: Image, parts: &str) -> Vec<Program> {
    let first = build(image, parts);
    if parts.split(',').any(|part| part == "second-core") {
        vec![build(Image::Core1, ""), first.env("TUTTI_CORE1", Image::Core1.made())]
    } else {
        vec![first]
    }
}

/// Builds both from another tree and puts core 0's, which carries the other, at `to`.
pub(crate) fn steps_for(tree: &Path, to: &Path) -> Vec<Program> {
    let steps = steps_with(Image::Core0, Image::Core0.parts()).into_iter();
    steps.map(|step| step.env("TUTTI_AN521_TREE", tree)).chain([copy(Image::Core0, to)]).collect()
}

fn copy(image: Image, to: &Path) -> Program {
    Program::new("install").args(["-D"]).args([image.made().as_path(), to])
}

/// What the build of core 1 says of a tree that it refuses.
///
/// # Errors
/// If it does not refuse it.
pub(crate) fn refusal(tree: &Path) -> Result<String, String> {
    match build(Image::Core1, "").env("TUTTI_AN521_TREE", tree).output() {
        Ok(_) => Err(format!("core 1 was built from {}, in which regions collide", tree.display())),
        Err(said) => Ok(said),
    }
}

fn build(image: Image, parts: &str) -> Program {
    let what = ["build", "--release", "--manifest-path", "firmware/Cargo.toml", "--target", image.target()];
    let program = if has_target(image.target()) {
        Program::new(cargo_path()).args(what).env("RUSTFLAGS", "-Clinker=rust-lld")
    } else {
        Program::new("/usr/bin/cargo")
            .args(what)
            .args(["-Zbuild-std=core"])
            .env("RUSTC", "/usr/bin/rustc")
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", format!("-Clinker={LINKER}"))
    };
    let program = program.args(["-p", image.package()]).args(in_ci().then_some("--locked"));
    let features = match image {
        Image::Core1 => None,
        Image::Core0 => Some(format!("an521,{parts}")),
        Image::An386 => Some(format!("an386,{parts}")),
    };
    let program = program.args(features.iter().flat_map(|it| ["--no-default-features", "--features", it]));
    program.args(["--target-dir".as_ref(), folder().as_os_str()])
}

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let words: Vec<_> = args.iter().map(String::as_str).collect();
    match words[..] {
        [] => {}
        ["--help" | "-h"] => {
            print!("{USAGE}");
            return Ok(());
        }
        ["--board", board, "--features", parts, "--out", to] => {
            let image = [Image::Core0, Image::An386].into_iter().find(|image| image.board() == board);
            let Some(image) = image else {
                return Err(Failure::Usage(format!("there is no firmware for the board {board}\n\n{USAGE}")));
            };
            let steps = steps_with(image, parts).into_iter().chain([copy(image, Path::new(to))]);
            return build_now(steps.collect()).map_err(Failure::from);
        }
        _ => return Err(Failure::Usage(format!("what is {}?\n\n{USAGE}", words.join(" ")))),
    }
    build_now(steps(&[Image::Core0, Image::An386]))?;
    let mut rows = vec![row!["board", "image", "flash", "RAM", "file"]];
    for image in Image::ALL {
        let Size { flash, ram } = image.size()?;
        let file = image.path();
        rows.push(row![image.board(), image.package(), flash.to_string(), ram.to_string(), file.display()]);
    }
    print!("{}", columns(&rows));
    Ok(())
}

/// Builds images and waits for it; what the compiler said is shown if it failed.
pub(crate) fn build_now(steps: Vec<Program>) -> Result<(), String> {
    needs::demand(&[Need::FirmwareCompiler])?;
    run_all("firmware", steps, Duration::from_secs(900))
}

/// How large an image is, in bytes, by the sections that are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Code, constants and the initial values of data.
    pub(crate) flash: u32,
    /// Data, what is zeroed, and the stack.
    pub(crate) ram: u32,
}

impl Size {
    /// Of a 32-bit little-endian ELF file.
    fn of(elf: &[u8]) -> Option<Self> {
        let half = |at: usize| Some(usize::from(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?)));
        let word = |at: usize| Some(u32::from_le_bytes(elf.get(at..at + 4)?.try_into().ok()?));
        if elf.get(..6)? != b"\x7fELF\x01\x01" {
            return None;
        }
        let (table, each, count) = (word(0x20)? as usize, half(0x2e)?, half(0x30)?);
        let mut size = Self { flash: 0, ram: 0 };
        for at in (0..count).map(|index| table + each * index) {
            let (kind, flags, len) = (word(at + 4)?, word(at + 8)?, word(at + 20)?);
            let (allocated, writable, zeroed) = (flags & 2 != 0, flags & 1 != 0, kind == 8);
            size.flash += if allocated && !zeroed { len } else { 0 };
            size.ram += if allocated && (writable || zeroed) { len } else { 0 };
        }
        Some(size)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of flash, {} of RAM", self.flash, self.ram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_flash_memory_or_both() {
        let mut elf = vec![0; 52];
        elf[..6].copy_from_slice(b"\x7fELF\x01\x01");
        (elf[0x20], elf[0x2e], elf[0x30]) = (52, 40, 4);
        // Code, initial values, what is zeroed, and symbols, which are not loaded.
        for (kind, flags, len) in [(1u32, 6u32, 100u32), (1, 3, 20), (8, 3, 7), (2, 0, 1000)] {
            let section = [0, kind, flags, 0, 0, len, 0, 0, 0, 0];
            elf.extend(section.iter().flat_map(|word| word.to_le_bytes()));
        }
        assert_eq!(Size::of(&elf), Some(Size { flash: 120, ram: 27 }));
        assert_eq!(Size::of(&elf[..60]), None);
        assert_eq!(Size::of(b"#!/bin/sh"), None);
    }
}
