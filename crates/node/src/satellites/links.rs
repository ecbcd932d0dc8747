//! The links that the user asked for, kept in the device's state; and those that are [found](super::found). They are opened, and tried again
//! when they break.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
    time::{Instant, sleep, sleep_until},
};
use tutti_amp_host::linux::Channel;
use tutti_control::LinkState;
use tutti_fabric::clock::Clock;
use tutti_model::Name;

use super::{Ask, Budget, Kind, Pace, Satellites, Station, found, port::Port, spec::Spec};
use crate::{
    cores::worker as cores,
    lock::lock,
    state::{SaveError, State},
};

/// The key of the links in the settings.
const KEY: &str = "satellites";
/// The most links.
pub(crate) const MOST: usize = 16;
/// The waits between two tries to open a link: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// A link that was open for so long is tried again at once when it breaks.
const STOOD: Duration = Duration::from_secs(2);
/// How many bytes of a link are read each second: more than the fastest serial line brings.
const BYTES_EACH_SECOND: u32 = 1 << 20;

/// A link as it is kept.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    name: String,
    link: String,
    /// What the satellite at its end is called, if the user said so.
    called: Option<String>,
}

/// What there is to say of a link.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) name: Name,
    pub(crate) spec: Spec,
    pub(crate) open: bool,
    pub(crate) last_error: Option<String>,
    pub(crate) dropped: u32,
}

impl Status {
    /// What the link is called among all that lead to satellites.
    pub(crate) fn place(&self) -> String {
        match &self.spec {
            Spec::Rpmsg(Channel { core: Some(core), .. }) => cores::place(core),
            _ => format!("link/{}", self.name),
        }
    }

    /// The word for it, given whether somebody is there.
    pub(crate) fn state(&self, joined: bool) -> LinkState {
        match (self.open, joined) {
            (true, true) => LinkState::Joined,
            (true, false) => LinkState::Open,
            (false, _) => LinkState::Waiting,
        }
    }
}

/// Why a link was not made or closed.
#[derive(Debug)]
pub(crate) enum LinkError {
    /// There is a link of this name, or to this place.
    Taken(Name),
    /// There are [`MOST`] already.
    TooMany,
    /// There is none of this name.
    Unknown,
    /// It is there because a core announced it.
    Found(Name),
    /// It could not be kept for the next start.
    Save(SaveError),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(name) => write!(f, "the link {name} has this name or leads there already"),
            Self::TooMany => write!(f, "there are {MOST} links already"),
            Self::Unknown => f.write_str("there is no link of this name"),
            Self::Found(name) => write!(f, "the link {name} is there as long as a core announces it"),
            Self::Save(error) => error.fmt(f),
        }
    }
}

struct Link {
    status: Arc<Mutex<Status>>,
    called: Option<Name>,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All links. Clones share them; they close with the last.
#[derive(Clone)]
pub(crate) struct Links(Arc<Shared>);

struct Shared {
    satellites: Satellites,
    clock: Arc<dyn Clock>,
    state: State,
    links: tokio::sync::Mutex<BTreeMap<Name, Link>>,
    found: Mutex<BTreeMap<Name, Link>>,
    watch: Mutex<Option<AbortHandle>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(watch) = lock(&self.watch).take() {
            watch.abort();
        }
    }
}

impl Links {
    /// Those that are kept, opened from now on, and those that are found below `root`. What is kept and cannot be read is left out, and
    /// said.
    pub(crate) async fn start(
        satellites: Satellites,
        clock: Arc<dyn Clock>,
        state: State,
        root: PathBuf,
    ) -> Result<Self, SaveError> {
        let kept: Vec<Kept> = state.load_list(KEY).await?;
        let links = Self(Arc::new(Shared {
            satellites,
            clock,
            state,
            links: tokio::sync::Mutex::default(),
            found: Mutex::default(),
            watch: Mutex::default(),
        }));
        let mut open = links.0.links.lock().await;
        for one in kept {
            let read = (Name::new(&one.name), one.link.parse::<Spec>());
            let (Ok(name), Ok(spec)) = read else {
                tracing::error!(name = one.name, link = one.link, "a link cannot be read and is left out");
                continue;
            };
            let called = one.called.as_deref().and_then(|called| Name::new(called).ok());
            open.insert(name, links.open(name, spec, called));
        }
        drop(open);
        let weak = Arc::downgrade(&links.0);
        let watch = tokio::spawn(found::watch(root, move |specs| {
            if let Some(shared) = weak.upgrade() {
                Self(shared).keep_found(specs);
            }
        }));
        *lock(&links.0.watch) = Some(watch.abort_handle());
        Ok(links)
    }

    /// Opens those that are new, and closes those that are gone.
    fn keep_found(&self, specs: Vec<Spec>) {
        let mut found = lock(&self.0.found);
        found.retain(|_, link| specs.contains(&lock(&link.status).spec));
        for spec in specs {
            let Some(name) = spec.usual_name() else { continue };
            if found.len() < MOST && !found.contains_key(&name) {
                found.insert(name, self.open(name, spec, None));
            }
        }
    }

    /// Looks for a satellite there from now on, and after a restart.
    pub(crate) async fn connect(&self, spec: Spec, called: Option<Name>) -> Result<Name, LinkError> {
        let mut links = self.0.links.lock().await;
        let usual = called.or_else(|| spec.usual_name()).ok_or(LinkError::Unknown)?;
        let other = links.iter().find(|(name, link)| **name == usual || lock(&link.status).spec.is_same_place(&spec));
        if let Some((name, _)) = other {
            return Err(LinkError::Taken(*name));
        }
        if links.len() >= MOST {
            return Err(LinkError::TooMany);
        }
        let one =
            Kept { name: usual.to_string(), link: spec.to_string(), called: called.map(|called| called.to_string()) };
        self.save(&links, Some(one), None).await?;
        links.insert(usual, self.open(usual, spec, called));
        Ok(usual)
    }

