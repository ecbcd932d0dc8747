//! Setting up a session: versions, then membership, before anything else.
//!
//! ```text
//! dialler                                  acceptor
//!    │── hello (versions, group, heads) ─────▶│  another group or no common version: closed
//!    │◀─ prove ───────────────────────────────│  only if the dialler is not a member as far as is known here
//!    │── entries … last ─────────────────────▶│  they make it one, or it is closed
//!    │◀─ hello ───────────────────────────────│  until here the acceptor has told nothing
//!    │◀═ known, entries ═════════════════════▶│  both at once, only if their heads differ
//!    │◀═ ready ══════════════════════════════▶│  both have merged and saved, and accept each other
//! ```
//!
//! - *A stranger* gets `prove` for an answer and nothing more: it cannot make entries that an owner did not sign.
//!   What it may send as proof is bounded in size, and one proof is checked at a time.
//! - *A member that was added while this device was away* proves itself the same way.
//! - *A forgotten device* proves in vain, and is told the entries that removed it (`entries` in place of `hello`), so
//!   that it knows. If it is connected while it is being forgotten, it is told before the session ends.
//! - *A member that floods*: messages, lists and entries are bounded by [`wire`](super::wire) and the group's limits.

use std::{collections::BTreeSet, fmt, sync::Arc};

use tokio::time::timeout;
use tutti_model::{ProtocolVersion, VersionRange, signed::Signed};

use super::wire::{Control, Hello, MAX_CONTROL, MAX_PROOF, batches};
use crate::{
    core::Core,
    frame::{self, FrameError},
    group::EntryHash,
    timing,
    transport::{BiStream, CloseCode, Closed, Connection, Priority, RecvStream, SendStream},
};

/// A session that both sides have agreed on.
pub(crate) struct Established {
    pub(crate) version: ProtocolVersion,
    pub(crate) incarnation: u64,
    /// The entries that the other side has.
    pub(crate) known: BTreeSet<EntryHash>,
    pub(crate) control: BiStream,
}

/// Why a session was not set up.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    /// The other side is not in the group, as far as is known here.
    NotAMember,
    /// It is in another group.
    OtherGroup,
    /// No version in common.
    Version { ours: VersionRange, theirs: VersionRange },
    /// It said what it may not say here, or too much.
    Misbehaved(String),
    /// It said nothing in time.
    Silent,
    /// The connection ended; perhaps the other side said why.
    Closed(Closed),
    /// What was learnt could not be saved.
    State(String),
}

impl HandshakeError {
    /// What the other side is told.
    pub(crate) fn close_code(&self) -> CloseCode {
        match self {
            Self::NotAMember | Self::OtherGroup => CloseCode::NOT_A_MEMBER,
            Self::Version { .. } => CloseCode::VERSION,
            Self::Misbehaved(_) => CloseCode::MISBEHAVED,
            Self::Silent => CloseCode::SILENT,
            Self::Closed(_) | Self::State(_) => CloseCode::DONE,
        }
    }

    /// The words with which the connection is closed: the other side shows them, so they are from its point of view.
    pub(crate) fn close_reason(&self) -> String {
        match *self {
            Self::Version { ours, theirs } => Self::Version { ours: theirs, theirs: ours }.to_string(),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAMember => f.write_str("not a member of this group: pair again"),
            Self::OtherGroup => f.write_str("a member of another group: leave it there, then pair"),
            Self::Version { ours, theirs } => write!(
                f,
                "no protocol version in common: it speaks {theirs}, this device {ours}; update the older of the two"
            ),
            Self::Misbehaved(what) => write!(f, "broke the protocol: {what}"),
            Self::Silent => f.write_str("did not answer in time while the session was set up"),
            Self::Closed(closed) => closed.fmt(f),
            Self::State(why) => f.write_str(why),
        }
    }
}

impl From<Closed> for HandshakeError {
    fn from(closed: Closed) -> Self {
        Self::Closed(closed)
    }
}

