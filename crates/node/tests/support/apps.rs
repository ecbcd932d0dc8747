//! Devices of one group that run apps, and what an app that counts says of itself.

use std::time::{Duration, Instant};

use tutti_app::package::Package;
use tutti_control::{AppInstance, AuditWhat, Client, InstanceState, Presence, Role, RunRequest, StandbyRequest};

use super::{Device, Host, eventually};

pub(crate) const COUNTER: &[u8] = include_bytes!("../../../../apps/built/counter.wasm");
pub(crate) const RELAY: &[u8] = include_bytes!("../../../../apps/built/relay.wasm");

/// What the relay wants: one sensor and one actuator, by their units.
pub(crate) fn relay_wants(sensor: &str, actuator: &str) -> String {
    format!(
        "[wants.sensor]\nkind = \"sensor\"\nunit = {sensor:?}\nrequired = true\n\
         [wants.actuator]\nkind = \"actuator\"\nunit = {actuator:?}\nrequired = true\n"
    )
}

/// A package of this component.
pub(crate) fn package(name: &str, version: &str, component: &[u8], more: &str) -> std::io::Cursor<Vec<u8>> {
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let manifest =
        format!("name = {name:?}\nversion = {version:?}\nlimits.memory-kib = 16384\nlimits.cpu = 1000\n{more}");
    std::io::Cursor::new(Package::make(&manifest, component, None, &key).unwrap())
}

/// Devices of one group that see each other. The first is its owner, and allows the counter.
pub(crate) async fn group<const N: usize>(names: [&'static str; N]) -> (Host, [Device; N]) {
    let host = Host::new();
    let all = names.map(|name| host.start(name));
    for other in &all[1..] {
        other.pair_with(&all[0], Role::Member).await;
    }
    for (one, other) in all.iter().flat_map(|one| names.map(|name| (one, name))) {
        if one.name != other {
            one.sees(other, Presence::Online).await;
        }
    }
    all[0].client.install_app(package("counter", "0.1.0", COUNTER, "")).await.unwrap();
    (host, all)
}

/// Each is stopped through the API.
pub(crate) async fn stop(devices: impl IntoIterator<Item = Device>) {
    for device in devices {
        device.stop().await;
    }
}

pub(crate) fn on(device: &str) -> RunRequest {
    RunRequest { on: Some(device.into()), ..RunRequest::default() }
}

/// A standby that goes on after three seconds, and gets what changed twice a second.
pub(crate) fn quick(standby: &str) -> StandbyRequest {
    let (lease_ms, checkpoint_ms) = (Some(3000), Some(500));
    StandbyRequest { device: standby.into(), lease_ms, checkpoint_ms, ..StandbyRequest::default() }
}

pub(crate) fn guarded(home: &str, standby: StandbyRequest) -> RunRequest {
    RunRequest { standby: Some(standby), ..on(home) }
}

/// A counter that is run at that device, and knows four.
pub(crate) async fn counting(by: &Device, request: &RunRequest) -> String {
    let it = by.client.run_app("counter", request).await.unwrap().id;
    eventually("it is known", async || by.client.instance(&it).await.is_ok()).await;
    by.client.tell_instance(&it, "add 4").await.unwrap();
    assert_eq!(count(by, &it).await, "4 (4)");
    it
}

pub(crate) async fn instance(of: &Device, id: &str) -> AppInstance {
    of.client.instance(id).await.unwrap_or_else(|error| panic!("{}: {error}", of.name))
}

pub(crate) async fn is(of: &Device, id: &str, state: InstanceState, at: &str) {
    let begun = Instant::now();
    loop {
        let found = of.client.instance(id).await;
        if found.as_ref().is_ok_and(|it| it.state == state && it.device_name == at) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{} sees {id} not {state} at {at}: {found:?}", of.name);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the counter says of itself, asked at that device: its count, and how it came to it.
pub(crate) async fn says(client: &Client, id: &str) -> String {
    let log = client.instance_log(id, 0).await.unwrap();
    let before = log.last().map_or(0, |line| line.number);
    client.tell_instance(id, "show").await.unwrap();
    let begun = Instant::now();
    loop {
        let lines = client.instance_log(id, before).await.unwrap();
        if let Some(line) = lines.iter().find(|line| line.text.contains('(')) {
            return line.text.clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{lines:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn count(of: &Device, id: &str) -> String {
    says(&of.client, id).await
}

/// Where an instance runs, by what each of them says of itself.
pub(crate) async fn running_at<'a>(devices: &[&'a Device], id: &str) -> Vec<&'a str> {
    let mut at = Vec::new();
    for device in devices {
        let all = device.client.instances().await.unwrap_or_default();
        if all.iter().any(|it| it.id == id && it.state == InstanceState::Running && it.device_name == device.name) {
            at.push(device.name);
        }
    }
    at
}

/// It goes on at its standby in the time that was foretold. How long it took.
pub(crate) async fn goes_on_at(standby: &Device, id: &str, fail_over: Duration) -> Duration {
    let begun = Instant::now();
    while running_at(&[standby], id).await.is_empty() {
        let late = fail_over + Duration::from_secs(3);
        assert!(begun.elapsed() < late, "{:#?}", standby.client.instances().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}

/// The old home finds that it was succeeded, and keeps its copy; exactly one runs.
pub(crate) async fn is_stray(home: &Device, standby: &Device, id: &str) {
    eventually("the old home has given its copy up", async || {
        assert!(running_at(&[home, standby], id).await.len() <= 1);
        let all = home.client.instances().await.unwrap();
        all.iter().any(|it| it.id == id && it.state == InstanceState::GivenUp && it.device_name == home.name)
    })
    .await;
    assert_eq!(running_at(&[home, standby], id).await, [standby.name]);
}

/// Whether that device's audit log says so of an instance.
pub(crate) async fn audited(of: &Device, id: &str, what: AuditWhat, about: &str) -> bool {
    let audit = of.client.audit(0).await.unwrap();
    audit.iter().any(|it| it.what == what && it.instance.as_deref() == Some(id) && it.about.contains(about))
}

pub(crate) fn code<T: std::fmt::Debug>(
    result: Result<T, tutti_control::ClientError>,
) -> Option<tutti_control::ErrorCode> {
    result.expect_err("it is refused").code()
}

impl Device {
    /// `-STOP`: it does nothing until `-CONT`.
    pub(crate) fn signal(&self, what: &str) {
        let done = std::process::Command::new("kill").args([what, &self.process.id().to_string()]).status();
        assert!(done.unwrap().success());
    }
}
