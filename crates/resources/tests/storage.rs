//! A storage against a model of it, against attackers, full disks and kill -9.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    os::unix::{fs::symlink, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use tutti_model::{Name, ResourceKind, Value};
use tutti_resources::{
    Driver, Storage,
    storage::{MAX_UPLOADS, StorageError, StoragePath, Stored},
};

fn open(folder: &Path, quota: u64) -> Storage {
    Storage::open(Name::new("shelf").unwrap(), folder, quota).unwrap()
}

fn at(path: &str) -> StoragePath {
    StoragePath::new(path).unwrap()
}

fn put(storage: &Storage, path: &str, bytes: &[u8]) -> Result<Stored, StorageError> {
    storage.put(at(path), None, &mut &*bytes)
}

fn get(storage: &Storage, path: &str) -> Result<Vec<u8>, StorageError> {
    let mut file = storage.get(&at(path))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, file.stored.size);
    Ok(bytes)
}

fn names(storage: &Storage) -> Vec<String> {
    let page = storage.list("", None, usize::MAX).unwrap();
    assert_eq!(page.next, None);
    page.files.iter().map(|file| file.path.to_string()).collect()
}

/// Every plain file below the folder, uploads included.
fn on_disk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(on_disk(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn files_are_put_got_listed_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(&folder.path().join("new/folder"), 100);
    assert_eq!(storage.description().kind, ResourceKind::Storage);
    let stored = put(&storage, "holiday/beach.txt", b"sand").unwrap();
    assert_eq!((stored.size, stored.path.as_str()), (4, "holiday/beach.txt"));
    assert!(stored.modified.as_unix_millis() > 1_600_000_000_000);
    assert_eq!(get(&storage, "holiday/beach.txt").unwrap(), b"sand");
    assert_eq!(storage.read(), Ok(Value::Int(4)));
    // Who has it open keeps what was there.
    let mut before = storage.get(&at("holiday/beach.txt")).unwrap();
    put(&storage, "holiday/beach.txt", b"sea and sand").unwrap();
    let mut text = String::new();
    before.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), storage.usage().used), ("sand", 12));

    assert_eq!(put(&storage, "holiday", b"x"), Err(StorageError::IsAFolder(at("holiday"))));
    assert_eq!(put(&storage, "holiday/beach.txt/x", b"x"), Err(StorageError::NotAFolder(at("holiday/beach.txt/x"))));
    assert_eq!(storage.get(&at("holiday")).unwrap_err(), StorageError::IsAFolder(at("holiday")));
    assert_eq!(storage.get(&at("none/x")).unwrap_err(), StorageError::NotFound(at("none/x")));
    assert_eq!(storage.delete(&at("holiday")), Err(StorageError::IsAFolder(at("holiday"))));
    assert_eq!(storage.changes().unwrap().generation(), 2, "only what changed something is told");
    assert_eq!(storage.delete(&at("holiday/beach.txt")).unwrap().size, 12);
    assert_eq!(storage.delete(&at("holiday/beach.txt")), Err(StorageError::NotFound(at("holiday/beach.txt"))));
    assert!(!storage.folder().join("holiday").exists(), "the folder left empty is gone");
    assert_eq!((storage.usage().used, storage.usage().files, storage.usage().arriving), (0, 0, 0));
}

