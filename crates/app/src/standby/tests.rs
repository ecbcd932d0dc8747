//! The paths of guarding and fail-over one by one, in virtual time.

use std::time::Duration;

use ed25519_dalek::SigningKey;

use super::*;
use crate::{
    handover::{Because, Standing, Warrant, Why},
    ids::Attempt,
};

const INSTANCE: InstanceId = InstanceId::from_bytes([7; 16]);
const A: DeviceId = DeviceId::from_bytes([1; 32]);
const B: DeviceId = DeviceId::from_bytes([2; 32]);
const C: DeviceId = DeviceId::from_bytes([3; 32]);
const T0: BootTime = BootTime::from_nanos(1);
const SETTINGS: Settings = Settings {
    lease: Duration::from_secs(4),
    every: Duration::from_secs(1),
    most_lost: Duration::from_secs(6),
    prefer: Prefer::One,
};

/// Devices that all reach each other, or do not; each with a store that takes no time.
struct Room {
    now: BootTime,
    keepers: Vec<Keeper>,
    disks: Vec<Saved>,
    cut: bool,
    /// Checkpoints are stored.
    stores: bool,
    seen: Vec<(DeviceId, Output)>,
}

impl Room {
    fn new(count: usize) -> Self {
        let all = [A, B, C];
        let mut keepers: Vec<_> =
            all[..count].iter().map(|me| Keeper::new(T0, *me, INSTANCE, 1, Saved::default())).collect();
        keepers[0] = Keeper::install(T0, A, INSTANCE, 1);
        let mut room =
            Self { now: T0, keepers, disks: vec![Saved::default(); count], cut: false, stores: true, seen: Vec::new() };
        room.connect(true);
        room
    }

    /// With a standby at `B` that has a checkpoint.
    fn guarded(count: usize, settings: Settings) -> Self {
        let mut room = Self::new(count);
        room.tell(0, Input::Guard(B, settings));
        room.tell(0, Input::Saved(1));
        room.wait(Duration::from_secs(3));
        assert!(room.saw(A, &Output::Event(Event::Guarded(B))));
        room
    }

    fn connect(&mut self, there: bool) {
        self.cut = !there;
        for at in 0..self.keepers.len() {
            let me = self.keepers[at].me;
            for other in [A, B, C].into_iter().take(self.keepers.len()).filter(|it| *it != me) {
                let input = if there { handover::Input::PeerUp(other) } else { handover::Input::PeerDown(other) };
                self.keepers[at].handle(self.now, Input::Move(input));
            }
        }
        self.play();
    }

    fn tell(&mut self, at: usize, input: Input) {
        self.keepers[at].handle(self.now, input);
        self.play();
    }

    /// Begins anew from what the disk says, as after `kill -9`.
    fn restart(&mut self, at: usize) {
        let me = self.keepers[at].me;
        self.keepers[at] = Keeper::new(self.now, me, INSTANCE, 2, self.disks[at].clone());
        self.connect(!self.cut);
    }

    fn play(&mut self) {
        loop {
            let mut quiet = true;
            for at in 0..self.keepers.len() {
                while let Some(output) = self.keepers[at].poll_output() {
                    quiet = false;
                    self.seen.push((self.keepers[at].me, output.clone()));
                    self.act(at, output);
                }
            }
            // Only an owner's word makes another branch, of which the others have yet to hear.
            let mut branches: Vec<_> =
                self.keepers.iter().filter_map(|it| it.may_run(self.now)).map(|it| it.branch).collect();
            let running = branches.len();
            branches.sort();
            branches.dedup();
            assert_eq!(running, branches.len(), "{:?} run", self.running());
            if quiet {
                return;
            }
        }
    }

