//! Random attacks in virtual time: strangers that guess, stall, babble, replay and hang up, over connections with
//! latency, on a host whose disk takes its time and that is killed now and then; and one device that has the ticket.
//!
//! `TUTTI_SIM_SEEDS` is the number of seeds to run; `TUTTI_SIM_SEED` runs one of them. A failure prints its seed.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tutti_model::{BootTime, DeviceId};

use super::{
    super::{
        AttemptEnd, AttemptId, BurntCodes, HostInput, HostOutput, HostPairing, JoinError, JoinTerms, JoinerInput,
        JoinerOutput, JoinerPairing, MAX_TICKET_ATTEMPTS, MAX_WAITING, OFFER_LIFE, Outcome, Secret, TicketSecret,
        frame::{Frame, on_stream},
    },
    world::{BOOT, CODE, HOST, code, group_with, name, terms, ticket},
};

const HOLDER: DeviceId = DeviceId::from_bytes([0x11; 32]);

/// What a stranger does on one connection.
#[derive(Clone, Copy, Debug)]
enum Stranger {
    Silent,
    Guess,
    GuessAndStall,
    WrongTicket,
    Garbage,
    HalfFrame,
    Huge,
    Replay,
    HangUp,
}

const STRANGERS: [Stranger; 9] = [
    Stranger::Silent,
    Stranger::Guess,
    Stranger::GuessAndStall,
    Stranger::WrongTicket,
    Stranger::Garbage,
    Stranger::HalfFrame,
    Stranger::Huge,
    Stranger::Replay,
    Stranger::HangUp,
];

enum Event {
    Stranger,
    Holder,
    Kill,
    Connected(AttemptId, DeviceId),
    ToHost(AttemptId, Vec<u8>),
    HostClosed(AttemptId),
    ToPeer(AttemptId, Vec<u8>),
    PeerClosed(AttemptId),
    Written { run: u64, serial: u64, bytes: Vec<u8> },
    Added { run: u64, attempt: AttemptId, device: DeviceId },
}

struct Peer {
    joiner: Option<JoinerPairing>,
    stranger: Option<Stranger>,
    latency: Duration,
    up: bool,
}

struct Sim {
    rng: StdRng,
    now: BootTime,
    events: BTreeMap<(BootTime, u64), Event>,
    scheduled: u64,
    host: HostPairing,
    /// Which start of the host this is.
    run: u64,
    disk: Vec<u8>,
    peers: BTreeMap<AttemptId, Peer>,
    next: u64,
    recorded: Vec<Vec<u8>>,
    /// How often the holder's own connection may still be cut or garbled.
    mishaps: u32,
    // what is checked
    guesses: u32,
    members: Vec<DeviceId>,
    joined: Option<BootTime>,
    outcomes: Vec<Outcome>,
    holder_errors: Vec<JoinError>,
}

