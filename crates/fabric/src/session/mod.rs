//! A live session with another member: heartbeats, news of the group, and the services' streams.
//!
//! ```text
//!            dialled or accepted
//!                    │ handshake (versions, membership)
//!                    ▼
//!   register ── another one preferred ──▶ retire: finishes what is under way, then closes
//!                    │
//!                    ▼
//!                  live ── silent for 2.2 s, closed, misbehaved, shut down ──▶ over
//!                    │
//!                    └── the device is forgotten: its streams are cut at once, it is told why, ──▶ over
//! ```

pub(crate) mod handshake;
mod streams;
pub(crate) mod wire;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tutti_model::{BootTime, DeviceId, ProtocolVersion};

use self::{
    handshake::{Established, establish},
    wire::{Control, MAX_CONTROL, batches},
};
use crate::{
    core::Core,
    frame,
    group::EntryHash,
    service::FabricError,
    timing,
    transport::{BiStream, CloseCode, Connection, RecvStream},
    view::Trouble,
};

/// Something is under way on a session as long as a clone of its own one is held.
#[derive(Clone, Default)]
struct Use(Arc<()>);

/// A live session.
pub(crate) struct Session {
    pub(crate) remote: DeviceId,
    pub(crate) conn: Arc<dyn Connection>,
    pub(crate) generation: u64,
    pub(crate) version: ProtocolVersion,
    pub(crate) since: BootTime,
    incarnation: u64,
    last_heard: AtomicU64,
    revoked: Arc<AtomicBool>,
    in_use: Use,
    /// Why this side closed it.
    closed_for: OnceLock<String>,
    serving: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Session {
    /// When anything last came from the other side.
    pub(crate) fn last_heard(&self) -> BootTime {
        BootTime::from_nanos(self.last_heard.load(Ordering::Relaxed))
    }

    fn heard(&self, now: BootTime) {
        self.last_heard.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// Stops serving and hearing the other side at once: it is no longer a member.
    pub(crate) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
        self.stop_serving();
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.in_use.0) > 1
    }

    /// Closes it. Whoever waits for something on it is told why, at the other side and here.
    fn close(&self, code: CloseCode, why: &str) {
        let _ = self.closed_for.set(why.to_owned());
        self.conn.close(code, why);
    }

    /// What broke what was under way: why this side closed the session, if it did, or else what the network says.
    fn lost(&self, error: impl fmt::Display) -> FabricError {
        FabricError::Lost(self.closed_for.get().cloned().unwrap_or_else(|| error.to_string()))
    }

    /// Closes it in favour of another one.
    pub(crate) fn replaced(&self) {
        self.close(CloseCode::DUPLICATE, "another connection is used instead");
    }

    fn stop_serving(&self) {
        if let Ok(mut serving) = self.serving.lock()
            && let Some(task) = serving.take()
        {
            task.abort();
        }
    }

    /// Whether `old`, with the same device, is kept instead of this new one. Both sides decide alike: a device
    /// that has restarted, or that dials although there has been a session for a while, has lost the old one; of
    /// two that were dialled at the same moment, the one dialled by the device with the lower id stays.
    pub(crate) fn loses_to(&self, old: &Self, me: DeviceId, now: BootTime) -> bool {
        let simultaneous = self.incarnation == old.incarnation && now.since(old.since) < timing::SIMULTANEOUS;
        let dialled_by_lower = |session: &Self| session.conn.dialled() == (me < session.remote);
        simultaneous && dialled_by_lower(old) && !dialled_by_lower(self)
    }
}

/// Sets up a session on a fresh connection and starts it. Returns when it is live or has failed.
pub(crate) async fn start(core: Arc<Core>, conn: Arc<dyn Connection>) {
    let remote = conn.remote_id();
    let established = match establish(&core, &conn).await {
        Ok(established) => established,
        Err(error) => {
            tracing::debug!(device = %remote.short(), %error, "no session");
            conn.close(error.close_code(), &error.close_reason());
            return core.note_trouble(remote, Trouble::Session(error.to_string()));
        }
    };
    let now = core.clock.now();
    let session = Arc::new(Session {
        remote,
        conn,
        generation: core.next_generation(),
        version: established.version,
        since: now,
        incarnation: established.incarnation,
        last_heard: AtomicU64::new(now.as_nanos()),
        revoked: Arc::default(),
        in_use: Use::default(),
        closed_for: OnceLock::new(),
        serving: std::sync::Mutex::default(),
    });
    // No await from here on: whoever dialled may be aborted as soon as the session is registered.
    if let Ok(mut serving) = session.serving.lock() {
        *serving = Some(tokio::spawn(streams::serve(core.clone(), session.clone())));
    }
    if let Some(loser) = core.register(&session) {
        if loser.incarnation == session.incarnation {
            tokio::spawn(retire(loser));
        } else {
            loser.replaced();
        }
    }
    tokio::spawn(run(core, session, established));
}

