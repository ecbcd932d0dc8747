//! What the other core says: in the tables of a queue, in the headers and bodies of messages, and in a vdev's config
//! space.

use tutti_metal::{DeviceAddr, Local, Memory, Owned, Silent};
use tutti_rpmsg::{
    Address, Announcement, Assembly, Endpoint, F_CREDITS, F_FRAGMENTS, F_NS, F_SIZES, HEADER, Header, Heap,
    LARGEST_BUFFER, Link, Name, Platform, Remote, RemoteSetup, Sizes,
};
use tutti_virtio::{
    Device, DeviceSlot, Driver, DriverSlot, Features, Field, Layout, Part, Piece, QueueSize, VdevEntry, Vring,
};

const BASE: DeviceAddr = DeviceAddr(0x3ed0_0000);
/// Entries of each queue.
const N: u16 = 8;
/// Where the second queue and the buffers are.
const SECOND: usize = 0x400;
const BUFFERS: usize = 0x800;
const BUFFER: usize = 512;

/// Every pattern of bits is a header, an announcement, a wish for sizes; what was read says the same when written
/// again.
pub(crate) fn wire(bytes: &[u8]) {
    if let Some((header, _)) = bytes.split_first_chunk::<HEADER>() {
        let mut again = *header;
        again[8..12].fill(0);
        assert_eq!(Header::parse(header).emit(), again, "all but the reserved word");
    }
    if let Some((said, _)) = bytes.split_first_chunk::<{ Announcement::BYTES }>() {
        let read = Announcement::parse(said);
        assert!(read.name.as_bytes().len() <= 32 && !read.name.as_bytes().contains(&0));
        assert_eq!(Announcement::parse(&read.emit()), read);
    }
    if let Some((sizes, _)) = bytes.split_first_chunk::<{ Sizes::BYTES }>() {
        let read = Sizes::parse(sizes);
        assert_eq!(read.emit(), *sizes);
        for most in [512, 4096, u32::MAX] {
            let size = read.common(most);
            assert!(size.is_multiple_of(8) && (512..=most.min(LARGEST_BUFFER)).contains(&size));
        }
    }
    if let Ok(name) = core::str::from_utf8(bytes)
        && let Ok(name) = Name::new(name)
    {
        let said = Announcement { name, address: Address(1), alive: true };
        assert_eq!(Announcement::parse(&said.emit()), said);
    }
}

pub(crate) fn wire_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let header = Header { source: Address(0x400), destination: Address(53), len: 40, flags: 0xc000 };
    let name = Name::new("rpmsg-tty").expect("a name");
    let gone = Announcement { name, address: Address(0x401), alive: false };
    vec![
        ("header", header.emit().to_vec()),
        ("announcement", gone.emit().to_vec()),
        ("sizes", Sizes { to_host: 4096, to_remote: 1000 }.emit().to_vec()),
        ("name", b"rpmsg-openamp-demo-channel".to_vec()),
    ]
}

enum Desk {}

impl Platform for Desk {
    type Memory = Owned;
    type Doorbell = Silent;
    type Locks = Local;
    type Storage = Heap;
}

fn vring(memory: &Owned, at: usize) -> Vring<Owned> {
    let layout = QueueSize::new(u32::from(N)).and_then(|size| Layout::legacy(size, 64, at));
    layout.and_then(|layout| Vring::new(memory.clone(), layout)).expect("a queue that fits")
}

/// A host whose queues are in order, and whose messages are not.
struct Mouth {
    memory: Owned,
    from_remote: Driver<Owned, Vec<DriverSlot>>,
    to_remote: Driver<Owned, Vec<DriverSlot>>,
    free: Vec<u32>,
}

impl Mouth {
    fn new(memory: &Owned) -> Self {
        let driver = |at| {
            Driver::new(vring(memory, at), Features::NONE, vec![DriverSlot::default(); N.into()]).expect("enough slots")
        };
        let mut mouth = Self {
            memory: memory.clone(),
            from_remote: driver(0),
            to_remote: driver(SECOND),
            free: (u32::from(N)..2 * u32::from(N)).collect(),
        };
        (0..u32::from(N)).for_each(|token| mouth.offer(token));
        mouth
    }

    fn part(&self, token: u32, writable: bool) -> Part {
        Part { addr: self.memory.addr_of(Self::at(token)), len: BUFFER as u32, writable }
    }

    fn at(token: u32) -> usize {
        BUFFERS + BUFFER * token as usize
    }

    fn offer(&mut self, token: u32) {
        let part = self.part(token, true);
        self.from_remote.add_one(part, token).expect("as many entries as buffers");
        self.from_remote.publish_quietly();
    }

