//! What moving an app between two real devices costs: the `tutti` that users get, as two processes on this machine.
//!
//! - `app.move.SIZE.pause`, `app.move.SIZE.pause.p99`: how long the app stands still, from its last event at the source until the target says that it runs
//!   there; both durable commits of each side are in it. While it moves, 5 % of its pages are changed each second.
//! - `app.move.SIZE.commit`: what one durable record of those takes (four waits for the disk stand in a pause, one after the other: the target's state and
//!   its record, the source's record, the target's again; five if the app had done something that was not yet saved).
//! - `app.disk.commit`: what one wait for this disk takes, without any of Tutti: a sector written over and made durable. No pause can be below four of these.
//! - `app.move.SIZE.whole`: the whole move, from the wish to the target's word.
//! - `app.move.SIZE.restart`: the same app stopped and begun again on one device with its state in its file.
//! - `app.device.idle`, `app.device.running`, `app.device.after`: resident memory of a device without an app, with one that runs (`counter`, told something
//!   once), and once that has ended.
//!
//! Prints a JSON object a line: `name`, `value`, `unit`.

#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr)]

mod support;

use std::{
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use support::{Device, MIB, median, millis, pair, row, wait};
use tutti_app::package::Package;
use tutti_control::{AppInstance, Client, InstanceState, RunRequest};

const APP: &[u8] = include_bytes!("../../../apps/built/hostile.wasm");
const COUNTER: &[u8] = include_bytes!("../../../apps/built/counter.wasm");
const SIZES: [(&str, usize, usize); 3] = [("64kib", 64, 60), ("1mib", 1 << 10, 60), ("64mib", 64 << 10, 20)];
const NAMES: [&str; 2] = ["a", "b"];

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    row("app.disk.commit", commit(folder.path()), "ms");
    let devices = NAMES.map(|name| Device::start(folder.path(), name, 0));
    wait("they discover each other", || devices.iter().all(|device| device.nearby() >= 1));
    pair(&devices[0], &devices[1]);
    wait("they are one pool", || devices.iter().all(|device| device.online() == 1));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = |device: &Device| {
            let status = device.json(&["status"]).expect("a status");
            Client::unix(status["api"]["socket"].as_str().expect("a socket"))
        };
        let clients = [client(&devices[0]), client(&devices[1])];
        memory(&devices[0], &clients[0]).await;
        clients[0].install_app(std::io::Cursor::new(package("weight", APP))).await.expect("it is installed");
        for (name, kib, rounds) in SIZES {
            measure(&clients, name, kib, rounds).await;
        }
    });
}

fn package(name: &str, app: &[u8]) -> Vec<u8> {
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let manifest = format!("name = \"{name}\"\nversion = \"0.1.0\"\nlimits.memory-kib = 262144\nlimits.cpu = 1000\n");
    Package::make(&manifest, app, None, &key).expect("a package")
}

/// What one wait for the disk takes, in milliseconds.
fn commit(folder: &Path) -> f64 {
    let file = std::fs::File::create(folder.join("commit")).expect("a file");
    let times = (0..50u8).map(|n| {
        let begun = Instant::now();
        file.write_all_at(&[n; 4096], 0).and_then(|()| file.sync_data()).expect("it is written");
        millis(begun)
    });
    median(times.collect())
}

/// What apps cost the memory of a device.
async fn memory(device: &Device, client: &Client) {
    let settled = || tokio::time::sleep(Duration::from_secs(5));
    settled().await;
    row("app.device.idle", device.resident() / MIB, "MiB");
    client.install_app(std::io::Cursor::new(package("small", COUNTER))).await.expect("it is installed");
    let here = RunRequest { on: Some(device.name.clone()), ..RunRequest::default() };
    let id = client.run_app("small", &here).await.expect("it runs").id;
    client.tell_instance(&id, "add 1").await.expect("it is told");
    settled().await;
    row("app.device.running", device.resident() / MIB, "MiB");
    client.end_instance(&id).await.expect("it ends");
    settled().await;
    row("app.device.after", device.resident() / MIB, "MiB");
}

async fn measure(clients: &[Client; 2], name: &str, kib: usize, rounds: usize) {
    let here = RunRequest { on: Some(NAMES[0].into()), ..RunRequest::default() };
    let id = clients[0].run_app("weight", &here).await.expect("it runs").id;
    clients[0].tell_instance(&id, &format!("fill {kib}")).await.expect("it is told");
    until(clients, &id, |it| it.events >= 2 && it.memory >= (kib as u64) << 10).await;

    // A page is changed by one of its 1 KiB blocks; so many are 5 % of the pages each second.
    let (toucher, touched) = (clients[0].clone(), id.clone());
    let each = (kib / 64 / 20 / 10).max(1);
    let touching = tokio::spawn(async move {
        loop {
            let _ = toucher.tell_instance(&touched, &format!("touch {each}")).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let (mut pauses, mut commits, mut wholes) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let (from, to) = (round % 2, (round + 1) % 2);
        let begun = Instant::now();
        clients[from].move_instance(&id, NAMES[to]).await.expect("it begins to move");
        until(&[clients[to].clone(), clients[from].clone()], &id, |it| {
            it.device_name == NAMES[to] && it.state == InstanceState::Running
        })
        .await;
        wholes.push(millis(begun));
        let (pause, commit) = said(&clients[from], &id, round).await;
        pauses.push(pause);
        commits.push(commit);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    touching.abort();
    pauses.sort_by(f64::total_cmp);
    row(&format!("app.move.{name}.pause.p99"), pauses[(pauses.len() * 99).div_ceil(100) - 1], "ms");
    row(&format!("app.move.{name}.pause"), median(pauses), "ms");
    row(&format!("app.move.{name}.commit"), median(commits), "ms");
    row(&format!("app.move.{name}.whole"), median(wholes), "ms");

    let it = clients[0].instance(&id).await.expect("it is there");
    let at = usize::from(it.device_name == NAMES[1]);
    let mut restarts = Vec::new();
    for _ in 0..rounds.min(10) {
        let begun = Instant::now();
        clients[at].stop_instance(&id).await.expect("it stops");
        clients[at].start_instance(&id).await.expect("it starts");
        restarts.push(millis(begun));
    }
    row(&format!("app.move.{name}.restart"), median(restarts), "ms");
    clients[at].end_instance(&id).await.expect("it ends");
}

/// Until the first of the devices sees it so.
async fn until(clients: &[Client; 2], id: &str, holds: impl Fn(&AppInstance) -> bool) {
    let begun = Instant::now();
    loop {
        let seen = clients[0].instance(id).await;
        if seen.as_ref().is_ok_and(&holds) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "not within 60 s: {seen:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The pause and the commit of a move from this device, the `nth` of all, as its audit log says: every other one was from here.
async fn said(from: &Client, id: &str, nth: usize) -> (f64, f64) {
    let begun = Instant::now();
    loop {
        let audit = from.audit(0).await.expect("an audit log");
        let mine = audit.iter().filter(|line| line.instance.as_deref() == Some(id));
        let lines: Vec<&str> = mine.map(|line| line.about.as_str()).filter(|it| it.contains("stood still")).collect();
        if lines.len() > nth / 2 {
            let number =
                |behind: &str| -> Option<f64> { lines.last()?.split_once(behind)?.1.split(' ').next()?.parse().ok() };
            return (number("still for ").expect("a pause"), number("here took ").expect("a commit"));
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "the log of {id} does not say it: {lines:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
