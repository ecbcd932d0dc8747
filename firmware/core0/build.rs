//! Tells the linker where this core's memories are, which the device tree of the board says, and how long its stack is; and puts core 1's
//! image, without what only debuggers read, where it is included from, if there is to be a second core.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let has = |feature: &str| env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    // The variable that names another tree, for a board that was laid out otherwise, and the board's own.
    let (variable, own) = match has("AN386") {
        true => ("TUTTI_AN386_TREE", "mps2-an386.dts"),
        false => ("TUTTI_AN521_TREE", "mps2-an521.dts"),
    };
    println!("cargo:rerun-if-env-changed={variable}");
    let tree = env::var(variable).unwrap_or_else(|_| format!("../../examples/devicetree/{own}"));
    let out = env::var("OUT_DIR").expect("cargo sets it");
    match tutti_devicetree::build_script::firmware(&tree, "core0", &out) {
        Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
        Err(faults) => panic!("{faults}"),
    }
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo:rustc-link-arg=-L{here}/../mps2");
    println!("cargo:rustc-link-arg=-T{here}/core0.x");
    println!("cargo:rustc-link-arg=--nmagic");
    println!("cargo:rerun-if-changed=core0.x");
    println!("cargo:rerun-if-changed=../mps2/link.x");
    let out = PathBuf::from(out);
    // Loading and dumping another core takes more.
    let stack = if has("SECOND_CORE") { "STACK = 16K;\n" } else { "STACK = 8K;\n" };
    write(&out.join("stack.x"), stack.as_bytes());
    if has("SECOND_CORE") {
        write(&out.join("core1.elf"), &core1());
    }
}

fn write(to: &Path, bytes: &[u8]) {
    fs::write(to, bytes).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
}

/// Core 1's image, as it is carried.
fn core1() -> Vec<u8> {
    println!("cargo:rerun-if-env-changed=TUTTI_CORE1");
    let Some(path) = env::var_os("TUTTI_CORE1").map(PathBuf::from) else {
        panic!("TUTTI_CORE1 does not name the image of core 1; build with `cargo xtask firmware`, which does");
    };
    println!("cargo:rerun-if-changed={}", path.display());
    let image = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    stripped(&image).unwrap_or_else(|| panic!("{} is no 32-bit ELF file", path.display()))
}

const HEADER: usize = 52;
const SEGMENT: usize = 32;
const SECTION: usize = 40;
const TABLE: &[u8] = b".resource_table\0";
const NAMES: &[u8] = b"\0.resource_table\0.shstrtab\0";

/// The same program with its segments and its resource table, and no other section.
fn stripped(elf: &[u8]) -> Option<Vec<u8>> {
    let half = |at: usize| Some(usize::from(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?)));
    let word = |at: usize| Some(u32::from_le_bytes(elf.get(at..at + 4)?.try_into().ok()?) as usize);
    if elf.get(..6)? != b"\x7fELF\x01\x01" {
        return None;
    }
    let (segments, count) = (word(0x1c)?, half(0x2c)?);
    let mut out = elf.get(..HEADER)?.to_vec();
    out.extend(elf.get(segments..segments + SEGMENT * count)?);
    // Where in the file its segments went, as (from, length, to).
    let mut moved = Vec::new();
    for index in 0..count {
        let at = segments + SEGMENT * index;
        let (kind, from, len) = (word(at)?, word(at + 4)?, word(at + 16)?);
        if kind == 1 && len > 0 {
            out.resize(out.len().next_multiple_of(4), 0);
            moved.push((from, len, out.len()));
            out.extend(elf.get(from..from + len)?);
        }
        let to = moved.last().filter(|last| last.0 == from).map_or(0, |last| last.2);
        let field = HEADER + SEGMENT * index + 4;
        out[field..field + 4].copy_from_slice(&u32::try_from(to).ok()?.to_le_bytes());
    }
    let (sections, each, number) = (word(0x20)?, half(0x2e)?, half(0x30)?);
    let names = word(sections + each * half(0x32)? + 16)?;
    let table = (0..number)
        .map(|index| sections + each * index)
        .find(|at| word(*at).is_some_and(|name| elf.get(names + name..names + name + TABLE.len()) == Some(TABLE)))?;
    let offset = word(table + 16)?;
    let (from, _, to) = *moved.iter().find(|(from, len, _)| (*from..from + len).contains(&offset))?;
    let names_at = out.len();
    out.extend(NAMES);
    out.resize(out.len().next_multiple_of(4), 0);
    let sections_at = out.len();
    out.extend([0; SECTION]);
    let mut entry = elf.get(table..table + SECTION)?.to_vec();
    entry[..4].copy_from_slice(&1u32.to_le_bytes());
    entry[16..20].copy_from_slice(&u32::try_from(to + offset - from).ok()?.to_le_bytes());
    out.extend(entry);
    let strings = [1 + TABLE.len(), 3, 0, 0, names_at, NAMES.len(), 0, 0, 1, 0];
    out.extend(strings.iter().flat_map(|word| (*word as u32).to_le_bytes()));
    out[0x1c..0x20].copy_from_slice(&(HEADER as u32).to_le_bytes());
    out[0x20..0x24].copy_from_slice(&u32::try_from(sections_at).ok()?.to_le_bytes());
    out[0x2e..0x34].copy_from_slice(&[SECTION as u8, 0, 3, 0, 2, 0]);
    Some(out)
}
