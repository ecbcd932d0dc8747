//! What the front end of a virtual machine says to our device: requests, one after the other, with files beside them.

use tutti_amp_host::vhost::wire::{HEADER, MessageHeader, request};
use tutti_amp_host::vhost::{Effect, MOST_REGIONS, Offer, QUEUES, Session, Table};

/// A whole session: each message is its header, its payload, and a byte that says how many files came along. It never
/// runs without all that running takes, and what a table of memory finds lies in one of its regions.
pub(crate) fn front_end(mut bytes: &[u8]) {
    let mut session = Session::<u8>::new(Offer { config: vec![0; 8], ..Offer::default() });
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() {
        let Ok(header) = MessageHeader::parse(header) else { return };
        let Some((payload, rest)) = rest.split_at_checked(header.size) else { return };
        let Some((&files, rest)) = rest.split_first() else { return };
        bytes = rest;
        match session.handle(header, payload, vec![0; usize::from(files) % 16]) {
            Ok((Effect::Memory(regions, files), _)) => {
                assert!(regions.len() == files.len() && files.len() <= MOST_REGIONS);
                if let Ok(table) = Table::new(regions) {
                    lies_within(&table, header.size as u64);
                }
            }
            Ok((Effect::Call(queue, _) | Effect::Position(queue) | Effect::Base(queue, _), _)) => {
                assert!(queue < QUEUES);
            }
            Ok((_, answer)) => assert!(answer.is_none_or(|answer| answer.len() <= 512)),
            Err(refused) => {
                assert!(!refused.to_string().is_empty());
                return;
            }
        }
        let complete = session.queues().iter().all(|it| it.size.is_some() && it.at.is_some() && it.kick.is_some());
        assert!(!session.runs() || complete);
    }
}

fn lies_within(table: &Table, len: u64) {
    for region in table.regions() {
        for addr in [region.guest, region.guest + region.len - 1, region.guest.wrapping_sub(1), region.user] {
            if let Some(at) = table.offset_of_guest(addr, len) {
                assert!(at as u64 + len <= table.span() as u64);
                assert!(table.regions().iter().any(|it| it.guest <= addr && addr + len <= it.guest + it.len));
            }
        }
    }
}

fn message(request: u32, payload: &[u8], files: u8) -> Vec<u8> {
    let header = [request, 9, payload.len() as u32].map(u32::to_ne_bytes);
    [header.as_flattened(), payload, &[files]].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// What Linux says, word for word but for the addresses, and what it says when its driver goes.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let table = words(&[1, 0, 0x60_0000, 0, 0x200_0000, 0, 0x60_0000, 0, 0x60_0000, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut start = vec![
        message(request::SET_OWNER, &[], 0),
        message(request::GET_FEATURES, &[], 0),
        message(request::GET_PROTOCOL_FEATURES, &[], 0),
        message(request::SET_PROTOCOL_FEATURES, &words(&[0x228, 0]), 0),
        message(request::SET_BACKEND_REQ_FD, &[], 1),
        message(request::SET_FEATURES, &words(&[0x7000_0001, 1]), 0),
        message(request::SET_MEM_TABLE, &table, 1),
    ];
    for queue in 0..2 {
        start.push(message(request::SET_VRING_CALL, &words(&[queue, 0]), 1));
        start.push(message(request::SET_VRING_NUM, &words(&[queue, 256]), 0));
        start.push(message(request::SET_VRING_BASE, &words(&[queue, 0]), 0));
        let at = words(&[queue, 0, 0x70_0000, 0, 0x70_3000, 0, 0x70_1000, 0, u32::MAX, u32::MAX]);
        start.push(message(request::SET_VRING_ADDR, &at, 0));
    }
    for queue in 0..2 {
        start.push(message(request::SET_VRING_KICK, &words(&[queue, 0]), 1));
        start.push(message(request::SET_VRING_ENABLE, &words(&[queue, 1]), 0));
    }
    let start = start.concat();
    let stop = [1, 0].map(|queue| message(request::SET_VRING_ENABLE, &words(&[queue, 0]), 0)).concat();
    let base = [0, 1].map(|queue| message(request::GET_VRING_BASE, &words(&[queue, 0]), 0)).concat();
    let config = message(request::GET_CONFIG, &words(&[0, 8, 0, 0, 0]), 0);
    let reset = [message(request::RESET_DEVICE, &[], 0), message(request::SET_STATUS, &words(&[0, 0]), 0)].concat();
    vec![
        ("linux", [start.as_slice(), &stop, &start].concat()),
        ("stopped", [start.as_slice(), &base].concat()),
        ("reset", [start.as_slice(), &reset, &start].concat()),
        ("config", config),
    ]
}
