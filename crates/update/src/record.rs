//! Which system is good and which is on trial: what is decided at each start, and what the record of it looks like.
//!
//! ```text
//! 0    "TUTTIBR1"
//! 8    sequence, u64: of two records the higher holds
//! 16   good: 0 built in, 1 slot a, 2 slot b
//! 17   trial: 0 none, 1 slot a, 2 slot b
//! 18   tries: starts that the trial has left
//! 19   failure of the last trial that failed: 0 none, or why
//! 20   floor: the highest version that was good, 3 × u32
//! 32   the version that failed, 3 × u32
//! 44   zero up to 96
//! 96   BLAKE3 of the first 96 bytes
//! 128
//! ```
//! All integers are little-endian.

use std::fmt;

use crate::version::Version;

/// The length of a record.
pub const LEN: usize = 128;

const MAGIC: &[u8; 8] = b"TUTTIBR1";
const BODY: usize = 96;

/// A place for a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// Both.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Its place in a list of both.
    pub const fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

/// A system that can be run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Choice {
    /// The one that the boot medium came with.
    #[default]
    BuiltIn,
    /// One that came later.
    Slot(Slot),
}

impl Choice {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::Slot(Slot::A) => "a",
            Self::Slot(Slot::B) => "b",
        }
    }

    /// The choice that a word stands for.
    pub fn named(word: &str) -> Option<Self> {
        [Self::BuiltIn, Self::Slot(Slot::A), Self::Slot(Slot::B)].into_iter().find(|choice| choice.word() == word)
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("the built-in system"),
            Self::Slot(_) => write!(f, "slot {}", self.word()),
        }
    }
}

/// Why a trial failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It did not join the pool in time.
    NotJoined,
    /// It was started as often as it may, and never got so far as to say how it is.
    Tries,
    /// What is in the slot is not what was signed.
    Damaged,
    /// It could not be started.
    NotStarted,
}

impl Failure {
    const ALL: [Self; 4] = [Self::NotJoined, Self::Tries, Self::Damaged, Self::NotStarted];

    const fn code(self) -> u8 {
        match self {
            Self::NotJoined => 1,
            Self::Tries => 2,
            Self::Damaged => 3,
            Self::NotStarted => 4,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotJoined => "it did not join the pool in time",
            Self::Tries => "it crashed or was cut off at each of its starts",
            Self::Damaged => "what was stored of it is damaged",
            Self::NotStarted => "it could not be started",
        })
    }
}

/// Which system is good and which is on trial.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Record {
    /// Counts records.
    pub sequence: u64,
    /// Runs unless something else is on trial.
    pub good: Choice,
    /// Runs for so many starts more, until it is good or has failed.
    pub trial: Option<(Slot, u8)>,
    /// The highest version that was good. Nothing older is taken.
    pub floor: Version,
    /// What failed last.
    pub failed: Option<(Version, Failure)>,
}

/// What to run, and what to write down before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Run this.
    pub run: Choice,
    /// It is on trial.
    pub trial: bool,
    /// Write this first; none if nothing changes.
    pub record: Option<Record>,
}

impl Record {
    /// Decides what to run. `version` gives the version in a slot, if what is there is whole and validly signed; it is asked
    /// no oftener than needed, since it costs reading the slot.
    pub fn start(&self, mut version: impl FnMut(Slot) -> Option<Version>) -> Start {
        let mut next = *self;
        if let Some((slot, tries)) = self.trial {
            let found = version(slot);
            if let (Some(_), 1..) = (found, tries) {
                next.trial = Some((slot, tries - 1));
                return Start { run: Choice::Slot(slot), trial: true, record: Some(next.counted()) };
            }
            next.trial = None;
            let failure = if found.is_some() { Failure::Tries } else { Failure::Damaged };
            next.failed = Some((found.unwrap_or_default(), failure));
        }
        let record = (next != *self).then(|| next.counted());
        let Choice::Slot(good) = self.good else { return Start { run: Choice::BuiltIn, trial: false, record } };
        // If the good one is damaged: the one that was good before it, unless it is the one that has just failed.
        let other = Some(good.other()).filter(|other| self.trial.is_none_or(|(trial, _)| trial != *other));
        let before = |found: Version| next.failed.is_none_or(|(failed, _)| failed != found);
        let run = if version(good).is_some() {
            Choice::Slot(good)
        } else if let Some(other) = other.filter(|other| version(*other).is_some_and(before)) {
            Choice::Slot(other)
        } else {
            Choice::BuiltIn
        };
        Start { run, trial: false, record }
    }

