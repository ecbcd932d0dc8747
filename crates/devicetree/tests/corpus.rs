//! Replays the seed corpus of the fuzz targets: every file in `corpus/KIND/` through that kind's function.

use std::path::Path;
use tutti_devicetree::fuzz;

fn replay(kind: &str, run: fn(&[u8]), least: usize) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(kind);
    let mut files: Vec<_> = std::fs::read_dir(&dir).expect("the corpus is there").flatten().map(|e| e.path()).collect();
    files.sort();
    assert!(files.len() >= least, "{} has {} files", dir.display(), files.len());
    for path in files {
        let bytes = std::fs::read(&path).expect("readable");
        run(&bytes);
        // Cut anywhere, too.
        for part in 1..8 {
            run(&bytes[..bytes.len() * part / 8]);
        }
    }
}

#[test]
fn source() {
    replay("source", fuzz::source, 20);
}

#[test]
fn blob() {
    replay("blob", fuzz::blob, 5);
}

#[test]
fn overlay() {
    replay("blob", fuzz::overlay, 5);
}

#[test]
fn yaml() {
    replay("yaml", fuzz::yaml, 8);
}

#[test]
fn resource_table() {
    replay("resource_table", fuzz::resource_table, 2);
}
