//! What goes between devices as streams: packages, and the state of instances, which moves or is a checkpoint.
//!
//! # What another member can do
//! | attack | what meets it |
//! |---|---|
//! | sends without end, or nothing | streams are bounded by [`STREAMS`] and [`PATIENCE`] |
//! | brings packages that nobody allowed | a package is kept only if a grant covers it; the quota holds for all |
//! | brings a state that is too large, too slow, or damaged | lengths are read before bodies and held against the grant's memory; each step has a digest |

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::timeout,
};
use tutti_app::{
    ids::{Attempt, InstanceId},
    package::{MAX_PACKAGE, Package},
    step::{self, HEAD, Step},
};
use tutti_fabric::{Channel, Service, transport::Priority};
use tutti_model::DeviceId;

use super::{
    MAX_MEMORY, Shared,
    actor::{Ask as ToActor, Handle},
    journal::max_patch,
    net::{ANSWER, ORDER},
    wire::{Answer, Ask, CheckpointHead, Header, emit, parse},
};

/// How long a stream may stand still.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a package waits for the word of an owner that allows it.
const GRANT: Duration = Duration::from_secs(3);
/// The bytes of a piece.
const PIECE: usize = 64 * 1024;
/// How many streams of others are served at a time.
pub(super) const STREAMS: usize = 16;

impl Shared {
    /// Serves a stream of another device.
    pub(super) async fn on_stream(self: &Arc<Self>, from: DeviceId, header: &Bytes, mut channel: Channel) {
        match parse::<Header>(header) {
            Some(Header::State(instance, attempt)) => self.take_steps(from, instance, attempt, channel).await,
            Some(Header::Checkpoint(instance, head)) => self.take_checkpoint(from, instance, head, channel).await,
            Some(Header::Package(digest)) => {
                let kept = match read_package(&mut channel).await {
                    Ok(bytes) => self.keep_package(digest, bytes).await,
                    Err(why) => Err(why),
                };
                if let Err(why) = &kept {
                    tracing::info!(from = %self.name_of(from), "a package was not kept: {why}");
                    self.audit("", None, tutti_control::AuditWhat::Refused, format!("a package was not kept: {why}"));
                }
                let _ = patiently(channel.send.write_all(&[u8::from(kept.is_ok())])).await;
                let _ = patiently(channel.send.shutdown()).await;
            }
            Some(Header::Fetch(digest)) => {
                let reading = self.clone();
                let bytes = tokio::task::spawn_blocking(move || reading.package_bytes(&digest)).await;
                let bytes = bytes.ok().and_then(Result::ok).unwrap_or_default();
                let _ = write_package(&mut channel, &bytes, |_| {}).await;
            }
            None => {}
        }
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
            let package = Package::parse(&bytes).map_err(|error| error.to_string())?;
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
    let mut head = [0; HEAD];
    patiently(channel.recv.read_exact(&mut head)).await.ok()?;
    let (kept, patch) = step::lengths(&head, max_patch(MAX_MEMORY)).ok()?;
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

async fn patiently<T>(what: impl Future<Output = std::io::Result<T>>) -> Result<T, String> {
    match timeout(PATIENCE, what).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("nothing moved for {} s", PATIENCE.as_secs())),
    }
}
