use std::{
    fs,
    io::{self, BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use redb::{BackendError, Builder, Database, DatabaseError, StorageBackend, backends::FileBackend};
use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A child that another test of this process starts has the lock too, from its fork to its exec.
fn open_again(path: &Path) -> State {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        match State::open(path, Reset::Never) {
            Err(OpenError::Locked { .. }) if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
            opened => return opened.unwrap(),
        }
    }
}

#[test]
fn what_was_saved_is_there_after_opening_again() {
    let dir = folder();
    let path = dir.path().join("a/b");
    let state = State::open(&path, Reset::Never).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    state.save(Table::Fabric, "group", b"one").unwrap();
    state.save(Table::Pool, "group", b"two").unwrap();
    state.save(Table::Fabric, "gone", b"three").unwrap();
    state.remove(Table::Fabric, "gone").unwrap();
    state.close();
    assert_eq!(state.save(Table::Fabric, "group", b"late"), Err(SaveError::Closed));
    drop(state);
    assert_eq!(fs::metadata(path.join("state.redb")).unwrap().permissions().mode() & 0o777, 0o600);
    let state = open_again(&path);
    assert_eq!(state.load(Table::Fabric, "group").unwrap().as_deref(), Some(&b"one"[..]));
    assert_eq!(state.load(Table::Pool, "group").unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(state.load(Table::Fabric, "gone").unwrap(), None);
}

#[test]
fn saves_from_many_threads_all_arrive() {
    let dir = folder();
    let state = State::open(dir.path(), Reset::Never).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            let state = &state;
            scope.spawn(move || {
                for n in 0..20u8 {
                    state.save(Table::Pool, &format!("{thread}"), &[n]).unwrap();
                }
            });
        }
    });
    for thread in 0..8u8 {
        assert_eq!(state.load(Table::Pool, &format!("{thread}")).unwrap(), Some(vec![19]));
    }
}

#[test]
fn a_second_process_is_told_of_the_first() {
    let dir = folder();
    let state = State::open(dir.path(), Reset::Never).unwrap();
    let refused = State::open(dir.path(), Reset::IfDamaged).err().unwrap();
    let pid = std::process::id();
    assert_eq!(refused, OpenError::Locked { folder: dir.path().into(), pid: Some(pid) });
    assert!(refused.to_string().contains(&pid.to_string()));
    drop(state);
    State::open(dir.path(), Reset::Never).unwrap();
}

/// Everything in a folder, to show that nothing was touched.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != "lock")
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn a_newer_folder_is_refused_untouched() {
    let dir = folder();
    State::open(dir.path(), Reset::Never).unwrap().save(Table::Settings, "name", b"kitchen").unwrap();
    fs::write(dir.path().join("format"), "2\n").unwrap();
    let before = contents(dir.path());
    for reset in [Reset::Never, Reset::IfDamaged] {
        let refused = State::open(dir.path(), reset).err().unwrap();
        assert_eq!(refused, OpenError::Newer { folder: dir.path().into(), found: 2 });
    }
    assert_eq!(contents(dir.path()), before);
}

