//! The pool's state machine: no clock, no network, no disk; inputs in, outputs out.
//!
//! | file | what it does |
//! |---|---|
//! | `own` | this device's record: numbered, signed, durable before it is shown |
//! | `peers`, `sync` | what each member is told: records, digests, leases |
//! | `serve`, `ops` | others' (and this device's own) requests to local resources: policy, tokens, operations under way |
//! | `grants` | leases on local resources: durable before they are granted |
//! | `commands`, `holding` | what this device wants of others' resources, and the leases it holds |
//! | `durable` | one value that is saved again and again |

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use tutti_model::{
    BootTime, DeviceId, Operation, ResourceDescription, WallTime,
    message::{LeaseId, Notice, Refusal, Reply, Request, StreamFrame, StreamHeader},
};

use crate::{
    catalogue::{Catalogue, Records},
    error::{PoolError, RestoreError},
    group::Group,
    io::{CallId, Event, HeldLease, Identity, Input, KnownLease, Output, RequestId, Ticket},
    lease::{
        holder::Holds,
        owner::{BootId, OwnerLeases},
    },
    limits::SAVE_PACE,
};

mod commands;
mod durable;
mod grants;
mod holding;
mod ops;
mod own;
mod peers;
mod serve;
mod sync;

use durable::Durable;

/// The keys under which the pool's state is kept.
pub const KEYS: [&str; 3] = [own::KEY, grants::KEY, sync::KEY];

/// What the machine is made from.
pub struct Setup {
    /// This device's key, which is its identity.
    pub signing_key: SigningKey,
    /// What this device is.
    pub identity: Identity,
    /// What it offers at the start.
    pub resources: Vec<ResourceDescription>,
    /// Which boot of the machine this is.
    pub boot: BootId,
    /// A random number, drawn anew for each start.
    pub run: u64,
    /// What was last made durable under each of [`KEYS`].
    pub saved: BTreeMap<&'static str, Vec<u8>>,
}

/// Who waits for the answer to something that this device does with its resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplyTo {
    /// A request of another member.
    Call(CallId),
    /// A stream of another member.
    Stream(CallId),
    /// A request of this device to itself.
    Internal(RequestId),
    /// A stream of this device to itself.
    LocalStream(CallId, tutti_model::ResourceId),
}

/// The pool of one device. See the crate's documentation.
pub struct Pool {
    me: DeviceId,
    boot: BootId,
    now: BootTime,
    wall: WallTime,
    group: Group,
    own: own::Own,
    own_slot: Durable<()>,
    records: Records,
    records_slot: Durable<()>,
    peers: peers::Peers,
    digests: sync::Digests,
    granted: OwnerLeases,
    granted_slot: Durable<grants::Waiter>,
    granting: BTreeMap<crate::lease::owner::Key, grants::Granting>,
    told_ended: std::collections::BTreeSet<crate::lease::owner::Key>,
    ops: ops::Ops,
    holds: Holds,
    run: u64,
    nonces: u64,
    requests: BTreeMap<RequestId, holding::Pending>,
    /// What others said they granted, until when.
    known: BTreeMap<DeviceId, Vec<KnownLease>>,
    last_id: u64,
    out: VecDeque<Output>,
    internal: VecDeque<(RequestId, Reply)>,
    catalogue_changed: bool,
    leases_changed: bool,
}

