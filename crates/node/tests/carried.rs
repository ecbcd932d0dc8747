//! What images carry, on whole devices: apps are offered to the group, installed by owners alone, run where the product says so; other cores are started
//! with the device.
#![cfg(feature = "apps")]

mod support;

use support::{Device, Host, eventually};
use tutti_app::package::Package;
use tutti_control::{CarriedApp, CheckState, ErrorCode, InstallCarried, InstanceState, Presence, Role};
use tutti_update::{
    Carried,
    carried::{App, Core, Firmware},
};

const COUNTER: &[u8] = include_bytes!("../../../apps/built/counter.wasm");

/// Not a test by itself: a device in a process of its own.
#[test]
#[ignore = "run by the other tests in processes of its own"]
fn device() {
    support::device();
}

/// A counter in the image of a device.
fn carry(host: &Host, device: &str, run: bool) {
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let manifest = "name = \"counter\"\nversion = \"0.1.0\"\nlimits.memory-kib = 16384\nlimits.cpu = 1000\n";
    let file = host.folder.path().join("counter.app");
    std::fs::write(&file, Package::make(manifest, COUNTER, None, &key).unwrap()).unwrap();
    host.carry(device, &Carried { apps: vec![App { file, run }], cores: Vec::new() });
}

async fn shelf(of: &Device) -> Vec<CarriedApp> {
    of.client.carried_apps().await.unwrap()
}

/// The states of the instances that it knows, with where they are.
async fn running(of: &Device) -> Vec<(InstanceState, String)> {
    of.client.instances().await.unwrap().into_iter().map(|it| (it.state, it.device_name)).collect()
}

/// What its doctor says of what is carried.
async fn diagnosis(of: &Device) -> Option<(CheckState, String)> {
    let checks = of.client.doctor().await.unwrap();
    checks.into_iter().find(|check| check.name == "carried").map(|check| (check.ok, check.what))
}

fn from(device: &str) -> InstallCarried {
    InstallCarried { from: Some(device.into()) }
}

#[tokio::test]
async fn an_owner_installs_what_another_device_carries_and_it_runs_there_once() {
    let host = Host::new();
    carry(&host, "panel", true);
    let (studio, panel) = (host.start("studio"), host.start("panel"));
    panel.pair_with(&studio, Role::Member).await;
    studio.sees("panel", Presence::Online).await;
    eventually("the owner is offered it", async || {
        shelf(&studio).await.iter().any(|it| it.name == "counter" && it.device_name == "panel" && it.run)
    })
    .await;
    assert!(!shelf(&studio).await[0].installed && studio.client.apps().await.unwrap().is_empty());
    // Neither the image nor the member that it runs on can allow it.
    let refused = panel.client.install_carried("counter", &InstallCarried::default()).await;
    assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::NotOwner));
    eventually("the doctor says what it waits for", async || {
        diagnosis(&panel).await.is_some_and(|(state, what)| {
            state == CheckState::Warn && what.contains("tutti app install --from panel counter")
        })
    })
    .await;
    for (app, by) in [("counter", "studio"), ("thermo", "panel")] {
        let none = studio.client.install_carried(app, &from(by)).await.unwrap_err();
        assert_eq!(none.code(), Some(ErrorCode::NoSuchApp), "{none}");
    }
    assert!(running(&panel).await.is_empty());

    let app = studio.client.install_carried("counter", &from("panel")).await.unwrap();
    assert_eq!((app.name.as_str(), app.version.as_deref(), app.here), ("counter", Some("0.1.0"), true));
    let there = [(InstanceState::Running, "panel".to_owned())];
    eventually("it runs on the device that carries it", async || running(&studio).await == there).await;
    eventually("it is installed", async || shelf(&studio).await.iter().all(|it| it.installed)).await;
    assert!(panel.client.apps().await.unwrap()[0].here, "it is kept beyond the image");
    assert_eq!(diagnosis(&panel).await.map(|it| it.0), Some(CheckState::Ok));

    // It is begun once: not again by the next start, nor when somebody has ended it.
    panel.kill();
    let panel = host.start("panel");
    eventually("it goes on", async || running(&panel).await == there).await;
    let id = panel.client.instances().await.unwrap()[0].id.clone();
    panel.client.end_instance(&id).await.unwrap();
    eventually("it is gone", async || running(&panel).await.is_empty()).await;
    panel.stop().await;
    let panel = host.start("panel");
    panel.sees("studio", Presence::Online).await;
    eventually("it was looked at", async || diagnosis(&panel).await.is_some_and(|it| it.0 == CheckState::Ok)).await;
    assert!(running(&panel).await.is_empty());
    // Nor is what an owner has removed allowed again by itself.
    eventually("it can be removed", async || studio.client.remove_app("counter").await.is_ok()).await;
    eventually("it is offered again", async || shelf(&studio).await.iter().all(|it| !it.installed)).await;
    assert!(studio.client.apps().await.unwrap().is_empty());
    panel.stop().await;
    studio.stop().await;
}