impl Sim {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let host = HostPairing::new(HOST, BOOT, Box::new(StdRng::seed_from_u64(rng.random())));
        let mut sim = Self {
            mishaps: rng.random_range(0..4),
            rng,
            now: BootTime::from_nanos(5_000_000_000),
            events: BTreeMap::new(),
            scheduled: 0,
            host,
            run: 0,
            disk: Vec::new(),
            peers: BTreeMap::new(),
            next: 0,
            recorded: Vec::new(),
            guesses: 0,
            members: Vec::new(),
            joined: None,
            outcomes: Vec::new(),
            holder_errors: Vec::new(),
        };
        sim.host_in(HostInput::Open(terms()));
        // The offer is on disk before anybody is told of it.
        sim.now = sim.now + Duration::from_millis(100);
        let holder = sim.millis(0..90_000);
        sim.schedule(holder, Event::Holder);
        // Most strangers come around the time that matters; each brings some others.
        for _ in 0..20 {
            let at = sim.millis(0..119_000);
            sim.schedule(at, Event::Stranger);
        }
        for _ in 0..10 {
            let at = holder.saturating_sub(sim.millis(0..3_000));
            sim.schedule(at, Event::Stranger);
        }
        for _ in 0..sim.rng.random_range(0..3u32) {
            let at = if sim.rng.random() { holder + sim.millis(0..200) } else { sim.millis(0..119_000) };
            sim.schedule(at, Event::Kill);
        }
        sim
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(range))
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.scheduled += 1;
        self.events.insert((self.now + after, self.scheduled), event);
    }

    fn run(&mut self) {
        let end = self.now + OFFER_LIFE + Duration::from_secs(120);
        loop {
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let host = self.host.poll_timeout();
            let peers = self.peers.values().filter_map(|peer| peer.joiner.as_ref()?.poll_timeout());
            let Some(next) = peers.chain(event).chain(host).min() else { break };
            assert!(next <= end, "something waits for ever");
            self.now = self.now.max(next);
            if host == Some(next) {
                self.host_in(HostInput::Tick);
                assert!(self.host.poll_timeout().is_none_or(|later| later > self.now), "the host spins");
            }
            let due = |peer: &Peer| peer.joiner.as_ref().and_then(JoinerPairing::poll_timeout) == Some(next);
            let late: Vec<AttemptId> = self.peers.iter().filter(|(_, peer)| due(peer)).map(|(id, _)| *id).collect();
            for id in late {
                self.joiner_in(id, JoinerInput::Tick);
            }
            if event == Some(next)
                && let Some((_, event)) = self.events.pop_first()
            {
                self.happen(event);
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Stranger => {
                let kind = STRANGERS[self.rng.random_range(0..STRANGERS.len())];
                for _ in 0..self.rng.random_range(1..40u32) {
                    self.stranger(kind);
                }
            }
            Event::Holder if self.joined.is_none() => {
                self.connect(HOLDER, Some(ticket()), None);
            }
            Event::Holder => {}
            Event::Kill => self.kill(),
            Event::Connected(attempt, remote) if self.peers[&attempt].up => {
                self.host_in(HostInput::Connected { attempt, remote });
            }
            Event::ToHost(attempt, bytes) if self.peers[&attempt].up => {
                self.host_in(HostInput::Received { attempt, bytes });
            }
            Event::HostClosed(attempt) => self.host_in(HostInput::Closed { attempt }),
            Event::ToPeer(attempt, bytes) if self.peers[&attempt].up => self.peer_hears(attempt, bytes),
            Event::PeerClosed(attempt) => {
                self.peers.get_mut(&attempt).unwrap().up = false;
                self.joiner_in(attempt, JoinerInput::Closed);
            }
            Event::Written { run, serial, bytes } if run == self.run => {
                self.disk = bytes;
                self.host_in(HostInput::Persisted { serial });
            }
            Event::Added { run, attempt, device } if run == self.run => {
                let full = self.rng.random_range(0..20) == 0;
                self.host_in(if full {
                    HostInput::GroupRefused { attempt }
                } else {
                    HostInput::GroupReady { attempt, group: group_with(device) }
                });
            }
            // Of a connection or a run of the host that is no more.
            Event::Connected(..)
            | Event::ToHost(..)
            | Event::ToPeer(..)
            | Event::Written { .. }
            | Event::Added { .. } => {}
        }
    }

    fn stranger(&mut self, kind: Stranger) {
        let device = DeviceId::from_bytes([self.rng.random_range(0x20..0x60); 32]);
        let secret = match kind {
            Stranger::Guess | Stranger::GuessAndStall => {
                let digits = format!("{:06}", self.rng.random_range(0..1_000_000u32));
                if digits == CODE {
                    return;
                }
                Some(code(&digits))
            }
            Stranger::WrongTicket => Some(Secret::Ticket(TicketSecret::from_bytes(self.rng.random()))),
            _ => None,
        };
        self.connect(device, secret, Some(kind));
    }

    fn connect(&mut self, device: DeviceId, secret: Option<Secret>, stranger: Option<Stranger>) {
        self.next += 1;
        let attempt = AttemptId(self.next);
        let joiner = secret.map(|secret| {
            let terms = JoinTerms { me: device, name: name("garden"), host: HOST, secret };
            // Strangers do not burn what they guessed.
            JoinerPairing::new(self.now, terms, &BurntCodes::new(), &mut self.rng).unwrap()
        });
        let latency = self.millis(1..30);
        self.peers.insert(attempt, Peer { joiner, stranger, latency, up: true });
        self.schedule(latency, Event::Connected(attempt, device));
    }

    /// The host process dies: what it had not on disk is lost, and so are its connections.
    fn kill(&mut self) {
        self.run += 1;
        let rng = Box::new(StdRng::seed_from_u64(self.rng.random()));
        self.host = HostPairing::restore(HOST, BOOT, rng, self.now, &self.disk).unwrap();
        let up: Vec<AttemptId> = self.peers.iter().filter(|(_, peer)| peer.up).map(|(id, _)| *id).collect();
        for attempt in up {
            self.peers.get_mut(&attempt).unwrap().up = false;
            let after = self.millis(0..500);
            self.schedule(after, Event::PeerClosed(attempt));
        }
        self.host_in(HostInput::Tick);
    }

    fn host_in(&mut self, input: HostInput) {
        self.host.handle(self.now, input);
        let mut outputs = 0;
        while let Some(output) = self.host.poll_output() {
            outputs += 1;
            assert!(outputs < 4 * (MAX_WAITING + MAX_TICKET_ATTEMPTS + 4), "outputs are bounded");
            match output {
                HostOutput::Persist { serial, bytes } => {
                    // Writes finish in order.
                    let after = Duration::from_millis(20);
                    self.schedule(after, Event::Written { run: self.run, serial, bytes });
                }
                HostOutput::Send { attempt, bytes } => {
                    let reply = match Frame::parse(&bytes[4..]) {
                        Ok(Frame::Reply(reply)) => reply.tries_left.is_some(),
                        _ => false,
                    };
                    self.guesses += u32::from(reply);
                    assert!(self.guesses <= 3, "a fourth guess was answered");
                    let latency = self.peers[&attempt].latency;
                    if let Some(bytes) = self.mishap(attempt, bytes) {
                        self.schedule(latency, Event::ToPeer(attempt, bytes));
                    }
                }
                HostOutput::Ended { attempt, end, .. } => {
                    assert!(end != AttemptEnd::Paired || self.peers[&attempt].stranger.is_none());
                    let latency = self.peers[&attempt].latency;
                    self.schedule(latency, Event::PeerClosed(attempt));
                }
                HostOutput::AddMember { attempt, device, .. } => {
                    self.members.push(device);
                    let after = self.millis(1..30);
                    self.schedule(after, Event::Added { run: self.run, attempt, device });
                }
                HostOutput::Opened => {}
                HostOutput::Finished(outcome) => self.outcomes.push(outcome),
            }
        }
    }

    /// Now and then the holder's own connection is cut, or a byte on it altered.
    fn mishap(&mut self, attempt: AttemptId, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        let holder = self.peers[&attempt].stranger.is_none();
        if !holder || self.mishaps == 0 || self.rng.random_range(0..4) > 0 {
            return Some(bytes);
        }
        self.mishaps -= 1;
        if self.rng.random() {
            let at = self.rng.random_range(4..bytes.len());
            bytes[at] ^= 1 << self.rng.random_range(0..8);
            return Some(bytes);
        }
        self.schedule(Duration::from_millis(1), Event::PeerClosed(attempt));
        self.schedule(Duration::from_millis(1), Event::HostClosed(attempt));
        None
    }

    fn peer_hears(&mut self, attempt: AttemptId, bytes: Vec<u8>) {
        let latency = self.peers[&attempt].latency;
        let say = match self.peers[&attempt].stranger {
            None | Some(Stranger::Guess | Stranger::WrongTicket) => {
                return self.joiner_in(attempt, JoinerInput::Received(bytes));
            }
            Some(Stranger::GuessAndStall) => {
                // The hello goes out; what comes back is left lying.
                if matches!(Frame::parse(&bytes[4..]), Ok(Frame::Challenge(_))) {
                    self.joiner_in(attempt, JoinerInput::Received(bytes));
                }
                return;
            }
            Some(Stranger::Silent) => return,
            Some(Stranger::HangUp) => return self.schedule(latency, Event::HostClosed(attempt)),
            Some(Stranger::Garbage) => {
                let mut noise = vec![0u8; self.rng.random_range(1..200)];
                self.rng.fill(&mut noise[..]);
                if self.rng.random() { on_stream(&noise) } else { noise }
            }
            Some(Stranger::HalfFrame) => vec![100, 0, 0, 0, 81, 0],
            Some(Stranger::Huge) => vec![0xff; 5000],
            Some(Stranger::Replay) if self.recorded.is_empty() => return,
            Some(Stranger::Replay) => self.recorded[self.rng.random_range(0..self.recorded.len())].clone(),
        };
        self.schedule(latency, Event::ToHost(attempt, say));
    }

    fn joiner_in(&mut self, attempt: AttemptId, input: JoinerInput) {
        let Some(peer) = self.peers.get_mut(&attempt) else { return };
        let (latency, holder) = (peer.latency, peer.stranger.is_none());
        let Some(joiner) = &mut peer.joiner else { return };
        joiner.handle(self.now, input);
        while let Some(output) = self.peers.get_mut(&attempt).and_then(|peer| peer.joiner.as_mut()?.poll_output()) {
            match output {
                JoinerOutput::Burn(_) => {}
                JoinerOutput::Send(bytes) => {
                    self.recorded.push(bytes.clone());
                    if let Some(bytes) = self.mishap(attempt, bytes) {
                        self.schedule(latency, Event::ToHost(attempt, bytes));
                    }
                }
                JoinerOutput::Store(_, group) => {
                    assert!(holder, "a stranger was given the group");
                    assert_eq!(group, group_with(HOLDER).bytes);
                    self.joiner_in(attempt, JoinerInput::Stored);
                }
                JoinerOutput::Finished(Ok(_)) => {
                    assert!(holder, "a stranger is in");
                    self.joined.get_or_insert(self.now);
                }
                JoinerOutput::Finished(Err(error)) if holder => {
                    self.holder_errors.push(error);
                    self.schedule(Duration::from_millis(500), Event::Holder);
                }
                JoinerOutput::Finished(Err(_)) => {}
                JoinerOutput::Close => self.schedule(latency, Event::HostClosed(attempt)),
            }
        }
    }
}

