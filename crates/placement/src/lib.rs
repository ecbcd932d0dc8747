//! Which device should run what.
//!
//! A pure function from what there is (devices with their resources, room and load; apps with their wants; where their
//! instances are now) to the moves that are worth making: [`plan`]. It explains itself ([`Planner::why`]) and leaves things where they are
//! unless a move gains more than [`INERTIA`], so that it never shuffles for its own sake: planning again after its moves
//! forces nobody to move. [`Planner`] is the same with a memory, for when one device of many has changed.
//!
//! # What it weighs
//! The cost of an instance on a device, in points; less is better:
//!
//! | what | required | preferred |
//! |---|---|---|
//! | a wanted resource is on that device | 0 | 0 |
//! | … on another device of its site | 200 | 100 |
//! | … only at another site | 1000 | 500 |
//! | … nowhere | it cannot run | 500 |
//! | how full the device would be | 0 to 400, with the square of the share that is used | |
//! | the move itself, away from where it runs | 300 | |
//!
//! How full a device is, is the greater of two shares: of its processors, what its instances may use and what other things on it
//! take besides; of its memory for apps, what its instances may use.
//!
//! It cannot run where its memory or its share of the processor does not fit beside the other instances', nor on a device that is away or
//! that its owner has excluded it from by pinning. What other things take of a processor keeps nothing away: it comes and goes.
//!
//! # How it finds the best of 10,000 devices 50,000 times
//! Instances of one app want the same. For each app the devices are in heaps, one for each sum of resource points (there are few
//! different sums), ordered by load. The best device is the least of the heaps' tops. Loads change with every placement; an
//! entry that is out of date is put right when it comes to the top.
//!
//! It is greedy: one instance after the other, the largest first. It does not look for exchanges of several instances.
#![forbid(unsafe_code)]

use tutti_model::{DeviceId, ResourceKind, Unit};

mod explain;
mod planner;

pub use explain::{Alternative, Explanation, Obstacle, Short, Term};
pub use planner::{Planner, UnknownDevice};

/// What a move must gain, in points, to be made.
pub const INERTIA: u32 = 300;
/// The most that load costs.
pub const FULL_LOAD: u32 = 400;
/// The most wants that one app can have; more are not looked at.
pub const MAX_WANTS: usize = 64;

/// A sort of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sort {
    /// What sort of thing.
    pub kind: ResourceKind,
    /// The unit of its values; in a want, `None` is any.
    pub unit: Option<Unit>,
}

impl Sort {
    /// Whether a resource of this sort is what is wanted.
    pub fn meets(&self, want: &Self) -> bool {
        self.kind == want.kind && (want.unit.is_none() || want.unit == self.unit)
    }
}

/// A device that may run instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Which.
    pub id: DeviceId,
    /// Whether it is there.
    pub online: bool,
    /// Devices with the same number are on the same fast network.
    pub site: u32,
    /// Bytes of memory for apps.
    pub memory: u64,
    /// Thousandths of a processor for apps.
    pub cpu: u32,
    /// Thousandths of a processor that other things than its instances take.
    pub busy: u32,
    /// What it offers.
    pub resources: Vec<Sort>,
}

/// Something that an app would have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Want {
    /// What.
    pub sort: Sort,
    /// Whether it cannot do without.
    pub required: bool,
}

/// An app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Bytes of memory of one instance.
    pub memory: u64,
    /// Thousandths of a processor of one instance.
    pub cpu: u32,
    /// What it would have.
    pub wants: Vec<Want>,
}

/// A running copy of an app, or one that is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Which app, by its place in [`World::apps`].
    pub app: usize,
    /// Where it runs now.
    pub home: Option<DeviceId>,
    /// Where its owner wants it, whatever else there is.
    pub pinned: Option<DeviceId>,
}

/// All that is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// The devices.
    pub devices: Vec<Device>,
    /// The apps.
    pub apps: Vec<App>,
    /// The instances; a plan names them by their places here.
    pub instances: Vec<Instance>,
}

/// One instance should be elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Which, by its place in [`World::instances`].
    pub instance: usize,
    /// Where it is.
    pub from: Option<DeviceId>,
    /// Where it should be.
    pub to: DeviceId,
    /// How many points that gains; `None` if it cannot be where it is.
    pub gain: Option<u32>,
}

/// What should be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub moves: Vec<Move>,
    /// Instances that cannot run anywhere now; [`Planner::why`] says why not.
    pub homeless: Vec<usize>,
}

/// What should be done about this world. The same world gives the same plan.
pub fn plan(world: &World) -> Plan {
    Planner::new(world).plan()
}

#[cfg(test)]
mod tests;
