//! The machine itself.

use tutti_metal::Instant;

use super::plan::{Plan, plan};
use super::{
    Abilities, Action, Cause, Command, Config, Failure, Generation, Recovery, Refused, Report, Sign, Stage, State,
};

/// The most reports that wait to be fetched; beyond that the oldest are dropped.
const REPORTS: usize = 16;

/// An action under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Step {
    action: Action,
    ticket: u32,
    deadline: Instant,
    /// Whether [`Life::poll_action`] has given it out.
    given: bool,
}

/// The life of one remote core. See the [module](super).
#[derive(Clone, Debug)]
pub struct Life {
    config: Config,
    abilities: Abilities,
    state: State,
    generation: Generation,
    /// What a sleeping core goes back to.
    awake: State,
    step: Option<Step>,
    plan: Plan,
    command: Option<Command>,
    tickets: u32,
    /// Asked to stop, and given until then.
    grace: Option<Instant>,
    ended: bool,
    /// Seen while an action was under way, to be dealt with after it.
    crash: Option<Cause>,
    alive: Instant,
    since: Instant,
    attempts: u32,
    restart: Option<Instant>,
    reports: [Option<Report>; REPORTS],
    lost_reports: u32,
}

impl Life {
    /// A core that does not run.
    #[must_use]
    pub fn new(config: Config, abilities: Abilities) -> Self {
        Self {
            config,
            abilities,
            state: State::Offline(Stage::Bare),
            generation: Generation(0),
            awake: State::Running,
            step: None,
            plan: Plan::default(),
            command: None,
            tickets: 0,
            grace: None,
            ended: false,
            crash: None,
            alive: Instant(0),
            since: Instant(0),
            attempts: 0,
            restart: None,
            reports: [None; REPORTS],
            lost_reports: 0,
        }
    }

    /// A core that was found running: another program, the boot loader or this one's former life started it.
    #[must_use]
    pub fn found_running(config: Config, abilities: Abilities, generation: Generation) -> Self {
        Self { state: State::Detached, generation, ..Self::new(config, abilities) }
    }

    /// Takes a command, which [`poll_action`](Self::poll_action) then carries out step by step.
    ///
    /// # Errors
    /// See [`Refused`]; nothing has changed then.
    pub fn command(&mut self, now: Instant, command: Command) -> Result<(), Refused> {
        if let Some(step) = self.step {
            return Err(Refused::Busy(step.action));
        }
        if self.grace.is_some() {
            return Err(Refused::Busy(Action::Ask));
        }
        let ask = self.config.grace.is_some();
        self.plan = plan(self.state, command, self.abilities, self.generation.next(), ask)?;
        self.command = Some(command);
        self.restart = None;
        self.attempts = 0;
        self.advance(now);
        Ok(())
    }

    /// What to do next, once; [`outcome`](Self::outcome) wants its ticket.
    pub fn poll_action(&mut self) -> Option<(u32, Action)> {
        let step = self.step.as_mut().filter(|step| !step.given)?;
        step.given = true;
        Some((step.ticket, step.action))
    }

    /// An action was done (an attach says in which generation the core is), or failed. What has a stale ticket is ignored.
    pub fn outcome(&mut self, now: Instant, ticket: u32, outcome: Result<Option<Generation>, Failure>) {
        let Some(step) = self.step.filter(|step| step.ticket == ticket && step.given) else { return };
        self.step = None;
        match outcome {
            Ok(generation) => self.done(now, step.action, generation),
            Err(failure) => self.failed(now, step.action, failure),
        }
    }

    /// Something was noticed of a core in its `generation`.
    pub fn observe(&mut self, now: Instant, generation: Generation, sign: Sign) {
        if generation != self.generation {
            return;
        }
        match sign {
            Sign::Heartbeat => self.alive = now,
            Sign::Crashed(cause) => self.lost(now, cause),
            Sign::Restarted(cause) => self.restarted(now, cause),
            Sign::Ended if self.grace.is_some() => {
                self.ended = true;
                self.grace = None;
                self.advance(now);
            }
            Sign::Ended if self.step.is_some_and(|step| matches!(step.action, Action::Ask | Action::Halt)) => {
                self.ended = true;
            }
            Sign::Ended => self.lost(now, Cause::Ended),
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        if let Some(step) = self.step.filter(|step| step.deadline <= now) {
            self.step = None;
            self.failed(now, step.action, Failure::TimedOut);
        }
        if self.grace.is_some_and(|until| until <= now) {
            self.grace = None;
            self.advance(now);
        }
        if self.restart.is_some_and(|at| at <= now) && self.step.is_none() {
            self.restart = None;
            let ready = Plan::of(&[Action::Load, Action::Start(self.generation.next())]);
            self.plan = ready;
            self.advance(now);
        }
        if self.watched().is_some_and(|until| until <= now) {
            self.lost(now, Cause::Watchdog);
        }
        if self.attempts > 0 && self.runs() && now.since(self.since) >= self.config.well_after {
            self.attempts = 0;
        }
    }

    /// When [`tick`](Self::tick) is due at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = self.step.map(|step| step.deadline);
        [deadline, self.grace, self.restart.filter(|_| self.step.is_none()), self.watched()].into_iter().flatten().min()
    }

