//! What others, and this device itself, ask of the local resources. Every single request is checked here: whether
//! the asker is a member, whether the resource's policy lets its role do that, and whether its lease is in force.

use tutti_model::{
    DeviceId, Operation, ResourceDescription, ResourceId, ResourceKind, Role, Sharing,
    message::{LeaseEnded, LeaseId, Refusal, Reply, Request, StreamHeader, Token},
};

use super::{Pool, ReplyTo, needs_lease, ops::Op};
use crate::io::{Output, PerformId, Performed, Work};

/// What somebody wants to do, as far as the checks are concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) operation: Operation,
    pub(super) token: Option<Token>,
}

impl Wish {
    pub(super) const READ: Self = Self { operation: Operation::Read, token: None };
    pub(super) const LEASE: Self = Self { operation: Operation::Control, token: None };

    fn control(token: Option<Token>) -> Self {
        Self { operation: Operation::Control, token }
    }
}

impl Pool {
    /// Answers a request, at once or later.
    pub(super) fn serve(&mut self, from: DeviceId, reply: ReplyTo, request: Request) {
        let resource = request.resource();
        let served = match request {
            Request::Read(read) => self.perform(from, read.resource, Wish::READ, Work::Read, reply),
            Request::Write(write) => {
                let wish = Wish::control(write.token);
                self.perform(from, write.resource, wish, Work::Write(write.value), reply)
            }
            Request::LeaseRequest(ask) => self.on_lease_request(from, &ask, reply),
            Request::LeaseRenew(renew) => self.on_lease_renew(from, &renew, reply),
            Request::LeaseRelease(release) => self.on_lease_release(from, &release, reply),
            Request::LeaseReserve(reserve) => self.on_lease_reserve(from, &reserve, reply),
            Request::LeaseTake(take) if resource.is_some() => self.on_lease_take(from, &take, reply),
            Request::LeaseTake(_) => Err(Refusal::BadHandOver),
        };
        if let Err(why) = served {
            self.reply(reply, Reply::Refused(why));
        }
    }

    /// Accepts or refuses a stream.
    pub(super) fn serve_stream(&mut self, from: DeviceId, reply: ReplyTo, header: StreamHeader) {
        let resource = header.resource();
        let (wish, work) = match header {
            StreamHeader::Follow(follow) => (Wish::READ, Work::Follow { min_interval: follow.min_interval }),
            StreamHeader::List(list) => (Wish::READ, Work::List { prefix: list.prefix }),
            StreamHeader::Get(get) => (Wish::READ, Work::Get(get.path)),
            StreamHeader::Put(put) => (Wish::control(put.token), Work::Put { path: put.path, size: put.size }),
            StreamHeader::Delete(delete) => (Wish::control(delete.token), Work::Delete(delete.path)),
        };
        if let Err(why) = self.perform(from, resource, wish, work, reply) {
            self.reply(reply, Reply::Refused(why));
        }
    }

    fn perform(
        &mut self,
        from: DeviceId,
        resource: ResourceId,
        wish: Wish,
        work: Work,
        reply: ReplyTo,
    ) -> Result<(), Refusal> {
        let (offered, role) = self.admit(from, resource, wish.operation)?;
        fits(offered, &work)?;
        self.check_lease(from, resource, offered, wish)?;
        let op = Op { from, resource, operation: wish.operation, token: wish.token, reply, cut: None };
        let id = self.ops.begin(op).ok_or(Refusal::Busy)?;
        let stream = match reply {
            ReplyTo::Stream(call) | ReplyTo::LocalStream(call, _) => Some(call),
            ReplyTo::Call(_) | ReplyTo::Internal(_) => None,
        };
        self.out.push_back(Output::Perform { id, resource, work, from, role, token: wish.token, stream });
        Ok(())
    }

