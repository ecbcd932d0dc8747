//! What is generated, taken by those it is for: Rust by the compiler, C by the C compiler, linker regions by the linker,
//! Zephyr's overlay on the domain's own tree; with `TUTTI_DT_FIRMWARE=1` (it compiles the dependencies once more) also a
//! firmware whose `build.rs` takes its addresses from the tree.
#![allow(clippy::print_stdout, reason = "what was built is for whoever runs it")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tutti_devicetree::{Disk, Loaded, Memory, Reading, command, load};

/// Every domain that is not Linux.
const FIRMWARE: [(&str, &str); 6] = [
    ("zynqmp-like", "rpu0"),
    ("zynqmp-like", "rpu1"),
    ("stm32mp1-like", "m4"),
    ("mps2-an521", "core0"),
    ("mps2-an521", "core1"),
    ("mps2-an386", "core0"),
];

fn tree(chip: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../examples/devicetree/{chip}.dts"))
}

fn chip(name: &str) -> Loaded {
    load(&[tree(name).to_str().expect("UTF-8")], &Disk, &Reading::default())
}

/// All files of a domain, in a folder of its own.
fn split(name: &str, domain: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (files, _) = command::split(&chip(name), domain).expect("the sample has it");
    for file in files {
        write(&dir.path().join(&file.name), file.bytes);
    }
    dir
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    std::fs::write(path, bytes).expect("writable");
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Runs a program in a folder; what it printed.
fn run(dir: &Path, program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> String {
    let program = program.as_ref();
    let out = Command::new(program).args(args).current_dir(dir).output();
    let out = out.unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{} {args:?}: {said}", program.display());
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// The compiler beside the cargo that runs this.
fn rustc() -> PathBuf {
    let cargo = std::env::var_os("CARGO").map(PathBuf::from).unwrap_or_default();
    let beside = cargo.with_file_name("rustc");
    if beside.exists() { beside } else { "rustc".into() }
}

/// `NAME` and its number, for each line of `text` like `BEFORE NAME BETWEEN NUMBER AFTER`.
fn numbers(text: &str, before: &str, between: &str) -> Vec<(String, u64)> {
    let number = |text: &str| {
        let digits = text.trim().trim_end_matches(['U', 'L', ';']);
        match digits.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => digits.parse().ok(),
        }
    };
    let line = |line: &str| {
        let (name, value) = line.strip_prefix(before)?.split_once(between)?;
        Some((name.trim().to_owned(), number(value)?))
    };
    text.lines().filter_map(line).collect()
}

#[test]
fn rust_compiles() {
    for (chip, domain) in FIRMWARE {
        let dir = split(chip, domain);
        let constants = numbers(&read(&dir.path().join(format!("{domain}.rs"))), "pub const ", ": usize = ");
        assert!(constants.len() > 4, "{chip} {domain}: {constants:?}");
        // As firmware takes it: no standard library, every warning an error, each number known to the compiler.
        let mut source =
            format!("#![no_std]\n#![deny(warnings)]\npub mod domain {{\n    include!(\"{domain}.rs\");\n}}\n");
        for (name, number) in constants {
            let _ = writeln!(source, "const _: () = assert!(domain::{name} == {number});");
        }
        write(&dir.path().join("firmware.rs"), source);
        run(dir.path(), rustc(), &["--edition=2024", "--crate-type=lib", "--emit=metadata", "firmware.rs"]);
    }
}

#[test]
fn c_compiles() {
    for (chip, domain) in FIRMWARE {
        let dir = split(chip, domain);
        let header = format!("{domain}-platform_info.h");
        let constants = numbers(&read(&dir.path().join(&header)), "#define ", " ");
        assert!(constants.len() > 4, "{chip} {domain}: {constants:?}");
        // Twice, for its guard.
        let mut source = format!("#include \"{header}\"\n#include \"{header}\"\n");
        for (name, number) in constants {
            let _ = writeln!(source, "_Static_assert({name} == {number}, \"{name}\");");
        }
        write(&dir.path().join("firmware.c"), source);
        let strict = ["-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "firmware.c"];
        run(dir.path(), "cc", &strict);
    }
}

#[test]
fn the_linker_puts_things_where_the_tree_says() {
    for (chip, domain) in FIRMWARE {
        let dir = split(chip, domain);
        let regions = read(&dir.path().join(format!("{domain}-memory.x")));
        let region = |name: &str| -> (u64, u64) {
            let line = regions.lines().find(|l| l.trim_start().starts_with(&format!("{name} ")));
            let line = line.unwrap_or_else(|| panic!("{chip} {domain} has no {name}:\n{regions}"));
            let found = numbers(&line.replace(", LENGTH = ", "\nLENGTH = ").replace(": ORIGIN", "\nORIGIN"), "", " = ");
            (found[0].1, found[1].1)
        };
        write(
            &dir.path().join("link.x"),
            format!(
                "INCLUDE {domain}-memory.x\nENTRY(start)\nSECTIONS {{\n  .text : {{ *(.text*) }} > FLASH\n  .bss : {{ *(.data*) \
                 *(.bss*) }} > RAM\n  /DISCARD/ : {{ *(.eh_frame*) *(.note*) *(.comment*) }}\n}}\n"
            ),
        );
        write(&dir.path().join("firmware.c"), "int counter;\nvoid start(void) { for (;;) { counter++; } }\n");
        let args = ["-ffreestanding", "-nostdlib", "-static", "-no-pie", "-fno-pic", "-fno-stack-protector"];
        run(
            dir.path(),
            "cc",
            &[&args[..], &["-Wl,--build-id=none", "-Wl,-T,link.x", "firmware.c", "-o", "f"]].concat(),
        );
        let symbols = run(dir.path(), "nm", &["f"]);
        for (symbol, name) in [("start", "FLASH"), ("counter", "RAM")] {
            let line = symbols.lines().find(|l| l.split_whitespace().nth(2) == Some(symbol));
            let address = line.and_then(|l| u64::from_str_radix(l.split(' ').next()?, 16).ok()).expect("it is linked");
            let (start, size) = region(name);
            assert!((start..start + size).contains(&address), "{chip} {domain}: {symbol} is at {address:#x}");
        }
    }
}

/// Zephyr lays it over its board's tree, which has the devices by their labels and knows nothing of our memory.
#[test]
fn the_overlay_fits_a_board() {
    let dir = split("zynqmp-like", "rpu0");
    let overlay = read(&dir.path().join("rpu0.overlay"));
    let mut text = "/dts-v1/;\n/ {\n#address-cells = <1>;\n#size-cells = <1>;\nchosen { };\nsoc {\n".to_owned();
    let labels = overlay.lines().filter_map(|line| line.strip_prefix('&')?.strip_suffix(" {"));
    labels.for_each(|label| text += &format!("{label}: {label} {{ status = \"disabled\"; }};\n"));
    text += &format!("}};\n}};\n{overlay}");
    let loaded = load(&["a.dts"], &Memory::default().with("a.dts", text), &Reading::default());
    assert!(!loaded.diags.has_errors(), "{}", loaded.render(false));
    let chosen = loaded.tree.find("/chosen").expect("the overlay has one");
    assert!(loaded.tree.node(chosen).property("zephyr,ipc_shm").is_some());
    let serial = loaded.tree.find("/soc/serial1").expect("the domain has it");
    assert_eq!(loaded.tree.node(serial).text("status"), Some("okay"));
}

/// A firmware by cargo: a `build.rs` with the helper, constants by `include!`, regions by the linker.
#[test]
fn firmware_takes_its_addresses_from_the_tree() {
    if std::env::var_os("TUTTI_DT_FIRMWARE").is_none() {
        return;
    }
    let dir = firmware();
    let path = dir.path();
    assert_eq!(build(path, 0x3810_0000), Ok(0x3810_0000));
    // Another tree is another firmware.
    let text = read(&path.join("chip.dts")).replace("0x38100000 0x2000", "0x38180000 0x2000");
    write(&path.join("chip.dts"), text.replace("vdev0vring0@38100000", "vdev0vring0@38180000"));
    assert_eq!(build(path, 0x3818_0000), Ok(0x3818_0000));
    assert!(build(path, 0x3810_0000).is_err_and(|said| said.contains("the firmware has another vring")));
    // A tree with a fault makes none, and says where.
    write(&path.join("chip.dts"), read(&path.join("chip.dts")).replace("0x38180000 0x2000", "0x38180004 0x2000"));
    assert!(build(path, 0x3818_0004).is_err_and(|said| said.contains("chip.dts:") && said.contains("vring")));
    println!("compared: generated: a firmware with its tree");
}

/// A package like one for the second core of the AN521, but for this machine's instructions.
fn firmware() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (root, path) = (Path::new(env!("CARGO_MANIFEST_DIR")), dir.path());
    std::fs::create_dir(path.join("src")).expect("a folder");
    std::fs::copy(root.join("../../Cargo.lock"), path.join("Cargo.lock")).expect("the same versions");
    std::fs::copy(tree("mps2-an521"), path.join("chip.dts")).expect("the sample");
    let library = root.display().to_string();
    write(
        &path.join("Cargo.toml"),
        format!(
            "[package]\nname = \"firmware\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
             [profile.dev]\npanic = \"abort\"\n[build-dependencies]\ntutti-devicetree = {{ path = {library:?} }}\n"
        ),
    );
    write(
        &path.join("build.rs"),
        r#"fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    match tutti_devicetree::build_script::firmware("chip.dts", "core1", &out) {
        Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
        Err(faults) => panic!("{faults}"),
    }
    println!("cargo:rustc-link-search={}", std::env::var("CARGO_MANIFEST_DIR").unwrap());
    ["-nostartfiles", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-Tlink.x"]
        .iter()
        .for_each(|arg| println!("cargo:rustc-link-arg={arg}"));
}
"#,
    );
    write(
        &path.join("link.x"),
        "INCLUDE memory.x\nENTRY(_start)\nSECTIONS {\n  .text : { *(.text*) *(.rodata*) } > FLASH\n  \
         .resource_table : { KEEP(*(.resource_table)) } > FLASH\n  .bss : { *(.data*) *(.bss*) } > RAM\n  \
         /DISCARD/ : { *(.eh_frame*) *(.note*) *(.comment*) *(.gcc_except_table*) }\n}\n",
    );
    write(
        &path.join("src/main.rs"),
        r#"#![no_std]
#![no_main]
#![deny(warnings)]
#[allow(dead_code)]
mod domain {
    include!(concat!(env!("OUT_DIR"), "/domain.rs"));
}
include!("expected.rs");
const _: () = assert!(domain::VDEV0VRING0_START == VRING0, "the firmware has another vring");
#[unsafe(link_section = ".resource_table")]
#[used]
static TABLE: [u8; 208] = *include_bytes!(concat!(env!("OUT_DIR"), "/resource_table.bin"));
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    loop {}
}
#[panic_handler]
fn stop(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
"#,
    );
    dir
}

/// Builds it; where its linker knows the first vring, or what cargo said. The firmware itself wants it at `expected`.
fn build(path: &Path, expected: u64) -> Result<u64, String> {
    write(&path.join("src/expected.rs"), format!("const VRING0: usize = {expected};\n"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("firmware");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let args = ["build", "-q", "--offline", "--target-dir"];
    let made = Command::new(cargo).args(args).arg(&target).current_dir(path).output().expect("cargo runs");
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into_owned());
    }
    let symbols = run(path, "nm", &[target.join("debug/firmware").to_str().expect("UTF-8")]);
    let address = |name: &str| {
        let line = symbols.lines().find(|line| line.ends_with(&format!(" {name}")));
        line.and_then(|line| u64::from_str_radix(line.split(' ').next()?, 16).ok()).expect("it is linked")
    };
    assert!((0x3800_0000..0x3804_0000).contains(&address("_start")), "the code is not where core1 has memory");
    Ok(address("__vdev0vring0_start"))
}
