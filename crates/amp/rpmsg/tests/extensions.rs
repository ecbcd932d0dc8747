//! What peers may agree on beyond plain RPMsg, and that nothing of it reaches a peer that does not know it.

mod common;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{BUFFERS, Desk, N, Pair, Time, pair, pair_with};
use tutti_metal::Memory;
use tutti_rpmsg::{
    Address, Assembly, Endpoint, F_CREDITS, F_FRAGMENTS, F_NS, F_SIZES, LargeError, Name, Remote, SendError, Sizes,
};
use tutti_virtio::Features;

const SECOND: Duration = Duration::from_secs(1);

fn take_all(endpoint: &Endpoint<'_, Desk, Remote>, assembly: &RefCell<Assembly<'_>>, done: &RefCell<Vec<Vec<u8>>>) {
    while let Some(received) = endpoint.try_receive().unwrap() {
        let mut assembly = assembly.borrow_mut();
        if assembly.take(&received).unwrap().is_some() {
            done.borrow_mut().push(assembly.message().to_vec());
        }
    }
}

#[test]
fn messages_of_every_length_arrive_whole_through_small_buffers() {
    let Pair { host, remote, .. } = pair(F_FRAGMENTS);
    let (a, b) = (host.endpoint(None, Address(7)).unwrap(), remote.endpoint(None, Address(8)).unwrap());
    let mut buffer = vec![0; 50_000];
    let (assembly, done) = (RefCell::new(Assembly::new(&mut buffer)), RefCell::new(Vec::new()));
    let time = Time::new(|| take_all(&b, &assembly, &done));
    for len in (0..40).chain([495, 496, 497, 976, 977, 5000, 50_000]) {
        let sent: Vec<u8> = (0..len).map(|i: usize| (i * 7 + len) as u8).collect();
        a.send_large_within(b.address(), &sent, SECOND, &time, &time).unwrap();
        take_all(&b, &assembly, &done);
        assert_eq!(done.borrow_mut().pop(), Some(sent), "{len} bytes");
    }
}

#[test]
fn a_peer_that_does_not_know_pieces_gets_none() {
    let Pair { host, remote, .. } = pair(Features::NONE);
    let (a, b) = (host.endpoint(None, Address(7)).unwrap(), remote.endpoint(None, Address(8)).unwrap());
    let time = Time::new(|| ());
    let long = [0; 497];
    let result = a.send_large_within(b.address(), &long, SECOND, &time, &time);
    assert_eq!(result, Err(SendError::TooLong { len: 497, most: 496 }));
    a.send_large_within(b.address(), &long[..496], SECOND, &time, &time).unwrap();
    assert_eq!(b.try_receive().unwrap().unwrap().len(), 496);
    assert!(b.try_receive().unwrap().is_none());
}

#[test]
fn pieces_that_cannot_be_are_named_and_the_next_message_arrives() {
    let Pair { memory, host, remote } = pair(F_FRAGMENTS);
    let b = remote.endpoint(None, Address(8)).unwrap();
    let mut buffer = [0; 100];
    let mut assembly = Assembly::new(&mut buffer);
    let sent = Cell::new(0);
    // A piece by hand: an honest message whose flags are then changed in memory.
    let mut piece = |from: u32, total: u32, offset: u32, len: usize| {
        let a = host.endpoint(None, Address(from)).unwrap();
        let mut bytes = [total.to_le_bytes(), offset.to_le_bytes()].concat();
        bytes.resize(len, 9);
        a.try_send(Address(8), &bytes).unwrap();
        let at = BUFFERS + 512 * (N + sent.replace(sent.get() + 1) % N);
        memory.put(at + 14, &0x8000u16).unwrap();
        assembly.take(&b.try_receive().unwrap().unwrap()).inspect_err(|error| assert!(!error.to_string().is_empty()))
    };
    assert_eq!(piece(7, 101, 0, 20), Err(LargeError::TooLong { total: 101, most: 100 }));
    assert_eq!(piece(7, 100, 5, 20), Err(LargeError::OutOfOrder { offset: 5, expected: 0 }));
    assert_eq!(piece(7, 10, 0, 30), Err(LargeError::Malformed));
    assert_eq!(piece(7, 10, 0, 8), Err(LargeError::Malformed), "a piece of nothing could go on for ever");
    assert_eq!(piece(7, 10, 0, 5), Err(LargeError::Malformed));
    assert_eq!(piece(7, 20, 0, 18), Ok(None));
    assert_eq!(piece(6, 20, 0, 18), Err(LargeError::Interleaved(Address(6))));
    assert_eq!(piece(7, 21, 10, 18), Err(LargeError::OutOfOrder { offset: 10, expected: 10 }));
    assert_eq!(piece(7, 20, 0, 18), Ok(None));
    assert_eq!(piece(7, 20, 10, 18), Ok(Some(Address(7))));
    assert_eq!(assembly.message(), [9; 20]);
}

