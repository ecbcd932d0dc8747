//! The life cycle: every command in every state, every way that crashes go, and any order of events at all.
#![forbid(unsafe_code)]

use std::time::Duration;

use proptest::prelude::*;
use tutti_metal::Instant;
use tutti_remoteproc::life::{
    Abilities, Action, Cause, Command, Config, Failure, Generation, Life, Recovery, Refused, Report, Sign, Stage, State,
};
use tutti_remoteproc::testing::{FakeCore, at_millis as at, conformance};
use tutti_remoteproc::{Platform, RemoteCore};

const STATES: [State; 8] = [
    State::Offline(Stage::Bare),
    State::Offline(Stage::Configured),
    State::Offline(Stage::Ready),
    State::Running,
    State::Suspended,
    State::Crashed,
    State::Attached,
    State::Detached,
];

/// What each command does in each state (as above): its actions, or `-` for a refusal. `C`onfigure, `L`oad, `S`tart, `A`sk,
/// `H`alt, s`U`spend, r`E`sume, a`T`tach, `D`etach, `R`elease.
const TABLE: [(Command, [&str; 8]); 9] = [
    //                    bare   conf  ready  run   susp  crash  att   det
    (Command::Configure, ["C", "-", "-", "-", "-", "-", "-", "-"]),
    (Command::Load, ["CL", "L", "L", "-", "-", "-", "-", "-"]),
    (Command::Start, ["CLS", "LS", "S", "-", "-", "HLS", "-", "T"]),
    (Command::Stop, ["-", "-", "-", "AH", "H", "H", "AH", "-"]),
    (Command::Suspend, ["-", "-", "-", "U", "-", "-", "U", "-"]),
    (Command::Resume, ["-", "-", "-", "-", "E", "-", "-", "-"]),
    (Command::Attach, ["-", "-", "-", "-", "-", "-", "-", "T"]),
    (Command::Detach, ["-", "-", "-", "D", "-", "-", "D", "-"]),
    (Command::Release, ["-", "R", "R", "-", "-", "-", "-", "-"]),
];

fn letter(action: Action) -> char {
    match action {
        Action::Configure => 'C',
        Action::Load => 'L',
        Action::Start(_) => 'S',
        Action::Ask => 'A',
        Action::Halt => 'H',
        Action::Suspend => 'U',
        Action::Resume => 'E',
        Action::Attach => 'T',
        Action::Detach => 'D',
        Action::Dump => 'P',
        Action::Release => 'R',
    }
}

fn config() -> Config {
    Config { grace: Some(Duration::from_millis(500)), ..Config::default() }
}

fn core_in(state: State, config: Config, abilities: Abilities) -> RemoteCore<FakeCore> {
    let found = matches!(state, State::Attached | State::Detached);
    let fake = FakeCore { abilities, running: found.then_some(Generation(7)), ..FakeCore::default() };
    let mut core = RemoteCore::new(fake, config).unwrap();
    let commands: &[Command] = match state {
        State::Offline(Stage::Bare) | State::Detached => &[],
        State::Offline(Stage::Configured) => &[Command::Configure],
        State::Offline(Stage::Ready) => &[Command::Load],
        State::Running | State::Crashed => &[Command::Start],
        State::Suspended => &[Command::Start, Command::Suspend],
        State::Attached => &[Command::Attach],
    };
    for &command in commands {
        core.command(at(0), command).unwrap();
    }
    if state == State::Crashed {
        core.platform_mut().crash(Cause::Fault(3));
        core.step(at(0));
    }
    assert_eq!(core.state(), state);
    core.platform_mut().log.clear();
    while core.poll_report().is_some() {}
    core
}

#[test]
fn the_whole_table() {
    for (command, row) in TABLE {
        for (state, expected) in STATES.into_iter().zip(row) {
            let mut core = core_in(state, config(), Abilities::ALL);
            match core.command(at(1), command) {
                Ok(()) => {
                    let done: String = core.platform().log.iter().copied().map(letter).collect();
                    assert_eq!(done, expected, "{command:?} in {state:?}");
                    let reports: Vec<_> = std::iter::from_fn(|| core.poll_report()).collect();
                    assert!(reports.contains(&Report::Done(command)), "{command:?} in {state:?}: {reports:?}");
                }
                Err(refused) => {
                    assert_eq!((refused, expected), (Refused::State(command, state), "-"));
                    assert_eq!(core.state(), state);
                    assert_eq!(core.platform().log, []);
                }
            }
        }
    }
}

