//! A simulated network in virtual time: latency, loss, repetition, overtaking, bandwidth, partition and crash,
//! all from one seed.
//!
//! It implements [`Transport`](crate::transport::Transport) like the real network and passes the same
//! [`conformance`](crate::transport::conformance) suite, so that every room above is tested with what networks do
//! at their worst, minutes of it within milliseconds. Under tokio's paused clock on one thread
//! (`#[tokio::test(start_paused = true)]`) two runs with one seed give the same [`Trace`]:
//!
//! ```
//! use std::time::Duration;
//! use tutti_fabric::transport::{Protocol, Transport, sim::{Conditions, SimNet}};
//! use tutti_model::DeviceId;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let net = SimNet::new(7);
//! net.set_default(Conditions::wireless());
//! let [here, there] = [1, 2].map(|n| DeviceId::from_bytes([n; 32]));
//! let (a, b) = (net.transport(here, "10.0.0.1:1".parse().unwrap()), net.transport(there, "10.0.0.2:1".parse().unwrap()));
//! let dialled = a.connect(there, b.local_addrs(), Protocol::Pool, Duration::from_secs(10)).await.unwrap();
//! net.isolate(there);
//! // Nobody says goodbye: the end shows by silence.
//! let why = dialled.closed().await;
//! assert_eq!(why.to_string(), "timed out");
//! assert!(net.elapsed() > Duration::from_secs(30));
//! # }
//! ```
//!
//! # What is modelled, and how closely
//!
//! The rules of QUIC as far as anybody above can see them: setting up takes one and a half round trips and its
//! packets are repeated after 1, 2, 4 s; streams are whole and in order, each for itself, so that a lost packet
//! holds up one stream only; bytes are sent within a window that the reader's progress moves; a stream shows at the
//! other side once something of it has arrived; opening waits while 100 are open; a goodbye carries its code and is
//! not repeated for ever; 30 s of silence end a connection, and until then a ping each 5 s keeps it; a side that
//! found the path cut probes it at doubling intervals, so that it may notice the healing late. On a limited path
//! the bytes of urgent streams go first.
//!
//! Not modelled: congestion control (a limited path is filled exactly), acknowledgements as packets of their own,
//! keys (a device is its id: the simulation is about behaviour; the real network proves the key).
//!
//! Time has the resolution of tokio's clock: tasks notice what happens at the next whole millisecond, while on the
//! network itself events keep their nanosecond.

mod conditions;
mod connection;
mod dial;
mod handle;
mod link;
mod stream;
#[cfg(test)]
mod tests;
mod trace;
mod world;

use std::{cell::Cell, net::SocketAddr, sync::Arc, time::Duration};

use tutti_model::DeviceId;

pub use self::{
    conditions::Conditions,
    handle::SimTransport,
    trace::{Packet, Trace, What},
};
use self::{conditions::Cuts, world::Shared};

thread_local! {
    static SIMULATED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a network was simulated on this thread. Then nothing there may depend on what other threads do.
pub(crate) fn on_this_thread() -> bool {
    SIMULATED.get()
}

/// A network. Clones share it; it lives as long as anybody holds it, one of its transports or their connections.
#[derive(Clone)]
pub struct SimNet {
    shared: Arc<Shared>,
    seed: u64,
}

impl SimNet {
    /// A network without devices on which everything that is left to chance follows from `seed`.
    ///
    /// # Panics
    /// Outside a tokio runtime: the network runs as a task of its own.
    pub fn new(seed: u64) -> Self {
        SIMULATED.set(true);
        Self { shared: Shared::new(seed), seed }
    }

    /// Whatever it was made with; tests print it when they fail.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Virtual time since it was made.
    pub fn elapsed(&self) -> Duration {
        self.shared.enter(|world| world.elapsed())
    }

    /// A transport for this device at this address. A device that crashed comes back with the same id, at the same
    /// address or another.
    ///
    /// # Panics
    /// If the address is taken: close that transport, drop it or crash its device first.
    pub fn transport(&self, device: DeviceId, addr: SocketAddr) -> Arc<SimTransport> {
        match self.shared.enter(|world| world.bind(device, addr)) {
            Some(endpoint) => Arc::new(SimTransport::new(self.shared.clone(), endpoint, device)),
            None => panic!("{addr} is taken: close, drop or crash who has it first"),
        }
    }

    /// What every path does that has no conditions of its own.
    pub fn set_default(&self, conditions: Conditions) {
        self.shared.enter(|world| world.usual = conditions);
    }

    /// What the path from one device to another does, in this direction alone.
    pub fn set_link(&self, from: DeviceId, to: DeviceId, conditions: Conditions) {
        self.shared.enter(|world| world.special.insert((from, to), conditions));
    }

    /// What the paths between two devices do, in both directions.
    pub fn set_between(&self, a: DeviceId, b: DeviceId, conditions: Conditions) {
        self.set_link(a, b, conditions.clone());
        self.set_link(b, a, conditions);
    }

    /// Cuts the network into islands that cannot reach each other. Devices that are named in none form one more.
    /// Replaces the partition before it, if there is one.
    pub fn partition(&self, islands: &[&[DeviceId]]) {
        self.recut(|cuts| cuts.partition(islands));
    }

    /// Cuts one device off from all others, besides whatever partition there is.
    pub fn isolate(&self, device: DeviceId) {
        self.recut(|cuts| cuts.isolate(device));
    }

    /// Ends [`SimNet::isolate`] for one device.
    pub fn rejoin(&self, device: DeviceId) {
        self.recut(|cuts| cuts.rejoin(device));
    }

    /// Everybody can reach everybody again.
    pub fn heal(&self) {
        self.recut(|cuts| cuts.heal());
    }

    fn recut(&self, change: impl FnOnce(&mut Cuts)) {
        self.shared.enter(|world| {
            change(&mut world.cuts);
            world.trace(None, None, What::CutsChanged);
        });
    }

    /// This device falls over: its transports and connections end at once, and nobody is told. Others notice by its
    /// silence.
    pub fn crash(&self, device: DeviceId) {
        self.shared.enter(|world| world.crash(device));
    }

    /// Has every event told to `tracer`, which must not call back into the network. Events also go to `tracing` at
    /// level trace, target `tutti::sim`.
    pub fn on_event(&self, tracer: impl FnMut(&Trace) + Send + 'static) {
        self.shared.enter(|world| world.set_tracer(Box::new(tracer)));
    }
}
