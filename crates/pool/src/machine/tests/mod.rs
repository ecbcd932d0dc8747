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
        resources: vec![],
    };
    SignedRecord::sign(record, &key(number)).unwrap().signed().clone()
}

fn tell(node: &mut Node, from: u8, notice: &Notice) {
    node.give(Input::Notice { from: id(from), bytes: notice.emit().unwrap().into() });
}

// --- records -------------------------------------------------------------------------------------------------------

#[test]
fn version_1_gets_everything_on_contact_and_version_2_only_what_it_lacks() {
    let mut node = Node::new(1);
    tell(&mut node, 2, &Notice::Record(described(2, 5)));
    node.up(3, 1);
    let notices = node.notices(3);
    assert_eq!(records(&notices).len(), 2, "its own and that of 2: {notices:?}");
    assert!(!notices.iter().any(|notice| matches!(notice, Notice::Digest(_))), "version 1 knows no digests");

    node.up(2, 2);
    let notices = node.notices(2);
    assert!(records(&notices).is_empty());
    let Some(Notice::Digest(digest)) = notices.iter().find(|notice| matches!(notice, Notice::Digest(_))) else {
        panic!("{notices:?}")
    };
    assert!(digest.whole && digest.entries.len() == 2);
    // What 2 has is what it said, so that only the other record goes there.
    let theirs = digest.entries.iter().filter(|entry| entry.device == id(2)).copied().collect();
    tell(&mut node, 2, &Notice::Digest(Digest { whole: true, entries: theirs }));
    assert_eq!(records(&node.notices(2)), [id(1)]);
    tell(&mut node, 2, &Notice::Digest(digest.clone()));
    assert!(records(&node.notices(2)).is_empty());
}

#[test]
fn news_are_passed_on_and_fetched_by_whoever_lacks_them() {
    let mut node = Node::new(1);
    node.up(2, 2);
    node.up(3, 2);
    node.up(4, 1);
    [2, 3, 4].into_iter().for_each(|peer| drop(node.notices(peer)));
    tell(&mut node, 2, &Notice::Record(described(2, 5)));
    assert_eq!(records(&node.notices(4)), [id(2)], "at once to version 1");
    assert!(node.notices(3).is_empty());
    node.wait(RELAY_PACE);
    let notices = node.notices(3);
    let [Notice::Digest(digest)] = notices.as_slice() else { panic!("{notices:?}") };
    assert!(!digest.whole);
    assert_eq!(node.notices(2), [], "not back to whom it came from");
    let lacks = digest.entries.iter().map(|entry| DigestEntry { seq: 0, ..*entry }).collect();
    tell(&mut node, 3, &Notice::Digest(Digest { whole: false, entries: lacks }));
    assert_eq!(records(&node.notices(3)), [id(2)]);

    // And the other way round: it asks for what it hears of.
    let entry = DigestEntry { device: id(2), via: None, seq: 9, mark: [0; 8] };
    tell(&mut node, 3, &Notice::Digest(Digest { whole: false, entries: vec![entry] }));
    let notices = node.notices(3);
    let [Notice::Digest(asking)] = notices.as_slice() else { panic!("{notices:?}") };
    assert_eq!(asking.entries.first().map(|entry| entry.seq), Some(5));
}

#[test]
fn digests_are_repeated_and_lost_notices_made_up_for() {
    let mut node = Node::new(1);
    node.up(2, 2);
    node.notices(2);
    node.wait(DIGEST_INTERVAL);
    assert!(node.notices(2).iter().any(|notice| matches!(notice, Notice::Digest(digest) if digest.whole)));
    node.give(Input::NoticeDone { to: id(2), generation: 1, sent: false });
    node.wait(crate::limits::RETRY);
    assert!(node.notices(2).iter().any(|notice| matches!(notice, Notice::Digest(digest) if digest.whole)));
}

#[test]
fn a_change_of_the_group_is_followed_by_a_digest_at_once() {
    let mut node = Node::new(1);
    node.up(2, 2);
    node.notices(2);
    node.give(Input::Group(group(&EVERYBODY[..3])));
    assert!(node.notices(2).iter().any(|notice| matches!(notice, Notice::Digest(digest) if digest.whole)));
}