#[test]
fn what_a_platform_cannot_do_is_refused_before_anything_is_tried() {
    let sysfs = Abilities { suspend: false, dump: false, ask: false, ..Abilities::ALL };
    for (state, command) in [(State::Running, Command::Suspend), (State::Attached, Command::Suspend)] {
        let mut core = core_in(state, config(), sysfs);
        assert_eq!(core.command(at(0), command), Err(Refused::Unsupported(command)));
    }
    let mut core = core_in(State::Running, config(), sysfs);
    core.command(at(0), Command::Stop).unwrap();
    assert_eq!(core.platform().log, [Action::Halt], "without a way to ask, it is stopped at once");
    let stuck = Abilities { halt: false, ..Abilities::ALL };
    let mut core = core_in(State::Running, config(), stuck);
    core.command(at(0), Command::Stop).unwrap();
    assert_eq!(core.state(), State::Offline(Stage::Configured), "it stopped as asked; no force was needed");
    let mut core = core_in(State::Running, config(), stuck);
    core.platform_mut().obeys = false;
    core.command(at(0), Command::Stop).unwrap();
    core.step(at(600));
    assert_eq!(core.state(), State::Running, "it did not, and there is no force: it runs on");
    assert!(
        std::iter::from_fn(|| core.poll_report())
            .any(|it| matches!(it, Report::Failed(Some(Command::Stop), Action::Halt, _)))
    );
}

#[test]
fn a_firmware_that_is_deaf_is_stopped_by_force_when_its_time_is_up() {
    let mut core = core_in(State::Running, config(), Abilities::ALL);
    core.platform_mut().obeys = false;
    core.command(at(0), Command::Stop).unwrap();
    assert_eq!(core.platform().log, [Action::Ask]);
    assert_eq!(core.command(at(1), Command::Stop), Err(Refused::Busy(Action::Ask)));
    assert_eq!(core.step(at(499)), Some(at(500)));
    core.step(at(500));
    assert_eq!(core.platform().log, [Action::Ask, Action::Halt]);
    assert_eq!(core.state(), State::Offline(Stage::Configured));
    // Asking may fail; then force follows at once.
    let mut core = core_in(State::Running, config(), Abilities::ALL);
    core.platform_mut().failing = vec![Action::Ask];
    core.command(at(0), Command::Stop).unwrap();
    assert_eq!(core.state(), State::Offline(Stage::Configured));
}

#[test]
fn each_start_is_a_new_generation_and_what_an_old_one_says_is_ignored() {
    let mut core = core_in(State::Running, config(), Abilities::ALL);
    let old = core.generation();
    core.command(at(0), Command::Stop).unwrap();
    core.command(at(0), Command::Start).unwrap();
    assert_eq!(core.generation(), old.next());
    core.platform_mut().signs.push_back((old, Sign::Crashed(Cause::Fault(1))));
    core.step(at(1));
    assert_eq!(core.state(), State::Running);
    assert_eq!(Generation(u32::MAX).next(), Generation(1), "0 is no generation of a core that runs");
}

#[test]
fn a_host_that_comes_back_attaches_and_the_core_keeps_its_generation() {
    let mut core = core_in(State::Detached, config(), Abilities::ALL);
    assert_eq!(core.command(at(0), Command::Stop), Err(Refused::State(Command::Stop, State::Detached)));
    core.command(at(0), Command::Start).unwrap();
    assert_eq!((core.state(), core.generation()), (State::Attached, Generation(7)));
    assert_eq!(core.platform().log, [Action::Attach], "no restart");
    core.platform_mut().crash(Cause::Fault(1));
    core.step(at(5));
    assert_eq!(core.state(), State::Crashed);
}

#[test]
fn the_watchdog_barks_only_at_a_core_that_ought_to_speak() {
    let watched = Config { watchdog: Some(Duration::from_millis(100)), ..config() };
    let mut core = core_in(State::Running, watched, Abilities::ALL);
    let generation = core.generation();
    assert_eq!(core.step(at(50)), Some(at(100)));
    core.platform_mut().signs.push_back((generation, Sign::Heartbeat));
    core.step(at(90));
    assert_eq!(core.step(at(150)), Some(at(190)));
    core.command(at(150), Command::Suspend).unwrap();
    assert_eq!((core.step(at(1000)), core.state()), (None, State::Suspended));
    core.command(at(1000), Command::Resume).unwrap();
    assert_eq!(core.step(at(1001)), Some(at(1100)));
    core.step(at(1100));
    let reports: Vec<_> = std::iter::from_fn(|| core.poll_report()).collect();
    assert!(reports.contains(&Report::Crashed(Cause::Watchdog, generation)), "{reports:?}");
    assert_eq!((core.state(), core.platform().log.last()), (State::Crashed, Some(&Action::Dump)));
}

