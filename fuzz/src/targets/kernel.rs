//! Files of the kernel and of the distribution. They are no enemy's, but drivers of all ages write them, and a cable
//! can have anything at its end that names itself.

use tutti_resources::{cpu, disk, iio, led, machine, memory, network};

/// Every parser on the same text.
pub(crate) fn kernel_files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for (which, _) in cpu::parse_stat(&text) {
        assert!(which.starts_with("cpu"));
    }
    assert!(cpu::parse_load_average(&text).is_none_or(|load| load.is_finite() && load >= 0.0));
    assert!(memory::parse_meminfo(&text).is_none_or(|memory| memory.available <= memory.total));
    for traffic in network::parse_dev(&text) {
        assert!(!traffic.interface.is_empty() && !traffic.interface.contains('/') && traffic.interface != "..");
    }
    for mount in disk::parse_mounts(&text) {
        assert!(mount.point.is_absolute());
    }
    for word in text.split_whitespace() {
        if let Some(channel) = iio::Channel::parse(word) {
            assert!(channel.factor.is_finite() && !channel.shared("scale").is_empty());
        }
    }
    assert!(led::active_trigger(&text).is_none_or(|trigger| text.contains(&format!("[{trigger}]"))));
    assert!(machine::os_release_field(&text, "PRETTY_NAME").is_none_or(|value| !value.is_empty()));
}

pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let text = |name, text: &str| (name, text.as_bytes().to_vec());
    vec![
        text("stat", "cpu  10 1 5 100 2 0 1 0 0 0\ncpu0 10 1 5 100 2 0 1 0 0 0\ncpu12 1 2 3 4\nintr 5\n"),
        text("loadavg", "0.21 0.10 0.05 1/234 4711\n"),
        text(
            "meminfo",
            "MemTotal:  8000000 kB\nMemFree: 1 kB\nMemAvailable:  6000000 kB\nBuffers: 2 kB\nCached: 3 kB\n",
        ),
        text(
            "dev",
            "Inter-| Receive | Transmit\n face |bytes\n  eth0: 100 1 0 0 0 0 0 0 200 2 0 0 0 0 0 0\neth0:1: 1 2 3 4 5 6 7 8 9\n",
        ),
        text("mounts", "/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /media/a\\040b\\134c vfat rw 0 0\noverlay / overlay rw\n"),
        text(
            "iio",
            "in_accel_x in_voltage0-voltage1 in_temp0_object in_humidityrelative in_timestamp in_rot_quaternion",
        ),
        text("triggers", "none [timer] heartbeat default-on\n"),
        text("os-release", "NAME=Debian\nPRETTY_NAME=\"Debian \\\"12\\\" \\$x\"\nEMPTY=\nSINGLE='a\\b'\n"),
    ]
}
