//! How the group changes: taken in from others, proved by a stranger, added to by this device, given up for another.

use std::{collections::BTreeSet, fmt, sync::Arc};

use ed25519_dalek::SigningKey;
use tutti_model::{DeviceId, signed::Signed};

use super::{Core, alone, keys, show_group};
use crate::{
    group::{Action, EntryHash, Group, GroupError},
    session::handshake::HandshakeError,
    store::{StoreError, run_blocking},
    timing,
    view::RemovedFrom,
};

/// Why entries of the group were not taken in.
#[derive(Debug)]
pub(crate) enum LearnError {
    /// One of them is bad. The good ones were kept.
    Group(GroupError),
    /// They could not be saved.
    Store(StoreError),
}

impl fmt::Display for LearnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl From<StoreError> for LearnError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<LearnError> for HandshakeError {
    fn from(error: LearnError) -> Self {
        match error {
            LearnError::Group(error) => Self::Misbehaved(error.to_string()),
            LearnError::Store(error) => Self::State(error.to_string()),
        }
    }
}

impl Core {
    /// Takes in entries from another member. The good ones are kept even if one is bad.
    pub(crate) async fn learn(self: &Arc<Self>, entries: Vec<Signed>) -> Result<(), LearnError> {
        if entries.is_empty() {
            return Ok(());
        }
        let _turn = self.group_turn.lock().await;
        let before = self.group();
        let (group, merged) = merge(&before, entries).await?;
        if group.len() != before.len() {
            self.install(group).await?;
        }
        match merged {
            // Another device may have had room for what this one has not.
            Err(GroupError::BadEntry { fault, .. }) if !fault.is_misbehaviour() => {
                tracing::warn!(%fault, "the group's history is full here");
                Ok(())
            }
            merged => merged.map_err(LearnError::Group),
        }
    }

    /// Lets a device in that is not a member as far as is known here, if the entries that it shows make it one.
    /// Of what it shows, nothing is kept otherwise.
    pub(crate) async fn admit(self: &Arc<Self>, device: DeviceId, proof: Vec<Signed>) -> Result<(), HandshakeError> {
        let Ok(_turn) = self.proof_turn.acquire().await else { return Err(HandshakeError::NotAMember) };
        let _group = self.group_turn.lock().await;
        let (group, merged) = merge(&self.group(), proof).await.map_err(LearnError::from)?;
        if group.role_of(device).is_none() {
            // An altered or forged entry is told from an honest history that is out of date.
            return Err(match merged {
                Err(GroupError::BadEntry { fault, .. }) if !fault.is_misbehaviour() => HandshakeError::NotAMember,
                Err(error) => LearnError::Group(error).into(),
                Ok(()) => HandshakeError::NotAMember,
            });
        }
        self.install(group).await.map_err(HandshakeError::from)
    }

    /// What a device that was removed has to know in order to see that it was: the entries that did it, with all
    /// that they rest on. Nothing for a device that was never a member.
    pub(crate) fn removal_of(&self, device: DeviceId) -> Vec<Signed> {
        let group = self.group();
        let removes = |hash: &EntryHash| {
            group.entry(*hash).is_some_and(
                |entry| matches!(entry.action, Action::Remove { device: removed, .. } if removed == device),
            )
        };
        let mut wanted: Vec<EntryHash> = group.hashes().filter(removes).filter(|hash| group.counts(*hash)).collect();
        let mut history = BTreeSet::new();
        while let Some(hash) = wanted.pop() {
            if history.insert(hash) {
                wanted.extend(group.entry(hash).into_iter().flat_map(|entry| entry.parents.iter().copied()));
            }
        }
        let mut entries = group.missing_from(&BTreeSet::new());
        entries.retain(|entry| history.contains(&EntryHash::of(entry)));
        entries
    }

    /// Makes an entry of this device's own and takes it in. `make` appends to the group it is given.
    pub(crate) async fn append(
        self: &Arc<Self>,
        make: impl FnOnce(&mut Group, &SigningKey) -> Result<Signed, GroupError>,
    ) -> Result<(), LearnError> {
        let _turn = self.group_turn.lock().await;
        let mut group = (*self.group()).clone();
        make(&mut group, &self.key).map_err(LearnError::Group)?;
        self.install(group).await
    }

    /// Gives up the group for another one: that of somebody who let this device in, or a new group of one.
    pub(crate) async fn replace_group(
        self: &Arc<Self>,
        group: Group,
        removed: Option<RemovedFrom>,
    ) -> Result<(), LearnError> {
        let _turn = self.group_turn.lock().await;
        self.save_removed(removed.as_ref()).await?;
        self.lock().removed = removed;
        self.install(group).await
    }

    /// The group that this device is not in any more is nothing to report (it left by itself).
    pub(crate) async fn forget_removal(&self) -> Result<(), StoreError> {
        self.save_removed(None).await?;
        self.update(|state| state.removed = None);
        Ok(())
    }

    /// Saves the group, shows it and acts upon it. Call with the turn held.
    async fn install(self: &Arc<Self>, group: Group) -> Result<(), LearnError> {
        let mut group = group;
        if group.role_of(self.me).is_none() {
            let removed = self.removed_from(&group);
            tracing::warn!(group = %group.id(), "this device was removed from its group; it is alone now");
            self.goodbye(group).await;
            group = alone(&self.key, self.lock().name, (self.random)(), self.clock.as_ref());
            self.save_removed(Some(&removed)).await?;
            self.lock().removed = Some(removed);
        }
        let bytes = group.encode();
        self.save(keys::GROUP, bytes).await?;
        let mut state = self.lock();
        state.group_view = Arc::new(show_group(self.me, &group));
        state.group = Arc::new(group);
        self.reconcile(&mut state);
        self.publish(&state);
        drop(state);
        self.group_changes.send_modify(|count| *count += 1);
        Ok(())
    }

    fn removed_from(&self, group: &Group) -> RemovedFrom {
        let by = group.removed(self.me).map_or(self.me, |removal| removal.by);
        let by_name = self.lock().group.members().get(&by).map(|member| member.name);
        RemovedFrom { group: group.id(), by, by_name }
    }

    /// Shows the group without this device for a moment, so that sessions tell the others what they have learnt.
    async fn goodbye(&self, group: Group) {
        self.lock().group = Arc::new(group);
        self.group_changes.send_modify(|count| *count += 1);
        tokio::time::sleep(timing::GOODBYE / 2).await;
    }

    async fn save_removed(&self, removed: Option<&RemovedFrom>) -> Result<(), StoreError> {
        let bytes = removed.map_or_else(Vec::new, |removed| {
            let by_name = removed.by_name;
            postcard::to_allocvec(&(removed.group, removed.by, by_name)).unwrap_or_default()
        });
        self.save(keys::REMOVED, bytes).await
    }
}

/// Merges on a blocking thread: checking thousands of signatures takes a while.
async fn merge(group: &Arc<Group>, entries: Vec<Signed>) -> Result<(Group, Result<(), GroupError>), StoreError> {
    let mut group = (**group).clone();
    run_blocking(move || {
        let merged = group.merge(entries).map(|_| ());
        (group, merged)
    })
    .await
}
