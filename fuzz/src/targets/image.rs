//! What makes images, and images themselves: product files and parts from vendors, programs and modules from packages, images
//! from anywhere, and the frames of a guest.

use ed25519_dalek::SigningKey;
use tutti_image::{
    board::boards,
    bundle::{self, Bundle, Head},
    elf::Elf,
    fault::Faults,
    kernel::{Config, modules::Info},
    manifest::{Manifest, Member, Part, Profile, Role},
    parts::Catalogue,
    product::{self, Answers},
    resolve::{Target, resolve},
    size::Size,
    usernet::{Action, MAX_FRAME, Network},
};

type Seeds = Vec<(&'static str, Vec<u8>)>;

/// An image's file. What is taken is as long as it says, and has each member as it lists it.
pub(crate) fn bundle(bytes: &[u8]) {
    let head = Head::parse(bytes);
    if let Ok(bundle) = Bundle::parse(bytes) {
        assert_eq!(head.map(|head| head.length).ok(), Some(bytes.len() as u64));
        for member in &bundle.head.manifest.members {
            let payload = bundle.member(&member.name).expect("it is there");
            assert_eq!(bundle::digest(payload), member.digest);
        }
    }
}

fn sample() -> (Manifest, Vec<Vec<u8>>) {
    let members = vec![b"a kernel".to_vec(), b"an archive".to_vec()];
    let member = |(name, role, bytes): (&str, Role, &Vec<u8>)| Member {
        name: name.to_owned(),
        role,
        size: bytes.len() as u64,
        digest: bundle::digest(bytes),
        why: "wanted".into(),
        files: Vec::new(),
    };
    let list = [("kernel", Role::Kernel, &members[0]), ("initramfs", Role::Initramfs, &members[1])];
    let manifest = Manifest {
        format: 1,
        product: "gateway".into(),
        version: "1.2.3".into(),
        profile: Profile::Standard,
        board: "pc".into(),
        architecture: "x86_64".into(),
        command_line: "console=ttyS0".into(),
        kernel: "6.1.0".into(),
        starts_others: None,
        settings: "hostname = \"gateway\"\n".into(),
        parts: vec![Part { name: "system".into(), why: "wanted".into() }],
        members: list.map(member).into(),
    };
    (manifest, members)
}

pub(crate) fn bundle_seeds() -> Seeds {
    let (manifest, members) = sample();
    let file = bundle::make(&manifest, &members, &SigningKey::from_bytes(&[7; 32])).expect("it is whole");
    vec![("whole", file)]
}

/// A manifest. What is taken is read again as it was.
pub(crate) fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::parse(bytes) {
        assert_eq!(Manifest::parse(manifest.to_json().as_bytes()), Ok(manifest));
    }
}

pub(crate) fn manifest_seeds() -> Seeds {
    vec![("whole", sample().0.to_json().into_bytes())]
}

/// A product file, and what is said of it.
pub(crate) fn product(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut faults = Faults::default();
    let product = product::parse(&mut faults.texts, "product.toml", &text, &mut faults.list);
    if let Some(product) = product {
        let catalogue = Catalogue::own(&mut faults.texts, &mut faults.list);
        let board = boards().remove("qemu-x86-64").expect("it is known");
        let target = Target {
            name: "board".into(),
            span: product.name.span.clone(),
            profile: product.profile.value,
            architecture: board.architecture,
            has: board.has.into_iter().collect(),
            parts: board.parts,
            ram: Size(1 << 30),
            flash: None,
        };
        faults.list.extend(resolve(&product, &catalogue, &target).err().into_iter().flatten());
    }
    let _ = (faults.render(false), faults.to_json());
}

pub(crate) fn product_seeds() -> Seeds {
    let text = |parts: &[&str], profile, ticket: Option<&str>| {
        let parts = parts.iter().map(|part| (*part).to_owned()).collect();
        let (name, board) = ("gateway".into(), "qemu-x86-64".into());
        product::write(&Answers { name, profile, board, parts, ticket: ticket.map(str::to_owned) }).into_bytes()
    };
    vec![
        ("standard", text(&["storage", "compute"], Profile::Standard, None)),
        ("ticket", text(&["gpio"], Profile::Standard, Some("t"))),
        ("mini", text(&["lamp"], Profile::Mini, None)),
        ("unknown", text(&["storge"], Profile::Standard, None)),
    ]
}

/// A file of parts.
pub(crate) fn parts(bytes: &[u8]) {
    let mut faults = Faults::default();
    let mut catalogue = Catalogue::default();
    catalogue.add(&mut faults.texts, "parts.toml", &String::from_utf8_lossy(bytes), &mut faults.list);
    let _ = (faults.render(false), catalogue.nearest("storage"));
}