    /// What there is to be said, oldest first.
    pub fn poll_report(&mut self) -> Option<Report> {
        let report = self.reports[0];
        self.reports.rotate_left(1);
        self.reports[REPORTS - 1] = None;
        report
    }

    /// The state now.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// In which life the core is, or was last.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// What is under way.
    #[must_use]
    pub fn busy(&self) -> Option<Action> {
        self.step.map(|step| step.action).or(self.grace.map(|_| Action::Ask))
    }

    /// When the core is to be started again by itself.
    #[must_use]
    pub fn restart_at(&self) -> Option<Instant> {
        self.restart
    }

    /// How many reports nobody fetched in time.
    #[must_use]
    pub fn lost_reports(&self) -> u32 {
        self.lost_reports
    }

    fn runs(&self) -> bool {
        matches!(self.state, State::Running | State::Attached)
    }

    fn watched(&self) -> Option<Instant> {
        let watchdog = self.config.watchdog?;
        // A core that is being stopped may be silent.
        let quiet = self.step.is_some() || self.grace.is_some();
        (self.runs() && !quiet).then(|| self.alive.after(watchdog))
    }

    fn report(&mut self, report: Report) {
        if self.reports[REPORTS - 1].is_some() {
            self.reports.rotate_left(1);
            self.reports[REPORTS - 1] = None;
            self.lost_reports = self.lost_reports.saturating_add(1);
        }
        if let Some(slot) = self.reports.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(report);
        }
    }

    fn enter(&mut self, now: Instant, state: State) {
        if self.state != state {
            self.state = state;
            self.report(Report::Now(state, self.generation));
        }
        (self.alive, self.since) = (now, now);
    }

    /// Sets out on the next step of the plan, or reports that it is through.
    fn advance(&mut self, now: Instant) {
        match self.plan.next() {
            Some(Action::Halt) if !self.abilities.halt => {
                // There is nothing to stop by force with: either it has ended as it was asked to, or it runs on.
                if self.ended {
                    self.done(now, Action::Halt, None)
                } else {
                    self.failed(now, Action::Halt, Failure::TimedOut)
                }
            }
            Some(action) => {
                self.tickets = self.tickets.wrapping_add(1);
                // It may have got a new generation since this was planned.
                let start = matches!(action, Action::Start(_)).then(|| Action::Start(self.generation.next()));
                let (action, deadline) = (start.unwrap_or(action), now.after(self.config.limit));
                self.step = Some(Step { action, ticket: self.tickets, deadline, given: false });
            }
            None => {
                if let Some(command) = self.command.take() {
                    self.report(Report::Done(command));
                }
            }
        }
    }

    fn done(&mut self, now: Instant, action: Action, generation: Option<Generation>) {
        match action {
            Action::Configure => self.enter(now, State::Offline(Stage::Configured)),
            Action::Load => self.enter(now, State::Offline(Stage::Ready)),
            Action::Start(generation) => {
                self.generation = generation;
                self.ended = false;
                self.enter(now, State::Running);
            }
            Action::Ask => {
                if !self.ended && self.crash.take().is_none() {
                    self.grace = Some(now.after(self.config.grace.unwrap_or_default()));
                    return;
                }
            }
            Action::Halt => {
                self.crash = None;
                self.enter(now, State::Offline(Stage::Configured));
            }
            Action::Suspend => {
                self.awake = self.state;
                self.enter(now, State::Suspended);
            }
            Action::Resume => self.enter(now, self.awake),
            Action::Attach => {
                self.generation = generation.unwrap_or(self.generation);
                self.ended = false;
                self.enter(now, State::Attached);
            }
            Action::Detach => self.enter(now, State::Detached),
            Action::Dump => {}
            Action::Release => self.enter(now, State::Offline(Stage::Bare)),
        }
        if let Some(cause) = self.crash.take() {
            self.crashed(now, cause);
        } else if self.command.is_none() && action == Action::Halt && self.plan.is_empty() {
            self.recover(now);
        } else {
            self.advance(now);
        }
    }

    fn failed(&mut self, now: Instant, action: Action, failure: Failure) {
        // What cannot be asked is stopped by force; what cannot be dumped is recovered all the same.
        if matches!(action, Action::Ask | Action::Dump) {
            if action == Action::Dump {
                self.report(Report::Failed(self.command, action, failure));
            }
            // A core that was started again already may have crashed while its dump was made.
            return match self.crash.take_if(|_| action == Action::Dump) {
                Some(cause) => self.crashed(now, cause),
                None => self.advance(now),
            };
        }
        let command = self.command.take();
        self.report(Report::Failed(command, action, failure));
        self.plan = Plan::default();
        if let Action::Start(generation) = action {
            // It may have run for a moment: what it said then is not to be taken for the next one's.
            self.generation = generation;
        }
        match action {
            // Nobody knows whether it runs; it must not, for its memories to be used again.
            Action::Start(_) if failure == Failure::TimedOut => self.enter(now, State::Crashed),
            Action::Start(_) | Action::Load => self.enter(now, State::Offline(Stage::Configured)),
            Action::Halt if self.state != State::Crashed && failure == Failure::TimedOut && self.abilities.halt => {
                self.enter(now, State::Crashed);
            }
            _ => {}
        }
        if let Some(cause) = self.crash.take() {
            self.crashed(now, cause);
        } else if command.is_none() && matches!(action, Action::Load | Action::Start(_)) {
            self.recover(now);
        }
    }

    /// The core is lost, now or as soon as what is under way is over.
    fn lost(&mut self, now: Instant, cause: Cause) {
        if self.grace.take().is_some() {
            self.ended = true;
            return self.advance(now);
        }
        if self.step.is_some() {
            // A core that has crashed already is dealt with.
            if self.state != State::Crashed {
                self.crash.get_or_insert(cause);
            }
        } else if self.runs() || self.state == State::Suspended {
            self.crashed(now, cause);
        }
    }

    fn crashed(&mut self, now: Instant, cause: Cause) {
        if !(self.runs() || self.state == State::Suspended) {
            return;
        }
        if let Some(command) = self.command.take() {
            let action = self.plan.next().unwrap_or(Action::Dump);
            self.report(Report::Failed(Some(command), action, Failure::Crashed));
        }
        self.report(Report::Crashed(cause, self.generation));
        self.enter(now, State::Crashed);
        let dump = self.config.dump && self.abilities.dump;
        let halt = self.config.recovery != Recovery::Never && self.abilities.halt;
        self.plan = match (dump, halt) {
            (true, true) => Plan::of(&[Action::Dump, Action::Halt]),
            (true, false) => Plan::of(&[Action::Dump]),
            (false, true) => Plan::of(&[Action::Halt]),
            (false, false) => Plan::default(),
        };
        self.advance(now);
    }

    /// The core crashed, and runs again without this having done anything.
    fn restarted(&mut self, now: Instant, cause: Cause) {
        if !(self.runs() || self.state == State::Crashed) {
            return;
        }
        let old = self.generation;
        self.generation = old.next();
        // What is under way with it goes on.
        if self.step.is_some() || self.grace.is_some() {
            return;
        }
        if self.runs() {
            self.report(Report::Crashed(cause, old));
        }
        (self.state, self.restart) = (State::Running, None);
        (self.alive, self.since) = (now, now);
        self.report(Report::Now(State::Running, self.generation));
        if self.config.dump && self.abilities.dump {
            self.plan = Plan::of(&[Action::Dump]);
        }
        self.advance(now);
    }

    /// Decides on the next start after a crash.
    fn recover(&mut self, now: Instant) {
        let (wait, attempts) = match self.config.recovery {
            Recovery::Never => return,
            Recovery::Immediately { attempts } => (core::time::Duration::ZERO, attempts),
            Recovery::BackOff { first, most, attempts } => {
                (first.saturating_mul(1 << self.attempts.min(20)).min(most), attempts)
            }
        };
        if self.attempts >= attempts || !self.abilities.start {
            self.report(Report::GivenUp);
            return;
        }
        self.attempts += 1;
        let at = now.after(wait);
        self.restart = Some(at);
        self.report(Report::Restart(at));
    }
}
