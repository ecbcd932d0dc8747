//! Replays the committed corpus and mutations of it through every target, on any toolchain, without the fuzzing
//! engine; and holds the generated files against what would be generated.
//!
//! `TUTTI_FUZZ_ROUNDS` is the number of mutations of each input (40 without it).

use std::{fs, path::PathBuf};

use tutti_fuzz::{TARGETS, Target, fuzzer_source, manifest_entries, mutate::mutate};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The inputs of a target, in the order of their names.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = root().join("corpus").join(target.name);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}; run seed-corpus", folder.display()));
    let mut inputs: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    inputs.sort();
    inputs
}

/// Shows, if the target panics, what to feed it.
struct Feeding<'a>(&'a Target, &'a str, &'a [u8]);

impl Drop for Feeding<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex: String = self.2.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("target {} failed on {}; the input in hexadecimal: {hex}", self.0.name, self.1);
        }
    }
}

#[test]
fn corpus_and_mutations_of_it() {
    let rounds = std::env::var("TUTTI_FUZZ_ROUNDS").ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(40);
    for target in TARGETS {
        let inputs = corpus(target);
        for (at, (name, input)) in inputs.iter().enumerate() {
            {
                let _feeding = Feeding(target, name, input);
                (target.run)(input);
            }
            let (_, other) = &inputs[(at + 1) % inputs.len()];
            for round in 0..rounds {
                let mutated = mutate(target.name, round, input, other);
                let what = format!("mutation {round} of {name}");
                let _feeding = Feeding(target, &what, &mutated);
                (target.run)(&mutated);
            }
        }
    }
}

#[test]
fn the_committed_files_are_those_that_seed_corpus_writes() {
    let advice = "run `cargo run --bin seed-corpus` in fuzz/ and commit what it writes";
    for target in TARGETS {
        let inputs = corpus(target);
        let seeds: Vec<_> = inputs.into_iter().filter(|(name, _)| name.starts_with("seed-")).collect();
        let mut expected: Vec<_> =
            (target.seeds)().into_iter().map(|(name, bytes)| (format!("seed-{name}"), bytes)).collect();
        expected.sort();
        assert!(seeds == expected, "the seeds of {} differ: {advice}", target.name);
        let fuzzer = fs::read_to_string(root().join("fuzz_targets").join(format!("{}.rs", target.name)));
        assert_eq!(fuzzer.ok(), Some(fuzzer_source(target)), "{advice}");
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.ends_with(&manifest_entries()), "the fuzzers' entries in Cargo.toml differ: {advice}");
}
