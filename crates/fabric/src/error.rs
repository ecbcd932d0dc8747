//! What can go wrong when the fabric starts, or when the group is changed.

use std::fmt;

use crate::{group::GroupError, recovery::WordsError, store::StoreError};

/// Why the fabric did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The state could not be read or written.
    Store(StoreError),
    /// What was saved of the group is not a group.
    Group(GroupError),
    /// The saved group does not have this device: the key was replaced, or the state is another device's.
    NotMine,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Group(error) => write!(f, "the saved trust group is damaged: {error}"),
            Self::NotMine => f.write_str(
                "the saved trust group does not have this device: its key was replaced, or the state folder is \
                 another device's",
            ),
        }
    }
}

impl std::error::Error for StartError {}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Why the group was not changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum GroupChangeError {
    /// The group's rules do not allow it.
    Group(GroupError),
    /// It could not be saved.
    Store(StoreError),
    /// There is no group to leave: this device is alone.
    Alone,
    /// These are not recovery words.
    Words(WordsError),
}

impl fmt::Display for GroupChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Alone => f.write_str("this device is alone in its group; there is nothing to leave"),
            Self::Words(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for GroupChangeError {}

impl From<StoreError> for GroupChangeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
