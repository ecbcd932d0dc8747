//! What a link is made from.

use tutti_metal::Memory;
use tutti_virtio::{Features, Vring};

use crate::F_NS;

/// A host's part: queues that it will zero, and memory for buffers that it owns.
#[derive(Clone, Debug)]
pub struct HostSetup<M> {
    /// Queue 0, remote to host, and queue 1, host to remote.
    pub vrings: [Vring<M>; 2],
    /// The memory in which the buffers lie.
    pub buffers: M,
    /// Where they start in it: those of queue 0, then those of queue 1, one for each entry.
    pub at: usize,
    /// How long each is, header included.
    pub buffer_size: u32,
    /// What was agreed on.
    pub features: Features,
    /// What to ring for each queue.
    pub notify: [u32; 2],
}

impl<M: Memory> HostSetup<M> {
    /// As everybody has it: buffers of 512 bytes, the name service, notify ids 0 and 1.
    pub fn new(vrings: [Vring<M>; 2], buffers: M, at: usize) -> Self {
        Self { vrings, buffers, at, buffer_size: 512, features: F_NS, notify: [0, 1] }
    }
}

/// A remote's part: the host has described the buffers in the queues.
#[derive(Clone, Debug)]
pub struct RemoteSetup<M> {
    /// Queue 0, remote to host, and queue 1, host to remote.
    pub vrings: [Vring<M>; 2],
    /// The memory in which buffers may lie; an address outside of it is refused.
    pub buffers: M,
    /// What was agreed on.
    pub features: Features,
    /// What to ring for each queue.
    pub notify: [u32; 2],
}

impl<M: Memory> RemoteSetup<M> {
    /// As everybody has it: the name service, notify ids 0 and 1.
    pub fn new(vrings: [Vring<M>; 2], buffers: M) -> Self {
        Self { vrings, buffers, features: F_NS, notify: [0, 1] }
    }
}
