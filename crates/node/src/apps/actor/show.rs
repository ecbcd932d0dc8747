//! What people see of an instance.

use std::sync::atomic::Ordering;

use tutti_app::handover::Standing;
use tutti_control::{AppInstance, AppMove, InstanceState};
use tutti_model::DeviceId;

use crate::lock::lock;

use super::Actor;

impl Actor {
    /// Publishes what is to be seen, if that has changed.
    pub(super) fn show(&mut self) {
        let now = self.describe();
        let mut shown = lock(&self.handle.shown);
        if *shown != now {
            *shown = now;
            drop(shown);
            self.shared.changed();
        }
    }

    /// What whoever wanted something of it sees then, wherever it is.
    pub(super) fn seen(&self) -> AppInstance {
        self.describe().unwrap_or_else(|| self.describe_gone())
    }

    /// What is to be seen of it; nothing if it is not here.
    pub(super) fn describe(&self) -> Option<AppInstance> {
        let mut it = self.describe_gone();
        if let Some(why) = &self.damaged {
            it.state = InstanceState::Failed;
            it.reason = Some(why.clone());
            return Some(it);
        }
        let epoch = match self.standing() {
            Some(Standing::Home { epoch }) => *epoch,
            Some(Standing::Leaving { next, .. } | Standing::Prepared { next, .. }) => *next,
            Some(Standing::Stray { epoch, .. }) => *epoch,
            // It is being begun.
            None if self.saved.as_ref().is_some_and(|saved| saved.guard.is_none()) => {
                tutti_app::ids::Epoch::first(self.shared.me)
            }
            None | Some(Standing::Gone { .. }) => return None,
        };
        (it.branch, it.epoch) = (epoch.branch, epoch.number);
        let guard = self.guard();
        // Without its standby's leave it stands still.
        let held = guard.filter(|_| self.leaving.is_none() && self.keeper.may_run(self.now()).is_none());
        let waits = self.keeper.handover().waiting_for().or(held.map(|terms| terms.standby));
        it.waiting_for = waits.map(|device| self.shared.name_of(device));
        if let Some(terms) = guard {
            let foretold = terms.settings.foretell();
            it.standby = Some(self.shared.name_of(terms.standby));
            it.fail_over_ms = Some(foretold.fail_over.as_millis() as u64);
            it.most_lost_ms = foretold.most_lost.map(|most| most.as_millis() as u64);
        }
        it.moving = self.leaving.as_ref().filter(|_| it.waiting_for.is_none()).map(|leaving| AppMove {
            to: leaving.to.to_string(),
            to_name: self.shared.name_of(leaving.to),
            phase: leaving.phase,
            sent: leaving.gone,
            total: leaving.total.load(Ordering::Relaxed).max(leaving.gone),
        });
        it.state = match self.standing() {
            Some(Standing::Stray { .. }) => InstanceState::GivenUp,
            Some(Standing::Leaving { .. } | Standing::Prepared { .. }) => InstanceState::Waiting,
            _ if self.failed => InstanceState::Failed,
            _ if self.saved.as_ref().is_some_and(|saved| saved.stopped) => InstanceState::Stopped,
            _ if held.is_some() => InstanceState::Waiting,
            _ if it.moving.is_some() => InstanceState::Moving,
            _ if self.live.is_some() => InstanceState::Running,
            _ => InstanceState::Starting,
        };
        if let Some(live) = &self.live {
            it.events = live.events;
            it.memory = live.image.as_ref().map_or(0, |image| image.size() as u64);
            it.bound = live.binder.bound();
        }
        Some(it)
    }

    /// What is to be seen of it where it has gone, until that device tells of it.
    pub(super) fn describe_there(&self, to: DeviceId) -> AppInstance {
        let mut it = lock(&self.handle.shown).clone().unwrap_or_else(|| self.describe_gone());
        (it.device, it.device_name, it.state) = (to.to_string(), self.shared.name_of(to), InstanceState::Running);
        (it.reason, it.waiting_for, it.moving) = (None, None, None);
        it.bound.clear();
        if let Some(Standing::Gone { until }) = self.standing() {
            (it.branch, it.epoch) = (until.branch, until.number);
        }
        it
    }

    /// The same without where it stands.
    pub(super) fn describe_gone(&self) -> AppInstance {
        let saved = self.saved.as_ref();
        AppInstance {
            id: self.id.to_string(),
            app: saved.map(|saved| saved.app.to_string()).unwrap_or_default(),
            version: saved.map(|saved| saved.version.clone()).unwrap_or_default(),
            device: self.shared.me.to_string(),
            device_name: self.shared.name_of(self.shared.me),
            state: InstanceState::Stopped,
            reason: self.reason.clone(),
            waiting_for: None,
            moving: None,
            branch: 0,
            epoch: 0,
            events: 0,
            restarts: self.restarts,
            memory: 0,
            bound: Vec::new(),
            standby: None,
            fail_over_ms: None,
            most_lost_ms: None,
        }
    }
}