#[test]
fn a_slow_peer_costs_a_window_and_gets_the_latest() {
    let mut node = Node::new(1);
    let many: Vec<(u8, Role)> = (1..40).map(|number| (number, Role::Member)).collect();
    node.give(Input::Group(group(&many)));
    for number in 3..40 {
        tell(&mut node, 3, &Notice::Record(described(number, 1)));
    }
    node.up(2, 1);
    let sent = |node: &Node| node.out.iter().filter(|out| matches!(out, Output::Notify { .. })).count();
    assert_eq!(sent(&node), NOTICE_WINDOW);
    node.wait(Duration::from_secs(60));
    assert_eq!(sent(&node), NOTICE_WINDOW, "nothing more until some have left");
    assert_eq!(records(&node.notices(2)).len(), 38, "all in the end");
}

#[test]
fn only_this_devices_own_word_moves_its_number() {
    let mut node = Node::new(1);
    node.up(2, 2);
    let seq = |node: &Node| node.pool.own.current().unwrap().record().seq;
    let lie = DigestEntry { device: id(1), via: None, seq: u64::MAX, mark: [0; 8] };
    tell(&mut node, 2, &Notice::Digest(Digest { whole: true, entries: vec![lie] }));
    node.wait(Duration::from_secs(1));
    assert_eq!(seq(&node), 1);
    let bytes = described(1, 500).unverified().to_vec();
    tell(&mut node, 2, &Notice::Record(Signed::sign(Context::DEVICE_RECORD, bytes, &key(2))));
    node.wait(Duration::from_secs(1));
    assert_eq!(seq(&node), 1);
    tell(&mut node, 2, &Notice::Record(described(1, 500)));
    node.wait(Duration::from_secs(1));
    assert_eq!(seq(&node), 501);
}

#[test]
fn known_devices_are_known_after_a_restart() {
    let mut node = Node::new(1);
    tell(&mut node, 2, &Notice::Record(described(2, 5)));
    tell(&mut node, 3, &Notice::Record(described(3, 5)));
    node.wait(SAVE_PACE);
    let mut saved = BTreeMap::new();
    for out in &node.out {
        if let Output::Persist { key, bytes, .. } = out {
            saved.insert(*key, bytes.clone());
        }
    }
    let fewer = group(&[(1, Role::Owner), (2, Role::Member)]);
    let again = Pool::new(node.now, WallTime::default(), setup(1, saved.clone()), fewer).unwrap();
    let names: Vec<Name> = again.catalogue().devices.values().map(|entry| entry.name).collect();
    assert!(names.contains(&name("somebody")) && names.len() == 2, "whoever was forgotten meanwhile is not: {names:?}");
    // That memory may be lost; the others may not.
    saved.insert(sync::KEY, b"junk".to_vec());
    assert!(Pool::new(node.now, WallTime::default(), setup(1, saved.clone()), Group::default()).is_ok());
    saved.insert(grants::KEY, b"junk".to_vec());
    let error = Pool::new(node.now, WallTime::default(), setup(1, saved), Group::default()).err();
    assert!(matches!(error, Some(RestoreError::Unreadable { key: grants::KEY, .. })), "{error:?}");
}

// --- access --------------------------------------------------------------------------------------------------------

#[test]
fn every_request_is_checked_against_group_and_policy() {
    let mut node = Node::new(1);
    let read = |what: &str| Request::Read(Read { resource: ResourceId { device: id(1), name: name(what) } });
    assert_eq!(node.request(2, &read("warmth")), None, "under way");
    let (perform, work) = node.performing().unwrap();
    assert_eq!(work, Work::Read);
    let taken = Reading { value: Value::Int(1), at: WallTime::default() };
    node.give(Input::Performed { id: perform, result: Ok(Performed::Reading(taken.clone())) });
    assert_eq!(node.answer(CallId(1)), Some(Reply::Reading(taken)));

    let guest = refusal(node.request(4, &read("warmth")));
    assert_eq!(guest.to_string(), "a guest may not read it; only members and owners of the group may");
    assert_eq!(node.request(4, &read("open")), None, "open to guests");
    assert!(matches!(refusal(node.request(9, &read("open"))), Refusal::NotAllowed { .. }), "not in the group");
    assert!(matches!(refusal(node.request(9, &read("nothing"))), Refusal::NotAllowed { .. }), "nor told what is there");
    assert_eq!(refusal(node.request(2, &read("nothing"))), Refusal::NoSuchResource);
    assert_eq!(refusal(node.request(2, &Request::Read(Read { resource: lamp(3) }))), Refusal::NoSuchResource);
    assert!(matches!(refusal(node.request(4, &ask(1))), Refusal::NotAllowed { .. }), "nor a lease");
    assert_eq!(refusal(node.request(2, &write(None))), Refusal::LeaseNeeded);
    assert_eq!(refusal(node.request(2, &write(Some(Token(1))))), Refusal::StaleToken);
    node.give(Input::Request { call: CallId(900), from: id(2), bytes: Bytes::from_static(b"what?") });
    assert_eq!(node.answer(CallId(900)), Some(Reply::Refused(Refusal::Malformed)));
    node.give(Input::Request { call: CallId(901), from: id(2), bytes: Bytes::from_static(&[9, 9, 1, 0, 0, 0, 0, 0]) });
    assert_eq!(node.answer(CallId(901)), Some(Reply::Refused(Refusal::Unsupported)), "from a later version");
}