impl Pool {
    /// The machine as it goes on from its saved state.
    ///
    /// # Errors
    /// If the own record or the granted leases are there and cannot be read: to go on without them could grant
    /// what is granted already. The saved catalogue is only a memory of what others said; if it is unreadable it is
    /// learned anew.
    pub fn new(now: BootTime, wall: WallTime, setup: Setup, group: Group) -> Result<Self, RestoreError> {
        let me = DeviceId::from_bytes(setup.signing_key.verifying_key().to_bytes());
        let saved = |key: &str| setup.saved.get(key).map(Vec::as_slice);
        let granted = match saved(grants::KEY) {
            Some(bytes) => OwnerLeases::restore(bytes, me, setup.boot, now)
                .map_err(|why| RestoreError::Unreadable { key: grants::KEY, why })?,
            None => OwnerLeases::default(),
        };
        let own = own::Own::restore(me, setup.signing_key, setup.identity, setup.resources, saved(own::KEY))?;
        let mut pool = Self {
            me,
            boot: setup.boot,
            now,
            wall,
            group: with_me(group, me, own.name()),
            own,
            own_slot: Durable::new(own::KEY),
            records: Records::new(me),
            records_slot: Durable::new(sync::KEY),
            peers: BTreeMap::new(),
            digests: sync::Digests::default(),
            granted,
            granted_slot: Durable::new(grants::KEY),
            granting: BTreeMap::new(),
            told_ended: std::collections::BTreeSet::new(),
            ops: ops::Ops::default(),
            holds: Holds::default(),
            run: setup.run,
            nonces: 0,
            requests: BTreeMap::new(),
            known: BTreeMap::new(),
            last_id: 0,
            out: VecDeque::new(),
            internal: VecDeque::new(),
            catalogue_changed: true,
            leases_changed: true,
        };
        if let Some(current) = pool.own.current().cloned() {
            pool.records.set_own(current, Vec::new(), wall);
        }
        pool.restore_records(saved(sync::KEY));
        // Leases of another boot are counted from this one from now on: that, too, must survive.
        pool.granted_slot.changed(now);
        pool.advance();
        Ok(pool)
    }

    /// Takes an input at this time. `now` never runs backwards; if it seems to, it is taken to stand still.
    pub fn handle(&mut self, now: BootTime, wall: WallTime, input: Input) {
        self.now = self.now.max(now);
        self.wall = wall;
        // What is over is over before anything is decided.
        self.expire();
        match input {
            Input::Group(group) => self.on_group(group),
            Input::PeerUp { device, version, generation } => self.on_peer_up(device, version, generation),
            Input::PeerDown { device } => self.on_peer_down(device),
            Input::Notice { from, bytes } => self.on_notice(from, &bytes),
            Input::NoticeDone { to, generation, sent } => self.on_notice_done(to, generation, sent),
            Input::Request { call, from, bytes } => match Request::parse(&bytes) {
                Ok(request) => self.serve(from, ReplyTo::Call(call), request),
                Err(error) => self.reply(ReplyTo::Call(call), Reply::Refused(unreadable(error))),
            },
            Input::Stream { call, from, header } => match StreamHeader::parse(&header) {
                Ok(header) => self.serve_stream(from, ReplyTo::Stream(call), header),
                Err(error) => self.reply(ReplyTo::Stream(call), Reply::Refused(unreadable(error))),
            },
            Input::Response { id, result } => {
                let parsed = result.map(|bytes| Reply::parse(&bytes));
                self.on_response(id, parsed);
            }
            Input::Command { call, command } => self.on_command(call, command),
            Input::Performed { id, result } => self.on_performed(id, result),
            Input::Persisted { ticket } => self.on_persisted(ticket),
            Input::PersistFailed { ticket, why } => self.on_persist_failed(ticket, why),
            Input::Resources(resources) => match self.own.set_resources(resources) {
                Ok(true) => self.revalidate(),
                Ok(false) => {}
                Err(error) => self.event(Event::OwnRecordRefused(error)),
            },
            Input::Satellites(satellites) => {
                let (changed, refused) = self.own.set_satellites(satellites);
                refused.into_iter().for_each(|error| self.event(Event::OwnRecordRefused(error)));
                if changed {
                    self.revalidate();
                }
            }
            Input::Rename(name) => self.own.rename(name),
            Input::Tick => {}
        }
        self.advance();
    }