#[test]
fn what_does_not_fit_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), 100);
    put(&storage, "kept", &[1; 60]).unwrap();
    let nothing_left = || {
        assert_eq!(on_disk(folder.path()), [folder.path().join("kept")]);
        assert_eq!((storage.usage().used, storage.usage().arriving), (60, 0));
        assert_eq!(get(&storage, "kept").unwrap(), [1; 60]);
    };
    assert_eq!(put(&storage, "a/b/big", &[2; 41]), Err(StorageError::OverQuota { wanted: 41, free: 40, quota: 100 }));
    nothing_left();
    // Said beforehand, it is refused before a byte is sent.
    assert_eq!(
        storage.begin(at("big"), Some(41)).err(),
        Some(StorageError::OverQuota { wanted: 41, free: 40, quota: 100 })
    );
    assert_eq!(
        storage.begin(at("big"), Some(u64::MAX)).err().map(|e| matches!(e, StorageError::OverQuota { .. })),
        Some(true)
    );
    nothing_left();
    let short = storage.put(at("x"), Some(10), &mut &[0; 9][..]);
    assert_eq!(short, Err(StorageError::WrongLength { declared: 10, came: 9 }));
    let long = storage.put(at("x"), Some(10), &mut &[0; 11][..]);
    assert_eq!(long, Err(StorageError::WrongLength { declared: 10, came: 11 }));
    nothing_left();
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the line is dead"))
        }
    }
    let failed = storage.put(at("kept"), None, &mut (&[7; 30][..]).chain(Fails));
    assert_eq!(failed, Err(StorageError::Sender("the line is dead".into())));
    nothing_left();
    // A failed upload cannot be finished.
    let mut upload = storage.begin(at("x"), Some(1)).unwrap();
    upload.write(&[0; 2]).unwrap_err();
    upload.write(&[0; 1]).unwrap_err();
    upload.finish().unwrap_err();
    nothing_left();
    // Both versions count while a file is replaced.
    assert!(matches!(put(&storage, "kept", &[3; 50]), Err(StorageError::OverQuota { .. })));
    assert!(put(&storage, "kept", &[3; 40]).is_ok());
    assert_eq!(storage.usage().used, 40);
}

#[test]
fn links_and_pipes_are_neither_followed_nor_shown() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), 1000);
    put(&storage, "plain", b"1").unwrap();
    let path = |name: &str| folder.path().join(name);
    symlink(outside.path(), path("out")).unwrap();
    symlink(outside.path().join("secret"), path("link")).unwrap();
    symlink("plain", path("within")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::RWXU).unwrap();
    fs::write(path("bad\nname"), "x").unwrap();
    assert_eq!(names(&storage), ["plain"]);
    for refused in ["link", "within", "pipe"] {
        assert_eq!(storage.get(&at(refused)).unwrap_err(), StorageError::NotAFile(at(refused)));
        assert_eq!(storage.delete(&at(refused)), Err(StorageError::NotAFile(at(refused))));
        assert_eq!(put(&storage, refused, b"x"), Err(StorageError::NotAFile(at(refused))));
    }
    assert!(storage.get(&at("out/secret")).is_err());
    assert!(storage.delete(&at("out/secret")).is_err());
    assert_eq!(put(&storage, "out/new", b"x"), Err(StorageError::NotAFolder(at("out/new"))));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(storage.usage().used, 1);
    drop(storage);
    assert_eq!(open(folder.path(), 1000).usage().used, 1, "nor are they counted");
}

#[test]
fn many_writers_never_pass_the_quota() {
    const QUOTA: u64 = 50_000;
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), QUOTA);
    let start = Barrier::new(8);
    let stored: u64 = thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let (storage, start) = (storage.clone(), &start);
                scope.spawn(move || {
                    start.wait();
                    (0..20u64)
                        .filter_map(|file| put(&storage, &format!("w{writer}/{file}"), &vec![1; 701]).ok())
                        .inspect(|_| assert!(storage.usage().used + storage.usage().arriving <= QUOTA + 8 * 701))
                        .map(|stored| stored.size)
                        .sum::<u64>()
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    // All of it that fits, and not one file more: 71 times 701.
    assert_eq!((stored, storage.usage().used, storage.usage().arriving), (49_771, 49_771, 0));
    assert_eq!(storage.usage().files, 71);
    let sizes: u64 = on_disk(folder.path()).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert_eq!(sizes, 49_771);
}

#[test]
fn uploads_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), 1000);
    let uploads: Vec<_> = (0..MAX_UPLOADS).map(|i| storage.begin(at(&format!("f{i}")), None).unwrap()).collect();
    assert_eq!(storage.begin(at("more"), None).err(), Some(StorageError::TooManyUploads));
    drop(uploads);
    assert!(put(&storage, "more", b"x").is_ok());
    assert_eq!(on_disk(folder.path()).len(), 1);
}

