//! Devices that are killed (`kill -9`) at seeded moments of moves: at no moment two copies run, afterwards exactly one does, and it knows
//! what it was told, once.
//!
//! Three devices: two between which two apps move at the same time, and a third, never killed, that owns a sensor and an actuator. One app
//! counts; what it was told before a move it must know after it, no more and no less. The other sets the actuator to a number that only
//! grows: an effect that came twice, or of an earlier home, would make it fall.
//!
//! `TUTTI_APP_KILLS` is the number of kills (3 without it), `TUTTI_APP_SEED` the seed, which a failure prints.
#![cfg(feature = "apps")]

mod support;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use support::{Device, Host, eventually};
use tutti_app::package::Package;
use tutti_control::{Client, InstanceState, OfferRequest, Presence, Role, RunRequest, Value};

const COUNTER: &[u8] = include_bytes!("../../../apps/built/counter.wasm");
const RELAY: &[u8] = include_bytes!("../../../apps/built/relay.wasm");
/// How soon after everybody is back exactly one copy has to run.
const HEALED: Duration = Duration::from_secs(8);

/// Not a test by itself: a device in a process of its own.
#[test]
#[ignore = "run by the other tests in processes of its own"]
fn device() {
    support::device();
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

fn package(name: &str, component: &[u8], wants: &str) -> std::io::Cursor<Vec<u8>> {
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let manifest = format!("name = {name:?}\nversion = \"0.1.0\"\nlimits.cpu = 1000\n{wants}");
    std::io::Cursor::new(Package::make(&manifest, component, None, &key).unwrap())
}

/// Whether an instance runs on this device, by its own word.
async fn runs(client: &Client, id: &str) -> Option<u64> {
    let me = client.device().await.ok()?;
    let it = client.instance(id).await.ok()?;
    let here = it.device == me.id && matches!(it.state, InstanceState::Running | InstanceState::Moving);
    here.then_some(it.epoch)
}

/// At most one of the two runs it: who runs before and after the other was seen to run is one too many.
async fn never_two(pair: &[Device; 2], id: &str) {
    for (one, other) in [(0, 1), (1, 0)] {
        let before = runs(&pair[one].client, id).await;
        let between = runs(&pair[other].client, id).await;
        let after = runs(&pair[one].client, id).await;
        assert!(before.is_none() || between.is_none() || before != after, "two copies run: {before:?} {between:?}");
    }
}

/// The device that runs it, if exactly one does.
async fn home(pair: &[Device; 2], id: &str) -> Option<usize> {
    let (a, b) = (runs(&pair[0].client, id).await, runs(&pair[1].client, id).await);
    match (a, b) {
        (Some(_), None) => Some(0),
        (None, Some(_)) => Some(1),
        _ => None,
    }
}

async fn settled(pair: &[Device; 2], id: &str, since: Instant) -> usize {
    loop {
        if let Some(at) = home(pair, id).await {
            let it = pair[at].client.instance(id).await.unwrap();
            if it.state == InstanceState::Running && it.moving.is_none() {
                return at;
            }
        }
        let views = (pair[0].client.instances().await, pair[1].client.instances().await);
        assert!(since.elapsed() < HEALED, "no single copy of {id} runs: {views:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn count(client: &Client, id: &str) -> u64 {
    let before = client.instance_log(id, 0).await.unwrap().last().map_or(0, |line| line.number);
    client.tell_instance(id, "show").await.unwrap();
    let begun = Instant::now();
    loop {
        let lines = client.instance_log(id, before).await.unwrap();
        let told = lines.iter().find_map(|line| line.text.split_once(" (")?.0.parse().ok());
        if let Some(count) = told {
            return count;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{lines:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[expect(clippy::print_stdout, reason = "how many kills there were is what the layer asks for")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_seeded_moments_of_moves() {
    let number = |name: &str, usual: u64| std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(usual);
    let (kills, seed) = (number("TUTTI_APP_KILLS", 3), number("TUTTI_APP_SEED", 1));
    println!("TUTTI_APP_KILLS={kills} TUTTI_APP_SEED={seed}");
    let mut rng = Rng(seed);
    let host = Host::new();
    let names = ["kitchen", "attic"];
    let mut pair = names.map(|name| host.start(name));
    let shed = host.start("shed");
    pair[1].pair_with(&pair[0], Role::Member).await;
    shed.pair_with(&pair[0], Role::Member).await;

    // What the third device has.
    let keep = Some(3_600_000);
    let gauge = OfferRequest {
        value: Some(Value::Float(1.0)),
        ttl_ms: keep,
        unit: "bar".into(),
        ..OfferRequest::of_kind("sensor")
    };
    shed.client.offer("gauge", &gauge).await.unwrap();
    let valve = OfferRequest {
        writable: true,
        value: Some(Value::Int(0)),
        ttl_ms: keep,
        unit: "step".into(),
        ..OfferRequest::of_kind("actuator")
    };
    shed.client.offer("valve", &valve).await.unwrap();
    let set: Arc<Mutex<Vec<i64>>> = Arc::default();
    let mut commands = shed.client.commands("valve").await.unwrap();
    let heard = set.clone();
    let listening = tokio::spawn(async move {
        while let Ok(Some(command)) = commands.next().await {
            if let Value::Int(value) = command.value {
                heard.lock().unwrap().push(value);
            }
        }
    });
    for name in names {
        shed.sees(name, Presence::Online).await;
    }
    pair[0].sees("shed", Presence::Online).await;

    pair[0].client.install_app(package("counter", COUNTER, "")).await.unwrap();
    let wants = "[wants.sensor]\nkind = \"sensor\"\nunit = \"bar\"\nrequired = true\n[wants.actuator]\nkind = \"actuator\"\nunit = \"step\"\nrequired = true\n";
    pair[0].client.install_app(package("relay", RELAY, wants)).await.unwrap();
    let here = RunRequest { on: Some("kitchen".into()), ..RunRequest::default() };
    let counter = pair[0].client.run_app("counter", &here).await.unwrap().id;
    let relay = pair[0].client.run_app("relay", &here).await.unwrap().id;
    pair[0].client.tell_instance(&relay, "silent 0").await.unwrap();
    eventually("the relay has bound its actuator and read its sensor", async || {
        let it = pair[0].client.instance(&relay).await.unwrap();
        it.events > 2
            && it.bound.iter().all(|bound| bound.resource.as_deref().is_some_and(|it| it.starts_with("shed/")))
    })
    .await;

    let (mut moved, mut came_back, mut value) = (0, 0, 0i64);
    for kill in 0..kills {
        let began = Instant::now();
        let from = settled(&pair, &counter, began).await;
        settled(&pair, &relay, began).await;
        pair[from].client.tell_instance(&counter, "add 1").await.unwrap();
        value += 1;
        let teller = home(&pair, &relay).await.unwrap_or(from);
        let _ = pair[teller].client.tell_instance(&relay, &format!("on {value} off {value}")).await;
        // By now it is durable; what comes after may be lost with whoever is killed.
        eventually("it knows", async || count(&pair[from].client, &counter).await == kill + 1).await;
        tokio::time::sleep(Duration::from_millis(60)).await;

        let to = 1 - from;
        pair[from].client.move_instance(&counter, names[to]).await.unwrap();
        let other = if home(&pair, &relay).await == Some(0) { 1 } else { 0 };
        let _ = pair[1 - other].client.move_instance(&relay, names[other]).await;
        tokio::time::sleep(Duration::from_micros(rng.below(250_000))).await;
        never_two(&pair, &counter).await;
        let victim = rng.below(2) as usize;
        let name = names[victim];
        // Its place is taken by the device that is started anew.
        pair[victim].process.kill().unwrap();
        pair[victim].process.wait().unwrap();
        let pause = rng.below(1500);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        pair[victim] = host.start(name);
        let back = Instant::now();
        for id in [&counter, &relay] {
            never_two(&pair, id).await;
            settled(&pair, id, back).await;
            never_two(&pair, id).await;
        }
        let at = settled(&pair, &counter, back).await;
        if at == to {
            moved += 1
        } else {
            came_back += 1
        }
        let knows = count(&pair[at].client, &counter).await;
        assert_eq!(knows, kill + 1, "kill {kill} of seed {seed}: {name} was killed; it is on {}", names[at]);
    }
    println!("{kills} kills: {moved} times it had moved, {came_back} times it had stayed");
    // What is done last arrives.
    let at = settled(&pair, &relay, Instant::now()).await;
    value += 1;
    eventually("the last effect arrives", async || {
        let _ = pair[at].client.tell_instance(&relay, &format!("on {value} off {value}")).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        set.lock().unwrap().last() == Some(&value)
    })
    .await;
    let set = set.lock().unwrap().clone();
    assert!(set.is_sorted(), "an effect came late or twice: {set:?}");
    listening.abort();
}
