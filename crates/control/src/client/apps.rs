//! Apps, and their instances.

use tokio::io::AsyncRead;

use super::{Client, ClientError, Download, EventStream, Nothing, http, path, transfer};
use crate::{
    routes::Method,
    types::{
        App, AppInstance, AppLine, AuditLine, CarriedApp, InstallCarried, MoveRequest, PlaceWhy, RecoverInstance,
        RunRequest, StandbyForetold, StandbyRequest, TellInstance,
    },
};

impl Client {
    /// The apps that owners of the group allow.
    pub async fn apps(&self) -> Result<Vec<App>, ClientError> {
        self.json(Method::Get, "/v1/apps", Nothing).await
    }

    /// Installs an app from its package.
    pub async fn install_app(
        &self,
        package: impl AsyncRead + Send + Sync + Unpin + 'static,
    ) -> Result<App, ClientError> {
        transfer::send(self, Method::Post, "/v1/apps", package).await
    }

    /// The apps that images of devices carry.
    pub async fn carried_apps(&self) -> Result<Vec<CarriedApp>, ClientError> {
        self.json(Method::Get, "/v1/carried", Nothing).await
    }

    /// Installs an app that a device carries.
    pub async fn install_carried(&self, app: &str, request: &InstallCarried) -> Result<App, ClientError> {
        self.json(Method::Post, &path(&["v1", "carried", app, "install"]), Some(request)).await
    }

    /// Removes an app, also if instances of it are left: each stops as soon as its device hears of it.
    pub async fn withdraw_app(&self, app: &str) -> Result<(), ClientError> {
        let target = http::with_query(&path(&["v1", "apps", app]), &[("instances", "stop")]);
        self.done(Method::Delete, &target, Nothing).await
    }

    /// Removes an app of which no instance is left.
    pub async fn remove_app(&self, app: &str) -> Result<(), ClientError> {
        self.done(Method::Delete, &path(&["v1", "apps", app]), Nothing).await
    }

    /// An app's icon.
    pub async fn app_icon(&self, app: &str) -> Result<Download, ClientError> {
        transfer::fetch(self, &path(&["v1", "apps", app, "icon"])).await
    }

    /// Begins a new instance of an app.
    pub async fn run_app(&self, app: &str, request: &RunRequest) -> Result<AppInstance, ClientError> {
        self.json(Method::Post, &path(&["v1", "apps", app, "run"]), Some(request)).await
    }

    /// Why an app would run where, or an instance of it is where it is.
    pub async fn place_why(&self, app: &str, instance: Option<&str>) -> Result<PlaceWhy, ClientError> {
        let query: Vec<_> = instance.iter().map(|instance| ("instance", *instance)).collect();
        self.json(Method::Get, &http::with_query(&path(&["v1", "place", app]), &query), Nothing).await
    }

    /// The instances of apps in the group.
    pub async fn instances(&self) -> Result<Vec<AppInstance>, ClientError> {
        self.json(Method::Get, "/v1/instances", Nothing).await
    }

    /// An instance.
    pub async fn instance(&self, instance: &str) -> Result<AppInstance, ClientError> {
        self.json(Method::Get, &path(&["v1", "instances", instance]), Nothing).await
    }

    /// Ends an instance for good, or discards a copy that was given up.
    pub async fn end_instance(&self, instance: &str) -> Result<(), ClientError> {
        self.done(Method::Delete, &path(&["v1", "instances", instance]), Nothing).await
    }

    /// Begins to move an instance.
    pub async fn move_instance(&self, instance: &str, to: &str) -> Result<AppInstance, ClientError> {
        let target = path(&["v1", "instances", instance, "move"]);
        self.json(Method::Post, &target, Some(&MoveRequest { to: to.into() })).await
    }

    /// Gives a move up, if it is not decided.
    pub async fn cancel_move(&self, instance: &str) -> Result<AppInstance, ClientError> {
        self.json(Method::Delete, &path(&["v1", "instances", instance, "move"]), Nothing).await
    }

    /// Names the standby of an instance, in place of the one it has.
    pub async fn set_standby(&self, instance: &str, request: &StandbyRequest) -> Result<AppInstance, ClientError> {
        self.json(Method::Put, &path(&["v1", "instances", instance, "standby"]), Some(request)).await
    }

    /// Takes its standby away from an instance.
    pub async fn remove_standby(&self, instance: &str) -> Result<AppInstance, ClientError> {
        self.json(Method::Delete, &path(&["v1", "instances", instance, "standby"]), Nothing).await
    }

    /// What a standby would mean. Nothing is changed.
    pub async fn foretell_standby(&self, request: &StandbyRequest) -> Result<StandbyForetold, ClientError> {
        self.json(Method::Post, "/v1/standby", Some(request)).await
    }

    /// Stops an instance; its state is kept.
    pub async fn stop_instance(&self, instance: &str) -> Result<AppInstance, ClientError> {
        self.json(Method::Post, &path(&["v1", "instances", instance, "stop"]), Nothing).await
    }

    /// Lets an instance go on that was stopped or failed.
    pub async fn start_instance(&self, instance: &str) -> Result<AppInstance, ClientError> {
        self.json(Method::Post, &path(&["v1", "instances", instance, "start"]), Nothing).await
    }

    /// Goes on from the copy at this device, if `accept_loss` is true.
    pub async fn recover_instance(&self, instance: &str, accept_loss: bool) -> Result<AppInstance, ClientError> {
        let target = path(&["v1", "instances", instance, "recover"]);
        self.json(Method::Post, &target, Some(&RecoverInstance { accept_loss })).await
    }

    /// Tells an instance something.
    pub async fn tell_instance(&self, instance: &str, text: &str) -> Result<(), ClientError> {
        let target = path(&["v1", "instances", instance, "tell"]);
        self.done(Method::Post, &target, Some(&TellInstance { text: text.into() })).await
    }

    /// The last lines that an instance wrote, behind the one with this number.
    pub async fn instance_log(&self, instance: &str, after: u64) -> Result<Vec<AppLine>, ClientError> {
        let target = path(&["v1", "instances", instance, "log"]);
        self.json(Method::Get, &http::with_query(&target, &[("after", &after.to_string())]), Nothing).await
    }

    /// The same, and each line as it comes.
    pub async fn follow_instance_log(&self, instance: &str, after: u64) -> Result<EventStream<AppLine>, ClientError> {
        let target = path(&["v1", "instances", instance, "log", "follow"]);
        let target = http::with_query(&target, &[("after", &after.to_string())]);
        self.events_of(Method::Get, &target, "line", Nothing).await
    }

    /// What apps did with what they were granted on that device, behind the line with this number.
    pub async fn audit(&self, after: u64) -> Result<Vec<AuditLine>, ClientError> {
        self.json(Method::Get, &http::with_query("/v1/audit", &[("after", &after.to_string())]), Nothing).await
    }
}
