//! What several devices say about the same instance, made one.

use std::collections::BTreeMap;

use tutti_control::{AppInstance, InstanceState};

/// One entry for each instance: of several words about it the latest; and each copy that was given up.
pub(super) fn merge(all: Vec<AppInstance>) -> Vec<AppInstance> {
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
