//! Which actions a command takes in which state: the whole table.

use super::{Abilities, Action, Command, Generation, Refused, Stage, State};

/// Actions to be done one after the other; at most four.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Plan {
    steps: [Option<Action>; 4],
}

impl Plan {
    pub(super) fn of(actions: &[Action]) -> Self {
        let mut plan = Self::default();
        for (step, action) in plan.steps.iter_mut().zip(actions) {
            *step = Some(*action);
        }
        plan
    }

    /// The next action; the others move up.
    pub(super) fn next(&mut self) -> Option<Action> {
        let next = self.steps[0];
        self.steps.rotate_left(1);
        self.steps[3] = None;
        next
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps[0].is_none()
    }
}

/// The actions for a command, or why there are none. `start` is the generation of the next start, `ask` whether the firmware is to be asked before it is stopped.
pub(super) fn plan(
    state: State,
    command: Command,
    abilities: Abilities,
    start: Generation,
    ask: bool,
) -> Result<Plan, Refused> {
    use Action as A;
    use Command as C;
    let start = A::Start(start);
    let actions: &[Action] = match (state, command) {
        (State::Offline(Stage::Bare), C::Configure) => &[A::Configure],
        (State::Offline(Stage::Bare), C::Load) => &[A::Configure, A::Load],
        (State::Offline(Stage::Bare), C::Start) => &[A::Configure, A::Load, start],
        (State::Offline(Stage::Configured | Stage::Ready), C::Load) => &[A::Load],
        (State::Offline(Stage::Configured), C::Start) => &[A::Load, start],
        (State::Offline(Stage::Ready), C::Start) => &[start],
        (State::Offline(Stage::Configured | Stage::Ready), C::Release) => &[A::Release],
        (State::Running | State::Attached, C::Stop) if ask && abilities.ask => &[A::Ask, A::Halt],
        (State::Running | State::Attached | State::Suspended | State::Crashed, C::Stop) => &[A::Halt],
        (State::Running | State::Attached, C::Suspend) => &[A::Suspend],
        (State::Suspended, C::Resume) => &[A::Resume],
        (State::Running | State::Attached, C::Detach) => &[A::Detach],
        (State::Detached, C::Attach | C::Start) => &[A::Attach],
        (State::Crashed, C::Start) => &[A::Halt, A::Load, start],
        _ => return Err(Refused::State(command, state)),
    };
    let able = |action: &Action| match action {
        A::Configure | A::Load | A::Start(_) | A::Release => abilities.start,
        A::Suspend | A::Resume => abilities.suspend,
        A::Attach => abilities.attach,
        A::Detach => abilities.detach,
        // After a firmware has stopped as asked there may be nothing left to halt.
        A::Halt => abilities.halt || actions.contains(&A::Ask),
        A::Ask | A::Dump => true,
    };
    if actions.iter().all(able) { Ok(Plan::of(actions)) } else { Err(Refused::Unsupported(command)) }
}
