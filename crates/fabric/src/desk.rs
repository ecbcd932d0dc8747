//! The host's side of pairing on a real transport: carries out what [`HostPairing`] says.
//!
//! One task owns the machine. Each connection has a task that reads and one that writes; what they may hold is
//! bounded by the machine's limits, by [`MAX_CONNECTIONS`] and by short queues.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bytes::BytesMut;
use rand::rngs::StdRng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};
use tutti_model::{DeviceId, Name, Role, WallTime};

use crate::{
    core::{Core, LearnError, keys},
    pairing::{
        AttemptEnd, AttemptId, Code, HostGroup, HostInput, HostOutput, HostPairing, MAX_TICKET_LIFE, OFFER_LIFE,
        OfferTerms, TicketSecret,
    },
    store::{StoreError, run_blocking},
    ticket::Ticket,
    timing,
    transport::{CloseCode, Connection},
};

/// The most connections for pairing at once; beyond that newer ones are turned away.
const MAX_CONNECTIONS: usize = 64;

/// An open offer to pair, for showing to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Six digits to read out.
    pub code: String,
    /// The ticket: text to send, or to show as a QR code.
    pub ticket: String,
    /// What the new member may do.
    pub role: Role,
    /// How long the ticket is good for; the code is for [`OFFER_LIFE`] at most.
    pub expires_in: Duration,
}

/// Why there is no offer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OfferError {
    /// Only owners may let devices in.
    NotAnOwner(Role),
    /// The offer could not be saved.
    Store(StoreError),
    /// The device shuts down.
    Closing,
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnOwner(role) => {
                write!(f, "only owners of the group may let devices in; this device is a {role} of it")
            }
            Self::Store(error) => error.fmt(f),
            Self::Closing => f.write_str("this device is shutting down"),
        }
    }
}

impl std::error::Error for OfferError {}

enum Ask {
    Offer(Role, Duration, oneshot::Sender<Result<Offer, OfferError>>),
    Cancel(oneshot::Sender<()>),
    Connected(Arc<dyn Connection>),
    /// The stream to this joiner is open; what is sent to it goes here.
    Opened(AttemptId, DeviceId, mpsc::Sender<Vec<u8>>),
    Machine(HostInput),
    /// The connection of this attempt is closed.
    Gone,
}

/// Where offers are made.
#[derive(Clone)]
pub(crate) struct OfferDesk(mpsc::Sender<Ask>);

impl OfferDesk {
    /// Takes up the offer that was open when the device last stopped, if it is still good.
    pub(crate) async fn start(core: Arc<Core>) -> Result<Self, StoreError> {
        let store = core.store.clone();
        let stored = run_blocking(move || store.load(keys::OFFER)).await??.unwrap_or_default();
        let boot = core.clock.boot();
        let rng = || Box::new(rand::make_rng::<StdRng>());
        let host = HostPairing::restore(core.me, boot, rng(), core.clock.now(), &stored).unwrap_or_else(|error| {
            tracing::warn!(%error, "the saved pairing offer cannot be read and is dropped");
            HostPairing::new(core.me, boot, rng())
        });
        let (asks, inbox) = mpsc::channel(64);
        let desk = Self(asks);
        let task =
            Desk { core, host, asks: desk.0.clone(), pending: None, senders: BTreeMap::new(), connections: 0, next: 0 };
        tokio::spawn(task.run(inbox));
        Ok(desk)
    }

    pub(crate) async fn offer(&self, role: Role, ticket_life: Duration) -> Result<Offer, OfferError> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Ask::Offer(role, ticket_life, answer)).await.map_err(|_| OfferError::Closing)?;
        answered.await.unwrap_or(Err(OfferError::Closing))
    }

    pub(crate) async fn cancel(&self) {
        let (answer, answered) = oneshot::channel();
        if self.0.send(Ask::Cancel(answer)).await.is_ok() {
            let _ = answered.await;
        }
    }

    /// Somebody has connected for pairing. Never waits: a flood is turned away here.
    pub(crate) fn connected(&self, conn: Arc<dyn Connection>) {
        if let Err(mpsc::error::TrySendError::Full(Ask::Connected(conn))) = self.0.try_send(Ask::Connected(conn)) {
            conn.close(CloseCode::BUSY, "too many devices want to pair at once; try again");
        }
    }
}