#[test]
fn a_damaged_database_is_refused_and_moved_aside_only_when_asked() {
    type Damage = (&'static str, fn(&mut Vec<u8>));
    let damages: [Damage; 5] = [
        ("not a database", |bytes| *bytes = b"hello, this is not a database at all".repeat(400)),
        ("empty", Vec::clear),
        ("cut off", |bytes| bytes.truncate(5000)),
        ("magic", |bytes| bytes[0] ^= 0xff),
        ("a page", |bytes| bytes.iter_mut().skip(4096).for_each(|byte| *byte ^= 0x5a)),
    ];
    for (what, damage) in damages {
        let dir = folder();
        let file = dir.path().join("state.redb");
        State::open(dir.path(), Reset::Never).unwrap().save(Table::Settings, "name", b"kitchen").unwrap();
        let mut bytes = fs::read(&file).unwrap();
        damage(&mut bytes);
        fs::write(&file, &bytes).unwrap();
        let refused = State::open(dir.path(), Reset::Never).err().unwrap_or_else(|| panic!("{what}: accepted"));
        assert!(matches!(refused, OpenError::Corrupt { .. }), "{what}: {refused:?}");
        assert!(refused.hint().contains("--reset-corrupt"));
        assert!(fs::read(&file).unwrap() == bytes, "{what}: the refusal changed the file");
        let state = State::open(dir.path(), Reset::IfDamaged).unwrap();
        assert_eq!(state.load(Table::Settings, "name").unwrap(), None);
        state.save(Table::Settings, "name", b"attic").unwrap();
        let aside = fs::read(dir.path().join("state.redb.aside-1")).unwrap();
        assert!(aside == bytes, "{what}: not kept as it was");
    }
}

#[test]
fn beginning_anew_keeps_what_was_there_aside() {
    let dir = folder();
    let state = State::open(dir.path(), Reset::Never).unwrap();
    state.save(Table::Fabric, "group", b"old").unwrap();
    state.begin_anew().unwrap();
    assert_eq!(state.load(Table::Fabric, "group").unwrap(), None);
    state.save(Table::Fabric, "group", b"new").unwrap();
    drop(state);
    fs::copy(dir.path().join("state.redb.aside-1"), dir.path().join("state.redb")).unwrap();
    let state = State::open(dir.path(), Reset::Never).unwrap();
    assert_eq!(state.load(Table::Fabric, "group").unwrap().as_deref(), Some(&b"old"[..]));
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_that_names_it() {
    let dir = folder();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = State::open(&file.join("state"), Reset::Never).err().unwrap();
    assert!(matches!(&refused, OpenError::Io { .. }), "{refused:?}");
    assert!(refused.to_string().contains("file/state"), "{refused}");
}

#[test]
fn an_interrupted_creation_begins_again() {
    let dir = folder();
    fs::write(dir.path().join("state.redb.new"), b"half").unwrap();
    fs::write(dir.path().join("format.new"), b"").unwrap();
    State::open(dir.path(), Reset::Never).unwrap().save(Table::Pool, "a", b"b").unwrap();
}

/// A disk that has room for so many bytes of each file.
struct SmallDisk(Arc<AtomicU64>);

#[derive(Debug)]
struct SmallFile {
    file: FileBackend,
    room: Arc<AtomicU64>,
}

impl Medium for SmallDisk {
    fn open(&self, builder: &Builder, path: &Path, create: bool) -> Result<Database, DatabaseError> {
        let file = database::open_file(path, create)?;
        builder.create_with_backend(SmallFile { file, room: self.0.clone() })
    }
}

impl SmallFile {
    fn fits(&self, end: u64) -> io::Result<()> {
        if end <= self.room.load(Ordering::SeqCst) { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }
}

impl StorageBackend for SmallFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        // Like a real file: growing costs nothing until it is written to.
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.fits(offset + data.len() as u64)?;
        self.file.write(offset, data)
    }
    fn try_lock_range(&self, a: std::ops::Bound<u64>, b: std::ops::Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(a, b)
    }
    fn unlock_range(&self, a: std::ops::Bound<u64>, b: std::ops::Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(a, b)
    }
    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

#[test]
fn a_full_disk_fails_what_does_not_fit_and_loses_nothing() {
    let dir = folder();
    let room = Arc::new(AtomicU64::new(u64::MAX));
    let state = State::open_on(dir.path(), Reset::Never, Box::new(SmallDisk(room.clone()))).unwrap();
    state.save(Table::Fabric, "group", b"precious").unwrap();
    let size = fs::metadata(dir.path().join("state.redb")).unwrap().len();
    room.store(size, Ordering::SeqCst);
    let big = vec![7; 3 << 20];
    for _ in 0..3 {
        assert_eq!(state.save(Table::Pool, "big", &big), Err(SaveError::Full));
        assert_eq!(state.load(Table::Fabric, "group").unwrap().as_deref(), Some(&b"precious"[..]));
        assert_eq!(state.load(Table::Pool, "big").unwrap(), None);
    }
    room.store(0, Ordering::SeqCst);
    assert_eq!(state.save(Table::Fabric, "small", b"no room at all"), Err(SaveError::Full));
    room.store(u64::MAX, Ordering::SeqCst);
    state.save(Table::Fabric, "small", b"fits").unwrap();
    state.save(Table::Pool, "big", &big).unwrap();
    drop(state);
    let state = State::open(dir.path(), Reset::Never).unwrap();
    assert!(state.load(Table::Pool, "big").unwrap() == Some(big));
    assert_eq!(state.load(Table::Fabric, "small").unwrap().as_deref(), Some(&b"fits"[..]));
}

const KILLED_FOLDER: &str = "TUTTI_TEST_KILLED_FOLDER";
const WRITERS: u64 = 3;

/// Not a test by itself: the process that [`kill_at_any_moment`] kills. Says each number after it was saved.
#[test]
#[ignore = "run by kill_at_any_moment in a process of its own"]
fn write_until_killed() {
    let Ok(folder) = std::env::var(KILLED_FOLDER) else { return };
    let state = State::open(Path::new(&folder), Reset::Never).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let state = &state;
            scope.spawn(move || {
                let key = format!("writer-{writer}");
                let read = |bytes: Vec<u8>| u64::from_le_bytes(bytes[..8].try_into().unwrap());
                let mut n = state.load(Table::Pool, &key).unwrap().map_or(0, read);
                loop {
                    n += 1;
                    // Of changing size, so that pages are split and freed.
                    let mut bytes = n.to_le_bytes().to_vec();
                    bytes.resize(8 + (n as usize * 97) % 9000, n as u8);
                    state.save(Table::Pool, &key, &bytes).unwrap();
                    write_line(&format!("saved {writer} {n}\n"));
                }
            });
        }
    });
}

