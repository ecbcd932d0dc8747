//! The network of user-mode Linux, without privileges: this machine as the other end of the guest's only cable.
//!
//! The guest's Ethernet frames come and go over a socket. It gets its address by DHCP (RFC 2131), finds the router by ARP
//! (RFC 826), and its UDP datagrams (RFC 768) are sent on from sockets of this process: all that devices of a
//! pool need of each other. What else it sends is dropped. The addresses are those of QEMU's user network, so that one image finds the
//! same in both: the guest is 10.0.2.15, and 10.0.2.2 is this machine's loopback.
//!
//! This module is without I/O: frames and datagrams in, frames and datagrams out. The guest is as foreign as any other sender:
//! every length is held against the bytes that are there, and how many sockets there are is the caller's bound. It reaches
//! what this process reaches by UDP, and is reached only by what it has sent something to first.

use std::net::{Ipv4Addr, SocketAddrV4};

/// The longest frame, in bytes.
pub const MAX_FRAME: usize = 1514;
/// The longest datagram, in bytes.
pub const MAX_DATAGRAM: usize = MAX_FRAME - ETHERNET - IP - UDP;

/// The guest's address.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// This machine, as the guest sees it.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

const ROUTER_MAC: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];
const BROADCAST: [u8; 6] = [0xff; 6];
const ETHERNET: usize = 14;
const IP: usize = 20;
const UDP: usize = 8;
/// DHCP's message up to its options, and the four bytes that these begin with.
const BOOTP: usize = 236;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// How long the guest may keep its address, in seconds.
const LEASE: u32 = 86_400;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// This frame goes to the guest.
    ToGuest(Vec<u8>),
    /// A datagram goes out, from the socket that stands for this port of the guest's.
    ToWorld {
        /// The guest's port.
        port: u16,
        /// Where to.
        to: SocketAddrV4,
        /// What.
        data: Vec<u8>,
    },
}

/// The other end of the cable.
#[derive(Debug, Clone, Default)]
pub struct Network {
    guest: Option<[u8; 6]>,
}

impl Network {
    /// Takes a frame of the guest's. What has no meaning here gives nothing.
    pub fn from_guest(&mut self, frame: &[u8]) -> Option<Action> {
        let (header, rest) = frame.split_first_chunk::<ETHERNET>()?;
        let [.., a, b, c, d, e, f, high, low] = *header;
        let sender = [a, b, c, d, e, f];
        let action = match [high, low] {
            [8, 6] => arp(rest).map(Action::ToGuest),
            [8, 0] => self.datagram(sender, rest),
            _ => None,
        };
        if action.is_some() {
            self.guest = Some(sender);
        }
        action
    }

    fn datagram(&self, sender: [u8; 6], packet: &[u8]) -> Option<Action> {
        let first = *packet.first()?;
        let header = usize::from(first & 0xf) * 4;
        let length = usize::from(word(packet, 2)?);
        // Version 4, whole, UDP.
        if first >> 4 != 4 || header < IP || word(packet, 6)? & 0x3fff != 0 || *packet.get(9)? != 17 {
            return None;
        }
        let to = address(packet, 16)?;
        let udp = packet.get(header..length)?;
        let (port, to_port) = (word(udp, 0)?, word(udp, 2)?);
        let data = udp.get(UDP..usize::from(word(udp, 4)?))?;
        if to_port == 67 {
            return dhcp(data).map(|answer| {
                let (from, to) = (SocketAddrV4::new(ROUTER, 67), SocketAddrV4::new(Ipv4Addr::BROADCAST, 68));
                Action::ToGuest(packed(sender, from, to, &answer))
            });
        }
        if address(packet, 12)? != GUEST
            || to.is_broadcast()
            || to.is_multicast()
            || to.is_unspecified()
            || to_port == 0
        {
            return None;
        }
        let to = if to == ROUTER { Ipv4Addr::LOCALHOST } else { to };
        Some(Action::ToWorld { port, to: SocketAddrV4::new(to, to_port), data: data.to_vec() })
    }

