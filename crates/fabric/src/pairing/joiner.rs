//! The joiner's end: one attempt at one host.

use std::{collections::VecDeque, fmt, time::Duration};

use rand::CryptoRng;
use tutti_model::{BootTime, DeviceId, Name, Role, VersionRange};

use super::{
    VERSIONS,
    attempt::Checks,
    burnt::{BurntCode, BurntCodes},
    frame::{
        self, Challenge, Confirm, Deframer, Fault, Frame, FrameKind, GroupHeader, Hello, MAX_FRAME, MAX_GROUP_FRAME,
        Refusal, Reply,
    },
    host::ATTEMPT_TIME,
    keys::{Keys, Transcript},
    pake::{self, Pake, Share, Side},
    secret::Secret,
};

/// How long the joiner waits for the host's challenge and for its reply.
pub const STEP_TIME: Duration = ATTEMPT_TIME;

/// How long the joiner waits for the group, which it gets after the host has stored it and sent all of it.
pub const GROUP_TIME: Duration = Duration::from_secs(60);

/// How long the joiner leaves the host to read its last frame before it closes the connection.
pub const LINGER_TIME: Duration = Duration::from_secs(1);

/// What the joiner sets out with.
#[derive(Clone, Debug)]
pub struct JoinTerms {
    /// This device.
    pub me: DeviceId,
    /// What it is called.
    pub name: Name,
    /// Whom it has connected to, as the connection has proved.
    pub host: DeviceId,
    /// The code or the ticket.
    pub secret: Secret,
}

/// What happens to the joiner.
#[derive(Clone, Debug)]
pub enum JoinerInput {
    /// Bytes came on the stream that the host opened, cut anywhere.
    Received(Vec<u8>),
    /// The connection is over, or the stream has ended.
    Closed,
    /// The group of [`JoinerOutput::Store`] is durable: this device is in.
    Stored,
    /// The group of [`JoinerOutput::Store`] is not a valid one, is not the one named, or does not have this device
    /// in it with the role named.
    GroupRejected,
    /// The group could not be written to disk.
    StoreFailed,
    /// The person gives up.
    Cancel,
    /// A moment that [`JoinerPairing::poll_timeout`] named has come.
    Tick,
}

/// What the joiner's caller is to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinerOutput {
    /// Add this to the [`BurntCodes`].
    Burn(BurntCode),
    /// Write these bytes to the stream.
    Send(Vec<u8>),
    /// Check this group, enter it durably, and answer [`JoinerInput::Stored`], [`JoinerInput::GroupRejected`] or
    /// [`JoinerInput::StoreFailed`].
    Store(Joined, Vec<u8>),
    /// How it went; comes exactly once.
    Finished(Result<Joined, JoinError>),
    /// Finish the stream, give the host a second to read what was sent, and close the connection.
    Close,
}

/// The group that the joiner is in now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Its id.
    pub group: [u8; 32],
    /// What this device may do in it.
    pub role: Role,
    /// Who took it in.
    pub host: DeviceId,
    /// What that device is called.
    pub host_name: Name,
}

