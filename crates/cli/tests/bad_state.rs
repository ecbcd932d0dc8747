//! What bad input gets: a state folder that cannot be used, a disk that is full, a clock that is wrong. Each time the
//! device says what happened, why and what to do next, and nothing is lost.
//!
//! The layer `faults` of `cargo xtask test` runs this as root, with what it needs installed; elsewhere what cannot be
//! done is left out.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test measured is for whoever runs it")]

mod support;

use std::{
    fs,
    io::Read,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use insta::assert_snapshot;
use support::device::{Device, Plan, Ran, TUTTI, chmod, contents, eventually, is_root};

const S: fn(u64) -> Duration = Duration::from_secs;

/// A folder for the devices of one test.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A device that was up and was stopped: its state is sound.
fn sound(folder: &Path) -> Plan {
    Plan::new(folder, "anna").start().stop()
}

/// Starts the device, which has to be refused without anything being changed; what it said.
fn refused_untouched(folder: &Path, plan: &Plan) -> String {
    let before = contents(&plan.state);
    let ran = plan.refused();
    assert!(before == contents(&plan.state), "the refusal touched the state: {}", ran.err);
    redacted(folder, &ran)
}

fn redacted(folder: &Path, ran: &Ran) -> String {
    ran.said(&[(&folder.display().to_string(), "[folder]")])
}

/// Flips bits of a file's second half.
fn damage(file: &Path) -> Vec<u8> {
    let mut bytes = fs::read(file).expect("the file is there");
    let half = bytes.len() / 2;
    bytes.iter_mut().skip(half).for_each(|byte| *byte ^= 0x5a);
    fs::write(file, &bytes).expect("it is ours");
    bytes
}

#[test]
fn a_state_folder_of_a_newer_version() {
    let folder = folder();
    let plan = sound(folder.path());
    fs::write(plan.state.join("format"), "2\n").unwrap();
    assert_snapshot!(refused_untouched(folder.path(), &plan), @r"
    exit code 1
    error: the state folder [folder]/anna-state was written by a newer version of Tutti (format 2, this one knows 1)
     next: install the newer version again, or choose another folder with --state; nothing was changed
    ");
    // It is no damage, so no word of the user's helps.
    assert_snapshot!(refused_untouched(folder.path(), &plan.clone().with(["--reset-corrupt"])), @r"
    exit code 1
    error: the state folder [folder]/anna-state was written by a newer version of Tutti (format 2, this one knows 1)
     next: install the newer version again, or choose another folder with --state; nothing was changed
    ");
    fs::write(plan.state.join("format"), "1\n").unwrap();
    plan.start();
}

#[test]
fn a_damaged_database() {
    let folder = folder();
    let plan = Plan::new(folder.path(), "anna");
    let device = plan.start();
    let id = device.id();
    device.stop();
    let sound = fs::read(plan.state.join("state.redb")).unwrap();
    let damaged = damage(&plan.state.join("state.redb"));
    assert_snapshot!(refused_untouched(folder.path(), &plan), @r"
    exit code 1
    error: [folder]/anna-state/state.redb is damaged: Primary is corrupted despite 2-phase commit
     next: restore [folder]/anna-state/state.redb from a backup; or start with --reset-corrupt, which moves the damaged file aside and begins anew: the device keeps its key but forgets its group
    ");
    // With a backup put back, nothing was lost.
    fs::write(plan.state.join("state.redb"), sound).unwrap();
    assert_eq!(plan.start().id(), id);
    // With the user's word it begins anew, as the same device, and the damaged file is kept.
    fs::write(plan.state.join("state.redb"), &damaged).unwrap();
    let device = plan.clone().with(["--reset-corrupt"]).start();
    assert_eq!(device.id(), id);
    assert!(fs::read(plan.state.join("state.redb.aside-1")).unwrap() == damaged, "not kept as it was");
    device.stop();
    // The word is harmless where nothing is damaged.
    assert_eq!(plan.clone().with(["--reset-corrupt"]).start().id(), id);
    assert!(!plan.state.join("state.redb.aside-2").exists(), "a sound database was moved aside");
}

#[test]
fn a_damaged_key() {
    let folder = folder();
    let plan = Plan::new(folder.path(), "anna");
    let device = plan.start();
    let id = device.id();
    device.stop();
    let damaged = damage(&plan.state.join("identity"));
    assert_snapshot!(refused_untouched(folder.path(), &plan), @r#"
    exit code 1
    error: the device key "[folder]/anna-state/identity" is damaged (it is cut off) and is left as it is: with a copy this stays the same device, without one it has to be paired again as a new one
     next: restore it; or start with --reset-corrupt, which moves it and the group that it was in aside
    "#);
    let device = plan.clone().with(["--reset-corrupt"]).start();
    assert_ne!(device.id(), id, "another key is another device");
    assert!(fs::read(plan.state.join("identity.aside-1")).unwrap() == damaged, "not kept as it was");
    assert!(plan.state.join("state.redb.aside-1").exists(), "the state of the other device is kept");
}

#[test]
fn a_key_that_others_can_read() {
    let folder = folder();
    let plan = sound(folder.path());
    let key = plan.state.join("identity");
    chmod(&key, 0o644);
    assert_snapshot!(refused_untouched(folder.path(), &plan), @r#"
    exit code 1
    error: the device key "[folder]/anna-state/identity" can be read or changed by other users (mode 644); if nobody can have copied it, run: chmod 600 "[folder]/anna-state/identity"
    "#);
    assert_snapshot!(refused_untouched(folder.path(), &plan.clone().with(["--reset-corrupt"])), @r#"
    exit code 1
    error: the device key "[folder]/anna-state/identity" can be read or changed by other users (mode 644); if nobody can have copied it, run: chmod 600 "[folder]/anna-state/identity"
    "#);
    chmod(&key, 0o600);
    plan.start();
}

#[test]
fn two_processes_on_one_state_folder() {
    let folder = folder();
    let device = Plan::new(folder.path(), "anna").start();
    let second = device.plan.refused();
    let pid = device.pid().to_string();
    assert!(second.err.contains(&pid), "it does not name the process: {}", second.err);
    assert_snapshot!(second.said(&[(&folder.path().display().to_string(), "[folder]"), (&pid, "[pid]")]), @r"
    exit code 1
    error: the state folder [folder]/anna-state is used by another process, [pid]
     next: stop that process first, or choose another folder with --state
    ");
    assert!(device.run(&["status"]).ok, "the first one suffered");
    // In the background it is no error: what was asked for is so.
    let again = device.run(&["up"]);
    assert!(again.ok && again.out.contains(&format!("runs already (process {pid})")), "{again:?}");
}

#[test]
fn ports_in_use() {
    let folder = folder();
    let plan = Plan::new(folder.path(), "anna");
    let taken = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = plan.clone().with(["--port", &port]).refused();
    assert_snapshot!(ran.said(&[(&port, "[port]")]), @r"
    exit code 1
    error: UDP port [port] is in use by another program; stop that one, or choose another port (0 for any free one)
    ");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = plan.clone().with(["--api-tcp", &address]).refused();
    assert_snapshot!(ran.said(&[(&address, "[address]")]), @r"
    exit code 1
    error: another program has the TCP address [address]
     next: stop that program, or choose another port (0 for any free one)
    ");
    // Neither has left anything that is in the way.
    plan.start();
}

#[test]
fn what_a_killed_device_leaves() {
    let folder = folder();
    let plan = Plan::new(folder.path(), "anna");
    let device = plan.start();
    let (id, pid) = (device.id(), device.pid());
    let socket = PathBuf::from(device.json(&["status"])["api"]["socket"].as_str().unwrap());
    device.kill();
    let entry = folder.path().join("run").join(format!("{id}.json"));
    assert!(socket.exists() && entry.exists() && plan.state.join("runtime.json").exists());

    // Nobody is there, and that is what is said.
    let gone = |ran: &Ran, pid: u32| {
        ran.said(&[(&folder.path().display().to_string(), "[folder]"), (&format!("process {pid}"), "process [pid]")])
    };
    let ran = Ran::of(plan.command(&["devices"]), S(10));
    assert_snapshot!(gone(&ran, pid), @r"
    exit code 1
    error: anna (process [pid]) no longer runs; it was ended without a chance to tidy up
     next: start it again with: tutti up --state [folder]/anna-state
    ");
    // An older process had the number that is in the files: still nobody is there.
    let mut stale: serde_json::Value = serde_json::from_slice(&fs::read(&entry).unwrap()).unwrap();
    assert_eq!(stale["pid"], pid);
    stale["pid"] = std::process::id().into();
    fs::write(&entry, stale.to_string()).unwrap();
    fs::write(plan.state.join("runtime.json"), stale.to_string()).unwrap();
    let ran = Ran::of(plan.command(&["devices"]), S(10));
    assert_snapshot!(gone(&ran, std::process::id()), @r"
    exit code 1
    error: anna (process [pid]) no longer runs; it was ended without a chance to tidy up
     next: start it again with: tutti up --state [folder]/anna-state
    ");
    // Another device does not see it, and removes what it left; it takes its place again when it is back.
    let other = Plan::new(folder.path(), "bert").start();
    assert_eq!(other.json(&["nearby"]), serde_json::json!([]));
    eventually(S(10), "the stale file is removed", || !entry.exists());
    let device = plan.start();
    assert_eq!(device.id(), id);
    eventually(S(3), "it is seen again", || other.json(&["nearby"])[0]["name"] == "anna");
    device.stop();
    assert!(!socket.exists() && !entry.exists() && !plan.state.join("runtime.json").exists(), "something was left");
}

#[test]
fn a_state_folder_that_cannot_be_written() {
    if !is_root() {
        return;
    }
    // Nobody (65534) may enter this folder, and nothing in it is theirs but the runtime folder.
    let folder = folder();
    let path = folder.path();
    chmod(path, 0o755);
    let program = path.join("tutti");
    fs::copy(TUTTI, &program).unwrap();
    let runtime = path.join("run-nobody");
    fs::create_dir(&runtime).unwrap();
    chmod(&runtime, 0o700);
    std::os::unix::fs::chown(&runtime, Some(65534), Some(65534)).unwrap();
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let plan = |state: &str| {
        let state = path.join(state);
        Plan::new(path, "anna").wrapped(nobody).program(program.clone(), state, runtime.clone())
    };
    // It cannot be made.
    assert_snapshot!(redacted(path, &plan("new").refused()), @r"
    exit code 1
    error: cannot create the state folder [folder]/new: Permission denied (os error 13)
     next: check that the folder exists and that this user may write to it, or choose another with --state
    ");
    assert!(!path.join("new").exists());
    // It is another user's, and closed.
    sound(path);
    let before = contents(&path.join("anna-state"));
    assert_snapshot!(redacted(path, &plan("anna-state").refused()), @r"
    exit code 1
    error: cannot open [folder]/anna-state/lock: Permission denied (os error 13)
     next: check that the folder exists and that this user may write to it, or choose another with --state
    ");
    // It is another user's, and open: what is in it still is not ours.
    chmod(&path.join("anna-state"), 0o755);
    assert_snapshot!(redacted(path, &plan("anna-state").refused()), @r"
    exit code 1
    error: cannot open [folder]/anna-state/lock: Permission denied (os error 13)
     next: check that the folder exists and that this user may write to it, or choose another with --state
    ");
    assert!(before == contents(&path.join("anna-state")));
    // The runtime folder is another user's.
    let plan = plan("new").program(program.clone(), runtime.join("state"), path.join("run"));
    assert_snapshot!(redacted(path, &plan.refused()), @r#"
    exit code 1
    error: the runtime folder "[folder]/run" belongs to another user (0); remove it, or name another folder in TUTTI_RUNTIME_DIR
    "#);
}

/// A small file system at a folder, seen only by what runs in a mount namespace of its own. Gone when dropped.
struct SmallDisk {
    holder: Child,
    at: PathBuf,
}

impl SmallDisk {
    fn new(at: &Path, size: &str) -> Self {
        fs::create_dir_all(at).unwrap();
        let script = r#"mount -t tmpfs -o mode=700,size="$1" tmpfs "$0" && echo mounted && exec cat"#;
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation=private", "sh", "-c", script])
            .args([at.as_os_str(), size.as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("util-linux is there");
        let mut word = [0; 8];
        holder.stdout.take().unwrap().read_exact(&mut word).expect("root may mount");
        Self { holder, at: at.to_path_buf() }
    }

    /// What runs a program where the disk is.
    fn enter(&self) -> [String; 2] {
        ["nsenter".into(), format!("--mount=/proc/{}/ns/mnt", self.holder.id())]
    }

    /// Its folder, as it is seen from outside.
    fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.holder.id(), self.at.display()))
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let full = fs::write(self.root().join("filler"), vec![0; 16 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    fn make_room(&self) {
        fs::remove_file(self.root().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[test]
fn a_full_disk() {
    if !is_root() {
        return;
    }
    let folder = folder();
    let plan = Plan::new(folder.path(), "anna");
    let disk = SmallDisk::new(&plan.state, "3m");
    let plan = plan.wrapped(disk.enter()).hidden();
    let bert = Plan::new(folder.path(), "bert").start();
    let file = |name: &str| folder.path().join(name).display().to_string();
    fs::write(file("small"), "what was stored before").unwrap();
    let said = |device: &Device, args: &[&str]| redacted(folder.path(), &device.run(args));
    let anna = plan.start();
    let id = anna.id();

    // What must be kept to be promised is refused, and says why. (Early, for a database that was in use for a while has
    // room within itself.)
    disk.fill();
    assert_snapshot!(said(&anna, &["rename", "attic"]), @r"
    exit code 1
    error: cannot rename anna to attic
      why: nothing can be saved: the file system that holds the state folder is full
     next: make room, or check the disk
    ");
    assert_snapshot!(said(&anna, &["pair"]), @r"
    exit code 1
    error: cannot let a device in
      why: the state folder failed: nothing can be saved: the file system that holds the state folder is full
     next: make room, or check the disk; nothing was changed
    ");
    assert_snapshot!(said(&anna, &["set", "anna/lamp", "on"]), @r"
    exit code 1
    error: cannot set anna/lamp
      why: anna/lamp: anna refused: it failed: nothing can be saved: the file system that holds the state folder is full
     next: try again; if it stays so, look at the device that offers it
    ");
    assert_snapshot!(said(&anna, &["store", "put", &file("small"), "anna/storage/small"]), @r"
    exit code 1
    error: cannot put anna/storage/small
      why: anna/storage: anna refused: it has room for 0 more bytes
     next: remove something from it, or make room on its disk
    ");
    // What needs no room goes on, and after room is made all does, without a restart.
    assert!(anna.reading("anna/room-temperature").is_ok());
    assert_eq!(anna.reading("anna/lamp"), Ok(0.0), "it was refused and done");
    disk.make_room();
    anna.must(&["rename", "attic"]);
    anna.must(&["set", "attic/lamp", "on"]);
    anna.must(&["store", "put", &file("small"), "attic/storage/small"]);
    bert.must(&["pair", &anna.offer().ticket(), "--json"]);
    let both = || anna.sees(&["bert"]) && bert.sees(&["attic"]);
    eventually(S(5), "they see each other", both);

    // With others it is no different: they are served, and told what cannot be done.
    disk.fill();
    assert!(bert.reading("attic/room-temperature").is_ok() && anna.reading("bert/room-temperature").is_ok());
    bert.must(&["store", "get", "attic/storage/small", &file("fetched")]);
    assert_eq!(fs::read_to_string(file("fetched")).unwrap(), "what was stored before");
    assert_snapshot!(said(&bert, &["store", "put", &file("small"), "attic/storage/more"]), @r"
    exit code 1
    error: cannot put attic/storage/more
      why: attic/storage: attic refused: it has room for 0 more bytes
     next: remove something from it, or make room on its disk
    ");
    let renamed = anna.run(&["rename", "cellar"]).ok;
    let name = if renamed { "cellar" } else { "attic" };
    assert!(both() || renamed);

    // Killed while the disk is full, it says that it cannot start, or starts; what was acknowledged is there.
    let plan = anna.kill().keeping_its_name();
    assert_snapshot!(redacted(folder.path(), &plan.refused()), @r"
    exit code 1
    error: the file system that holds [folder]/anna-state is full
     next: make room on that file system and start again; nothing was lost
    ");
    disk.make_room();
    let anna = plan.start();
    assert_eq!((anna.id(), anna.json(&["status"])["name"].as_str()), (id, Some(name)));
    eventually(S(5), "the group is as it was", || anna.sees(&["bert"]) && bert.sees(&[name]));
    bert.must(&["store", "get", &format!("{name}/storage/small"), &file("again")]);
    assert_eq!(fs::read_to_string(file("again")).unwrap(), "what was stored before");
}

#[test]
fn a_disk_that_is_full_from_the_start() {
    if !is_root() {
        return;
    }
    let folder = folder();
    let plan = Plan::new(folder.path(), "anna");
    // Nothing at all fits.
    let ran = plan.clone().wrapped(SmallDisk::new(&plan.state, "4k").enter()).refused();
    assert_snapshot!(redacted(folder.path(), &ran), @r"
    exit code 1
    error: the file system that holds [folder]/anna-state is full
     next: make room on that file system and start again; nothing was lost
    ");
    // A key fits, a database does not.
    let ran = plan.clone().wrapped(SmallDisk::new(&plan.state, "40k").enter()).refused();
    assert_snapshot!(redacted(folder.path(), &ran), @r"
    exit code 1
    error: the file system that holds [folder]/anna-state is full
     next: make room on that file system and start again; nothing was lost
    ");
    plan.start();
}

#[test]
fn values_that_are_not_taken() {
    let folder = folder();
    let anna = Plan::new(folder.path(), "anna").start();
    let bert = Plan::new(folder.path(), "bert").start();
    bert.join(&anna);
    eventually(S(5), "they see each other", || anna.sees(&["bert"]) && bert.sees(&["anna"]));
    bert.must(&["set", "anna/lamp", "off"]);
    assert_snapshot!(bert.run(&["set", "anna/lamp", "bright"]).said(&[]), @r"
    exit code 1
    error: cannot set anna/lamp
      why: anna/lamp: anna refused: it takes on, off or 0 to 100
     next: `tutti resources --json` shows what it takes
    ");
    assert_snapshot!(bert.run(&["set", "anna/lamp", "101"]).said(&[]), @r"
    exit code 1
    error: cannot set anna/lamp
      why: anna/lamp: anna refused: it does not take this value: give one from 0 to 100
     next: `tutti resources --json` shows what it takes
    ");
    assert_snapshot!(bert.run(&["set", "anna/room-temperature", "20"]).said(&[]), @r"
    exit code 1
    error: cannot set anna/room-temperature
      why: anna/room-temperature: anna refused: it takes no values
    ");
    // Who holds it is said by name.
    bert.must(&["lease", "take", "anna/lamp", "--for", "1m"]);
    let said = anna.run(&["set", "anna/lamp", "on"]).said(&[]);
    assert!(said.contains("bert holds anna/lamp for another "), "{said}");
    assert_eq!(anna.reading("anna/lamp"), Ok(0.0));
}

#[test]
fn a_screen_whose_device_is_killed() {
    let folder = folder();
    let anna = Plan::new(folder.path(), "anna").start();
    let command = anna.plan.command(&["screen", "--json"]);
    let screen = std::thread::spawn(move || Ran::of(command, S(20)));
    eventually(S(5), "the screen is there", || anna.json(&["resources"]).to_string().contains("\"screen\""));
    anna.kill();
    assert_snapshot!(screen.join().unwrap().said(&[]), @r"
    exit code 1
    error: the screen screen has gone dark
      why: PUT /v1/screens/screen: the connection to the device broke: it ended in the middle of an answer
     next: see whether the device still runs with: tutti status
    ");
}

#[test]
fn a_code_that_is_shown_is_seen_at_once_and_so_is_its_end() {
    let folder = folder();
    let anna = Plan::new(folder.path(), "anna").start();
    let bert = Plan::new(folder.path(), "bert").start();
    let shows = |open: bool| {
        bert.json(&["nearby"]).as_array().is_some_and(|all| all.iter().any(|device| device["pairing_open"] == open))
    };
    eventually(S(3), "anna is seen", || shows(false));
    let entry = folder.path().join("run").join(format!("{}.json", anna.id()));
    let registered = |open: bool| {
        let entry: serde_json::Value = serde_json::from_slice(&fs::read(&entry).unwrap()).unwrap();
        entry["pairing_open"] == open
    };
    let offer = anna.offer();
    eventually(Duration::from_millis(300), "the offer is registered", || registered(true));
    eventually(Duration::from_millis(1500), "the offer is seen", || shows(true));
    bert.must(&["pair", &offer.ticket(), "--json"]);
    offer.paired();
    eventually(Duration::from_millis(300), "its end is registered", || registered(false));
}

#[test]
fn a_clock_that_is_set_to_1970() {
    let there = Command::new("faketime").arg("--version").output().is_ok_and(|ran| ran.status.success());
    assert!(
        there || std::env::var_os("TUTTI_FAULTS").is_none(),
        "the layer `faults` needs faketime (Debian: faketime)"
    );
    if !there {
        eprintln!("left out: it needs faketime (`cargo xtask test faults`)");
        return;
    }
    let folder = folder();
    let bert = Plan::new(folder.path(), "bert").start();
    // Founds its group, offers and signs in 1970.
    let anna = Plan::new(folder.path(), "anna")
        .wrapped(["faketime", "-m", "--exclude-monotonic", "1970-01-01 00:00:10"])
        .env("NO_FAKE_STAT", "1")
        .start();
    let checks = anna.run(&["doctor", "--json"]);
    let checks: serde_json::Value = serde_json::from_str(&checks.out).unwrap_or_else(|_| panic!("{checks:?}"));
    let clock = checks["device"].as_array().and_then(|checks| checks.iter().find(|check| check["name"] == "clock"));
    assert_eq!(clock.map(|check| &check["ok"]), Some(&"warn".into()), "the doctor does not see the clock: {checks}");
    bert.join(&anna);
    eventually(S(5), "they see each other", || anna.sees(&["bert"]) && bert.sees(&["anna"]));
    assert!(bert.reading("anna/room-temperature").is_ok());
    assert!(anna.reading("bert/room-temperature").is_ok());
    anna.must(&["set", "bert/lamp", "on"]);
    // A ticket says when it ends; of two clocks that differ by decades, neither is believed more than the offer.
    let cleo = Plan::new(folder.path(), "cleo").start();
    let offer = anna.offer();
    cleo.must(&["pair", &offer.ticket(), "--json"]);
    offer.paired();
    // The clock is put right, and all is as it was.
    let id = anna.id();
    let anna = anna.stop().wrapped([] as [&str; 0]).start();
    assert_eq!(anna.id(), id);
    eventually(S(5), "all are back", || anna.sees(&["bert", "cleo"]) && cleo.sees(&["anna", "bert"]));
    assert!(cleo.reading("anna/room-temperature").is_ok());
}
