//! Satellites: devices without a network that join the pool through this one.
//!
//! | part | what it does |
//! |---|---|
//! | [`station`] | one link, without I/O: frames in and out; who is there, readings, requests and their answers |
//! | [`joined`] | one satellite as the pool uses it |
//! | [`pace`] | how soon a satellite that comes and goes is shown again |
//! | [`links`] | the links that the user asked for: kept, opened, tried again |
//! | [`found`] | the links that are there because a core of the kernel's announced itself |
//! | [`port`], [`spec`] | serial lines, sockets, the kernel's RPMsg; and how they are written |
//!
//! Here is who is there now, over all links.
//!
//! # What a hostile satellite can do
//!
//! | attack | what meets it |
//! |---|---|
//! | claims to be another device | it says no id: this device makes one from its own, the link and the place behind it |
//! | takes another's name | names of members come first when a device is named, and ids tell apart |
//! | says who it is again and again, so that the whole group is told each time | [`pace`]: the wait doubles up to 30 s |
//! | sends as fast as it can | a budget of bytes each second for each link; beyond it the link is not read |
//! | sends rubbish, or half a frame for ever | damaged frames are counted and dropped; a frame has 512 bytes at most |
//! | describes thousands of resources, or satellites behind it | the bounds of `tutti-satellite`, and [`MOST`] for this device |
//! | does not take what is sent to it | writing has a time limit, then the link is closed and tried again later |
//! | answers what it was not asked, or twice | answers count once, for a request that is under way |
//! | writes a log without end | only the last lines are kept |

mod budget;
mod found;
pub(crate) mod joined;
pub(crate) mod links;
mod pace;
mod port;
pub(crate) mod spec;
pub(crate) mod station;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::watch;
use tutti_model::DeviceId;
use tutti_pool::{Satellite, driver::LocalResources, limits::MAX_SATELLITES_PER_HOST};

use crate::lock::lock;

pub(crate) use self::{
    budget::Budget,
    joined::Joined,
    pace::Pace,
    station::{Ask, Kind, Station, harmless},
};

/// The RPMsg service of a satellite.
pub(crate) const SERVICE: &str = "tutti-satellite";
/// The most satellites at a time.
pub(crate) const MOST: usize = MAX_SATELLITES_PER_HOST;

/// Where a satellite is: its link, as [`links`] and [`crate::cores`] call it, and the way behind the first one there.
pub(crate) type Place = (Arc<str>, Vec<u8>);

/// Who is there. Clones share it.
#[derive(Clone)]
pub(crate) struct Satellites(Arc<Shared>);

struct Shared {
    me: DeviceId,
    there: Mutex<BTreeMap<Place, Arc<Joined>>>,
    shown: watch::Sender<Arc<Vec<Satellite>>>,
}

impl Satellites {
    /// Nobody yet.
    pub(crate) fn new(me: DeviceId) -> Self {
        Self(Arc::new(Shared { me, there: Mutex::default(), shown: watch::Sender::new(Arc::default()) }))
    }

    /// As the pool takes them.
    pub(crate) fn shown(&self) -> watch::Receiver<Arc<Vec<Satellite>>> {
        self.0.shown.subscribe()
    }

    /// The resources of one.
    pub(crate) fn resources_of(&self, device: DeviceId) -> Option<Arc<dyn LocalResources>> {
        let found = self.there().values().find(|joined| joined.satellite.device == device).cloned();
        found.map(|joined| joined as Arc<dyn LocalResources>)
    }

    /// Those on a link, the nearest first.
    pub(crate) fn on(&self, link: &str) -> Vec<Arc<Joined>> {
        let there = self.there();
        let mut found: Vec<_> = there.iter().filter(|((of, _), _)| **of == *link).collect();
        found.sort_by_key(|((_, path), _)| path.len());
        found.into_iter().map(|(_, joined)| joined.clone()).collect()
    }

    /// The id of the satellite at a place: the same each time, and nobody's key.
    pub(crate) fn id(&self, link: &str, path: &[u8]) -> DeviceId {
        let mut hasher = blake3::Hasher::new_derive_key("tutti 1 satellite");
        hasher.update(self.0.me.as_bytes());
        // A name holds no zero.
        hasher.update(link.as_bytes()).update(&[0]).update(path);
        DeviceId::from_bytes(*hasher.finalize().as_bytes())
    }

    /// One is there. False if there are too many already.
    fn add(&self, link: Arc<str>, path: Vec<u8>, joined: Arc<Joined>) -> bool {
        {
            let mut there = self.there();
            if there.len() >= MOST {
                return false;
            }
            there.insert((link, path), joined);
        }
        self.publish();
        true
    }

    /// One is gone, and those behind it.
    fn remove(&self, link: &str, path: &[u8]) {
        self.there().retain(|(of, at), _| **of != *link || !at.starts_with(path));
        self.publish();
    }

    fn publish(&self) {
        let there = self.there();
        let all: Vec<Satellite> = there.values().map(|joined| joined.satellite.clone()).collect();
        // Under the lock, so that the last word is the latest.
        self.0.shown.send_if_modified(|shown| {
            let changed = **shown != all;
            if changed {
                *shown = Arc::new(all);
            }
            changed
        });
    }

    fn there(&self) -> MutexGuard<'_, BTreeMap<Place, Arc<Joined>>> {
        lock(&self.0.there)
    }
}
