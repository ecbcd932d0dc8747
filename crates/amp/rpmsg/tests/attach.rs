//! Two sides that find each other, with a resource table and without one, and lose each other on the way.

mod common;

use std::cell::Cell;
use std::time::Duration;

use common::{BASE, Desk, Time};
use tutti_metal::{Clock, Instant, Memory, Owned, Silent};
use tutti_rpmsg::{
    Address, AttachError, Attaching, Attachment, Change, F_CREDITS, F_NS, F_SIZES, Heap, Host, HostSetup, Link, Name,
    Remote, RemoteSetup, SendError, Sizes, StaticVrings,
};
use tutti_virtio::{Features, VdevEntry};

const TABLE: usize = 0x100;

const STORAGE: Heap = Heap { endpoints: 4 };

/// A vdev entry as a firmware has it: two queues of 4 entries, a wish for buffers of 1,024 bytes.
fn table(memory: &Owned, id: u32) -> VdevEntry<Owned> {
    let features = F_NS.with(F_SIZES).with(F_CREDITS).0 as u32;
    let mut bytes = Vec::new();
    for word in [id, 0, features, 0, Sizes::BYTES as u32] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([0, 2, 0, 0]);
    for _ in 0..2 {
        for word in [u32::MAX, 64, 4, u32::MAX, 0] {
            bytes.extend(word.to_le_bytes());
        }
    }
    bytes.extend(Sizes { to_host: 1024, to_remote: 0 }.emit());
    memory.copy_in(TABLE, &bytes).unwrap();
    VdevEntry::new(memory.clone(), TABLE).unwrap()
}

fn host_at(attaching: &Attaching<Owned>, memory: &Owned, at: u32, known: Features) -> Link<Desk, Host> {
    let da = BASE.0 as u32 + at;
    let setup = attaching.setup([(da, 7), (da + 0x200, 8)], memory, at as usize + 0x400, known, 4096).unwrap();
    let link = Link::new(setup, Silent, STORAGE).unwrap();
    attaching.ready();
    link
}

fn echo_once(host: &Link<Desk, Host>, remote: &Link<Desk, Remote>, len: usize) {
    let echo = remote.endpoint(Some(Name::new("echo").unwrap()), Address::ANY).unwrap();
    host.poll().unwrap();
    let to = host.service(0).expect("announced").address;
    let caller = host.endpoint(None, Address::ANY).unwrap();
    caller.try_send(to, &vec![3; len]).unwrap();
    assert_eq!(echo.try_receive().unwrap().expect("sent").len(), len);
}

#[test]
fn a_host_that_restarts_elsewhere_is_noticed_and_everything_is_forgotten() {
    let memory = Owned::allocate(0x20000, BASE).unwrap();
    let attaching = Attaching::new(table(&memory, 7)).unwrap();
    let mut attachment = Attachment::new(VdevEntry::new(memory.clone(), TABLE).unwrap()).unwrap();
    assert_eq!(attachment.poll(), Change::Same);
    assert_eq!(attachment.setup(memory.clone(), memory.clone()).err(), Some(AttachError::NotReady));
    for (turn, at) in [0x1000, 0x8000, 0x1000].into_iter().enumerate() {
        let known = if turn == 1 { F_NS } else { F_NS.with(F_SIZES) };
        let host = host_at(&attaching, &memory, at, known);
        assert_eq!(attachment.poll(), Change::Up(known));
        let setup = attachment.setup(memory.clone(), memory.clone()).unwrap();
        assert_eq!((setup.features, setup.notify), (known, [7, 8]));
        let remote = Link::<Desk, Remote>::new(setup, Silent, STORAGE).unwrap();
        for len in [1, 496] {
            echo_once(&host, &remote, len);
        }
        // Buffers have the size that was wished for, if that was agreed on.
        let most = host.try_loan().unwrap().capacity();
        assert_eq!(most, if turn == 1 { 496 } else { 1008 });
        assert_eq!(attachment.poll(), Change::Same);
        if turn == 1 {
            // As open-amp's host asks for it, and waits for the answer.
            memory.put(TABLE + 20, &0x44u8).unwrap();
            assert_eq!(attachment.poll(), Change::Down);
            assert_eq!(memory.get(TABLE + 20), Ok(0u8));
        } else {
            attaching.reset();
            assert_eq!(attachment.poll(), Change::Down);
        }
        assert_eq!(attachment.poll(), Change::Same);
    }
}

