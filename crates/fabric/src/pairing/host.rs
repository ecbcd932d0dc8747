//! The host's end: one offer, many strangers.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use rand::CryptoRng;
use tutti_model::{BootTime, DeviceId, Name, ProtocolVersion, VersionRange, section::SectionError};

use super::{
    VERSIONS,
    attempt::{Attempt, Checks, Phase},
    frame::{self, Challenge, Fault, Frame, FrameKind, GroupHeader, Hello, MAX_FRAME, MAX_GROUP, Refusal, Reply},
    host_io::{AttemptEnd, AttemptId, HostGroup, HostInput, HostOutput},
    keys::{Keys, Transcript},
    offer::{Offer, OfferStatus, OfferTerms, Outcome},
    pake::{self, Pake, Side},
    secret::Mode,
};

/// How many connections may wait for their first frame. Beyond that the oldest gives way.
pub const MAX_WAITING: usize = 32;

/// How many devices that have shown the ticket may be at it at once.
pub const MAX_TICKET_ATTEMPTS: usize = 4;

/// How long a connection may take over its first frame.
pub const HELLO_TIME: Duration = Duration::from_secs(3);

/// How long an attempt may take from its first frame until it is confirmed. A code attempt that stalls blocks other
/// codes for this long, and is counted.
pub const ATTEMPT_TIME: Duration = Duration::from_secs(10);

/// How long storing the binding and adding the device to the group may take.
pub const ADD_TIME: Duration = Duration::from_secs(10);

/// How long the joiner may take to receive and store the group.
pub const RECEIPT_TIME: Duration = Duration::from_secs(30);

/// The host's end of pairing. See the [module](super) for the protocol.
///
/// After every [`handle`](Self::handle), carry out what [`poll_output`](Self::poll_output) gives until it gives
/// nothing, and call `handle` with [`HostInput::Tick`] at [`poll_timeout`](Self::poll_timeout).
pub struct HostPairing {
    me: DeviceId,
    boot: [u8; 16],
    pub(super) versions: VersionRange,
    rng: Box<dyn CryptoRng + Send>,
    offer: Option<Offer>,
    offers: u64,
    attempts: BTreeMap<AttemptId, Attempt>,
    arrivals: u64,
    serial: u64,
    outputs: VecDeque<HostOutput>,
}

impl HostPairing {
    /// A host that offers nothing. `boot` tells one start of the machine from another (Linux:
    /// `/proc/sys/kernel/random/boot_id`).
    pub fn new(me: DeviceId, boot: [u8; 16], rng: Box<dyn CryptoRng + Send>) -> Self {
        Self {
            me,
            boot,
            versions: VERSIONS,
            rng,
            offer: None,
            offers: 0,
            attempts: BTreeMap::new(),
            arrivals: 0,
            serial: 0,
            outputs: VecDeque::new(),
        }
    }

    /// A host that goes on where it was interrupted: `stored` is what was last made durable, empty if nothing was.
    /// The offer lives on with the tries it had left, unless its time is over or the machine was restarted.
    ///
    /// # Errors
    /// The bytes are not an offer. Nothing is lost by starting with [`new`](Self::new) then, but the offer.
    pub fn restore(
        me: DeviceId,
        boot: [u8; 16],
        rng: Box<dyn CryptoRng + Send>,
        now: BootTime,
        stored: &[u8],
    ) -> Result<Self, SectionError> {
        let mut host = Self { offer: Offer::restore(stored, boot, now)?, ..Self::new(me, boot, rng) };
        if host.offer.is_none() && !stored.is_empty() {
            host.persist();
        }
        Ok(host)
    }