#[test]
fn an_endpoint_that_is_not_read_does_not_take_the_buffers_of_others() {
    let Pair { host, remote, .. } = pair(F_CREDITS);
    let [slow, quick] = [21, 22].map(|at| remote.endpoint(None, Address(at)).unwrap());
    let [mut to_slow, mut to_quick] = [11, 12].map(|at| host.endpoint(None, Address(at)).unwrap());
    let (mut slow, quick) = (slow, quick);
    to_slow.set_peer(Some(Address(21)));
    to_quick.set_peer(Some(Address(22)));
    slow.set_peer(Some(Address(11)));
    slow.set_window(3);
    host.poll().unwrap();
    let sent = (0..10).take_while(|&i| to_slow.try_send(Address(21), &[i]).is_ok()).count();
    assert_eq!(sent, 3);
    assert_eq!(to_slow.try_send(Address(21), &[9]), Err(SendError::NoCredit));
    for i in 0..100 {
        to_quick.try_send(Address(22), &[i]).unwrap();
        let got = quick.try_receive().unwrap().expect("not held up");
        assert_eq!(got.bytes().get::<u8>(0), Ok(i));
    }
    // What is read is granted again, by halves of the window.
    for i in 0..2 {
        assert_eq!(slow.try_receive().unwrap().unwrap().bytes().get::<u8>(0), Ok(i));
    }
    remote.poll().unwrap();
    host.poll().unwrap();
    assert_eq!((0..10).take_while(|&i| to_slow.try_send(Address(21), &[i]).is_ok()).count(), 2);
    assert_eq!(remote.stats().over_window, 0);
}

#[test]
fn waiting_for_a_credit_ends_by_a_grant_or_by_the_clock() {
    let Pair { host, remote, .. } = pair(F_CREDITS);
    let mut b = remote.endpoint(None, Address(8)).unwrap();
    let a = host.endpoint(None, Address(7)).unwrap();
    b.set_peer(Some(Address(7)));
    b.set_window(2);
    host.poll().unwrap();
    let idle = Time::new(|| ());
    for i in 0..2 {
        a.send_within(Address(8), &[i], SECOND, &idle, &idle).unwrap();
    }
    assert_eq!(a.send_within(Address(8), &[2], SECOND, &idle, &idle), Err(SendError::TimedOut));
    let read = Cell::new(0);
    let busy = Time::new(|| {
        if b.try_receive().unwrap().is_some() {
            read.set(read.get() + 1);
        }
        remote.poll().unwrap();
    });
    for i in 0..50 {
        a.send_within(Address(8), &[i], SECOND, &busy, &busy).unwrap();
    }
    assert!(read.get() >= 48);
    // The same, asleep in an executor.
    let mut context = Context::from_waker(Waker::noop());
    let mut send = core::pin::pin!(async {
        for i in 0..20 {
            a.send(Address(8), &[i]).await.unwrap();
        }
    });
    let mut polls = 0;
    while send.as_mut().poll(&mut context) == Poll::Pending {
        drop(b.try_receive().unwrap());
        remote.poll().unwrap();
        host.on_interrupt().unwrap();
        polls += 1;
        assert!(polls < 200);
    }
    assert!(polls > 5, "it had to wait for grants");
}

#[test]
fn who_sends_more_than_it_was_granted_is_not_heard() {
    // The host takes itself to have agreed on credits; the remote has never heard of them.
    let Pair { host, remote, .. } = pair_with([F_NS.with(F_CREDITS), F_NS], 512);
    let mut a = host.endpoint(None, Address(7)).unwrap();
    let b = remote.endpoint(None, Address(8)).unwrap();
    a.set_peer(Some(Address(8)));
    a.set_window(4);
    for i in 0..6 {
        b.try_send(Address(7), &[i]).unwrap();
    }
    host.poll().unwrap();
    assert_eq!((a.waiting(), host.stats().over_window), (4, 2));
}

#[test]
fn without_agreement_not_a_byte_on_the_wire_differs() {
    let talk = |extended: bool| {
        let Pair { memory, host, remote } = pair(Features::NONE);
        let mut b = remote.endpoint(Some(Name::new("echo").unwrap()), Address::ANY).unwrap();
        let mut a = host.endpoint(Some(Name::new("echo").unwrap()), Address::ANY).unwrap();
        if extended {
            a.set_window(3);
            b.set_window(2);
        }
        host.poll().unwrap();
        remote.poll().unwrap();
        for i in 0..20u8 {
            a.try_send(b.address(), &[i; 33]).unwrap();
            drop(b.try_receive().unwrap().unwrap());
            b.try_send(a.address(), &[i]).unwrap();
            drop(a.try_receive().unwrap().unwrap());
        }
        let mut bytes = vec![0; memory.len()];
        memory.copy_out(0, &mut bytes).unwrap();
        bytes
    };
    assert!(talk(false) == talk(true));
}

#[test]
fn larger_buffers_take_longer_messages_in_one_piece() {
    assert!(F_NS.with(F_SIZES).has(F_SIZES) && F_SIZES.0 & 0b1110 == 0);
    let size = Sizes { to_host: 2048, to_remote: 1024 }.common(4096);
    let Pair { host, remote, .. } = pair_with([F_NS, F_NS], size);
    let (a, b) = (host.endpoint(None, Address(7)).unwrap(), remote.endpoint(None, Address(8)).unwrap());
    for (len, fits) in [(2032, true), (2033, false)] {
        assert_eq!(a.try_send(Address(8), &vec![5; len]).is_ok(), fits);
        assert_eq!(b.try_send(Address(7), &vec![5; len]).is_ok(), fits);
    }
    assert_eq!(b.try_receive().unwrap().unwrap().len(), 2032);
    assert_eq!(a.try_receive().unwrap().unwrap().len(), 2032);
}
