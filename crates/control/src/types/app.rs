//! Apps: what is installed, what runs where, and what it did.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

/// An app that owners of the group allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct App {
    /// Its name.
    pub name: String,
    /// The version of the package that runs next; none if no device in sight has a package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// One line for people.
    pub about: String,
    /// The id of its author's key.
    pub author: String,
    /// The BLAKE3 digest of its package, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The bytes of its package.
    pub size: u64,
    /// Whether the package is on this device. If not, it is fetched when it is to run here.
    pub here: bool,
    /// Whether it has an icon: `GET /v1/apps/{app}/icon`.
    pub icon: bool,
    /// What it would have.
    pub wants: Vec<AppWant>,
    /// KiB of memory that one instance may use.
    pub memory_kib: u32,
    /// Thousandths of a processor that one instance may use.
    pub cpu: u32,
    /// Why it cannot be moved while it runs; none if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
    /// The least version that may run.
    pub floor: String,
    /// The id of the owner that allowed it.
    pub granted_by: String,
    /// When: milliseconds since 1970, by that owner's clock.
    pub granted_at: u64,
    /// How many instances of it there are in the group.
    pub instances: u32,
}

/// Something that an app would have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppWant {
    /// The app's word for it.
    pub name: String,
    /// The kind of resource.
    pub kind: String,
    /// The unit of its values; any if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Whether it cannot do without.
    pub required: bool,
    /// Whether the owner allows it.
    pub granted: bool,
    /// How low its range must reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// How high its range must reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

// Its numbers are those of a manifest, which are finite.
impl Eq for AppWant {}

words! {
    /// What an instance does.
    InstanceState {
        /// Its package is fetched, or its code made ready.
        Starting = "starting",
        /// It runs.
        Running = "running",
        /// It runs, and is on its way to another device; see `moving`.
        Moving = "moving",
        /// It runs nowhere until a device has been heard of; see `waiting_for`.
        Waiting = "waiting",
        /// Somebody stopped it. Its state is kept.
        Stopped = "stopped",
        /// It does not run any more; see `reason`.
        Failed = "failed",
        /// An owner gave this copy up while its device was away. It is kept to be looked at.
        GivenUp = "given-up",
        /// Its device is out of reach; what is shown is what was heard last.
        Away = "away",
    }
}

words! {
    /// How far a move is.
    MovePhase {
        /// The package goes to the target, which has to have it.
        Package = "package",
        /// The target is asked.
        Asking = "asking",
        /// State is copied while it runs.
        Copying = "copying",
        /// Leases are reserved for the target.
        Reserving = "reserving",
        /// It stands still; the rest is copied.
        Pausing = "pausing",
        /// It is decided, and the target is told.
        Committing = "committing",
    }
}

/// A move that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppMove {
    /// The id of the target.
    pub to: String,
    /// Its name.
    pub to_name: String,
    /// How far it is.
    pub phase: MovePhase,
    /// Bytes that the target has.
    pub sent: u64,
    /// Bytes that there are to send, as far as is known.
    pub total: u64,
}

/// One running copy of an app, or what is left of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppInstance {
    /// Its id: 32 hexadecimal digits, kept wherever it moves.
    pub id: String,
    /// Its app.
    pub app: String,
    /// Which version.
    pub version: String,
    /// The id of the device that this is said by: its home, unless it waits.
    pub device: String,
    /// The name of that device.
    pub device_name: String,
    /// What it does.
    pub state: InstanceState,
    /// Why, if it failed, or what was wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whom it waits for: the name of the device that has to say whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// The move that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<AppMove>,
    /// How often an owner accepted a loss of it.
    pub branch: u32,
    /// How often it has moved, and one more.
    pub epoch: u64,
    /// How many events it has handled in its life at this home.
    pub events: u64,
    /// How often it was begun anew because it broke, since this device started.
    pub restarts: u32,
    /// Bytes of its memory.
    pub memory: u64,
    /// What its wants are met by now.
    pub bound: Vec<AppBinding>,
    /// The name of the device that it would go on at if its home were lost; none without a standby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<String>,
    /// How long after its home was last heard of it goes on at its standby, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_over_ms: Option<u64>,
    /// The most of its work that is lost then, in milliseconds of it; none without a standby, or if there is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_lost_ms: Option<u64>,
}

/// What a want is met by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppBinding {
    /// The app's word for it.
    pub want: String,
    /// The resource, as people call it ("kitchen/lamp"); none if there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
}

/// All there is to say of apps: the body of the event `apps`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppsState {
    /// As `GET /v1/apps`.
    pub apps: Vec<App>,
    /// As `GET /v1/instances`.
    pub instances: Vec<AppInstance>,
    /// As `GET /v1/carried`.
    #[serde(default)]
    pub carried: Vec<CarriedApp>,
}

