//! A host, any number of joiners, and a wire between them that a test can hold, alter or cut.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tutti_model::{BootTime, DeviceId, Name, Role};

use super::{
    super::{
        AttemptEnd, AttemptId, BurntCodes, Code, HostGroup, HostInput, HostOutput, HostPairing, JoinError, JoinTerms,
        Joined, JoinerInput, JoinerOutput, JoinerPairing, OFFER_LIFE, OfferTerms, Outcome, Secret, TicketSecret,
        frame::{Deframer, Frame, on_stream},
    },
    FixedRng,
};

pub(super) const BOOT: [u8; 16] = [0xb0; 16];
pub(super) const HOST: DeviceId = DeviceId::from_bytes([0xa0; 32]);
pub(super) const CODE: &str = "042917";
pub(super) const WRONG: &str = "042918";
pub(super) const TICKET: TicketSecret = TicketSecret::from_bytes([0x7e; 16]);

pub(super) fn device(number: u8) -> DeviceId {
    DeviceId::from_bytes([number; 32])
}

pub(super) fn code(digits: &str) -> Secret {
    Secret::Code(digits.parse::<Code>().unwrap())
}

pub(super) fn ticket() -> Secret {
    Secret::Ticket(TICKET)
}

pub(super) fn terms() -> OfferTerms {
    OfferTerms { code: CODE.parse().unwrap(), ticket: TICKET, role: Role::Member, ticket_life: OFFER_LIFE }
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn group_with(device: DeviceId) -> HostGroup {
    HostGroup {
        id: [0x66; 32],
        host_name: name("kitchen"),
        bytes: [b"group with ".as_slice(), device.as_bytes()].concat(),
    }
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    ToHost,
    ToJoiner,
}

/// What a test does to what is sent; `None` loses it.
pub(super) type Wire = Box<dyn FnMut(Way, AttemptId, Vec<u8>) -> Option<Vec<u8>>>;

pub(super) struct World {
    pub(super) now: BootTime,
    pub(super) host: HostPairing,
    pub(super) joiners: BTreeMap<AttemptId, JoinerPairing>,
    pub(super) burnt: BurntCodes,
    pub(super) wire: Wire,
    /// What is durable.
    pub(super) disk: Vec<u8>,
    /// Whether writes are done at once.
    pub(super) disk_works: bool,
    pub(super) writes: VecDeque<(u64, Vec<u8>)>,
    pub(super) members: Vec<(DeviceId, Name, Role)>,
    pub(super) ended: BTreeMap<AttemptId, AttemptEnd>,
    pub(super) finished: Vec<Outcome>,
    pub(super) opened: usize,
    pub(super) joined: BTreeMap<AttemptId, Result<Joined, JoinError>>,
    pub(super) stored: BTreeMap<AttemptId, Vec<u8>>,
    /// What the host said to connections without a joiner: those of an attacker that a test plays.
    pub(super) heard: BTreeMap<AttemptId, Deframer>,
    next: u64,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            now: BootTime::from_nanos(1_000_000_000),
            host: HostPairing::new(HOST, BOOT, Box::new(FixedRng::seeded("host"))),
            joiners: BTreeMap::new(),
            burnt: BurntCodes::new(),
            wire: Box::new(|_, _, bytes| Some(bytes)),
            disk: Vec::new(),
            disk_works: true,
            writes: VecDeque::new(),
            members: Vec::new(),
            ended: BTreeMap::new(),
            finished: Vec::new(),
            opened: 0,
            joined: BTreeMap::new(),
            stored: BTreeMap::new(),
            heard: BTreeMap::new(),
            next: 0,
        }
    }

    /// With an offer that is open.
    pub(super) fn open() -> Self {
        let mut world = Self::new();
        world.host_in(HostInput::Open(terms()));
        assert_eq!(world.opened, 1);
        world
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.host_in(HostInput::Tick);
        for id in self.joiners.keys().copied().collect::<Vec<_>>() {
            self.joiner_in(id, JoinerInput::Tick);
        }
    }

    /// A connection of `device` on which the test itself speaks.
    pub(super) fn connect(&mut self, device: DeviceId) -> AttemptId {
        self.next += 1;
        let attempt = AttemptId(self.next);
        self.heard.insert(attempt, Deframer::default());
        self.host_in(HostInput::Connected { attempt, remote: device });
        attempt
    }

    /// Says a frame on a connection of the test's own, and gives what the host says next.
    pub(super) fn say(&mut self, attempt: AttemptId, frame: &Frame<'_>) {
        self.host_in(HostInput::Received { attempt, bytes: on_stream(&frame.emit()) });
    }

    /// The next frame that the host said on a connection of the test's own.
    pub(super) fn hear(&mut self, attempt: AttemptId) -> Option<Vec<u8>> {
        self.heard.get_mut(&attempt)?.next(1 << 24).unwrap()
    }

    /// A whole joiner, which runs as far as it can.
    pub(super) fn join(&mut self, device: DeviceId, secret: Secret) -> AttemptId {
        let attempt = self.joiner(device, secret).unwrap();
        self.host_in(HostInput::Connected { attempt, remote: device });
        attempt
    }

    /// A joiner that is not connected yet.
    pub(super) fn joiner(&mut self, device: DeviceId, secret: Secret) -> Result<AttemptId, JoinError> {
        self.next += 1;
        let attempt = AttemptId(self.next);
        let terms = JoinTerms { me: device, name: name(&format!("garden-{}", self.next)), host: HOST, secret };
        let mut rng = FixedRng::seeded(&format!("joiner {}", self.next));
        self.joiners.insert(attempt, JoinerPairing::new(self.now, terms, &self.burnt, &mut rng)?);
        Ok(attempt)
    }

    /// Kills the host and starts it again from what is on disk. All connections are lost.
    pub(super) fn kill_host(&mut self) {
        self.writes.clear();
        self.host =
            HostPairing::restore(HOST, BOOT, Box::new(FixedRng::seeded("again")), self.now, &self.disk).unwrap();
        for id in self.joiners.keys().copied().collect::<Vec<_>>() {
            self.joiner_in(id, JoinerInput::Closed);
        }
        self.heard.clear();
    }

    pub(super) fn host_in(&mut self, input: HostInput) {
        self.host.handle(self.now, input);
        while let Some(output) = self.host.poll_output() {
            match output {
                HostOutput::Persist { serial, bytes } => {
                    self.writes.push_back((serial, bytes));
                    if self.disk_works {
                        self.flush();
                    }
                }
                HostOutput::Send { attempt, bytes } => {
                    let Some(bytes) = (self.wire)(Way::ToJoiner, attempt, bytes) else { continue };
                    if let Some(heard) = self.heard.get_mut(&attempt) {
                        heard.push(&bytes);
                    } else {
                        self.joiner_in(attempt, JoinerInput::Received(bytes));
                    }
                }
                HostOutput::Ended { attempt, end, .. } => {
                    assert!(self.ended.insert(attempt, end).is_none(), "an attempt ends once");
                    self.joiner_in(attempt, JoinerInput::Closed);
                }
                HostOutput::AddMember { attempt, device, name, role } => {
                    assert!(!self.disk.is_empty(), "the binding is durable before the device is added");
                    self.members.push((device, name, role));
                    self.host_in(HostInput::GroupReady { attempt, group: group_with(device) });
                }
                HostOutput::Opened => self.opened += 1,
                HostOutput::Finished(outcome) => self.finished.push(outcome),
            }
        }
    }

    /// Does the writes that are waiting.
    pub(super) fn flush(&mut self) {
        while let Some((serial, bytes)) = self.writes.pop_front() {
            self.disk = bytes;
            self.host_in(HostInput::Persisted { serial });
        }
    }

    pub(super) fn joiner_in(&mut self, attempt: AttemptId, input: JoinerInput) {
        let Some(joiner) = self.joiners.get_mut(&attempt) else { return };
        joiner.handle(self.now, input);
        while let Some(output) = self.joiners.get_mut(&attempt).and_then(JoinerPairing::poll_output) {
            match output {
                JoinerOutput::Burn(code) => self.burnt.add(code),
                JoinerOutput::Send(bytes) => {
                    if let Some(bytes) = (self.wire)(Way::ToHost, attempt, bytes) {
                        self.host_in(HostInput::Received { attempt, bytes });
                    }
                }
                JoinerOutput::Store(_, group) => {
                    self.stored.insert(attempt, group);
                    self.joiner_in(attempt, JoinerInput::Stored);
                }
                JoinerOutput::Finished(result) => {
                    assert!(self.joined.insert(attempt, result).is_none(), "a joiner finishes once");
                }
                JoinerOutput::Close => {
                    self.joiners.remove(&attempt);
                    self.host_in(HostInput::Closed { attempt });
                    return;
                }
            }
        }
    }
}
