//! Both ends against each other, and against whoever means them ill.

mod attacks;
mod happy;
mod rng;
mod simulation;
mod world;

pub(super) use rng::FixedRng;
