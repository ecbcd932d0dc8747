//! The links that the user asked for: kept in the device's state, opened, and tried again when they break.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    task::AbortHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tutti_control::LinkState;
use tutti_fabric::clock::Clock;
use tutti_model::Name;
use tutti_satellite::{
    MAX_FRAME,
    serial::{Decoder, encode, line_len},
};

use super::{Ask, Budget, Kind, Pace, Satellites, Station, port::Port, spec::Spec};
use crate::state::{SaveError, State};

/// The key of the links in the settings.
const KEY: &str = "satellites";
/// The most links.
pub(crate) const MOST: usize = 16;
/// The waits between two tries to open a link: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// A link that was open for so long is tried again at once when it breaks.
const STOOD: Duration = Duration::from_secs(2);
/// How long the other end may take nothing of what is sent.
const STUCK: Duration = Duration::from_secs(2);
/// How many bytes of a link are read each second: more than the fastest serial line brings.
const BYTES_EACH_SECOND: u32 = 1 << 20;
/// How many bytes are read at a time.
const CHUNK: usize = 4096;

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
    /// It could not be kept for the next start.
    Save(SaveError),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(name) => write!(f, "the link {name} has this name or leads there already"),
            Self::TooMany => write!(f, "there are {MOST} links already"),
            Self::Unknown => f.write_str("there is no link of this name"),
            Self::Save(error) => error.fmt(f),
        }
    }
}

struct Link {
    status: Arc<Mutex<Status>>,
    called: Option<Name>,
    task: AbortHandle,
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
}

impl Links {
    /// Those that are kept, opened from now on. What is kept and cannot be read is left out, and said.
    pub(crate) async fn start(satellites: Satellites, clock: Arc<dyn Clock>, state: State) -> Result<Self, SaveError> {
        let kept: Vec<Kept> = state.load_list(KEY).await?;
        let links = Self(Arc::new(Shared { satellites, clock, state, links: tokio::sync::Mutex::default() }));
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
        Ok(links)
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
            return Err(LinkError::Unknown);
        }
        self.save(&links, None, Some(name)).await?;
        links.remove(name);
        Ok(())
    }

    /// All of them, in order of their names.
    pub(crate) async fn list(&self) -> Vec<Status> {
        self.0.links.lock().await.values().map(|link| lock(&link.status).clone()).collect()
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
        let task = tokio::spawn(keep(status.clone(), called, satellites, clock)).abort_handle();
        Link { status, called, task }
    }
}

/// What a link is called among all that lead to satellites.
pub(crate) fn place(name: &Name) -> String {
    format!("link/{name}")
}

/// Keeps a link open, for ever.
async fn keep(status: Arc<Mutex<Status>>, called: Option<Name>, satellites: Satellites, clock: Arc<dyn Clock>) {
    let (name, spec) = {
        let status = lock(&status);
        (status.name, status.spec.clone())
    };
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
                let kind = Kind::Microcontroller;
                let link = place(&name).into();
                let wake = Arc::new(|| {});
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
        let mut decoder = Decoder::default();
        let mut budget = Budget::new(BYTES_EACH_SECOND);
        let mut chunk = vec![0; CHUNK];
        let mut line = vec![0; line_len(MAX_FRAME)];
        loop {
            // All that there is to say now; each frame has its time to leave.
            while let Some(frame) = station.transmit() {
                let bytes = encode(&frame, &mut line).and_then(|len| line.get(..len)).unwrap_or_default();
                match timeout(STUCK, port.send.write_all(bytes)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return format!("it cannot be written to: {error}"),
                    Err(_) => return "the other end takes nothing of what is sent".into(),
                }
            }
            let pause = station.timeout().map_or(Duration::from_secs(1), |at| at.since(clock.now()));
            tokio::select! {
                read = port.recv.read(&mut chunk), if budget.is_left() => {
                    let read = match read {
                        Ok(0) => return "the other end closed it".into(),
                        Ok(read) => read,
                        Err(error) => return format!("it cannot be read: {error}"),
                    };
                    budget.spend(read);
                    for byte in chunk.get(..read).unwrap_or_default() {
                        if let Some(frame) = decoder.push(*byte) {
                            station.frame(frame);
                        }
                    }
                    lock(self.status).dropped = decoder.dropped();
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
