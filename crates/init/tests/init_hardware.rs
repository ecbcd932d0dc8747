//! The drivers of the pool on the hardware that Linux makes up: GPIO lines of gpio-sim, a thermometer on i2c-stub, a
//! panel of uinput. What they need is loaded by `tutti-init`, in part because the hardware asks for it, and one module is
//! compressed. Part of the layer `init`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the layer reads how each part went")]

mod support;

use support::{Machine, kernel};

#[test]
fn the_kernels_virtual_hardware_is_used() {
    let Some(kernel) = kernel() else { return };
    let mut machine = Machine::new(kernel);
    machine.settings =
        "modules = [\"gpio-sim\", \"uinput\", \"i2c-stub chip_addr=0x48\"]\n[network]\nmode = \"none\"\n\
        [node.environment]\nSTAND_IN = \"hardware\"\n"
            .into();
    machine.files.push(("etc/tutti/gpio-outputs".into(), b"relay\n".to_vec()));
    let mut running = machine.boot();
    let seen = running.until("stand-in: hardware is done");
    for what in ["gpio", "hwmon", "input"] {
        assert!(seen.iter().any(|line| line.contains(&format!("stand-in: {what} ok"))), "{what}: {seen:#?}");
    }
    for module in ["lm75 for i2c:lm75", "evdev for input:"] {
        assert!(seen.iter().any(|line| line.contains(&format!("loaded {module}"))), "{module}: {seen:#?}");
    }
    running.until("the power button was pressed");
    running.until("the device is switched off");
    let parts = seen.iter().filter_map(|line| line.split_once(" ok: ")).map(|(_, how)| how);
    println!("ok hardware: {}", parts.collect::<Vec<_>>().join("; "));
}
