//! Making entries of one's own. What would have no effect is refused with the reason.

use ed25519_dalek::{SigningKey, VerifyingKey};
use tutti_model::{DeviceId, Name, Role, WallTime, signed::Signed};

use super::{
    Group, Member,
    entry::{Action, Entry, EntryFault, EntryHash, MAX_PARENTS},
    error::GroupError,
    evaluate::{State, evaluate},
    grant::AppGrant,
};

/// The id of whoever holds a key.
fn id_of(key: &VerifyingKey) -> DeviceId {
    DeviceId::from_bytes(key.to_bytes())
}

impl Group {
    /// A new group of one, whose owner holds `key`.
    pub fn found(key: &SigningKey, name: Name, nonce: [u8; 16], at: WallTime) -> Self {
        Self::found_with(key, name, None, nonce, at)
    }

    /// A new group of one that has a recovery key from the start.
    pub fn found_recoverable(
        key: &SigningKey,
        name: Name,
        recovery: &VerifyingKey,
        nonce: [u8; 16],
        at: WallTime,
    ) -> Self {
        Self::found_with(key, name, Some(id_of(recovery)), nonce, at)
    }

    fn found_with(key: &SigningKey, name: Name, recovery: Option<DeviceId>, nonce: [u8; 16], at: WallTime) -> Self {
        let author = id_of(&key.verifying_key());
        let action = Action::Found { name, recovery };
        let entry = Entry { group: None, parents: Vec::new(), authority: None, author, at, nonce, action };
        let mut group = Self::empty();
        // A founding entry of a checked name has its form by construction, and an empty graph takes any.
        if let Ok(signed) = entry.sign(key) {
            let _ = group.graph.accept(EntryHash::of(&signed), signed, entry);
        }
        group.state = evaluate(&group.graph);
        group
    }

    /// Adds a device. Only owners may.
    pub fn add(
        &mut self,
        key: &SigningKey,
        device: DeviceId,
        role: Role,
        name: Name,
        nonce: [u8; 16],
        at: WallTime,
    ) -> Result<Signed, GroupError> {
        let authority = self.owner_authority(key)?;
        if let Some(member) = self.members().get(&device) {
            return Err(GroupError::AlreadyAMember { role: member.role });
        }
        self.act(key, Action::Add { device, role, name }, authority, None, nonce, at, |state| {
            state.members.contains_key(&device)
        })
    }

    /// Removes a device. Only owners may, except that every device may remove itself ([`leave`](Self::leave)).
    pub fn remove(
        &mut self,
        key: &SigningKey,
        device: DeviceId,
        nonce: [u8; 16],
        at: WallTime,
    ) -> Result<Signed, GroupError> {
        if device == id_of(&key.verifying_key()) {
            return self.leave(key, nonce, at);
        }
        let authority = self.owner_authority(key)?;
        let add = self.member(device)?.add;
        self.act(key, Action::Remove { device, add }, authority, Some(add), nonce, at, |state| {
            !state.members.contains_key(&device)
        })
    }

    /// Leaves the group. The last owner cannot.
    pub fn leave(&mut self, key: &SigningKey, nonce: [u8; 16], at: WallTime) -> Result<Signed, GroupError> {
        let device = id_of(&key.verifying_key());
        let removed = self.removed(device);
        let Member { add, role, .. } =
            *self.members().get(&device).ok_or(GroupError::NotAMember { device, removed })?;
        self.keep_an_owner(role)?;
        self.act(key, Action::Remove { device, add }, add, None, nonce, at, |state| {
            !state.members.contains_key(&device)
        })
    }

    /// Changes what a device may do. Only owners may; the last one cannot give up being one.
    pub fn set_role(
        &mut self,
        key: &SigningKey,
        device: DeviceId,
        role: Role,
        nonce: [u8; 16],
        at: WallTime,
    ) -> Result<Signed, GroupError> {
        let authority = self.owner_authority(key)?;
        let Member { add, role: now, .. } = self.member(device)?;
        if now == role {
            return Err(GroupError::SameRole(role));
        }
        self.keep_an_owner(now)?;
        self.act(key, Action::SetRole { device, add, role }, authority, Some(add), nonce, at, |state| {
            state.members.get(&device).is_some_and(|member| member.role == role)
        })
    }

    /// Makes recovery words work. Only owners may, and only if there are none or those of a less senior owner.
    pub fn set_recovery(
        &mut self,
        key: &SigningKey,
        recovery: &VerifyingKey,
        nonce: [u8; 16],
        at: WallTime,
    ) -> Result<Signed, GroupError> {
        let authority = self.owner_authority(key)?;
        let mine = self.graph.place(authority).map(|at| self.graph.nodes()[at].rank);
        if self.state.recovery.is_some_and(|set| mine.is_none_or(|mine| self.graph.author_rank(set) <= mine)) {
            return Err(GroupError::RecoverySet);
        }
        let recovery = id_of(recovery);
        self.act(key, Action::SetRecovery { key: recovery }, authority, None, nonce, at, |state| {
            state.recovery.is_some()
        })
    }

