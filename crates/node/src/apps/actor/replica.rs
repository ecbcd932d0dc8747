//! The side of a standby: what it keeps of an instance, and how it goes on with it.
//!
//! A replica is a journal like that of an instance at home: a whole checkpoint, then what changed, each applied to the one before it while it comes and
//! refused if it does not fit. So what is acknowledged can be gone on with. The record names the journal and the last mark in it; a step that a
//! crash left behind the mark is newer and as good.

use tutti_app::{
    handover::{Standing, Why},
    runtime::Limits,
    snapshot::Image,
    standby::{self, Duty, Input, Mark},
};
use tutti_control::AuditWhat;
use tutti_model::DeviceId;

use super::{Actor, durable::follow};
use crate::apps::{
    MAX_MEMORY,
    disk::{Folder, Replica, Saved},
    journal::{Journal, Kept, Step, max_patch},
    wire::CheckpointHead,
};

/// A replica, ready for the next increment.
pub(super) struct Copied {
    pact: u64,
    mark: Mark,
    image: Image,
    limits: Limits,
    journal: Journal,
}

/// What the machine is to know of what is on the disk.
pub(super) fn known(folder: &Folder, saved: Option<&Saved>) -> Result<standby::Saved, String> {
    let Some(saved) = saved else { return Ok(standby::Saved::default()) };
    let checkpoint = match &saved.replica {
        None => None,
        Some(replica) => {
            let saves = last(folder, replica.number)?.home.saves.max(replica.mark.saves);
            Some((replica.pact, Mark { saves, ..replica.mark }))
        }
    };
    // Only who has a standby has to know how many there are.
    let journal = saved.journal.filter(|_| saved.guard.is_some_and(|guard| guard.terms.is_some()));
    let saves = journal.map_or(Ok(0), |number| last(folder, number).map(|kept| kept.home.saves))?;
    Ok(standby::Saved { standing: saved.record.clone(), guard: saved.guard, checkpoint, saves })
}

/// What is kept with the last step of a journal.
fn last(folder: &Folder, number: u64) -> Result<Kept, String> {
    let mut last = Kept::default();
    let read = Journal::open(&folder.journal(number), max_patch(MAX_MEMORY), |step| {
        last = step.kept;
        Ok(())
    });
    read.map_err(|error| format!("its state cannot be read: {error}"))?;
    Ok(last)
}

/// The journals that the record names.
pub(super) fn journals(saved: Option<&Saved>) -> Vec<u64> {
    let replica = saved.and_then(|saved| saved.replica.as_ref()).map(|replica| replica.number);
    saved.and_then(|saved| saved.journal).into_iter().chain(replica).collect()
}

impl Actor {
    /// Removes the journals that nothing needs.
    pub(super) fn sweep(&self) {
        let mut keep = journals(self.saved.as_ref());
        keep.extend(self.arriving.as_ref().map(|arriving| arriving.number));
        self.folder.sweep(&keep);
    }

    /// May that device's instance be guarded here?
    pub(super) fn consider_guarding(&mut self, from: DeviceId) -> Result<(), Why> {
        let expected = self.guarding.expected.take_if(|(by, _)| *by == from);
        let refused = match expected {
            Some((_, package)) if self.shared.is_member(from) => self.shared.fit(&package).err(),
            Some(_) => Some((Why::NotGranted, "guests may not ask for that".into())),
            None => Some((Why::Failed, "its package was not named".into())),
        };
        let Some((why, text)) = refused else { return Ok(()) };
        let name = self.shared.name_of(from);
        tracing::info!(instance = %self.id, from = %name, "an instance is not guarded: {text}");
        self.shared.audit("", Some(self.id), AuditWhat::Refused, format!("to be guarded for {name}: {text}"));
        Err(why)
    }

