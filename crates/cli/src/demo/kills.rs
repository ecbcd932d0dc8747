//! Kills devices at random moments and holds them to their promise: key, group and state are intact.
//!
//! Everything random comes from the seed, which is printed, so that a run can be repeated (as far as the machine's own
//! timing allows). A kill may hit a device that runs, that is just being used, or that is still starting.

use std::time::Duration;

use tutti_control::{SetValue, Value};

use super::{
    report::{Steps, Stopped},
    scenario::{Cast, Kept, returned},
};

/// How long a device may take to be back, seen by the others, with all that it had.
const BACK: Duration = Duration::from_secs(13);

/// The longest time between a start and the next kill.
const LONGEST_LIFE_MS: u64 = 900;

/// The name that a device's state is marked with: a file that was acknowledged must be there after the kill.
const MARK: &str = "kills/mark.txt";

/// Random numbers from a seed (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>).
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// Kills this many times.
pub(crate) async fn run(cast: &mut Cast, steps: &mut Steps, kills: u32, seed: u64) -> Result<(), Stopped> {
    let mut random = Random(seed);
    let mut kept = Vec::new();
    for (actor, client) in cast.actors.iter().zip(&cast.clients) {
        let noted = async {
            let device = client.device().await.map_err(|error| error.to_string())?;
            Ok((Kept::from(device), String::new()))
        };
        kept.push(steps.take(format!("what {} must keep is noted", actor.name), BACK, noted).await?);
    }
    for kill in 1..=kills {
        let victim = random.below(cast.actors.len() as u64) as usize;
        let life = Duration::from_millis(random.below(LONGEST_LIFE_MS));
        // Every third one is killed once more while it is starting.
        let early = (random.below(3) == 0).then(|| Duration::from_millis(random.below(250)));
        let Some(name) = cast.actors.get(victim).map(|actor| actor.name.clone()) else { return Err(Stopped) };
        let step = match early {
            Some(early) => format!("kill {kill}: {name} after {life:?}, and again {early:?} into its start"),
            None => format!("kill {kill}: {name} after {life:?}"),
        };
        let Some(expected) = kept.get(victim).cloned() else { return Err(Stopped) };
        steps.take(step, BACK, one(cast, victim, life, early, &expected, u64::from(kill))).await?;
    }
    Ok(())
}

async fn one(
    cast: &mut Cast,
    victim: usize,
    life: Duration,
    early: Option<Duration>,
    expected: &Kept,
    kill: u64,
) -> Result<((), String), String> {
    let Cast { actors, clients } = cast;
    let (Some(actor), Some(client)) = (actors.get_mut(victim), clients.get_mut(victim)) else {
        return Err("there is no such device".into());
    };
    let mark = format!("kill {kill}\n");
    // Busy while it is killed: it stores one thing that is acknowledged, and keeps changing another.
    let stored = store(client, &actor.name, mark.clone()).await?;
    let busy = async {
        let knob = SetValue { value: Value::Int(1), token: None };
        loop {
            // Whether the last of these came through, nobody can tell; that is the point.
            let _ = client.set(&actor.name, "lamp", &knob).await;
            let _ = client.resources(&Default::default()).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    let _: Result<(), _> = tokio::time::timeout(life, busy).await;
    actor.kill().await?;
    if let Some(early) = early {
        actor.start()?;
        tokio::time::sleep(early).await;
        actor.kill().await?;
    }
    actor.start()?;
    *client = actor.ready().await?;
    let device = client.device().await.map_err(|error| error.to_string())?;
    let found = Kept::from(device);
    if found != *expected {
        return Err(format!("it had {expected:?} and now has {found:?}"));
    }
    if stored && fetch(client, &actor.name).await? != mark {
        return Err("a file that it had acknowledged is not as it was".into());
    }
    let name = actor.name.clone();
    let others: Vec<_> =
        clients.iter().enumerate().filter(|&(at, _)| at != victim).map(|(_, client)| client.clone()).collect();
    returned(&others, &name).await.map(|_| ((), String::new()))
}

/// Stores the mark in the device's first storage. False if it has none.
async fn store(client: &tutti_control::Client, device: &str, mark: String) -> Result<bool, String> {
    let Some(storage) = storage(client, device).await? else { return Ok(false) };
    let body = std::io::Cursor::new(mark.into_bytes());
    client.store(device, &storage, MARK, body).await.map(|_| true).map_err(|error| error.to_string())
}

async fn fetch(client: &tutti_control::Client, device: &str) -> Result<String, String> {
    let Some(storage) = storage(client, device).await? else { return Err("its storage has gone".into()) };
    let mut download = client.fetch(device, &storage, MARK).await.map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    while let Some(piece) = download.chunk().await.map_err(|error| error.to_string())? {
        bytes.extend_from_slice(&piece);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn storage(client: &tutti_control::Client, device: &str) -> Result<Option<String>, String> {
    let filter = tutti_control::client::ResourceFilter {
        kind: Some("storage".into()),
        device: Some(device.into()),
        ..Default::default()
    };
    let found = client.resources(&filter).await.map_err(|error| error.to_string())?;
    Ok(found.into_iter().next().map(|resource| resource.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_fate() {
        // The first numbers of the reference implementation for the seed 1234567.
        let mut random = Random(1_234_567);
        let first: Vec<_> = std::iter::repeat_with(|| random.next()).take(3).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
        assert!((0..1000).all(|_| random.below(7) < 7));
    }
}
