//! Keeps one member connected: dials it whenever there is no session, every second, at every known address.

use std::sync::Arc;

use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tutti_model::DeviceId;

use crate::{
    core::Core,
    session, timing,
    transport::{ConnectError, Protocol},
    view::Trouble,
};

/// The most attempts at the same member at once.
const AT_ONCE: usize = 2;

/// Runs until aborted.
pub(crate) async fn run(core: Arc<Core>, device: DeviceId, wake: Arc<Notify>) {
    let mut view = core.view();
    let connected =
        move |view: &Arc<crate::view::View>| view.peers.get(&device).is_some_and(|peer| peer.session.is_some());
    loop {
        if view.wait_for(|view| !connected(view)).await.is_err() {
            return;
        }
        let mut attempts = JoinSet::new();
        let mut tick = interval(timing::REDIAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                found = view.wait_for(connected) => {
                    if found.is_err() {
                        return;
                    }
                    // Attempts under way end by themselves: when both sides dial at the same moment, both then see
                    // the same two sessions and keep the same one.
                    attempts.detach_all();
                    break;
                }
                Some(_) = attempts.join_next() => continue,
                () = wake.notified() => {
                    // There is something new to dial, and an attempt at what is out of date would hold it up.
                    attempts = JoinSet::new();
                    tick.reset();
                }
                _ = tick.tick() => {}
            }
            if attempts.len() < AT_ONCE {
                attempts.spawn(attempt(core.clone(), device));
            }
        }
    }
}

/// Dials once, sets up a session and runs it in a task of its own.
async fn attempt(core: Arc<Core>, device: DeviceId) {
    let addrs = core.look(|state| state.book.dial(device, core.clock.now()));
    if addrs.is_empty() {
        return core.note_trouble(device, Trouble::Dialling(ConnectError::NoAddress));
    }
    match core.transport.connect(device, addrs, Protocol::Pool, timing::DIAL).await {
        Ok(_) if core.session(device).is_ok() => {}
        Ok(conn) => session::start(core, conn).await,
        Err(error) => core.note_trouble(device, Trouble::Dialling(error)),
    }
}
