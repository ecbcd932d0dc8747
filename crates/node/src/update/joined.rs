//! Telling the first program that this device has joined its pool.
//!
//! It has once it has a session with another member. A device that is the only one of its group has nobody to meet; but a new
//! system that has lost its identity is the only one of a group as well. So a good system writes down which group
//! it is in while it is alone there, and a system on trial that finds itself alone has joined only if that is its group.

use std::{fs, path::PathBuf, sync::Arc};

use tokio::sync::watch;
use tutti_fabric::view::View;
use tutti_update::System;

use super::tell_init;

/// Tells it, once. Returns when there is nothing left to do.
pub(crate) async fn report(system: System, mut view: watch::Receiver<Arc<View>>) {
    let note = system.folder.join("alone");
    let on_trial = system.trial.is_some();
    let mut told = false;
    loop {
        let seen = view.borrow_and_update().clone();
        let alone = seen.group.is_alone();
        let group = format!("{:?}", seen.group.id);
        let met = seen.peers.values().any(|peer| peer.session.is_some());
        let known = on_trial && alone && fs::read_to_string(&note).is_ok_and(|kept| kept == group);
        if !told && (met || known) {
            tell_init("X_TUTTI_JOINED=1");
            told = true;
        }
        if on_trial {
            if told {
                return;
            }
        } else {
            // A file system that cannot be written is told by others.
            let _ = tokio::task::spawn_blocking({
                let note = note.clone();
                move || keep(&note, alone.then_some(group))
            })
            .await;
        }
        if view.changed().await.is_err() {
            return;
        }
    }
}

fn keep(note: &PathBuf, group: Option<String>) {
    let kept = fs::read_to_string(note).ok();
    if kept == group {
        return;
    }
    let _ = match group {
        Some(group) => fs::write(note, group),
        None => fs::remove_file(note),
    };
}
