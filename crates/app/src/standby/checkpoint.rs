//! A checkpoint as it is sent and kept: what an app had saved, as a whole or as what differs from the checkpoint before it.
//!
//! # In bytes
//! Two sections ([`tutti_model::section`]): 0660 with instance, pact, mark, the mark of the checkpoint that it follows (or none), and what is kept
//! beside the state; 0630 as in [`snapshot`](crate::snapshot), against a fresh instance or against the checkpoint before it.
//!
//! # The other side is hostile
//! Any bytes may come. Memory is bounded by the caller's number of pages before anything is allocated; an outbox that no home could have made is refused;
//! an increment counts only if it follows, by mark and by digest, the one that is there, and nothing is changed if it does not.

use std::fmt;

use serde::{Deserialize, Serialize};
use tutti_model::section::{SectionError, SectionWriter, Sections, Tag};

use super::Mark;
use crate::{
    home::Kept,
    ids::InstanceId,
    snapshot::{Image, Patch, SnapshotError},
};

const CHECKPOINT: Tag = Tag(0x0660);

/// What an instance had saved, on its way to a standby.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Whose.
    pub instance: InstanceId,
    /// Under which agreement.
    pub pact: u64,
    /// Which.
    pub mark: Mark,
    /// The one that it follows; `None` if it is whole.
    pub base: Option<Mark>,
    /// Ledger and outbox.
    pub kept: Kept,
    /// The app's own state, against that of the one before or a fresh instance.
    pub patch: Patch,
}

/// Why bytes are no checkpoint, or not one that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Not made of sections.
    Sections(SectionError),
    /// The state in it.
    Snapshot(SnapshotError),
    /// Its outbox is none that a home makes.
    BadOutbox,
    /// It does not follow what is here, or is not newer: a whole one is needed.
    DoesNotFollow,
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sections(error) => error.fmt(f),
            Self::Snapshot(error) => error.fmt(f),
            Self::BadOutbox => f.write_str("the checkpoint holds effects out of order; it is damaged or was edited"),
            Self::DoesNotFollow => f.write_str("the checkpoint does not follow what is here; a whole one is needed"),
        }
    }
}

impl std::error::Error for CheckpointError {}

impl From<SectionError> for CheckpointError {
    fn from(error: SectionError) -> Self {
        Self::Sections(error)
    }
}

impl From<SnapshotError> for CheckpointError {
    fn from(error: SnapshotError) -> Self {
        Self::Snapshot(error)
    }
}

#[derive(Serialize, Deserialize)]
struct HeadV1 {
    instance: InstanceId,
    pact: u64,
    mark: Mark,
    base: Option<Mark>,
    kept: Kept,
}

impl Checkpoint {
    /// As bytes.
    ///
    /// # Errors
    /// [`CheckpointError::Snapshot`] beyond 4 GiB.
    pub fn emit(&self) -> Result<Vec<u8>, CheckpointError> {
        let Self { instance, pact, mark, base, ref kept, ref patch } = *self;
        let mut writer = SectionWriter::new();
        writer.push(CHECKPOINT, 1, &HeadV1 { instance, pact, mark, base, kept: kept.clone() })?;
        let mut bytes = writer.finish();
        bytes.extend_from_slice(&patch.emit()?);
        Ok(bytes)
    }

    /// Reads a checkpoint of an app of at most so many pages.
    ///
    /// # Errors
    /// If it is malformed or too large.
    pub fn parse(bytes: &[u8], limit: u32) -> Result<Self, CheckpointError> {
        let head: HeadV1 = Sections::new_checked(bytes)?.one(CHECKPOINT)?.decode()?;
        let patch = Patch::parse(bytes, limit)?;
        let HeadV1 { instance, pact, mark, base, kept } = head;
        if !kept.outbox.is_sound() || kept.saves != mark.saves {
            return Err(CheckpointError::BadOutbox);
        }
        Ok(Self { instance, pact, mark, base, kept, patch })
    }
}

/// An instance as its standby could go on with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    /// Under which agreement.
    pub pact: u64,
    /// Up to where.
    pub mark: Mark,
    /// Its state.
    pub image: Image,
    /// Ledger and outbox.
    pub kept: Kept,
}

