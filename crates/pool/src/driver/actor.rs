//! The task that owns the machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    task::JoinSet,
};
use tutti_fabric::{Store, StoreError, run_blocking};
use tutti_model::{
    DeviceId, Name, ResourceDescription, ResourceId,
    message::{Refusal, StreamHeader},
};

use super::{
    Clock,
    handle::LeaseBook,
    local::{Caller, LocalResources},
    network::{Channel, Incoming, Network, Sessions},
    perform,
};
use crate::{
    catalogue::Catalogue,
    error::PoolError,
    io::{Answer, CallId, Command, Event, Input, Output, PerformId, Satellite, SendError, Work},
    limits::{REQUEST_TIMEOUT, STREAM_PATIENCE},
    machine::Pool,
};

/// At least so often the clock is looked at: timers do not count suspend, the clock does.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// How much of a stream between two ends on this device waits in memory.
const LOCAL_STREAM: usize = 64 * 1024;

/// What a handle wants.
pub(super) enum Ask {
    Command { command: Command, reply: oneshot::Sender<Result<Answer, PoolError>> },
    Open { header: StreamHeader, reply: oneshot::Sender<Result<Channel, PoolError>> },
    Rename(Name),
    Stop,
}

/// What somebody wants.
enum Wish {
    Here(Ask),
    Elsewhere(Incoming),
    /// Nobody on one of the sides will want anything any more.
    Over,
}

/// What waits for the machine to decide.
pub(super) enum Parked {
    Request(Box<dyn FnOnce(Bytes) + Send>),
    Stream(Channel),
    Command(oneshot::Sender<Result<Answer, PoolError>>),
    Open { bulk: bool, subject: ResourceId, reply: oneshot::Sender<Result<Channel, PoolError>> },
}

/// Where news come from.
pub(super) struct Sources {
    pub(super) sessions: BoxStream<'static, Sessions>,
    pub(super) incoming: BoxStream<'static, Incoming>,
    pub(super) described: watch::Receiver<Arc<Vec<ResourceDescription>>>,
    pub(super) satellites: watch::Receiver<Arc<Vec<Satellite>>>,
    pub(super) from_handles: mpsc::Receiver<Ask>,
    pub(super) from_tasks: mpsc::Receiver<Input>,
}

pub(super) struct Actor {
    pub(super) pool: Pool,
    pub(super) network: Arc<dyn Network>,
    pub(super) store: Arc<dyn Store>,
    pub(super) local: Arc<dyn LocalResources>,
    pub(super) clock: Clock,
    pub(super) reports: mpsc::Sender<Input>,
    pub(super) catalogue: watch::Sender<Arc<Catalogue>>,
    pub(super) leases: watch::Sender<Arc<LeaseBook>>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) tasks: JoinSet<()>,
    pub(super) last_call: u64,
    pub(super) parked: BTreeMap<CallId, Parked>,
    pub(super) cuts: BTreeMap<PerformId, oneshot::Sender<Refusal>>,
    pub(super) generations: BTreeMap<DeviceId, u64>,
}

impl Actor {
    pub(super) async fn run(mut self, first: Sessions, sources: Sources) {
        let Sources { mut sessions, incoming, mut described, mut satellites, mut from_handles, mut from_tasks } =
            sources;
        // What devices want: in turn from here and from others, so that neither can keep the other waiting.
        let over = || stream::once(std::future::ready(Wish::Over));
        let asks = stream::poll_fn(|cx| from_handles.poll_recv(cx)).map(Wish::Here).chain(over());
        let mut wishes = stream::select(asks, incoming.map(Wish::Elsewhere).chain(over()));
        self.follow_sessions(first);
        loop {
            self.carry_out();
            let now = (self.clock)().0;
            let sleep = self.pool.poll_timeout().map_or(LONGEST_SLEEP, |due| due.since(now).min(LONGEST_SLEEP));
            tokio::select! {
                // Who is a member counts before what anybody wants; what is under way, before what is new.
                biased;
                next = sessions.next() => match next {
                    Some(sessions) => self.follow_sessions(sessions),
                    None => break,
                },
                Some(report) = from_tasks.recv() => {
                    if let Input::Performed { id, .. } = &report {
                        self.cuts.remove(id);
                    }
                    self.give(report);
                }
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
                Ok(()) = described.changed() => {
                    let resources = described.borrow_and_update().as_ref().clone();
                    self.give(Input::Resources(resources));
                }
                Ok(()) = satellites.changed() => {
                    let satellites = satellites.borrow_and_update().as_ref().clone();
                    self.give(Input::Satellites(satellites));
                }
                wish = wishes.next() => match wish {
                    Some(Wish::Here(Ask::Stop) | Wish::Over) | None => break,
                    Some(Wish::Here(ask)) => self.asked(ask),
                    Some(Wish::Elsewhere(incoming)) => self.came(incoming),
                },
                () = tokio::time::sleep(sleep) => self.give(Input::Tick),
            }
        }
        tracing::debug!("the pool stops");
    }