#[test]
fn what_runs_is_cut_when_it_is_not_allowed_any_more() {
    let mut node = Node::new(1);
    let token = lease(node.request(2, &ask(1)));
    node.request(2, &write(Some(token)));
    let (writing, _) = node.performing().unwrap();
    node.request(3, &Request::Read(Read { resource: ResourceId { device: id(1), name: name("warmth") } }));
    let reading_call = CallId(node.calls);
    let (reading, _) = node.performing().unwrap();
    node.give(Input::Group(group(&[(1, Role::Owner), (2, Role::Guest)])));
    let cut: Vec<PerformId> = node.cuts().into_iter().map(|(id, _)| id).collect();
    assert_eq!(cut, [writing, reading]);
    // It was read a moment too late to be told.
    let taken = Reading { value: Value::Int(1), at: WallTime::default() };
    node.give(Input::Performed { id: reading, result: Ok(Performed::Reading(taken)) });
    assert!(matches!(node.answer(reading_call), Some(Reply::Refused(Refusal::NotAllowed { .. }))));
}

#[test]
fn a_device_can_only_have_so_much_under_way() {
    let mut node = Node::new(1);
    let read = Request::Read(Read { resource: ResourceId { device: id(1), name: name("warmth") } });
    for _ in 0..crate::limits::MAX_OPS_PER_DEVICE {
        assert_eq!(node.request(2, &read), None);
    }
    assert_eq!(node.request(2, &read), Some(Reply::Refused(Refusal::Busy)));
    assert_eq!(node.request(3, &read), None, "others are not in its way");
}

// --- leases --------------------------------------------------------------------------------------------------------

#[test]
fn nobody_hears_of_a_lease_before_it_is_durable() {
    let mut node = Node::new(1);
    let asking = |node: &mut Node, call: u64, from: u8| {
        let bytes = ask(call).emit().unwrap().into();
        node.pool.handle(node.now, WallTime::default(), Input::Request { call: CallId(call), from: id(from), bytes });
        node.collect(false);
    };
    asking(&mut node, 50, 2);
    assert_eq!(node.answer(CallId(50)), None);
    asking(&mut node, 51, 3);
    assert!(matches!(node.answer(CallId(51)), Some(Reply::Refused(Refusal::HeldBy { .. }))));
    let ticket = |node: &Node| match node.out.last() {
        Some(Output::Persist { ticket, key: grants::KEY, .. }) => *ticket,
        other => panic!("{other:?}"),
    };
    let first = ticket(&node);
    node.give(Input::PersistFailed { ticket: first, why: "disk full".into() });
    assert_eq!(refusal(node.answer(CallId(50))).to_string(), "it failed: disk full");
    assert_eq!(node.request(3, &ask(2)), None, "the disk is given a moment");
    let call = CallId(node.calls);
    node.wait(crate::limits::RETRY);
    assert!(lease(node.answer(call)) > Token(1), "the failed token may be on disk");
}

#[test]
fn a_new_lease_waits_for_what_runs_under_the_old_one() {
    let mut node = Node::new(1);
    let old = lease(node.request(2, &ask(1)));
    node.request(2, &write(Some(old)));
    let (writing, _) = node.performing().unwrap();
    node.wait(Duration::from_secs(11));
    assert_eq!(node.cuts().len(), 1, "its time is over");
    assert_eq!(node.request(3, &ask(1)), None, "not while the other may still write");
    let call = CallId(node.calls);
    node.give(Input::Performed { id: writing, result: Err(Refusal::StaleToken) });
    assert!(lease(node.answer(call)) > old);

    // A driver that never stops what it does costs the asker some patience, and nobody the lease.
    let held = lease(node.request(3, &ask(2)));
    node.request(3, &write(Some(held)));
    node.wait(Duration::from_secs(11));
    assert_eq!(node.request(2, &ask(9)), None);
    let call = CallId(node.calls);
    node.wait(GRANT_PATIENCE);
    assert_eq!(node.answer(call), Some(Reply::Refused(Refusal::Busy)));
}

