//! Many messages at a time: as many as there is room for, in their order, and nothing of it on the wire.

mod common;

use common::{Desk, N, Pair, Time, pair};
use proptest::prelude::*;
use tutti_metal::Memory;
use tutti_rpmsg::{Address, Batch, Endpoint, F_CREDITS, F_FRAGMENTS, Role, SendError};
use tutti_virtio::Features;

fn bytes(batch: &Batch<'_, Desk, impl Role>) -> Vec<Vec<u8>> {
    let text = |message: tutti_rpmsg::Message<'_, Desk, _>| {
        let mut bytes = vec![0; message.len()];
        message.read(0, &mut bytes).unwrap();
        bytes
    };
    batch.iter().map(text).collect()
}

#[test]
fn as_many_go_as_there_are_buffers_and_the_rest_is_the_callers() {
    let Pair { host, remote, .. } = pair(Features::NONE);
    let (a, b) = (host.endpoint(None, Address(7)).unwrap(), remote.endpoint(None, Address(8)).unwrap());
    let messages: Vec<Vec<u8>> = (0..N + 3).map(|i| vec![i as u8; 40 * i]).collect();
    let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    assert_eq!(a.try_send_all(Address(8), &[]), Ok(0));
    assert_eq!(a.try_send_all(Address(8), &slices), Ok(N));
    assert_eq!(a.try_send_all(Address(8), &slices[N..]), Err(SendError::NoBuffer));
    let batch = b.try_receive_all().unwrap();
    assert_eq!(bytes(&batch), messages[..N]);
    assert!(batch.iter().all(|it| it.source() == Address(7) && it.destination() == Address(8) && !it.is_fragment()));
    assert_eq!(a.try_send_all(Address(8), &slices[N..]), Err(SendError::NoBuffer), "they are still held");
    drop(batch);
    assert!(b.try_receive_all().unwrap().is_empty());
    assert_eq!(a.try_send_all(Address(8), &slices[N..]), Ok(3));
    assert_eq!(bytes(&b.try_receive_all().unwrap()), messages[N..]);
}

#[test]
fn one_that_is_too_long_stops_before_it_and_costs_no_buffer() {
    let Pair { host, remote, .. } = pair(Features::NONE);
    let (a, b) = (host.endpoint(None, Address(7)).unwrap(), remote.endpoint(None, Address(8)).unwrap());
    let long = [1; 497];
    for _ in 0..3 * N {
        assert_eq!(b.try_send_all(Address(7), &[&long]), Err(SendError::TooLong { len: 497, most: 496 }));
        assert_eq!(b.try_send_all(Address(7), &[b"x", &long, b"y"]), Ok(1));
        assert_eq!(bytes(&a.try_receive_all().unwrap()), [b"x"]);
    }
    assert_eq!(b.try_send_all(Address(7), &[b"z".as_slice(); N]), Ok(N), "all buffers are still there");
}

#[test]
fn a_window_bounds_a_batch_too() {
    let Pair { host, remote, .. } = pair(F_CREDITS);
    let mut a = host.endpoint(None, Address(7)).unwrap();
    let mut b = remote.endpoint(None, Address(8)).unwrap();
    a.set_peer(Some(Address(8)));
    b.set_peer(Some(Address(7)));
    b.set_window(3);
    host.poll().unwrap();
    let messages = [b"1".as_slice(), b"2", b"3", b"4", b"5"];
    assert_eq!(a.try_send_all(Address(8), &messages), Ok(3));
    assert_eq!(a.try_send_all(Address(8), &messages), Err(SendError::NoCredit));
    assert_eq!(bytes(&b.try_receive_all().unwrap()), messages[..3]);
    remote.poll().unwrap();
    host.poll().unwrap();
    assert_eq!(a.try_send_all(Address(8), &messages[3..]), Ok(2));
    assert_eq!(
        (bytes(&b.try_receive_all().unwrap()), remote.stats().over_window),
        (messages[3..].concat().chunks(1).map(<[u8]>::to_vec).collect(), 0)
    );
}