pub(crate) fn parts_seeds() -> Seeds {
    let text = "[camera]\nabout = \"c\"\nprofiles = [\"standard\"]\nneeds.parts = [\"codec\"]\nneeds.ram = \"1 MiB\"\n\
        gives.interfaces = [\"pictures\"]\nconflicts = [\"x\"]\n[camera.files]\n\"/usr/bin/c\" = \"c\"\n\
        [codec]\nabout = \"d\"\nprofiles = [\"mini\"]\nneeds.interfaces = [\"pictures\"]\n";
    vec![("two", text.into())]
}

/// A program, a library, a module or a firmware. What is stripped is still one.
pub(crate) fn elf(bytes: &[u8]) {
    let Some(elf) = Elf::new(bytes) else { return };
    let _ = (elf.segments(), elf.takes(), elf.interpreter(), elf.libraries(), elf.section(".modinfo"), elf.machine());
    assert!(elf.stripped().len() <= bytes.len());
}

pub(crate) fn elf_seeds() -> Seeds {
    // A program of 32 bits with one segment, and one of 64 bits with a loader, a library and a section.
    let mut small = vec![0; 84];
    small[..7].copy_from_slice(b"\x7fELF\x01\x01\x01");
    (small[0x1c], small[0x2a], small[0x2c], small[52], small[52 + 20]) = (52, 32, 1, 1, 64);
    let mut wide = vec![0; 0x400];
    wide[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let mut put =
        |at: usize, value: u64, width: usize| wide[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
    for (at, value, width) in
        [(0x20, 64, 8), (0x36, 56, 2), (0x38, 3, 2), (0x28, 0x300, 8), (0x3a, 64, 2), (0x3c, 2, 2), (0x3e, 1, 2)]
    {
        put(at, value, width);
    }
    for (index, (kind, offset, address, size)) in
        [(1, 0, 0, 0x400), (3, 0x200, 0x200, 16), (2, 0x220, 0x220, 64)].iter().enumerate()
    {
        let at = 64 + 56 * index;
        for (field, value) in [(8, offset), (16, address), (24, address), (32, size), (40, size)] {
            put(at + field, *value, 8);
        }
        put(at, *kind, 4);
    }
    for (at, value) in [(0x220, 5), (0x228, 0x280), (0x230, 1), (0x238, 1)] {
        put(at, value, 8);
    }
    for (field, value) in [(24, 0x2a0), (32, 16)] {
        put(0x340 + field, value, 8);
    }
    wide[0x200..0x209].copy_from_slice(b"/lib/ld.s");
    wide[0x281..0x285].copy_from_slice(b"libc");
    vec![("small", small), ("wide", wide)]
}

/// What a module says of itself, and a kernel's configuration.
pub(crate) fn modinfo(bytes: &[u8]) {
    let _ = Info::parse(bytes);
    let _ = Config::parse(&String::from_utf8_lossy(bytes)).get("NET");
}

pub(crate) fn modinfo_seeds() -> Seeds {
    vec![
        ("ext4", b"depends=mbcache,jbd2\0alias=fs-ext4\0softdep=pre: crc32c post: x\0".to_vec()),
        ("config", b"CONFIG_NET=y\n# CONFIG_X is not set\nCONFIG_Y=m\n".to_vec()),
    ]
}

/// A guest's frames, two one behind the other. What is answered is a frame, and what goes out comes from it.
pub(crate) fn cable(bytes: &[u8]) {
    let mut network = Network::default();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    for frame in [bytes, first, second] {
        match network.from_guest(frame) {
            Some(Action::ToGuest(answer)) => assert!((42..=MAX_FRAME).contains(&answer.len()) || answer.len() > 300),
            Some(Action::ToWorld { port, to, data }) => {
                assert!(data.len() < frame.len());
                let _ = network.from_world(port, to, &data);
            }
            None => {}
        }
    }
}

pub(crate) fn cable_seeds() -> Seeds {
    let arp = b"\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x09\x08\x06\0\x01\x08\0\x06\x04\0\x01\x02\0\0\0\0\x09\x0a\0\x02\x0f\0\0\0\0\0\0\x0a\0\x02\x02";
    let datagram = |source: [u8; 4], to: [u8; 4], ports: [u8; 4], data: &[u8]| {
        let length = |more: usize| u16::try_from(data.len() + more).unwrap_or(0).to_be_bytes();
        let ip = [&[0x45, 0][..], &length(28), &[0, 0, 0, 0, 64, 17, 0, 0], &source, &to].concat();
        [&[2; 12][..], &[8, 0], &ip, &ports, &length(8), &[0, 0], data].concat()
    };
    let mut dhcp = vec![0; 236];
    dhcp[0] = 1;
    dhcp.extend([99, 130, 83, 99, 53, 1, 1, 255]);
    vec![
        ("arp", arp.to_vec()),
        ("dhcp", datagram([0; 4], [255; 4], [0, 68, 0, 67], &dhcp)),
        ("datagram", datagram([10, 0, 2, 15], [10, 0, 2, 2], [9, 9, 8, 8], b"hello")),
    ]
}
