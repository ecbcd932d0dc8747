//! Between devices: what is said, what comes, and who is there.
//!
//! # What another member can do
//! | attack | what meets it |
//! |---|---|
//! | sends without end | requests, notices and streams are bounded by the fabric; streams of ours by [`STREAMS`] and [`PATIENCE`] |
//! | brings packages that nobody allowed | a package is kept only if a grant covers it; the quota holds for all |
//! | brings a state that is too large, too slow, or damaged | lengths are read before bodies and held against the grant's memory; each step has a digest |
//! | asks for what only members may | guests' orders are refused; owners' words are signed |
//! | lists instances that it does not have | each device speaks for itself alone; whoever believes it sends its effects in vain |
//! | makes up instances by the thousand | [`MAX_ACTORS`](super::MAX_ACTORS), and what is not known beyond it is not answered |

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::timeout,
};
use tutti_app::{
    effects::Receiver,
    handover::Message,
    ids::{Attempt, EffectId, Epoch, InstanceId},
    package::MAX_PACKAGE,
    standby,
    step::{self, HEAD, Step},
};
use tutti_fabric::{Channel, Incoming, Service, transport::Priority};
use tutti_model::DeviceId;

use super::{
    Apps, MAX_MEMORY_KIB, Shared,
    actor::{Ask as ToActor, Handle},
    wire::{Answer, Ask, CheckpointHead, Header, Listing, Notice, emit, parse},
};

/// How long a stream may stand still.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(8);
/// How long it may take to have something done at another device.
const ORDER: Duration = Duration::from_secs(60);
/// How long a package waits for the word of an owner that allows it.
const GRANT: Duration = Duration::from_secs(3);
/// The bytes of a piece.
const PIECE: usize = 64 * 1024;
/// How many streams of others are served at a time.
pub(super) const STREAMS: usize = 16;
/// The least time between two listings that are said.
const COALESCE: Duration = Duration::from_millis(150);
/// How often the listing is said anew, in case one was lost.
pub(super) const REFRESH: Duration = Duration::from_secs(10);