/// Lets what is under way on a superfluous session finish, however long that takes, then closes it.
async fn retire(session: Arc<Session>) {
    let mut idle = 0;
    while idle < 2 {
        if timeout(timing::RETIRE, session.conn.closed()).await.is_ok() {
            return;
        }
        idle = if session.is_in_use() { 0 } else { idle + 1 };
    }
    session.replaced();
}

/// Runs a session until it is over, and says why.
async fn run(core: Arc<Core>, session: Arc<Session>, established: Established) {
    tracing::debug!(device = %session.remote.short(), version = %session.version, "session up");
    let Established { known, control, .. } = established;
    let (code, why) = live(&core, &session, known, control).await;
    session.stop_serving();
    session.close(code, &why);
    core.unregister(&session, &why);
    tracing::debug!(device = %session.remote.short(), %why, "session over");
}

/// The life of a session. Gives what the other side is told at its end.
async fn live(
    core: &Arc<Core>,
    session: &Session,
    mut known: BTreeSet<EntryHash>,
    control: BiStream,
) -> (CloseCode, String) {
    let (mut send, recv) = control;
    let (news_in, mut news) = mpsc::channel(4);
    // Reading a message must not be interrupted half-way, so it has a task of its own.
    let reader = tokio::spawn(read_control(recv, news_in));
    let _stop_reader = AbortOnDrop(reader);
    let mut beat = interval(timing::HEARTBEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let group_id = core.group().id();
    let mut group = core.group_changes.subscribe();
    group.mark_changed();
    let mut closing = core.closing.subscribe();
    let mut silent_at = Instant::now() + timing::SILENCE;
    loop {
        tokio::select! {
            biased;
            () = is_true(&mut closing) => return (CloseCode::SHUTDOWN, "it shuts down".to_owned()),
            closed = session.conn.closed() => return (CloseCode::DONE, closed.to_string()),
            datagram = session.conn.recv_datagram() => match datagram {
                Ok(_) => {}
                Err(closed) => return (CloseCode::DONE, closed.to_string()),
            },
            message = news.recv() => match message {
                Some(Ok(Control::Entries { entries, .. })) => {
                    known.extend(entries.iter().map(EntryHash::of));
                    if let Err(error) = core.learn(entries).await {
                        return (CloseCode::MISBEHAVED, error.to_string());
                    }
                }
                // Nothing else has a meaning now; a later version may give it one.
                Some(Ok(_)) => {}
                Some(Err(why)) => return (CloseCode::MISBEHAVED, why),
                None => return (CloseCode::DONE, "it ended the session".to_owned()),
            },
            _ = group.changed() => {
                let ours = core.group();
                if ours.id() != group_id {
                    return (CloseCode::NOT_A_MEMBER, "this device is in another group now".to_owned());
                }
                let entries = ours.missing_from(&known);
                known.extend(entries.iter().map(EntryHash::of));
                let told = async {
                    for batch in batches(entries).into_iter().filter(is_news) {
                        frame::write(send.as_mut(), &batch.emit().unwrap_or_default()).await?;
                    }
                    Ok::<_, std::io::Error>(())
                };
                match timeout(timing::HANDSHAKE_STEP, told).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return (CloseCode::DONE, error.to_string()),
                    Err(_) => return (CloseCode::SILENT, "it takes no news of the group".to_owned()),
                }
                if ours.role_of(session.remote).is_none() || session.is_revoked() {
                    // What was just written must arrive before the connection goes.
                    let _ = tokio::io::AsyncWriteExt::shutdown(&mut send).await;
                    let _ = timeout(timing::GOODBYE, session.conn.closed()).await;
                    return (CloseCode::NOT_A_MEMBER, "not a member of this group any more".to_owned());
                }
                continue;
            }
            _ = beat.tick() => {
                if let Err(closed) = session.conn.send_datagram(wire::HEARTBEAT.into()) {
                    return (CloseCode::DONE, closed.to_string());
                }
                continue;
            }
            () = sleep_until(silent_at) => return (CloseCode::SILENT, "it fell silent".to_owned()),
        }
        session.heard(core.clock.now());
        silent_at = Instant::now() + timing::SILENCE;
    }
}

/// Waits until the value is true, or can no longer become it.
async fn is_true(watched: &mut watch::Receiver<bool>) {
    let _ = watched.wait_for(|value| *value).await;
}

fn is_news(batch: &Control) -> bool {
    matches!(batch, Control::Entries { entries, .. } if !entries.is_empty())
}

/// Passes the other side's messages on, in order, until the stream ends or breaks a rule.
async fn read_control(mut recv: Box<dyn RecvStream>, news: mpsc::Sender<Result<Control, String>>) {
    loop {
        let message = match frame::read(recv.as_mut(), MAX_CONTROL).await {
            Ok(bytes) => match Control::parse(&bytes) {
                Ok(Some(message)) => Ok(message),
                Ok(None) => continue,
                Err(error) => Err(error.to_string()),
            },
            Err(error) if error.is_misbehaviour() => Err(error.to_string()),
            Err(_) => return,
        };
        let over = message.is_err();
        if news.send(message).await.is_err() || over {
            return;
        }
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
