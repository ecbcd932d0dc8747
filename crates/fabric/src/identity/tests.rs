//! On real files, with real processes.

use std::{
    collections::BTreeSet,
    os::unix::fs::{chown, symlink},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::*;

const SECRET: [u8; 32] = [7; 32];

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    (folder, path)
}

fn with_file(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let (folder, path) = place();
    write_new(&path, text).unwrap();
    (folder, path)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn golden_file() {
    let text = render(&SECRET);
    insta::assert_snapshot!(str::from_utf8(&text).unwrap(), @r"
    tutti device key 1
    0707070707070707070707070707070707070707070707070707070707070707
    532817b53cd0deb8
    ");
    assert_eq!(parse(&text).unwrap().to_bytes(), SECRET);
}

#[test]
fn a_key_is_created_once_and_stays() {
    let (folder, path) = place();
    assert!(load(&path).unwrap().is_none());
    let key = load_or_create(&path, &mut rand::rng()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(names(folder.path()), ["key"]);
    assert_eq!(load_or_create(&path, &mut rand::rng()).unwrap().to_bytes(), key.to_bytes());
    assert_eq!(load(&path).unwrap().unwrap().to_bytes(), key.to_bytes());
    let (_other, elsewhere) = place();
    assert_ne!(load_or_create(&elsewhere, &mut rand::rng()).unwrap().to_bytes(), key.to_bytes());
}

#[test]
fn rights_of_others_are_refused_one_by_one() {
    for mode in [0o601, 0o602, 0o604, 0o610, 0o620, 0o640, 0o644, 0o666, 0o777] {
        let (_folder, path) = with_file(&render(&SECRET));
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let refused = load_or_create(&path, &mut rand::rng()).unwrap_err();
        assert!(matches!(refused, IdentityError::Exposed { mode: found, .. } if found == mode), "{mode:o}: {refused}");
        assert!(refused.to_string().contains("chmod 600"), "{refused}");
    }
    for mode in [0o600, 0o400, 0o700] {
        let (_folder, path) = with_file(&render(&SECRET));
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(load(&path).unwrap().is_some(), "{mode:o}");
    }
}

#[test]
fn a_folder_open_to_all_is_refused() {
    let (folder, path) = with_file(&render(&SECRET));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(load(&path), Err(IdentityError::FolderExposed { mode: 0o777, .. })));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    assert!(load(&path).unwrap().is_some());
}

#[test]
fn the_file_of_another_user_is_refused() {
    if rustix::process::geteuid().is_root() {
        let (_folder, path) = with_file(&render(&SECRET));
        chown(&path, Some(12345), None).unwrap();
        let refused = load(&path).unwrap_err();
        assert!(matches!(refused, IdentityError::NotOurs { owner: 12345, user: 0, .. }), "{refused}");
    } else {
        // Who is not root cannot give a file away, but there is one that belongs to root.
        let refused = load(Path::new("/etc/passwd")).unwrap_err();
        assert!(matches!(refused, IdentityError::NotOurs { owner: 0, .. }), "{refused}");
    }
}

#[test]
fn only_a_plain_file_is_read() {
    let (_elsewhere, target) = with_file(&render(&SECRET));
    let (_folder, path) = place();
    symlink(&target, &path).unwrap();
    assert!(matches!(load_or_create(&path, &mut rand::rng()), Err(IdentityError::NotAFile { .. })));

    let (folder, path) = place();
    symlink(folder.path().join("nowhere"), &path).unwrap();
    assert!(matches!(load_or_create(&path, &mut rand::rng()), Err(IdentityError::NotAFile { .. })));
    assert_eq!(names(folder.path()), ["key"], "nothing was created through the link");

    let (_folder, path) = place();
    fs::create_dir(&path).unwrap();
    assert!(matches!(load_or_create(&path, &mut rand::rng()), Err(IdentityError::NotAFile { .. })));

    let (_folder, path) = place();
    rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert!(matches!(load_or_create(&path, &mut rand::rng()), Err(IdentityError::NotAFile { .. })));
}

#[test]
fn damage_is_told_from_a_newer_version_and_neither_is_overwritten() {
    let good = render(&SECRET);
    let good = str::from_utf8(&good).unwrap();
    let newer = good.replace("key 1", "key 2");
    for (text, why) in [
        ("", "it is empty"),
        ("tutti device key 1", "it is cut off"),
        (&good[..40], "it is cut off"),
        (&good[..good.len() - 1], "it is cut off"),
        ("something else\n", "it does not begin like a device key"),
        (&good.replace("key 1", "key 0"), "it has an impossible version"),
        (&good.replacen("0707", "0708", 1), "the checksum does not match"),
        (&format!("{good}more\n"), "the checksum does not match"),
    ] {
        let (folder, path) = with_file(text.as_bytes());
        let refused = load_or_create(&path, &mut rand::rng()).unwrap_err();
        assert!(matches!(refused, IdentityError::Corrupt { why: found, .. } if found == why), "{text:?}: {refused}");
        assert_eq!(fs::read(&path).unwrap(), text.as_bytes());
        assert_eq!(names(folder.path()), ["key"]);
    }
    let (_folder, path) = with_file(newer.as_bytes());
    let refused = load_or_create(&path, &mut rand::rng()).unwrap_err();
    assert!(matches!(refused, IdentityError::Newer { version: 2, .. }), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), newer.as_bytes());
    let (_folder, path) = with_file(&vec![b'x'; 1 << 20]);
    assert!(matches!(load(&path), Err(IdentityError::Corrupt { .. })));
}

#[test]
fn a_damaged_key_is_moved_aside_and_kept() {
    let (folder, path) = with_file(b"one");
    assert_eq!(set_aside(&path).unwrap(), folder.path().join("key.aside-1"));
    write_new(&path, b"two").unwrap();
    assert_eq!(set_aside(&path).unwrap(), folder.path().join("key.aside-2"));
    assert_eq!(fs::read(folder.path().join("key.aside-1")).unwrap(), b"one");
    load_or_create(&path, &mut rand::rng()).unwrap();
    assert!(set_aside(&folder.path().join("missing")).is_err());
}

#[test]
fn a_missing_folder_is_named() {
    let (folder, _) = place();
    let refused = load_or_create(&folder.path().join("missing/key"), &mut rand::rng()).unwrap_err();
    assert!(refused.to_string().contains("missing"), "{refused}");
}

proptest! {
    #[test]
    fn every_change_of_one_byte_is_noticed(at in 0usize..101, to in any::<u8>()) {
        let mut text = render(&SECRET).to_vec();
        prop_assume!(text[at] != to);
        text[at] = to;
        prop_assert!(parse(&text).is_err());
    }

    #[test]
    fn every_secret_survives(secret in any::<[u8; 32]>()) {
        prop_assert_eq!(parse(&render(&secret)).unwrap().to_bytes(), secret);
    }

    #[test]
    fn no_input_panics(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&text);
    }
}

