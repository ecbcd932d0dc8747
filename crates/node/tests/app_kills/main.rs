//! Devices that are killed (`kill -9`) at seeded moments of moves ([`moves`]) and of fail-overs ([`fail_over`]): at no moment two copies run,
//! afterwards exactly one does, it knows what it was told, once, and its effects are there once.
//!
//! Three devices: two on which the apps run, and a third, never killed, that owns a sensor and an actuator. One app counts; the other sets the
//! actuator to a number that it was told.
//!
//! `TUTTI_APP_KILLS` is the number of kills (6 without it), half of them of each kind; `TUTTI_APP_SEED` the seed, which is printed.
#![cfg(feature = "apps")]

mod fail_over;
mod moves;
#[path = "../support/mod.rs"]
mod support;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use support::{
    Device, Host,
    apps::{RELAY, group, package, relay_wants, says},
    eventually,
};
use tutti_control::{Client, InstanceState, OfferRequest, RunRequest, Value};

/// How soon after everybody is back exactly one copy has to run.
const HEALED: Duration = Duration::from_secs(8);
/// The devices that are killed.
const NAMES: [&str; 2] = ["kitchen", "attic"];

/// Not a test by itself: a device in a process of its own.
#[test]
#[ignore = "run by the other tests in processes of its own"]
fn device() {
    support::device();
}

/// How many kills there are to be of each kind, and by what chance.
#[expect(clippy::print_stdout, reason = "whoever looks for a failure needs the seed")]
fn plan() -> (u64, fastrand::Rng) {
    let number = |name: &str, usual: u64| std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(usual);
    let (kills, seed) = (number("TUTTI_APP_KILLS", 6), number("TUTTI_APP_SEED", 1));
    println!("TUTTI_APP_KILLS={kills} TUTTI_APP_SEED={seed}");
    (kills.div_ceil(2), fastrand::Rng::with_seed(seed))
}

/// The devices, the two apps, and what the actuator was set to.
struct World {
    host: Host,
    pair: [Device; 2],
    shed: Device,
    counter: String,
    relay: String,
    set: Arc<Mutex<Vec<i64>>>,
    told: i64,
}

impl World {
    /// Both apps run at the first device, so.
    async fn begin(how: &RunRequest) -> Self {
        let (host, [kitchen, attic, shed]) = group([NAMES[0], NAMES[1], "shed"]).await;
        let gauge = OfferRequest {
            value: Some(Value::Float(1.0)),
            ttl_ms: Some(3_600_000),
            unit: "bar".into(),
            ..OfferRequest::of_kind("sensor")
        };
        shed.client.offer("gauge", &gauge).await.unwrap();
        let valve = OfferRequest {
            writable: true,
            value: Some(Value::Int(0)),
            unit: "step".into(),
            ..OfferRequest { ttl_ms: gauge.ttl_ms, ..OfferRequest::of_kind("actuator") }
        };
        shed.client.offer("valve", &valve).await.unwrap();
        let set: Arc<Mutex<Vec<i64>>> = Arc::default();
        let mut commands = shed.client.commands("valve").await.unwrap();
        let heard = set.clone();
        tokio::spawn(async move {
            while let Ok(Some(command)) = commands.next().await {
                if let Value::Int(value) = command.value {
                    heard.lock().unwrap().push(value);
                }
            }
        });
        eventually("the valve is known", async || {
            kitchen.client.resources(&Default::default()).await.unwrap().iter().any(|it| it.name == "valve")
        })
        .await;
        let relay = package("relay", "0.1.0", RELAY, &relay_wants("bar", "step"));
        kitchen.client.install_app(relay).await.unwrap();
        let counter = kitchen.client.run_app("counter", how).await.unwrap().id;
        let relay = kitchen.client.run_app("relay", how).await.unwrap().id;
        kitchen.client.tell_instance(&relay, "silent 0").await.unwrap();
        eventually("the relay has bound its actuator and read its sensor", async || {
            let it = kitchen.client.instance(&relay).await.unwrap();
            it.events > 2
                && it.bound.iter().all(|bound| bound.resource.as_deref().is_some_and(|it| it.starts_with("shed/")))
        })
        .await;
        Self { host, pair: [kitchen, attic], shed, counter, relay, set, told: 0 }
    }

    /// kill -9
    fn kill(&mut self, victim: usize) {
        self.pair[victim].process.kill().unwrap();
        self.pair[victim].process.wait().unwrap();
    }

    /// Whoever was killed is begun anew.
    fn start(&mut self, victim: usize) {
        self.pair[victim] = self.host.start(NAMES[victim]);
    }

    /// The relay is to set the actuator to a number that there was not before.
    async fn set_next(&mut self, at: usize) {
        self.told += 1;
        let text = format!("on {} off {}", self.told, self.told);
        let _ = self.pair[at].client.tell_instance(&self.relay, &text).await;
    }

    /// At most one of the two runs it: who runs before and after the other was seen to run is one too many.
    async fn never_two(&self, id: &str) {
        for (one, other) in [(0, 1), (1, 0)] {
            let before = runs(&self.pair[one].client, id).await;
            let between = runs(&self.pair[other].client, id).await;
            let after = runs(&self.pair[one].client, id).await;
            let two = before.is_some() && between.is_some() && before == after;
            assert!(!two, "two copies run: {before:?} {between:?}");
        }
    }

    /// The device that runs it, if exactly one does.
    async fn home(&self, id: &str) -> Option<usize> {
        match (runs(&self.pair[0].client, id).await, runs(&self.pair[1].client, id).await) {
            (Some(_), None) => Some(0),
            (None, Some(_)) => Some(1),
            _ => None,
        }
    }

    /// The device where it has come to rest.
    async fn settled(&self, id: &str, since: Instant) -> usize {
        loop {
            if let Some(at) = self.home(id).await
                && let Ok(it) = self.pair[at].client.instance(id).await
                && it.state == InstanceState::Running
                && it.moving.is_none()
            {
                return at;
            }
            let views = (self.pair[0].client.instances().await, self.pair[1].client.instances().await);
            assert!(since.elapsed() < HEALED, "no single copy of {id} runs: {views:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Both have come to rest; where the counter is.
    async fn healed(&self, since: Instant) -> usize {
        for id in [&self.counter, &self.relay] {
            self.never_two(id).await;
            self.settled(id, since).await;
            self.never_two(id).await;
        }
        self.settled(&self.counter, since).await
    }

    /// What the counter knows.
    async fn count(&self, at: usize) -> u64 {
        let said = says(&self.pair[at].client, &self.counter).await;
        said.split_once(" (").and_then(|(count, _)| count.parse().ok()).unwrap_or_else(|| panic!("{said}"))
    }

    /// What is done last arrives. All that the actuator was set to.
    async fn last_effect(&mut self) -> Vec<i64> {
        let at = self.settled(&self.relay, Instant::now()).await;
        self.set_next(at).await;
        let last = self.told;
        eventually("the last effect arrives", async || self.set.lock().unwrap().last() == Some(&last)).await;
        self.set.lock().unwrap().clone()
    }
}

/// Whether an instance runs on this device, by its own word.
async fn runs(client: &Client, id: &str) -> Option<u64> {
    let me = client.device().await.ok()?;
    let it = client.instance(id).await.ok()?;
    let here = it.device == me.id && matches!(it.state, InstanceState::Running | InstanceState::Moving);
    here.then_some(it.epoch)
}