struct Desk {
    core: Arc<Core>,
    host: HostPairing,
    asks: mpsc::Sender<Ask>,
    /// An offer that is being saved: what to show, and who waits for it.
    pending: Option<(Offer, oneshot::Sender<Result<Offer, OfferError>>)>,
    senders: BTreeMap<AttemptId, mpsc::Sender<Vec<u8>>>,
    connections: usize,
    next: u64,
}

impl Desk {
    async fn run(mut self, mut inbox: mpsc::Receiver<Ask>) {
        let mut closing = self.core.closing.subscribe();
        loop {
            self.carry_out().await;
            let status = self.host.status();
            if self.core.look(|state| state.offer != status) {
                self.core.update(|state| state.offer = status);
            }
            let wake = self.host.poll_timeout().map(|at| Instant::now() + at.since(self.core.clock.now()));
            tokio::select! {
                biased;
                _ = async { let _ = closing.wait_for(|closing| *closing).await; } => return,
                ask = inbox.recv() => match ask {
                    Some(ask) => self.asked(ask),
                    None => return,
                },
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => self.tell(HostInput::Tick),
            }
        }
    }

    fn tell(&mut self, input: HostInput) {
        self.host.handle(self.core.clock.now(), input);
    }

    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Offer(role, ticket_life, answer) => self.open(role, ticket_life, answer),
            Ask::Cancel(answer) => {
                self.tell(HostInput::Cancel);
                let _ = answer.send(());
            }
            Ask::Connected(conn) if self.connections >= MAX_CONNECTIONS => {
                conn.close(CloseCode::BUSY, "too many devices want to pair at once; try again");
            }
            Ask::Connected(conn) => {
                self.connections += 1;
                self.next += 1;
                tokio::spawn(serve(conn, AttemptId(self.next), self.asks.clone()));
            }
            Ask::Opened(attempt, remote, sender) => {
                self.senders.insert(attempt, sender);
                self.tell(HostInput::Connected { attempt, remote });
            }
            Ask::Machine(input) => self.tell(input),
            Ask::Gone => self.connections -= 1,
        }
    }

    fn open(&mut self, role: Role, ticket_life: Duration, answer: oneshot::Sender<Result<Offer, OfferError>>) {
        let mine = self.core.group().role_of(self.core.me).unwrap_or(Role::Guest);
        if mine != Role::Owner {
            let _ = answer.send(Err(OfferError::NotAnOwner(mine)));
            return;
        }
        let mut rng = rand::make_rng::<StdRng>();
        let ticket_life = ticket_life.clamp(OFFER_LIFE, MAX_TICKET_LIFE);
        let (code, ticket) = (Code::random(&mut rng), TicketSecret::random(&mut rng));
        let terms = OfferTerms { code, ticket, role, ticket_life };
        let life_millis = u64::try_from(ticket_life.as_millis()).unwrap_or(0);
        let expires = WallTime::from_unix_millis(self.core.clock.wall().as_unix_millis().saturating_add(life_millis));
        let name = self.core.look(|state| state.name);
        let addrs = self.core.transport.local_addrs();
        let ticket = Ticket::new(self.core.me, name, terms.ticket.clone(), expires, addrs);
        let offer = Offer { code: terms.code.to_string(), ticket: ticket.to_string(), role, expires_in: ticket_life };
        self.pending = Some((offer, answer));
        self.tell(HostInput::Open(terms));
    }

    async fn carry_out(&mut self) {
        while let Some(output) = self.host.poll_output() {
            match output {
                HostOutput::Persist { serial, bytes } => match self.core.save(keys::OFFER, bytes).await {
                    Ok(()) => self.tell(HostInput::Persisted { serial }),
                    Err(error) => {
                        tracing::error!(%error, "a pairing offer could not be saved");
                        if let Some((_, answer)) = self.pending.take() {
                            let _ = answer.send(Err(OfferError::Store(error)));
                        }
                        self.tell(HostInput::PersistFailed { serial });
                    }
                },
                HostOutput::Opened => {
                    if let Some((offer, answer)) = self.pending.take() {
                        let _ = answer.send(Ok(offer));
                    }
                }
                HostOutput::Send { attempt, bytes } => {
                    let sent = self.senders.get(&attempt).map(|sender| sender.try_send(bytes));
                    if matches!(sent, Some(Err(_))) {
                        self.tell(HostInput::Closed { attempt });
                    }
                }
                HostOutput::Ended { attempt, device, end } => {
                    self.senders.remove(&attempt);
                    match end {
                        AttemptEnd::Paired => tracing::info!(device = %device.short(), "paired"),
                        end => tracing::warn!(device = %device.short(), %end, "pairing attempt"),
                    }
                }
                HostOutput::AddMember { attempt, device, name, role } => {
                    match add(&self.core, device, name, role).await {
                        Ok(group) => self.tell(HostInput::GroupReady { attempt, group }),
                        Err(error) => {
                            tracing::error!(%error, device = %device.short(), "a paired device could not be added");
                            self.tell(HostInput::GroupRefused { attempt });
                        }
                    }
                }
                HostOutput::Finished(outcome) => tracing::info!(%outcome, "pairing offer"),
            }
        }
    }
}