    /// A datagram for this port of the guest's as a frame; nothing before it has said where it is, or if it is too long.
    pub fn from_world(&self, port: u16, from: SocketAddrV4, data: &[u8]) -> Option<Vec<u8>> {
        let guest = self.guest.filter(|_| data.len() <= MAX_DATAGRAM)?;
        let ip = if from.ip().is_loopback() { ROUTER } else { *from.ip() };
        Some(packed(guest, SocketAddrV4::new(ip, from.port()), SocketAddrV4::new(GUEST, port), data))
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok().map(Ipv4Addr::from)
}

/// Answers who asks where the router is.
fn arp(question: &[u8]) -> Option<Vec<u8>> {
    let question = question.get(..28)?;
    if question[..8] != [0, 1, 8, 0, 6, 4, 0, 1] || question[24..28] != ROUTER.octets() {
        return None;
    }
    let (asker, protocol) = (&question[8..18], [0, 1, 8, 0, 6, 4, 0, 2]);
    Some([&asker[..6], &ROUTER_MAC, &[8, 6], &protocol, &ROUTER_MAC, &ROUTER.octets(), asker].concat())
}

/// Answers a question for an address: an offer to whoever discovers, consent to whoever requests.
fn dhcp(question: &[u8]) -> Option<Vec<u8>> {
    let (fixed, options) = question.split_at_checked(BOOTP)?;
    let options = options.strip_prefix(&COOKIE)?;
    let kind = match option(options, 53)? {
        [1] => 2,
        [3] => 5,
        _ => return None,
    };
    if fixed[0] != 1 {
        return None;
    }
    let mut answer = fixed.to_vec();
    answer[0] = 2;
    answer[16..20].copy_from_slice(&GUEST.octets());
    answer[20..24].copy_from_slice(&ROUTER.octets());
    answer.extend(COOKIE);
    answer.extend([53, 1, kind]);
    for (code, value) in
        [(54, ROUTER.octets()), (51, LEASE.to_be_bytes()), (1, [255, 255, 255, 0]), (3, ROUTER.octets())]
    {
        answer.extend([code, 4]);
        answer.extend(value);
    }
    answer.push(255);
    // What is shorter some clients take for damaged.
    answer.resize(answer.len().max(300), 0);
    Some(answer)
}

/// One of DHCP's options.
fn option(mut rest: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match rest {
            [0, more @ ..] => rest = more,
            [255, ..] | [] | [_] => return None,
            [code, length, more @ ..] => {
                let (value, after) = more.split_at_checked(usize::from(*length))?;
                if *code == wanted {
                    return Some(value);
                }
                rest = after;
            }
        }
    }
}

