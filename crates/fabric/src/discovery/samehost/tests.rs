//! In real folders, with real processes.

use std::{os::unix::fs::PermissionsExt, process::Command, time::Instant};

use super::*;
use crate::discovery;

fn id(seed: u8) -> DeviceId {
    DeviceId::from_bytes([seed; 32])
}

fn registration(seed: u8) -> Registration {
    Registration {
        id: id(seed).to_string(),
        name: format!("device-{seed}"),
        pid: std::process::id(),
        state_dir: "/nonexistent".into(),
        socket: "/run/tutti/x.sock".into(),
        addrs: vec![([127, 0, 0, 1], 4000 + u16::from(seed)).into()],
        pairing_open: false,
    }
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("tutti");
    (outer, path)
}

async fn next(events: &mut mpsc::Receiver<DiscoveryEvent>) -> DiscoveryEvent {
    time::timeout(Duration::from_secs(5), events.recv()).await.expect("nothing happened").unwrap()
}

#[test]
fn golden_file() {
    let registration = Registration { pid: 42, ..registration(1) };
    let text = serde_json::to_string(&registration).unwrap();
    let expected = format!(
        r#"{{"id":"{}","name":"device-1","pid":42,"state_dir":"/nonexistent","socket":"/run/tutti/x.sock","addrs":["127.0.0.1:4001"],"pairing_open":false}}"#,
        "01".repeat(32)
    );
    assert_eq!(text, expected);
    assert_eq!(serde_json::from_str::<Registration>(&text).unwrap(), registration);
}

#[tokio::test]
async fn two_devices_see_each_other_change_and_go() {
    let (_outer, folder) = folder();
    let (sender_a, mut seen_by_a) = discovery::channel();
    let (sender_b, mut seen_by_b) = discovery::channel();
    let a = SameHost::start(folder.clone(), registration(1), sender_a).await.unwrap();
    let started = Instant::now();
    let b = SameHost::start(folder.clone(), registration(2), sender_b).await.unwrap();
    let DiscoveryEvent::Found(nearby) = next(&mut seen_by_b).await else { panic!() };
    assert_eq!((nearby.device, nearby.source), (id(1), Source::SameHost));
    assert_eq!((nearby.name.as_str(), nearby.addrs), ("device-1", registration(1).addrs));
    assert!(matches!(next(&mut seen_by_a).await, DiscoveryEvent::Found(nearby) if nearby.device == id(2)));
    assert!(started.elapsed() < Duration::from_millis(1500));

    a.update(|registration| {
        registration.id = "nonsense".into();
        registration.pairing_open = true;
    });
    let DiscoveryEvent::Found(nearby) = next(&mut seen_by_b).await else { panic!() };
    assert!(nearby.pairing_open && nearby.device == id(1));
    let mode = fs::metadata(file_of(&folder, &id(1).to_string())).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, 0o700);

    let started = Instant::now();
    a.shutdown().await;
    assert!(started.elapsed() < SHUTDOWN * 2);
    assert_eq!(next(&mut seen_by_b).await, DiscoveryEvent::Lost { device: id(1), source: Source::SameHost });
    b.shutdown().await;
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[tokio::test]
async fn a_file_that_was_removed_comes_back() {
    let (_outer, folder) = folder();
    let (sender, _events) = discovery::channel();
    let a = SameHost::start(folder.clone(), registration(1), sender).await.unwrap();
    let file = file_of(&folder, &id(1).to_string());
    time::sleep(Duration::from_millis(100)).await;
    fs::remove_file(&file).unwrap();
    time::sleep(INTERVAL + Duration::from_millis(300)).await;
    assert!(file.exists());
    a.shutdown().await;
}

#[test]
fn folders_of_others_and_open_ones_are_refused() {
    let (outer, path) = folder();
    prepare_folder(&path).unwrap();
    prepare_folder(&path).unwrap();
    for mode in [0o710, 0o701, 0o755, 0o777, 0o1777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(prepare_folder(&path), Err(SameHostError::Exposed { mode: found, .. }) if found == mode));
    }
    let link = outer.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(prepare_folder(&link), Err(SameHostError::NotAFolder { .. })));
    let file = outer.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(prepare_folder(&file), Err(SameHostError::NotAFolder { .. })));
    assert!(matches!(prepare_folder(&outer.path().join("no/where")), Err(SameHostError::Io { .. })));
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
        assert!(matches!(prepare_folder(&path), Err(SameHostError::NotOurs { owner: 12345, .. })));
    } else {
        assert!(matches!(prepare_folder(Path::new("/usr")), Err(SameHostError::NotOurs { owner: 0, .. })));
    }
}

