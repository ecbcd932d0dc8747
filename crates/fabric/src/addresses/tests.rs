//! Cases, golden bytes and properties of the address book.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*};

use super::*;

const KITCHEN: DeviceId = DeviceId::from_bytes([1; 32]);

fn at(seconds: u64) -> BootTime {
    BootTime::ZERO + Duration::from_secs(seconds)
}

fn addr(last: u8) -> SocketAddr {
    ([192, 168, 1, last], 4242).into()
}

#[test]
fn who_answered_last_is_dialled_first_and_claims_follow() {
    let mut book = AddressBook::new();
    book.heard(KITCHEN, Source::Mdns, &[addr(1), addr(2), addr(3)], at(1));
    book.proved(KITCHEN, addr(2), at(2));
    book.proved(KITCHEN, addr(9), at(3));
    book.heard(KITCHEN, Source::Ticket, &[addr(4)], at(4));
    assert_eq!(book.dial(KITCHEN, at(5)), [addr(9), addr(2), addr(4), addr(1), addr(3)]);
}

#[test]
fn a_source_replaces_what_it_said_and_lost_claims_expire() {
    let mut book = AddressBook::new();
    book.heard(KITCHEN, Source::Mdns, &[addr(1)], at(0));
    book.heard(KITCHEN, Source::Mdns, &[addr(2)], at(10));
    assert_eq!(book.dial(KITCHEN, at(11)), [addr(2), addr(1)]);
    assert_eq!(book.dial(KITCHEN, at(4000)), [addr(2)], "still announced");
    book.vanished(KITCHEN, Source::SameHost);
    assert_eq!(book.dial(KITCHEN, at(4000)), [addr(2)], "another source has no say");
    book.vanished(KITCHEN, Source::Mdns);
    assert_eq!(book.dial(KITCHEN, at(100)), [addr(2), addr(1)]);
    assert_eq!(book.dial(KITCHEN, at(4000)), []);
    book.expire(at(4000));
    assert_eq!(book.devices().count(), 0);
}

#[test]
fn claims_do_not_push_out_proven_addresses() {
    let mut book = AddressBook::new();
    book.proved(KITCHEN, addr(1), at(1));
    for round in 2..100 {
        let said: Vec<_> = (0..16).map(|last| SocketAddr::from(([10, 0, round, last], 1))).collect();
        book.heard(KITCHEN, Source::Mdns, &said, at(round.into()));
    }
    let dialled = book.dial(KITCHEN, at(100));
    assert_eq!(dialled.first(), Some(&addr(1)));
    assert_eq!(dialled.len(), 1 + MAX_CLAIMS);
}

#[test]
fn proven_addresses_do_not_keep_out_claims() {
    let mut book = AddressBook::new();
    for last in 0..50 {
        book.proved(KITCHEN, addr(last), at(last.into()));
    }
    book.heard(KITCHEN, Source::Mdns, &[addr(200)], at(60));
    let dialled = book.dial(KITCHEN, at(60));
    assert_eq!(dialled.len(), MAX_PROVEN + 1);
    assert!(dialled.contains(&addr(200)) && dialled.contains(&addr(49)) && !dialled.contains(&addr(0)));
}

#[test]
fn a_flood_of_devices_leaves_pinned_ones() {
    let mut book = AddressBook::new();
    book.pin(KITCHEN, true, at(0));
    book.proved(KITCHEN, addr(1), at(0));
    for n in 0..MAX_DEVICES as u64 + 100 {
        let mut id = [9; 32];
        id[..8].copy_from_slice(&n.to_le_bytes());
        book.heard(DeviceId::from_bytes(id), Source::Mdns, &[addr(2)], at(1) + Duration::from_nanos(n));
    }
    assert_eq!(book.devices().count(), MAX_DEVICES);
    assert_eq!(book.dial(KITCHEN, at(2)), [addr(1)]);
}

#[test]
fn useless_addresses_are_left_out() {
    for text in ["0.0.0.0:1", "[::]:1", "224.0.0.251:1", "255.255.255.255:1", "[ff02::1]:1", "[fe80::1]:1", "1.2.3.4:0"]
    {
        assert_eq!(dialable(text.parse().unwrap()), None, "{text}");
    }
    assert_eq!(dialable("[::ffff:1.2.3.4]:5".parse().unwrap()), Some("1.2.3.4:5".parse().unwrap()));
    assert!(dialable("127.0.0.1:5".parse().unwrap()).is_some());
}

