//! Both apps have the other device as their standby, and the home, the standby, or both are killed. If it goes on at the standby, all that was
//! acknowledged [`MOST_LOST`] before the kill is there; if not, all that was acknowledged at all. No effect is applied that no home made, or
//! oftener than one was made: each home says in its audit log what it does, before it does it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tutti_control::{AuditWhat, InstanceState, StandbyRequest};

use super::{
    NAMES, World, plan,
    support::{apps::guarded, eventually},
};

/// The most work that may be lost with its home, as is foretold.
const MOST_LOST: Duration = Duration::from_secs(2);

fn standby(name: &str) -> StandbyRequest {
    let (lease_ms, checkpoint_ms) = (Some(2000), Some(MOST_LOST.as_millis() as u64 / 5));
    StandbyRequest { device: name.into(), lease_ms, checkpoint_ms, ..StandbyRequest::default() }
}

/// What homes have said that they set the actuator to, by value.
#[derive(Default)]
struct Audit {
    seen: [u64; 2],
    made: BTreeMap<i64, usize>,
}

impl Audit {
    async fn read(&mut self, world: &World) {
        for (device, seen) in world.pair.iter().zip(&mut self.seen) {
            for line in device.client.audit(*seen).await.unwrap() {
                *seen = line.number;
                let value = line.about.rsplit(' ').next().and_then(|value| value.parse().ok());
                if let (AuditWhat::Set, Some(value)) = (line.what, value) {
                    *self.made.entry(value).or_default() += 1;
                }
            }
        }
    }
}

impl World {
    /// It has a standby. The copy of a home that was succeeded is discarded for that, as soon as the device where it is tells of it.
    async fn guard(&self, id: &str, at: usize) {
        let (client, other) = (&self.pair[at].client, NAMES[1 - at]);
        eventually("it has a standby", async || {
            if client.instance(id).await.unwrap().standby.as_deref() == Some(other) {
                return true;
            }
            let all = client.instances().await.unwrap();
            if all.iter().any(|it| it.id == id && it.state == InstanceState::GivenUp) {
                let _ = client.end_instance(&format!("{id}@{other}")).await;
                return false;
            }
            // It is refused as long as there is such a copy, of which this device may not have heard yet.
            client.set_standby(id, &standby(other)).await.is_ok()
        })
        .await;
    }
}

#[expect(clippy::print_stdout, reason = "how many kills there were is what the layer asks for")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_seeded_moments_of_fail_overs() {
    let (kills, mut rng) = plan();
    let mut world = World::begin(&guarded(NAMES[0], standby(NAMES[1]))).await;
    let (counter, relay) = (world.counter.clone(), world.relay.clone());
    let mut audit = Audit::default();
    // What the counter was told, and when what of it was acknowledged.
    let (mut knows, mut acknowledged) = (0, Vec::new());
    let (mut killed, mut elsewhere, mut lost) = ([0; 3], 0, 0);
    for kill in 0..kills {
        let began = Instant::now();
        let home = world.settled(&counter, began).await;
        let teller = world.settled(&relay, began).await;
        world.guard(&counter, home).await;
        world.guard(&relay, teller).await;
        for _ in 0..rng.u32(1..6) {
            world.pair[home].client.tell_instance(&counter, "add 1").await.unwrap();
            world.set_next(teller).await;
            knows += 1;
            eventually("it knows", async || world.count(home).await == knows).await;
            acknowledged.push((Instant::now(), knows));
            tokio::time::sleep(Duration::from_millis(rng.u64(..500))).await;
        }
        let epoch = world.pair[home].client.instance(&counter).await.unwrap().epoch;
        audit.read(&world).await;

        // The home, its standby, or both; for a moment, or for longer than a run-lease. Of homes most, since that is what a standby is for.
        let sort = [0, 0, 1, 2][rng.usize(..4)];
        let victims = vec![vec![home], vec![1 - home], vec![home, 1 - home]].swap_remove(sort);
        killed[sort] += 1;
        tokio::time::sleep(Duration::from_millis(rng.u64(..600))).await;
        let at = Instant::now();
        victims.iter().for_each(|victim| world.kill(*victim));
        let pause = at + Duration::from_millis(rng.u64(..5000));
        while Instant::now() < pause {
            world.never_two(&counter).await;
            world.never_two(&relay).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut order = victims.clone();
        rng.shuffle(&mut order);
        for victim in order {
            world.start(victim);
            tokio::time::sleep(Duration::from_millis(rng.u64(..300))).await;
        }
        let now = world.healed(Instant::now()).await;
        let count = world.count(now).await;
        let what = format!("kill {kill}: {victims:?} of {home} were killed; now {count} of {knows} at {now}");
        if now == home {
            assert_eq!(world.pair[now].client.instance(&counter).await.unwrap().epoch, epoch, "{what}");
            assert_eq!(count, knows, "{what}");
        } else {
            elsewhere += 1;
            let safe = acknowledged.iter().rev().find(|(when, _)| *when + MOST_LOST <= at).map_or(0, |(_, safe)| *safe);
            assert!((safe..=knows).contains(&count), "{what}; {safe} were safe");
            lost += knows - count;
            acknowledged.retain(|(_, it)| *it <= count);
        }
        knows = count;
        audit.read(&world).await;
    }
    let [homes, standbys, both] = killed;
    println!(
        "{kills} kills of {homes} homes, {standbys} standbys, {both} pairs: {elsewhere} times it went on elsewhere, {lost} events lost"
    );
    let set = world.last_effect().await;
    audit.read(&world).await;
    let mut applied: BTreeMap<i64, usize> = BTreeMap::new();
    set.iter().for_each(|value| *applied.entry(*value).or_default() += 1);
    for (value, times) in &applied {
        let made = audit.made.get(value).copied().unwrap_or(0);
        assert!(*times <= made, "{value} was set {times} times, but {made} times by the homes: {set:?}");
    }
    assert!(applied.len() as u64 >= kills, "{set:?}");
    world.shed.client.device().await.unwrap();
}
