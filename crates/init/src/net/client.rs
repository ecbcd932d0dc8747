//! The client's side of DHCP (RFC 2131, section 4.4) without I/O.
//!
//! ```text
//!   Discovering ──offer──▶ Requesting ──ack──▶ Bound ──T1──▶ Renewing ──T2──▶ Rebinding ──end──▶ Discovering
//!        ▲                     │ nak, silence      ▲            │ ack              │ ack
//!        └─────────────────────┘                   └────────────┴──────────────────┘
//! ```
//!
//! Everything is asked again at growing intervals, 4 s at most 64 s (section 4.1), for as long as there is a link: a network
//! without a server costs a small message a minute. Times that a server gives are held within bounds: an answer that
//! asks for renewal each second does not make the device flood its network.
//!
//! Whoever is on the same network can pretend to be its server. What they can do by that is what they can do on that network
//! anyway; identity and secrecy are the fabric's business, not addresses'.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use super::{
    Address,
    dhcp::{Answer, Asking, Kind},
};

const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(64);
/// Questions for an offered address before looking for another.
const REQUESTS: u32 = 4;
/// No lease is taken to be shorter.
const SHORTEST: u32 = 60;
/// A lease of which a server does not say how long it is.
const UNSAID: u32 = 3600;

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// To everybody.
    All,
    /// To this server.
    Server(Ipv4Addr),
}

/// What became of the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It has one, from now on.
    Bound(Address),
    /// It has none any more.
    Lost(Address),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease {
    address: Address,
    server: Option<Ipv4Addr>,
    renew: Instant,
    rebind: Instant,
    end: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Discovering,
    Requesting { address: Ipv4Addr, server: Option<Ipv4Addr>, asked: u32 },
    Bound(Lease),
}

/// The client for one interface.
#[derive(Debug)]
pub struct Client {
    mac: [u8; 6],
    hostname: String,
    xid: u32,
    state: State,
    began: Instant,
    next: Instant,
    pause: Duration,
    random: u32,
}

impl Client {
    /// Begins at once. `seed` makes the exchanges of different devices different.
    pub fn new(now: Instant, mac: [u8; 6], hostname: &str, seed: u32) -> Self {
        let mut client = Self {
            mac,
            hostname: hostname.to_owned(),
            xid: 0,
            state: State::Discovering,
            began: now,
            next: now,
            pause: FIRST,
            random: seed | 1,
        };
        client.begin(now);
        client
    }

    fn begin(&mut self, now: Instant) {
        self.xid = self.draw();
        self.state = State::Discovering;
        (self.began, self.next, self.pause) = (now, now, FIRST);
    }

    /// Xorshift: enough that two devices that are switched on together do not speak together for ever.
    fn draw(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random
    }

    /// The next message to send now, if there is one.
    pub fn poll(&mut self, now: Instant) -> Option<(Vec<u8>, To)> {
        if now < self.next {
            return None;
        }
        if let State::Requesting { asked: REQUESTS.., .. } = self.state {
            self.begin(now);
        }
        let jitter = Duration::from_millis(u64::from(self.draw() % 1000));
        let seconds = u16::try_from(now.saturating_duration_since(self.began).as_secs()).unwrap_or(u16::MAX);
        let blank = Asking {
            kind: Kind::Request,
            xid: self.xid,
            seconds,
            mac: self.mac,
            own: None,
            wish: None,
            server: None,
            hostname: &self.hostname,
        };
        let (asking, to, again) = match &mut self.state {
            State::Discovering => (Asking { kind: Kind::Discover, ..blank }, To::All, self.pause),
            State::Requesting { address, server, asked } => {
                *asked += 1;
                (Asking { wish: Some(*address), server: *server, ..blank }, To::All, self.pause)
            }
            State::Bound(lease) => {
                // Half of what is left until the next step, and a minute at least (section 4.4.5).
                let (step, to) = if now < lease.rebind {
                    (lease.rebind, lease.server.map_or(To::All, To::Server))
                } else {
                    (lease.end, To::All)
                };
                let left = step.saturating_duration_since(now);
                let again = (left / 2).max(Duration::from_secs(SHORTEST.into()).min(left));
                (Asking { own: Some(lease.address.address), ..blank }, to, again)
            }
        };
        let message = asking.emit();
        self.next = now + again;
        if !matches!(self.state, State::Bound(_)) {
            self.next += jitter;
            self.pause = (self.pause * 2).min(LONGEST);
        }
        Some((message, to))
    }

