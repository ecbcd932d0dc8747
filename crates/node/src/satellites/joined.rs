//! One satellite that is there, as the pool uses it.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::{mpsc, oneshot, watch};
use tutti_fabric::clock::Clock;
use tutti_model::{
    Name, Reading, ResourceDescription, Text, Value,
    message::{Refusal, explain},
};
use tutti_pool::{
    Satellite,
    driver::{Caller, LocalResources},
};
use tutti_satellite::{Denied, Measure, RequestError};

use super::station::{Ask, Wake, What};

/// One satellite that is there.
pub(crate) struct Joined {
    pub(crate) satellite: Satellite,
    path: Vec<u8>,
    /// The latest value of each resource, in the satellite's order.
    latest: Vec<watch::Sender<Option<Reading>>>,
    asks: mpsc::Sender<Ask>,
    clock: Arc<dyn Clock>,
    wake: Wake,
}

impl Joined {
    pub(crate) fn new(
        satellite: Satellite,
        path: Vec<u8>,
        asks: mpsc::Sender<Ask>,
        clock: Arc<dyn Clock>,
        wake: Wake,
    ) -> Self {
        let latest = satellite.resources.iter().map(|_| watch::Sender::new(None)).collect();
        Self { satellite, path, latest, asks, clock, wake }
    }

    /// How many satellites are before it.
    pub(crate) fn depth(&self) -> usize {
        self.path.len()
    }

    /// Keeps a value.
    pub(super) fn keep(&self, resource: usize, measure: Measure) {
        if let Some(latest) = self.latest.get(resource) {
            latest.send_replace(Some(Reading { value: measure.into(), at: self.clock.wall() }));
        }
    }

    /// Whether somebody looks at the values of a resource as they come.
    pub(super) fn is_looked_at(&self, resource: usize) -> bool {
        self.latest.get(resource).is_some_and(|latest| latest.receiver_count() > 0)
    }

    fn position(&self, name: Name) -> Result<usize, Refusal> {
        self.satellite.resources.iter().position(|one| one.name == name).ok_or(Refusal::NoSuchResource)
    }

    async fn ask(&self, what: What) -> Result<Option<Measure>, Refusal> {
        let (reply, answer) = oneshot::channel();
        // A link with so many requests waiting is a busy one.
        self.asks.try_send(Ask { path: self.path.clone(), what, reply }).map_err(|_| Refusal::Busy)?;
        (self.wake)();
        answer.await.unwrap_or(Err(Refusal::NoSuchResource))
    }
}

impl LocalResources for Joined {
    fn describe(&self) -> watch::Receiver<Arc<Vec<ResourceDescription>>> {
        watch::channel(Arc::new(self.satellite.resources.clone())).1
    }

    fn read(&self, name: Name) -> BoxFuture<'_, Result<Reading, Refusal>> {
        async move {
            let measure = self.ask(What::Read(self.position(name)?)).await?;
            // Whoever follows it got it already: the station keeps each.
            let measure = measure.ok_or_else(|| Refusal::Failed(explain(&"the satellite gave no value")))?;
            Ok(Reading { value: measure.into(), at: self.clock.wall() })
        }
        .boxed()
    }

    fn write(&self, name: Name, value: Value, _: Caller) -> BoxFuture<'_, Result<(), Refusal>> {
        async move {
            let resource = self.position(name)?;
            let measure = Measure::try_from(&value)
                .map_err(|_| Refusal::WrongType { needs: Text::lossy("a switch, number or short text") })?;
            self.ask(What::Set(resource, measure)).await.map(drop)
        }
        .boxed()
    }

    fn follow(&self, name: Name) -> Result<watch::Receiver<Option<Reading>>, Refusal> {
        let latest = self.latest.get(self.position(name)?).ok_or(Refusal::NoSuchResource)?.subscribe();
        let (reply, _) = oneshot::channel();
        // If the queue is full the station looks by itself soon.
        let _ = self.asks.try_send(Ask { path: self.path.clone(), what: What::Look, reply });
        (self.wake)();
        Ok(latest)
    }
}

/// What a satellite's refusal is to whoever asked from another device.
pub(super) fn denied(why: Denied) -> Refusal {
    match why {
        Denied::NoSuchResource => Refusal::NoSuchResource,
        Denied::BadValue => Refusal::OutOfRange(explain(&"the satellite has no use for it")),
        Denied::Busy => Refusal::Busy,
        Denied::TimedOut => Refusal::TimedOut,
        Denied::Failed | Denied::Lost => Refusal::Failed(explain(&why)),
    }
}

/// The same for a request that did not even leave.
pub(super) fn not_asked(why: RequestError) -> Refusal {
    match why {
        RequestError::NotJoined | RequestError::NoSuchResource => Refusal::NoSuchResource,
        RequestError::Full => Refusal::Busy,
    }
}