    /// Takes in what has happened.
    pub fn handle(&mut self, now: BootTime, input: HostInput) {
        self.pass_time(now);
        match input {
            HostInput::Open(terms) => self.open(now, terms),
            HostInput::Cancel => self.cancel(),
            HostInput::Connected { attempt, remote } => self.connected(now, attempt, remote),
            HostInput::Received { attempt, bytes } => self.received(now, attempt, &bytes),
            HostInput::Closed { attempt } => self.end(attempt, AttemptEnd::Lost),
            HostInput::Persisted { serial } => self.persisted(now, serial),
            HostInput::PersistFailed { serial } => self.persist_failed(serial),
            HostInput::GroupReady { attempt, group } => self.group_ready(now, attempt, group),
            HostInput::GroupRefused { attempt } => self.group_refused(attempt),
            HostInput::Tick => {}
        }
        self.settle(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<HostOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`handle`](Self::handle) again if nothing else happens.
    pub fn poll_timeout(&self) -> Option<BootTime> {
        let attempts = self.attempts.values().map(|attempt| attempt.deadline);
        // While a device is on its way in, the end of the offer waits for it, and it has a deadline of its own.
        let offer = self.offer.as_ref().filter(|offer| offer.outcome.is_none() && !self.is_entered(offer.number));
        attempts.chain(offer.map(|offer| offer.expires)).min()
    }

    /// The offer as it stands, or how the last one ended.
    pub fn status(&self) -> Option<OfferStatus> {
        self.offer.as_ref().map(Offer::status)
    }

    fn pass_time(&mut self, now: BootTime) {
        let late = |attempt: &Attempt| now >= attempt.deadline;
        for id in self.attempts_where(late) {
            self.end(id, AttemptEnd::Refused(Refusal::TimedOut));
        }
        if self.offer.as_ref().is_some_and(|offer| offer.outcome.is_none() && now >= offer.expires) {
            for id in self.attempts_where(|attempt| !attempt.phase.is_confirmed()) {
                self.end(id, AttemptEnd::Refused(Refusal::Expired));
            }
        }
        self.settle(now);
    }

    /// Ends an offer whose time is over, once nobody is on the way in.
    fn settle(&mut self, now: BootTime) {
        let Some(offer) = self.offer.as_ref().filter(|offer| offer.outcome.is_none() && now >= offer.expires) else {
            return;
        };
        if self.is_entered(offer.number) {
            return;
        }
        let outcome = match &offer.bound {
            Some(bound) if offer.added => Outcome::Unconfirmed(bound.device, bound.name),
            _ => Outcome::Expired,
        };
        self.finish(outcome);
    }

    /// Whether somebody has shown the right secret of this offer and is on the way in.
    fn is_entered(&self, offer: u64) -> bool {
        self.attempts.values().any(|attempt| attempt.offer == offer && attempt.phase.is_confirmed())
    }

    fn open(&mut self, now: BootTime, terms: OfferTerms) {
        self.cancel();
        self.offers += 1;
        let mut offer = Offer::new(self.offers, now, terms);
        offer.opening = Some(self.serial + 1);
        self.offer = Some(offer);
        self.persist();
    }

    fn cancel(&mut self) {
        for id in self.attempts_where(|attempt| !attempt.phase.is_added()) {
            self.end(id, AttemptEnd::Refused(Refusal::Cancelled));
        }
        if self.offer.as_ref().is_some_and(|offer| offer.outcome.is_none()) {
            self.finish(Outcome::Cancelled);
        }
    }

    fn connected(&mut self, now: BootTime, id: AttemptId, remote: DeviceId) {
        // A number used twice is a mistake of the caller; the newer connection counts.
        self.end(id, AttemptEnd::Lost);
        let usable = match &self.offer {
            _ if remote == self.me => return self.turn_away(id, remote, AttemptEnd::Misbehaved(Fault::Oneself)),
            None => Err(Refusal::NoOffer),
            Some(offer) => offer.usable(now, remote).map(|_| offer.number),
        };
        let offer = match usable {
            Ok(number) => number,
            Err(why) => return self.turn_away(id, remote, AttemptEnd::Refused(why)),
        };
        let waiting = self.attempts_where(|attempt| matches!(attempt.phase, Phase::Hello { .. }));
        if waiting.len() >= MAX_WAITING
            && let Some(oldest) = waiting.into_iter().min_by_key(|id| self.attempts.get(id).map(|a| a.arrival))
        {
            self.end(oldest, AttemptEnd::Refused(Refusal::Busy));
        }
        let mut nonce = [0; 32];
        self.rng.fill_bytes(&mut nonce);
        let challenge = Frame::Challenge(Challenge { versions: self.versions, nonce }).emit();
        self.send(id, &challenge);
        self.arrivals += 1;
        let phase = Phase::Hello { challenge };
        self.attempts.insert(id, Attempt::new(remote, offer, self.arrivals, now + HELLO_TIME, phase));
    }

    fn received(&mut self, now: BootTime, id: AttemptId, bytes: &[u8]) {
        // Bytes that were on the way when the attempt ended.
        let Some(mut attempt) = self.attempts.remove(&id) else { return };
        attempt.deframer.push(bytes);
        let end = loop {
            match attempt.deframer.next(MAX_FRAME) {
                Ok(None) => break None,
                Ok(Some(frame)) => {
                    if let Err(end) = self.frame(now, id, &mut attempt, &frame) {
                        break Some(end);
                    }
                }
                Err(fault) => break Some(AttemptEnd::Misbehaved(fault)),
            }
        };
        self.attempts.insert(id, attempt);
        if let Some(end) = end {
            self.end(id, end);
        }
    }

    /// Takes one frame of an attempt that is out of the table meanwhile.
    fn frame(&mut self, now: BootTime, id: AttemptId, attempt: &mut Attempt, bytes: &[u8]) -> Result<(), AttemptEnd> {
        let frame = Frame::parse(bytes)?;
        match (&mut attempt.phase, frame) {
            (_, Frame::Refused(why, _)) => Err(AttemptEnd::GaveUp(why)),
            (Phase::Hello { challenge }, Frame::Hello(hello)) => {
                let challenge = std::mem::take(challenge);
                attempt.deadline = now + ATTEMPT_TIME;
                attempt.phase = self.hello(now, id, attempt.remote, &challenge, &hello, bytes)?;
                Ok(())
            }
            (Phase::Confirm(checks), Frame::Confirm(confirm)) => {
                let Checks { keys, transcript, .. } = &mut **checks;
                if transcript.open(&keys.joiner_confirm, FrameKind::Confirm, bytes).is_err() {
                    return Err(checks.wrong());
                }
                let (mode, checks) = (checks.mode, checks.clone());
                let serial = self.bind(now, attempt.remote, confirm.name, mode)?;
                attempt.deadline = now + ADD_TIME;
                attempt.phase = Phase::Binding { serial, name: confirm.name, checks };
                Ok(())
            }
            (Phase::Receipt { checks, .. }, Frame::Receipt) => {
                let Checks { keys, transcript, .. } = &mut **checks;
                if transcript.open(&keys.receipt, FrameKind::Receipt, bytes).is_err() {
                    return Err(Fault::Forged(FrameKind::Receipt).into());
                }
                Err(AttemptEnd::Paired)
            }
            (phase, frame) => Err(Fault::OutOfTurn { got: frame.kind(), due: phase.due() }.into()),
        }
    }

    /// The joiner's first frame: into which lane it goes, or why into none.
    fn hello(
        &mut self,
        now: BootTime,
        id: AttemptId,
        remote: DeviceId,
        challenge: &[u8],
        hello: &Hello,
        bytes: &[u8],
    ) -> Result<Phase, AttemptEnd> {
        let version = ProtocolVersion(hello.version);
        if version < self.versions.min || version > self.versions.max {
            return Err(Fault::Version(hello.version).into());
        }
        let mode = hello.mode()?;
        let mut transcript = Transcript::new(remote, self.me);
        transcript.add("challenge", challenge);
        let offer = self.offer.as_ref().ok_or(AttemptEnd::Refused(Refusal::NoOffer))?;
        let (code, ticket) = offer.usable_by(mode, now, remote)?;
        let password = match mode {
            Mode::Ticket => {
                let mut proven = transcript.clone();
                proven.add("proven", &hello.proven());
                if !hello.proof.is_some_and(|proof| proven.verify(&ticket.proof_key(), &proof)) {
                    return Err(Refusal::WrongTicket.into());
                }
                ticket.password()
            }
            Mode::Code if offer.tries_left() == 0 => return Err(Refusal::CodeDead.into()),
            Mode::Code => code.password(),
        };
        self.take_slot(mode, remote)?;

        // Charged before any work is done: a share that is no share at all costs a try too.
        let serial = match mode {
            Mode::Code => self.count(),
            Mode::Ticket => None,
        };
        let (exchange, share) = pake::Chosen::start(Side::Host, &password, remote, self.me, &mut *self.rng);
        let keys = Keys::derive(&exchange.finish(&hello.share).map_err(Fault::from)?);
        let tries_left = serial.and(self.offer.as_ref()).map(Offer::tries_left);
        transcript.add("hello", bytes);
        let reply = Frame::Reply(Reply { share, tries_left }).emit();
        let reply = transcript.seal(&keys.host_confirm, FrameKind::Reply, reply);
        let checks = Box::new(Checks { mode, tries_left, keys, transcript });
        Ok(match serial {
            Some(serial) => Phase::Counting { serial, reply, checks },
            None => {
                self.send(id, &reply);
                Phase::Confirm(checks)
            }
        })
    }

    /// Makes sure that there is room in the lane. A device that comes again takes the place of its earlier attempt,
    /// whose connection it has probably lost.
    fn take_slot(&mut self, mode: Mode, remote: DeviceId) -> Result<(), AttemptEnd> {
        for id in self.attempts_where(|attempt| attempt.remote == remote && attempt.phase.mode().is_some()) {
            self.end(id, AttemptEnd::Refused(Refusal::Busy));
        }
        let taken = self.attempts.values().filter(|attempt| attempt.phase.mode() == Some(mode)).count();
        let slots = match mode {
            Mode::Code => 1,
            Mode::Ticket => MAX_TICKET_ATTEMPTS,
        };
        if taken < slots { Ok(()) } else { Err(Refusal::Busy.into()) }
    }

    /// Charges a try; the number of the write after which it may be answered.
    fn count(&mut self) -> Option<u64> {
        self.offer.as_mut()?.count();
        Some(self.persist())
    }

    /// The device has shown the right secret: the offer is its alone from now on.
    fn bind(&mut self, now: BootTime, device: DeviceId, name: Name, mode: Mode) -> Result<u64, AttemptEnd> {
        let offer = self.offer.as_mut().ok_or(AttemptEnd::Refused(Refusal::NoOffer))?;
        offer.usable_by(mode, now, device)?;
        offer.bind(device, name, mode);
        self.refuse_others();
        Ok(self.persist())
    }

    /// Turns everybody away who is after an offer that somebody else has.
    fn refuse_others(&mut self) {
        for id in self.attempts_where(|attempt| !attempt.phase.is_added()) {
            self.end(id, AttemptEnd::Refused(Refusal::Taken));
        }
    }

    fn persisted(&mut self, now: BootTime, serial: u64) {
        if let Some(offer) = self.offer.as_mut().filter(|offer| offer.opening.is_some_and(|opening| opening <= serial))
        {
            offer.opening = None;
            self.outputs.push_back(HostOutput::Opened);
        }
        for id in self.attempts_where(|attempt| attempt.phase.awaits_write().is_some_and(|write| write <= serial)) {
            let Some(attempt) = self.attempts.get_mut(&id) else { continue };
            let (device, waiting) = (attempt.remote, std::mem::replace(&mut attempt.phase, Phase::Over));
            match waiting {
                Phase::Counting { reply, checks, .. } => {
                    attempt.phase = Phase::Confirm(checks);
                    self.send(id, &reply);
                }
                Phase::Binding { name, checks, .. } => {
                    let Some(offer) = self.offer.as_mut() else { continue };
                    offer.added = true;
                    attempt.deadline = now + ADD_TIME;
                    attempt.phase = Phase::Adding { name, role: offer.role, checks };
                    self.outputs.push_back(HostOutput::AddMember { attempt: id, device, name, role: offer.role });
                }
                other => attempt.phase = other,
            }
        }
    }

    fn persist_failed(&mut self, serial: u64) {
        for id in self.attempts_where(|attempt| attempt.phase.awaits_write() == Some(serial)) {
            self.end(id, AttemptEnd::Refused(Refusal::Failed));
        }
        if self.offer.as_ref().is_some_and(|offer| offer.opening == Some(serial)) {
            self.finish(Outcome::NotStored);
        }
    }

    fn group_ready(&mut self, now: BootTime, id: AttemptId, group: HostGroup) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let Phase::Adding { name, role, checks } = &mut attempt.phase else { return };
        if group.bytes.len() > MAX_GROUP {
            return self.end(id, AttemptEnd::Refused(Refusal::Failed));
        }
        let (name, role) = (*name, *role);
        let mut checks = checks.clone();
        let header = GroupHeader { id: group.id, role, host_name: group.host_name };
        let frame = Frame::Group(header, &group.bytes).emit();
        let frame = checks.transcript.seal(&checks.keys.group, FrameKind::Group, frame);
        attempt.deadline = now + RECEIPT_TIME;
        attempt.phase = Phase::Receipt { name, checks };
        self.send(id, &frame);
    }