    /// Whether the address has run out.
    pub fn expire(&mut self, now: Instant) -> Option<Event> {
        let State::Bound(lease) = &self.state else { return None };
        if now < lease.end {
            return None;
        }
        let lost = lease.address.clone();
        self.begin(now);
        Some(Event::Lost(lost))
    }

    /// Takes what came. What is not for this client, or makes no sense now, is skipped.
    pub fn handle(&mut self, now: Instant, bytes: &[u8]) -> Option<Event> {
        let answer = Answer::parse(bytes, self.xid, self.mac)?;
        match (&self.state, answer.kind) {
            (State::Discovering, Kind::Offer) => {
                self.state = State::Requesting { address: answer.address, server: answer.server, asked: 0 };
                (self.next, self.pause) = (now, FIRST);
                None
            }
            (State::Requesting { address, .. }, Kind::Ack) if *address == answer.address => self.bind(now, &answer),
            (State::Requesting { .. }, Kind::Nak) => {
                let pause = self.pause;
                self.begin(now);
                // Not at once: a server that refuses what it has offered would do so again.
                self.next = now + pause;
                None
            }
            // Only once it is due was anything asked.
            (State::Bound(lease), Kind::Ack) if now >= lease.renew => self.bind(now, &answer),
            (State::Bound(lease), Kind::Nak) if now >= lease.renew => {
                let lost = lease.address.clone();
                self.begin(now);
                Some(Event::Lost(lost))
            }
            _ => None,
        }
    }

    fn bind(&mut self, now: Instant, answer: &Answer) -> Option<Event> {
        let seconds = |n: u32| Duration::from_secs(n.into());
        let length = answer.lease.unwrap_or(UNSAID).max(SHORTEST);
        let rebind = answer.rebind.filter(|at| *at < length).unwrap_or(length - length / 8).max(SHORTEST / 2);
        let renew = answer.renew.filter(|at| *at < rebind).unwrap_or(length / 2).clamp(SHORTEST / 2, rebind);
        let address = Address {
            address: answer.address,
            prefix: answer.prefix,
            gateway: answer.gateway,
            dns: answer.dns.iter().copied().map(IpAddr::V4).collect(),
        };
        let same = matches!(&self.state, State::Bound(lease) if lease.address == address);
        let (renew, rebind, end) = (now + seconds(renew), now + seconds(rebind), now + seconds(length));
        self.state = State::Bound(Lease { address: address.clone(), server: answer.server, renew, rebind, end });
        self.next = renew;
        (!same).then_some(Event::Bound(address))
    }

