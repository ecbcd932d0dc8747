//! Both ends of pairing, fed with arbitrary bytes at every stage.
//!
//! The machines draw their randomness from fixed seeds, so that a recorded attempt is valid again when it is replayed:
//! the corpus begins with whole attempts, and mutations of them reach every phase.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tutti_fabric::pairing::{
    AttemptEnd, AttemptId, BurntCodes, Code, HostGroup, HostInput, HostOutput, HostPairing, JoinTerms, JoinerInput,
    JoinerOutput, JoinerPairing, MAX_TICKET_ATTEMPTS, MAX_TICKET_LIFE, MAX_WAITING, MAX_WRONG_TRIES, OFFER_LIFE,
    OfferTerms, Secret, TicketSecret,
};
use tutti_model::{
    BootTime, DeviceId, Name, Role,
    section::{Sections, Tag},
};

use crate::rng::FixedRng;

const HOST: DeviceId = DeviceId::from_bytes([0xa0; 32]);
const JOINER: DeviceId = DeviceId::from_bytes([0x11; 32]);
const BOOT: [u8; 16] = [0xb0; 16];
const START: BootTime = BootTime::from_nanos(1_000_000_000);
const GROUP: &[u8] = b"the group with the joiner in it";

fn code() -> Code {
    "042917".parse().expect("six digits")
}

fn secret(with_ticket: bool) -> Secret {
    if with_ticket { Secret::Ticket(TicketSecret::from_bytes([0x7e; 16])) } else { Secret::Code(code()) }
}

fn offer() -> HostInput {
    let ticket = TicketSecret::from_bytes([0x7e; 16]);
    HostInput::Open(OfferTerms { code: code(), ticket, role: Role::Member, ticket_life: OFFER_LIFE })
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a valid name")
}

fn new_host() -> HostPairing {
    HostPairing::new(HOST, BOOT, Box::new(FixedRng::new(b"host")))
}

fn new_joiner(with_ticket: bool) -> JoinerPairing {
    let terms = JoinTerms { me: JOINER, name: name("garden"), host: HOST, secret: secret(with_ticket) };
    JoinerPairing::new(START, terms, &BurntCodes::new(), &mut FixedRng::new(b"joiner")).expect("nothing is burnt yet")
}

fn group(bytes: &[u8]) -> HostGroup {
    HostGroup { id: [0x66; 32], host_name: name("kitchen"), bytes: bytes.to_vec() }
}

/// One step of a script: what to do (1 byte), with what (1 byte), and bytes (length in 2).
struct Step<'a> {
    what: u8,
    with: u8,
    bytes: &'a [u8],
}

impl<'a> Step<'a> {
    fn read(script: &mut &'a [u8]) -> Option<Self> {
        let ([what, with, low, high], rest) = script.split_first_chunk()?;
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (bytes, rest) = rest.split_at(len);
        *script = rest;
        Some(Self { what: *what, with: *with, bytes })
    }

    fn write(&self, script: &mut Vec<u8>) {
        script.extend([self.what, self.with]);
        script.extend((self.bytes.len() as u16).to_le_bytes());
        script.extend(self.bytes);
    }
}

// What the steps of a script for the host say.
const CONNECT: u8 = 0;
const RECEIVE: u8 = 1;
const CLOSE: u8 = 2;
const WRITTEN: u8 = 3;
const WRITE_FAILED: u8 = 4;
const GROUP_READY: u8 = 5;
const GROUP_REFUSED: u8 = 6;
const WAIT: u8 = 7;
const CANCEL: u8 = 8;
const OPEN: u8 = 9;
const KILL: u8 = 10;

/// A host under a script, with what must hold all the time.
struct HostRun {
    host: HostPairing,
    now: BootTime,
    disk: Vec<u8>,
    writes: VecDeque<(u64, Vec<u8>)>,
    /// The live connections, by the numbers that scripts use.
    live: BTreeMap<u8, AttemptId>,
    next: u64,
    /// Tries of the code that this offer has answered.
    answered: u8,
    ended: Vec<AttemptEnd>,
}

impl HostRun {
    /// With an offer that is open.
    fn open() -> Self {
        let mut run = Self {
            host: new_host(),
            now: START,
            disk: Vec::new(),
            writes: VecDeque::new(),
            live: BTreeMap::new(),
            next: 0,
            answered: 0,
            ended: Vec::new(),
        };
        run.step(&Step { what: OPEN, with: 0, bytes: &[] });
        run.step(&Step { what: WRITTEN, with: 0, bytes: &[] });
        run
    }

