//! What people see: apps and instances as the control API shows them; what several devices say about the same instance, made one.

use std::collections::{BTreeMap, BTreeSet};

use tutti_app::package::{Manifest, Want};
use tutti_control::{App, AppInstance, AppWant, AppsState, ErrorCode, ErrorDetail, InstanceState};
use tutti_fabric::group::Granted;
use tutti_model::Name;

use crate::lock::lock;

use super::{
    Apps, Shared, grants,
    packages::{self, Facts},
};

impl Apps {
    /// Apps and instances, as the control API shows them.
    pub(crate) fn state(&self) -> AppsState {
        let instances = self.0.instances_now();
        let view = self.0.view();
        let others = lock(&self.0.others);
        let apps = view.group.grants.values().map(|granted| {
            let mut app = match self.0.best(granted) {
                Some(facts) => show_app(granted, Some(&facts)),
                None => {
                    let elsewhere = others.values().flat_map(|state| &state.apps).find(|app| {
                        app.name == granted.grant.name.as_str() && app.author == granted.grant.author.to_string()
                    });
                    let mut app = elsewhere.cloned().unwrap_or_else(|| show_app(granted, None));
                    app.here = false;
                    app
                }
            };
            app.instances = instances.iter().filter(|instance| instance.app == app.name).count() as u32;
            app
        });
        let apps = apps.collect();
        drop(others);
        AppsState { apps, instances, carried: self.carried() }
    }

    /// The instance that a person means: by its id, the beginning of it, or its app's name; with `@DEVICE` behind it the copy on that device, which
    /// may be one that was given up.
    pub(crate) fn resolve(&self, word: &str) -> Result<AppInstance, ErrorDetail> {
        let (word, at) = word.rsplit_once('@').map_or((word, None), |(word, at)| (word, Some(at)));
        let mut all = self.0.instances_now();
        all.retain(|it| at.is_none_or(|at| it.device_name == at || it.device == at));
        let named: Vec<_> = all.iter().filter(|it| it.id == word || it.app == word).collect();
        let meant = match named.len() {
            0 if word.len() >= 6 => all.iter().filter(|it| it.id.starts_with(&word.to_ascii_lowercase())).collect(),
            _ => named,
        };
        // What was given up is meant only if there is no other copy.
        let lives: BTreeSet<&str> =
            meant.iter().filter(|it| it.state != InstanceState::GivenUp).map(|it| it.id.as_str()).collect();
        let meant: Vec<_> = meant
            .iter()
            .filter(|it| it.state != InstanceState::GivenUp || !lives.contains(it.id.as_str()))
            .copied()
            .collect();
        let say = |it: &&AppInstance| format!("{} ({} on {})", &it.id[..8.min(it.id.len())], it.app, it.device_name);
        match &meant[..] {
            [one] => Ok((*one).clone()),
            [] => Err(ErrorDetail::new(
                ErrorCode::NoSuchInstance,
                format!("no instance is called {word:?}, and no id begins so"),
                "`tutti app ls` lists them",
            )
            .with_candidates(all.iter().map(|it| say(&it)).collect())),
            several => Err(ErrorDetail::new(
                ErrorCode::Ambiguous,
                format!("{} instances are meant by {word:?}", several.len()),
                "name it by its id, or by the first six digits or more of it, with @DEVICE behind it if that is not enough",
            )
            .with_candidates(several.iter().map(say).collect())),
        }
    }
}

impl Shared {
    /// All instances of the group, each once, and copies that were given up.
    pub(super) fn instances_now(&self) -> Vec<AppInstance> {
        let mut all = self.own_instances();
        for (device, state) in lock(&self.others).iter() {
            let away = !self.is_connected(*device);
            all.extend(state.instances.iter().cloned().map(|mut it| {
                if away && it.state != InstanceState::GivenUp {
                    it.state = InstanceState::Away;
                    it.moving = None;
                }
                it
            }));
        }
        merge(all)
    }
}

/// What an app would have, and which of it is granted.
pub(super) fn show_wants(manifest: &Manifest, granted: &[Name]) -> Vec<AppWant> {
    let show = |(name, want): (&Name, &Want)| AppWant {
        name: name.to_string(),
        kind: want.kind.to_string(),
        unit: want.unit.map(|unit| unit.to_string()),
        required: want.required,
        granted: granted.contains(name),
        min: want.min,
        max: want.max,
    };
    manifest.wants.iter().map(show).collect()
}