    /// When [`Client::poll`] or [`Client::expire`] has something to do.
    pub fn next(&self) -> Instant {
        match &self.state {
            State::Bound(lease) => self.next.min(lease.end),
            _ => self.next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::dhcp::tests::{MAC, answer},
        *,
    };
    use proptest::prelude::*;

    const OPTIONS: [u8; 21] = [1, 4, 255, 255, 255, 0, 54, 4, 10, 0, 2, 2, 3, 4, 10, 0, 2, 2, 51, 4, 0];
    const HOUR: [u8; 3] = [0, 14, 16];

    fn options() -> Vec<u8> {
        [OPTIONS.as_slice(), &HOUR].concat()
    }

    fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn bound(now: Instant) -> Client {
        let mut client = Client::new(now, MAC, "kitchen", 5);
        let (discover, to) = client.poll(now).unwrap();
        assert_eq!((discover[242], to), (1, To::All));
        assert_eq!(client.handle(now, &answer(Kind::Offer, client.xid, [10, 0, 2, 15], &options())), None);
        let (request, _) = client.poll(now).unwrap();
        assert_eq!(request[242], 3);
        let event = client.handle(now, &answer(Kind::Ack, client.xid, [10, 0, 2, 15], &options()));
        let Some(Event::Bound(address)) = event else { panic!("{event:?}") };
        assert_eq!((address.address, address.prefix), (Ipv4Addr::new(10, 0, 2, 15), 24));
        client
    }

    #[test]
    fn an_address_is_got_renewed_and_lost() {
        let now = Instant::now();
        let mut client = bound(now);
        assert_eq!(client.next(), now + s(1800));
        assert_eq!(client.poll(now + s(1799)), None);
        let (renewal, to) = client.poll(now + s(1800)).unwrap();
        assert_eq!(to, To::Server(Ipv4Addr::new(10, 0, 2, 2)));
        assert_eq!(renewal[12..16], [10, 0, 2, 15]);
        let ack = answer(Kind::Ack, client.xid, [10, 0, 2, 15], &options());
        assert_eq!(client.handle(now + s(1801), &ack), None, "it is the same one");
        assert_eq!(client.next(), now + s(3601));
        // The server is gone: others are asked, and at last the address is given up.
        let mut asked = Vec::new();
        let lost = loop {
            let at = client.next();
            if let Some(event) = client.expire(at) {
                break event;
            }
            asked.extend(client.poll(at).map(|(_, to)| to));
            assert!(asked.len() < 50);
        };
        assert!(matches!(lost, Event::Lost(_)));
        assert!(asked.contains(&To::All) && asked.len() < 20, "{}", asked.len());
        let at = client.next();
        assert!(client.poll(at).unwrap().0[242] == 1, "it begins anew");
    }

    #[test]
    fn a_silent_network_is_asked_ever_more_rarely() {
        let begin = Instant::now();
        let (mut now, mut client) = (begin, Client::new(begin, MAC, "", 1));
        let mut count = 0;
        while now < begin + s(3600) {
            now = now.max(client.next());
            count += u32::from(client.poll(now).is_some());
        }
        assert!((50..80).contains(&count), "{count}");
    }

    #[test]
    fn what_nobody_asked_for_changes_nothing() {
        let now = Instant::now();
        let mut client = bound(now);
        for kind in [Kind::Ack, Kind::Nak, Kind::Offer] {
            assert_eq!(client.handle(now + s(10), &answer(kind, client.xid, [10, 6, 6, 6], &options())), None);
        }
        // A server that refuses what it offered is not asked in a circle.
        let mut client = Client::new(now, MAC, "", 1);
        client.poll(now);
        client.handle(now, &answer(Kind::Offer, client.xid, [10, 0, 2, 15], &options()));
        client.poll(now);
        client.handle(now, &answer(Kind::Nak, client.xid, [0; 4], &[]));
        assert!(client.next() >= now + FIRST);
    }

    proptest! {
        /// Whatever comes from whomever: it neither panics nor floods.
        #[test]
        fn it_stays_calm(events in prop::collection::vec((0u8..4, any::<[u8; 4]>(), 0u64..40_000), 0..100)) {
            let begin = Instant::now();
            let (mut now, mut client) = (begin, Client::new(begin, MAC, "x", 9));
            let (mut sent, mut offers) = (0, 0);
            for (event, bytes, millis) in events {
                now += Duration::from_millis(millis);
                let kind = [Kind::Offer, Kind::Ack, Kind::Nak, Kind::Ack][usize::from(event)];
                offers += u32::from(event == 0);
                let times = [&[51, 4][..], &bytes, &[58, 4], &bytes, &[59, 4], &bytes].concat();
                client.handle(now, &answer(kind, client.xid, [10, 0, 0, bytes[0]], &times));
                client.expire(now);
                while client.poll(now).is_some() {
                    sent += 1;
                    prop_assert!(sent <= 10 + 2 * offers + u32::try_from((now - begin).as_secs()).unwrap() * 2);
                }
            }
        }
    }
}