    /// Closes a link for good.
    pub(crate) async fn disconnect(&self, name: &Name) -> Result<(), LinkError> {
        let mut links = self.0.links.lock().await;
        if !links.contains_key(name) {
            let found = lock(&self.0.found).contains_key(name);
            return Err(if found { LinkError::Found(*name) } else { LinkError::Unknown });
        }
        self.save(&links, None, Some(name)).await?;
        links.remove(name);
        Ok(())
    }

    /// All of them, in order of their names.
    pub(crate) async fn list(&self) -> Vec<Status> {
        let links = self.0.links.lock().await;
        let found = lock(&self.0.found);
        let mut all: Vec<_> = links.values().chain(found.values()).map(|link| lock(&link.status).clone()).collect();
        all.sort_by_key(|status| status.name);
        all
    }

    /// Closes all of them, and waits until what the kernel has for them is given back. What is kept stays kept.
    pub(crate) async fn stop(&self) {
        if let Some(watch) = lock(&self.0.watch).take() {
            watch.abort();
        }
        let found = std::mem::take(&mut *lock(&self.0.found));
        let links = std::mem::take(&mut *self.0.links.lock().await);
        for mut link in links.into_values().chain(found.into_values()) {
            link.task.abort();
            let _ = (&mut link.task).await;
        }
    }

    async fn save(
        &self,
        links: &BTreeMap<Name, Link>,
        with: Option<Kept>,
        without: Option<&Name>,
    ) -> Result<(), LinkError> {
        let stay = links.iter().filter(|(name, _)| Some(*name) != without).map(|(name, link)| Kept {
            name: name.to_string(),
            link: lock(&link.status).spec.to_string(),
            called: link.called.map(|called| called.to_string()),
        });
        let kept: Vec<Kept> = stay.chain(with).collect();
        self.0.state.save_list(KEY, &kept).await.map_err(LinkError::Save)
    }

    fn open(&self, name: Name, spec: Spec, called: Option<Name>) -> Link {
        let status = Status { name, spec, open: false, last_error: None, dropped: 0 };
        let status = Arc::new(Mutex::new(status));
        let (satellites, clock) = (self.0.satellites.clone(), self.0.clock.clone());
        let task = tokio::spawn(keep(status.clone(), called, satellites, clock));
        Link { status, called, task }
    }
}

/// Keeps a link open, for ever.
async fn keep(status: Arc<Mutex<Status>>, called: Option<Name>, satellites: Satellites, clock: Arc<dyn Clock>) {
    let (name, spec, link) = {
        let status = lock(&status);
        (status.name, status.spec.clone(), Arc::<str>::from(status.place()))
    };
    let kind = if matches!(spec, Spec::Rpmsg(_)) { Kind::Core } else { Kind::Microcontroller };
    let mut pace = Pace::default();
    let mut wait = RETRY.0;
    loop {
        let begun = Instant::now();
        let why = match Port::open(&spec).await {
            Err(why) => why,
            Ok(port) => {
                {
                    let mut status = lock(&status);
                    (status.open, status.dropped) = (true, 0);
                }
                let (link, wake) = (link.clone(), Arc::new(|| {}));
                let (station, asks) = Station::new(link, called, kind, pace, satellites.clone(), clock.clone(), wake);
                let mut open = Open { station: Some(station), status: &status };
                let why = open.serve(port, asks, clock.as_ref()).await;
                pace = open.close().unwrap_or(pace);
                why
            }
        };
        {
            let mut status = lock(&status);
            status.open = false;
            if status.last_error.as_ref() != Some(&why) {
                tracing::info!(link = %name, "{why}");
            }
            status.last_error = Some(why);
        }
        if begun.elapsed() >= STOOD {
            wait = RETRY.0;
        }
        sleep(wait).await;
        wait = (wait * 2).min(RETRY.1);
    }
}

/// A link that is open. Dropped, it takes its satellites with it.
struct Open<'s> {
    station: Option<Station>,
    status: &'s Mutex<Status>,
}

impl Open<'_> {
    fn close(&mut self) -> Option<Pace> {
        self.station.take().map(Station::close)
    }

    /// Until it breaks; why it did.
    async fn serve(&mut self, mut port: Port, mut asks: mpsc::Receiver<Ask>, clock: &dyn Clock) -> String {
        let Some(station) = &mut self.station else { return String::new() };
        let mut budget = Budget::new(BYTES_EACH_SECOND);
        loop {
            // All that there is to say now; each frame has its time to leave.
            while let Some(frame) = station.transmit() {
                if let Err(why) = port.send(&frame).await {
                    return why;
                }
            }
            let pause = station.timeout().map_or(Duration::from_secs(1), |at| at.since(clock.now()));
            tokio::select! {
                read = async { port.receive(&mut |frame| station.frame(frame)).await }, if budget.is_left() => {
                    match read {
                        Ok(read) => budget.spend(read),
                        Err(why) => return why,
                    }
                    lock(self.status).dropped = port.dropped();
                }
                Some(ask) = asks.recv() => station.ask(ask),
                () = sleep(pause.max(Duration::from_millis(1))) => {}
                () = sleep_until(budget.refilled()), if !budget.is_left() => {}
            }
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.close();
    }
}