/// A datagram in a frame. It has no checksum of its own, as UDP over IPv4 allows: it crosses no cable.
fn packed(to_mac: [u8; 6], from: SocketAddrV4, to: SocketAddrV4, data: &[u8]) -> Vec<u8> {
    let length = |more: usize| u16::try_from(data.len() + more).unwrap_or(u16::MAX).to_be_bytes();
    let mac = if to.ip().is_broadcast() { BROADCAST } else { to_mac };
    let mut frame =
        [&mac[..], &ROUTER_MAC, &[8, 0], &[0x45, 0], &length(UDP + IP), &[0, 0, 0, 0, 64, 17, 0, 0]].concat();
    frame.extend(from.ip().octets());
    frame.extend(to.ip().octets());
    let words = frame[ETHERNET..].chunks_exact(2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let checksum = !u16::try_from(folded).unwrap_or(u16::MAX);
    frame[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&checksum.to_be_bytes());
    frame.extend(from.port().to_be_bytes());
    frame.extend(to.port().to_be_bytes());
    frame.extend(length(UDP));
    frame.extend([0, 0]);
    frame.extend(data);
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

    /// A frame of the guest's with a datagram.
    fn sent(from: SocketAddrV4, to: SocketAddrV4, data: &[u8]) -> Vec<u8> {
        let mut frame = packed(ROUTER_MAC, from, to, data);
        frame[6..12].copy_from_slice(&MAC);
        frame
    }

    fn question(kind: u8) -> Vec<u8> {
        let mut dhcp = vec![0; BOOTP];
        dhcp[0] = 1;
        dhcp[4..8].copy_from_slice(b"xyzt");
        dhcp.extend(COOKIE);
        dhcp.extend([0, 61, 1, 7, 53, 1, kind, 255]);
        sent(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68), SocketAddrV4::new(Ipv4Addr::BROADCAST, 67), &dhcp)
    }

    #[test]
    fn the_guest_gets_an_address_and_finds_the_router() {
        let mut network = Network::default();
        for (asked, answered) in [(1, 2), (3, 5)] {
            let Some(Action::ToGuest(frame)) = network.from_guest(&question(asked)) else { panic!("no answer") };
            let dhcp = &frame[ETHERNET + IP + UDP..];
            assert_eq!((dhcp[0], &dhcp[4..8], &dhcp[16..20]), (2, &b"xyzt"[..], &GUEST.octets()[..]));
            assert_eq!(option(&dhcp[BOOTP + 4..], 53), Some(&[answered][..]));
            assert_eq!(option(&dhcp[BOOTP + 4..], 3), Some(&ROUTER.octets()[..]));
        }
        let arp =
            [&BROADCAST[..], &MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &MAC, &GUEST.octets(), &[0; 6], &ROUTER.octets()];
        let Some(Action::ToGuest(frame)) = network.from_guest(&arp.concat()) else { panic!("no answer") };
        assert_eq!((&frame[..6], &frame[6..12], &frame[20..22]), (&MAC[..], &ROUTER_MAC[..], &[0, 2][..]));
        assert_eq!(&frame[22..], [&ROUTER_MAC[..], &ROUTER.octets(), &MAC, &GUEST.octets()].concat());
    }

    #[test]
    fn datagrams_go_out_and_come_back() {
        let mut network = Network::default();
        let own = SocketAddrV4::new(GUEST, 5000);
        let far = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 7), 99);
        assert_eq!(network.from_world(5000, far, b"early"), None);
        let out = |to, data: &[u8]| Some(Action::ToWorld { port: 5000, to, data: data.to_vec() });
        assert_eq!(network.from_guest(&sent(own, far, b"hello")), out(far, b"hello"));
        let here = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7);
        assert_eq!(network.from_guest(&sent(own, SocketAddrV4::new(ROUTER, 7), b"x")), out(here, b"x"));
        let frame = network.from_world(5000, here, b"back").unwrap();
        assert_eq!(frame[..6], MAC);
        assert_eq!(frame[26..34], [ROUTER.octets(), GUEST.octets()].concat());
        assert_eq!(frame[34..], [&7u16.to_be_bytes()[..], &5000u16.to_be_bytes(), &[0, 12, 0, 0], b"back"].concat());
        // The header sums up to all ones (RFC 1071).
        let sum: u32 = frame[14..34].chunks(2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]]))).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
        assert_eq!(network.from_world(5000, here, &[0; MAX_DATAGRAM + 1]), None);
        assert_eq!(network.from_guest(&sent(SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 99), 1), far, b"spoofed")), None);
        for nobody in [Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 251), Ipv4Addr::UNSPECIFIED] {
            assert_eq!(network.from_guest(&sent(own, SocketAddrV4::new(nobody, 5353), b"x")), None);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(
            frame in prop::collection::vec(any::<u8>(), 0..400),
            at in 0usize..400,
            byte in any::<u8>(),
            cut in 0usize..400,
        ) {
            let mut network = Network::default();
            network.from_guest(&frame);
            let mut changed = question(1);
            if let Some(it) = changed.get_mut(at) {
                *it = byte;
            }
            network.from_guest(&changed);
            network.from_guest(&changed[..changed.len().min(cut)]);
        }
    }
}