/// Why the joiner is not in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// This code has failed at this host before, so it is not tried again.
    Burnt,
    /// The code is wrong, or this is not the device that shows it.
    WrongCode {
        /// How many tries the host says are left.
        tries_left: Option<u8>,
    },
    /// The code had its three wrong tries.
    CodeDead,
    /// The host shows no code.
    NoOffer,
    /// The code or ticket was too old.
    Expired,
    /// Another device is trying.
    Busy,
    /// Another device has used the code or ticket.
    Taken,
    /// The ticket is not of the offer that the host has now.
    WrongTicket,
    /// No version of the protocol in common.
    Version {
        /// What the host speaks.
        host: VersionRange,
    },
    /// The host broke the protocol.
    HostMisbehaved(Fault),
    /// The host could not do its part.
    HostFailed,
    /// The host says that this device broke the protocol, or something that this version does not know.
    Refused(Refusal),
    /// The host stopped answering; this frame was due.
    TimedOut(FrameKind),
    /// The connection was lost.
    Lost,
    /// The group could not be written to this device's disk.
    NotStored,
    /// The person gave up, at either side.
    Cancelled,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Burnt => {
                "this code has failed here before and is not tried again; make a new code on the other device"
            }
            Self::WrongCode { tries_left } => {
                f.write_str(
                    "the code is wrong, or this is not the device that shows it; look at the device's name and the \
                     code again and type it anew",
                )?;
                return match tries_left {
                    Some(0) => f.write_str(" (no tries are left: make a new code)"),
                    Some(1) => f.write_str(" (1 try is left)"),
                    Some(left) => write!(f, " ({left} tries are left)"),
                    None => Ok(()),
                };
            }
            Self::CodeDead => {
                "the code had too many wrong tries; use the ticket, or make a new code on the other device"
            }
            Self::NoOffer => "the other device shows no code; run `tutti pair` there first",
            Self::Expired => "the code or ticket has expired; make a new one on the other device",
            Self::Busy => "another device is pairing there right now; try again in ten seconds, or use the ticket",
            Self::Taken => "another device has used this code or ticket; make a new one on the other device",
            Self::WrongTicket => {
                "the ticket is not valid there any more; make a new one on the other device and copy all of it"
            }
            Self::Version { host } => {
                return write!(
                    f,
                    "the other device speaks versions {host} of the pairing protocol, this one {VERSIONS}; update \
                     the older of the two"
                );
            }
            Self::HostMisbehaved(fault) => {
                return write!(
                    f,
                    "the other device does not keep to the protocol: {fault}; make sure that it is yours and up to date"
                );
            }
            Self::HostFailed => "the other device could not take this one in; its own log or screen says why",
            Self::Refused(why) => return write!(f, "the other device ended the attempt: {why}; update both and retry"),
            Self::TimedOut(due) => {
                return write!(
                    f,
                    "the other device stopped answering ({due} was due); check that both are awake and near, and try \
                     again"
                );
            }
            Self::Lost => "the connection was lost; try again with the same code while it lasts",
            Self::NotStored => "the group could not be stored on this device; check its disk and try again",
            Self::Cancelled => "pairing was cancelled",
        })
    }
}

impl std::error::Error for JoinError {}

enum Phase {
    Challenge {
        exchange: pake::Chosen,
        share: Share,
    },
    Reply {
        exchange: pake::Chosen,
        transcript: Transcript,
    },
    Group(Box<Checks>),
    /// The caller checks and stores the group. From here on its answer decides, whatever the host does.
    Storing {
        joined: Joined,
        checks: Box<Checks>,
    },
    /// The result is out; the connection stays up a little for the receipt to arrive.
    Lingering,
    /// Between two phases, and at the end.
    Over,
}

/// The joiner's end of pairing. See the [module](super) for the protocol.
///
/// After every [`handle`](Self::handle), carry out what [`poll_output`](Self::poll_output) gives until it gives
/// nothing, and call `handle` with [`JoinerInput::Tick`] at [`poll_timeout`](Self::poll_timeout).
pub struct JoinerPairing {
    terms: JoinTerms,
    pub(super) versions: VersionRange,
    deframer: Deframer,
    deadline: BootTime,
    phase: Phase,
    finished: bool,
    closed: bool,
    outputs: VecDeque<JoinerOutput>,
}