    fn script(&mut self, mut script: &[u8]) {
        for _ in 0..512 {
            let Some(step) = Step::read(&mut script) else { break };
            self.step(&step);
        }
    }

    fn step(&mut self, step: &Step<'_>) {
        let attempt = self.live.get(&step.with).copied().unwrap_or(AttemptId(u64::MAX));
        let input = match step.what % 11 {
            CONNECT => {
                // A number is in use until its attempt has ended.
                if self.live.contains_key(&step.with) {
                    return;
                }
                self.next += 1;
                self.live.insert(step.with, AttemptId(self.next));
                let remote = if step.with == 0 { JOINER } else { DeviceId::from_bytes([step.with; 32]) };
                HostInput::Connected { attempt: AttemptId(self.next), remote }
            }
            RECEIVE => HostInput::Received { attempt, bytes: step.bytes.to_vec() },
            CLOSE => HostInput::Closed { attempt },
            WRITTEN => {
                let Some((serial, bytes)) = self.writes.pop_front() else { return };
                self.disk = bytes;
                HostInput::Persisted { serial }
            }
            WRITE_FAILED => {
                let Some((serial, _)) = self.writes.pop_front() else { return };
                HostInput::PersistFailed { serial }
            }
            GROUP_READY => HostInput::GroupReady { attempt, group: group(step.bytes) },
            GROUP_REFUSED => HostInput::GroupRefused { attempt },
            WAIT => {
                self.now = self.now + Duration::from_millis(u64::from(step.with) * 100);
                HostInput::Tick
            }
            CANCEL => HostInput::Cancel,
            OPEN => {
                self.answered = 0;
                offer()
            }
            _ => {
                self.writes.clear();
                self.live.clear();
                let rng = Box::new(FixedRng::new(b"again"));
                self.host = HostPairing::restore(HOST, BOOT, rng, self.now, &self.disk)
                    .expect("what the host wrote it can read");
                HostInput::Tick
            }
        };
        self.handle(input);
    }

    fn handle(&mut self, input: HostInput) {
        self.host.handle(self.now, input);
        let mut outputs = 0;
        while let Some(output) = self.host.poll_output() {
            outputs += 1;
            assert!(outputs < 4 * (MAX_WAITING + MAX_TICKET_ATTEMPTS + 4), "outputs are bounded");
            match output {
                HostOutput::Persist { serial, bytes } => self.writes.push_back((serial, bytes)),
                HostOutput::Send { bytes, .. } => self.answered += u8::from(is_answer(&bytes)),
                HostOutput::Ended { attempt, end, .. } => {
                    let before = self.live.len();
                    self.live.retain(|_, id| *id != attempt);
                    assert_eq!(self.live.len() + 1, before, "an attempt ends once");
                    self.ended.push(end);
                }
                HostOutput::AddMember { device, .. } => {
                    assert_eq!(device, JOINER, "only one device knows the secrets");
                }
                HostOutput::Opened | HostOutput::Finished(_) => {}
            }
        }
        assert!(self.live.len() <= MAX_WAITING + MAX_TICKET_ATTEMPTS + 2, "attempts are bounded");
        if let Some(status) = self.host.status() {
            assert!(status.tries_left <= MAX_WRONG_TRIES);
            // The right code is not charged, so its holder may have been answered more often.
            assert!(self.answered <= MAX_WRONG_TRIES || status.device.is_some(), "a fourth guess was answered");
        }
        assert!(self.host.poll_timeout().is_none_or(|at| at > self.now), "the host does not spin");
    }
}

/// Whether this is the host's answer to a try of the code.
fn is_answer(sent: &[u8]) -> bool {
    let frame = sent.get(4..).unwrap_or_default();
    let section = Sections::new_checked(frame).ok().and_then(|sections| sections.at_most_one(Tag(82)).ok().flatten());
    section.is_some_and(|reply| matches!(reply.decode::<([u8; 32], Option<u8>)>(), Ok((_, Some(_)))))
}

/// A host with an open offer, under a script.
pub(crate) fn host(script: &[u8]) {
    HostRun::open().script(script);
}

// What the steps of a script for the joiner say.
const STORED: u8 = 1;
const REJECTED: u8 = 2;
const STORE_FAILED: u8 = 3;
const LOST: u8 = 4;
const PASS: u8 = 5;
const GIVE_UP: u8 = 6;

