//! The machine alone: what it is given, and what it then wants done.

use std::time::Duration;

use proptest::prelude::*;
use tutti_model::{
    AccessPolicy, Audience, DeviceRecord, Name, ProtocolVersion, Reading, ResourceId, Role, SignedRecord, Text, Unit,
    Value,
    message::{Digest, DigestEntry, LeaseMode, LeaseRequest, Nonce, Read, Token, Write},
    signed::{Context, Signed},
};

use super::*;
use crate::{
    group::Member,
    io::{Answer, Command, PerformId, Performed, Work},
    limits::{DIGEST_INTERVAL, GRANT_PATIENCE, NOTICE_WINDOW, RELAY_PACE},
};

mod access;
mod anything;
mod holding;
mod leases;
mod records;
mod satellites;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn id(number: u8) -> DeviceId {
    DeviceId::from_bytes(key(number).verifying_key().to_bytes())
}

fn group(members: &[(u8, Role)]) -> Group {
    let member = |(number, role): &(u8, Role)| (id(*number), Member { role: *role, name: name("newcomer") });
    Group { members: members.iter().map(member).collect() }
}

const EVERYBODY: [(u8, Role); 4] = [(1, Role::Owner), (2, Role::Member), (3, Role::Member), (4, Role::Guest)];

fn lamp(number: u8) -> ResourceId {
    ResourceId { device: id(number), name: name("lamp") }
}

fn resources() -> Vec<ResourceDescription> {
    let mut open = ResourceDescription::sensor(name("open"), Unit::EMPTY);
    open.access = AccessPolicy { read: Audience::Guests, control: Audience::Nobody };
    let warmth = ResourceDescription::sensor(name("warmth"), Unit::EMPTY);
    vec![warmth, ResourceDescription::actuator(name("lamp"), Unit::EMPTY), open]
}

/// One pool, with everything that it said still there to look at.
struct Node {
    pool: Pool,
    now: BootTime,
    out: Vec<Output>,
    calls: u64,
}

fn setup(number: u8, saved: BTreeMap<&'static str, Vec<u8>>) -> Setup {
    let identity = Identity {
        name: name(&format!("device-{number}")),
        kind: Text::EMPTY,
        architecture: Text::EMPTY,
        os: Text::EMPTY,
        profile: Text::EMPTY,
        software: Text::EMPTY,
        capacity: None,
    };
    let boot = BootId([number; 16]);
    Setup { signing_key: key(number), identity, resources: resources(), boot, run: u64::from(number), saved }
}

impl Node {
    /// A pool whose saves are done at once.
    fn new(number: u8) -> Self {
        let now = BootTime::from_nanos(1_000_000_000);
        let pool = Pool::new(now, WallTime::default(), setup(number, BTreeMap::new()), group(&EVERYBODY)).unwrap();
        let mut node = Self { pool, now, out: vec![], calls: 0 };
        node.collect(true);
        node
    }

    fn collect(&mut self, saving: bool) {
        while let Some(output) = self.pool.poll_output() {
            if let (Output::Persist { ticket, .. }, true) = (&output, saving) {
                self.pool.handle(self.now, WallTime::default(), Input::Persisted { ticket: *ticket });
            }
            self.out.push(output);
        }
    }

    fn give(&mut self, input: Input) {
        self.pool.handle(self.now, WallTime::default(), input);
        self.collect(true);
    }

    fn wait(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.give(Input::Tick);
    }

    fn up(&mut self, number: u8, version: u16) {
        self.give(Input::PeerUp { device: id(number), version: ProtocolVersion(version), generation: 1 });
    }

    /// The notices that it sent to a device since the last look, taken as sent.
    fn notices(&mut self, to: u8) -> Vec<Notice> {
        let mut notices = Vec::new();
        while let Some(at) = self.out.iter().position(|out| matches!(out, Output::Notify { to: t, .. } if *t == id(to)))
        {
            let Output::Notify { to, generation, bytes } = self.out.remove(at) else { unreachable!() };
            notices.push(Notice::parse(&bytes).unwrap());
            self.give(Input::NoticeDone { to, generation, sent: true });
        }
        notices
    }

