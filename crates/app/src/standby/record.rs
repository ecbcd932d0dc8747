//! What a device's disk says about the run-lease of an instance, as its home and as its standby.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use tutti_model::{
    DeviceId,
    section::{SectionError, SectionWriter, Sections, Tag},
};

use super::longer;
use crate::ids::Epoch;

/// What to do while home and standby do not hear of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Prefer {
    /// One copy: the home stops before the standby starts.
    One,
    /// Going on: both may run; both copies are kept, and shown, once they hear of each other.
    Available,
}

/// How an instance is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Settings {
    /// How long a run-lease lasts.
    pub lease: Duration,
    /// How often a checkpoint is made, if something has changed.
    pub every: Duration,
    /// The most work that a fail-over may lose. The instance stands still when it has worked for half as long without a checkpoint that the standby
    /// has; the other half is for a home that it came from in that time.
    pub most_lost: Duration,
    /// What to do in a partition.
    pub prefer: Prefer,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { lease: seconds(10), every: seconds(2), most_lost: LOST * seconds(2), prefer: Prefer::One }
    }
}

/// What [`Settings`] mean, beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foretold {
    /// From the last sign of life of the home that reached the standby until the standby starts, beside two writes to its disk.
    pub fail_over: Duration,
    /// A fail-over loses at most what was done in the last so long, beside the event under way; `None`: in a partition there is no bound, but the
    /// lost branch is kept at its home.
    pub most_lost: Option<Duration>,
}

/// The bounds of [`Settings::lease`].
const LEASE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// The bounds of [`Settings::every`].
const EVERY: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
/// As many intervals between checkpoints are lost at most, unless something else is said.
const LOST: u32 = 5;

/// Why [`Settings`] are not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsound {
    /// [`Settings::lease`].
    Lease,
    /// [`Settings::every`].
    Every,
    /// [`Settings::most_lost`].
    MostLost,
}

impl Settings {
    /// What somebody chose, with the usual for what they did not; at most five intervals of work are lost.
    ///
    /// # Errors
    /// If they are not possible.
    pub fn chosen(lease: Option<Duration>, every: Option<Duration>, prefer: Prefer) -> Result<Self, Unsound> {
        let usual = Self::default();
        let every = every.unwrap_or(usual.every);
        let most_lost = every.saturating_mul(LOST);
        let chosen = Self { lease: lease.unwrap_or(usual.lease), every, most_lost, prefer };
        chosen.check().map(|()| chosen)
    }

    /// Whether they are possible: a lease of 1 s to 1 h, a checkpoint each 100 ms to 1 h, and a loss of no less than four intervals.
    ///
    /// # Errors
    /// If not: which is out of bounds.
    pub fn check(&self) -> Result<(), Unsound> {
        if !LEASE.contains(&self.lease) {
            return Err(Unsound::Lease);
        }
        if !EVERY.contains(&self.every) {
            return Err(Unsound::Every);
        }
        if self.most_lost < self.every * 4 { Err(Unsound::MostLost) } else { Ok(()) }
    }

    /// Whether [`check`](Self::check) finds nothing.
    pub fn are_sound(&self) -> bool {
        self.check().is_ok()
    }

    /// How long work may wait for a checkpoint.
    pub(super) fn patience(&self) -> Duration {
        self.most_lost / 2
    }

    /// How long a fail-over takes and the most that can be lost.
    pub fn foretell(&self) -> Foretold {
        let most_lost = (self.prefer == Prefer::One).then_some(self.most_lost);
        Foretold { fail_over: longer(self.lease), most_lost }
    }
}

/// What home and standby have agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Terms {
    /// Who is the standby.
    pub standby: DeviceId,
    /// Tells this agreement from earlier ones with the same standby. Grows.
    pub pact: u64,
    /// How.
    pub settings: Settings,
}

/// The name of a checkpoint: what was saved by then. Grows along the life of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// By which home.
    pub epoch: Epoch,
    /// The number of saves in it.
    pub saves: u64,
}

/// What a standby has promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Duty {
    /// It grants run-leases, and starts nothing before the end of the last one. When that is, is not written with each: after a restart it is counted
    /// anew from there, and so from later than it was granted.
    Granting {
        /// To whom, and on which terms.
        terms: Terms,
        /// The latest epoch that has had one.
        granted: Epoch,
    },
    /// Nothing below an epoch may run any more: this device has taken over in it, or knows it to have begun.
    Over {
        /// Under which pact.
        pact: u64,
        /// Which epoch.
        by: Epoch,
        /// From which checkpoint, if it was taken over here.
        from: Option<Mark>,
    },
    /// The home has asked to be let go of. Nothing is guarded under this pact or an earlier one.
    Released {
        /// Which pact.
        pact: u64,
    },
}