#[test]
fn a_host_that_restarts_unseen_leaves_an_index_that_went_back() {
    let memory = Owned::allocate(0x20000, BASE).unwrap();
    let attaching = Attaching::new(table(&memory, 7)).unwrap();
    let mut attachment = Attachment::new(VdevEntry::new(memory.clone(), TABLE).unwrap()).unwrap();
    let first = host_at(&attaching, &memory, 0x1000, F_NS);
    assert_eq!(attachment.poll(), Change::Up(F_NS));
    let new_link = |attachment: &Attachment<Owned>| {
        let setup = attachment.setup(memory.clone(), memory.clone()).unwrap();
        Link::<Desk, Remote>::new(setup, Silent, STORAGE).unwrap()
    };
    let remote = new_link(&attachment);
    for _ in 0..7 {
        echo_once(&first, &remote, 9);
    }
    drop(first);
    let second = host_at(&attaching, &memory, 0x1000, F_NS);
    assert!(remote.poll().is_err(), "avail.idx went back to 0");
    assert!(matches!(remote.try_loan().err(), Some(SendError::Corrupt(_) | SendError::NoBuffer) | None));
    drop(remote);
    attachment.lost();
    assert_eq!(attachment.poll(), Change::Up(F_NS));
    echo_once(&second, &new_link(&attachment), 9);
}

#[test]
fn what_the_table_says_is_checked() {
    let memory = Owned::allocate(0x20000, BASE).unwrap();
    assert_eq!(Attachment::new(table(&memory, 3)).err(), Some(AttachError::NotRpmsg(3)));
    let attaching = Attaching::new(table(&memory, 7)).unwrap();
    drop(host_at(&attaching, &memory, 0x1000, F_NS));
    let mut attachment = Attachment::new(VdevEntry::new(memory.clone(), TABLE).unwrap()).unwrap();
    attachment.poll();
    // Features that were never offered, a queue outside, sizes that cannot be.
    memory.put(TABLE + 12, &u32::MAX).unwrap();
    assert_eq!(attachment.setup(memory.clone(), memory.clone()).unwrap().features, F_NS.with(F_SIZES).with(F_CREDITS));
    for (at, value) in [(24, 0u32), (24, u32::MAX), (28, 3), (32, 3), (32, 1 << 20)] {
        let old: u32 = memory.get(TABLE + at).unwrap();
        memory.put(TABLE + at, &value).unwrap();
        let error = attachment.setup(memory.clone(), memory.clone()).unwrap_err();
        assert!(!error.to_string().is_empty());
        memory.put(TABLE + at, &old).unwrap();
    }
    assert!(attachment.setup(memory.clone(), memory.clone()).is_ok());
}

#[test]
fn waiting_for_a_host_ends_when_it_comes_or_when_the_time_is_over() {
    let memory = Owned::allocate(0x20000, BASE).unwrap();
    let attaching = Attaching::new(table(&memory, 7)).unwrap();
    let mut attachment = Attachment::new(VdevEntry::new(memory.clone(), TABLE).unwrap()).unwrap();
    let idle = Time::new(|| ());
    assert_eq!(attachment.wait_within(Duration::from_millis(20), &idle, &idle), None);
    assert_eq!(idle.now(), Instant(20_000_000));
    let late = Cell::new(0);
    let busy = Time::new(|| {
        late.set(late.get() + 1);
        if late.get() == 5 {
            drop(host_at(&attaching, &memory, 0x1000, F_NS));
        }
    });
    assert_eq!(attachment.wait_within(Duration::from_millis(20), &busy, &busy), Some(F_NS));
}

#[test]
fn queues_agreed_on_at_build_time_need_no_table() {
    for (entries, align) in [(1, 4), (2, 4), (8, 16), (64, 32), (32, 4096)] {
        let memory = Owned::allocate(0x20000, BASE).unwrap();
        let vrings = StaticVrings { at: 0x40, entries, align: if entries == 32 { 4096 } else { align } };
        let vrings = if align == 4096 { StaticVrings { at: 0, ..vrings } } else { vrings };
        let host = HostSetup::new(vrings.both(memory.clone()).unwrap(), memory.clone(), vrings.buffers().unwrap());
        let host = Link::<Desk, Host>::new(host, Silent, STORAGE).unwrap();
        let remote = RemoteSetup::new(vrings.both(memory.clone()).unwrap(), memory.clone());
        let remote = Link::<Desk, Remote>::new(remote, Silent, STORAGE).unwrap();
        for len in 0..20 {
            echo_once(&host, &remote, 25 * len);
            // The announcement that the service went takes the only buffer of the smallest queue.
            host.poll().unwrap();
        }
    }
    let memory = Owned::allocate(0x1000, BASE).unwrap();
    for (at, entries, align) in [(0, 3, 4), (0, 4, 3), (0, 1 << 14, 4), (usize::MAX - 15, 4, 4), (4, 4, 4)] {
        assert!(StaticVrings { at, entries, align }.both(memory.clone()).is_err());
    }
}
