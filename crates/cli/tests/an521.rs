//! The emulated chip in the pool: core 0's serial line is connected to a real device, and core 1, behind it, is used from *another*
//! device of the group. By the layer `an521`, which builds the firmware and names it in `TUTTI_AN521`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the layer reads what each part says")]

mod support;

use std::{
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use support::device::{Device, Plan, eventually};

const S: fn(u64) -> Duration = Duration::from_secs;

/// The emulator. It ends with this.
struct Board(Child);

impl Board {
    fn start(image: &Path, line: &Path) -> Self {
        let mut command = Command::new("qemu-system-arm");
        command.args(["-M", "mps2-an521", "-display", "none", "-monitor", "none", "-kernel"]).arg(image);
        command.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
        command.arg("-serial").arg(format!("unix:{},server=on,wait=off", line.display())).args(["-serial", "null"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit());
        Self(command.spawn().expect("qemu-system-arm runs"))
    }

    /// Types a line on core 0's console.
    fn say(&mut self, line: &str) {
        writeln!(self.0.stdin.as_mut().expect("is piped"), "{line}").expect("the emulator runs");
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn there(on: &Device, name: &str) {
    eventually(S(20), &format!("{} sees {name}", on.name), || on.sees(&[name]));
}

fn gone(on: &Device, name: &str) -> Duration {
    let begun = Instant::now();
    eventually(S(10), &format!("{name} is gone"), || on.view_of(name).is_none());
    begun.elapsed()
}

#[test]
fn a_core_behind_a_core_is_used_from_another_device() {
    let Some(image) = std::env::var_os("TUTTI_AN521") else {
        eprintln!("skipped: TUTTI_AN521 names no image; use `cargo xtask test an521`");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let line = folder.path().join("line");
    let mut board = Board::start(Path::new(&image), &line);
    let kitchen = Plan::new(folder.path(), "kitchen").start();
    let attic = Plan::new(folder.path(), "attic").start();
    attic.join(&kitchen);
    kitchen.must(&["satellite", "connect", &format!("unix:{}", line.display())]);
    for core in ["an521-core0", "an521-core1"] {
        there(&attic, core);
        assert_eq!(attic.view_of(core).unwrap()["via"], kitchen.id().as_str());
    }
    eventually(S(10), "core 1's sensor is read from another device", || {
        attic.reading("an521-core1/temperature").is_ok_and(|degrees| (20.0..24.0).contains(&degrees))
    });
    for (word, on) in [("on", true), ("off", false)] {
        attic.must(&["set", "an521-core1/lamp", word]);
        assert_eq!(attic.json(&["read", "an521-core1/lamp"])["value"], on);
    }
    println!("\nok pool: core 1 behind core 0, its sensor read and its lamp switched from another device");

    // It goes with its core and comes back with it; all of it goes with the chip.
    board.say("stop");
    let took = gone(&attic, "an521-core1");
    assert!(took < S(4), "gone after {took:?}");
    assert!(attic.sees(&["an521-core0"]), "core 0 is still there");
    board.say("start");
    there(&attic, "an521-core1");
    drop(board);
    let all = gone(&attic, "an521-core0").max(gone(&attic, "an521-core1"));
    assert!(all < S(3), "gone after {all:?}");
    println!(
        "\nok unplugged: gone from another device {took:.1?} after core 1 stopped, {all:.1?} after the chip ended"
    );
}