    fn act(&mut self, at: usize, output: Output) {
        use handover::{Input as Moved, Output as Move};
        let (me, now) = (self.keepers[at].me, self.now);
        let index = |of: DeviceId| [A, B, C].iter().position(|it| *it == of).unwrap();
        let mut answer = |input: Input| self.keepers[at].handle(now, input);
        match output {
            Output::Persist(ticket, record) => {
                self.disks[at].guard = Some(record);
                answer(Input::Persisted(ticket));
            }
            Output::Move(Move::Persist(ticket, record)) => {
                self.disks[at].standing = Some(record);
                answer(Input::Move(Moved::Persisted(ticket)));
            }
            Output::Consider(..) => answer(Input::Considered(Ok(()))),
            Output::Move(Move::Consider(_, offer)) => answer(Input::Move(Moved::Considered(offer.attempt, Ok(())))),
            Output::Move(Move::Copy(attempt, _)) => answer(Input::Move(Moved::Copied(attempt, Ok(())))),
            Output::Move(Move::Reserve(attempt, _)) => answer(Input::Move(Moved::Reserved(attempt, Ok(())))),
            Output::Adopt(epoch) => answer(Input::Adopted(epoch)),
            Output::Move(Move::SendRest(attempt, to)) => {
                self.keepers[index(to)].handle(now, Input::Move(Moved::Stored(attempt, Ok(()))));
            }
            Output::Send(to, message) if !self.cut => {
                let (_, message) = Message::parse(&message.emit(INSTANCE).unwrap()).unwrap();
                self.keepers[index(to)].handle(now, Input::Message(me, message));
            }
            Output::Move(Move::Send(to, message)) if !self.cut => {
                self.keepers[index(to)].handle(now, Input::Move(Moved::Message(me, message)));
            }
            Output::Checkpoint(to, pact, _) if !self.cut && self.stores => {
                let mark = self.keepers[at].sending().unwrap();
                self.disks[index(to)].checkpoint = Some((pact, mark));
                self.keepers[index(to)].handle(now, Input::Stored(pact, mark));
            }
            _ => {}
        }
    }

    /// Lets time pass, each timer on time.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = self.keepers.iter().filter_map(Keeper::poll_timeout).min().filter(|at| *at <= end);
            let Some(at) = next else { break };
            assert!(at >= self.now || self.keepers.iter().all(|it| it.now >= at), "a timer of the past");
            self.now = self.now.max(at);
            for at in 0..self.keepers.len() {
                self.keepers[at].handle(self.now, Input::Tick);
            }
            self.play();
        }
        self.now = end;
    }

    fn running(&self) -> Vec<DeviceId> {
        self.keepers.iter().filter(|it| it.may_run(self.now).is_some()).map(|it| it.me).collect()
    }

    fn saw(&self, who: DeviceId, what: &Output) -> bool {
        self.seen.iter().any(|(of, output)| *of == who && output == what)
    }

    fn move_to(&mut self, at: usize, to: DeviceId) {
        let attempt = Attempt(self.seen.len() as u64);
        let input = handover::Input::Move { to, attempt, package: [0; 32], size: 0 };
        self.tell(at, Input::Move(input));
    }
}

impl Keeper {
    fn sending(&self) -> Option<Mark> {
        Some(Mark { epoch: self.home()?, saves: self.holder.saves() })
    }
}

fn warrant(branch: u32, home: DeviceId) -> Warrant {
    Warrant::sign(INSTANCE, branch, home, &SigningKey::from_bytes(&[9; 32]))
}

#[test]
fn a_guarded_instance_runs_on_and_its_checkpoints_follow_what_is_saved() {
    let mut room = Room::guarded(2, SETTINGS);
    for saves in 2..40 {
        room.tell(0, Input::Saved(saves));
        room.wait(Duration::from_millis(700));
        assert_eq!(room.running(), [A]);
    }
    let checkpoints = room.seen.iter().filter(|(_, it)| matches!(it, Output::Checkpoint(..))).count();
    assert!((20..=30).contains(&checkpoints), "{checkpoints} in 27 s");
    assert!(room.disks[1].checkpoint.unwrap().1.saves >= 37);
    assert!(!room.saw(A, &Output::Halt) && !room.saw(A, &Output::Stop));
}