pub(super) fn show_app(granted: &Granted, facts: Option<&Facts>) -> App {
    let grant = &granted.grant;
    let manifest = facts.map(|facts| facts.manifest.clone());
    App {
        name: grant.name.to_string(),
        version: manifest.as_ref().map(|manifest| manifest.version.to_string()),
        about: manifest.as_ref().map(|manifest| manifest.about.clone()).unwrap_or_default(),
        author: grant.author.to_string(),
        digest: facts.map(|facts| packages::hex(&facts.digest)),
        size: facts.map_or(0, |facts| facts.size),
        here: facts.is_some(),
        icon: facts.is_some_and(|facts| facts.icon),
        wants: manifest.as_ref().map(|manifest| show_wants(manifest, &grant.wants)).unwrap_or_default(),
        memory_kib: manifest.as_ref().map_or(grant.memory_kib, |manifest| manifest.limits.memory_kib),
        cpu: manifest.as_ref().map_or(0, |manifest| manifest.limits.cpu),
        obstacle: facts.and_then(|facts| facts.obstacle.clone()),
        floor: grants::floor(grant).to_string(),
        granted_by: granted.by.to_string(),
        granted_at: granted.at.as_unix_millis(),
        instances: 0,
    }
}

/// One entry for each instance: of several words about it the latest; and each copy that was given up.
fn merge(all: Vec<AppInstance>) -> Vec<AppInstance> {
    let rank = |it: &AppInstance| {
        let sure = match it.state {
            InstanceState::Running | InstanceState::Moving => 4,
            InstanceState::Starting | InstanceState::Stopped | InstanceState::Failed => 3,
            InstanceState::Waiting => 2,
            _ => 1,
        };
        // A copy that waits may be one of a move that came to nothing: until it runs, it is no later than the home that it was sent from.
        let epoch = if it.state == InstanceState::Waiting { it.epoch.saturating_sub(1) } else { it.epoch };
        (it.branch, epoch, sure)
    };
    let mut best: BTreeMap<String, AppInstance> = BTreeMap::new();
    let mut rest = Vec::new();
    for it in all {
        if it.state == InstanceState::GivenUp {
            rest.push(it);
            continue;
        }
        match best.get(&it.id) {
            Some(known) if rank(known) >= rank(&it) => {}
            _ => _ = best.insert(it.id.clone(), it),
        }
    }
    let mut all: Vec<AppInstance> = best.into_values().chain(rest).collect();
    all.sort_by(|a, b| (&a.app, &a.id, &a.device).cmp(&(&b.app, &b.id, &b.device)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(device: &str, state: InstanceState, epoch: u64) -> AppInstance {
        AppInstance {
            id: "7".repeat(32),
            app: "counter".into(),
            version: "0.1.0".into(),
            device: device.into(),
            device_name: device.into(),
            state,
            reason: None,
            waiting_for: None,
            moving: None,
            branch: 0,
            epoch,
            events: 0,
            restarts: 0,
            memory: 0,
            bound: Vec::new(),
            standby: None,
            fail_over_ms: None,
            most_lost_ms: None,
        }
    }

    /// Where it is, of these words in either order.
    fn found(one: &AppInstance, other: &AppInstance) -> String {
        let all = [[one, other], [other, one]].map(|all| merge(all.map(Clone::clone).into()));
        assert_eq!(all[0], all[1]);
        assert_eq!(all[0].len(), 1);
        all[0][0].device.clone()
    }

    #[test]
    fn where_it_runs_counts_before_a_copy_that_waits_and_behind_a_later_home() {
        use InstanceState::{Away, Moving, Running, Stopped, Waiting};
        // A move that came to nothing leaves a copy that was prepared; it is told later that it is void.
        assert_eq!(found(&said("here", Running, 4), &said("there", Waiting, 5)), "here");
        assert_eq!(found(&said("here", Moving, 4), &said("there", Waiting, 5)), "here");
        // What was said before the move.
        assert_eq!(found(&said("here", Running, 4), &said("there", Running, 5)), "there");
        assert_eq!(found(&said("here", Waiting, 5), &said("there", Running, 5)), "there");
        assert_eq!(found(&said("here", Stopped, 4), &said("there", Stopped, 5)), "there");
        // Who cannot be asked is not where it is to be looked for, if somebody holds a copy.
        assert_eq!(found(&said("here", Away, 4), &said("there", Waiting, 5)), "there");
    }

    #[test]
    fn copies_that_were_given_up_are_listed_beside_it() {
        let all = merge(vec![said("here", InstanceState::GivenUp, 4), said("there", InstanceState::Running, 6)]);
        assert_eq!(all.iter().map(|it| it.device.as_str()).collect::<Vec<_>>(), ["here", "there"]);
    }
}