#[test]
fn a_folder_has_one_owner_and_keeps_what_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), 100);
    let second = Storage::open(Name::new("other").unwrap(), folder.path(), 100);
    assert!(matches!(second, Err(StorageError::InUse(_))));
    put(&storage, "a/b", b"12345").unwrap();
    drop(storage);
    fs::write(folder.path().join(".tutti-incoming/9"), "left by a crash").unwrap();
    fs::write(folder.path().join("a/by-hand"), "123").unwrap();
    let storage = open(folder.path(), 7);
    assert_eq!((storage.usage().used, storage.usage().files), (8, 2));
    assert_eq!(on_disk(folder.path()).len(), 2, "the leftover is gone");
    // A smaller quota than what is stored: nothing new fits, and deleting helps.
    assert!(matches!(put(&storage, "c", b"1"), Err(StorageError::OverQuota { free: 0, .. })));
    storage.delete(&at("a/b")).unwrap();
    assert!(put(&storage, "c", b"1").is_ok());
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    // A small filesystem of its own needs root; everybody else skips this.
    let folder = tempfile::tempdir().unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(folder.path())
        .stderr(Stdio::null())
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        #[allow(clippy::print_stderr, reason = "whoever reads the log should know")]
        {
            eprintln!("skipped: mounting a small filesystem needs root");
        }
        return;
    }
    struct Mounted<'a>(&'a Path);
    impl Drop for Mounted<'_> {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(self.0).status();
        }
    }
    let _mounted = Mounted(folder.path());
    let storage = open(&folder.path().join("in"), 1 << 30);
    put(&storage, "kept", &[1; 20_000]).unwrap();
    assert_eq!(put(&storage, "big", &[1; 100_000]), Err(StorageError::DiskFull));
    assert_eq!(names(&storage), ["kept"]);
    assert_eq!((storage.usage().used, storage.usage().arriving), (20_000, 0));
    assert_eq!(put(&storage, "fits", &[1; 20_000]).map(|stored| stored.size), Ok(20_000));
}

#[test]
fn listings_come_in_pages_in_byte_order() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), 1000);
    // '-' and '.' sort before '/', '0' after it.
    let mut all = ["a", "a-b/x", "a.txt", "b/c/d", "b/c.txt", "b0", "z/y"];
    for path in all.iter().filter(|path| **path != "a") {
        put(&storage, path, b"1").unwrap();
    }
    put(&storage, "a", b"1").unwrap();
    all.sort_unstable();
    assert_eq!(names(&storage), all);
    for limit in 1..8 {
        let (mut seen, mut after) = (Vec::new(), None::<StoragePath>);
        loop {
            let page = storage.list("", after.as_ref().map(StoragePath::as_str), limit).unwrap();
            assert!(page.files.len() <= limit);
            seen.extend(page.files.iter().map(|file| file.path.to_string()));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, all, "in pages of {limit}");
    }
    let below = |prefix: &str| -> Vec<String> {
        storage.list(prefix, None, 100).unwrap().files.iter().map(|file| file.path.to_string()).collect()
    };
    assert_eq!(below("b/c"), ["b/c.txt", "b/c/d"]);
    assert_eq!(below("b/"), ["b/c.txt", "b/c/d"]);
    assert_eq!(below("../"), Vec::<String>::new());
}