    /// Where a new system may be written while this one runs.
    pub const fn free(&self, running: Choice) -> Slot {
        match (running, self.good) {
            (Choice::Slot(slot), _) | (Choice::BuiltIn, Choice::Slot(slot)) => slot.other(),
            (Choice::BuiltIn, Choice::BuiltIn) => Slot::A,
        }
    }

    /// What is in the slot is no longer of any use: it is about to be overwritten.
    #[must_use]
    pub fn emptied(mut self, slot: Slot) -> Self {
        self.trial = self.trial.filter(|(trial, _)| *trial != slot);
        self.counted()
    }

    /// A new system in this slot is on trial.
    #[must_use]
    pub fn staged(mut self, slot: Slot, tries: u8) -> Self {
        self.trial = Some((slot, tries));
        self.counted()
    }

    /// The system on trial has joined the pool.
    #[must_use]
    pub fn confirmed(mut self, slot: Slot, version: Version) -> Self {
        (self.good, self.trial, self.failed) = (Choice::Slot(slot), None, None);
        self.floor = self.floor.max(version);
        self.counted()
    }

    /// The system on trial has failed.
    #[must_use]
    pub fn failed(mut self, version: Version, failure: Failure) -> Self {
        (self.trial, self.failed) = (None, Some((version, failure)));
        self.counted()
    }

    const fn counted(mut self) -> Self {
        self.sequence = self.sequence.saturating_add(1);
        self
    }

    /// As it is stored.
    pub fn emit(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        let code = |choice: Choice| match choice {
            Choice::BuiltIn => 0,
            Choice::Slot(slot) => slot_code(slot),
        };
        let (trial, tries) = self.trial.map_or((0, 0), |(slot, tries)| (slot_code(slot), tries));
        let (failed, failure) =
            self.failed.map_or((Version::default(), 0), |(version, failure)| (version, failure.code()));
        let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
        put(0, MAGIC);
        put(8, &self.sequence.to_le_bytes());
        put(16, &[code(self.good), trial, tries, failure]);
        for (index, number) in self.floor.0.into_iter().chain(failed.0).enumerate() {
            put(20 + 4 * index, &number.to_le_bytes());
        }
        let digest = blake3::hash(&bytes[..BODY]);
        bytes[BODY..].copy_from_slice(digest.as_bytes());
        bytes
    }

    /// Reads one. None if it is not whole.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (body, digest) = bytes.get(..LEN)?.split_at_checked(BODY)?;
        if bytes.len() != LEN || blake3::hash(body).as_bytes() != digest || !body.starts_with(MAGIC) {
            return None;
        }
        let number = |at: usize| body.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let version = |at: usize| Some(Version([number(at)?, number(at + 4)?, number(at + 8)?]));
        let &[good, trial, tries, failure] = body.get(16..20)? else { return None };
        let good = if good == 0 { Choice::BuiltIn } else { Choice::Slot(slot_of(good)?) };
        let trial = if trial == 0 { None } else { Some((slot_of(trial)?, tries)) };
        let failed = match failure {
            0 => None,
            code => Some((version(32)?, Failure::ALL.into_iter().find(|failure| failure.code() == code)?)),
        };
        let sequence = u64::from_le_bytes(body.get(8..16)?.try_into().ok()?);
        Some(Self { sequence, good, trial, floor: version(20)?, failed })
    }
}

const fn slot_code(slot: Slot) -> u8 {
    match slot {
        Slot::A => 1,
        Slot::B => 2,
    }
}