#[test]
fn a_holder_is_told_when_its_lease_is_void() {
    let mut node = Node::new(1);
    node.up(2, 2);
    let token = lease(node.request(2, &ask(1)));
    node.notices(2);
    let mut closed = resources();
    closed[1].access.control = Audience::Owners;
    node.give(Input::Resources(closed));
    let told = |notice: &Notice| matches!(notice, Notice::LeaseEnded(ended) if ended.lease.token == token);
    assert_eq!(node.notices(2).iter().filter(|notice| told(notice)).count(), 1);
    assert!(matches!(refusal(node.request(2, &write(Some(token)))), Refusal::NotAllowed { .. }));
    node.wait(Duration::from_secs(1));
    assert!(!node.notices(2).iter().any(told), "once");
}

#[test]
fn leases_are_listed_for_those_who_may_use_the_resource() {
    let mut node = Node::new(1);
    node.up(3, 2);
    node.up(4, 2);
    let token = lease(node.request(2, &ask(1)));
    node.wait(Duration::from_secs(1));
    let listed = |notices: Vec<Notice>| {
        let leases = |notice| if let Notice::Leases(leases) = notice { leases.leases } else { vec![] };
        notices.into_iter().flat_map(leases).map(|info| info.lease.token).collect::<Vec<_>>()
    };
    assert_eq!(listed(node.notices(3)), [token]);
    assert_eq!(listed(node.notices(4)), [], "a guest may not even read the lamp");
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

#[test]
fn a_holder_renews_at_a_third_and_stops_believing_early() {
    let (mut owner, mut holder) = (Node::new(1), Node::new(2));
    holder.up(1, 2);
    let call = command(&mut holder, acquire(true));
    talk(&mut holder, &mut owner);
    let Some(Ok(Answer::Lease(held))) = outcome(&mut holder, call) else { panic!() };
    assert_eq!(held.until.since(holder.now), crate::lease::holder_term(Duration::from_secs(9)));
    holder.wait(Duration::from_secs(3));
    assert!(holder.out.iter().any(|out| matches!(out, Output::Request { .. })), "at a third of its time");
    talk(&mut holder, &mut owner);
    let renewed = holder.pool.held(holder.now)[0];
    assert!(renewed.until > held.until);
    // Cut off: it tries for a while, then believes no more, a little before the owner would grant to another.
    holder.give(Input::PeerDown { device: id(1) });
    holder.out.clear();
    holder.wait(Duration::from_secs(8));
    assert_eq!(holder.pool.held(holder.now).len(), 1);
    holder.wait(Duration::from_millis(911));
    assert_eq!(holder.pool.held(holder.now).len(), 0);
    assert!(holder.out.iter().any(|out| matches!(out, Output::Event(Event::LeaseLost { why: None, .. }))));
}

#[test]
fn an_answer_that_comes_too_late_gives_nothing() {
    let (mut owner, mut holder) = (Node::new(1), Node::new(2));
    holder.up(1, 2);
    let call = command(&mut holder, acquire(false));
    holder.now = holder.now + Duration::from_millis(8_911);
    talk(&mut holder, &mut owner);
    assert!(matches!(outcome(&mut holder, call), Some(Err(PoolError::NoAnswer { .. }))));
    assert!(holder.pool.held(holder.now).is_empty());
    talk(&mut holder, &mut owner);
    assert!(matches!(owner.request(3, &ask(1)), Some(Reply::Lease(_))), "and it was given back");
}

#[test]
fn two_programs_of_one_device_do_not_both_hold_it() {
    let (mut owner, mut holder) = (Node::new(1), Node::new(2));
    holder.up(1, 2);
    command(&mut holder, acquire(false));
    let second = command(&mut holder, acquire(false));
    assert!(matches!(outcome(&mut holder, second), Some(Err(PoolError::AlreadyHeld { .. }))), "while it is asked for");
    talk(&mut holder, &mut owner);
    let third = command(&mut holder, acquire(false));
    assert!(matches!(outcome(&mut holder, third), Some(Err(PoolError::AlreadyHeld { .. }))), "nor when it is held");
}

#[test]
fn a_refused_renewal_or_write_ends_the_belief() {
    for how in 0..2 {
        let (mut owner, mut holder) = (Node::new(1), Node::new(2));
        holder.up(1, 2);
        command(&mut holder, acquire(false));
        talk(&mut holder, &mut owner);
        let lease = holder.pool.held(holder.now)[0].lease;
        // The owner's state was lost, say: it does not know of the lease any more.
        let mut owner = Node::new(1);
        let again = match how {
            0 => Command::Renew { lease, duration: Duration::from_secs(5) },
            _ => Command::Write { resource: lamp(1), value: Value::Bool(true), token: None },
        };
        let call = command(&mut holder, again);
        talk(&mut holder, &mut owner);
        assert!(matches!(outcome(&mut holder, call), Some(Err(PoolError::Refused { .. }))));
        assert!(holder.pool.held(holder.now).is_empty());
        let lost = |out: &Output| matches!(out, Output::Event(Event::LeaseLost { why: Some(Refusal::StaleToken), .. }));
        assert!(holder.out.iter().any(lost));
    }
}

#[test]
fn leases_on_a_forgotten_device_are_dropped() {
    let (mut owner, mut holder) = (Node::new(1), Node::new(2));
    holder.up(1, 2);
    command(&mut holder, acquire(true));
    talk(&mut holder, &mut owner);
    holder.give(Input::Group(group(&[(2, Role::Owner)])));
    assert!(holder.pool.held(holder.now).is_empty());
    let call = command(&mut holder, Command::Read(lamp(1)));
    assert_eq!(outcome(&mut holder, call), Some(Err(PoolError::UnknownDevice(id(1)))));
}

#[test]
fn a_pool_with_nothing_to_do_waits() {
    let mut node = Node::new(1);
    node.wait(Duration::from_secs(60));
    assert_eq!(node.pool.poll_timeout(), None);
    node.up(2, 2);
    node.notices(2);
    assert!(node.pool.poll_timeout().is_some_and(|due| due > node.now), "a digest, later");
}

// --- whatever comes ------------------------------------------------------------------------------------------------

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop_oneof![0x0101..0x0106_u16, 0x0201..0x0209_u16, 0x0301..0x0306_u16, 0x0401..0x0407_u16];
    let payload = proptest::collection::vec(any::<u8>(), 0..150);
    let framed = (tag, 0..3_u16, payload).prop_map(|(tag, version, payload)| {
        let mut writer = tutti_model::section::SectionWriter::new();
        writer.push_raw(tutti_model::section::Tag(tag), version, &payload).unwrap();
        writer.finish()
    });
    prop_oneof![4 => framed, 1 => proptest::collection::vec(any::<u8>(), 0..100)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Any bytes from members and strangers, in any order, are taken without a panic, and every request is answered.
    #[test]
    fn any_bytes_are_taken(inputs in proptest::collection::vec((0..4_u8, 2..6_u8, any_message()), 1..20)) {
        let mut node = Node::new(1);
        node.up(2, 2);
        node.up(3, 1);
        let held = command(&mut node, Command::Acquire {
            resource: lamp(2), mode: LeaseMode::Exclusive, duration: Duration::from_secs(5), renewed: true,
        });
        for (sort, from, bytes) in inputs {
            let from = id(from);
            let bytes = Bytes::from(bytes);
            node.calls += 1;
            let call = CallId(node.calls);
            match sort {
                0 => node.give(Input::Notice { from, bytes }),
                1 => {
                    node.give(Input::Request { call, from, bytes });
                    let begun = node.performing().map(|(id, _)| id);
                    if let Some(id) = begun {
                        node.give(Input::Performed { id, result: Err(Refusal::TimedOut) });
                    }
                    prop_assert!(node.answer(call).is_some());
                }
                2 => node.give(Input::Stream { call, from, header: bytes }),
                _ => {
                    let asked = node.out.iter().find_map(|out| match out {
                        Output::Request { id, .. } => Some(*id),
                        _ => None,
                    });
                    node.give(Input::Response { id: asked.unwrap_or(RequestId(1)), result: Ok(bytes) });
                }
            }
            node.wait(Duration::from_millis(300));
        }
        let _ = outcome(&mut node, held);
    }
}