/// A joiner under a script; the script's first byte chooses code or ticket.
pub(crate) fn joiner(script: &[u8]) {
    let Some((&mode, mut script)) = script.split_first() else { return };
    let (mut joiner, mut now) = (new_joiner(mode & 1 == 1), START);
    let (mut finished, mut stored, mut offered) = (false, false, false);
    for _ in 0..512 {
        let Some(step) = Step::read(&mut script) else { break };
        let input = match step.what % 7 {
            STORED => {
                stored |= offered;
                JoinerInput::Stored
            }
            REJECTED => JoinerInput::GroupRejected,
            STORE_FAILED => JoinerInput::StoreFailed,
            LOST => JoinerInput::Closed,
            PASS => {
                now = now + Duration::from_millis(u64::from(step.with) * 100);
                JoinerInput::Tick
            }
            GIVE_UP => JoinerInput::Cancel,
            _ => JoinerInput::Received(step.bytes.to_vec()),
        };
        joiner.handle(now, input);
        while let Some(output) = joiner.poll_output() {
            match output {
                JoinerOutput::Store(joined, bytes) => {
                    assert!(!offered, "one group is enough");
                    offered = true;
                    assert_eq!((joined.group, bytes.as_slice()), ([0x66; 32], GROUP), "a forged group");
                }
                JoinerOutput::Finished(result) => {
                    assert!(!finished, "it finishes once");
                    finished = true;
                    assert!(result.is_err() || stored, "it is not in before the group is on disk");
                }
                JoinerOutput::Burn(_) | JoinerOutput::Send(_) | JoinerOutput::Close => {}
            }
        }
        assert!(joiner.poll_timeout().is_none_or(|at| at > now), "the joiner does not spin");
    }
}

/// What is on disk, garbled.
pub(crate) fn restore(bytes: &[u8]) {
    let rng = Box::new(FixedRng::new(b"restored"));
    let Ok(mut host) = HostPairing::restore(HOST, BOOT, rng, START, bytes) else { return };
    if let Some(status) = host.status() {
        assert!(status.tries_left <= MAX_WRONG_TRIES && status.expires > START);
        assert!(status.expires.since(START) <= MAX_TICKET_LIFE);
        assert!(status.code_expires.since(START) <= OFFER_LIFE);
        host.handle(status.expires, HostInput::Tick);
        assert!(host.status().is_some_and(|status| status.outcome.is_some()), "every offer ends");
    }
}

/// A whole attempt on a wire that a hostile hand edits. Each edit: which message (1 byte), how (1), where (2), with
/// what (1). The first byte chooses code or ticket.
pub(crate) fn wire(edits: &[u8]) {
    let Some((&mode, edits)) = edits.split_first() else { return };
    let edits: Vec<&[u8]> = edits.chunks_exact(5).take(16).collect();
    Attempt::run(mode & 1 == 1, |number, bytes| {
        for edit in edits.iter().filter(|edit| edit[0] == number) {
            let at = usize::from(u16::from_le_bytes([edit[2], edit[3]])) % (bytes.len() + 1);
            match edit[1] % 6 {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, edit[4]),
                2 => bytes.extend_from_within(..),
                3 if at < bytes.len() => drop(bytes.remove(at)),
                4 if at < bytes.len() => bytes[at] = edit[4],
                5 if at < bytes.len() => bytes[at] ^= edit[4],
                _ => {}
            }
        }
    });
}

/// One attempt, with what was said.
struct Attempt {
    to_host: Vec<Vec<u8>>,
    to_joiner: Vec<Vec<u8>>,
    writes: Vec<Vec<u8>>,
}