fn crash(core: &mut RemoteCore<FakeCore>, now: Instant) {
    core.platform_mut().crash(Cause::Fault(9));
    core.step(now);
}

#[test]
fn recovery_never_immediately_and_with_back_off() {
    let mut core = core_in(State::Running, config(), Abilities::ALL);
    crash(&mut core, at(1));
    assert_eq!((core.state(), core.step(at(100_000))), (State::Crashed, None));
    assert_eq!(core.platform().log, [Action::Dump], "it is left as it is, to be looked at");

    let recovery = Recovery::Immediately { attempts: 2 };
    let mut core = core_in(State::Running, Config { recovery, ..config() }, Abilities::ALL);
    let first = core.generation();
    crash(&mut core, at(1));
    assert_eq!((core.state(), core.generation()), (State::Running, first.next()));
    let log: String = core.platform().log.iter().copied().map(letter).collect();
    assert_eq!(log, "PHLS");
    crash(&mut core, at(2));
    crash(&mut core, at(3));
    assert_eq!(core.state(), State::Offline(Stage::Configured), "three times in a row is too often");
    assert!(std::iter::from_fn(|| core.poll_report()).any(|report| report == Report::GivenUp));

    let (first, most) = (Duration::from_millis(100), Duration::from_millis(300));
    let recovery = Recovery::BackOff { first, most, attempts: 100 };
    let well_after = Duration::from_secs(5);
    let mut core = core_in(State::Running, Config { recovery, well_after, ..config() }, Abilities::ALL);
    let mut now = 0;
    for wait in [100, 200, 300, 300] {
        crash(&mut core, at(now));
        assert_eq!(core.step(at(now + wait - 1)), Some(at(now + wait)));
        assert_eq!(core.state(), State::Offline(Stage::Configured));
        now += wait;
        core.step(at(now));
        assert_eq!(core.state(), State::Running);
    }
    now += 6000;
    core.step(at(now));
    crash(&mut core, at(now));
    assert_eq!(core.step(at(now)), Some(at(now + 100)), "having been well, it starts from the first wait");
    core.command(at(now), Command::Start).unwrap();
    assert_eq!(core.state(), State::Running, "a command does not wait");
}

#[test]
fn what_fails_leaves_a_state_that_is_true() {
    for (failing, state) in [
        (Action::Configure, State::Offline(Stage::Bare)),
        (Action::Load, State::Offline(Stage::Configured)),
        (Action::Start(Generation(1)), State::Offline(Stage::Configured)),
    ] {
        let mut core = core_in(State::Offline(Stage::Bare), config(), Abilities::ALL);
        core.platform_mut().failing = vec![failing];
        core.command(at(0), Command::Start).unwrap();
        assert_eq!(core.state(), state, "{failing:?}");
        assert_eq!(core.fault().map(String::as_str), Some("it was told to fail"));
        core.platform_mut().failing.clear();
        core.command(at(1), Command::Start).unwrap();
        assert_eq!(core.state(), State::Running, "and can be tried again");
    }
    let mut core = core_in(State::Running, Config { grace: None, ..config() }, Abilities::ALL);
    core.platform_mut().failing = vec![Action::Halt];
    core.command(at(0), Command::Stop).unwrap();
    assert_eq!(core.state(), State::Running, "the platform says that it was not stopped");
}

#[test]
fn an_answer_that_comes_too_late_is_ignored() {
    let mut life = Life::new(config(), Abilities::ALL);
    life.command(at(0), Command::Configure).unwrap();
    let (ticket, action) = life.poll_action().unwrap();
    assert_eq!((action, life.poll_action()), (Action::Configure, None), "given out once");
    life.outcome(at(0), ticket + 1, Ok(None));
    assert_eq!(life.busy(), Some(Action::Configure));
    life.tick(at(10_000));
    assert_eq!(
        life.poll_report(),
        Some(Report::Failed(Some(Command::Configure), Action::Configure, Failure::TimedOut))
    );
    life.outcome(at(10_001), ticket, Ok(None));
    assert_eq!(life.state(), State::Offline(Stage::Bare));
    // A start of which nothing is heard may have happened.
    life.command(at(20_000), Command::Start).unwrap();
    for _ in 0..2 {
        let (ticket, _) = life.poll_action().unwrap();
        life.outcome(at(20_000), ticket, Ok(None));
    }
    assert_eq!(life.poll_action().map(|(_, action)| action), Some(Action::Start(Generation(1))));
    life.tick(at(30_000));
    assert_eq!(life.state(), State::Crashed);
}

