//! Checkpoints and fail-over: what [`Keeper`](tutti_app::standby::Keeper) asks for.

use tutti_app::{
    handover::Why,
    home,
    runtime::Limits,
    standby::{self, Input, Mark, Output},
};
use tutti_control::AppLevel;

use super::{Actor, running::max_patch};
use crate::apps::{
    MAX_MEMORY_KIB,
    disk::{Folder, Saved},
    journal::{Journal, Kept},
};

/// What the machine is to know of what is on the disk.
pub(super) fn known(folder: &Folder, saved: Option<&Saved>) -> Result<standby::Saved, String> {
    let Some(saved) = saved else { return Ok(standby::Saved::default()) };
    let checkpoint = match &saved.replica {
        None => None,
        Some(replica) => {
            // A step that came behind what the record says is there all the same.
            let saves = last(folder, replica.number)?.home.saves.max(replica.mark.saves);
            Some((replica.pact, Mark { saves, ..replica.mark }))
        }
    };
    // Only a standby has to know how many there are.
    let journal = saved.journal.filter(|_| saved.guard.is_some_and(|guard| guard.terms.is_some()));
    let saves = journal.map_or(Ok(0), |number| last(folder, number).map(|kept| kept.home.saves))?;
    Ok(standby::Saved { standing: saved.record.clone(), guard: saved.guard, checkpoint, saves })
}

/// What is kept with the last step of a journal.
fn last(folder: &Folder, number: u64) -> Result<Kept, String> {
    let any = Limits { memory: MAX_MEMORY_KIB as usize * 1024, ticks: 0 };
    let mut last = Kept::default();
    let read = Journal::open(&folder.journal(number), max_patch(any), |step| {
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

    pub(super) fn on_keeper(&mut self, output: Output) {
        let now = self.now();
        match output {
            Output::Move(output) => self.on_mover(output),
            Output::Start(epoch) => self.start(epoch),
            Output::Stop => self.rest(home::Input::Pause),
            Output::Halt => self.rest(home::Input::Halt),
            Output::Persist(ticket, record) => {
                let input = match self.persist_guard(record) {
                    Ok(()) => Input::Persisted(ticket),
                    Err(error) => {
                        self.note(AppLevel::System, format!("its record cannot be written: {error}"));
                        Input::PersistFailed(ticket)
                    }
                };
                self.keeper.handle(now, input);
            }
            Output::Checkpoint(..) => self.keeper.handle(now, Input::NotSent),
            Output::Consider(..) => self.keeper.handle(now, Input::Considered(Err(Why::Failed))),
            Output::Adopt(_) => self.keeper.handle(now, Input::NotAdopted),
            Output::Send(..) | Output::Forget | Output::Event(_) => {}
        }
    }

    fn rest(&mut self, how: home::Input<tutti_app::runtime::host::Event>) {
        let now = self.now();
        if let Some(live) = &mut self.live {
            live.home.handle(now, how);
        }
    }

    /// Makes durable what concerns run-leases.
    fn persist_guard(&mut self, record: standby::Record) -> std::io::Result<()> {
        let mut saved = self.saved.clone().unwrap_or_else(Saved::nothing);
        saved.guard = Some(record);
        self.folder.save(&saved)?;
        self.saved = Some(saved);
        Ok(())
    }
}
