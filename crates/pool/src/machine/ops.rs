//! The operations under way on this device's resources: whose they are and under which lease, so that they can be
//! stopped, and so that a new lease waits until those of an earlier one have stopped.

use std::collections::BTreeMap;

use tutti_model::{
    DeviceId, Operation, ResourceId,
    message::{LeaseMode, Refusal, Token},
};

use super::ReplyTo;
use crate::{
    io::PerformId,
    limits::{MAX_OPS, MAX_OPS_PER_DEVICE},
};

#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    pub(super) from: DeviceId,
    pub(super) resource: ResourceId,
    pub(super) operation: Operation,
    pub(super) token: Option<Token>,
    pub(super) reply: ReplyTo,
    /// It was told to stop, for this reason, and has not yet.
    pub(super) cut: Option<Refusal>,
}

#[derive(Debug, Default)]
pub(super) struct Ops {
    ops: BTreeMap<PerformId, Op>,
    last: u64,
}

impl Ops {
    /// Notes one, unless too much is under way.
    pub(super) fn begin(&mut self, op: Op) -> Option<PerformId> {
        let theirs = self.ops.values().filter(|other| other.from == op.from).count();
        if self.ops.len() >= MAX_OPS || theirs >= MAX_OPS_PER_DEVICE {
            return None;
        }
        self.last += 1;
        self.ops.insert(PerformId(self.last), op);
        Some(PerformId(self.last))
    }

    pub(super) fn end(&mut self, id: PerformId) -> Option<Op> {
        self.ops.remove(&id)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PerformId, &mut Op)> {
        self.ops.iter_mut().map(|(id, op)| (*id, op))
    }

    /// Whether something that a new lease would fence off is still going on.
    pub(super) fn in_the_way(&self, resource: ResourceId, token: Token, mode: LeaseMode) -> bool {
        mode == LeaseMode::Exclusive
            && self
                .ops
                .values()
                .any(|op| op.resource == resource && op.operation == Operation::Control && op.token != Some(token))
    }
}