/// Sets up a session on a fresh connection, as the side that dialled or the one that accepted.
pub(crate) async fn establish(core: &Arc<Core>, conn: &Arc<dyn Connection>) -> Result<Established, HandshakeError> {
    let work = async {
        let streams =
            if conn.dialled() { conn.open_bi().await? } else { step(async { Ok(conn.accept_bi().await?) }).await? };
        let mut talk = Talk { streams, conn };
        talk.streams.0.set_priority(Priority::Membership);
        let (version, hello, known) = talk.run(core).await?;
        conn.admit();
        Ok(Established { version, incarnation: hello.incarnation, known, control: talk.streams })
    };
    timeout(timing::HANDSHAKE, work).await.unwrap_or(Err(HandshakeError::Silent))
}

struct Talk<'a> {
    streams: BiStream,
    conn: &'a Arc<dyn Connection>,
}

impl Talk<'_> {
    async fn run(&mut self, core: &Arc<Core>) -> Result<(ProtocolVersion, Hello, BTreeSet<EntryHash>), HandshakeError> {
        let remote = self.conn.remote_id();
        let theirs = if self.conn.dialled() {
            self.say(&Control::Hello(core.hello())).await?;
            match self.hear().await? {
                Control::Hello(hello) => hello,
                Control::Prove => {
                    let all = core.group().missing_from(&BTreeSet::new());
                    self.send_entries(all).await?;
                    match self.hear().await? {
                        Control::Hello(hello) => hello,
                        Control::Entries { entries, .. } => {
                            core.learn(entries).await?;
                            return Err(HandshakeError::NotAMember);
                        }
                        other => return Err(unexpected(&other, "hello")),
                    }
                }
                other => return Err(unexpected(&other, "hello")),
            }
        } else {
            let hello = self.hear_hello().await?;
            check_hello(core, &hello)?;
            if core.group().role_of(remote).is_none() {
                self.say(&Control::Prove).await?;
                let proof = self.hear_entries(MAX_PROOF).await?;
                if let Err(error) = core.admit(remote, proof).await {
                    self.explain(core.removal_of(remote)).await;
                    return Err(error);
                }
            }
            self.say(&Control::Hello(core.hello())).await?;
            hello
        };
        let version = check_hello(core, &theirs)?;
        let known = self.exchange(core, &theirs).await?;
        if core.group().role_of(remote).is_none() {
            return Err(HandshakeError::NotAMember);
        }
        self.say(&Control::Ready).await?;
        match self.hear().await? {
            Control::Ready => Ok((version, theirs, known)),
            other => Err(unexpected(&other, "ready")),
        }
    }

    /// Tells a device that was a member once why it is no more, and waits a moment for it to read that.
    async fn explain(&mut self, removal: Vec<Signed>) {
        if !removal.is_empty() && self.send_entries(removal).await.is_ok() {
            let _ = timeout(timing::GOODBYE, self.conn.closed()).await;
        }
    }

    /// Brings both histories together if their heads differ. Gives the entries that the other side then has.
    async fn exchange(&mut self, core: &Arc<Core>, theirs: &Hello) -> Result<BTreeSet<EntryHash>, HandshakeError> {
        let mine = core.group();
        let hashes: BTreeSet<EntryHash> = mine.hashes().collect();
        let heads: BTreeSet<EntryHash> = theirs.heads.iter().copied().collect();
        if heads == mine.heads().into_iter().collect() {
            return Ok(hashes);
        }
        self.say(&Control::Known(hashes.iter().copied().collect())).await?;
        let theirs: BTreeSet<EntryHash> = match self.hear().await? {
            Control::Known(theirs) => theirs.into_iter().collect(),
            other => return Err(unexpected(&other, "known")),
        };
        // Both sides may have much to say: say and hear at the same time, or both would wait for the other.
        let (send, recv) = &mut self.streams;
        let entries = mine.missing_from(&theirs);
        let ((), news) = tokio::try_join!(
            send_entries(send.as_mut(), self.conn, entries),
            hear_entries(recv.as_mut(), self.conn, usize::MAX)
        )?;
        core.learn(news).await?;
        Ok(theirs.union(&hashes).copied().collect())
    }

    async fn say(&mut self, message: &Control) -> Result<(), HandshakeError> {
        say(self.streams.0.as_mut(), self.conn, message).await
    }

    async fn hear(&mut self) -> Result<Control, HandshakeError> {
        hear(self.streams.1.as_mut(), self.conn).await
    }

    async fn hear_hello(&mut self) -> Result<Hello, HandshakeError> {
        match self.hear().await? {
            Control::Hello(hello) => Ok(hello),
            other => Err(unexpected(&other, "hello")),
        }
    }

    async fn send_entries(&mut self, entries: Vec<Signed>) -> Result<(), HandshakeError> {
        send_entries(self.streams.0.as_mut(), self.conn, entries).await
    }

    async fn hear_entries(&mut self, max: usize) -> Result<Vec<Signed>, HandshakeError> {
        hear_entries(self.streams.1.as_mut(), self.conn, max).await
    }
}

