//! The C libraries that speak RPMsg, in both roles: open-amp and rpmsg-lite.
//!
//! The two sides take turns over shared memory, and after each turn is written down which bytes changed. What came of
//! running them live is kept in `transcripts`: there, the turns of the C library are played from the transcript, and
//! every byte that our code writes in its turns is held against it. So the tests need no C library, and notice every
//! change of what goes over the wire.
//!
//! `cargo xtask test c-peer --path DIR` runs the same turns live, against source trees that the user names. With
//! `TUTTI_RECORD=1` it writes the transcripts anew.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the layer reads how each part went")]

mod script;
mod transcript;

use std::path::{Path, PathBuf};

use transcript::{Live, Played, Table};

type Script = fn(&mut Table);

/// Which library, in which role; and what we do then.
const ALL: [(&str, &str, Script); 4] = [
    ("rpmsg-lite", "remote", script::as_host),
    ("rpmsg-lite", "host", script::as_remote),
    ("open-amp", "remote", script::as_host),
    ("open-amp", "host", script::as_remote),
];

fn transcript(library: &str, role: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(format!("{library}-as-{role}.txt"))
}

#[test]
fn our_side_of_every_transcript_is_byte_for_byte_the_same() {
    for (library, role, script) in ALL {
        println!("{library} as {role}");
        let text = std::fs::read_to_string(transcript(library, role)).unwrap();
        let mut table = Table::new(Box::new(Played::new(&text)));
        script(&mut table);
        let (ours, theirs) = table.finish();
        assert!(ours >= 20 && theirs >= 20, "{ours} and {theirs} turns");
    }
}

/// A transcript in which one byte of ours differs is noticed.
#[test]
fn a_byte_that_differs_is_noticed() {
    let text = std::fs::read_to_string(transcript("rpmsg-lite", "remote")).unwrap();
    let at = text.find("\nus ask 100").unwrap() + text[text.find("\nus ask 100").unwrap()..].find('@').unwrap();
    let mut bytes = text.into_bytes();
    let end = at + bytes[at..].iter().position(|byte| *byte == b'\n').unwrap();
    bytes[end - 1] = if bytes[end - 1] == b'0' { b'1' } else { b'0' };
    let text = String::from_utf8(bytes).unwrap();
    let played = std::panic::catch_unwind(|| script::as_host(&mut Table::new(Box::new(Played::new(&text)))));
    assert!(played.is_err());
}

#[test]
fn live() {
    let Some(folder) = std::env::var_os("TUTTI_C_PEER").map(PathBuf::from) else {
        eprintln!("skipped: `cargo xtask test c-peer --path DIR` runs this");
        return;
    };
    let record = std::env::var_os("TUTTI_RECORD").is_some();
    let mut ran = 0;
    for (library, role, script) in ALL {
        let program = folder.join(library);
        if !program.exists() {
            println!("not there: {library}");
            continue;
        }
        let mut table = Table::new(Box::new(Live::new(&program, role)));
        script(&mut table);
        let text = table.text(&format!("# {library} as the {role}: what each side wrote into the shared memory.\n"));
        let (ours, theirs) = table.finish();
        println!("ok {library} as {role}: {ours} turns of ours, {theirs} of theirs");
        if record {
            std::fs::write(transcript(library, role), text).unwrap();
        }
        ran += 1;
    }
    assert!(ran > 0, "no program of a peer in {}", folder.display());
}