/// Records the new member, and gives the group with it.
async fn add(core: &Arc<Core>, device: DeviceId, name: Name, role: Role) -> Result<HostGroup, LearnError> {
    let (wall, nonce) = (core.clock.wall(), (core.random)());
    match core.group().role_of(device) {
        Some(has) if has == role => {}
        Some(_) => core.append(move |group, key| group.set_role(key, device, role, nonce, wall)).await?,
        None => core.append(move |group, key| group.add(key, device, role, name, nonce, wall)).await?,
    }
    let group = core.group();
    let host_name = core.look(|state| state.name);
    Ok(HostGroup { id: group.id().0, host_name, bytes: group.encode() })
}

/// Opens the stream to a joiner, then moves bytes until either side is done.
async fn serve(conn: Arc<dyn Connection>, attempt: AttemptId, asks: mpsc::Sender<Ask>) {
    if let Ok(Ok((mut send, mut recv))) = timeout(timing::PAUSE, conn.open_bi()).await {
        let (sender, mut queue) = mpsc::channel::<Vec<u8>>(8);
        if asks.send(Ask::Opened(attempt, conn.remote_id(), sender)).await.is_err() {
            return;
        }
        let writing = async {
            while let Some(bytes) = queue.recv().await {
                if !matches!(timeout(timing::MESSAGE, send.write_all(&bytes)).await, Ok(Ok(()))) {
                    return;
                }
            }
            // The machine is done with this attempt: let the other side read what was sent.
            let _ = timeout(timing::GOODBYE, send.shutdown()).await;
            let _ = timeout(timing::GOODBYE, conn.closed()).await;
        };
        let reading = async {
            let mut buffer = BytesMut::with_capacity(4096);
            // The machine's time-outs end an attempt that says nothing.
            while recv.read_buf(&mut buffer).await.is_ok_and(|count| count > 0) {
                let bytes = buffer.split().to_vec();
                if asks.send(Ask::Machine(HostInput::Received { attempt, bytes })).await.is_err() {
                    return;
                }
                buffer.reserve(4096);
            }
            let _ = asks.send(Ask::Machine(HostInput::Closed { attempt })).await;
        };
        tokio::join!(
            async {
                tokio::select! {
                    () = writing => {}
                    _ = conn.closed() => {}
                }
                conn.close(CloseCode::DONE, "pairing is over");
            },
            reading
        );
    } else {
        conn.close(CloseCode::SILENT, "no stream could be opened");
    }
    let _ = asks.send(Ask::Gone).await;
}
