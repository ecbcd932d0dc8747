//! A kernel that is built for one product alone, by what `tutti image kernel` says, boots it in memory in which a distribution's kernel does not
//! begin. By the layer `own-kernel`, which builds it and names it in `TUTTI_OWN_KERNEL`, with its `config` beside it, and in `TUTTI_OWN_PROGRAMS`
//! the folder of optimised programs: others are twice as large, and with 64 MiB so busy reading themselves that they answer nobody in time.

use std::{fs, path::Path};

use super::{
    S,
    support::{
        booted::{BOOT, Booted, built_with, json, named, product},
        device::{Plan, eventually},
    },
};

/// What the device has.
const MEMORY: &str = "64 MiB";

#[test]
fn a_kernel_for_the_product_alone_boots_it_in_little_memory() {
    let (Some(kernel), Some(programs)) = (named("TUTTI_OWN_KERNEL"), named("TUTTI_OWN_PROGRAMS")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = kernel.with_file_name("config");
    let files = format!("[kernel]\nfile = {kernel:?}\nconfig = {config:?}\n\n[group]");
    let product =
        product("gateway", folder.path(), &[("[group]", &files), ("image = \"15 MiB\"", "image = \"64 MiB\"")]);
    // What the command asks for is what the kernel has.
    let wanted = json(&["kernel", "--json", &product.display().to_string()]);
    let has = fs::read_to_string(&config).unwrap();
    let options = wanted["options"].as_array().unwrap();
    for option in options {
        let line = format!("CONFIG_{}={}", option["option"].as_str().unwrap(), option["value"].as_str().unwrap());
        assert!(has.lines().any(|it| it == line), "{line} is wanted by {} and is not there", option["parts"]);
    }
    let size = fs::metadata(&kernel).unwrap().len();
    println!(
        "\nok own kernel: {} options, {} KiB, {} KiB to unpack itself",
        options.len(),
        size >> 10,
        init_size(&kernel) >> 10
    );

    let image = built_with(&product, &["--programs", &programs.display().to_string()]);
    let studio = Plan::new(folder.path(), "studio").start();
    // Both measure for milliseconds whether a timer is right: a question for hardware, not for an interpreter that has to wait for its turn.
    let patient = ["--append", "no_timer_check tsc=unstable"];
    let node = ["--join", "--ram", MEMORY, "--node=--simulate", "--node=room-temperature,lamp"];
    let booted = Booted::start(&studio, &image, &[&node[..], &patient].concat());
    eventually(BOOT, "it joins the pool", || studio.sees(&["gateway"]));
    eventually(S(30), "its sensor is read", || {
        studio.reading("gateway/room-temperature").is_ok_and(|degrees| (10.0..35.0).contains(&degrees))
    });
    let ready = booted.seconds("the node is ready,").expect("it says when its node is ready");
    let used = studio.reading("gateway/memory-used").expect("it says what it uses") / f64::from(1 << 20);
    println!(
        "\nok own-kernel boots: {MEMORY}, its node ready {ready:.1} s after the start, read from another device, {used:.0} MiB in use"
    );
    let said = booted.said();
    let complaint =
        ["was not loaded", "cannot be mounted", "Out of memory", "not heard"].into_iter().find(|it| said.contains(it));
    assert_eq!(complaint, None, "{said}");
    let took = booted.end();
    assert!(took < S(20), "ctrl-alt-del ends it, not the emulator's end after {took:?}");
    println!("\nok own-kernel left: switched off by ctrl-alt-del in {took:.1?}");
}

/// What the kernel wants to have from where it begins, to unpack itself (`Documentation/arch/x86/boot.rst`, `init_size`).
fn init_size(kernel: &Path) -> u32 {
    let bytes = fs::read(kernel).unwrap();
    u32::from_le_bytes(bytes[0x260..0x264].try_into().unwrap())
}
