//! What people want of an instance that is here.

use tutti_app::{
    handover::{Because, Input, Standing, Warrant},
    home::{self, Incoming},
    runtime::host::Event,
};
use tutti_control::{AppLevel, AuditWhat, ErrorDetail};

use super::{Actor, NOBODY, Reply, Want, does_not_run, not_here, wrong};

impl Actor {
    pub(super) fn on_person(&mut self, want: Want, reply: Reply) {
        self.refused = None;
        let result = match want {
            Want::Guard(standby, settings) => match self.begin_guard(standby, settings) {
                // Answered when it is so.
                Ok(()) => return self.guarding.wait(reply),
                Err(error) => Err(error),
            },
            Want::Stop | Want::End | Want::Unguard if self.guard().is_some() => return self.unguard_for(want, reply),
            Want::Unguard if matches!(self.standing(), Some(Standing::Home { .. })) => Ok(()),
            Want::Unguard => Err(not_here("it is not at home here now")),
            Want::Move(to) => self.begin_move(to),
            Want::Cancel => self.cancel_move(),
            Want::Stop => {
                if self.leaving.is_some() {
                    Err(wrong("it is being moved", "wait for that to end, or cancel it"))
                } else {
                    return self.stop(reply);
                }
            }
            Want::Start => self.restart(),
            Want::End => {
                let stray = matches!(self.standing(), Some(Standing::Stray { .. }));
                self.mover(if stray { Input::Discard } else { Input::Retire });
                match self.refused.take() {
                    Some(because) => Err(not_here(&because.to_string())),
                    None => {
                        self.audit(AuditWhat::Ended, "by a person".into());
                        Ok(())
                    }
                }
            }
            Want::Recover => self.recover(),
            Want::Tell(text) => {
                if self.live.is_none() {
                    Err(does_not_run())
                } else {
                    let event = Event::Message(NOBODY, text.into_bytes());
                    self.home(home::Input::Event(Incoming { origin: None, event }));
                    Ok(())
                }
            }
        };
        let _ = reply.send(result.map(|()| self.seen()));
    }

    fn recover(&mut self) -> Result<(), ErrorDetail> {
        let base = match self.standing().cloned() {
            Some(Standing::Leaving { next, .. } | Standing::Prepared { next, .. }) => next,
            Some(Standing::Stray { by, .. }) => by,
            // Its standby is lost.
            Some(Standing::Home { epoch }) if self.guard().is_some() => epoch,
            _ => {
                let hint = "only a copy that waits for a device that is lost can be recovered";
                return Err(wrong("there is nothing to recover here", hint));
            }
        };
        let branch = base.branch.saturating_add(1);
        let warrant = Warrant::sign(self.id, branch, self.shared.me, &self.shared.key);
        self.mover(Input::Recover(warrant));
        match self.refused.take() {
            Some(Because::AlreadyThere) => {
                let what = "it is at home here, and the run-lease of its standby lasts";
                let hint = "try again when it is over, or reach the standby";
                Err(wrong(what, hint))
            }
            Some(because) => Err(wrong(because.to_string(), "try again in a moment")),
            None => {
                self.note(AppLevel::System, "an owner accepted the loss of other copies; it goes on here".into());
                Ok(())
            }
        }
    }
}