/// The number of a process that has ended.
fn dead_pid() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

fn put(folder: &Path, seed: u8, text: &[u8]) {
    fs::write(file_of(folder, &id(seed).to_string()), text).unwrap();
}

#[test]
fn the_dead_are_ignored_and_cleared_away_after_a_while() {
    let (_outer, folder) = folder();
    prepare_folder(&folder).unwrap();
    let dead = Registration { pid: dead_pid(), ..registration(2) };
    put(&folder, 2, &serde_json::to_vec(&dead).unwrap());
    put(&folder, 3, &serde_json::to_vec(&registration(3)).unwrap());
    let mut watcher = Watcher::new(&id(1).to_string());
    for look in 0..LOOKS_BEFORE_REMOVAL {
        assert!(file_of(&folder, &id(2).to_string()).exists(), "{look}");
        watcher.look(&folder);
    }
    assert!(!file_of(&folder, &id(2).to_string()).exists());
    assert_eq!((watcher.table.keys_of(id(2)).count(), watcher.table.keys_of(id(3)).count()), (0, 1));
}

#[test]
fn a_process_without_the_lock_is_somebody_else() {
    let (outer, _) = folder();
    let lock = fs::File::create(outer.path().join("lock")).unwrap();
    let said = Registration { state_dir: outer.path().into(), ..registration(2) };
    assert!(!is_running(&said));
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert!(is_running(&said));
    assert!(!is_running(&Registration { pid: dead_pid(), ..said.clone() }));
    assert!(!is_running(&Registration { pid: 0, ..said.clone() }));
    assert!(!is_running(&Registration { pid: u32::MAX, ..said }));
}

#[test]
fn nonsense_is_ignored() {
    let (_outer, folder) = folder();
    prepare_folder(&folder).unwrap();
    let good = serde_json::to_string(&registration(2)).unwrap();
    let nonsense = [
        String::new(),
        "{}".into(),
        good.replace("device-2", "../device"),
        good.replace(&id(2).to_string(), &id(3).to_string()),
        good.replace("127.0.0.1:4002", "nowhere"),
        format!("{good}{}", " ".repeat(MAX_FILE as usize)),
    ];
    let mut watcher = Watcher::new(&id(1).to_string());
    for text in &nonsense {
        put(&folder, 2, text.as_bytes());
        watcher.look(&folder);
        assert_eq!(watcher.table.keys_of(id(2)).count(), 0, "{text:.200}");
    }
    put(&folder, 2, good.as_bytes());
    watcher.look(&folder);
    assert_eq!(watcher.table.keys_of(id(2)).count(), 1);

    let many = Registration { addrs: (1..=200).map(|port| ([10, 0, 0, 1], port).into()).collect(), ..registration(2) };
    let (_, sighting) = Registration::parse(&serde_json::to_vec(&many).unwrap()).unwrap();
    assert_eq!(sighting.addrs.len(), MAX_ADDRS);

    // Neither a link nor a pipe nor a folder is opened.
    let path = file_of(&folder, &id(4).to_string());
    std::os::unix::fs::symlink(file_of(&folder, &id(2).to_string()), &path).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        file_of(&folder, &id(5).to_string()),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    fs::create_dir(file_of(&folder, &id(6).to_string())).unwrap();
    watcher.look(&folder);
    assert_eq!(watcher.table.keys_of(id(2)).count(), 1);
    for seed in [4, 5, 6] {
        assert_eq!(watcher.table.keys_of(id(seed)).count(), 0, "{seed}");
    }
}

#[test]
fn a_folder_full_of_files_is_bounded() {
    let (_outer, folder) = folder();
    prepare_folder(&folder).unwrap();
    for n in 0..MAX_DEVICES + 50 {
        let mut bytes = [9; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        let id = DeviceId::from_bytes(bytes).to_string();
        let text = serde_json::to_vec(&Registration { id: id.clone(), ..registration(1) }).unwrap();
        fs::write(file_of(&folder, &id), text).unwrap();
    }
    let mut watcher = Watcher::new(&id(1).to_string());
    let started = Instant::now();
    watcher.look(&folder);
    watcher.look(&folder);
    assert_eq!(watcher.files.len(), MAX_DEVICES);
    assert!(started.elapsed() < Duration::from_secs(2));
}