fn simulate(seed: u64) {
    let mut sim = Sim::new(seed);
    let expires = sim.now + OFFER_LIFE;
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        sim.run();
        assert!(sim.joined.is_some_and(|at| at < expires), "the ticket's holder is not in: {:?}", sim.holder_errors);
        assert!(sim.members.iter().all(|device| *device == HOLDER), "a stranger was added");
        let end = sim.outcomes.last().cloned();
        assert!(
            matches!(end, Some(Outcome::Paired(HOLDER, _) | Outcome::Unconfirmed(HOLDER, _))),
            "the offer ended so: {end:?}"
        );
    }));
    assert!(result.is_ok(), "the simulation failed (see above); run it again with TUTTI_SIM_SEED={seed}");
}

#[test]
fn a_ticket_holder_always_gets_in_and_no_code_has_more_than_three_guesses() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("TUTTI_SIM_SEED") {
        Some(seed) => simulate(seed),
        None => (0..number("TUTTI_SIM_SEEDS").unwrap_or(16)).for_each(simulate),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever bytes come in whatever pieces, at whatever moments, both ends stay in bounds and let nobody in.
    #[test]
    fn arbitrary_bytes_let_nobody_in(
        pieces in proptest::collection::vec((0u64..6, proptest::collection::vec(any::<u8>(), 0..64), 0u64..4000), 0..40),
    ) {
        let mut world = super::world::World::open();
        let joiner = world.joiner(super::world::device(1), ticket()).unwrap();
        let mut open = BTreeMap::new();
        for (number, bytes, millis) in pieces {
            let attempt = *open.entry(number).or_insert_with(|| world.connect(super::world::device(number as u8 + 2)));
            world.host_in(HostInput::Received { attempt, bytes: bytes.clone() });
            world.joiner_in(joiner, JoinerInput::Received(bytes));
            world.pass(Duration::from_millis(millis));
        }
        prop_assert!(world.members.is_empty() && world.stored.is_empty());
        prop_assert_eq!(world.host.status().unwrap().tries_left, 3);
    }
}