#[tokio::test]
async fn a_device_on_its_own_is_the_owner_for_its_image_until_it_enters_a_group() {
    let host = Host::new();
    carry(&host, "panel", true);
    let (studio, panel) = (host.start("studio"), host.start("panel"));
    let there = |state| [(state, "panel".to_owned())];
    eventually("it runs", async || running(&panel).await == there(InstanceState::Running)).await;
    let first = panel.client.instances().await.unwrap()[0].id.clone();
    let audit = panel.client.audit(0).await.unwrap();
    assert!(audit.iter().any(|line| line.what == tutti_control::AuditWhat::Installed), "{audit:?}");
    // Among others it needs their owner's word; what it has done stays.
    panel.pair_with(&studio, Role::Member).await;
    eventually("it stops", async || running(&panel).await == there(InstanceState::Failed)).await;
    eventually("it is offered", async || shelf(&studio).await.iter().any(|it| !it.installed)).await;
    studio.client.install_carried("counter", &InstallCarried::default()).await.unwrap();
    eventually("it goes on", async || running(&panel).await == there(InstanceState::Running)).await;
    assert_eq!(panel.client.instances().await.unwrap()[0].id, first);
    panel.stop().await;
    studio.stop().await;
}

#[tokio::test]
async fn what_its_owner_has_removed_is_not_installed_again() {
    let host = Host::new();
    carry(&host, "panel", false);
    let panel = host.start("panel");
    eventually("it is installed", async || shelf(&panel).await.iter().any(|it| it.installed)).await;
    assert!(running(&panel).await.is_empty());
    panel.client.remove_app("counter").await.unwrap();
    panel.kill();
    let panel = host.start("panel");
    let waits = "an owner allows it with";
    eventually("it waits", async || diagnosis(&panel).await.is_some_and(|it| it.1.contains(waits))).await;
    assert!(panel.client.apps().await.unwrap().is_empty());
    panel.client.install_carried("counter", &InstallCarried::default()).await.unwrap();
    assert!(shelf(&panel).await[0].installed);
    panel.stop().await;
}

#[tokio::test]
async fn what_cannot_be_taken_up_is_said_and_costs_nothing_else() {
    let host = Host::new();
    let bad = host.folder.path().join("bad.app");
    std::fs::write(&bad, "no package").unwrap();
    let processor = Firmware::Kernel { file: "m4.elf".into(), processor: "m4".into() };
    let program = Firmware::Process { program: "/nowhere/brain".into(), arguments: Vec::new(), stop: None };
    let core = |name: &str, firmware| Core { name: name.into(), firmware };
    let cores = vec![core("m4", processor), core("brain", program)];
    host.carry("panel", &Carried { apps: vec![App { file: bad, run: true }], cores });
    let panel = host.start("panel");
    let says = ["bad.app: it is left out", "no remote processor \"m4\"; it has none", "the core brain: "];
    eventually("it is said", async || {
        let said = diagnosis(&panel).await;
        said.is_some_and(|(state, what)| state == CheckState::Warn && says.iter().all(|it| what.contains(it)))
    })
    .await;
    assert!(panel.client.read("panel", "room-temperature").await.is_ok());
    panel.stop().await;
}
