//! `tutti app new`, `build` and `inspect` as a person types them. No device runs.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn app(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tutti"));
        command.arg("app").args(args).current_dir(self.0.path()).env("TUTTI_AUTHOR_KEY", self.path("author.key"));
        // Where the layer keeps what building the target's library left, so that it is built once.
        if let Some(target) = std::env::var_os("TUTTI_APP_TARGET") {
            command.env("CARGO_TARGET_DIR", target);
        }
        command.output().unwrap()
    }

    fn done(&self, args: &[&str]) -> String {
        let output = self.app(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn refused(&self, args: &[&str], exit: i32) -> String {
        let output = self.app(args);
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {}", text(&output.stderr));
        text(&output.stderr)
    }

    fn inspected(&self, file: &str) -> Value {
        serde_json::from_str(&self.done(&["inspect", "--json", file])).unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn example(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps").join(path).to_str().unwrap().to_owned()
}

#[test]
fn a_new_app_is_a_folder_that_is_not_written_over() {
    let desk = Desk::new();
    let said = desk.done(&["new", "first"]);
    assert!(said.contains("src/lib.rs") && said.contains("tutti app build first"), "{said}");
    for file in ["Cargo.toml", "app.toml", "build.rs", "src/lib.rs", "wit/app.wit", ".gitignore"] {
        let text = std::fs::read_to_string(desk.path("first").join(file)).unwrap();
        assert!(!text.contains("NAME") && !text.is_empty(), "{file}");
    }
    std::fs::write(desk.path("first/src/lib.rs"), "mine").unwrap();
    assert!(desk.refused(&["new", "first"], 1).contains("not empty"));
    assert_eq!(std::fs::read_to_string(desk.path("first/src/lib.rs")).unwrap(), "mine");
    desk.done(&["new", "second", "--at", "deep/folder"]);
    assert!(desk.path("deep/folder/Cargo.toml").exists());
    assert!(desk.refused(&["new", "Not A Name"], 2).contains("lower-case"));
}

#[test]
fn a_component_is_packed_signed_and_looked_into() {
    let desk = Desk::new();
    let (component, folder) = (example("built/sketch.wasm"), example("sketch"));
    let said = desk.done(&["build", "--component", &component, "-o", "sketch.tutti", &folder]);
    assert!(said.contains("sketch 0.1.0") && said.contains("can be moved"), "{said}");
    let found = desk.inspected("sketch.tutti");
    assert_eq!((&found["name"], &found["movable"], &found["obstacle"]), (&"sketch".into(), &true.into(), &Value::Null));
    assert_eq!(found["wants"][0]["kind"], "display");
    assert_eq!(found["limits"]["memory_kib"], 2048);
    let said = desk.done(&["inspect", "sketch.tutti"]);
    for part in ["sketch 0.1.0: Draw", found["author"].as_str().unwrap(), found["digest"].as_str().unwrap(), "required"]
    {
        assert!(said.contains(part), "{part} in {said}");
    }
    // The same author with the same parts makes the same file.
    desk.done(&["build", "--component", &component, "-o", "again.tutti", &folder]);
    assert_eq!(std::fs::read(desk.path("sketch.tutti")).unwrap(), std::fs::read(desk.path("again.tutti")).unwrap());
}

#[test]
fn what_cannot_be_built_or_read_is_said() {
    let desk = Desk::new();
    assert!(desk.refused(&["build", "."], 1).contains("tutti app new"));
    std::fs::write(desk.path("app.toml"), "name = \"a\"\nversion = \"1\"\n").unwrap();
    assert!(desk.refused(&["build", "."], 1).contains("1.2.3"));
    std::fs::write(desk.path("app.toml"), "name = \"a\"\nversion = \"1.0.0\"\n").unwrap();
    assert!(desk.refused(&["build", "."], 1).contains("--component"));
    // A core module is no component, and neither is anything else.
    std::fs::write(desk.path("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
    assert!(desk.refused(&["build", "--component", "core.wasm", "."], 1).contains("component"));
    std::fs::write(desk.path("icon.png"), "GIF").unwrap();
    assert!(desk.refused(&["build", "--component", &example("built/sketch.wasm"), "."], 1).contains("PNG"));
    std::fs::remove_file(desk.path("icon.png")).unwrap();
    // A byte that was altered after it was signed.
    desk.done(&["build", "--component", &example("built/sketch.wasm"), "-o", "a.tutti", "."]);
    let mut file = std::fs::read(desk.path("a.tutti")).unwrap();
    let middle = file.len() / 2;
    file[middle] ^= 1;
    std::fs::write(desk.path("a.tutti"), file).unwrap();
    assert!(desk.refused(&["inspect", "a.tutti"], 1).contains("altered"));
    assert!(desk.refused(&["inspect", "app.toml"], 1).contains("is no app"));
    assert!(desk.refused(&["inspect", "nothing"], 1).contains("No such file"));
}

/// What the readme promises to somebody who has nothing but it. Builds the library of the target the first time.
#[test]
#[ignore = "needs Rust for WebAssembly, and the crates that a new app names: the layer apps"]
fn a_new_app_builds_as_it_is() {
    let desk = Desk::new();
    desk.done(&["new", "first"]);
    let built: Value = serde_json::from_str(&desk.done(&["build", "--json", "first"])).unwrap();
    assert_eq!(built["obstacle"], Value::Null, "{built}");
    let found = desk.inspected("first/first-0.1.0.tutti");
    assert_eq!(
        (&found["movable"], &found["author"], &found["digest"]),
        (&true.into(), &built["author"], &built["digest"])
    );
    assert!(found["component"].as_u64().unwrap() < 100_000, "{found}");
    // A mistake in its code is the compiler's to name.
    std::fs::write(desk.path("first/src/lib.rs"), "fn main() { nothing() }").unwrap();
    let said = desk.refused(&["build", "first"], 1);
    assert!(said.contains("nothing") && said.contains("could not be built"), "{said}");
}