#[test]
fn the_home_stops_before_the_standby_starts_and_is_superseded_when_it_comes_back() {
    let mut room = Room::guarded(2, SETTINGS);
    let cut = room.now;
    room.connect(false);
    room.wait(SETTINGS.lease * 98 / 100 - SETTINGS.lease / 3);
    assert_eq!(room.running(), [A], "its lease lasts");
    room.wait(SETTINGS.lease / 3 + Duration::from_millis(1));
    assert!(room.saw(A, &Output::Halt) && room.saw(A, &Output::Event(Event::Alone)));
    room.wait(SETTINGS.lease);
    assert_eq!(room.running(), [B]);
    let epoch = room.keepers[1].may_run(room.now).unwrap();
    let took = room.seen.iter().any(
        |(_, it)| matches!(it, Output::Event(Event::TookOver { epoch: of, mark, .. }) if *of == epoch && mark.saves == 1),
    );
    assert!(took && epoch.number == 3);
    assert!(room.now.since(cut) <= SETTINGS.foretell().fail_over * 2);
    room.tell(0, Input::Saved(9));
    room.restart(0);
    room.connect(true);
    room.wait(Duration::from_secs(3));
    assert_eq!(room.running(), [B]);
    let told = room.seen.iter().any(|(who, it)| {
        *who == A
            && matches!(it, Output::Event(Event::Succeeded { by, from: Some(_), both: false, .. }) if *by == epoch)
    });
    assert!(told && matches!(room.keepers[0].handover().standing(), Some(Standing::Stray { .. })));
    // Its owner may go on from there all the same.
    room.tell(0, Input::Move(handover::Input::Recover(warrant(1, A))));
    room.wait(Duration::from_secs(3));
    assert_eq!(room.running(), [A]);
    assert!(matches!(room.keepers[1].handover().standing(), Some(Standing::Stray { .. })));
}

#[test]
fn a_standby_that_is_killed_keeps_its_promise_and_a_home_that_is_killed_asks_first() {
    let mut room = Room::guarded(2, SETTINGS);
    room.wait(SETTINGS.lease);
    room.connect(false);
    room.restart(1);
    room.wait(SETTINGS.lease);
    assert_eq!(room.running(), [], "the home has stopped; the standby counts anew from when it came back");
    room.wait(SETTINGS.lease / 50);
    assert_eq!(room.running(), [B]);

    let mut room = Room::guarded(2, SETTINGS);
    room.connect(false);
    room.restart(0);
    assert_eq!(room.running(), [], "it does not know how long its lease was");
    room.connect(true);
    assert_eq!(room.running(), [A]);
}

#[test]
fn nobody_takes_over_without_a_checkpoint() {
    let mut room = Room::new(2);
    room.stores = false;
    room.tell(0, Input::Guard(B, SETTINGS));
    room.tell(0, Input::Saved(1));
    assert_eq!(room.running(), [A]);
    room.connect(false);
    room.wait(SETTINGS.lease * 3);
    assert_eq!(room.running(), []);
    room.connect(true);
    room.wait(Duration::from_secs(1));
    assert_eq!(room.running(), [A]);
}

#[test]
fn work_that_the_standby_does_not_get_is_bounded() {
    let mut room = Room::guarded(2, SETTINGS);
    room.stores = false;
    room.tell(0, Input::Saved(2));
    room.wait(SETTINGS.most_lost / 2 - Duration::from_millis(1));
    assert_eq!(room.running(), [A]);
    room.wait(Duration::from_millis(2));
    assert_eq!(room.running(), []);
    assert!(room.saw(A, &Output::Event(Event::Behind)) && room.saw(A, &Output::Stop) && !room.saw(A, &Output::Halt));
    // What was sent is lost; in its time the next one is whole, and stored.
    room.stores = true;
    room.wait(handover::PROGRESS + Duration::from_secs(1));
    assert_eq!(room.running(), [A]);
}

