//! Real boards against `dtc`. Layers of their own, switched on by where their input lies:
//!
//! - `TUTTI_DT_BLOBS=DIR`: a folder of blobs (Debian's arm64 kernel packages have hundreds). Each is read, written
//!   and read again; decompiled, and compiled by `dtc` and by us; all of them must say the same.
//! - `TUTTI_DT_KERNEL=DIR`: a kernel source tree with `arch/arm64/boot/dts` and `include`. Each board's source
//!   becomes what `cpp | dtc` make of it, byte for byte.
//!
//! `TUTTI_DT_EVERY=N` takes every N-th file only.
#![allow(clippy::print_stdout, reason = "how much was compared is for whoever runs it")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tutti_devicetree::{Disk, Limits, Memory, Reading, diff::diff, dtb, load, print};

fn every() -> usize {
    std::env::var("TUTTI_DT_EVERY").ok().and_then(|n| n.parse().ok()).unwrap_or(1).max(1)
}

fn files(top: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![top.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| endings.iter().any(|w| *w == e)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found.into_iter().step_by(every()).collect()
}

fn run(program: &str, args: &[&str]) -> Result<Vec<u8>, String> {
    let out = Command::new(program).args(args).output().map_err(|e| format!("{program}: {e}"))?;
    if out.status.success() {
        Ok(out.stdout)
    } else {
        Err(format!("{program}: {}", String::from_utf8_lossy(&out.stderr)))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths in UTF-8")
}

/// `dtc`'s sorted source of a blob.
fn sorted(path: &Path) -> Result<Vec<u8>, String> {
    run("dtc", &["-q", "-s", "-I", "dtb", "-O", "dts", text(path)])
}

fn blob(path: &Path, dir: &Path) -> Result<bool, String> {
    let limits = Limits::default();
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let tree = dtb::read(&bytes, &limits).map_err(|e| e.to_string())?;
    let written = dtb::write(&tree);
    let again = dtb::read(&written, &limits).map_err(|e| e.to_string())?;
    if !diff(&tree, &again).is_empty() || dtb::write(&again) != written {
        return Err("writing and reading changed it".to_owned());
    }
    dtoolkit_agrees(&written)?;
    let source = print::to_dts(&tree, None);
    let loaded = load(&["a.dts"], &Memory::default().with("a.dts", source.as_str()), &Reading::default());
    if loaded.diags.has_errors() {
        return Err(loaded.render(false));
    }
    let (ours, theirs, dts) = (dir.join("ours.dtb"), dir.join("dtc.dtb"), dir.join("a.dts"));
    let compiled = dtb::write(&loaded.tree);
    std::fs::write(&ours, &written).map_err(|e| e.to_string())?;
    std::fs::write(&dts, &source).map_err(|e| e.to_string())?;
    run("dtc", &["-q", "-I", "dts", "-O", "dtb", "-o", text(&theirs), text(&dts)])?;
    if std::fs::read(&theirs).map_err(|e| e.to_string())? != compiled {
        return Err("our compiler and dtc make different blobs of the decompiled source".to_owned());
    }
    let original = sorted(path)?;
    if original != sorted(&ours)? || original != sorted(&theirs)? {
        return Err("dtc sees another tree".to_owned());
    }
    Ok(written == bytes)
}

/// The reader of another hand takes what we write; it knows no names of more than 31 characters.
fn dtoolkit_agrees(bytes: &[u8]) -> Result<(), String> {
    match dtoolkit::fdt::Fdt::new(bytes) {
        Ok(_) => Ok(()),
        Err(e) if e.to_string().to_lowercase().contains("name") => Ok(()),
        Err(e) => Err(format!("dtoolkit: {e}")),
    }
}

#[test]
fn blobs() {
    let Ok(dir) = std::env::var("TUTTI_DT_BLOBS") else { return };
    let temp = tempfile::tempdir().expect("a temporary folder");
    let all = files(Path::new(&dir), &["dtb", "dtbo"]);
    assert!(all.len() * every() >= 100, "{dir} has {} blobs; at least 100 make this test worth something", all.len());
    let mut faults = String::new();
    let mut identical = 0;
    for path in &all {
        match blob(path, temp.path()) {
            Ok(same) => identical += usize::from(same),
            Err(fault) => {
                let _ = writeln!(faults, "{}: {fault}", path.display());
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
    // Those that fdtoverlay merged have other string tables; dtc's own are the same bytes.
    assert!(identical * 10 >= all.len() * 9, "{identical} of {} are the same bytes", all.len());
    println!("compared: boards: {} blobs with dtc, {identical} of them byte for byte", all.len());
}

#[test]
fn kernel_sources() {
    let Ok(top) = std::env::var("TUTTI_DT_KERNEL") else { return };
    let temp = tempfile::tempdir().expect("a temporary folder");
    let top = Path::new(&top);
    let include = [top.join("include"), top.join("scripts/dtc/include-prefixes")];
    let mut reading = Reading::default();
    reading.options.include = include.iter().map(|p| text(p).to_owned()).collect();
    reading.options.define = vec!["__DTS__".to_owned()];
    let boards = files(&top.join("arch/arm64/boot/dts"), &["dts", "dtso"]);
    assert!(!boards.is_empty(), "no boards in {}", top.display());
    let mut faults = String::new();
    let mut identical = 0;
    for (i, board) in boards.iter().enumerate() {
        reading.symbols = i % 2 == 1;
        let (flat, theirs) = (temp.path().join("a.dts"), temp.path().join("dtc.dtb"));
        let result = (|| -> Result<bool, String> {
            let (a, b) = (text(&include[0]), text(&include[1]));
            run(
                "cpp",
                &[
                    "-nostdinc",
                    "-I",
                    a,
                    "-I",
                    b,
                    "-undef",
                    "-D__DTS__",
                    "-x",
                    "assembler-with-cpp",
                    text(board),
                    "-o",
                    text(&flat),
                ],
            )?;
            let mut args =
                vec!["-q", "-I", "dts", "-O", "dtb", "-i", text(board.parent().unwrap_or(top)), "-o", text(&theirs)];
            args.extend(reading.symbols.then_some("-@"));
            args.push(text(&flat));
            run("dtc", &args)?;
            let loaded = load(&[text(board)], &Disk, &reading);
            if loaded.diags.has_errors() {
                return Err(loaded.render(false));
            }
            let ours = dtb::write(&loaded.tree);
            let theirs = std::fs::read(&theirs).map_err(|e| e.to_string())?;
            if ours == theirs {
                return Ok(true);
            }
            let theirs = dtb::read(&theirs, &Limits::default()).map_err(|e| e.to_string())?;
            let found = diff(&theirs, &dtb::read(&ours, &Limits::default()).map_err(|e| e.to_string())?);
            if found.is_empty() { Ok(false) } else { Err(format!("{} differences, first {}", found.len(), found[0])) }
        })();
        match result {
            Ok(same) => identical += usize::from(same),
            Err(fault) => {
                let _ = writeln!(faults, "{}: {fault}", board.display());
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
    // Two boards define one node twice in one body, with several labels: dtc lists those in __symbols__ in another order.
    assert!(boards.len() - identical <= 4, "only {identical} of {} are the same bytes", boards.len());
    println!("compared: boards: {} sources with cpp and dtc, {identical} of them byte for byte", boards.len());
}
