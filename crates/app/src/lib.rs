//! Apps: written once as WebAssembly components, run where they fit, moved while they run.
//!
//! | module | what it is |
//! |---|---|
//! | [`package`] | an app as one signed file; what an owner grants it |
//! | [`runtime`] | runs it (feature `runtime`, which brings wasmtime) |
//! | [`carry`] | whether it can be moved, and how a core module is made so (feature `build`) |
//! | [`snapshot`] | its state between two events, and what differs between two states |
//! | [`home`] | an instance at its home: events in, durable, then acknowledged |
//! | [`effects`] | what it does to the world, exactly once |
//! | [`kept`], [`step`] | what is kept beside its state; both as steps, in a file and on their way |
//! | [`wire`] | what devices say to each other about apps |
//! | [`handover`] | how it moves: never two homes, and one as soon as there can be |
//! | [`standby`] | how it goes on when its home is lost: checkpoints, run-leases, fail-over |
//!
//! What an app sees stands in `wit/app.wit`. An app has no line of code for being moved.
//!
//! [`home`], [`handover`] and [`standby`] are sans-I/O; what drives them has the disk, the network, the pool's leases and the clock, and gives
//! the app its [`Resources`](runtime::host::Resources). A driver for a node is not written yet: what has to be done for each output stands at
//! [`handover::Output`], [`standby::Output`] and [`home::Output`], and the simulation in `tests/sim_moves` is a driver over invented disks and links.
//!
//! # What is not there
//! The driver; `tutti app`. An app of several modules with state of their own
//! (Python's, say) runs but cannot be moved, which is told when it is loaded.
#![forbid(unsafe_code)]

pub mod carry;
pub mod effects;
pub mod handover;
pub mod home;
pub mod ids;
pub mod kept;
pub mod package;
#[cfg(feature = "runtime")]
pub mod runtime;
pub mod snapshot;
pub mod standby;
pub mod step;
pub mod wire;

/// 128 bits stand for a state: with 10^7 of them, two share one with a chance of 10^-25.
#[cfg(test)]
fn fingerprint(world: &impl std::hash::Hash) -> u128 {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher};
    let build = BuildHasherDefault::<DefaultHasher>::default();
    let half = |salt: u64| {
        let mut hasher = build.build_hasher();
        salt.hash(&mut hasher);
        world.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}