impl JoinerPairing {
    /// Sets out, on a connection that has just been made.
    ///
    /// # Errors
    /// [`JoinError::Burnt`] for a code that has failed at this host before.
    pub fn new(
        now: BootTime,
        terms: JoinTerms,
        burnt: &BurntCodes,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, JoinError> {
        if let Secret::Code(code) = &terms.secret
            && burnt.contains(&BurntCode::new(terms.host, code))
        {
            return Err(JoinError::Burnt);
        }
        let password = terms.secret.password();
        let (exchange, share) = pake::Chosen::start(Side::Joiner, &password, terms.me, terms.host, rng);
        Ok(Self {
            terms,
            versions: VERSIONS,
            deframer: Deframer::default(),
            deadline: now + STEP_TIME,
            phase: Phase::Challenge { exchange, share },
            finished: false,
            closed: false,
            outputs: VecDeque::new(),
        })
    }

    /// Takes in what has happened.
    pub fn handle(&mut self, now: BootTime, input: JoinerInput) {
        if self.poll_timeout().is_some_and(|deadline| now >= deadline) {
            let due = self.due().unwrap_or(FrameKind::Receipt);
            self.fail(JoinError::TimedOut(due), Some(Refusal::TimedOut));
        }
        match (input, &self.phase) {
            (JoinerInput::Stored, _) => self.stored(now),
            (JoinerInput::GroupRejected, Phase::Storing { .. }) => {
                self.fail(JoinError::HostMisbehaved(Fault::BadGroup), Some(Refusal::Misbehaved));
            }
            (JoinerInput::StoreFailed, Phase::Storing { .. }) => {
                self.fail(JoinError::NotStored, Some(Refusal::Failed));
            }
            (_, Phase::Storing { .. }) => {}
            (JoinerInput::Received(bytes), _) => self.received(now, &bytes),
            (JoinerInput::Closed, _) => self.fail(JoinError::Lost, None),
            (JoinerInput::Cancel, _) => self.fail(JoinError::Cancelled, Some(Refusal::Cancelled)),
            (JoinerInput::GroupRejected | JoinerInput::StoreFailed | JoinerInput::Tick, _) => {}
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<JoinerOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`handle`](Self::handle) again if nothing else happens. Never once it is over, nor while the
    /// caller stores the group: that is bounded by the caller.
    pub fn poll_timeout(&self) -> Option<BootTime> {
        (!self.closed && !matches!(self.phase, Phase::Storing { .. })).then_some(self.deadline)
    }

    fn due(&self) -> Option<FrameKind> {
        match self.phase {
            Phase::Challenge { .. } => Some(FrameKind::Challenge),
            Phase::Reply { .. } => Some(FrameKind::Reply),
            Phase::Group(_) => Some(FrameKind::Group),
            Phase::Storing { .. } | Phase::Lingering | Phase::Over => None,
        }
    }

    fn received(&mut self, now: BootTime, bytes: &[u8]) {
        self.deframer.push(bytes);
        // Once there is nothing more to come, whatever does come is dropped.
        while self.due().is_some() {
            let max = if matches!(self.phase, Phase::Group(_)) { MAX_GROUP_FRAME } else { MAX_FRAME };
            let fault = match self.deframer.next(max) {
                Ok(None) => return,
                Ok(Some(frame)) => match self.frame(now, &frame) {
                    Ok(()) => continue,
                    Err(fault) => fault,
                },
                Err(fault) => fault,
            };
            self.fail(JoinError::HostMisbehaved(fault), Some(Refusal::Misbehaved));
        }
        self.deframer = Deframer::default();
    }

    fn frame(&mut self, now: BootTime, bytes: &[u8]) -> Result<(), Fault> {
        let due = self.due();
        match (std::mem::replace(&mut self.phase, Phase::Over), Frame::parse(bytes)?) {
            (_, Frame::Refused(why, tries_left)) => {
                self.refused(why, tries_left);
                Ok(())
            }
            (Phase::Challenge { exchange, share }, Frame::Challenge(challenge)) => {
                self.challenged(now, exchange, share, &challenge, bytes);
                Ok(())
            }
            (Phase::Reply { exchange, transcript }, Frame::Reply(reply)) => {
                self.replied(now, exchange, transcript, &reply, bytes)
            }
            (Phase::Group(checks), Frame::Group(header, group)) => self.granted(checks, &header, group, bytes),
            (_, frame) => Err(Fault::OutOfTurn { got: frame.kind(), due }),
        }
    }

    fn challenged(&mut self, now: BootTime, exchange: pake::Chosen, share: Share, challenge: &Challenge, bytes: &[u8]) {
        let Some(version) = self.versions.agree(challenge.versions) else {
            return self.fail(JoinError::Version { host: challenge.versions }, Some(Refusal::Version));
        };
        let mut transcript = Transcript::new(self.terms.me, self.terms.host);
        transcript.add("challenge", bytes);
        let mut hello = Hello::new(version.0, self.terms.secret.mode(), share, None);
        if let Secret::Ticket(ticket) = &self.terms.secret {
            let mut proven = transcript.clone();
            proven.add("proven", &hello.proven());
            hello.proof = Some(proven.mac(&ticket.proof_key()));
        }
        let hello = Frame::Hello(hello).emit();
        transcript.add("hello", &hello);
        self.send(&hello);
        self.deadline = now + STEP_TIME;
        self.phase = Phase::Reply { exchange, transcript };
    }

    fn replied(
        &mut self,
        now: BootTime,
        exchange: pake::Chosen,
        mut transcript: Transcript,
        reply: &Reply,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let keys = Keys::derive(&exchange.finish(&reply.share)?);
        if transcript.open(&keys.host_confirm, FrameKind::Reply, bytes).is_err() {
            return match self.terms.secret {
                // Whoever is at the other end does not know this code. It has had its one guess, and what it can
                // see of the outcome it sees only after the code is burnt.
                Secret::Code(_) => {
                    self.wrong_code(reply.tries_left, Some(Refusal::WrongCode));
                    Ok(())
                }
                Secret::Ticket(_) => Err(Fault::Forged(FrameKind::Reply)),
            };
        }
        let confirm = Frame::Confirm(Confirm { name: self.terms.name }).emit();
        let confirm = transcript.seal(&keys.joiner_confirm, FrameKind::Confirm, confirm);
        self.send(&confirm);
        self.deadline = now + GROUP_TIME;
        let mode = self.terms.secret.mode();
        self.phase = Phase::Group(Box::new(Checks { mode, tries_left: None, keys, transcript }));
        Ok(())
    }

    fn granted(
        &mut self,
        mut checks: Box<Checks>,
        header: &GroupHeader,
        group: &[u8],
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let Checks { keys, transcript, .. } = &mut *checks;
        transcript.open(&keys.group, FrameKind::Group, bytes).map_err(|_| Fault::Forged(FrameKind::Group))?;
        let joined = Joined { group: header.id, role: header.role, host: self.terms.host, host_name: header.host_name };
        self.outputs.push_back(JoinerOutput::Store(joined.clone(), group.to_vec()));
        self.phase = Phase::Storing { joined, checks };
        Ok(())
    }

    fn stored(&mut self, now: BootTime) {
        let Phase::Storing { joined, mut checks } = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        let Checks { keys, transcript, .. } = &mut *checks;
        let receipt = transcript.seal(&keys.receipt, FrameKind::Receipt, Frame::Receipt.emit());
        self.send(&receipt);
        self.finished = true;
        self.outputs.push_back(JoinerOutput::Finished(Ok(joined)));
        self.deadline = now + LINGER_TIME;
        self.phase = Phase::Lingering;
    }

    fn refused(&mut self, why: Refusal, tries_left: Option<u8>) {
        let error = match why {
            Refusal::WrongCode => return self.wrong_code(tries_left, None),
            Refusal::NoOffer => JoinError::NoOffer,
            Refusal::Expired => JoinError::Expired,
            Refusal::Busy => JoinError::Busy,
            Refusal::CodeDead => JoinError::CodeDead,
            Refusal::Taken => JoinError::Taken,
            Refusal::WrongTicket => JoinError::WrongTicket,
            Refusal::Failed => JoinError::HostFailed,
            Refusal::Cancelled => JoinError::Cancelled,
            Refusal::Version | Refusal::Misbehaved | Refusal::TimedOut | Refusal::Other(_) => JoinError::Refused(why),
        };
        self.fail(error, None);
    }

    fn wrong_code(&mut self, tries_left: Option<u8>, tell: Option<Refusal>) {
        if let Secret::Code(code) = &self.terms.secret {
            self.outputs.push_back(JoinerOutput::Burn(BurntCode::new(self.terms.host, code)));
        }
        self.fail(JoinError::WrongCode { tries_left }, tell);
    }

    /// Ends it, with this error unless the result is already out, and tells the host why.
    fn fail(&mut self, error: JoinError, tell: Option<Refusal>) {
        if self.closed {
            return;
        }
        if !self.finished {
            if let Some(why) = tell {
                self.send(&Frame::Refused(why, None).emit());
            }
            self.finished = true;
            self.outputs.push_back(JoinerOutput::Finished(Err(error)));
        }
        self.closed = true;
        self.phase = Phase::Over;
        self.outputs.push_back(JoinerOutput::Close);
    }

    fn send(&mut self, frame: &[u8]) {
        self.outputs.push_back(JoinerOutput::Send(frame::on_stream(frame)));
    }
}
