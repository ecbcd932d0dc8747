//! DHCP's messages: RFC 2131 (form), RFC 2132 (options). A checked reading, and the few that a client sends.
//!
//! Libraries for them were looked at: `dhcproto` 0.15 comes with a name server's library and tables of Unicode (some fifty crates); `edge-dhcp` 0.8
//! panics on a list of routers whose length is no multiple of four, does not know padding between options, and sets another bit
//! than that of broadcasts.

use std::net::Ipv4Addr;

/// The port that servers listen on.
pub const SERVER: u16 = 67;
/// The port that clients listen on.
pub const CLIENT: u16 = 68;

const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Before the options (RFC 2131, section 2).
const FIXED: usize = 236;
/// Servers may expect so much (RFC 951).
const LEAST: usize = 300;

/// What sort of message it is (RFC 2132, 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Who has an address?
    Discover,
    /// I have one.
    Offer,
    /// I take it.
    Request,
    /// It is yours.
    Ack,
    /// It is not.
    Nak,
    /// I do not need it any more.
    Release,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Discover => 1,
            Self::Offer => 2,
            Self::Request => 3,
            Self::Ack => 5,
            Self::Nak => 6,
            Self::Release => 7,
        }
    }

    const fn of(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Discover,
            2 => Self::Offer,
            3 => Self::Request,
            5 => Self::Ack,
            6 => Self::Nak,
            7 => Self::Release,
            _ => return None,
        })
    }
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asking<'a> {
    /// What.
    pub kind: Kind,
    /// Which exchange this is of.
    pub xid: u32,
    /// Seconds since it began.
    pub seconds: u16,
    /// The interface's address.
    pub mac: [u8; 6],
    /// The address that the client has and uses.
    pub own: Option<Ipv4Addr>,
    /// The address that it wishes.
    pub wish: Option<Ipv4Addr>,
    /// Which server it has chosen.
    pub server: Option<Ipv4Addr>,
    /// Its name.
    pub hostname: &'a str,
}

impl Asking<'_> {
    /// As it is sent.
    pub fn emit(&self) -> Vec<u8> {
        let mut bytes = vec![0; FIXED];
        let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
        put(0, &[1, 1, 6, 0]);
        put(4, &self.xid.to_be_bytes());
        put(8, &self.seconds.to_be_bytes());
        match self.own {
            Some(own) => put(12, &own.octets()),
            // Without an address it cannot be answered but by broadcast.
            None => put(10, &[0x80, 0]),
        }
        put(28, &self.mac);
        bytes.extend(COOKIE);
        bytes.extend([53, 1, self.kind.code()]);
        // So that one machine is one client whatever it runs (RFC 2132, 9.14).
        bytes.extend([61, 7, 1]);
        bytes.extend(self.mac);
        if let Some(wish) = self.wish {
            bytes.extend([50, 4]);
            bytes.extend(wish.octets());
        }
        if let Some(server) = self.server {
            bytes.extend([54, 4]);
            bytes.extend(server.octets());
        }
        if self.kind != Kind::Release {
            // Mask, routers, name servers, times; and how much it takes (RFC 2132, 9.10).
            bytes.extend([55, 6, 1, 3, 6, 51, 58, 59, 57, 2, 0x05, 0xdc]);
            let name = self.hostname.as_bytes().get(..self.hostname.len().min(63)).unwrap_or_default();
            if !name.is_empty() {
                bytes.extend([12, u8::try_from(name.len()).unwrap_or(63)]);
                bytes.extend(name);
            }
        }
        bytes.push(255);
        bytes.resize(bytes.len().max(LEAST), 0);
        bytes
    }
}

/// What a server says, as far as a client wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What.
    pub kind: Kind,
    /// The address.
    pub address: Ipv4Addr,
    /// Its network's prefix.
    pub prefix: u8,
    /// The first router.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers, four at most.
    pub dns: Vec<Ipv4Addr>,
    /// Who says so.
    pub server: Option<Ipv4Addr>,
    /// Seconds that it may be kept.
    pub lease: Option<u32>,
    /// Seconds after which it is to be renewed.
    pub renew: Option<u32>,
    /// Seconds after which anybody may renew it.
    pub rebind: Option<u32>,
}

impl Answer {
    /// Reads what came; none if it is no answer to this client in this exchange. Never panics.
    pub fn parse(bytes: &[u8], xid: u32, mac: [u8; 6]) -> Option<Self> {
        let fixed = bytes.get(..FIXED)?;
        let mine = fixed.get(..3)? == [2, 1, 6] && fixed.get(4..8)? == xid.to_be_bytes() && fixed.get(28..34)? == mac;
        if !mine || bytes.get(FIXED..FIXED + 4)? != COOKIE {
            return None;
        }
        let address = address(fixed.get(16..20)?)?;
        let (mut kind, mut prefix, mut found) = (None, None, Self::empty(address));
        let mut rest = bytes.get(FIXED + 4..)?;
        while let Some((&code, after)) = rest.split_first() {
            match code {
                0 => rest = after,
                255 => break,
                _ => {
                    let (&len, after) = after.split_first()?;
                    let value = after.get(..len.into())?;
                    rest = after.get(len.into()..)?;
                    match code {
                        1 => prefix = prefix_of(value),
                        3 => found.gateway = value.get(..4).and_then(self::address),
                        6 => found.dns = value.chunks_exact(4).filter_map(self::address).take(4).collect(),
                        51 => found.lease = number(value),
                        53 => kind = Kind::of(*value.first()?),
                        54 => found.server = self::address(value),
                        58 => found.renew = number(value),
                        59 => found.rebind = number(value),
                        _ => {}
                    }
                }
            }
        }
        let kind = kind?;
        // A refusal has no address, everything else has one that a host can have.
        let usable =
            !address.is_unspecified() && !address.is_broadcast() && !address.is_multicast() && !address.is_loopback();
        if kind != Kind::Nak && !usable {
            return None;
        }
        Some(Self { kind, prefix: prefix.unwrap_or_else(|| class_of(address)), ..found })
    }

