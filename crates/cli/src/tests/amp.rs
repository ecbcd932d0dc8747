//! `tutti amp table` on firmwares of all sorts.

use insta::assert_snapshot;
use tutti_metal::DeviceAddr;
use tutti_remoteproc::{
    elf::{Class, Machine},
    table::{Carveout, Claim, Entry, Label, PhysClaim, Trace, Vdev, Vendor, buffer_len, emit},
    testing::Firmware,
};
use tutti_virtio::VringEntry;

use super::Host;

fn table() -> Vec<u8> {
    let queue = |notifyid| VringEntry { da: u32::MAX, align: 4096, num: 256, notifyid };
    let queues = [queue(0), queue(1)];
    let entries = [
        Entry::Carveout(Carveout {
            da: Claim(0x3800_0000),
            pa: PhysClaim::ANY,
            len: 0x10000,
            flags: 0,
            name: Label::literal("text"),
        }),
        Entry::Vdev(Vdev::rpmsg(&queues)),
        Entry::Trace(Trace { da: Claim(0x3801_0000), len: 4096, name: Label::literal("log") }),
        Entry::Vendor(Vendor { kind: 128, bytes: &[8, 0, 0, 0] }),
    ];
    let mut bytes = vec![0; buffer_len(&entries)];
    emit(&entries, &mut bytes).unwrap();
    bytes
}

fn firmware(table: Option<Vec<u8>>) -> Vec<u8> {
    let da = DeviceAddr(0x3800_0000);
    let segments = vec![(da, vec![0x55; 32], 64)];
    let table = table.map(|bytes| (DeviceAddr(0x3800_0020), bytes));
    Firmware { class: Class::Elf32, machine: Machine::ARM, entry: 0x3800_0001, segments, table }.build()
}

#[tokio::test]
async fn tables_are_shown_and_linted() {
    let host = Host::empty();
    let folder = tempfile::tempdir().unwrap();
    let mut refused = table();
    refused[8] = 1;
    refused[113] = 3;
    let mut cut = firmware(Some(table()));
    cut.truncate(100);
    let files = [
        ("sound.elf", firmware(Some(table()))),
        ("refused.elf", firmware(Some(refused))),
        ("without.elf", firmware(None)),
        ("cut.elf", cut),
        ("table.bin", table()),
        ("notes.txt", b"no firmware at all".to_vec()),
        ("empty", vec![]),
    ];
    let mut all = String::new();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        for json in ["", " --json"] {
            if !json.is_empty() && !["sound.elf", "notes.txt"].contains(&name) {
                continue;
            }
            let shown = host.tutti(&format!("amp table {}{json}", path.display())).await;
            let shown = shown.replace(folder.path().to_str().unwrap(), "DIR");
            all += &format!("$ tutti amp table {name}{json}\n{shown}\n\n");
        }
    }
    let missing = host.tutti("amp table /nowhere/firmware.elf").await;
    assert_snapshot!("amp_table", format!("{all}$ tutti amp table missing\n{missing}"));
}
