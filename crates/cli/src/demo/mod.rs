//! The demo: three devices on this machine, as three processes with their own keys, state and ports, that go through
//! what the pool promises.
//!
//! * [`stage`] starts, kills and stops them, and makes sure that nothing is left behind, even if this process is
//!   killed: each device ends when its standard input is closed, and its other end is here.
//! * [`scenario`] is what they do, each step with a bound on its time; [`kills`] kills them at random moments.
//! * [`app`] is the app that one of them runs, and another goes on with.
//! * [`core`] is the firmware of the coprocessor that one of them has.
//! * [`report`] tells how it went; [`live`] shows it happening.
//!
//! The devices keep to this machine: they find each other by their own runtime folder and do not announce themselves on
//! the network, so that a demo neither sees nor disturbs the devices that are really there.

mod app;
pub(crate) mod core;
pub(crate) mod kills;
pub(crate) mod live;
pub(crate) mod report;
pub(crate) mod scenario;
pub(crate) mod stage;