impl Replica {
    /// What is there after this checkpoint, if `before` was there. `fresh` is a fresh instance of the same component.
    ///
    /// # Errors
    /// [`CheckpointError::DoesNotFollow`]: ask for a whole one ([`Input::Unfit`](super::Input::Unfit)). What was there stays.
    pub fn after(before: Option<&Self>, fresh: &Image, checkpoint: Checkpoint) -> Result<Self, CheckpointError> {
        let Checkpoint { pact, mark, base, kept, patch, .. } = checkpoint;
        // What is there of the same agreement is never replaced by what is older; the same may come again, if it was not known to be stored.
        let older = before.is_some_and(|it| (pact, mark) < (it.pact, it.mark));
        let image = match (base, before) {
            _ if older => return Err(CheckpointError::DoesNotFollow),
            (None, _) => patch.apply(fresh)?,
            (Some(base), Some(it)) if (it.pact, it.mark) == (pact, base) => patch.apply(&it.image)?,
            _ => return Err(CheckpointError::DoesNotFollow),
        };
        Ok(Self { pact, mark, image, kept })
    }

    /// All of it as one checkpoint, for the store: instead of the first one and a long line of increments.
    pub fn whole(&self, instance: InstanceId, fresh: &Image) -> Checkpoint {
        let Self { pact, mark, ref image, ref kept } = *self;
        Checkpoint { instance, pact, mark, base: None, kept: kept.clone(), patch: image.since(fresh) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{effects::Receiver, ids::Epoch, snapshot::PAGE};
    use tutti_model::DeviceId;

    const INSTANCE: InstanceId = InstanceId::from_bytes([7; 16]);

    fn image(byte: u8) -> Image {
        let mut memory = vec![0; 2 * PAGE];
        memory[700] = byte;
        Image::new(vec![u64::from(byte)], memory)
    }

    fn mark(saves: u64) -> Mark {
        Mark { epoch: Epoch::first(DeviceId::from_bytes([1; 32])), saves }
    }

    fn checkpoint(pact: u64, base: Option<u64>, saves: u64) -> Checkpoint {
        let mut kept = Kept { saves, ..Kept::default() };
        kept.outbox.push(mark(0).epoch, Receiver::Instance(INSTANCE), vec![saves as u8]).unwrap();
        let patch = image(saves as u8).since(&image(base.unwrap_or(0) as u8));
        Checkpoint { instance: INSTANCE, pact, mark: mark(saves), base: base.map(mark), kept, patch }
    }

    #[test]
    fn increments_lead_to_what_was_saved_and_nothing_is_taken_out_of_turn() {
        let first = Replica::after(None, &image(0), checkpoint(1, None, 3)).unwrap();
        let bytes = checkpoint(1, Some(3), 5).emit().unwrap();
        assert!(bytes.len() < 400, "{}", bytes.len());
        let second = Replica::after(Some(&first), &image(0), Checkpoint::parse(&bytes, 2).unwrap()).unwrap();
        assert_eq!((&second.image, second.kept.saves, second.mark), (&image(5), 5, mark(5)));
        // Stored as a whole, it is the same.
        let whole = Checkpoint::parse(&second.whole(INSTANCE, &image(0)).emit().unwrap(), 2).unwrap();
        assert_eq!(Replica::after(None, &image(0), whole), Ok(second.clone()));
        let refused = Err(CheckpointError::DoesNotFollow);
        for (before, checkpoint) in [
            (None, checkpoint(1, Some(3), 5)),
            (Some(&second), checkpoint(1, Some(3), 6)),
            (Some(&second), checkpoint(1, None, 4)),
            (Some(&second), checkpoint(2, Some(5), 6)),
        ] {
            assert_eq!(Replica::after(before, &image(0), checkpoint), refused);
        }
        // Of a later agreement, a whole one counts whatever was there.
        assert!(Replica::after(Some(&second), &image(0), checkpoint(2, None, 1)).is_ok());
    }

    #[test]
    fn what_is_damaged_or_too_large_is_refused() {
        let bytes = checkpoint(1, None, 3).emit().unwrap();
        assert!(matches!(Checkpoint::parse(&bytes, 1), Err(CheckpointError::Snapshot(SnapshotError::TooLarge))));
        for cut in [0, 10, bytes.len() - 1] {
            assert!(Checkpoint::parse(&bytes[..cut], 2).is_err());
        }
        let mut lies = checkpoint(1, None, 3);
        lies.mark.saves = 4;
        assert_eq!(Checkpoint::parse(&lies.emit().unwrap(), 2), Err(CheckpointError::BadOutbox));
        let mut edited = bytes.clone();
        let last = edited.len() - 3;
        edited[last] ^= 1;
        let result = Checkpoint::parse(&edited, 2).and_then(|it| Replica::after(None, &image(0), it));
        assert!(result.is_err());
    }
}