    /// Makes a device an owner by the key that the recovery words stand for, whatever it was before.
    pub fn recover(
        &mut self,
        recovery: &SigningKey,
        device: DeviceId,
        name: Name,
        nonce: [u8; 16],
        at: WallTime,
    ) -> Result<Signed, GroupError> {
        let set = self.state.recovery.ok_or(GroupError::NoRecovery)?;
        let set = &self.graph.nodes()[set];
        if set.recovery_key() != Some(id_of(&recovery.verifying_key())) {
            return Err(GroupError::WrongRecovery);
        }
        let set = set.hash;
        self.act(recovery, Action::Recover { device, name }, set, None, nonce, at, |state| {
            state.members.get(&device).is_some_and(|member| member.role == Role::Owner)
        })
    }

    /// Allows an app. Only owners may. What was allowed an app of this name is replaced; its least version is not gone back from.
    pub fn allow(
        &mut self,
        key: &SigningKey,
        grant: AppGrant,
        nonce: [u8; 16],
        at: WallTime,
    ) -> Result<Signed, GroupError> {
        let authority = self.owner_authority(key)?;
        if !grant.is_sound() {
            return Err(GroupError::Refused(EntryFault::Grant));
        }
        let before = self.grants().get(&grant.name).filter(|it| it.grant.author == grant.author);
        if let Some(floor) = before.map(|it| it.grant.floor).filter(|floor| *floor > grant.floor) {
            return Err(GroupError::Downgrade { floor });
        }
        let about = self.grants().get(&grant.name).map(|it| it.entry);
        let wanted = grant.clone();
        self.act(key, Action::Allow(grant), authority, about, nonce, at, |state| {
            state.grants.get(&wanted.name).is_some_and(|it| it.grant == wanted)
        })
    }

    /// Allows no app of this name any longer. Only owners may.
    pub fn disallow(
        &mut self,
        key: &SigningKey,
        name: Name,
        nonce: [u8; 16],
        at: WallTime,
    ) -> Result<Signed, GroupError> {
        let authority = self.owner_authority(key)?;
        let about = Some(self.grants().get(&name).ok_or(GroupError::UnknownApp(name))?.entry);
        self.act(key, Action::Disallow { name }, authority, about, nonce, at, |state| !state.grants.contains_key(&name))
    }

    fn member(&self, device: DeviceId) -> Result<Member, GroupError> {
        let removed = self.removed(device);
        self.members().get(&device).copied().ok_or(GroupError::UnknownDevice { device, removed })
    }

    /// The entry by which the holder of the key is an owner.
    fn owner_authority(&self, key: &SigningKey) -> Result<EntryHash, GroupError> {
        let device = id_of(&key.verifying_key());
        let removed = self.removed(device);
        let member = self.members().get(&device).ok_or(GroupError::NotAMember { device, removed })?;
        let authority = self.state.authority.get(&device).map(|&at| self.graph.nodes()[at].hash);
        authority.ok_or(GroupError::NotAnOwner { role: member.role })
    }

    /// Refuses to take a role away that the last owner has.
    fn keep_an_owner(&self, role: Role) -> Result<(), GroupError> {
        let owners = self.members().values().filter(|member| member.role == Role::Owner).count();
        if role == Role::Owner && owners == 1 { Err(GroupError::LastOwner) } else { Ok(()) }
    }

    /// Makes an entry after all that is here and takes it in, if it then does what it should.
    #[allow(clippy::too_many_arguments)]
    fn act(
        &mut self,
        key: &SigningKey,
        action: Action,
        authority: EntryHash,
        about: Option<EntryHash>,
        nonce: [u8; 16],
        at: WallTime,
        works: impl FnOnce(&State) -> bool,
    ) -> Result<Signed, GroupError> {
        let entry = Entry {
            group: Some(self.id()),
            parents: self.parents_after([Some(authority), about].into_iter().flatten()),
            authority: Some(authority),
            author: id_of(&key.verifying_key()),
            at,
            nonce,
            action,
        };
        let signed = entry.sign(key).map_err(GroupError::Refused)?;
        if !self.graph.has_room(&entry) {
            return Err(GroupError::Refused(EntryFault::OverShare { author: entry.author }));
        }
        let mut graph = self.graph.clone();
        graph.accept(EntryHash::of(&signed), signed.clone(), entry).map_err(GroupError::Refused)?;
        let state = evaluate(&graph);
        if !works(&state) {
            return Err(GroupError::NoEffect);
        }
        self.graph = graph;
        self.set_state(state);
        Ok(signed)
    }

    /// The heads, as parents of a new entry. If they are too many: first those that lead to what the entry needs,
    /// then those that count.
    fn parents_after(&self, needed: impl Iterator<Item = EntryHash>) -> Vec<EntryHash> {
        let heads: Vec<usize> = self.graph.heads().iter().filter_map(|hash| self.graph.place(*hash)).collect();
        let mut chosen: Vec<usize> = Vec::new();
        for place in needed.filter_map(|hash| self.graph.place(hash)) {
            let leads = |head: &&usize| **head == place || self.graph.nodes()[**head].past.contains(place);
            if !chosen.iter().any(|head| leads(&head)) {
                chosen.extend(heads.iter().find(leads));
            }
        }
        let (counting, idle): (Vec<usize>, Vec<usize>) =
            heads.into_iter().filter(|head| !chosen.contains(head)).partition(|&at| self.state.counting.contains(at));
        chosen.extend(counting.into_iter().chain(idle));
        chosen.truncate(MAX_PARENTS);
        let mut parents: Vec<EntryHash> = chosen.into_iter().map(|at| self.graph.nodes()[at].hash).collect();
        parents.sort_unstable();
        parents
    }
}
