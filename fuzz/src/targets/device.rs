//! What a device without a distribution takes from others: images, the network's answers, the kernel's and the image's
//! words. The archive is signed before it is unpacked; that is no reason to believe it.

use std::time::{Duration, Instant};

use tutti_init::{
    cmdline::CommandLine,
    cpio::{Nowhere, unpack},
    modules::Modules,
    net::{client, dhcp::Answer, netlink, sntp},
    notify,
    settings::Settings,
    uevent::Uevent,
};
use tutti_update::{
    Carried, Record, Slot, Version,
    carried::{App, Core, Firmware, Stop},
    image::Head,
    record::Failure,
    testing::{Made, key},
};

/// An image that claims to be signed by a known key.
pub(crate) fn image(bytes: &[u8]) {
    let mut from = bytes;
    if let Ok(head) = Head::read(&mut from, key(1).1) {
        let whole = head.check_members(&mut from).is_ok();
        assert!(!whole || head.image_len() <= bytes.len() as u64);
    }
}

pub(crate) fn image_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let made = Made::new("gateway", "1.2.0", b"the system");
    let kernel = made.clone().kernel(b"a kernel").for_kernel("6.1.0-40-amd64");
    vec![("plain", made.sign(&key(1).0)), ("kernel", kernel.sign(&key(1).0)), ("foreign", made.sign(&key(2).0))]
}

/// A record of which system runs.
pub(crate) fn record(bytes: &[u8]) {
    if let Some(record) = Record::parse(bytes) {
        assert_eq!(record.emit().as_slice(), bytes);
        record.start(|_| None);
    }
}

pub(crate) fn record_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let staged = Record::default().staged(Slot::B, 3);
    let good = staged.confirmed(Slot::B, Version([1, 2, 3]));
    let failed = good.failed(Version([2, 0, 0]), Failure::NotJoined);
    [("staged", staged), ("good", good), ("failed", failed)].map(|(name, record)| (name, record.emit().to_vec())).into()
}

/// The list of what an image carries: what is read is written again.
pub(crate) fn carried(bytes: &[u8]) {
    if let Ok(list) = Carried::parse(bytes) {
        let written = list.to_bytes().expect("what was read can be written");
        assert_eq!(Carried::parse(&written).expect("and read again"), list);
    }
}

pub(crate) fn carried_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let app = |run| App { file: "/usr/share/tutti/apps/counter.app".into(), run };
    let stop = Some(Stop { endpoint: 100, bytes: vec![0, 1] });
    let process = Firmware::Process { program: "/usr/bin/tutti".into(), arguments: vec!["demo-core".into()], stop };
    let kernel = Firmware::Kernel { file: "m4.elf".into(), processor: "m4".into() };
    let core = |name: &str, firmware| Core { name: name.into(), firmware };
    let lists = [
        ("apps", Carried { apps: vec![app(false), app(true)], cores: Vec::new() }),
        ("cores", Carried { apps: Vec::new(), cores: vec![core("brain", process), core("m4", kernel)] }),
    ];
    lists.map(|(name, list)| (name, list.to_bytes().unwrap_or_default())).into()
}

/// An archive: no path leads out, and it ends.
pub(crate) fn archive(bytes: &[u8]) {
    let _ = unpack(bytes, &mut Nowhere);
}

pub(crate) fn archive_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let entry = |name: &str, mode: u32, data: &[u8]| {
        let fields = [1, mode as usize, 0, 0, 1, 0, data.len(), 0, 0, 0, 0, name.len() + 1, 0];
        let fields: String = fields.iter().map(|field| format!("{field:08x}")).collect();
        let mut bytes = [b"070701".as_slice(), fields.as_bytes(), name.as_bytes(), &[0]].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let files = [entry("etc", 0o40755, b""), entry("init", 0o100_755, b"x"), entry("lib", 0o120_777, b"usr/lib")];
    let whole = [files.concat(), entry("TRAILER!!!", 0, b"")].concat();
    let twice = [whole.as_slice(), &[0; 16], &whole].concat();
    vec![("plain", whole), ("twice", twice), ("outside", entry("../x", 0o100_644, b"x"))]
}

/// What a network answers: DHCP, SNTP, and the kernel by netlink. Whatever it is, the client goes on, and not faster than
/// it should.
pub(crate) fn network(bytes: &[u8]) {
    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];
    let now = Instant::now();
    let xid = bytes.get(4..8).and_then(|xid| xid.try_into().ok()).map_or(0, u32::from_be_bytes);
    if let Some(answer) = Answer::parse(bytes, xid, MAC) {
        assert!(answer.prefix <= 32 && answer.dns.len() <= 4);
    }
    let mut client = client::Client::new(now, MAC, "fuzz", 1);
    client.poll(now);
    client.handle(now, bytes);
    assert!(client.poll(now + Duration::from_millis(1)).is_none() || client.next() > now);
    netlink::answer(bytes, 1);
    let mut asking = sntp::Client::new(now);
    let drawn = bytes.get(24..32).and_then(|drawn| drawn.try_into().ok()).map_or(0, u64::from_be_bytes);
    asking.poll(now, drawn);
    if let Some(since) = asking.handle(now, bytes) {
        assert!(since >= sntp::CLOCK_SET);
    }
}

pub(crate) fn network_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut offer = vec![0; 236];
    offer[..4].copy_from_slice(&[2, 1, 6, 0]);
    offer[16..20].copy_from_slice(&[10, 0, 2, 15]);
    offer[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 7]);
    offer.extend([99, 130, 83, 99, 53, 1, 2, 1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 2, 2, 51, 4, 0, 0, 14, 16, 255]);
    let mut time = vec![0; 48];
    (time[0], time[1], time[40]) = (0x24, 2, 0xee);
    vec![("offer", offer), ("time", time)]
}

/// Words of the kernel, the boot loader, the image and the node.
pub(crate) fn words(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for event in Uevent::of_message(bytes).into_iter().chain([Uevent::of_file(&text)]) {
        assert!(
            event.node().is_none_or(|(name, _, _)| !name.starts_with('/') && !name.split('/').any(|part| part == ".."))
        );
    }
    CommandLine::parse(&text);
    let _ = text.parse::<Settings>();
    notify::parse(bytes);
    let modules = Modules::new(&text, &text, &text);
    for word in text.split_whitespace().take(20) {
        modules.for_hardware(word);
        let _ = modules.files_for(word);
    }
}

pub(crate) fn words_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let text = |name, text: &str| (name, text.as_bytes().to_vec());
    vec![
        text("message", "add@/devices/x\0ACTION=add\0MAJOR=13\0MINOR=64\0DEVNAME=input/event0\0MODALIAS=pci:v1\0"),
        text("file", "MAJOR=254\nMINOR=3\nDEVNAME=vda3\nPARTNAME=state\n"),
        text("line", "quiet tutti.rescue tutti.ip=10.0.0.2/24 \"tutti.node=a b\" tutti.state=PARTLABEL=x\n"),
        text("alias", "alias pci:v0000*d[0-9]*sv* e1000\nalias input:b*v*p*e*-e*1,* evdev\npci:v00001d5sv7\n"),
        text("dep", "kernel/a.ko: kernel/b.ko kernel/c.ko\nkernel/b.ko.xz:\na b c\n"),
        text("settings", "hostname = \"x\"\n[network]\nmode = \"static\"\naddress = \"10.0.0.2/24\"\n"),
        text("notify", "READY=1\nSTATUS=it is up\nWATCHDOG=1\nX_TUTTI_JOINED=1\n"),
    ]
}