const fn slot_of(code: u8) -> Option<Slot> {
    match code {
        1 => Some(Slot::A),
        2 => Some(Slot::B),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V1: Version = Version([1, 0, 0]);
    const V2: Version = Version([2, 0, 0]);

    fn good(slot: Slot) -> Record {
        Record { sequence: 5, good: Choice::Slot(slot), floor: V1, ..Record::default() }
    }

    #[test]
    fn a_trial_has_so_many_starts() {
        let mut record = good(Slot::A).staged(Slot::B, 3);
        for _ in 0..3 {
            let start = record.start(|_| Some(V2));
            assert_eq!((start.run, start.trial), (Choice::Slot(Slot::B), true));
            record = start.record.unwrap();
        }
        let start = record.start(|_| Some(V2));
        assert_eq!((start.run, start.trial), (Choice::Slot(Slot::A), false));
        record = start.record.unwrap();
        assert_eq!((record.trial, record.failed), (None, Some((V2, Failure::Tries))));
        assert_eq!(record.start(|_| Some(V2)).record, None, "from here on nothing changes");
    }

    #[test]
    fn a_trial_that_joins_is_good_and_raises_the_floor() {
        let record = good(Slot::A).staged(Slot::B, 3).confirmed(Slot::B, V2);
        assert_eq!((record.good, record.trial, record.floor), (Choice::Slot(Slot::B), None, V2));
        assert_eq!(record.free(Choice::Slot(Slot::B)), Slot::A);
    }

    #[test]
    fn a_damaged_slot_is_passed_over() {
        let staged = good(Slot::A).staged(Slot::B, 3);
        let start = staged.start(|slot| (slot == Slot::A).then_some(V1));
        assert_eq!(start.run, Choice::Slot(Slot::A));
        assert_eq!(start.record.unwrap().failed, Some((Version::default(), Failure::Damaged)));
        let start = good(Slot::A).start(|slot| (slot == Slot::B).then_some(V1));
        assert_eq!(start.run, Choice::Slot(Slot::B), "the one that was good before");
        assert_eq!(good(Slot::A).start(|_| None).run, Choice::BuiltIn);
        let failed = good(Slot::A).failed(V2, Failure::NotJoined);
        assert_eq!(failed.start(|slot| (slot == Slot::B).then_some(V2)).run, Choice::BuiltIn, "not what has failed");
    }

    #[test]
    fn what_runs_or_is_good_is_never_overwritten() {
        for good in [Choice::BuiltIn, Choice::Slot(Slot::A), Choice::Slot(Slot::B)] {
            for running in [good, Choice::BuiltIn] {
                let record = Record { good, ..Record::default() };
                let free = Choice::Slot(record.free(running));
                assert!(free != running && free != good, "{good:?} {running:?}");
            }
        }
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let slot = prop_oneof![Just(Slot::A), Just(Slot::B)];
        let choice = prop_oneof![Just(Choice::BuiltIn), slot.clone().prop_map(Choice::Slot)];
        let version = any::<[u32; 3]>().prop_map(Version);
        let failure = prop::sample::select(Failure::ALL.to_vec());
        (
            any::<u64>(),
            choice,
            prop::option::of((slot, any::<u8>())),
            version.clone(),
            prop::option::of((version, failure)),
        )
            .prop_map(|(sequence, good, trial, floor, failed)| Record { sequence, good, trial, floor, failed })
    }

    proptest! {
        #[test]
        fn records_round_trip(record in any_record()) {
            prop_assert_eq!(Record::parse(&record.emit()), Some(record));
        }

        #[test]
        fn a_torn_record_is_none(record in any_record(), at in 0..LEN, bit in 0u8..8, len in 0..LEN) {
            let mut bytes = record.emit();
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Record::parse(&bytes), None);
            prop_assert_eq!(Record::parse(&record.emit()[..len]), None);
        }

        /// Whatever is recorded and whatever is on the disk: something runs that is whole, and trials end.
        #[test]
        fn something_runs(mut record in any_record(), whole in any::<[bool; 2]>()) {
            record.sequence %= 1 << 40;
            let version = |slot: Slot| whole[slot.index()].then_some(V1);
            let mut trials = 0;
            loop {
                let start = record.start(version);
                if let Choice::Slot(slot) = start.run {
                    prop_assert!(whole[slot.index()]);
                }
                match start.record {
                    Some(next) => {
                        prop_assert!(next.sequence > record.sequence);
                        record = next;
                    }
                    None => break,
                }
                trials += 1;
                prop_assert!(trials <= 257);
            }
            prop_assert_eq!(record.trial, None);
        }
    }
}
