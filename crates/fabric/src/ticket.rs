//! Tickets: what a code says and where to go with it, in one line of text or one QR code.
//!
//! ```text
//! tutti1  mfrggzdfmztwq2lk…
//! │    │  └ base32 (RFC 4648, lower case, no padding) of:
//! │    │      body      postcard: host id, secret, expiry, host's name, addresses
//! │    │      checksum  first 4 bytes of BLAKE3 over "tutti1" and the body
//! │    └ version, one digit
//! └ what it is
//! ```
//!
//! Letters and digits only, and either case is read: in upper case it fits the alphanumeric mode of a QR code, which
//! needs 5.5 bits for each of its characters ([`Ticket::to_qr_text`]). With three addresses a ticket has some 170
//! characters: a QR code of 41 × 41 modules, which fits a terminal.
//!
//! The **checksum** tells a slip of the pen from a ticket that is sound but not for this host: the first is told
//! before anything is dialled, the second by the host. It protects nothing; the secret does, in
//! [`pairing`](crate::pairing). The **expiry** is calendar time, by the host's clock, and only for telling a person
//! early that the ticket is too old; the host decides. A newer version of the same digit only appends fields, which
//! are ignored.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use tutti_model::{DeviceId, Name, WallTime};
use zeroize::{Zeroize, Zeroizing};

use crate::pairing::TicketSecret;

/// How many addresses a ticket carries at most.
pub const MAX_ADDRS: usize = 16;

/// The longest text that is looked at: more than a ticket with everything at its longest takes.
pub const MAX_TICKET_LEN: usize = 1024;

const KIND: &str = "tutti";
const VERSION: char = '1';
const CHECKSUM_LEN: usize = 4;

/// An invitation to one device's offer of pairing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    host: DeviceId,
    host_name: Name,
    secret: TicketSecret,
    expires: WallTime,
    addrs: Vec<SocketAddr>,
}

impl Ticket {
    /// A ticket to `host`. Of the addresses it takes the first [`MAX_ADDRS`] that another device can dial: not those
    /// that are unspecified, multicast, link-local (they need an interface, which is the reader's), without a port, or
    /// there already.
    pub fn new(
        host: DeviceId,
        host_name: Name,
        secret: TicketSecret,
        expires: WallTime,
        addrs: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        let mut kept = Vec::new();
        for addr in addrs {
            // Without flow and scope, which mean nothing elsewhere.
            let addr = SocketAddr::new(addr.ip(), addr.port());
            if is_dialable(addr) && !kept.contains(&addr) && kept.len() < MAX_ADDRS {
                kept.push(addr);
            }
        }
        let millis = expires.as_unix_millis();
        let expires = WallTime::from_unix_millis(millis - millis % 1000);
        Self { host, host_name, secret, expires, addrs: kept }
    }

    /// The device that offers.
    pub const fn host(&self) -> DeviceId {
        self.host
    }

    /// What it is called.
    pub const fn host_name(&self) -> Name {
        self.host_name
    }

    /// What gets one in.
    pub const fn secret(&self) -> &TicketSecret {
        &self.secret
    }

    /// Where it can be dialled.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Until when it is good, to the second, by the host's calendar.
    pub const fn expires(&self) -> WallTime {
        self.expires
    }

    /// Whether it is too old by this device's calendar. For a friendly word only: calendars differ, the host decides.
    pub fn seems_expired(&self, now: WallTime) -> bool {
        now > self.expires
    }

    /// The ticket in the upper case that makes a small QR code.
    pub fn to_qr_text(&self) -> String {
        self.to_string().to_ascii_uppercase()
    }
}