    /// A checkpoint has come.
    pub(super) fn on_checkpoint(&mut self, from: DeviceId, head: CheckpointHead, step: &Step, bytes: &[u8]) {
        let Some(Duty::Granting { terms, granted }) = self.keeper.record().duty else { return };
        let CheckpointHead { pact, mark, .. } = head;
        let his = terms.pact == pact && granted.home == from && mark.epoch.home == from && mark.epoch <= granted;
        let sound = step.kept.home.saves == mark.saves && !step.kept.last && step.kept.leases.is_empty();
        let held = self.saved.as_ref().and_then(|saved| saved.replica.as_ref()).map(|held| (held.pact, held.mark));
        if !his || !sound || held > Some((pact, mark)) {
            return;
        }
        match self.keep_checkpoint(head, step, bytes) {
            Ok(()) => self.keep(Input::Stored(pact, mark)),
            Err(why) => {
                tracing::debug!(instance = %self.id, "a checkpoint is not kept, and a whole one is asked for: {why}");
                self.keep(Input::Unfit(pact));
            }
        }
    }

    fn keep_checkpoint(&mut self, head: CheckpointHead, step: &Step, bytes: &[u8]) -> Result<(), String> {
        let CheckpointHead { pact, mark, base, package } = head;
        let failed = |error: std::io::Error| format!("it cannot be written: {error}");
        let mut saved = self.saved.clone().ok_or("nothing is known of it")?;
        // What is there is not built upon again if this fails half-way.
        let before = self.guarding.copied.take();
        let copied = match (base, before) {
            (None, _) => {
                let (fresh, limits) = self.fresh_of(&package)?;
                let image = follow(&fresh, &step.patch, limits)?;
                let facts = self.shared.packages.find(&package).ok_or("its package is not here")?;
                let number = rand::random();
                self.folder.make().map_err(failed)?;
                let mut journal = Journal::create(&self.folder.journal(number)).map_err(failed)?;
                journal.append(bytes).map_err(failed)?;
                let (app, version) = (facts.manifest.name, facts.manifest.version.to_string());
                saved.replica = Some(Replica { number, pact, mark, package, app, version });
                Copied { pact, mark, image, limits, journal }
            }
            (Some(base), Some(before)) if (before.pact, before.mark) == (pact, base) && !before.journal.is_long() => {
                let image = follow(&before.image, &step.patch, before.limits)?;
                let mut journal = before.journal;
                journal.append(bytes).map_err(failed)?;
                if let Some(replica) = &mut saved.replica {
                    replica.mark = mark;
                }
                Copied { mark, image, journal, ..before }
            }
            _ => return Err("it does not follow what is here".into()),
        };
        self.save(saved).map_err(failed)?;
        self.guarding.copied = Some(copied);
        if base.is_none() {
            self.sweep();
        }
        Ok(())
    }

    /// Makes the replica the state of the instance here; or what is prepared here for a move, if that is later.
    pub(super) fn adopt(&mut self) -> Result<(), String> {
        let mut saved = self.saved.clone().ok_or("nothing is known of it")?;
        if let Some(replica) = saved.replica.take() {
            let saves = last(&self.folder, replica.number)?.home.saves;
            let prepared = match (self.standing(), saved.journal) {
                (Some(Standing::Prepared { .. }), Some(number)) => Some(last(&self.folder, number)?.home.saves),
                _ => None,
            };
            if prepared.is_none_or(|prepared| prepared <= saves) {
                (saved.journal, saved.package) = (Some(replica.number), replica.package);
                (saved.app, saved.version) = (replica.app, replica.version);
                self.arriving = None;
            }
            saved.stopped = false;
            self.save(saved).map_err(|error| format!("its record cannot be written: {error}"))?;
        } else if saved.journal.is_none() {
            return Err("there is no checkpoint of it".into());
        }
        self.guarding.copied = None;
        self.sweep();
        Ok(())
    }

    /// No replica is needed here any more.
    pub(super) fn forget_replica(&mut self) {
        self.guarding.copied = None;
        let Some(mut saved) = self.saved.clone().filter(|saved| saved.replica.is_some()) else { return };
        saved.replica = None;
        match self.save(saved) {
            Ok(()) => self.sweep(),
            // It is in nobody's way.
            Err(error) => tracing::warn!(instance = %self.id, %error, "a replica is not removed"),
        }
    }
}