#[test]
fn a_standby_is_changed_or_taken_away_and_has_no_say_then() {
    let mut room = Room::guarded(3, SETTINGS);
    room.tell(0, Input::Guard(C, SETTINGS));
    room.wait(Duration::from_secs(2));
    assert!(room.saw(A, &Output::Event(Event::Guarded(C))) && room.saw(B, &Output::Forget));
    room.tell(0, Input::Move(handover::Input::Retire));
    assert!(room.saw(A, &Output::Move(handover::Output::Event(handover::Event::Refused(Because::Guarded)))));
    room.tell(0, Input::Unguard);
    assert!(room.saw(A, &Output::Event(Event::Unguarded(None))) && room.keepers[0].record().terms.is_none());
    room.connect(false);
    room.wait(SETTINGS.lease * 3);
    assert_eq!(room.running(), [A]);
    // Again, under a new pact.
    room.connect(true);
    room.tell(0, Input::Guard(B, SETTINGS));
    room.wait(Duration::from_secs(2));
    assert_eq!(room.keepers[0].record().terms.map(|terms| (terms.standby, terms.pact)), Some((B, 3)));
    room.connect(false);
    room.wait(SETTINGS.lease * 2);
    assert_eq!(room.running(), [B]);
}

#[test]
fn a_standby_that_does_not_answer_is_not_left() {
    let mut room = Room::guarded(2, SETTINGS);
    room.connect(false);
    room.tell(0, Input::Unguard);
    room.wait(handover::ANSWER);
    assert!(room.saw(A, &Output::Event(Event::Unguarded(Some(NotGuarded::Held)))));
    assert_eq!(room.running(), [B]);
    // But an owner can accept its loss; when it comes back, it is told.
    room.tell(0, Input::Move(handover::Input::Recover(warrant(1, A))));
    room.wait(Duration::from_secs(1));
    assert!(room.keepers[0].may_run(room.now).is_some_and(|epoch| epoch.branch == 1));
}

#[test]
fn a_move_takes_its_standby_along_or_is_refused_before_the_pause() {
    let mut room = Room::guarded(3, SETTINGS);
    room.move_to(0, C);
    room.wait(Duration::from_secs(1));
    assert_eq!(room.running(), [C]);
    room.tell(2, Input::Saved(5));
    room.wait(Duration::from_secs(2));
    // The standby guards the new home.
    assert_eq!(room.disks[1].checkpoint.unwrap().1.epoch.home, C);
    room.connect(false);
    room.wait(SETTINGS.lease * 2);
    assert_eq!(room.running(), [B]);
    room.connect(true);
    room.wait(Duration::from_secs(3));
    assert_eq!(room.running(), [B]);
    assert!(matches!(room.keepers[2].handover().standing(), Some(Standing::Stray { .. })));

    // A target that does not reach the standby will not have it; without a run-lease nobody asks.
    let mut room = Room::guarded(3, SETTINGS);
    room.keepers[2].handle(room.now, Input::Move(handover::Input::PeerDown(B)));
    room.move_to(0, C);
    let refused = |why| Output::Move(handover::Output::Event(why));
    let attempt = |room: &Room| {
        room.seen.iter().rev().find_map(|(_, it)| match it {
            Output::Move(handover::Output::Event(handover::Event::NotMoved(attempt, _))) => Some(*attempt),
            _ => None,
        })
    };
    let of = attempt(&room).unwrap();
    assert!(room.saw(A, &refused(handover::Event::NotMoved(of, Because::Refused(Why::NoStandby)))));
    assert_eq!(room.running(), [A]);
    room.restart(0);
    room.cut = true;
    room.keepers[0].holder.lease = None;
    room.move_to(0, C);
    assert!(room.saw(A, &refused(handover::Event::Refused(Because::NoLease))));
}