    fn group_refused(&mut self, id: AttemptId) {
        let Some(attempt) = self.attempts.get(&id).filter(|attempt| attempt.phase.due().is_none()) else { return };
        if let Some(offer) = self.offer.as_mut().filter(|offer| offer.number == attempt.offer) {
            offer.added = false;
        }
        self.end(id, AttemptEnd::Refused(Refusal::Failed));
    }

    /// Writes the offer as it now is; the write's number.
    fn persist(&mut self) -> u64 {
        self.serial += 1;
        let bytes = self.offer.as_ref().map(|offer| offer.stored(self.boot)).unwrap_or_default();
        self.outputs.push_back(HostOutput::Persist { serial: self.serial, bytes });
        self.serial
    }

    /// Ends the offer and takes it off the disk.
    fn finish(&mut self, outcome: Outcome) {
        if let Some(offer) = &mut self.offer {
            offer.finish(outcome.clone());
            self.persist();
            self.outputs.push_back(HostOutput::Finished(outcome));
        }
    }

    /// Ends an attempt, if there is one of that number, and tells the other side why.
    fn end(&mut self, id: AttemptId, end: AttemptEnd) {
        let Some(attempt) = self.attempts.remove(&id) else { return };
        let tries_left = attempt.phase.tries_left();
        match end {
            AttemptEnd::Refused(why) => self.send(id, &Frame::Refused(why, tries_left).emit()),
            AttemptEnd::Misbehaved(_) => self.send(id, &Frame::Refused(Refusal::Misbehaved, None).emit()),
            AttemptEnd::Paired | AttemptEnd::GaveUp(_) | AttemptEnd::Lost => {}
        }
        self.outputs.push_back(HostOutput::Ended { attempt: id, device: attempt.remote, end });
        if let (AttemptEnd::Paired, Phase::Receipt { name, .. }) = (end, &attempt.phase)
            && self.offer.as_ref().is_some_and(|offer| offer.number == attempt.offer)
        {
            let outcome = Outcome::Paired(attempt.remote, *name);
            self.refuse_others();
            self.finish(outcome);
        }
    }

    /// Ends a connection that never became an attempt.
    fn turn_away(&mut self, id: AttemptId, device: DeviceId, end: AttemptEnd) {
        let why = match end {
            AttemptEnd::Refused(why) => why,
            _ => Refusal::Misbehaved,
        };
        self.send(id, &Frame::Refused(why, None).emit());
        self.outputs.push_back(HostOutput::Ended { attempt: id, device, end });
    }

    fn send(&mut self, attempt: AttemptId, frame: &[u8]) {
        self.outputs.push_back(HostOutput::Send { attempt, bytes: frame::on_stream(frame) });
    }

    fn attempts_where(&self, test: impl Fn(&Attempt) -> bool) -> Vec<AttemptId> {
        self.attempts.iter().filter(|(_, attempt)| test(attempt)).map(|(id, _)| *id).collect()
    }
}