fn check_hello(core: &Core, hello: &Hello) -> Result<ProtocolVersion, HandshakeError> {
    let (ours, theirs) = (core.versions(), hello.versions);
    let version = ours.agree(theirs).ok_or(HandshakeError::Version { ours, theirs })?;
    if hello.group == core.group().id() { Ok(version) } else { Err(HandshakeError::OtherGroup) }
}

fn unexpected(got: &Control, wanted: &str) -> HandshakeError {
    HandshakeError::Misbehaved(format!("said {} where {wanted} was due", got.word()))
}

async fn step<T>(work: impl Future<Output = Result<T, HandshakeError>>) -> Result<T, HandshakeError> {
    timeout(timing::HANDSHAKE_STEP, work).await.unwrap_or(Err(HandshakeError::Silent))
}

async fn say(send: &mut dyn SendStream, conn: &Arc<dyn Connection>, message: &Control) -> Result<(), HandshakeError> {
    let bytes = message.emit().map_err(|error| HandshakeError::State(error.to_string()))?;
    step(async {
        match frame::write(send, &bytes).await {
            Ok(()) => Ok(()),
            Err(error) => Err(why_broken(conn, error.to_string()).await),
        }
    })
    .await
}

/// The next message that this version knows.
async fn hear(recv: &mut dyn RecvStream, conn: &Arc<dyn Connection>) -> Result<Control, HandshakeError> {
    step(async {
        loop {
            let bytes = match frame::read(recv, MAX_CONTROL).await {
                Ok(bytes) => bytes,
                Err(error) if error.is_misbehaviour() => return Err(HandshakeError::Misbehaved(error.to_string())),
                Err(FrameError::End) => return Err(why_broken(conn, "it ended early".to_owned()).await),
                Err(error) => return Err(why_broken(conn, error.to_string()).await),
            };
            match Control::parse(&bytes) {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => {}
                Err(error) => return Err(HandshakeError::Misbehaved(error.to_string())),
            }
        }
    })
    .await
}

async fn send_entries(
    send: &mut dyn SendStream,
    conn: &Arc<dyn Connection>,
    entries: Vec<Signed>,
) -> Result<(), HandshakeError> {
    for batch in batches(entries) {
        say(send, conn, &batch).await?;
    }
    Ok(())
}

/// Entries up to the last one, of at most `max` bytes in all.
async fn hear_entries(
    recv: &mut dyn RecvStream,
    conn: &Arc<dyn Connection>,
    max: usize,
) -> Result<Vec<Signed>, HandshakeError> {
    let mut all = Vec::new();
    let mut size = 0usize;
    loop {
        match hear(recv, conn).await? {
            Control::Entries { entries, last } => {
                size += entries.iter().map(|entry| entry.unverified().len() + 64).sum::<usize>();
                if size > max || all.len() + entries.len() > crate::group::MAX_ENTRIES {
                    return Err(HandshakeError::Misbehaved(format!("sent more than {max} bytes of entries")));
                }
                all.extend(entries);
                if last {
                    return Ok(all);
                }
            }
            other => return Err(unexpected(&other, "entries")),
        }
    }
}

/// A stream breaks because its connection does: give that moment to say why.
async fn why_broken(conn: &Arc<dyn Connection>, otherwise: String) -> HandshakeError {
    match timeout(timing::RETIRE, conn.closed()).await {
        Ok(closed) => HandshakeError::Closed(closed),
        Err(_) => HandshakeError::Closed(Closed::Network(otherwise)),
    }
}