/// What is kept under an instance's id, beside the [`handover::Record`](crate::handover::Record).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Record {
    /// The highest pact known here.
    pub pact: u64,
    /// Who guards it, if this is its home or it is prepared to come here.
    pub terms: Option<Terms>,
    /// What this device has promised as a standby.
    pub duty: Option<Duty>,
    /// The latest epoch that this device has, as a standby, granted a run-lease or known to have begun. It outlives every duty: whoever asks for an
    /// earlier one has been out of reach since.
    pub floor: Option<Epoch>,
}

const RECORD: Tag = Tag(0x0650);

impl Record {
    /// With the floor that follows from the duty.
    pub(super) fn with_floor(self) -> Self {
        let of_duty = match self.duty {
            Some(Duty::Granting { granted, .. }) => Some(granted),
            Some(Duty::Over { by, .. }) => Some(by),
            Some(Duty::Released { .. }) | None => None,
        };
        Self { floor: self.floor.max(of_duty), ..self }
    }

    /// The record as bytes for the store.
    ///
    /// # Errors
    /// None in practice: every record has a form in bytes.
    pub fn save(&self) -> Result<Vec<u8>, SectionError> {
        let mut writer = SectionWriter::new();
        writer.push(RECORD, 1, self)?;
        Ok(writer.finish())
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// If it is damaged. To go on as if there were nothing could start a second copy, so the caller must not.
    pub fn restore(bytes: &[u8]) -> Result<Self, SectionError> {
        Sections::new_checked(bytes)?.one(RECORD)?.decode()
    }
}

impl fmt::Display for Foretold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "goes on elsewhere {:.1} s after its home was last heard of; ", self.fail_over.as_secs_f32())?;
        match self.most_lost {
            Some(most) => write!(f, "at most the last {:.1} s of its work are lost", most.as_secs_f32()),
            None => f.write_str("what was done meanwhile stays at its home, as a second branch"),
        }
    }
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lease => "a run-lease lasts from one second to an hour",
            Self::Every => "checkpoints are made each tenth of a second to each hour",
            Self::MostLost => "the most that may be lost is no less than four intervals between checkpoints",
        })
    }
}

impl std::error::Error for Unsound {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_as_they_were_saved() {
        let home = DeviceId::from_bytes([1; 32]);
        let granted = Epoch::first(home);
        let terms = Terms { standby: DeviceId::from_bytes([2; 32]), pact: 3, settings: Settings::default() };
        let mark = Mark { epoch: granted, saves: 300 };
        for duty in [
            None,
            Some(Duty::Granting { terms, granted }),
            Some(Duty::Over { pact: 3, by: granted, from: Some(mark) }),
            Some(Duty::Released { pact: 3 }),
        ] {
            let record = Record { pact: 3, terms: Some(terms), duty, floor: Some(granted) };
            let bytes = record.save().unwrap();
            assert_eq!(Record::restore(&bytes), Ok(record));
            assert!(Record::restore(&bytes[..bytes.len() - 1]).is_err());
        }
    }

    #[test]
    fn settings_say_what_they_mean() {
        let settings = Settings::default();
        assert!(settings.are_sound());
        assert_eq!(
            settings.foretell().to_string(),
            "goes on elsewhere 10.1 s after its home was last heard of; at most the last 10.0 s of its work are lost"
        );
        assert_eq!(Settings { prefer: Prefer::Available, ..settings }.foretell().most_lost, None);
        assert_eq!(Settings { most_lost: Duration::from_secs(7), ..settings }.check(), Err(Unsound::MostLost));
        assert!(!Settings { every: Duration::MAX, most_lost: Duration::MAX, ..settings }.are_sound());
        let chosen = |lease, every| Settings::chosen(lease, every, Prefer::One);
        assert_eq!(chosen(None, None), Ok(settings));
        let millis = |millis| Some(Duration::from_millis(millis));
        let quick = chosen(millis(3000), millis(400)).unwrap().foretell();
        assert!(quick.fail_over < Duration::from_millis(3031) && quick.most_lost == millis(2000));
        for lease in [999, 3_600_001, u64::MAX] {
            assert_eq!(chosen(millis(lease), None), Err(Unsound::Lease));
        }
        for every in [0, 99, 3_600_001, u64::MAX] {
            assert_eq!(chosen(None, millis(every)), Err(Unsound::Every));
        }
    }
}