    /// Whether a device may do that with a resource, by who it is. This device may do everything with its own.
    pub(super) fn admit(
        &self,
        from: DeviceId,
        resource: ResourceId,
        operation: Operation,
    ) -> Result<(&ResourceDescription, Role), Refusal> {
        let role = if from == self.me { Some(Role::Owner) } else { self.group.role(from) };
        let offered = self.own.offered(&resource);
        let not_allowed = |needs| Refusal::NotAllowed { operation, role: role.unwrap_or(Role::Guest), needs };
        // Whoever is not in the group is not even told what is there.
        let role = role.ok_or(not_allowed(tutti_model::Audience::Guests))?;
        let offered = offered.ok_or(Refusal::NoSuchResource)?;
        if from != self.me && !offered.access.allows(role, operation) {
            let needs = match operation {
                Operation::Read => offered.access.read,
                Operation::Control => offered.access.control,
            };
            return Err(not_allowed(needs));
        }
        Ok((offered, role))
    }

    /// Whether the lease that this happens under is in force. Resources for one holder need one; for others it is
    /// checked if it is named.
    fn check_lease(
        &self,
        from: DeviceId,
        resource: ResourceId,
        offered: &ResourceDescription,
        wish: Wish,
    ) -> Result<(), Refusal> {
        match wish.token {
            Some(token) => self.granted.check(from, &(resource, token)),
            None if needs_lease(wish.operation) && offered.sharing == Sharing::Exclusive => Err(Refusal::LeaseNeeded),
            None => Ok(()),
        }
    }

    pub(super) fn on_performed(&mut self, id: PerformId, result: Result<Performed, Refusal>) {
        let Some(op) = self.ops.end(id) else { return };
        if matches!(op.reply, ReplyTo::Call(_) | ReplyTo::Internal(_)) {
            let reply = match result {
                Ok(Performed::Done) => Reply::Done(()),
                // Whoever may not read any more does not get what was read while it might.
                Ok(Performed::Reading(reading)) => op.cut.map_or(Reply::Reading(reading), Reply::Refused),
                Err(why) => Reply::Refused(op.cut.unwrap_or(why)),
            };
            self.reply(op.reply, reply);
        }
        self.finish_grants(Some(op.resource));
    }

    /// Who may do what has changed: stops what is not allowed any more, and tells holders whose leases are void.
    pub(super) fn revalidate(&mut self) {
        let mut ops = std::mem::take(&mut self.ops);
        for (id, op) in ops.iter_mut().filter(|(_, op)| op.cut.is_none()) {
            if let Err(why) = self.still_allowed(op) {
                op.cut = Some(why);
                self.out.push_back(Output::Cut { id, why });
            }
        }
        self.ops = ops;
        self.tell_void_leases();
    }

    fn still_allowed(&self, op: &Op) -> Result<(), Refusal> {
        let (offered, _) = self.admit(op.from, op.resource, op.operation)?;
        self.check_lease(op.from, op.resource, offered, Wish { operation: op.operation, token: op.token })
    }

    /// Leases whose holders may not control the resource any more, or whose resource is gone, are of no use. They
    /// keep others out until their time is over all the same, for a holder that cannot be told may go on believing.
    fn tell_void_leases(&mut self) {
        let void: Vec<((ResourceId, Token), DeviceId, Refusal)> = self
            .granted
            .live()
            .filter(|(key, _)| !self.told_ended.contains(key))
            .filter_map(|(key, granted)| {
                let why = self.admit(granted.holder, key.0, Operation::Control).err()?;
                Some((*key, granted.holder, why))
            })
            .collect();
        for (key, holder, why) in void {
            let lease = LeaseId { resource: key.0, token: key.1 };
            if holder == self.me {
                self.lose(lease, Some(why));
            } else if let Some(peer) = self.peers.get_mut(&holder) {
                peer.lease_ended(LeaseEnded { lease, why });
                self.told_ended.insert(key);
            }
        }
        let granted = &self.granted;
        self.told_ended.retain(|key| granted.get(key).is_some());
    }
}

/// Whether the resource has such an operation.
fn fits(offered: &ResourceDescription, work: &Work) -> Result<(), Refusal> {
    let readable = if offered.readable { Ok(()) } else { Err(Refusal::NotReadable) };
    let writable = if offered.writable { Ok(()) } else { Err(Refusal::NotWritable) };
    let is_storage = offered.kind == ResourceKind::Storage;
    match work {
        Work::Read | Work::Follow { .. } => readable,
        Work::Write(_) => writable,
        _ if !is_storage => Err(Refusal::Unsupported),
        Work::List { .. } | Work::Get(_) => readable,
        Work::Put { .. } | Work::Delete(_) => writable,
    }
}
