//! What runs a remote core: the trait that each kind of chip implements, and the driver that keeps a life on one.

use tutti_metal::Instant;

use crate::life::{Abilities, Action, Command, Config, Failure, Generation, Life, Refused, Report, Sign, State};

/// How to do to one core what its [`Life`] says.
///
/// The contract: [`perform`](Self::perform) returns within a second or so, whatever the core does, and after an error it
/// may be called again. After [`Action::Halt`] the core writes to no memory any more.
/// [`observe`](Self::observe) does not wait.
/// [`testing::conformance`](crate::testing) is the suite that shows it (feature `test-utils`).
pub trait Platform {
    /// Why something could not be done, in words for people.
    type Fault: core::fmt::Display;

    /// What can be done at all.
    fn abilities(&self) -> Abilities;

    /// Whether the core runs already, and in which generation.
    ///
    /// # Errors
    /// If that cannot be told.
    fn find(&mut self) -> Result<Option<Generation>, Self::Fault>;

    /// Does it. An attach says in which generation the core is.
    ///
    /// # Errors
    /// If it was not done.
    fn perform(&mut self, action: Action) -> Result<Option<Generation>, Self::Fault>;

    /// What was noticed since the last time, one after the other.
    fn observe(&mut self) -> Option<(Generation, Sign)>;
}

/// A core and its life.
#[derive(Debug)]
pub struct RemoteCore<P: Platform> {
    life: Life,
    platform: P,
    fault: Option<P::Fault>,
}

impl<P: Platform> RemoteCore<P> {
    /// Looks whether the core runs already.
    ///
    /// # Errors
    /// If that cannot be told.
    pub fn new(mut platform: P, config: Config) -> Result<Self, P::Fault> {
        let abilities = platform.abilities();
        let life = match platform.find()? {
            Some(generation) => Life::found_running(config, abilities, generation),
            None => Life::new(config, abilities),
        };
        Ok(Self { life, platform, fault: None })
    }

    /// Takes a command and sets out on it.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn command(&mut self, now: Instant, command: Command) -> Result<(), Refused> {
        self.life.command(now, command)?;
        self.fault = None;
        self.step(now);
        Ok(())
    }

    /// Does what is due, and says when to come again at the latest. To be called when the core's doorbell rings, too.
    pub fn step(&mut self, now: Instant) -> Option<Instant> {
        // Each turn does one action or takes one sign; a platform that never stops giving signs is left after so many.
        for _ in 0..64 {
            self.life.tick(now);
            if let Some((ticket, action)) = self.life.poll_action() {
                let outcome = self.platform.perform(action).map_err(|fault| {
                    self.fault = Some(fault);
                    Failure::Platform
                });
                self.life.outcome(now, ticket, outcome);
            } else if let Some((generation, sign)) = self.platform.observe() {
                self.life.observe(now, generation, sign);
            } else {
                break;
            }
        }
        self.life.poll_timeout()
    }

    /// What there is to be said, oldest first.
    pub fn poll_report(&mut self) -> Option<Report> {
        self.life.poll_report()
    }

    /// What the platform is.
    pub fn platform_mut(&mut self) -> &mut P {
        &mut self.platform
    }

    /// The same, to look at.
    pub fn platform(&self) -> &P {
        &self.platform
    }

    /// Why the last command, or the recovery, failed, if the platform said so.
    pub fn fault(&self) -> Option<&P::Fault> {
        self.fault.as_ref()
    }

    /// The state now.
    pub fn state(&self) -> State {
        self.life.state()
    }

    /// In which life the core is.
    pub fn generation(&self) -> Generation {
        self.life.generation()
    }
}