/// An app that the image of a device carries. It may be installed, or wait for an owner's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CarriedApp {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One line for people.
    pub about: String,
    /// The id of its author's key.
    pub author: String,
    /// The BLAKE3 digest of its package, in hexadecimal.
    pub digest: String,
    /// The bytes of its package.
    pub size: u64,
    /// The id of the device that carries it.
    pub device: String,
    /// The name of that device.
    pub device_name: String,
    /// Whether owners of the group allow it as it is.
    pub installed: bool,
    /// Whether it is run on that device once it is allowed.
    pub run: bool,
    /// What it would have.
    pub wants: Vec<AppWant>,
    /// KiB of memory that one instance may use.
    pub memory_kib: u32,
}

/// Which carried app to install.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstallCarried {
    /// From this device: name, id or beginning of an id. If there is none, from any that carries it, if all carry the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// Where to run an app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunRequest {
    /// On this device: name, id or beginning of an id. If there is none, where it fits best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// Who goes on with it if its home is lost; nobody if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<StandbyRequest>,
}

/// Who goes on with an instance if its home is lost, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StandbyRequest {
    /// The device: name, id or beginning of an id.
    pub device: String,
    /// Going on matters more than that only one copy runs. While the two do not hear of each other, both may run; then the
    /// earlier copy stops and is kept.
    #[serde(default)]
    pub available: bool,
    /// How long the home may run without hearing of the standby, and the standby waits before it goes on: 1000 to 3600000
    /// milliseconds, 10000 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// How often the standby gets what has changed: each 100 to 3600000 milliseconds, 2000 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_ms: Option<u64>,
}

/// What having a standby means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StandbyForetold {
    /// The id of the device.
    pub device: String,
    /// Its name.
    pub device_name: String,
    /// How long the home may run without hearing of it, in milliseconds.
    pub lease_ms: u64,
    /// How often it gets what has changed, in milliseconds.
    pub checkpoint_ms: u64,
    /// How long after the home was last heard of it goes on, in milliseconds.
    pub fail_over_ms: u64,
    /// The most work that is lost then, in milliseconds of it; none if there is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_lost_ms: Option<u64>,
}

/// Where an instance is to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoveRequest {
    /// The device: name, id or beginning of an id.
    pub to: String,
}

/// An owner's word on what is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecoverInstance {
    /// Has to be true: what the device that is lost did with the instance is given up for good.
    pub accept_loss: bool,
}

/// Something to tell an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TellInstance {
    /// What it is told, as a message from nobody (the id of zeros).
    pub text: String,
}

words! {
    /// How important a line of an app's log is.
    AppLevel {
        /// For the app's author.
        Debug = "debug",
        /// For whoever wants to know.
        Info = "info",
        /// Something is odd.
        Warn = "warn",
        /// Something does not work.
        Error = "error",
        /// Said about the instance by its device.
        System = "system",
    }
}

/// A line of an instance's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppLine {
    /// Its number: a gap means lines that are not kept any more.
    pub number: u64,
    /// When: milliseconds since 1970.
    pub at: u64,
    /// How important it is.
    pub level: AppLevel,
    /// What it says. Written by the app; control characters are replaced.
    pub text: String,
}

words! {
    /// What an app, or a person with one, did.
    AuditWhat {
        /// An owner allowed the app.
        Installed = "installed",
        /// An owner allows it no longer.
        Removed = "removed",
        /// An instance began.
        Started = "started",
        /// It came here from another device.
        Arrived = "arrived",
        /// It went to another device.
        Left = "left",
        /// It ended for good.
        Ended = "ended",
        /// It was refused what it was not allowed.
        Refused = "refused",
        /// A want of it was met by a resource from here on.
        Bound = "bound",
        /// It read a resource; the first time since it was bound.
        Read = "read",
        /// It set a resource.
        Set = "set",
        /// It showed something; the first time since it was bound.
        Showed = "showed",
        /// It told another instance something; the first time since it started here.
        Sent = "sent",
    }
}

/// A line of the audit log of this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditLine {
    /// Its number: a gap means lines that are not kept any more.
    pub number: u64,
    /// When: milliseconds since 1970.
    pub at: u64,
    /// Which app.
    pub app: String,
    /// Which instance, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// What was done.
    pub what: AuditWhat,
    /// With what, or whom, or why.
    pub about: String,
}

/// Why an app would run where, and not elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlaceWhy {
    /// The app.
    pub app: String,
    /// The instance that this is about; none if a new one would be placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Where it is, or would be; none if it can run nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<PlaceOption>,
    /// The next best, at most three.
    pub others: Vec<PlaceOption>,
    /// What is out of the question: how many devices, and why.
    pub obstacles: Vec<PlaceObstacle>,
}

/// A device that an app could run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlaceOption {
    /// Its id.
    pub device: String,
    /// Its name.
    pub device_name: String,
    /// What it costs there, in points; less is better.
    pub cost: u32,
    /// Of what that is made, for people.
    pub terms: Vec<String>,
}

/// Why devices are out of the question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlaceObstacle {
    /// How many devices.
    pub devices: u32,
    /// Why.
    pub why: String,
}
