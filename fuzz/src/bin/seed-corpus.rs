//! Writes, for every target: its seeds under `corpus/`, its fuzzer under `fuzz_targets/`, its entry in `Cargo.toml`.
//! Inputs that were found by fuzzing stay; seeds are named `seed-…` and are written anew.

use std::{fs, io, path::Path};

use tutti_fuzz::{TARGETS, fuzzer_source, manifest_entries};

const MARK: &str = "# From here on written by `cargo run --bin seed-corpus`.\n";

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for target in TARGETS {
        let corpus = root.join("corpus").join(target.name);
        fs::create_dir_all(&corpus)?;
        for entry in fs::read_dir(&corpus)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("seed-") {
                fs::remove_file(entry.path())?;
            }
        }
        for (name, bytes) in (target.seeds)() {
            fs::write(corpus.join(format!("seed-{name}")), bytes)?;
        }
        fs::write(root.join("fuzz_targets").join(format!("{}.rs", target.name)), fuzzer_source(target))?;
    }
    let manifest = root.join("Cargo.toml");
    let text = fs::read_to_string(&manifest)?;
    let (by_hand, _) = text.split_once(MARK).ok_or_else(|| io::Error::other("Cargo.toml has lost its mark"))?;
    fs::write(&manifest, format!("{by_hand}{MARK}{}", manifest_entries()))
}
