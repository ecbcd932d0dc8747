//! Satellites, and the other cores of the chip.

use super::{Client, ClientError, Download, EventStream, Nothing, http, path, transfer};
use crate::{
    routes::Method,
    types::{Check, Core, CoreAction, CoreLine, CorePing, CoreRequest, LinkRequest, MemoryMap, SatelliteLink},
};

impl Client {
    /// Looks for a satellite on a link.
    pub async fn connect_satellite(&self, request: &LinkRequest) -> Result<SatelliteLink, ClientError> {
        self.json(Method::Post, "/v1/satellites", Some(request)).await
    }

    /// The links to satellites.
    pub async fn satellites(&self) -> Result<Vec<SatelliteLink>, ClientError> {
        self.json(Method::Get, "/v1/satellites", Nothing).await
    }

    /// Closes a link to satellites.
    pub async fn disconnect_satellite(&self, name: &str) -> Result<(), ClientError> {
        self.done(Method::Delete, &path(&["v1", "satellites", name]), Nothing).await
    }

    /// The other cores.
    pub async fn cores(&self) -> Result<Vec<Core>, ClientError> {
        self.json(Method::Get, "/v1/cores", Nothing).await
    }

    /// A core.
    pub async fn core(&self, name: &str) -> Result<Core, ClientError> {
        self.json(Method::Get, &path(&["v1", "cores", name]), Nothing).await
    }

    /// Forgets a core that is a process.
    pub async fn forget_core(&self, name: &str) -> Result<(), ClientError> {
        self.done(Method::Delete, &path(&["v1", "cores", name]), Nothing).await
    }

    /// Has something done to a core.
    pub async fn act_on_core(
        &self,
        name: &str,
        action: CoreAction,
        request: &CoreRequest,
    ) -> Result<Core, ClientError> {
        self.json(Method::Post, &path(&["v1", "cores", name, "do", action.word()]), Some(request)).await
    }

    /// The last lines that a core wrote, behind the one with this number.
    pub async fn core_log(&self, name: &str, after: u64) -> Result<Vec<CoreLine>, ClientError> {
        let target = http::with_query(&path(&["v1", "cores", name, "log"]), &[("after", &after.to_string())]);
        self.json(Method::Get, &target, Nothing).await
    }

    /// The same, and each line as it comes.
    pub async fn follow_core_log(&self, name: &str, after: u64) -> Result<EventStream<CoreLine>, ClientError> {
        let target = path(&["v1", "cores", name, "log", "follow"]);
        let target = http::with_query(&target, &[("after", &after.to_string())]);
        self.events_of(Method::Get, &target, "line", Nothing).await
    }

    /// A core's memory, as an ELF core file.
    pub async fn core_dump(&self, name: &str) -> Result<Download, ClientError> {
        transfer::fetch(self, &path(&["v1", "cores", name, "dump"])).await
    }

    /// How long a message takes to a core and back.
    pub async fn ping_core(&self, name: &str) -> Result<CorePing, ClientError> {
        self.json(Method::Post, &path(&["v1", "cores", name, "ping"]), Nothing).await
    }

    /// Who has which memory of this chip.
    pub async fn memory_map(&self) -> Result<MemoryMap, ClientError> {
        self.json(Method::Get, "/v1/memory-map", Nothing).await
    }

    /// What keeps this machine's cores from being used.
    pub async fn cores_doctor(&self) -> Result<Vec<Check>, ClientError> {
        self.json(Method::Get, "/v1/doctor/cores", Nothing).await
    }
}
