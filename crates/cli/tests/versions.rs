//! Devices of other versions: one that speaks only the version before this one is a member like any other; one that is
//! too new for this one is told so, and the person with it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test measured is for whoever runs it")]

mod support;

use std::time::Duration;

use support::device::{Device, Plan, eventually};

const S: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn a_device_of_the_version_before_pairs_and_shares() {
    let folder = tempfile::tempdir().unwrap();
    let old = Plan::new(folder.path(), "old").with(["--speak-version", "1"]).start();
    let new = Plan::new(folder.path(), "new").start();
    let third = Plan::new(folder.path(), "third").start();
    // It joins, and it lets others in.
    old.join(&new);
    third.join(&new);
    let devices = [&old, &new, &third];
    let all_see_all = || {
        devices.iter().all(|device| {
            let others: Vec<_> = devices.iter().map(|other| other.name.as_str()).collect();
            others.iter().filter(|other| **other != device.name).all(|other| device.sees(&[other]))
        })
    };
    eventually(S(5), "all see each other", all_see_all);
    for device in devices {
        for other in devices {
            eventually(S(5), &format!("{} reads {}", device.name, other.name), || {
                device.reading(&format!("{}/room-temperature", other.name)).is_ok_and(|degrees| degrees > 10.0)
            });
        }
    }
    old.must(&["set", "new/lamp", "40"]);
    new.must(&["set", "old/lamp", "60"]);
    assert_eq!(old.reading("new/lamp"), Ok(40.0));
    assert_eq!(new.reading("old/lamp"), Ok(60.0));
    // What changes later gets through in the old way too, both ways.
    new.must(&["rename", "newer"]);
    old.must(&["rename", "older"]);
    eventually(S(3), "the new names are known", || old.sees(&["newer", "third"]) && new.sees(&["older", "third"]));
}

#[test]
fn a_device_that_is_too_new_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let future = Plan::new(folder.path(), "future").with(["--speak-version", "3"]).start();
    let now = Plan::new(folder.path(), "now").start();
    future.join(&now);
    let says = |device: &Device, other: &str, words: &str| {
        eventually(S(10), &format!("{} says {words:?} of {other}", device.name), || {
            let why = device.view_of(other).map(|other| other["last_error"].to_string()).unwrap_or_default();
            why.contains(words)
        });
        assert!(device.reading(&format!("{other}/room-temperature")).is_err());
    };
    let why =
        |theirs: &str, ours: &str| format!("no protocol version in common: it speaks {theirs}, this device {ours}");
    says(&now, "future", &why("3", "1 to 2"));
    says(&future, "now", &why("1 to 2", "3"));
    // An update, and they get along.
    future.stop();
    let future = Plan::new(folder.path(), "future").start();
    eventually(S(5), "they see each other", || future.sees(&["now"]) && now.sees(&["future"]));
    assert!(now.view_of("future").is_some_and(|future| future["last_error"].is_null()));
}