async fn patiently<T>(what: impl Future<Output = std::io::Result<T>>) -> Result<T, String> {
    match timeout(PATIENCE, what).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("nothing moved for {} s", PATIENCE.as_secs())),
    }
}

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

    async fn open(&self, to: DeviceId, header: &Header) -> Result<Channel, String> {
        let opened = self.fabric.open_stream(to, Service::APPS, Priority::Bulk, emit(header));
        let opened = timeout(ANSWER, opened).await.map_err(|_| "it does not answer".to_owned())?;
        opened.map_err(|error| error.to_string())
    }

    // --- packages --------------------------------------------------------------------------------------------

    /// Sees to it that another device has a package.
    pub(super) async fn bring_package(
        self: &Arc<Self>,
        to: DeviceId,
        digest: [u8; 32],
        progress: impl Fn(u64),
    ) -> Result<(), String> {
        let name = self.name_of(to);
        match self.ask(to, &Ask::Have(digest)).await? {
            Answer::Yes => return Ok(()),
            Answer::No => {}
            Answer::Never(why) => return Err(format!("{name} does not take the app: {why}")),
            _ => return Err(format!("{name} answers what makes no sense")),
        }
        let shared = self.clone();
        let bytes = tokio::task::spawn_blocking(move || shared.packages.read(&digest)).await;
        let bytes = bytes.map_err(|error| error.to_string())?.map_err(|error| format!("its package: {error}"))?;
        let mut channel = self.open(to, &Header::Package(digest)).await?;
        write_package(&mut channel, &bytes, progress).await?;
        let mut kept = [0];
        // It is compiled there before it is kept, which takes a while on a slow device.
        let answer = timeout(ORDER, channel.recv.read_exact(&mut kept)).await;
        match answer {
            Ok(Ok(_)) if kept == [1] => Ok(()),
            Ok(Ok(_)) => Err(format!("{name} did not keep the package; its log says why")),
            Ok(Err(error)) => Err(format!("{name}: {error}")),
            Err(_) => Err(format!("{name} took too long over the package")),
        }
    }

    /// Gets a package from another device, and keeps it if an owner allows it.
    pub(super) async fn fetch_package(self: &Arc<Self>, from: DeviceId, digest: [u8; 32]) -> Result<(), String> {
        let bytes = self.fetch_bytes(from, digest).await?;
        self.keep_package(digest, bytes).await
    }

    /// Gets the bytes of a package from another device.
    pub(super) async fn fetch_bytes(&self, from: DeviceId, digest: [u8; 32]) -> Result<Vec<u8>, String> {
        let mut channel = self.open(from, &Header::Fetch(digest)).await?;
        let bytes = read_package(&mut channel).await?;
        is_the_one(&bytes, &digest).map(|()| bytes)
    }

    /// Keeps a package that came from another device, if it is the one and an owner allows it.
    async fn keep_package(self: &Arc<Self>, digest: [u8; 32], bytes: Vec<u8>) -> Result<(), String> {
        let shared = self.clone();
        let keep = move || {
            is_the_one(&bytes, &digest)?;
            let package = tutti_app::package::Package::parse(&bytes).map_err(|error| error.to_string())?;
            // An owner's word may be on its way behind what it allows.
            let begun = std::time::Instant::now();
            while let Err(why) = shared.granted(&package) {
                if begun.elapsed() > GRANT {
                    return Err(why);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            shared.packages.keep(&bytes).map_err(|error| error.to_string())?;
            shared.changed();
            // So that an instance that comes does not wait for the compiler.
            shared.engines.load(&package).map(|_| ()).map_err(|error| error.to_string())
        };
        tokio::task::spawn_blocking(keep).await.map_err(|error| error.to_string())?
    }

    // --- state -----------------------------------------------------------------------------------------------

    /// Sends the steps of a move as they come; says of each that it went, or that none will any more.
    pub(super) async fn send_steps(
        self: Arc<Self>,
        to: DeviceId,
        instance: InstanceId,
        attempt: Attempt,
        mut steps: mpsc::Receiver<Vec<u8>>,
        handle: Handle,
    ) {
        let sending = async {
            let mut channel = self.open(to, &Header::State(instance, attempt)).await?;
            while let Some(step) = steps.recv().await {
                write_pieces(&mut channel, &step, |bytes| handle.tell(ToActor::Progress(attempt, bytes))).await?;
                patiently(channel.send.flush()).await?;
                // One byte says that it is applied there: what is changed meanwhile is the next round.
                let mut taken = [0];
                patiently(channel.recv.read_exact(&mut taken)).await?;
                handle.tell(ToActor::Sent(attempt, Ok(())));
            }
            patiently(channel.send.shutdown()).await
        };
        if let Err(why) = sending.await {
            handle.tell(ToActor::Sent(attempt, Err(why)));
        }
    }

    /// Sends a checkpoint to a standby, which answers by a message of its own.
    pub(super) async fn send_checkpoint(
        self: Arc<Self>,
        to: DeviceId,
        instance: InstanceId,
        head: CheckpointHead,
        step: Vec<u8>,
        handle: Handle,
    ) {
        let sending = async {
            let mut channel = self.open(to, &Header::Checkpoint(instance, head)).await?;
            let sent = |_| handle.tell(ToActor::CheckpointSent(head.mark, Ok(())));
            write_pieces(&mut channel, &step, sent).await?;
            patiently(channel.send.shutdown()).await?;
            // The stream lives until it is all there.
            patiently(channel.recv.read_exact(&mut [0])).await.map(|_| ())
        };
        if let Err(why) = sending.await {
            handle.tell(ToActor::CheckpointSent(head.mark, Err(why)));
        }
    }

    /// Takes a checkpoint that a home sends.
    async fn take_checkpoint(
        self: &Arc<Self>,
        from: DeviceId,
        instance: InstanceId,
        head: CheckpointHead,
        channel: Channel,
    ) {
        let Some(actor) = self.find_actor(instance) else { return };
        let mut channel = channel;
        let Some((step, bytes)) = read_step(&mut channel, from, || {}).await else { return };
        let (reply, looked_at) = tokio::sync::oneshot::channel();
        actor.tell(ToActor::Checkpoint(from, head, Box::new(step), bytes, reply));
        let _ = timeout(ORDER, looked_at).await;
        let _ = patiently(channel.send.write_all(&[1])).await;
        let _ = patiently(channel.send.shutdown()).await;
    }

    /// Takes the steps of a move that another device sends.
    async fn take_steps(self: &Arc<Self>, from: DeviceId, instance: InstanceId, attempt: Attempt, channel: Channel) {
        let Some(actor) = self.find_actor(instance) else { return };
        let mut channel = channel;
        loop {
            let progress = || actor.tell(ToActor::Progress(attempt, 0));
            let Some((step, bytes)) = read_step(&mut channel, from, progress).await else { return };
            let (reply, goes_on) = tokio::sync::oneshot::channel();
            actor.tell(ToActor::Step(attempt, from, Box::new(step), bytes, reply));
            let goes_on = timeout(ORDER, goes_on).await;
            if patiently(channel.send.write_all(&[1])).await.is_err() || !matches!(goes_on, Ok(Ok(true))) {
                let _ = patiently(channel.send.shutdown()).await;
                return;
            }
        }
    }
}

/// Reads a step; none if there is no more, or no sound one.
async fn read_step(channel: &mut Channel, from: DeviceId, progress: impl Fn()) -> Option<(Step, Vec<u8>)> {
    let max = MAX_MEMORY_KIB as usize * 1024 / 8 * 9 + (64 << 10);
    let mut head = [0; HEAD];
    patiently(channel.recv.read_exact(&mut head)).await.ok()?;
    let (kept, patch) = step::lengths(&head, max).ok()?;
    let mut bytes = head.to_vec();
    read_pieces(channel, &mut bytes, HEAD + kept + patch, progress).await.ok()?;
    match step::parse(&head, &bytes[HEAD..HEAD + kept], bytes[HEAD + kept..].to_vec()) {
        Ok(step) => Some((step, bytes)),
        Err(why) => {
            tracing::warn!(from = %from.short(), "a step of an instance's state is not taken: {why}");
            None
        }
    }
}

/// Whether a package is what it was called.
pub(super) fn is_the_one(bytes: &[u8], digest: &[u8; 32]) -> Result<(), String> {
    if blake3::hash(bytes).as_bytes() == digest { Ok(()) } else { Err("it is not the one that was announced".into()) }
}

async fn write_package(channel: &mut Channel, bytes: &[u8], progress: impl Fn(u64)) -> Result<(), String> {
    patiently(channel.send.write_all(&(bytes.len() as u32).to_le_bytes())).await?;
    write_pieces(channel, bytes, progress).await?;
    patiently(channel.send.shutdown()).await
}

async fn read_package(channel: &mut Channel) -> Result<Vec<u8>, String> {
    let mut length = [0; 4];
    patiently(channel.recv.read_exact(&mut length)).await?;
    let length = u32::from_le_bytes(length) as usize;
    if length == 0 || length > MAX_PACKAGE {
        return Err(if length == 0 { "it has none".into() } else { "it is too large".into() });
    }
    let mut bytes = Vec::new();
    read_pieces(channel, &mut bytes, length, || {}).await?;
    Ok(bytes)
}

async fn write_pieces(channel: &mut Channel, bytes: &[u8], progress: impl Fn(u64)) -> Result<(), String> {
    for piece in bytes.chunks(PIECE) {
        patiently(channel.send.write_all(piece)).await?;
        progress(piece.len() as u64);
    }
    Ok(())
}

/// Reads until there are so many bytes. There is room for them as they come, not as they are announced.
async fn read_pieces(
    channel: &mut Channel,
    bytes: &mut Vec<u8>,
    end: usize,
    progress: impl Fn(),
) -> Result<(), String> {
    while bytes.len() < end {
        let at = bytes.len();
        bytes.resize(end.min(at + PIECE), 0);
        patiently(channel.recv.read_exact(&mut bytes[at..])).await?;
        progress();
    }
    Ok(())
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
                        apps.on_stream(from, &header, channel).await;
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

    async fn on_stream(&self, from: DeviceId, header: &Bytes, mut channel: Channel) {
        let shared = &self.0;
        match parse::<Header>(header) {
            Some(Header::State(instance, attempt)) => shared.take_steps(from, instance, attempt, channel).await,
            Some(Header::Checkpoint(instance, head)) => shared.take_checkpoint(from, instance, head, channel).await,
            Some(Header::Package(digest)) => {
                let kept = match read_package(&mut channel).await {
                    Ok(bytes) => shared.keep_package(digest, bytes).await,
                    Err(why) => Err(why),
                };
                if let Err(why) = &kept {
                    tracing::info!(from = %shared.name_of(from), "a package was not kept: {why}");
                    shared.audit("", None, tutti_control::AuditWhat::Refused, format!("a package was not kept: {why}"));
                }
                let _ = patiently(channel.send.write_all(&[u8::from(kept.is_ok())])).await;
                let _ = patiently(channel.send.shutdown()).await;
            }
            Some(Header::Fetch(digest)) => {
                let reading = shared.clone();
                let bytes = tokio::task::spawn_blocking(move || reading.package_bytes(&digest)).await;
                let bytes = bytes.ok().and_then(Result::ok).unwrap_or_default();
                let _ = write_package(&mut channel, &bytes, |_| {}).await;
            }
            None => {}
        }
    }

    /// Keeps instances told of who is there and others told of what is here, for ever.
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
