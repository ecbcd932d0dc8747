//! What images carry, booted: an app that the owner of the group installs without having it, a core that joins behind its device, a
//! made-up GPIO chip; and the panel, which has a screen and a keyboard.

use std::{collections::BTreeSet, path::PathBuf, process::Command};

use serde_json::Value;

use super::{support::device::TUTTI, *};

/// A package of the example that counts.
fn counter(into: &Path) -> PathBuf {
    let apps = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps");
    let file = into.join("counter.tutti");
    let made = Command::new(TUTTI)
        .args(["app", "build", "--component"])
        .arg(apps.join("built/counter.wasm"))
        .arg("-o")
        .arg(&file)
        .arg(apps.join("counter"))
        .env("TUTTI_AUTHOR_KEY", into.join("author.key"))
        .output()
        .expect("tutti runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    file
}

/// The modules of user-mode Linux, in a folder that is called as their kernel calls itself.
fn modules(kernel: &Path, into: &Path) -> PathBuf {
    let bytes = fs::read(kernel).unwrap();
    let marker = b"Linux version ";
    let at = bytes.windows(marker.len()).position(|window| window == marker).expect("a kernel says its version");
    let release: Vec<u8> = bytes[at + marker.len()..].iter().copied().take_while(|byte| *byte != b' ').collect();
    let folder = into.join(String::from_utf8(release).unwrap());
    fs::create_dir_all(folder.join("kernel")).unwrap();
    for module in fs::read_dir(kernel.with_file_name("modules")).unwrap().flatten() {
        fs::copy(module.path(), folder.join("kernel").join(module.file_name())).unwrap();
    }
    folder
}

#[test]
fn what_an_image_carries_is_taken_up() {
    let Some(kernel) = named("TUTTI_LINUX") else { return };
    let folder = tempfile::tempdir().unwrap();
    let app = counter(folder.path());
    let kernel = format!(
        "board = \"user-mode-linux\"\n\n[kernel]\nfile = {kernel:?}\nmodules = {:?}\n\n[[core]]\nname = \"brain\"\n\
         firmware = {TUTTI:?}\narguments = [\"demo-core\", \"brain-core\"]\nstop-message = \"100:00\"",
        modules(&kernel, folder.path())
    );
    let apps = format!("parts = [\"gpio-simulated\"]\napps = [{{ file = {app:?}, run = true }}]");
    let changes = [
        ("board = \"qemu-x86-64\"", kernel.as_str()),
        ("image = \"15 MiB\"", "image = \"256 MiB\""),
        ("parts = [\"storage\", \"compute\", \"sensors\", \"watchdog\"]", apps.as_str()),
        ("[system]\ndevice = \"/dev/vda\"\n", ""),
    ];
    let image = built(&product("gateway", folder.path(), &changes));
    let inspected = json(&["inspect", "--json", &image.display().to_string()]);
    let parts: BTreeSet<_> =
        inspected["manifest"]["parts"].as_array().unwrap().iter().filter_map(|part| part["name"].as_str()).collect();
    for part in ["cores", "compute"] {
        assert!(parts.contains(part), "what is carried takes the part {part}: {parts:?}");
    }
    let (studio, attic) = pool(folder.path());
    let (booted, _) = boots_and_joins(&studio, &image, &["--ram", "512 MiB"]);

    // The app is offered, and nobody runs it before an owner's word.
    let listed = || studio.json(&["app", "ls"]);
    eventually(S(20), "the app is offered", || listed()["carried"][0]["device_name"] == "gateway");
    assert_eq!((&listed()["carried"][0]["installed"], &listed()["apps"]), (&false.into(), &serde_json::json!([])));
    let shown = studio.must(&["app", "ls"]);
    assert!(shown.contains("CARRIED") && shown.contains("counter"), "{shown}");
    let refused = attic.run(&["app", "install", "--from", "gateway", "counter"]);
    assert!(!refused.ok && refused.err.contains("only owners"), "{}", refused.err);
    let hint = studio.run(&["app", "install", "counter"]);
    assert!(!hint.ok && hint.err.contains("tutti app install --from gateway counter"), "{}", hint.err);
    let begun = Instant::now();
    studio.must(&["app", "install", "--from", "gateway", "counter"]);
    eventually(S(60), "it runs on the device that carries it", || {
        let it = &listed()["instances"][0];
        it["state"] == "running" && it["device_name"] == "gateway"
    });
    println!("\nok carried app: installed over the pool, and running there after {:.1?}", begun.elapsed());

    // The core has started with the device; it is started again when it crashes.
    let degrees = || studio.reading("brain-core/die-temperature").is_ok_and(|degrees| degrees > 30.0);
    eventually(S(20), "the core's sensor is read", degrees);
    assert_eq!(studio.view_of("brain-core").map(|it| it["kind"].clone()), Some("core".into()));
    studio.must(&["set", "brain-core/lamp", "on"]);
    studio.run(&["set", "brain-core/fault", "on"]);
    let begun = Instant::now();
    eventually(S(20), "the core begins a new life", || {
        studio.run(&["read", "brain-core/lamp", "--json"]).out.contains("\"value\": false")
    });
    println!("\nok carried core: its sensor read from another device; back {:.1?} after a crash", begun.elapsed());

    studio.must(&["set", "gateway/gpio-lamp", "on"]);
    assert_eq!(studio.json(&["read", "gateway/gpio-lamp"])["value"], true);
    assert_eq!(studio.json(&["read", "gateway/gpio-button"])["value"], false);
    println!("\nok gpio: a made-up chip's lamp switched, its button read");
    drop(booted);
    gone(&studio, "gateway");
}

#[test]
fn a_panel_has_buttons_and_says_what_becomes_of_its_screen() {
    if named("TUTTI_IMAGE_FIRMWARE").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = built(&product("panel", folder.path(), &[("image = \"15 MiB\"", "image = \"64 MiB\"")]));
    let studio = Plan::new(folder.path(), "studio").start();
    let booted = Booted::start(&studio, &image, &["--join", "--ram", "256 MiB", "--once", "doctor"]);
    eventually(BOOT, "it joins the pool", || studio.sees(&["panel"]));
    let offered = || {
        let all = studio.json(&["resources"]);
        let of_panel = |one: &&Value| one["device_name"] == "panel";
        all.as_array().unwrap().iter().filter(of_panel).cloned().collect::<Vec<_>>()
    };
    let is_input = |one: &Value| one["kind"] == "input";
    eventually(S(30), "its button is a resource", || offered().iter().any(is_input));
    let inputs: Vec<_> = offered().iter().filter(|one| is_input(one)).map(|one| one["name"].to_string()).collect();
    assert!(inputs.iter().any(|name| name.contains("power")), "{inputs:?}");
    assert!(
        !inputs.iter().any(|name| ["keyboard", "tablet", "mouse"].iter().any(|it| name.contains(it))),
        "{inputs:?}"
    );
    assert!(!offered().iter().any(|one| one["kind"] == "display"), "nobody can draw on it yet");
    // What the device itself says of it.
    let says = ["displays are not offered yet", "Virtual-1", "stays on this machine", "QEMU Virtio Keyboard"];
    eventually(S(30), "its doctor has looked", || says.iter().all(|it| booted.said().contains(it)));
    println!(
        "\nok panel: {} offered, its keyboard is not; the doctor says that its screen is not yet",
        inputs.join(", ")
    );
    drop(booted);
}

#[test]
fn every_product_of_ours_becomes_an_image() {
    let Some(firmware) = named("TUTTI_IMAGE_FIRMWARE") else { return };
    let folder = tempfile::tempdir().unwrap();
    let products = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../products");
    let own = "source = \"../..\"";
    let firmware = format!("image = {:?}", firmware.display().to_string());
    let mut sizes = Vec::new();
    for entry in fs::read_dir(products).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(path.join("product.toml")).unwrap();
        // What is not optimised is larger than what is promised.
        let changes = [(own, firmware.as_str()), ("image = \"15 MiB\"", "image = \"64 MiB\"")];
        let changes: Vec<_> = changes.into_iter().filter(|(from, _)| text.contains(from)).collect();
        let product = product(name, folder.path(), &changes);
        assert_eq!(json(&["check", "--json", &product.display().to_string()])["ok"], true);
        let size = fs::metadata(built(&product)).unwrap().len();
        sizes.push(format!("{name} {size} bytes"));
    }
    println!("\nok products: {}", sizes.join(", "));
}