    const fn empty(address: Ipv4Addr) -> Self {
        let (gateway, server, lease, renew, rebind) = (None, None, None, None, None);
        Self { kind: Kind::Nak, address, prefix: 32, gateway, dns: Vec::new(), server, lease, renew, rebind }
    }
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?))
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// The length of a mask; none if it has holes.
fn prefix_of(bytes: &[u8]) -> Option<u8> {
    let mask = number(bytes)?;
    (mask.leading_ones() + mask.trailing_zeros() == 32 || mask == u32::MAX)
        .then(|| u8::try_from(mask.leading_ones()).ok())?
}

/// What an address without a mask meant before there were masks.
fn class_of(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

    pub(crate) fn answer(kind: Kind, xid: u32, address: [u8; 4], options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; FIXED];
        bytes[..4].copy_from_slice(&[2, 1, 6, 0]);
        bytes[4..8].copy_from_slice(&xid.to_be_bytes());
        bytes[16..20].copy_from_slice(&address);
        bytes[28..34].copy_from_slice(&MAC);
        bytes.extend(COOKIE);
        bytes.extend([53, 1, kind.code()]);
        bytes.extend(options);
        bytes.push(255);
        bytes
    }

    #[test]
    fn a_question_has_its_form() {
        let asking = Asking {
            kind: Kind::Request,
            xid: 0x0102_0304,
            seconds: 5,
            mac: MAC,
            own: None,
            wish: Some(Ipv4Addr::new(10, 0, 2, 15)),
            server: Some(Ipv4Addr::new(10, 0, 2, 2)),
            hostname: "kitchen",
        };
        let bytes = asking.emit();
        assert_eq!(bytes[..12], [1, 1, 6, 0, 1, 2, 3, 4, 0, 5, 0x80, 0]);
        assert_eq!(bytes[28..34], MAC);
        let options = [
            &[99, 130, 83, 99, 53, 1, 3, 61, 7, 1, 2, 0, 0, 0, 0, 7, 50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2][..],
            &[55, 6, 1, 3, 6, 51, 58, 59, 57, 2, 5, 220, 12, 7],
            b"kitchen\xff",
        ];
        assert!(bytes[FIXED..].starts_with(&options.concat()));
        let renewing = Asking { own: asking.wish, wish: None, server: None, ..asking }.emit();
        assert_eq!(renewing[10..16], [0, 0, 10, 0, 2, 15], "it can be answered directly");
    }

    #[test]
    fn an_answer_is_read() {
        let options =
            [1, 4, 255, 255, 255, 0, 0, 3, 8, 10, 0, 2, 2, 10, 0, 2, 1, 6, 4, 10, 0, 2, 3, 51, 4, 0, 0, 14, 16];
        let bytes = answer(Kind::Offer, 9, [10, 0, 2, 15], &options);
        let read = Answer::parse(&bytes, 9, MAC).unwrap();
        assert_eq!((read.kind, read.address, read.prefix), (Kind::Offer, Ipv4Addr::new(10, 0, 2, 15), 24));
        assert_eq!(read.gateway, Some(Ipv4Addr::new(10, 0, 2, 2)));
        assert_eq!((read.dns, read.lease), (vec![Ipv4Addr::new(10, 0, 2, 3)], Some(3600)));
        assert_eq!(Answer::parse(&bytes, 8, MAC), None, "of another exchange");
        assert_eq!(Answer::parse(&bytes, 9, [2; 6]), None, "for somebody else");
        assert_eq!(Answer::parse(&answer(Kind::Ack, 9, [127, 0, 0, 1], &[]), 9, MAC), None, "no host has it");
        assert_eq!(Answer::parse(&answer(Kind::Ack, 9, [10, 0, 2, 15], &[3, 200, 1]), 9, MAC), None, "it is cut");
        let holes = Answer::parse(&answer(Kind::Ack, 9, [10, 0, 2, 15], &[1, 4, 255, 0, 255, 0]), 9, MAC).unwrap();
        assert_eq!(holes.prefix, 8);
    }

    proptest! {
        #[test]
        fn nothing_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..400), real in any::<bool>()) {
            if real && bytes.len() > FIXED + 4 {
                let start = answer(Kind::Ack, 9, [10, 0, 0, 1], &[]);
                bytes[..FIXED + 4].copy_from_slice(&start[..FIXED + 4]);
            }
            Answer::parse(&bytes, 9, MAC);
        }

        #[test]
        fn masks_are_prefixes(prefix in 0u8..=32) {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            prop_assert_eq!(prefix_of(&mask.to_be_bytes()), Some(prefix));
        }
    }
}
