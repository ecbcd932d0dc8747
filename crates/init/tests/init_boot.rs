//! `tutti-init` as the first program of a real kernel: user-mode Linux, which boots in a fraction of a second and
//! needs no privileges. Part of the layer `init`, which builds the kernel and says where it is by `TUTTI_LINUX`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the layer reads how each part went")]

mod support;

use std::time::Duration;

use support::{Machine, kernel};

#[test]
fn a_device_comes_up_and_is_switched_off() {
    let Some(kernel) = kernel() else { return };
    let disk = support::disk();
    let mut machine = Machine::new(kernel).disk(&disk);
    machine.settings =
        "hostname = \"kitchen\"\nmodules = [\"uinput\"]\n[state]\ndevice = \"/dev/ubda\"\n[network]\nmode = \"none\"\n\
         [node]\nonce = [[\"greet\"]]\n[node.environment]\nSTAND_IN_SHOWS = \"1\"\n"
            .into();
    for start in 1..=2 {
        let mut running = machine.boot();
        let seen = running.until("the node is ready");
        let ready = seen.last().cloned().unwrap_or_default();
        let has = |what: &str| seen.iter().any(|line| line.contains(what));
        assert!(has(&format!("stand-in: start {start}")), "the state lasts: {seen:#?}");
        for place in [
            "/proc proc",
            "/sys sysfs",
            "/dev tmpfs",
            "/run tmpfs",
            "/tmp tmpfs",
            "/state ext4",
            "/sys/fs/cgroup cgroup2",
        ] {
            assert!(has(&format!(" {place} ")), "{place} is not mounted: {seen:#?}");
        }
        assert!(has("stand-in: module uinput"), "{seen:#?}");
        assert!(has("the system is read-only: true"), "{seen:#?}");
        assert!(has("stand-in: up --foreground --state /state/tutti --runtime-dir /run/tutti"), "{seen:#?}");
        if start == 1 {
            running.until("`tutti greet` is done");
        }
        let down = running.ask("poweroff");
        assert!(!down.iter().any(|line| line.contains("greet")), "once is enough: {down:#?}");
        assert!(down.iter().any(|line| line.contains("the device is switched off")), "{down:#?}");
        assert!(!down.iter().any(|line| line.contains("cannot be unmounted")), "{down:#?}");
        println!("ok boot {start}: {}", ready.trim_start_matches("tutti: "));
    }
    let log = support::file_on(&disk, "log/log.0");
    for what in ["tutti: the node is ready", "kernel: ", "stand-in: start 2", "the device is switched off"] {
        assert!(log.contains(what), "{what:?} is not in the log that was kept:\n{log}");
    }
    println!("ok boot log: {} bytes were kept", log.len());
}

#[test]
fn a_node_that_dies_is_started_again() {
    let Some(kernel) = kernel() else { return };
    let mut machine = Machine::new(kernel);
    machine.settings = "[network]\nmode = \"none\"\n[node.environment]\nSTAND_IN = \"dies\"\n".into();
    let mut running = machine.boot();
    let seen = running.until("(start 4)");
    let pauses: Vec<_> = seen.iter().filter(|line| line.contains("has ended with code 7")).collect();
    assert_eq!(pauses.len(), 3, "{seen:#?}");
    assert!(pauses[0].contains("in 0.2 s") && pauses[2].contains("in 0.8 s"), "{pauses:#?}");
    println!("ok boot supervision: three deaths, three restarts");
}

#[test]
fn what_is_wrong_is_told_and_does_not_stop_the_rest() {
    let Some(kernel) = kernel() else { return };
    let mut machine = Machine::new(kernel);
    machine.settings = "hostnam = \"x\"\n".into();
    machine.line = vec![
        "tutti.rescue".into(),
        "tutti.nonsense=1".into(),
        "tutti.state=/dev/nowhere".into(),
        "tutti.ip=none".into(),
    ];
    let mut running = machine.boot();
    let seen = running.until("the node is ready");
    for told in [
        "unknown field `hostnam`",
        "tutti.nonsense",
        "the image has no shell",
        "/dev/nowhere has not appeared within 10 s",
    ] {
        assert!(seen.iter().any(|line| line.contains(told)), "{told:?} was not told: {seen:#?}");
    }
    running.ask("poweroff");
    println!("ok boot faults: told, and the node is ready");
}

#[test]
fn a_wish_for_a_reboot_is_fulfilled() {
    let Some(kernel) = kernel() else { return };
    let mut machine = Machine::new(kernel);
    machine.settings = "[network]\nmode = \"none\"\n[node.environment]\nSTAND_IN = \"reboots\"\n".into();
    machine.line = vec!["noreboot".into()];
    let mut running = machine.boot();
    running.until("the device starts anew");
    assert!(running.ended_within(Duration::from_secs(20)), "it did not end");
    println!("ok boot reboot: the node asked for it");
}