#[test]
fn golden_bytes() {
    let mut book = AddressBook::new();
    book.pin(KITCHEN, true, at(0));
    book.proved(KITCHEN, addr(5), at(1));
    book.proved(KITCHEN, "[2001:db8::7]:9".parse().unwrap(), at(2));
    book.heard(KITCHEN, Source::Mdns, &[addr(6)], at(3));
    let hex = data_encoding::HEXLOWER.encode(&book.encode());
    // tag, version, length; one device; two addresses: IPv6 with port 9, IPv4 with port 4242
    let (header, id) = ("424101003b000000", "01".repeat(32));
    let (v6, v4) = ("0120010db800000000000000000000000709", "00c0a801059221");
    assert_eq!(hex, format!("{header}01{id}02{v6}{v4}"));
    let read = AddressBook::decode(&book.encode(), at(0)).unwrap();
    assert_eq!(read.dial(KITCHEN, at(0)), ["[2001:db8::7]:9".parse().unwrap(), addr(5)]);
}

#[test]
fn too_much_is_refused() {
    let many: Vec<SavedDevice> = vec![(KITCHEN, (0..=MAX_PROVEN).map(|_| SavedAddr::V4([1; 4], 1)).collect())];
    let mut writer = SectionWriter::new();
    writer.push(TAG, VERSION, &many).unwrap();
    assert_eq!(AddressBook::decode(&writer.finish(), at(0)).unwrap_err(), AddressBookError::TooLarge);
    assert!(matches!(AddressBook::decode(b"", at(0)), Err(AddressBookError::Malformed(_))));
}

#[derive(Clone, Debug)]
enum Step {
    Heard(u8, u8, Vec<SocketAddr>),
    Vanished(u8, u8),
    Proved(u8, SocketAddr),
    Pin(u8, bool),
    Forget(u8),
    Expire,
}

fn source(n: u8) -> Source {
    [Source::Mdns, Source::SameHost, Source::Ticket, Source::Saved, Source::Observed][usize::from(n) % 5]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let addr = || {
        any::<(bool, u8, u16)>().prop_map(|(v6, last, port)| {
            if v6 { SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, u16::from(last)], port)) } else { addr(last) }
        })
    };
    let device = || 0u8..6;
    vec(
        prop_oneof![
            4 => (device(), any::<u8>(), vec(addr(), 0..20)).prop_map(|(d, s, a)| Step::Heard(d, s, a)),
            1 => (device(), any::<u8>()).prop_map(|(d, s)| Step::Vanished(d, s)),
            4 => (device(), addr()).prop_map(|(d, a)| Step::Proved(d, a)),
            1 => (device(), any::<bool>()).prop_map(|(d, p)| Step::Pin(d, p)),
            1 => device().prop_map(Step::Forget),
            1 => Just(Step::Expire),
        ],
        0..80,
    )
}

proptest! {
    #[test]
    fn bounds_hold_and_saved_books_come_back(steps in steps(), pace in 0u64..2000) {
        let mut book = AddressBook::new();
        let mut now = at(1);
        for step in steps {
            now = now + Duration::from_secs(pace);
            let id = |d: u8| DeviceId::from_bytes([d; 32]);
            match step {
                Step::Heard(d, s, addrs) => book.heard(id(d), source(s), &addrs, now),
                Step::Vanished(d, s) => book.vanished(id(d), source(s)),
                Step::Proved(d, addr) => {
                    book.proved(id(d), addr, now);
                    if let Some(addr) = dialable(addr) {
                        prop_assert_eq!(book.dial(id(d), now)[0], addr, "who just answered is dialled first");
                    }
                }
                Step::Pin(d, pinned) => book.pin(id(d), pinned, now),
                Step::Forget(d) => {
                    book.forget(id(d));
                    prop_assert!(book.dial(id(d), now).is_empty());
                }
                Step::Expire => {
                    let before: Vec<_> = (0..6).map(|d| book.dial(id(d), now)).collect();
                    book.expire(now);
                    prop_assert_eq!((0..6).map(|d| book.dial(id(d), now)).collect::<Vec<_>>(), before);
                }
            }
            for device in book.devices() {
                let dialled = book.dial(device, now);
                prop_assert!(dialled.len() <= MAX_DIALLED);
                prop_assert_eq!(dialled.iter().collect::<BTreeSet<_>>().len(), dialled.len());
                prop_assert!(dialled.iter().all(|&addr| dialable(addr) == Some(addr)));
                prop_assert!(book.known(device).count() <= MAX_DIALLED);
            }
        }
        let read = AddressBook::decode(&book.encode(), now).unwrap();
        prop_assert_eq!(read.encode(), book.encode());
        for (&device, entry) in &book.devices {
            let proven: Vec<_> = book.dial(device, now).into_iter().filter(|addr| entry.addrs[addr].proven).collect();
            prop_assert_eq!(read.dial(device, now), if entry.pinned { proven } else { vec![] });
        }
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = AddressBook::decode(&bytes, at(1));
        let mut writer = SectionWriter::new();
        writer.push_raw(TAG, VERSION, &bytes).unwrap();
        if let Ok(book) = AddressBook::decode(&writer.finish(), at(1)) {
            prop_assert!(book.devices().count() <= MAX_DEVICES);
        }
    }
}