#[test]
fn a_move_to_the_standby_ends_its_duty() {
    let mut room = Room::guarded(3, SETTINGS);
    room.move_to(0, B);
    room.wait(Duration::from_secs(1));
    assert_eq!(room.running(), [B]);
    assert!(matches!(room.keepers[1].record(), Record { terms: None, duty: Some(Duty::Over { from: None, .. }), .. }));
    room.move_to(1, C);
    room.wait(SETTINGS.lease * 3);
    assert_eq!(room.running(), [C]);
    room.tell(2, Input::Guard(A, SETTINGS));
    room.tell(2, Input::Saved(9));
    room.wait(Duration::from_secs(2));
    room.connect(false);
    room.wait(SETTINGS.lease * 2);
    assert_eq!(room.running(), [A]);
}

#[test]
fn who_prefers_availability_gets_both_branches() {
    let settings = Settings { prefer: Prefer::Available, ..SETTINGS };
    let mut room = Room::guarded(2, settings);
    room.cut = true;
    // Until they hear of each other, both run.
    let mut home = room.keepers[0].clone();
    let mut standby = room.keepers[1].clone();
    let later = room.now + settings.lease * 2;
    for (keeper, other) in [(&mut home, B), (&mut standby, A)] {
        keeper.handle(room.now, Input::Move(handover::Input::PeerDown(other)));
        keeper.handle(later, Input::Tick);
        while let Some(output) = keeper.poll_output() {
            match output {
                Output::Persist(ticket, _) => keeper.handle(later, Input::Persisted(ticket)),
                Output::Adopt(epoch) => keeper.handle(later, Input::Adopted(epoch)),
                Output::Move(handover::Output::Persist(ticket, _)) => {
                    keeper.handle(later, Input::Move(handover::Input::Persisted(ticket)));
                }
                _ => {}
            }
        }
    }
    assert!(home.may_run(later).is_some() && standby.may_run(later).is_some());
    // Alone, it does not move: its branch has one tip.
    home.handle(later, Input::Move(handover::Input::PeerUp(C)));
    let input = handover::Input::Move { to: C, attempt: Attempt(1), package: [0; 32], size: 0 };
    home.handle(later, Input::Move(input));
    let refused = handover::Output::Event(handover::Event::Refused(Because::NoLease));
    assert!(std::iter::from_fn(|| home.poll_output()).any(|it| it == Output::Move(refused.clone())));
    // They hear of each other: one stops, and is kept and shown.
    let by = standby.may_run(later).unwrap();
    home.handle(later, Input::Message(B, Message::Succeeded(1, by, None)));
    let out: Vec<_> = std::iter::from_fn(|| home.poll_output()).collect();
    assert!(out.contains(&Output::Halt) && home.may_run(later).is_none());
    assert!(out.iter().any(|it| matches!(it, Output::Event(Event::Succeeded { both: true, .. }))));
}

#[test]
fn strangers_have_no_say() {
    let mut room = Room::guarded(3, SETTINGS);
    let epoch = room.keepers[0].home().unwrap();
    let terms = room.keepers[0].record().terms.unwrap();
    let later = epoch.taken_over_at(C).unwrap();
    for message in [
        Message::Succeeded(1, later, None),
        Message::Released(9),
        Message::Release(1, epoch),
        Message::Refused(1, Why::Full),
        Message::Have(1, Mark { epoch, saves: 99 }),
        Message::Want(1),
        Message::Renew(Question { run: 1, number: 1 }, Terms { standby: B, pact: 1, ..terms }, epoch, 5),
        Message::Renew(Question { run: 1, number: 1 }, Terms { standby: A, pact: 8, ..terms }, later, 5),
    ] {
        for at in [0, 1] {
            let before = *room.keepers[at].record();
            let reply = room.seen.len();
            room.tell(at, Input::Message(C, message));
            assert_eq!(before, *room.keepers[at].record(), "{message:?}");
            assert!(!room.seen[reply..].iter().any(|(_, it)| matches!(it, Output::Halt | Output::Stop)));
        }
    }
    assert_eq!(room.running(), [A]);
}