/// The text of the ticket, which **holds the secret**.
impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = Body {
            host: self.host,
            secret: *self.secret.expose(),
            expires: self.expires.as_unix_millis() / 1000,
            host_name: self.host_name,
            addrs: self.addrs.iter().copied().map(Addr::from).collect(),
        };
        let mut bytes = Zeroizing::new(postcard::to_allocvec(&body).map_err(|_| fmt::Error)?);
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        let mut text = BASE32_NOPAD.encode(&bytes);
        text.make_ascii_lowercase();
        let written = write!(f, "{KIND}{VERSION}{text}");
        text.zeroize();
        written
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Reads a ticket in either case. White space anywhere in it, such as a terminal's line breaks, does not matter.
    fn from_str(text: &str) -> Result<Self, TicketError> {
        if text.len() > MAX_TICKET_LEN {
            return Err(TicketError::TooLong);
        }
        let text: Zeroizing<String> =
            Zeroizing::new(text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_uppercase()).collect());
        let rest = text.strip_prefix(&KIND.to_ascii_uppercase()).ok_or(TicketError::NotATicket)?;
        let mut characters = rest.chars();
        match characters.next() {
            Some(VERSION) => {}
            Some(newer @ '2'..='9') => return Err(TicketError::Newer(newer)),
            _ => return Err(TicketError::NotATicket),
        }
        let encoded = characters.as_str();
        if let Some(c) = encoded.chars().find(|c| !matches!(c, 'A'..='Z' | '2'..='7')) {
            return Err(TicketError::BadCharacter(c));
        }
        let bytes = Zeroizing::new(BASE32_NOPAD.decode(encoded.as_bytes()).map_err(|_| TicketError::Damaged)?);
        let (body, sum) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(TicketError::Damaged)?;
        if checksum(body) != *sum {
            return Err(TicketError::Damaged);
        }
        let (body, _) = postcard::take_from_bytes::<Body>(body).map_err(|_| TicketError::Malformed)?;
        body.try_into()
    }
}

/// Why a text is no ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TicketError {
    /// It does not begin as tickets do.
    NotATicket,
    /// It is longer than any ticket.
    TooLong,
    /// It is of a newer version.
    Newer(char),
    /// A character that no ticket holds.
    BadCharacter(char),
    /// The checksum does not match: mistyped, or a part is missing.
    Damaged,
    /// The checksum matches, but it does not hold what a ticket holds.
    Malformed,
    /// It carries more than [`MAX_ADDRS`] addresses.
    TooManyAddresses(usize),
    /// It carries an address that nobody can dial.
    BadAddress(SocketAddr),
}

impl fmt::Display for TicketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATicket => write!(f, "this is not a pairing ticket; a ticket begins with \"{KIND}{VERSION}\""),
            Self::TooLong => {
                write!(f, "this is longer than any ticket ({MAX_TICKET_LEN} characters); copy the ticket alone")
            }
            Self::Newer(version) => {
                write!(f, "the ticket is of version {version}, this program reads version {VERSION}; update it")
            }
            Self::BadCharacter(c) => write!(f, "{c:?} does not occur in tickets; copy the ticket again"),
            Self::Damaged => f.write_str("the ticket is mistyped or a part of it is missing; copy all of it again"),
            Self::Malformed => f.write_str("the ticket was made wrongly; make a new one with an up-to-date program"),
            Self::TooManyAddresses(count) => {
                write!(f, "the ticket carries {count} addresses where {MAX_ADDRS} are allowed; make a new one")
            }
            Self::BadAddress(addr) => {
                write!(f, "the ticket carries the address {addr}, which nobody can dial; make a new one")
            }
        }
    }
}

impl std::error::Error for TicketError {}

/// The fields in the order in which they are encoded.
#[derive(Serialize, Deserialize)]
struct Body {
    host: DeviceId,
    secret: [u8; 16],
    /// Seconds since 1970.
    expires: u64,
    host_name: Name,
    addrs: Vec<Addr>,
}

impl Drop for Body {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Addr {
    V4([u8; 4], u16),
    V6([u8; 16], u16),
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Self {
        match addr.ip() {
            IpAddr::V4(ip) => Self::V4(ip.octets(), addr.port()),
            IpAddr::V6(ip) => Self::V6(ip.octets(), addr.port()),
        }
    }
}

impl From<Addr> for SocketAddr {
    fn from(addr: Addr) -> Self {
        match addr {
            Addr::V4(ip, port) => Self::new(Ipv4Addr::from(ip).into(), port),
            Addr::V6(ip, port) => Self::new(Ipv6Addr::from(ip).into(), port),
        }
    }
}

impl TryFrom<Body> for Ticket {
    type Error = TicketError;