    /// Says whatever it likes, if there is a buffer; hears what the remote said, and forgets it.
    fn say(&mut self, header: &[u8], body: &[u8]) {
        while let Some(used) = self.to_remote.pop().expect("the remote is honest") {
            self.free.push(used.token);
        }
        while let Some(used) = self.from_remote.pop().expect("the remote is honest") {
            self.offer(used.token);
        }
        let Some(token) = self.free.pop() else { return };
        self.memory.copy_in(Self::at(token), header).expect("inside");
        self.memory.copy_in(Self::at(token) + HEADER, body).expect("inside");
        let part = self.part(token, false);
        self.to_remote.add_one(part, token).expect("as many entries as buffers");
        self.to_remote.publish_quietly();
    }
}

/// A remote with all extensions, and a host that says things: each a byte for what the remote does next, a header, the
/// body's length, and the body.
pub(crate) fn messages(mut bytes: &[u8]) {
    let memory = Owned::allocate(BUFFERS + 2 * BUFFER * usize::from(N), BASE).expect("a small memory");
    let mut mouth = Mouth::new(&memory);
    let setup = RemoteSetup {
        features: F_NS.with(F_FRAGMENTS).with(F_CREDITS),
        ..RemoteSetup::new([vring(&memory, 0), vring(&memory, SECOND)], memory.clone())
    };
    let link = Link::<Desk, Remote>::new(setup, Silent, Heap { endpoints: 4 }).expect("a link");
    let name = Name::new("echo").expect("a name");
    let mut ends = [
        link.endpoint(Some(name), Address(1024)).expect("a free address"),
        link.endpoint(None, Address(1025)).expect("a free address"),
    ];
    ends[1].set_window(3);
    let mut buffer = [0; 700];
    let mut assembly = Assembly::new(&mut buffer);
    while let [what, rest @ ..] = bytes
        && let Some((header, rest)) = rest.split_first_chunk::<HEADER>()
        && let [len, rest @ ..] = rest
    {
        let (body, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        bytes = rest;
        mouth.say(header, body);
        let went_well = turn(*what, &link, &ends, &mut assembly);
        assert!(assembly.message().len() <= 700);
        if !went_well {
            return;
        }
    }
}

/// What the remote does: false once the host has said something that stops the link, which can only be a wrong length.
fn turn(
    what: u8,
    link: &Link<Desk, Remote>,
    ends: &[Endpoint<'_, Desk, Remote>; 2],
    assembly: &mut Assembly<'_>,
) -> bool {
    let end = &ends[usize::from(what & 1)];
    let result = match what / 2 % 4 {
        0 => end.try_receive().map(|received| {
            if let Some(received) = received {
                assert!(received.len() <= BUFFER - HEADER && received.destination() == end.address());
                let _ = assembly.take(&received);
            }
        }),
        1 => end.try_receive_all().map(|batch| {
            for message in batch.iter() {
                assert!(message.len() <= BUFFER - HEADER && message.destination() == end.address());
                let _ = assembly.take(&message);
            }
        }),
        2 => link.poll().map(|_| ()),
        _ => {
            let _ = end.try_send_all(Address(7), &[&[1; 40], &[2; 3]]);
            Ok(())
        }
    };
    let services = (0..).map_while(|at| link.service(at)).take(100).count();
    assert!(services <= 4 && end.waiting() <= N.into());
    result.inspect_err(|corrupt| assert_eq!(corrupt.field, Field::MessageLength)).is_ok()
}

fn said(what: u8, destination: u32, flags: u16, body: &[u8]) -> Vec<u8> {
    let header = Header { source: Address(7), destination: Address(destination), len: body.len() as u16, flags };
    [&[what][..], &header.emit(), &[body.len() as u8], body].concat()
}

pub(crate) fn messages_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let name = Name::new("echo").expect("a name");
    let announce = |alive| said(4, 53, 0, &Announcement { name, address: Address(7), alive }.emit());
    let piece = |offset: u32, len: usize| {
        let mut body = [20u32.to_le_bytes(), offset.to_le_bytes()].concat();
        body.resize(8 + len, 9);
        said(0, 1024, 1 << 15, &body)
    };
    let grant = |limit: u32| said(6, 1025, 1 << 14, &limit.to_le_bytes());
    let plain = [said(0, 1024, 0, b"hello"), said(2, 1025, 0, b"both"), said(3, 9, 0, b"nobody")].concat();
    let window: Vec<u8> = (0..6).flat_map(|i| said(4, 1025, 0, &[i])).chain(said(3, 1025, 0, b"7")).collect();
    let mut too_long = said(0, 1024, 0, b"x");
    too_long[13..15].copy_from_slice(&497u16.to_le_bytes());
    vec![
        ("names", [announce(true), announce(true), announce(false), said(4, 53, 0, b"odd")].concat()),
        ("pieces", [piece(0, 10), piece(10, 10), piece(0, 10), piece(5, 10)].concat()),
        ("credits", [grant(2), grant(1), grant(u32::MAX), window].concat()),
        ("plain", plain),
        ("too_long", too_long),
    ]
}

/// Whatever stands in a queue's memory, from either end: what is believed lies inside, and comes once. The first byte
/// says what was agreed on.
pub(crate) fn queue(bytes: &[u8]) {
    let Some((what, bytes)) = bytes.split_first() else { return };
    let memory = Owned::allocate(0x1000, BASE).expect("a small memory");
    let features = Features(u64::from(what & 3) << 28);
    let slots = || vec![DriverSlot::default(); N.into()];
    let mut driver = Driver::new(vring(&memory, 0), features, slots()).expect("enough slots");
    let part =
        |i: u32| Part { addr: memory.addr_of(BUFFERS + 64 * i as usize), len: 64, writable: i.is_multiple_of(2) };
    (0..u32::from(N)).for_each(|i| driver.add_one(part(i), i).expect("room"));
    driver.publish_quietly();
    memory.copy_in(0, &bytes[..bytes.len().min(BUFFERS)]).expect("inside");
    let mut back = vec![false; N.into()];
    while let Ok(Some(used)) = driver.pop() {
        assert!(used.written <= 64 && !std::mem::replace(&mut back[used.token as usize], true));
    }

    let new = || {
        let slots = vec![DeviceSlot::default(); N.into()];
        Device::new(vring(&memory, 0), memory.clone(), features, slots).expect("enough slots")
    };
    let mut device = new();
    let mut pieces = [Piece::default(); 4];
    let mut heads = Vec::new();
    while let Ok(Some(chain)) = device.pop(&mut pieces) {
        let inside = |piece: &Piece| memory.check(piece.at, piece.len as usize).is_ok();
        assert!(pieces[..chain.pieces].iter().all(inside) && !heads.contains(&chain.head));
        heads.push(chain.head);
    }
    assert!(heads.len() <= N.into());
    let mut device = new();
    let mut whole = 0;
    let most = device.next_many(100, |i, buffer| {
        assert!(i == whole && memory.check(buffer.at, buffer.len as usize).is_ok());
        whole += 1;
    });
    assert!(most == whole && most <= N.into());
}

pub(crate) fn queue_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let filled = |features: u8, chained: bool| {
        let memory = Owned::allocate(0x1000, BASE).expect("a small memory");
        let slots = vec![DriverSlot::default(); N.into()];
        let agreed = Features(u64::from(features) << 28);
        let mut driver = Driver::new(vring(&memory, 0), agreed, slots).expect("enough slots");
        let part = |at: usize, writable| Part { addr: memory.addr_of(at), len: 64, writable };
        if chained {
            driver.add(&[part(BUFFERS, false), part(BUFFERS + 64, true)], 0).expect("room");
            driver.add_indirect(&memory, 0x300, &[part(BUFFERS, false), part(BUFFERS, true)], 1).expect("room");
        }
        driver.add_one(part(BUFFERS + 128, true), 2).expect("room");
        driver.publish_quietly();
        let slots = vec![DeviceSlot::default(); N.into()];
        let mut device = Device::new(vring(&memory, 0), memory.clone(), agreed, slots).expect("enough slots");
        let mut pieces = [Piece::default(); 4];
        while let Ok(Some(chain)) = device.pop(&mut pieces) {
            device.complete(chain.head, 0).expect("held");
        }
        device.publish_quietly();
        let mut bytes = vec![features; 1 + 0x400];
        memory.copy_out(0, &mut bytes[1..]).expect("inside");
        bytes
    };
    vec![("plain", filled(0, false)), ("chained", filled(1, true)), ("events", filled(3, true))]
}