#[test]
fn pieces_of_long_messages_are_told_apart_in_a_batch() {
    let Pair { host, remote, .. } = pair(F_FRAGMENTS);
    let (a, b) = (host.endpoint(None, Address(7)).unwrap(), remote.endpoint(None, Address(8)).unwrap());
    let sent: Vec<u8> = (0..1500).map(|i| i as u8).collect();
    let time = Time::new(|| ());
    a.send_large_within(Address(8), &sent, std::time::Duration::from_secs(1), &time, &time).unwrap();
    a.try_send(Address(8), b"short").unwrap();
    let mut buffer = [0; 2000];
    let mut assembly = tutti_rpmsg::Assembly::new(&mut buffer);
    let batch = b.try_receive_all().unwrap();
    let whole: Vec<_> = batch.iter().map(|it| (it.is_fragment(), assembly.take(&it).unwrap())).collect();
    let piece = (true, None);
    assert_eq!(whole, [piece, piece, piece, (true, Some(Address(7))), (false, Some(Address(7)))]);
    assert_eq!(assembly.message(), b"short");
}

#[test]
fn what_is_held_over_a_reset_is_void() {
    let Pair { memory, host, remote } = pair(Features::NONE);
    let (a, b) = (host.endpoint(None, Address(7)).unwrap(), remote.endpoint(None, Address(8)).unwrap());
    a.try_send_all(Address(8), &[b"1", b"2"]).unwrap();
    let batch = b.try_receive_all().unwrap();
    host.reset(tutti_rpmsg::F_NS);
    remote.reset(tutti_rpmsg::F_NS);
    let mut before = vec![0; memory.len()];
    memory.copy_out(0, &mut before).unwrap();
    drop(batch);
    let mut after = vec![0; memory.len()];
    memory.copy_out(0, &mut after).unwrap();
    assert!(before == after, "nothing of it is given back");
    a.try_send_all(Address(8), &[b"3"]).unwrap();
    assert_eq!(bytes(&b.try_receive_all().unwrap()), [b"3"]);
}

/// Sends to two endpoints of the other side, in batches or one by one, and says what came to each, and every byte of
/// memory.
fn talk(batched: bool, steps: &[(bool, Vec<usize>)]) -> ([Vec<Vec<u8>>; 2], Vec<u8>) {
    let Pair { memory, host, remote } = pair(Features::NONE);
    let a = host.endpoint(None, Address(7)).unwrap();
    let ends: [Endpoint<'_, Desk, _>; 2] = [21, 22].map(|at| remote.endpoint(None, Address(at)).unwrap());
    let mut got = [vec![], vec![]];
    for (turn, (second, lengths)) in steps.iter().enumerate() {
        let messages: Vec<Vec<u8>> = lengths.iter().map(|len| vec![turn as u8; *len]).collect();
        let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let to = Address(21 + u32::from(*second));
        if batched {
            assert_eq!(a.try_send_all(to, &slices), Ok(slices.len()));
        } else {
            slices.iter().for_each(|bytes| a.try_send(to, bytes).unwrap());
        }
        // The first sees, and puts aside, what is for the second.
        for (end, got) in ends.iter().zip(&mut got) {
            if batched {
                got.extend(bytes(&end.try_receive_all().unwrap()));
                continue;
            }
            let mut held = vec![];
            while let Some(message) = end.try_receive().unwrap() {
                let mut bytes = vec![0; message.len()];
                message.read(0, &mut bytes).unwrap();
                got.push(bytes);
                held.push(message);
            }
        }
    }
    let mut all = vec![0; memory.len()];
    memory.copy_out(0, &mut all).unwrap();
    (got, all)
}

proptest! {
    #[test]
    fn a_batch_is_on_the_wire_what_as_many_messages_are(
        steps in prop::collection::vec((any::<bool>(), prop::collection::vec(0usize..=496, 1..=N)), 1..60),
    ) {
        let ((batched, memory), (single, other)) = (talk(true, &steps), talk(false, &steps));
        prop_assert_eq!(batched, single);
        prop_assert!(memory == other, "not a byte of memory differs");
    }
}