    fn try_from(body: Body) -> Result<Self, TicketError> {
        if body.addrs.len() > MAX_ADDRS {
            return Err(TicketError::TooManyAddresses(body.addrs.len()));
        }
        let addrs: Vec<SocketAddr> = body.addrs.iter().copied().map(SocketAddr::from).collect();
        if let Some(&addr) = addrs.iter().find(|addr| !is_dialable(**addr)) {
            return Err(TicketError::BadAddress(addr));
        }
        Ok(Self {
            host: body.host,
            host_name: body.host_name,
            secret: TicketSecret::from_bytes(body.secret),
            expires: seconds(body.expires).ok_or(TicketError::Malformed)?,
            addrs,
        })
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(KIND.as_bytes()).update(&[VERSION as u8]).update(body);
    let mut sum = [0; CHECKSUM_LEN];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

fn seconds(seconds: u64) -> Option<WallTime> {
    seconds.checked_mul(1000).map(WallTime::from_unix_millis)
}

fn is_dialable(addr: SocketAddr) -> bool {
    let ip_ok = match addr.ip() {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_unicast_link_local(),
    };
    ip_ok && addr.port() != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn example(addrs: &[&str]) -> Ticket {
        let addrs = addrs.iter().map(|addr| addr.parse::<SocketAddr>().unwrap());
        Ticket::new(
            DeviceId::from_bytes(core::array::from_fn(|i| i as u8 * 7)),
            Name::new("kitchen").unwrap(),
            TicketSecret::from_bytes(core::array::from_fn(|i| 0xf0 | i as u8)),
            WallTime::from_unix_millis(1_750_000_000_999),
            addrs,
        )
    }

    fn usual() -> Ticket {
        example(&["192.168.1.20:40123", "10.0.3.1:40123", "[2001:db8::20]:40124"])
    }

    /// A body with a right checksum, whatever it holds.
    fn text_of(body: &[u8]) -> String {
        let bytes = [body, &checksum(body)].concat();
        format!("{KIND}{VERSION}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }

    fn body(addrs: Vec<Addr>) -> Body {
        Body { host: usual().host, secret: [1; 16], expires: 0, host_name: usual().host_name, addrs }
    }

    #[test]
    fn golden_text() {
        insta::assert_snapshot!(usual(), @"tutti1aadq4fi4emvdcob7izgviw3cnfyho7ufrsjzviniv63l3rgl2lm7b4ps6p2pl5xx7d47v6747x7p7agdxpbamb3lnf2gg2dfnybqbqfiaeklxoicaafaaaybxo4qeajaaeg3qaaaaaaaaaaaaaaaaabaxs4qfrvsjena");
        assert_eq!(usual().to_string().len(), 170);
    }

    #[test]
    fn reads_as_it_prints_in_either_case_and_over_several_lines() {
        let ticket = usual();
        assert_eq!(ticket.to_string().parse(), Ok(ticket.clone()));
        assert_eq!(ticket.to_qr_text().parse(), Ok(ticket.clone()));
        let mut wrapped = ticket.to_string();
        wrapped.insert_str(80, "\r\n  ");
        assert_eq!(format!("  {wrapped}\n").parse(), Ok(ticket.clone()));
        assert_eq!(ticket.expires(), WallTime::from_unix_millis(1_750_000_000_000));
        assert!(ticket.seems_expired(WallTime::from_unix_millis(1_750_000_000_001)));
        assert!(!ticket.seems_expired(WallTime::from_unix_millis(0)), "a clock set to 1970 does not expire anything");
    }

    #[test]
    fn fits_a_qr_code() {
        let alphanumeric = |c: char| matches!(c, '0'..='9' | 'A'..='Z');
        assert!(usual().to_qr_text().chars().all(alphanumeric));
        // The capacity of a version 6 code, 41 × 41 modules, with the lowest error correction (ISO/IEC 18004, table 7).
        assert!(usual().to_qr_text().len() <= 195);
    }

    #[test]
    fn the_longest_ticket_is_read() {
        let addrs =
            (1..40u16).map(|port| SocketAddr::new(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(), 65000 + port));
        let secret = TicketSecret::from_bytes([0xff; 16]);
        let name = Name::new(&"x".repeat(63)).unwrap();
        let ticket = Ticket::new(usual().host, name, secret, WallTime::from_unix_millis(u64::MAX), addrs);
        assert_eq!(ticket.addrs().len(), MAX_ADDRS);
        assert!(ticket.to_string().len() <= MAX_TICKET_LEN);
        assert_eq!(ticket.to_string().parse(), Ok(ticket));
    }

    #[test]
    fn only_addresses_that_others_can_dial_are_taken() {
        let ticket = example(&[
            "0.0.0.0:1",
            "[::]:1",
            "224.0.0.251:5353",
            "[ff02::fb]:5353",
            "169.254.3.4:7",
            "[fe80::1]:7",
            "10.0.0.1:0",
            "127.0.0.1:7",
            "127.0.0.1:7",
        ]);
        assert_eq!(ticket.addrs(), ["127.0.0.1:7".parse::<SocketAddr>().unwrap()]);
    }

    #[test]
    fn faults_are_named() {
        let parse = |text: &str| text.parse::<Ticket>().unwrap_err();
        let text = usual().to_string();
        assert_eq!(parse(""), TicketError::NotATicket);
        assert_eq!(parse("042917"), TicketError::NotATicket);
        assert_eq!(parse("tutti"), TicketError::NotATicket);
        assert_eq!(parse("tutti0aaaa"), TicketError::NotATicket);
        assert_eq!(parse("tütti1aaaa"), TicketError::NotATicket);
        assert_eq!(parse(&text.replacen('1', "2", 1)), TicketError::Newer('2'));
        assert_eq!(parse(&format!("{text}!")), TicketError::BadCharacter('!'));
        assert_eq!(parse(&format!("{text}0")), TicketError::BadCharacter('0'));
        assert_eq!(parse(&text[..text.len() - 1]), TicketError::Damaged);
        assert_eq!(parse("tutti1"), TicketError::Damaged);
        assert_eq!(parse(&"t".repeat(MAX_TICKET_LEN + 1)), TicketError::TooLong);
        assert_eq!(parse(&text_of(b"")), TicketError::Malformed);
        assert_eq!(parse(&text_of(&[0; 40])), TicketError::Malformed);
        let mut never = body(Vec::new());
        never.expires = u64::MAX;
        assert_eq!(parse(&text_of(&postcard::to_allocvec(&never).unwrap())), TicketError::Malformed);
        let many = body(vec![Addr::V4([127, 0, 0, 1], 9); 17]);
        assert_eq!(parse(&text_of(&postcard::to_allocvec(&many).unwrap())), TicketError::TooManyAddresses(17));
        let nowhere = body(vec![Addr::V4([0; 4], 9)]);
        let expected = TicketError::BadAddress("0.0.0.0:9".parse().unwrap());
        assert_eq!(parse(&text_of(&postcard::to_allocvec(&nowhere).unwrap())), expected);
        insta::assert_snapshot!(TicketError::Damaged, @"the ticket is mistyped or a part of it is missing; copy all of it again");
    }

    #[test]
    fn what_a_newer_program_appends_is_ignored() {
        let bytes = postcard::to_allocvec(&body(Vec::new())).unwrap();
        let ticket: Ticket = text_of(&[bytes.as_slice(), b"appended"].concat()).parse().unwrap();
        assert_eq!(ticket.host_name(), usual().host_name);
    }

    #[test]
    fn the_secret_does_not_show_in_debug_output() {
        assert!(format!("{:?}", usual()).contains("TicketSecret(hidden)"));
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_noticed(at in 6usize..100, to in "[a-z2-7]") {
            let text = usual().to_string();
            let mut altered = text.clone();
            altered.replace_range(at..=at, &to);
            prop_assert_eq!(altered.parse::<Ticket>().is_ok(), altered == text);
        }

        #[test]
        fn any_text_is_a_ticket_or_an_error(text in ".{0,200}", body in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = text.parse::<Ticket>();
            if let Ok(ticket) = text_of(&body).parse::<Ticket>() {
                prop_assert_eq!(ticket.to_string().parse(), Ok(ticket));
            }
        }
    }
}