    /// The next thing to do, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`handle`](Self::handle) with [`Input::Tick`] at the latest.
    pub fn poll_timeout(&self) -> Option<BootTime> {
        let reachable = |device| self.is_reachable(device);
        let members = self.peers.iter().filter(|(device, _)| self.group.contains(**device));
        let peers = members.filter_map(|(_, peer)| peer.next(self.now)).min();
        let granting = self.granting.values().map(|granting| granting.deadline).min();
        let known = self.known.values().flatten().map(|lease| lease.until).min();
        [
            self.own.due().filter(|_| self.own_slot.due(std::time::Duration::ZERO).is_none()),
            self.own_slot.due(std::time::Duration::ZERO),
            self.granted_slot.due(std::time::Duration::ZERO),
            self.records_slot.due(SAVE_PACE),
            self.granted.next_expiry(),
            self.holds.next(reachable),
            (!self.peers.is_empty()).then_some(self.digests.next),
            peers,
            granting,
            known,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// This device.
    pub fn me(&self) -> DeviceId {
        self.me
    }

    /// All devices and what they offer, now.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        let online = |device| self.peers.contains_key(&device);
        Arc::new(Catalogue::new(self.me, &self.group, &self.records, online))
    }

    /// The leases that this device may act on now.
    pub fn held(&self, now: BootTime) -> Vec<HeldLease> {
        self.holds.held(now).collect()
    }

    /// The leases that this device has granted, and those that others said they have.
    pub fn known_leases(&self) -> Vec<KnownLease> {
        let own = self.granted.live().map(|(&(resource, token), granted)| KnownLease {
            lease: LeaseId { resource, token },
            mode: granted.mode,
            holder: granted.holder,
            until: granted.until,
        });
        own.chain(self.known.values().flatten().copied()).collect()
    }

    // --- time ------------------------------------------------------------------------------------------------

    fn expire(&mut self) {
        if self.granted.expire(self.now) {
            self.grants_changed();
            self.revalidate();
        }
        self.expire_holds();
        let now = self.now;
        for leases in self.known.values_mut() {
            let before = leases.len();
            leases.retain(|lease| lease.until > now);
            self.leases_changed |= leases.len() != before;
        }
        self.known.retain(|_, leases| !leases.is_empty());
    }

    /// Does whatever is due, until nothing is.
    fn advance(&mut self) {
        self.settle_internal();
        self.expire_grants();
        self.renew_holds();
        self.settle_internal();
        self.save();
        self.sync();
        if std::mem::take(&mut self.catalogue_changed) {
            self.event(Event::CatalogueChanged);
        }
        if std::mem::take(&mut self.leases_changed) {
            self.event(Event::LeasesChanged);
        }
    }

    /// Answers of this device to itself.
    fn settle_internal(&mut self) {
        while let Some((id, reply)) = self.internal.pop_front() {
            self.on_response(id, Ok(Ok(reply)));
        }
    }

    // --- what is durable -------------------------------------------------------------------------------------

    fn save(&mut self) {
        if self.own_slot.due(std::time::Duration::ZERO).is_none() {
            match self.own.make(self.now) {
                Ok(None) => {}
                Ok(Some(bytes)) => {
                    self.own_slot.changed(self.now);
                    let ticket = self.next_id();
                    if self.own_slot.begin(self.now, std::time::Duration::ZERO, || Ticket(ticket)).is_some() {
                        let (ticket, key) = (Ticket(ticket), self.own_slot.key);
                        self.out.push_back(Output::Persist { ticket, key, bytes });
                    }
                }
                Err(error) => self.event(Event::OwnRecordRefused(error)),
            }
        }
        let ticket = Ticket(self.next_id());
        if self.granted_slot.begin(self.now, std::time::Duration::ZERO, || ticket).is_some() {
            match self.granted.save(self.me, self.boot) {
                Ok(bytes) => self.out.push_back(Output::Persist { ticket, key: self.granted_slot.key, bytes }),
                Err(error) => self.on_persist_failed(ticket, error.to_string()),
            }
        }
        let ticket = Ticket(self.next_id());
        if self.records_slot.begin(self.now, SAVE_PACE, || ticket).is_some() {
            let bytes = self.save_records();
            self.out.push_back(Output::Persist { ticket, key: self.records_slot.key, bytes });
        }
    }

    fn on_persisted(&mut self, ticket: Ticket) {
        if self.own_slot.saved(ticket).is_some() {
            self.own_record_saved();
        } else if let Some(waiters) = self.granted_slot.saved(ticket) {
            self.grants_saved(waiters);
        } else {
            self.records_slot.saved(ticket);
        }
    }

    fn on_persist_failed(&mut self, ticket: Ticket, why: String) {
        let key = if self.own_slot.saved(ticket).is_some() {
            self.own.failed(self.now + crate::limits::RETRY);
            self.own_slot.key
        } else if let Some(waiters) = self.granted_slot.failed(self.now, ticket) {
            self.grants_not_saved(waiters, &why);
            self.granted_slot.key
        } else if self.records_slot.failed(self.now, ticket).is_some() {
            self.records_slot.key
        } else {
            return;
        };
        self.event(Event::StoreFailed { key, why });
    }

    // --- small things ----------------------------------------------------------------------------------------

    fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Who answers for a device: a member for itself, a host for its satellites. Nobody for a stranger.
    fn host_of(&self, device: DeviceId) -> Option<DeviceId> {
        if self.own.is_or_hosts(device) {
            return Some(self.me);
        }
        if self.group.contains(device) { Some(device) } else { self.records.host_of(device) }
    }

    fn is_reachable(&self, device: DeviceId) -> bool {
        self.host_of(device).is_some_and(|host| host == self.me || self.peers.contains_key(&host))
    }

    /// Answers a request or refuses a stream.
    fn reply(&mut self, to: ReplyTo, reply: Reply) {
        match to {
            ReplyTo::Internal(id) => self.internal.push_back((id, reply)),
            ReplyTo::Call(call) => {
                let bytes = reply.emit().or_else(|_| {
                    let max = tutti_model::message::MAX_MESSAGE_LEN as u64;
                    Reply::Refused(Refusal::TooLarge { max }).emit()
                });
                let bytes = Bytes::from(bytes.unwrap_or_default());
                self.out.push_back(Output::Reply { call, bytes });
            }
            ReplyTo::Stream(call) => {
                let Reply::Refused(why) = reply else { return };
                let bytes = Bytes::from(StreamFrame::Refused(why).emit().unwrap_or_default());
                self.out.push_back(Output::Reply { call, bytes });
            }
            ReplyTo::LocalStream(call, resource) => {
                let Reply::Refused(why) = reply else { return };
                let result = Err(PoolError::Refused { subject: self.subject(resource), why });
                self.out.push_back(Output::Done { call, result });
            }
        }
    }

    fn notify(&mut self, to: DeviceId, notice: &Notice) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        // What this device makes always fits; were it not so, the periodic digests make up for what is left out.
        let Ok(bytes) = notice.emit() else { return };
        peer.sending();
        self.out.push_back(Output::Notify { to, generation: peer.generation, bytes: bytes.into() });
    }
}

/// The group with this device in it: alone in none, a device is still in its own pool.
fn with_me(mut group: Group, me: DeviceId, name: tutti_model::Name) -> Group {
    group.members.entry(me).or_insert(crate::group::Member { role: tutti_model::Role::Guest, name });
    group
}

/// What to say about a request that could not be read.
fn unreadable(error: tutti_model::message::MessageError) -> Refusal {
    match error {
        tutti_model::message::MessageError::Unknown => Refusal::Unsupported,
        _ => Refusal::Malformed,
    }
}

/// Whether this is a lease's business or a look.
fn needs_lease(operation: Operation) -> bool {
    operation == Operation::Control
}

#[cfg(test)]
mod tests;