/// Past the test harness, which would keep what is printed to itself.
fn write_line(line: &str) {
    rustix::io::write(io::stdout(), line.as_bytes()).unwrap();
}

#[test]
fn kill_at_any_moment() {
    let rounds = std::env::var("TUTTI_KILL_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20u64);
    let writer = |folder: &Path| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "state::tests::write_until_killed", "--ignored", "--nocapture"])
            .env(KILLED_FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    // How long it takes here to get as far as saving something; on an emulated machine that may be seconds.
    let (elsewhere, begun) = (folder(), Instant::now());
    let mut child = writer(elsewhere.path());
    let saves = |line: io::Result<String>| line.unwrap().starts_with("saved ");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(saves));
    let longest = 2 * begun.elapsed() + Duration::from_millis(200);
    child.kill().unwrap();
    child.wait().unwrap();

    let dir = folder();
    let mut acknowledged = [0; WRITERS as usize];
    for seed in 0..rounds {
        let mut child = writer(dir.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let delay = longest.mul_f64(SmallRng::seed_from_u64(seed).random_range(0.0..1.0));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(delay);
            child.kill().unwrap();
            child.wait().unwrap();
        });
        for line in lines.map_while(Result::ok) {
            let Some(numbers) = line.strip_prefix("saved ") else { continue };
            let (writer, n) = numbers.split_once(' ').unwrap();
            acknowledged[writer.parse::<usize>().unwrap()] = n.parse::<u64>().unwrap();
        }
        killer.join().unwrap();
        let state = State::open(dir.path(), Reset::Never).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        for (writer, said) in acknowledged.iter_mut().enumerate() {
            let bytes = state.load(Table::Pool, &format!("writer-{writer}")).unwrap().unwrap_or(vec![0; 8]);
            let found = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            assert!((*said..=*said + 1).contains(&found), "seed {seed}: said {said}, found {found}");
            assert!(bytes[8..].iter().all(|byte| *byte == found as u8), "seed {seed}: torn");
            // What was on disk without having been acknowledged counts from here on.
            *said = found;
        }
    }
    assert!(acknowledged.iter().all(|n| *n > 0), "nothing was ever saved: {acknowledged:?}");
}
