//! Many devices in one group, in virtual time: how long until all see all, and what each then costs the network.
//!
//! `TUTTI_SIM_DEVICES=60 cargo test -p tutti-pool --test sim_scale -- --nocapture` for more of them than by default.
#![allow(clippy::print_stderr, dead_code, unreachable_pub)]

#[path = "sim/checks.rs"]
mod checks;
#[path = "stack/device.rs"]
mod device;
#[path = "stack/house.rs"]
mod house;
#[path = "stack/user.rs"]
mod user;
#[path = "stack/watch.rs"]
mod watch;
#[path = "stack/world.rs"]
mod world;

use std::time::Duration;

use checks::Violation;
use tutti_fabric::transport::sim::Conditions;
use watch::Faults;
use world::World;

/// Besides the three that every house has.
const SENSORS: usize = 17;
const REST: Duration = Duration::from_secs(20);

#[tokio::test(start_paused = true)]
async fn many_devices_find_each_other_soon_and_are_quiet_then() {
    let count = std::env::var("TUTTI_SIM_DEVICES").ok().and_then(|text| text.parse().ok()).unwrap_or(30_u8);
    let devices = f64::from(count);
    let began = std::time::Instant::now();
    let world = World::new(1, Conditions::default(), count, SENSORS, 0, Faults::default()).await;
    let settled = world.settled(Duration::from_secs(5)).await.unwrap_or_else(|Violation(what)| panic!("{what}"));
    let start = world.traffic();
    eprintln!("all agree after {settled:?} (computed in {:?})", began.elapsed());
    // Let what the start left over settle, too.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = world.traffic();
    tokio::time::sleep(REST).await;
    let after = world.traffic();
    let per_device = |all: u64| all as f64 / devices;
    let sum = |of: &std::collections::BTreeMap<_, u64>| of.values().sum::<u64>();
    let (started, started_bytes) = (per_device(sum(&start.packets)), per_device(sum(&start.bytes)));
    let seconds = REST.as_secs_f64();
    let packets = per_device(sum(&after.packets) - sum(&before.packets)) / seconds;
    let bytes = per_device(sum(&after.bytes) - sum(&before.bytes)) / seconds;
    eprintln!("to start, each sends {started:.0} packets of {:.0} KiB in all", started_bytes / 1024.0);
    eprintln!("at rest, each sends {packets:.0} packets of {bytes:.0} bytes in all a second");
    eprintln!("computed in {:?}", began.elapsed());
    assert!(settled <= Duration::from_secs(3), "{settled:?}");
    // Two heartbeats a second to each of the others, and a little more; digests of all devices, to a few of them.
    assert!(packets < 4.0 * devices, "{packets} packets a second at rest");
    assert!(bytes < 100.0 * devices, "{bytes} bytes a second at rest");
}