/// A vdev entry as a host may have left it: where its queues and its config space are said to be.
pub(crate) fn vdev(bytes: &[u8]) {
    let memory = Owned::allocate(0x1000, BASE).expect("a small memory");
    memory.copy_in(0x100, &bytes[..bytes.len().min(0x400)]).expect("inside");
    let Ok(entry) = VdevEntry::new(memory.clone(), 0x100) else { return };
    assert!(entry.offered().has(entry.agreed()));
    let mut config = [0; 64];
    assert!(entry.config(&mut config) <= config.len());
    for queue in 0..4 {
        if let Ok(vring) = entry.vring(queue, memory.clone()) {
            let slots = vec![DeviceSlot::default(); vring.size().into()];
            let mut device = Device::new(vring, memory.clone(), entry.agreed(), slots).expect("enough slots");
            while device.next_whole().is_some() {}
        }
    }
}

pub(crate) fn vdev_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let entry = |da: u32| {
        let mut bytes = words(&[7, 0, F_NS.with(F_SIZES).0 as u32, F_NS.0 as u32, Sizes::BYTES as u32]);
        bytes.extend([7, 2, 0, 0]);
        for queue in 0..2 {
            bytes.extend(words(&[da.wrapping_add(0x400 * queue), 64, N.into(), queue, 0]));
        }
        bytes.extend(Sizes { to_host: 1024, to_remote: 2048 }.emit());
        bytes
    };
    vec![("ready", entry(BASE.0 as u32 + 0x600)), ("unplaced", entry(u32::MAX))]
}
