//! Between devices: what is said, and who is there. Packages and state go as [`streams`](super::streams).
//!
//! # What another member can do
//! | attack | what meets it |
//! |---|---|
//! | sends without end | requests, notices and streams are bounded by the fabric |
//! | asks for what only members may | guests' orders are refused; owners' words are signed |
//! | lists instances that it does not have | each device speaks for itself alone; whoever believes it sends its effects in vain |
//! | makes up instances by the thousand | [`MAX_ACTORS`](super::MAX_ACTORS), and what is not known beyond it is not answered |

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{sync::mpsc, time::timeout};
use tutti_app::{
    effects::Receiver,
    handover::Message,
    ids::{EffectId, Epoch, InstanceId},
    standby,
};
use tutti_fabric::{Incoming, Service, transport::Priority};
use tutti_model::DeviceId;

use super::{
    Apps, Shared,
    actor::Ask as ToActor,
    streams::STREAMS,
    wire::{Answer, Ask, Listing, Notice, emit, parse},
};

/// How long an answer may take.
pub(super) const ANSWER: Duration = Duration::from_secs(8);
/// How long it may take to have something done at another device.
pub(super) const ORDER: Duration = Duration::from_secs(60);
/// The least time between two listings that are said.
const COALESCE: Duration = Duration::from_millis(150);
/// How often the listing is said anew, in case one was lost.
pub(super) const REFRESH: Duration = Duration::from_secs(10);

impl Shared {
    /// Says a step of a move. May be lost.
    pub(super) fn say(self: &Arc<Self>, to: DeviceId, message: Vec<u8>) {
        self.notify(to, Notice::Mover(message));
    }

    /// Says something between a home and its standby. May be lost.
    pub(super) fn say_guard(self: &Arc<Self>, to: DeviceId, message: Vec<u8>) {
        self.notify(to, Notice::Guard(message));
    }

    fn notify(self: &Arc<Self>, to: DeviceId, notice: Notice) {
        let shared = self.clone();
        self.runtime.spawn(async move {
            let sent = shared.fabric.notify(to, Service::APPS, Priority::Interactive, emit(&notice));
            if let Ok(Err(error)) = timeout(ANSWER, sent).await {
                tracing::debug!(to = %to.short(), %error, "a notice about apps was lost");
            }
        });
    }

    /// An event of another instance is applied here.
    pub(super) fn applied(self: &Arc<Self>, of: InstanceId, at: DeviceId, to: Receiver, id: EffectId) {
        if at == self.me {
            if let Some(actor) = self.find_actor(of) {
                actor.tell(ToActor::Delivered(to, id));
            }
            return;
        }
        self.notify(at, Notice::Applied { of, to, id });
    }

    /// Another instance says events from a home that it has left.
    pub(super) fn superseded(self: &Arc<Self>, of: InstanceId, at: DeviceId, by: Epoch) {
        if at != self.me {
            self.notify(at, Notice::Superseded { of, by });
        }
    }

    /// Asks another device.
    pub(super) async fn ask(&self, to: DeviceId, ask: &Ask) -> Result<Answer, String> {
        let within = if matches!(ask, Ask::Do(_)) { ORDER } else { ANSWER };
        let answer = self.fabric.request(to, Service::APPS, Priority::Interactive, emit(ask), within).await;
        let answer = answer.map_err(|error| format!("{}: {error}", self.name_of(to)))?;
        parse(&answer).ok_or_else(|| format!("{} answers what this version does not know", self.name_of(to)))
    }
}

impl Apps {
    /// Serves others, for ever.
    pub(super) async fn serve(self, mut queue: mpsc::Receiver<Incoming>) {
        let streams = Arc::new(tokio::sync::Semaphore::new(STREAMS));
        while let Some(incoming) = queue.recv().await {
            let apps = self.clone();
            match incoming {
                Incoming::Notice { from, body } => apps.on_notice(from, &body),
                Incoming::Request { from, body, reply } => {
                    let Ok(turn) = apps.0.requests.clone().try_acquire_owned() else { continue };
                    tokio::spawn(async move {
                        let _turn = turn;
                        let answer = apps.on_request(from, &body).await;
                        reply.send(emit(&answer));
                    });
                }
                Incoming::Stream { from, header, channel } => {
                    let Ok(turn) = streams.clone().try_acquire_owned() else { continue };
                    tokio::spawn(async move {
                        let _turn = turn;
                        apps.0.on_stream(from, &header, channel).await;
                    });
                }
            }
        }
    }