/// This test's own program, run once more to create the key in `path`.
fn child(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "identity::tests::child_that_creates_a_key", "--nocapture"])
        .env("TUTTI_TEST_KEY", path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn child_that_creates_a_key() {
    let Some(path) = std::env::var_os("TUTTI_TEST_KEY") else { return };
    let key = load_or_create(Path::new(&path), &mut rand::rng()).unwrap();
    // The test harness writes to the same stream, so the line is marked.
    io::stdout().write_all(format!("\nid {}\n", device_id(&key)).as_bytes()).unwrap();
}

#[test]
fn racing_processes_agree_on_one_key() {
    for _ in 0..4 {
        let (folder, path) = place();
        let children: Vec<_> = (0..4).map(|_| child(&path)).collect();
        let ids: BTreeSet<String> = children
            .into_iter()
            .map(|child| {
                let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
                said.lines().find(|line| line.starts_with("id ")).unwrap_or_else(|| panic!("{said}")).to_owned()
            })
            .collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        load_or_create(&path, &mut rand::rng()).unwrap();
        assert_eq!(names(folder.path()), ["key"]);
    }
}

#[test]
fn kill_at_any_moment_leaves_no_key_or_a_whole_one() {
    let (folder, path) = place();
    let started = Instant::now();
    child(&path).wait().unwrap();
    let whole_run = started.elapsed();
    let (mut none, mut some) = (0, 0);
    for round in 0..30u32 {
        let (folder, path) = place();
        let mut child = child(&path);
        std::thread::sleep(whole_run * round / 30);
        child.kill().unwrap();
        child.wait().unwrap();
        match load(&path).unwrap() {
            None => none += 1,
            Some(_) => some += 1,
        }
        load_or_create(&path, &mut rand::rng()).unwrap();
        assert_eq!(names(folder.path()), ["key"], "round {round}");
    }
    assert_eq!(none + some, 30);
    assert!(none > 0, "no child was killed before it created the key");
    drop(folder);
}

#[test]
fn leftovers_of_a_crash_are_removed_and_other_files_are_not() {
    let (folder, path) = place();
    write_new(&folder.path().join(".key.new-0011223344556677"), b"half").unwrap();
    write_new(&folder.path().join(".other"), b"mine").unwrap();
    load_or_create(&path, &mut rand::rng()).unwrap();
    assert_eq!(names(folder.path()), [".other", "key"]);
}

#[test]
fn a_slow_start_is_bounded() {
    // The longest way through: a name that cannot be created at all.
    let started = Instant::now();
    assert!(load_or_create(Path::new("/proc/tutti-key"), &mut rand::rng()).is_err());
    assert!(started.elapsed() < Duration::from_secs(1));
}
