//! One running device: the rooms, put together, as the control API sees them.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};
use tutti_control::ErrorCode;
use tutti_fabric::{Fabric, View, clock::Clock, transport::Transport};
use tutti_model::{BootTime, DeviceId, Name};
use tutti_pool::{Catalogue, driver::PoolHandle};
use tutti_resources::SysRoot;

use crate::{
    api::{ApiError, ConsoleDoor, Hub, Streams},
    carried::Board,
    cores::Cores,
    discovery::Health,
    followed::Followed,
    history::History,
    locals::Locals,
    resolve::{Known, resolve},
    satellites::{Satellites, links::Links},
    sources::Sources,
    state::{SaveError, State, Table},
    stop::StopSwitch,
    timeline::Timeline,
    tree::Trees,
};

/// How long a new name may take into the list of devices before whoever gave it is answered all the same.
const LISTED: Duration = Duration::from_secs(2);

/// The key of the name in the settings.
pub(crate) const NAME: &str = "name";

/// A running device.
pub(crate) struct Node {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started: BootTime,
    pub(crate) state: State,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) fabric: Fabric,
    pub(crate) pool: PoolHandle,
    pub(crate) locals: Locals,
    pub(crate) sources: Sources,
    /// Where this machine's hardware is, if it is offered.
    pub(crate) hardware: Option<SysRoot>,
    pub(crate) satellites: Satellites,
    pub(crate) links: Links,
    pub(crate) cores: Cores,
    #[cfg(feature = "apps")]
    pub(crate) apps: crate::apps::Apps,
    /// What the image carries and is not taken up yet.
    pub(crate) carried: Board,
    pub(crate) followed: Followed,
    pub(crate) history: History,
    pub(crate) timeline: Timeline,
    pub(crate) trees: Trees,
    pub(crate) name: watch::Sender<Name>,
    /// How discovery on the local network fares.
    pub(crate) discovery: watch::Receiver<Health>,
    pub(crate) socket: PathBuf,
    pub(crate) tcp: Option<SocketAddr>,
    pub(crate) streams: Streams,
    pub(crate) hub: Hub,
    pub(crate) console: ConsoleDoor,
    pub(crate) stop: StopSwitch,
}

impl Node {
    /// The fabric's state now.
    pub(crate) fn view(&self) -> Arc<View> {
        self.fabric.view().borrow().clone()
    }

    /// The pool's devices and resources now.
    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        self.pool.catalogue()
    }

    /// What this device is called.
    pub(crate) fn name(&self) -> Name {
        *self.name.borrow()
    }

    /// Gives this device another name, from the next moment on and after a restart.
    pub(crate) async fn rename(&self, name: Name) -> Result<(), SaveError> {
        let state = self.state.clone();
        tokio::task::spawn_blocking(move || state.save(Table::Settings, NAME, name.as_str().as_bytes()))
            .await
            .unwrap_or(Err(SaveError::Closed))?;
        self.name.send_replace(name);
        self.fabric.set_name(name);
        if let Err(error) = self.pool.rename(name).await {
            tracing::warn!(%error, "the others were not told of the new name");
        }
        // Whoever asks for it by its new name next is to find it.
        let me = self.pool.me();
        let mut catalogues = self.pool.catalogues();
        let listed = |catalogue: &Arc<Catalogue>| {
            catalogue.devices.values().any(|device| device.device == me && device.name == name)
        };
        let _ = timeout(LISTED, catalogues.wait_for(listed)).await;
        Ok(())
    }

    /// The device of the group that a person means.
    pub(crate) fn resolve(&self, word: &str) -> Result<Known, ApiError> {
        let catalogue = self.catalogue();
        let known = |satellites: bool| {
            let all = catalogue.devices.values().filter(move |device| satellites || device.via.is_none());
            all.map(|device| Known { id: device.device, name: device.name }).collect::<Vec<_>>()
        };
        // A satellite chooses its name by itself: one of a member's name is reached by its id, and hides nobody.
        let named = catalogue.devices.values().any(|device| device.via.is_none() && device.name.as_str() == word);
        resolve(&known(!named), word)
    }

    /// The device in sight that a person means.
    pub(crate) fn resolve_nearby(&self, word: &str) -> Result<Known, ApiError> {
        let view = self.view();
        let known: Vec<_> = view.nearby.values().map(|nearby| Known { id: nearby.device, name: nearby.name }).collect();
        resolve(&known, word).map_err(|mut refused| {
            if refused.0.code == ErrorCode::NoSuchDevice {
                refused.0.hint =
                    "`tutti nearby` lists the devices in sight; with a ticket it need not be in sight".into();
            }
            refused
        })
    }

    /// The name of a device, for people.
    pub(crate) fn name_of(&self, device: DeviceId) -> String {
        match self.catalogue().device(device) {
            Some(device) => device.name.to_string(),
            None => device.short().to_string(),
        }
    }

    /// Stops the device cleanly, soon.
    pub(crate) fn request_stop(&self) {
        self.stop.stop();
    }
}