    fn on_notice(&self, from: DeviceId, body: &Bytes) {
        let shared = &self.0;
        match parse::<Notice>(body) {
            Some(Notice::Mover(bytes)) => {
                let Ok((instance, message)) = Message::parse(&bytes) else { return };
                if let Some(actor) = shared.actor_for(instance) {
                    actor.tell(ToActor::Message(from, message));
                }
            }
            Some(Notice::Guard(bytes)) => {
                let Ok((instance, message)) = standby::Message::parse(&bytes) else { return };
                if let Some(actor) = shared.actor_for(instance) {
                    actor.tell(ToActor::Guard(from, message));
                }
            }
            Some(Notice::Applied { of, to, id }) => {
                if let Some(actor) = shared.find_actor(of) {
                    actor.tell(ToActor::Delivered(to, id));
                }
            }
            Some(Notice::Superseded { of, by }) => {
                if let Some(actor) = shared.find_actor(of) {
                    actor.tell(ToActor::Superseded(by));
                }
            }
            Some(Notice::Listing(json)) => {
                let Ok(Listing { mut state, taken }) = serde_json::from_slice(&json) else { return };
                let id = from.to_string();
                state.instances.retain(|instance| instance.device == id);
                state.instances.truncate(super::MAX_ACTORS);
                state.apps.truncate(super::MAX_ACTORS);
                shared.rooms.heard(from, taken);
                state.carried.retain(|app| app.device == id);
                state.carried.truncate(tutti_update::carried::MOST);
                shared.heard(from, state);
            }
            None => tracing::debug!(from = %from.short(), "a notice about apps that this version does not know"),
        }
    }

    async fn on_request(&self, from: DeviceId, body: &Bytes) -> Answer {
        let shared = &self.0;
        match parse::<Ask>(body) {
            Some(Ask::Effect { from: instance, home, effect, token }) => {
                shared.take_effect(from, instance, home, effect, token).await
            }
            Some(Ask::Have(digest)) => {
                if shared.packages.find(&digest).is_some() {
                    Answer::Yes
                } else {
                    Answer::No
                }
            }
            Some(Ask::Do(order)) => match self.obey(from, order).await {
                Ok(body) => Answer::Done(body),
                Err(error) => Answer::Refused(serde_json::to_vec(&error).unwrap_or_default()),
            },
            Some(Ask::Guard(instance, digest)) => match self.may_guard(from, instance, digest).await {
                Ok(()) => Answer::Yes,
                Err(why) => Answer::Never(why),
            },
            None => Answer::Never("this version does not know what that is".into()),
        }
    }

    pub(super) async fn keep_in_touch(self) {
        let shared = self.0.clone();
        let (mut view, mut changes) = (shared.fabric.view(), shared.changes.subscribe());
        let mut known = std::collections::BTreeMap::new();
        let mut grants = view.borrow().group.grants.clone();
        view.mark_changed();
        let mut said = Bytes::new();
        let mut again = tokio::time::Instant::now();
        loop {
            tokio::select! {
                changed = view.changed() => if changed.is_err() { return },
                _ = changes.changed() => {}
                () = tokio::time::sleep(REFRESH) => {}
            }
            let view = view.borrow_and_update().clone();
            let now: std::collections::BTreeMap<DeviceId, u64> =
                view.peers.iter().filter_map(|(id, peer)| Some((*id, peer.session.as_ref()?.generation))).collect();
            let mut fresh = Vec::new();
            for (device, generation) in &now {
                if known.get(device) != Some(generation) {
                    if known.contains_key(device) {
                        shared.tell_all(|| ToActor::Peer(*device, false));
                    }
                    shared.connected(*device, true);
                    shared.tell_all(|| ToActor::Peer(*device, true));
                    fresh.push(*device);
                }
            }
            for device in known.keys().filter(|device| !now.contains_key(device)) {
                shared.connected(*device, false);
                shared.tell_all(|| ToActor::Peer(*device, false));
            }
            known = now;
            shared.forget_strangers(&view.group.members.keys().copied().collect());
            if grants != view.group.grants {
                grants = view.group.grants.clone();
                shared.grants.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                shared.tell_all(|| ToActor::Recheck);
                shared.shown.send_modify(|count| *count += 1);
            }
            changes.borrow_and_update();
            let listing = Listing { state: shared.mine(), taken: Some(shared.rooms.look(shared.me).await) };
            let listing = emit(&Notice::Listing(serde_json::to_vec(&listing).unwrap_or_default()));
            let all = listing != said || again.elapsed() >= REFRESH;
            for device in known.keys().filter(|device| all || fresh.contains(device)) {
                let sent = shared.fabric.notify(*device, Service::APPS, Priority::Interactive, listing.clone());
                let _ = timeout(Duration::from_secs(1), sent).await;
            }
            if all {
                again = tokio::time::Instant::now();
            }
            said = listing;
            tokio::time::sleep(COALESCE).await;
        }
    }
}