#[derive(Clone, Debug)]
enum Step {
    Put(String, Option<i8>, usize),
    Delete(String),
    Get(String),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let path = "[ab](/[ab]){0,2}";
    prop_oneof![
        5 => (path, prop::option::of(-1i8..=1), 0usize..400).prop_map(|(path, off, len)| Step::Put(path, off, len)),
        2 => path.prop_map(Step::Delete),
        2 => path.prop_map(Step::Get),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_storage_is_what_its_model_is(steps in prop::collection::vec(step(), 1..40)) {
        const QUOTA: u64 = 1000;
        let folder = tempfile::tempdir().unwrap();
        let mut storage = open(folder.path(), QUOTA);
        let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (number, step) in steps.into_iter().enumerate() {
            let used: u64 = model.values().map(|bytes| bytes.len() as u64).sum();
            match step {
                Step::Put(path, off, len) => {
                    let bytes = vec![number as u8; len];
                    // The length as it is said beforehand, sometimes wrong by one.
                    let said = off.map(|off| (len as u64).saturating_add_signed(off.into()));
                    let got = storage.put(at(&path), said, &mut &*bytes);
                    let below = format!("{path}/");
                    let is_folder = model.keys().any(|other| other.starts_with(&below));
                    let has_file_above = model.keys().any(|other| path.starts_with(&format!("{other}/")));
                    let wanted = said.unwrap_or(0).max(len as u64);
                    let fits = used + wanted <= QUOTA;
                    let right = said.is_none_or(|said| said == len as u64);
                    prop_assert_eq!(got.is_ok(), fits && right && !is_folder && !has_file_above, "{:?}", got);
                    if got.is_ok() {
                        model.insert(path, bytes);
                    }
                }
                Step::Delete(path) => {
                    let gone = storage.delete(&at(&path)).map(|gone| gone.size).ok();
                    prop_assert_eq!(gone, model.remove(&path).map(|bytes| bytes.len() as u64));
                }
                Step::Get(path) => prop_assert_eq!(get(&storage, &path).ok(), model.get(&path).cloned()),
                Step::Reopen => {
                    drop(storage);
                    storage = open(folder.path(), QUOTA);
                }
            }
            let usage = storage.usage();
            prop_assert_eq!(usage.used, model.values().map(|bytes| bytes.len() as u64).sum::<u64>());
            prop_assert_eq!((usage.arriving, usage.files), (0, model.len() as u64));
            prop_assert_eq!(names(&storage), model.keys().cloned().collect::<Vec<_>>());
            prop_assert_eq!(on_disk(folder.path()).len(), model.len());
        }
    }
}

const CHILD: &str = "TUTTI_TEST_STORAGE_CHILD";

/// Not a test of its own: the process that is killed by the one below.
#[test]
fn child_that_is_killed() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let storage = open(Path::new(&folder), 1 << 30);
    for number in 0u64.. {
        let path = format!("f{}", number % 5);
        // Whatever is whole says in every byte how long it is.
        let len = 1 + number % 200;
        put(&storage, &path, &vec![len as u8; len as usize * 1000]).unwrap();
    }
}

#[test]
fn what_is_stored_survives_kill_9() {
    let spawn = |folder: &Path| -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["child_that_is_killed", "--exact", "--nocapture"])
            .env(CHILD, folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    // How long it takes here to get as far as storing something; on an emulated machine that may be seconds.
    let (elsewhere, begun) = (tempfile::tempdir().unwrap(), Instant::now());
    let mut child = spawn(elsewhere.path());
    while !elsewhere.path().join("f4").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the child stores nothing");
        thread::sleep(Duration::from_millis(1));
    }
    let start = begun.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();

    let folder = tempfile::tempdir().unwrap();
    let mut whole = 0;
    for round in 0..12 {
        let mut child = spawn(folder.path());
        thread::sleep(start.mul_f64(0.6 + 0.13 * f64::from(round)));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9), "the child ended by itself");
        let storage = open(folder.path(), 1 << 30);
        let mut sum = 0;
        for name in names(&storage) {
            let bytes = get(&storage, &name).unwrap();
            let len = usize::from(bytes[0]);
            assert!(bytes.len() == len * 1000 && bytes.iter().all(|byte| usize::from(*byte) == len), "{name} is torn");
            sum += bytes.len() as u64;
            whole += 1;
        }
        assert_eq!(storage.usage().used, sum);
        assert_eq!(on_disk(folder.path()).len(), names(&storage).len(), "nothing of an upload is left");
    }
    assert!(whole > 12, "the child stored too little to tell: {whole}");
}
