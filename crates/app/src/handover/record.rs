//! What a device's disk says about an instance: the one fact that decides whether it may run there.

use serde::{Deserialize, Serialize};
use tutti_model::{
    DeviceId,
    section::{SectionError, SectionWriter, Sections, Tag},
};

use super::message::Claim;
use crate::ids::{Attempt, Epoch};

/// Where an instance stands on one device, durably.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// This is its home: it may run here.
    Home {
        /// Since when.
        epoch: Epoch,
    },
    /// It was given to `next.home`, which has not yet said that it knows. It runs nowhere else, and no longer here.
    Leaving {
        /// Until then.
        epoch: Epoch,
        /// By which attempt.
        attempt: Attempt,
        /// The epoch that begins at the target.
        next: Epoch,
    },
    /// Its whole state is here; the source decides whether it is this device's.
    Prepared {
        /// By which attempt.
        attempt: Attempt,
        /// Who decides.
        source: DeviceId,
        /// The epoch that would begin.
        next: Epoch,
        /// What stood here before.
        before: Option<Epoch>,
    },
    /// It is not here. It was, or was void, up to `until`; older claims are not believed.
    Gone {
        /// The latest epoch known to have ended or begun elsewhere.
        until: Epoch,
    },
    /// An owner has given this copy up while it was out of reach. It is kept for the owner to look at, and never runs again.
    Stray {
        /// The latest epoch known here of what was given up: this device's own, or that of whom it had given it to.
        epoch: Epoch,
        /// What took its place.
        by: Epoch,
    },
}

impl Standing {
    /// The latest epoch that this standing knows to have begun.
    pub fn floor(&self) -> Option<Epoch> {
        match *self {
            Self::Home { epoch } => Some(epoch),
            Self::Leaving { next, .. } => Some(next),
            Self::Prepared { before, .. } => before,
            Self::Gone { until } => Some(until),
            Self::Stray { by, .. } => Some(by),
        }
    }
}

/// What is kept under an instance's id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Record {
    /// Where it stands.
    pub standing: Standing,
    /// By what right its branch is above the first.
    pub claim: Option<Claim>,
}

const RECORD: Tag = Tag(0x0620);

impl Record {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_as_they_were_saved() {
        let home = DeviceId::from_bytes([1; 32]);
        let epoch = Epoch::first(home);
        let next = epoch.moved_to(DeviceId::from_bytes([2; 32])).unwrap();
        let attempt = Attempt(4);
        for standing in [
            Standing::Home { epoch },
            Standing::Leaving { epoch, attempt, next },
            Standing::Prepared { attempt, source: home, next, before: Some(epoch) },
            Standing::Gone { until: next },
            Standing::Stray { epoch, by: next },
        ] {
            let record = Record { standing, claim: None };
            let bytes = record.save().unwrap();
            assert_eq!(Record::restore(&bytes), Ok(record));
            assert!(Record::restore(&bytes[..bytes.len() - 1]).is_err());
        }
        assert!(Record::restore(&[]).is_err());
    }
}