#[test]
fn a_crash_in_the_middle_of_something_is_dealt_with_after_it() {
    let mut life = Life::found_running(config(), Abilities::ALL, Generation(4));
    life.command(at(0), Command::Attach).unwrap();
    let (ticket, _) = life.poll_action().unwrap();
    life.outcome(at(0), ticket, Ok(Some(Generation(4))));
    life.command(at(1), Command::Suspend).unwrap();
    let (ticket, _) = life.poll_action().unwrap();
    life.observe(at(1), Generation(4), Sign::Crashed(Cause::Corrupt));
    assert_eq!(life.state(), State::Attached);
    life.outcome(at(2), ticket, Ok(None));
    assert_eq!(life.state(), State::Crashed);
    let reports: Vec<_> = std::iter::from_fn(|| life.poll_report()).collect();
    assert!(reports.contains(&Report::Crashed(Cause::Corrupt, Generation(4))), "{reports:?}");
    assert!(reports.iter().any(|it| matches!(it, Report::Failed(Some(Command::Suspend), _, Failure::Crashed))));
}

#[test]
fn a_core_that_somebody_else_has_recovered_runs_in_the_next_generation() {
    let mut core = RemoteCore::new(FakeCore::default(), Config { grace: None, ..config() }).unwrap();
    core.command(at(0), Command::Start).unwrap();
    let first = core.generation();
    let reports = |core: &mut RemoteCore<FakeCore>| std::iter::from_fn(|| core.poll_report()).collect::<Vec<_>>();
    reports(&mut core);
    // From a core that ran: the crash is reported, and its dump kept; nothing is stopped or started.
    core.platform_mut().log.clear();
    core.platform_mut().signs.push_back((first, Sign::Restarted(Cause::Fault(3))));
    core.step(at(1));
    let now = Report::Now(State::Running, first.next());
    assert_eq!(reports(&mut core), [Report::Crashed(Cause::Fault(3), first), now]);
    assert_eq!(core.platform().log, [Action::Dump]);
    // What the life before still says is nobody's business.
    core.platform_mut().signs.push_back((first, Sign::Restarted(Cause::Fault(3))));
    core.step(at(2));
    assert_eq!((core.generation(), reports(&mut core)), (first.next(), vec![]));
    // From one that had been given up.
    core.platform_mut().crash(Cause::Corrupt);
    core.platform_mut().signs.push_back((first.next(), Sign::Crashed(Cause::Corrupt)));
    core.step(at(3));
    assert_eq!(core.state(), State::Crashed);
    reports(&mut core);
    core.platform_mut().signs.push_back((first.next(), Sign::Restarted(Cause::Corrupt)));
    core.step(at(4));
    assert_eq!(reports(&mut core), [Report::Now(State::Running, first.next().next())], "its crash was reported before");
    // And while it is being stopped, it goes on to be.
    let mut life = Life::new(config(), Abilities::ALL);
    for command in [Command::Start, Command::Stop] {
        life.command(at(5), command).unwrap();
        while let Some((ticket, action)) = life.poll_action() {
            if action == Action::Halt {
                life.observe(at(6), life.generation(), Sign::Restarted(Cause::Fault(0)));
            }
            life.outcome(at(6), ticket, Ok(None));
        }
        life.tick(at(6_000));
        while let Some((ticket, _)) = life.poll_action() {
            life.observe(at(6_000), life.generation(), Sign::Restarted(Cause::Fault(0)));
            life.outcome(at(6_000), ticket, Ok(None));
        }
    }
    assert_eq!((life.state(), life.generation()), (State::Offline(Stage::Configured), Generation(2)));
}

#[test]
fn the_fake_conforms() {
    conformance(FakeCore::default());
    let sysfs = Abilities { suspend: false, attach: false, detach: false, ..Abilities::ALL };
    conformance(FakeCore { abilities: sysfs, ..FakeCore::default() });
    assert!(FakeCore::default().find().unwrap().is_none());
}

#[derive(Clone, Debug)]
enum Event {
    Command(usize),
    Poll,
    Outcome(bool),
    StaleOutcome,
    Sign(u8, bool),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..Command::ALL.len()).prop_map(Event::Command),
        Just(Event::Poll),
        Just(Event::Poll),
        prop::bool::weighted(0.8).prop_map(Event::Outcome),
        Just(Event::StaleOutcome),
        (0..5u8, prop::bool::weighted(0.8)).prop_map(|(sign, now)| Event::Sign(sign, now)),
        (0..20_000u64).prop_map(Event::Wait),
    ]
}

