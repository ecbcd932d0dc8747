//! Telling others of this device, and the fabric of others: on the local network and on this machine.
//!
//! What is told follows the name and whether a pairing code is shown. While somebody of the group is missed, or
//! nobody is in the group yet, the local network is asked again and again; otherwise it is left in peace.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};
use tutti_control::{RuntimeEntry, runtime::STATE_POINTER};
use tutti_fabric::{
    Fabric, View,
    discovery::{
        self, Announcement, DiscoveryEvent,
        mdns::{Mdns, MdnsConfig},
        samehost::{Registration, SameHost},
    },
};
use tutti_model::{DeviceId, Name};

use crate::{error::RunError, state::OpenError, stop::Stop};

/// How often it is tried again to take part in discovery on the local network.
const RETRY: Duration = Duration::from_secs(30);

/// How discovery on the local network fares: well, or why not; none if it is switched off.
pub(crate) type Health = Option<Result<(), String>>;

/// What discovery is started with.
pub(crate) struct Setup {
    pub(crate) fabric: Fabric,
    pub(crate) name: watch::Receiver<Name>,
    /// The UDP port at which this device is reached on the local network.
    pub(crate) port: u16,
    /// Where other processes of this machine reach this device.
    pub(crate) local_addrs: Vec<SocketAddr>,
    /// Whether to take part on the local network.
    pub(crate) mdns: Option<MdnsConfig>,
    pub(crate) runtime: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) socket: PathBuf,
}

/// Discovery, running.
pub(crate) struct Discovery {
    setup: Setup,
    samehost: SameHost,
    mdns: Option<Mdns>,
    health: Arc<watch::Sender<Health>>,
    sender: mpsc::Sender<DiscoveryEvent>,
    events: mpsc::Receiver<DiscoveryEvent>,
}

impl Discovery {
    /// Registers on this machine and begins to look for others.
    pub(crate) async fn start(setup: Setup, health: Arc<watch::Sender<Health>>) -> Result<Self, RunError> {
        let (sender, events) = discovery::channel();
        let registration = registration(&setup, false);
        let pointer = setup.state.join(STATE_POINTER);
        let written = entry(&registration).write(&pointer);
        written.map_err(|error| RunError::State(OpenError::io(&pointer, "write", &error)))?;
        let samehost = match SameHost::start(setup.runtime.clone(), registration, sender.clone()).await {
            Ok(samehost) => samehost,
            Err(error) => {
                let _ = std::fs::remove_file(&pointer);
                return Err(RunError::Runtime(error));
            }
        };
        let mut discovery = Self { setup, samehost, mdns: None, health, sender, events };
        discovery.start_mdns();
        Ok(discovery)
    }

    /// Keeps others told and the fabric informed, until the stop; then says goodbye.
    pub(crate) async fn run(mut self, mut stop: Stop) {
        let mut view = self.setup.fabric.view();
        let mut name = self.setup.name.clone();
        let mut told = (*name.borrow(), false);
        let mut seen: Option<(bool, Vec<DeviceId>)> = None;
        let mut retry = tokio::time::interval(RETRY);
        retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let now = view.borrow_and_update().clone();
            let wish = (*name.borrow_and_update(), is_open(&now));
            if wish != told {
                told = wish;
                self.tell(wish.1);
            }
            let members = (missed(&now), now.group.members.keys().copied().collect());
            if seen.as_ref() != Some(&members) {
                if let Some(mdns) = &self.mdns {
                    mdns.trust(members.1.iter().copied());
                    mdns.seek(members.0);
                }
                seen = Some(members);
            }
            tokio::select! {
                () = stop.requested() => break,
                event = self.events.recv() => match event {
                    Some(event) => self.setup.fabric.discovery(event),
                    None => break,
                },
                _ = view.changed() => {}
                _ = name.changed() => {}
                _ = retry.tick() => {
                    if self.setup.mdns.is_some() && self.mdns.is_none() {
                        self.start_mdns();
                        seen = None;
                    }
                    self.report();
                    self.verify(&now);
                }
            }
        }
        if let Some(mdns) = self.mdns {
            mdns.shutdown().await;
        }
        self.samehost.shutdown().await;
        let _ = std::fs::remove_file(self.setup.state.join(STATE_POINTER));
    }

    fn tell(&self, open: bool) {
        let new = registration(&self.setup, open);
        if let Err(error) = entry(&new).write(&self.setup.state.join(STATE_POINTER)) {
            tracing::warn!(%error, "the file {STATE_POINTER} in the state folder is out of date");
        }
        self.samehost.update(|registration| *registration = new);
        if let Some(mdns) = &self.mdns
            && let Err(error) = mdns.announce(self.announcement(open))
        {
            tracing::warn!(%error, "the local network was not told of a change");
        }
    }

    fn start_mdns(&mut self) {
        let Some(config) = self.setup.mdns.clone() else { return };
        let open = is_open(&self.setup.fabric.view().borrow());
        match Mdns::start(config, self.announcement(open), self.sender.clone()) {
            Ok(mdns) => self.mdns = Some(mdns),
            Err(error) => {
                tracing::warn!(%error, "trying again in {} s", RETRY.as_secs());
                self.health.send_replace(Some(Err(error.to_string())));
                return;
            }
        }
        self.report();
    }

    fn report(&self) {
        if let Some(mdns) = &self.mdns {
            self.health.send_replace(Some(mdns.problem().map_or(Ok(()), Err)));
        }
    }

    /// Whoever is announced and cannot be reached may have gone without a word.
    fn verify(&self, view: &View) {
        let Some(mdns) = &self.mdns else { return };
        for (device, _) in view.peers.iter().filter(|(_, peer)| peer.session.is_none()) {
            mdns.verify(*device);
        }
    }

    fn announcement(&self, pairing_open: bool) -> Announcement {
        Announcement {
            device: self.setup.fabric.id(),
            name: *self.setup.name.borrow(),
            port: self.setup.port,
            pairing_open,
        }
    }
}

fn registration(setup: &Setup, pairing_open: bool) -> Registration {
    Registration {
        id: setup.fabric.id().to_string(),
        name: setup.name.borrow().to_string(),
        pid: std::process::id(),
        state_dir: setup.state.clone(),
        socket: setup.socket.clone(),
        addrs: setup.local_addrs.clone(),
        pairing_open,
    }
}

/// The same for the command line, which knows nothing of the fabric.
fn entry(registration: &Registration) -> RuntimeEntry {
    RuntimeEntry {
        id: registration.id.clone(),
        name: registration.name.clone(),
        pid: registration.pid,
        state_dir: registration.state_dir.clone(),
        socket: registration.socket.clone(),
        addrs: registration.addrs.iter().map(ToString::to_string).collect(),
        pairing_open: registration.pairing_open,
    }
}

fn is_open(view: &View) -> bool {
    view.offer.as_ref().is_some_and(|offer| offer.open && offer.outcome.is_none())
}

/// Whether somebody of the group is missed, or there is nobody in it yet.
fn missed(view: &View) -> bool {
    view.group.is_alone() || view.peers.values().any(|peer| peer.session.is_none())
}