    fn request(&mut self, from: u8, request: &Request) -> Option<Reply> {
        self.calls += 1;
        let call = CallId(self.calls);
        self.give(Input::Request { call, from: id(from), bytes: request.emit().unwrap().into() });
        self.answer(call)
    }

    fn answer(&mut self, call: CallId) -> Option<Reply> {
        let at = self.out.iter().position(|out| matches!(out, Output::Reply { call: c, .. } if *c == call))?;
        let Output::Reply { bytes, .. } = self.out.remove(at) else { unreachable!() };
        Some(Reply::parse(&bytes).unwrap())
    }

    fn performing(&mut self) -> Option<(PerformId, Work)> {
        let at = self.out.iter().position(|out| matches!(out, Output::Perform { .. }))?;
        let Output::Perform { id, work, .. } = self.out.remove(at) else { unreachable!() };
        Some((id, work))
    }

    fn cuts(&mut self) -> Vec<(PerformId, Refusal)> {
        let cut = |out: &Output| match out {
            Output::Cut { id, why } => Some((*id, *why)),
            _ => None,
        };
        let cuts = self.out.iter().filter_map(cut).collect();
        self.out.retain(|out| cut(out).is_none());
        cuts
    }
}

fn ask(count: u64) -> Request {
    let duration = Duration::from_secs(10);
    let nonce = Nonce { run: 7, count };
    Request::LeaseRequest(LeaseRequest { resource: lamp(1), mode: LeaseMode::Exclusive, duration, nonce })
}

fn write(token: Option<Token>) -> Request {
    Request::Write(Write { resource: lamp(1), value: Value::Bool(true), token })
}

fn lease(reply: Option<Reply>) -> Token {
    let Some(Reply::Lease(grant)) = reply else { panic!("{reply:?}") };
    grant.lease.token
}

fn refusal(reply: Option<Reply>) -> Refusal {
    let Some(Reply::Refused(why)) = reply else { panic!("{reply:?}") };
    why
}

fn records(notices: &[Notice]) -> Vec<DeviceId> {
    let record = |notice: &Notice| match notice {
        Notice::Record(signed) => Some(DeviceRecord::parse(signed.unverified()).unwrap().device),
        _ => None,
    };
    notices.iter().filter_map(record).collect()
}

fn described(number: u8, seq: u64) -> Signed {
    let record = DeviceRecord {
        device: id(number),
        seq,
        name: name("somebody"),
        kind: Text::EMPTY,
        architecture: Text::EMPTY,
        os: Text::EMPTY,
        profile: Text::EMPTY,
        software: Text::EMPTY,
        via: None,
        satellites: None,
        capacity: None,
        resources: vec![],
    };
    SignedRecord::sign(record, &key(number)).unwrap().signed().clone()
}

fn tell(node: &mut Node, from: u8, notice: &Notice) {
    node.give(Input::Notice { from: id(from), bytes: notice.emit().unwrap().into() });
}

/// Lets a holder and an owner talk until both are silent.
fn talk(holder: &mut Node, owner: &mut Node) {
    loop {
        let next = holder.out.iter().position(|out| matches!(out, Output::Request { .. }));
        let Some(at) = next else { return };
        let Output::Request { id: request, bytes, .. } = holder.out.remove(at) else { unreachable!() };
        owner.calls += 1;
        let call = CallId(owner.calls);
        owner.give(Input::Request { call, from: holder.pool.me(), bytes });
        let at = owner.out.iter().position(|out| matches!(out, Output::Reply { call: c, .. } if *c == call)).unwrap();
        let Output::Reply { bytes, .. } = owner.out.remove(at) else { unreachable!() };
        holder.give(Input::Response { id: request, result: Ok(bytes) });
    }
}

fn command(node: &mut Node, command: Command) -> CallId {
    node.calls += 1;
    let call = CallId(node.calls);
    node.give(Input::Command { call, command });
    call
}

fn outcome(node: &mut Node, call: CallId) -> Option<Result<Answer, PoolError>> {
    let at = node.out.iter().position(|out| matches!(out, Output::Done { call: c, .. } if *c == call))?;
    let Output::Done { result, .. } = node.out.remove(at) else { unreachable!() };
    Some(result)
}

fn acquire(renewed: bool) -> Command {
    Command::Acquire { resource: lamp(1), mode: LeaseMode::Exclusive, duration: Duration::from_secs(9), renewed }
}