fn recovery() -> impl Strategy<Value = Recovery> {
    prop_oneof![
        Just(Recovery::Never),
        (0..4u32).prop_map(|attempts| Recovery::Immediately { attempts }),
        (0..4u32, 1..900u64).prop_map(|(attempts, first)| Recovery::BackOff {
            first: Duration::from_millis(first),
            most: Duration::from_secs(1),
            attempts
        }),
    ]
}

proptest! {
    #[test]
    fn in_any_order_of_events_the_rules_hold(
        events in prop::collection::vec(event(), 0..120), recovery in recovery(), bits in any::<u8>(), watched in any::<bool>(),
    ) {
        let bit = |n: u8| bits >> n & 1 == 0;
        let abilities = Abilities {
            start: bit(0), ask: bit(1), halt: bit(2), suspend: bit(3), attach: bit(4), detach: bit(5), dump: bit(6),
        };
        let watchdog = watched.then_some(Duration::from_secs(1));
        let config = Config { recovery, watchdog, ..config() };
        let mut life = if bit(7) { Life::new(config, abilities) } else { Life::found_running(config, abilities, Generation(5)) };
        let (mut now, mut out, mut started, mut restarted) = (0, None, life.generation(), false);
        for event in events {
            let before = life.state();
            match event {
                Event::Command(which) => {
                    let command = Command::ALL[which];
                    let busy = life.busy();
                    let taken = life.command(at(now), command);
                    prop_assert_eq!(matches!(taken, Err(Refused::Busy(_))), busy.is_some(), "{:?}", taken);
                    if taken.is_err() {
                        prop_assert_eq!(life.state(), before);
                    }
                }
                Event::Poll => if let Some((ticket, action)) = life.poll_action() {
                    if let Action::Start(generation) = action {
                        prop_assert_ne!(generation, started, "a start is a new generation");
                        started = generation;
                    }
                    match action {
                        Action::Suspend | Action::Resume => prop_assert!(abilities.suspend),
                        Action::Halt => prop_assert!(abilities.halt),
                        Action::Attach => prop_assert!(abilities.attach && before == State::Detached),
                        Action::Detach => prop_assert!(abilities.detach),
                        Action::Dump => prop_assert!(abilities.dump && (before == State::Crashed || restarted)),
                        Action::Start(_) => prop_assert!(abilities.start && before == State::Offline(Stage::Ready)),
                        _ => {}
                    }
                    out = Some(ticket);
                },
                Event::Outcome(well) => if let Some(ticket) = out.take() {
                    life.outcome(at(now), ticket, if well { Ok(None) } else { Err(Failure::Platform) });
                },
                Event::StaleOutcome => {
                    life.outcome(at(now), 0, Ok(None));
                    prop_assert_eq!(life.state(), before);
                }
                Event::Sign(sign, current) => {
                    let sign = match sign {
                        0 => Sign::Heartbeat,
                        1 => Sign::Crashed(Cause::Fault(1)),
                        2 => Sign::Ended,
                        3 => Sign::Restarted(Cause::Fault(2)),
                        _ => Sign::Crashed(Cause::Corrupt),
                    };
                    let generation = life.generation();
                    let from = if current { generation } else { generation.next() };
                    life.observe(at(now), from, sign);
                    if !current {
                        let after = (life.state(), life.generation());
                        prop_assert_eq!(after, (before, generation), "another generation is nobody's business");
                    }
                    // Only a core that runs, or did, can have been started by somebody else.
                    if life.generation() != generation {
                        prop_assert!(matches!(sign, Sign::Restarted(_)) && !matches!(before, State::Offline(_)));
                        (started, restarted) = (life.generation(), true);
                    }
                }
                Event::Wait(millis) => {
                    now += millis;
                    life.tick(at(now));
                }
            }
            // Nothing waits without a bound.
            prop_assert!(life.busy().is_none() || life.poll_timeout().is_some());
            if let Some(timeout) = life.poll_timeout() {
                prop_assert!(timeout <= at(now + 10_000));
            }
            if life.state() == State::Running {
                prop_assert_eq!(life.generation(), started);
            }
            while life.poll_report().is_some() {}
        }
        // Whatever happened, time alone brings it to rest.
        for _ in 0..40 {
            let Some(timeout) = life.poll_timeout() else { break };
            let _ = life.poll_action();
            now = now.max(timeout.0 / 1_000_000) + 1;
            life.tick(at(now));
        }
        prop_assert_eq!(life.busy(), None);
    }
}