impl Attempt {
    /// Runs one attempt with `edit` applied to each message, which are numbered in order.
    fn run(with_ticket: bool, mut edit: impl FnMut(u8, &mut Vec<u8>)) -> Self {
        let (mut host, mut joiner) = (new_host(), new_joiner(with_ticket));
        let attempt = AttemptId(1);
        let mut log = Self { to_host: Vec::new(), to_joiner: Vec::new(), writes: Vec::new() };
        let mut inputs = VecDeque::from([offer(), HostInput::Connected { attempt, remote: JOINER }]);
        let (mut number, mut joined, mut paired) = (0, false, false);
        while let Some(input) = inputs.pop_front() {
            host.handle(START, input);
            while let Some(output) = host.poll_output() {
                match output {
                    HostOutput::Persist { serial, bytes } => {
                        log.writes.push(bytes);
                        // Before anything else, as if the disk took no time.
                        inputs.push_front(HostInput::Persisted { serial });
                    }
                    HostOutput::Send { mut bytes, .. } => {
                        edit(number, &mut bytes);
                        number += 1;
                        log.to_joiner.push(bytes.clone());
                        joiner.handle(START, JoinerInput::Received(bytes));
                    }
                    HostOutput::AddMember { attempt, device, name: joiner_name, .. } => {
                        assert_eq!((device, joiner_name), (JOINER, name("garden")));
                        inputs.push_back(HostInput::GroupReady { attempt, group: group(GROUP) });
                    }
                    HostOutput::Ended { end, .. } => {
                        paired = end == AttemptEnd::Paired;
                        joiner.handle(START, JoinerInput::Closed);
                    }
                    HostOutput::Opened | HostOutput::Finished(_) => {}
                }
                while let Some(output) = joiner.poll_output() {
                    match output {
                        JoinerOutput::Send(mut bytes) => {
                            edit(number, &mut bytes);
                            number += 1;
                            log.to_host.push(bytes.clone());
                            inputs.push_back(HostInput::Received { attempt, bytes });
                        }
                        JoinerOutput::Store(joined, bytes) => {
                            assert_eq!((joined.group, bytes.as_slice()), ([0x66; 32], GROUP), "a forged group");
                            joiner.handle(START, JoinerInput::Stored);
                        }
                        JoinerOutput::Finished(result) => joined = result.is_ok(),
                        JoinerOutput::Burn(_) => {}
                        JoinerOutput::Close => inputs.push_back(HostInput::Closed { attempt }),
                    }
                }
            }
        }
        assert!(joined || !paired, "the host thinks that the joiner is in, and it is not");
        log
    }

    fn honest(with_ticket: bool) -> Self {
        Self::run(with_ticket, |_, _| {})
    }

    /// The script that makes the host say and do the same.
    fn host_script(&self) -> Vec<u8> {
        let mut script = Vec::new();
        let mut step = |what, bytes: &[u8]| Step { what, with: 0, bytes }.write(&mut script);
        step(CONNECT, &[]);
        for (number, bytes) in self.to_host.iter().enumerate() {
            step(RECEIVE, bytes);
            step(WRITTEN, &[]);
            if number == 1 {
                step(GROUP_READY, GROUP);
            }
        }
        script
    }

    fn joiner_script(&self, with_ticket: bool) -> Vec<u8> {
        let mut script = vec![u8::from(with_ticket)];
        let mut step = |what, bytes: &[u8]| Step { what, with: 0, bytes }.write(&mut script);
        self.to_joiner.iter().for_each(|bytes| step(0, bytes));
        step(STORED, &[]);
        script
    }
}

pub(crate) fn host_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let [code, ticket] = [false, true].map(|mode| Attempt::honest(mode).host_script());
    let replay = [code.as_slice(), &code].concat();
    let with = |start: &[u8], steps: &[(u8, u8)]| {
        let mut script = start.to_vec();
        steps.iter().for_each(|&(what, with)| Step { what, with, bytes: &[] }.write(&mut script));
        script
    };
    let rough = [(WAIT, 20), (CONNECT, 3), (KILL, 0), (CONNECT, 0), (OPEN, 0), (WRITE_FAILED, 0), (CANCEL, 0)];
    let crowd: Vec<(u8, u8)> = (0..80).map(|number| (CONNECT, number)).collect();
    vec![
        ("rough", with(&code, &rough)),
        ("crowd", with(&[], &crowd)),
        ("code", code),
        ("ticket", ticket),
        ("replay", replay),
    ]
}

pub(crate) fn joiner_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let [code, ticket] = [false, true].map(|mode| Attempt::honest(mode).joiner_script(mode));
    vec![("code", code), ("ticket", ticket)]
}

pub(crate) fn restore_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let writes = Attempt::honest(false).writes;
    let named = ["opened", "counted", "bound", "over"];
    named.into_iter().zip(writes).collect()
}

pub(crate) fn wire_seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("code", vec![0]),
        ("ticket", vec![1]),
        ("version", vec![0, 0, 4, 13, 0, 9]),
        ("share", vec![1, 1, 5, 20, 0, 1]),
        ("twice", vec![0, 2, 2, 0, 0, 0]),
        ("receipt", vec![0, 5, 0, 30, 0, 0]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_scripts_still_go_all_the_way() {
        for with_ticket in [false, true] {
            let mut run = HostRun::open();
            run.script(&Attempt::honest(with_ticket).host_script());
            assert_eq!(run.ended, [AttemptEnd::Paired]);
        }
        assert_eq!(Attempt::honest(false).writes.len(), 4, "opened, counted, bound, over");
    }
}