    fn give(&mut self, input: Input) {
        let (now, wall) = (self.clock)();
        self.pool.handle(now, wall, input);
    }

    fn park(&mut self, parked: Parked) -> CallId {
        self.last_call += 1;
        self.parked.insert(CallId(self.last_call), parked);
        CallId(self.last_call)
    }

    // --- in --------------------------------------------------------------------------------------------------

    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Command { command, reply } => {
                let call = self.park(Parked::Command(reply));
                self.give(Input::Command { call, command });
            }
            Ask::Open { header, reply } => {
                let bulk = matches!(header, StreamHeader::Get(_) | StreamHeader::Put(_));
                let call = self.park(Parked::Open { bulk, subject: header.resource(), reply });
                self.give(Input::Command { call, command: Command::Open(header) });
            }
            Ask::Rename(name) => self.give(Input::Rename(name)),
            Ask::Stop => {}
        }
    }

    fn came(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Notice { from, bytes } => self.give(Input::Notice { from, bytes }),
            Incoming::Request { from, bytes, reply } => {
                let call = self.park(Parked::Request(reply));
                self.give(Input::Request { call, from, bytes });
            }
            Incoming::Stream { from, header, channel } => {
                let call = self.park(Parked::Stream(channel));
                self.give(Input::Stream { call, from, header });
            }
        }
    }

    /// The group first: whoever was removed is nobody's peer, and whoever is a peer is a member.
    fn follow_sessions(&mut self, sessions: Sessions) {
        self.give(Input::Group(sessions.group));
        let before: BTreeSet<DeviceId> = self.generations.keys().copied().collect();
        for device in before.into_iter().filter(|device| !sessions.peers.contains_key(device)) {
            self.generations.remove(&device);
            self.give(Input::PeerDown { device });
        }
        for (device, (version, generation)) in sessions.peers {
            if self.generations.insert(device, generation) != Some(generation) {
                self.give(Input::PeerUp { device, version, generation });
            }
        }
    }

    // --- out -------------------------------------------------------------------------------------------------

    fn carry_out(&mut self) {
        while let Some(output) = self.pool.poll_output() {
            match output {
                Output::Notify { to, generation, bytes } => self.notify(to, generation, bytes),
                Output::Request { id, to, bytes, timeout } => {
                    let sending = self.network.request(to, bytes, timeout);
                    self.report(async move {
                        let result = tokio::time::timeout(timeout, sending).await.unwrap_or(Err(SendError::TimedOut));
                        Input::Response { id, result }
                    });
                }
                Output::Reply { call, bytes } => self.reply(call, bytes),
                Output::Perform { id, resource, work, from, role, token, stream } => {
                    let caller = Caller { device: from, role, token };
                    self.perform(id, resource, work, caller, stream);
                }
                Output::Cut { id, why } => {
                    if let Some(cut) = self.cuts.remove(&id) {
                        // Whoever does not listen any more has just finished.
                        let _ = cut.send(why);
                    }
                }
                Output::Open { call, to, header } => self.open(call, to, header),
                Output::Done { call, result } => self.done(call, result),
                Output::Persist { ticket, key, bytes } => {
                    let store = self.store.clone();
                    let saving = run_blocking(move || store.save(key, &bytes));
                    self.report(async move {
                        match saving.await {
                            Ok(Ok(())) => Input::Persisted { ticket },
                            Ok(Err(StoreError(why))) | Err(StoreError(why)) => Input::PersistFailed { ticket, why },
                        }
                    });
                }
                Output::Event(event) => self.event(event),
            }
        }
    }

    /// Runs something and tells the machine what came of it.
    fn report(&mut self, what: impl Future<Output = Input> + Send + 'static) {
        let reports = self.reports.clone();
        self.tasks.spawn(async move {
            // The queue only closes when the machine stops.
            let _ = reports.send(what.await).await;
        });
    }

    fn notify(&mut self, to: DeviceId, generation: u64, bytes: Bytes) {
        let current = self.generations.get(&to) == Some(&generation);
        let sending = self.network.notify(to, bytes);
        self.report(async move {
            let sent = current && matches!(tokio::time::timeout(STREAM_PATIENCE, sending).await, Ok(Ok(())));
            Input::NoticeDone { to, generation, sent }
        });
    }

    fn reply(&mut self, call: CallId, bytes: Bytes) {
        match self.parked.remove(&call) {
            Some(Parked::Request(reply)) => reply(bytes),
            Some(Parked::Stream(mut channel)) => {
                self.tasks.spawn(async move {
                    if super::frames::write_chunk(&mut channel.send, &bytes).await.is_ok() {
                        // If that fails, the other side sees a broken stream instead of a refused one.
                        let _ = super::frames::finish(&mut channel.send).await;
                    }
                });
            }
            Some(Parked::Command(_) | Parked::Open { .. }) | None => {}
        }
    }

    fn perform(&mut self, id: PerformId, resource: ResourceId, work: Work, caller: Caller, stream: Option<CallId>) {
        let (cut, mut cutting) = oneshot::channel();
        self.cuts.insert(id, cut);
        let name = resource.name;
        let local = match resource.device {
            device if device == self.pool.me() => Some(self.local.clone()),
            device => self.local.of_satellite(device),
        };
        let Some(local) = local else {
            // It went away just now.
            let why = Refusal::NoSuchResource;
            self.report(async move { Input::Performed { id, result: Err(why) } });
            if let Some(channel) = stream.and_then(|call| self.take_channel(call)) {
                self.tasks.spawn(perform::refuse(channel, why));
            }
            return;
        };
        let Some(call) = stream else {
            self.report(async move {
                let result = tokio::select! {
                    biased;
                    Ok(why) = &mut cutting => Err(why),
                    result = perform::answer(local.as_ref(), name, work, caller) => result,
                };
                Input::Performed { id, result }
            });
            return;
        };
        let Some(mut channel) = self.take_channel(call) else {
            self.report(async move { Input::Performed { id, result: Err(Refusal::Failed(Default::default())) } });
            return;
        };
        let reports = self.reports.clone();
        self.tasks.spawn(async move {
            let result = tokio::select! {
                biased;
                Ok(why) = &mut cutting => Err(why),
                result = perform::serve(&local, name, work, &mut channel) => result,
            };
            let refused = result.as_ref().err().copied();
            // The machine first: a new lease may wait for this. Then the last word.
            let _ = reports.send(Input::Performed { id, result }).await;
            if let Some(why) = refused {
                perform::refuse(channel, why).await;
            }
        });
    }

    /// The serving end of a stream: from the network, or a new one whose other end goes to the caller here.
    fn take_channel(&mut self, call: CallId) -> Option<Channel> {
        match self.parked.remove(&call)? {
            Parked::Stream(channel) => Some(channel),
            Parked::Open { reply, .. } => {
                let (here, there) = tokio::io::duplex(LOCAL_STREAM);
                let channel = |end| {
                    let (recv, send) = tokio::io::split(end);
                    Channel { send: Box::new(send), recv: Box::new(recv) }
                };
                // A caller that went away shows as a stream that ends.
                let _ = reply.send(Ok(channel(there)));
                Some(channel(here))
            }
            Parked::Request(_) | Parked::Command(_) => None,
        }
    }

    fn open(&mut self, call: CallId, to: DeviceId, header: Bytes) {
        let Some(Parked::Open { bulk, subject, reply }) = self.parked.remove(&call) else { return };
        let opening = self.network.open(to, bulk, header);
        let subject = self.pool.subject(subject);
        self.tasks.spawn(async move {
            let opened = tokio::time::timeout(REQUEST_TIMEOUT, opening).await.unwrap_or(Err(SendError::TimedOut));
            // A caller that went away drops the stream.
            let _ = reply.send(opened.map_err(|why| PoolError::NoAnswer { subject, why }));
        });
    }

    fn done(&mut self, call: CallId, result: Result<Answer, PoolError>) {
        // Whoever gave up waiting needs no answer.
        match self.parked.remove(&call) {
            Some(Parked::Command(reply)) => {
                // A lease that nobody waits for any more would be renewed for ever.
                if let Err(Ok(Answer::Lease(held))) = reply.send(result) {
                    self.last_call += 1;
                    let command = Command::Release(held.lease);
                    self.give(Input::Command { call: CallId(self.last_call), command });
                }
            }
            Some(Parked::Open { reply, .. }) => {
                if let Err(error) = result {
                    drop(reply.send(Err(error)));
                }
            }
            Some(Parked::Request(_) | Parked::Stream(_)) | None => {}
        }
    }

    fn event(&mut self, event: Event) {
        match &event {
            Event::CatalogueChanged => drop(self.catalogue.send_replace(self.pool.catalogue())),
            Event::LeasesChanged => {
                let now = (self.clock)().0;
                drop(self.leases.send_replace(Arc::new(LeaseBook::of(&self.pool, now))));
            }
            Event::LeaseLost { lease, why: Some(why) } => tracing::warn!("lease {lease} is lost: {why}"),
            Event::LeaseLost { lease, why: None } => tracing::warn!("lease {lease} is lost: its time is over"),
            Event::Equivocation { device, seq } => {
                tracing::warn!("device {device} signed two records with number {seq}: was it restored from a backup?");
            }
            Event::RecordRefused { from, why } => tracing::warn!("from {}: {why}", from.short()),
            Event::Misbehaved { from, what } => tracing::warn!("from {}: {what}", from.short()),
            Event::OwnRecordRefused(error) => tracing::error!("this device's own {error}"),
            Event::StoreFailed { key, why } => tracing::error!("{key:?} cannot be saved: {why}; trying again"),
        }
        // Nobody has to listen.
        let _ = self.events.send(event);
    }
}
