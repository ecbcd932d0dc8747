//! The joiner's side of pairing on a real transport: carries out what [`JoinerPairing`] says.

use std::{fmt, net::SocketAddr, sync::Arc};

use bytes::BytesMut;
use rand::rngs::StdRng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::oneshot,
    time::{Instant, sleep_until, timeout},
};
use tutti_model::DeviceId;

use crate::{
    core::{Core, LearnError},
    group::Group,
    pairing::{self, Code, JoinTerms, Joined, JoinerInput, JoinerOutput, JoinerPairing, Secret},
    store::run_blocking,
    ticket::Ticket,
    timing,
    transport::{BiStream, CloseCode, ConnectError, Connection, Protocol},
    view::Source,
};

/// Whose group to enter, and what lets this device in.
#[derive(Clone, Debug)]
pub enum JoinTarget {
    /// A device that discovery has seen, and the code that it shows.
    Code {
        /// The device.
        device: DeviceId,
        /// Its code.
        code: Code,
    },
    /// A ticket, which says where and with what.
    Ticket(Ticket),
}

/// Why this device did not enter the group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// It is in a group with others.
    NotAlone {
        /// How many members that has, this device included.
        members: usize,
    },
    /// The device that offers cannot be reached.
    Unreachable(ConnectError),
    /// It was reached, and it did not work out.
    Pairing(pairing::JoinError),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAlone { members } => write!(
                f,
                "this device is in a group of {members} devices; leave that first (`tutti leave`), or pair the other \
                 device into it"
            ),
            Self::Unreachable(error) => write!(f, "the other device cannot be reached: {error}"),
            Self::Pairing(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for JoinError {}

impl From<pairing::JoinError> for JoinError {
    fn from(error: pairing::JoinError) -> Self {
        Self::Pairing(error)
    }
}

/// Enters the group of a device that offers to pair.
pub(crate) async fn join(core: &Arc<Core>, target: JoinTarget) -> Result<Joined, JoinError> {
    let members = core.group().members().len();
    if members > 1 {
        return Err(JoinError::NotAlone { members });
    }
    let (host, secret, addrs) = match target {
        JoinTarget::Code { device, code } => (device, Secret::Code(code), known_addrs(core, device)),
        JoinTarget::Ticket(ticket) => {
            let mut addrs = ticket.addrs().to_vec();
            addrs.extend(known_addrs(core, ticket.host()));
            (ticket.host(), Secret::Ticket(ticket.secret().clone()), addrs)
        }
    };
    let terms = JoinTerms { me: core.me, name: core.look(|state| state.name), host, secret };
    let now = core.clock.now();
    let machine = core.look(|state| JoinerPairing::new(now, terms, &state.burnt, &mut rand::make_rng::<StdRng>()))?;
    core.look_mut(|state| state.book.heard(host, Source::Ticket, &addrs, now));
    let conn = dial(core, host, &addrs).await.map_err(JoinError::Unreachable)?;
    let streams = match timeout(timing::PAUSE, conn.accept_bi()).await {
        Ok(Ok(streams)) => streams,
        Ok(Err(_)) | Err(_) => return Err(pairing::JoinError::Lost.into()),
    };
    // Should the person give up half-way, what has begun (saving the group, above all) is still finished. And the
    // result does not wait for the goodbyes.
    let (tell, told) = oneshot::channel();
    let core = core.clone();
    tokio::spawn(async move { talk(&core, machine, &conn, streams, tell).await });
    told.await.unwrap_or(Err(pairing::JoinError::Lost)).map_err(JoinError::from)
}

/// Dials a few times: the first packets may be lost, and later attempts begin anew at once.
async fn dial(core: &Core, host: DeviceId, addrs: &[SocketAddr]) -> Result<Arc<dyn Connection>, ConnectError> {
    const ATTEMPTS: usize = 3;
    let mut last = ConnectError::NoAddress;
    for _ in 0..ATTEMPTS {
        match core.transport.connect(host, addrs.to_vec(), Protocol::Pair, timing::DIAL).await {
            Err(ConnectError::TimedOut) => last = ConnectError::TimedOut,
            other => return other,
        }
    }
    Err(last)
}

fn known_addrs(core: &Core, device: DeviceId) -> Vec<SocketAddr> {
    core.look(|state| {
        let mut addrs = state.book.dial(device, core.clock.now());
        addrs.extend(state.nearby.device(device).into_iter().flat_map(|nearby| nearby.addrs));
        addrs.dedup();
        addrs
    })
}

async fn talk(
    core: &Arc<Core>,
    mut machine: JoinerPairing,
    conn: &Arc<dyn Connection>,
    streams: BiStream,
    tell: oneshot::Sender<Result<Joined, pairing::JoinError>>,
) {
    let (mut send, mut recv) = streams;
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    let mut tell = Some(tell);
    let mut reading = true;
    loop {
        while let Some(output) = machine.poll_output() {
            match output {
                JoinerOutput::Burn(code) => core.look_mut(|state| state.burnt.add(code)),
                JoinerOutput::Send(bytes) => {
                    if !matches!(timeout(timing::PAUSE, send.write_all(&bytes)).await, Ok(Ok(()))) {
                        machine.handle(core.clock.now(), JoinerInput::Closed);
                    }
                }
                JoinerOutput::Store(joined, bytes) => {
                    let answer = enter(core, &joined, bytes).await;
                    machine.handle(core.clock.now(), answer);
                }
                JoinerOutput::Finished(how) => {
                    if let Some(tell) = tell.take() {
                        // Nobody waits any more if the person gave up.
                        let _ = tell.send(how);
                    }
                }
                JoinerOutput::Close => {
                    let _ = timeout(timing::GOODBYE, send.shutdown()).await;
                    let _ = timeout(timing::GOODBYE, conn.closed()).await;
                    return conn.close(CloseCode::DONE, "pairing is over");
                }
            }
        }
        let wake = machine.poll_timeout().map(|at| Instant::now() + at.since(core.clock.now()));
        let Some(wake) = wake else { return };
        let input = tokio::select! {
            biased;
            read = recv.read_buf(&mut buffer), if reading => match read {
                Ok(count) if count > 0 => JoinerInput::Received(buffer.split().to_vec()),
                _ => {
                    reading = false;
                    JoinerInput::Closed
                }
            },
            () = sleep_until(wake) => JoinerInput::Tick,
        };
        machine.handle(core.clock.now(), input);
        buffer.reserve(16 * 1024);
    }
}

/// Checks the group that the host has handed over, and makes it this device's.
async fn enter(core: &Arc<Core>, joined: &Joined, bytes: Vec<u8>) -> JoinerInput {
    let Ok(Ok(group)) = run_blocking(move || Group::decode(&bytes)).await else {
        return JoinerInput::GroupRejected;
    };
    if group.id().0 != joined.group || group.role_of(core.me) != Some(joined.role) {
        return JoinerInput::GroupRejected;
    }
    match core.replace_group(group, None).await {
        Ok(()) => JoinerInput::Stored,
        Err(LearnError::Group(_)) => JoinerInput::GroupRejected,
        Err(LearnError::Store(error)) => {
            tracing::error!(%error, "the group could not be saved");
            JoinerInput::StoreFailed
        }
    }
}
