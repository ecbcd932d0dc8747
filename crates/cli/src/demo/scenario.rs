//! What the three devices do, and how long each step may take.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tutti_control::{
    Client, CoreAction, CoreRequest, CoreState, DeviceInfo, JoinRequest, LeaseMode, LeaseRequest, Presence, Resource,
    Role, SetValue, StopMessage, Value, client::ResourceFilter,
};

use super::{
    app,
    core::STOP_ENDPOINT,
    report::{Steps, Stopped, until},
    stage::{Actor, Stage, all_gone},
};

const START: Duration = Duration::from_secs(10);
const DISCOVERY: Duration = Duration::from_secs(5);
const PAIRING: Duration = Duration::from_secs(5);
const COMPLETE: Duration = Duration::from_secs(3);
const READING: Duration = Duration::from_secs(1);
const ACTING: Duration = Duration::from_secs(1);
const NOTICED: Duration = Duration::from_secs(3);
const RETURN: Duration = Duration::from_secs(3);
const CORE: Duration = Duration::from_secs(5);
const APP: Duration = Duration::from_secs(20);
const COUNT: Duration = Duration::from_secs(2);
const MOVE: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(3);

/// The devices, and what they simulate. The first one is the owner of the group.
const CAST: [(&str, &[&str]); 3] = [
    ("kitchen", &["room-temperature", "lamp"]),
    ("studio", &["light-level", "lamp", "knob"]),
    ("garden", &["room-temperature", "light-level"]),
];

/// The coprocessor of studio, and what it has to be found by.
const COPROCESSOR: &str = "studio-core";

/// Whether the devices run apps. A command that was built for small devices shows everything else.
const APPS: bool = cfg!(feature = "apps");

/// What the lamp is set to, in percent.
const BRIGHTNESS: i64 = 60;

/// The three devices.
pub(crate) struct Cast {
    /// The devices.
    pub(crate) actors: Vec<Actor>,
    /// A client of each that runs.
    pub(crate) clients: Vec<Client>,
}

impl Cast {
    /// Three devices that are not running yet.
    pub(crate) fn new(stage: &Stage) -> Self {
        Self { actors: CAST.iter().map(|(name, simulate)| stage.actor(name, simulate)).collect(), clients: Vec::new() }
    }

    /// From nothing to a pool of three.
    pub(crate) async fn gather(&mut self, steps: &mut Steps) -> Result<(), Stopped> {
        self.clients = steps.take("three devices start", START, self.start()).await?;
        let [kitchen, studio, garden] = self.three().map_err(|_| Stopped)?;
        steps.look(&kitchen).await;
        steps.take("they discover each other", DISCOVERY, discovered(&self.clients)).await?;
        for (name, client) in [("studio", &studio), ("garden", &garden)] {
            steps.take(format!("{name} is paired by a code"), PAIRING, pair(&kitchen, client)).await?;
        }
        steps.take("the pool is complete", COMPLETE, complete(&self.clients)).await
    }

    /// What the devices do for each other, and what happens when one is killed.
    pub(crate) async fn play(&mut self, steps: &mut Steps) -> Result<(), Stopped> {
        let [kitchen, studio, garden] = self.three().map_err(|_| Stopped)?;
        steps.take("kitchen reads a sensor of garden", READING, read(&kitchen, "garden")).await?;
        steps.take("garden drives a lamp of studio with a lease", ACTING, drive(&garden, &studio)).await?;

        steps
            .take("studio starts its coprocessor, which joins the pool", CORE, coprocess(&studio, &self.clients))
            .await?;
        steps.take("kitchen reads the coprocessor's sensor", READING, read(&kitchen, COPROCESSOR)).await?;
        steps.take("garden switches the coprocessor's lamp", ACTING, switch(&garden, &kitchen)).await?;
        let crash = crash(&garden, &studio, &self.clients);
        steps.take("the coprocessor crashes, is started again, and is read again", CORE, crash).await?;

        let mut counter = None;
        if APPS {
            let installed = app::install(&kitchen, "kitchen");
            let counter = counter.insert(steps.take("kitchen installs an app and runs it", APP, installed).await?);
            let counted = note(app::count(&studio, counter));
            steps.take("the app counts what studio tells it", COUNT, counted).await?;
            let moved = note(app::moved(&kitchen, &studio, counter, "garden"));
            steps.take("the app moves to garden while studio goes on telling it", MOVE, moved).await?;
        }

        let Some(actor) = self.actors.last_mut() else { return Err(Stopped) };
        if let Err(why) = actor.kill().await {
            return steps.record("garden is killed", Duration::ZERO, NOTICED, Err(why)).await;
        }
        let others = [kitchen, studio];
        let offline = presence(&others, "garden", Presence::Offline);
        steps.take("garden is killed: the others notice", NOTICED, offline).await?;

        let back = async {
            actor.start()?;
            Ok((actor.ready().await?, String::new()))
        };
        let client = steps.take("garden starts again", START, back).await?;
        steps.take("garden is back: seen and read again", RETURN, returned(&others, "garden")).await?;
        if let Some(counter) = &counter {
            let again = note(app::again(&client, counter, "garden"));
            steps.take("the app goes on there as if nothing had been", MOVE, again).await?;
        }
        if let Some(last) = self.clients.last_mut() {
            *last = client;
        }
        Ok(())
    }

    /// Ends all of it; after a failed step, too.
    pub(crate) async fn end(&mut self, stage: &Stage, steps: &mut Steps) -> Result<(), Stopped> {
        let processes: Vec<_> = self.actors.iter().filter_map(Actor::pid).collect();
        let stop = async {
            let outcomes = join_all(self.actors.iter_mut().map(Actor::stop)).await;
            outcomes.into_iter().collect::<Result<Vec<()>, _>>().map(|_| ((), String::new()))
        };
        steps.take("they stop cleanly", STOP, stop).await?;
        let nothing = async {
            all_gone(&processes).await?;
            match stage.left_behind() {
                Ok(left) if left.is_empty() => Ok(((), String::new())),
                Ok(left) => Err(format!("{} is left in the runtime folder", left.join(", "))),
                Err(error) => Err(format!("the runtime folder cannot be read: {error}")),
            }
        };
        steps.take("nothing is left behind", STOP, nothing).await
    }

    /// Ends what still runs, without a word.
    pub(crate) async fn clear(&mut self) {
        join_all(self.actors.iter_mut().map(Actor::stop)).await;
    }

    async fn start(&mut self) -> Result<(Vec<Client>, String), String> {
        self.actors.iter_mut().try_for_each(Actor::start)?;
        let clients = try_join_all(self.actors.iter_mut().map(Actor::ready)).await?;
        let processes: Vec<_> = self.actors.iter().filter_map(Actor::pid).map(|process| process.to_string()).collect();
        Ok((clients, format!("processes {}", processes.join(", "))))
    }

    fn three(&self) -> Result<[Client; 3], usize> {
        self.clients.clone().try_into().map_err(|clients: Vec<_>| clients.len())
    }
}

type Noted = Result<((), String), String>;

/// A step that only has something to say.
async fn note(step: impl Future<Output = Result<String, String>>) -> Noted {
    step.await.map(|note| ((), note))
}

/// Every device sees every other.
async fn discovered(clients: &[Client]) -> Noted {
    let all_others = CAST.len() - 1;
    let sees_all = |client: &Client| {
        let client = client.clone();
        async move {
            until(|| async {
                let nearby = client.nearby().await.map_err(text)?;
                Ok((nearby.len() >= all_others).then_some(()))
            })
            .await
        }
    };
    try_join_all(clients.iter().map(sees_all)).await?;
    Ok(((), String::new()))
}

/// One device shows a code, the other one enters its group with it.
async fn pair(host: &Client, joiner: &Client) -> Noted {
    let offer = host.offer_pairing(Role::Member).await.map_err(text)?;
    let request =
        JoinRequest { device: Some(host.device().await.map_err(text)?.name), code: Some(offer.code), ticket: None };
    let joined = joiner.join(&request).await.map_err(text)?;
    Ok(((), format!("group {}, by {}", crate::words::short(&joined.group), joined.host_name)))
}

/// Every device sees all three and all that they offer.
async fn complete(clients: &[Client]) -> Noted {
    let seen = |client: &Client| {
        let client = client.clone();
        async move {
            until(|| async {
                let devices = client.devices().await.map_err(text)?;
                let resources = client.resources(&ResourceFilter::default()).await.map_err(text)?;
                let reached = devices.iter().filter(|device| device.presence != Presence::Offline).count();
                let described = devices.iter().all(|device| device.resources > 0);
                let offered: usize = devices.iter().map(|device| device.resources as usize).sum();
                let all = reached == CAST.len() && described && resources.len() == offered;
                Ok((all && simulated(&resources) == expected()).then_some(offered))
            })
            .await
        }
    };
    let counts = try_join_all(clients.iter().map(seen)).await?;
    Ok(((), format!("{} resources", counts.first().copied().unwrap_or_default())))
}

/// How many resources are simulated.
fn simulated(resources: &[Resource]) -> usize {
    resources.iter().filter(|resource| resource.simulated).count()
}

fn expected() -> usize {
    CAST.iter().map(|(_, simulate)| simulate.len()).sum()
}

/// Takes a reading of the first simulated sensor of a device.
async fn read(client: &Client, device: &str) -> Noted {
    let sensor = until(|| first(client, device, "sensor")).await?;
    let reading = client.read(device, &sensor.name).await.map_err(text)?;
    match reading.value.as_f64() {
        Some(value) if value.is_finite() => {
            Ok(((), format!("{device}/{} = {}", sensor.name, crate::words::value(&reading.value, &reading.unit))))
        }
        _ => Err(format!("{device}/{} gave {:?}, which is no number", sensor.name, reading.value)),
    }
}

async fn first(client: &Client, device: &str, kind: &str) -> Result<Option<Resource>, String> {
    let filter = ResourceFilter { kind: Some(kind.into()), device: Some(device.into()), ..ResourceFilter::default() };
    let found = client.resources(&filter).await.map_err(text)?;
    Ok(found.into_iter().find(|resource| resource.simulated && resource.online))
}

/// Leases a lamp of another device, sets it, and gives it back; its owner sees the light.
async fn drive(driver: &Client, owner: &Client) -> Noted {
    let device = owner.device().await.map_err(text)?.name;
    let lamp = until(|| first(driver, &device, "actuator")).await?;
    let request = LeaseRequest {
        resource: format!("{device}/{}", lamp.name),
        mode: LeaseMode::Exclusive,
        duration_ms: Some(5000),
    };
    let lease = driver.take_lease(&request).await.map_err(text)?;
    let wanted = SetValue { value: Value::Int(BRIGHTNESS), token: Some(lease.token) };
    driver.set(&device, &lamp.name, &wanted).await.map_err(text)?;
    let seen = owner.read(&device, &lamp.name).await.map_err(text)?;
    if seen.value.as_f64() != Some(BRIGHTNESS as f64) {
        return Err(format!("the lamp was set to {BRIGHTNESS} and is at {}", seen.value));
    }
    driver.release_lease(&lease.id).await.map_err(text)?;
    Ok((
        (),
        format!("{device}/{} = {}, token {}", lamp.name, crate::words::value(&seen.value, &seen.unit), lease.token),
    ))
}

/// Starts the coprocessor: this program as another core. Everybody sees it.
async fn coprocess(host: &Client, clients: &[Client]) -> Noted {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let request = CoreRequest {
        firmware: Some(program.display().to_string()),
        arguments: vec!["demo-core".into(), COPROCESSOR.into()],
        stop_message: Some(StopMessage { endpoint: STOP_ENDPOINT, bytes: "00".into() }),
    };
    let core = host.act_on_core(COPROCESSOR, CoreAction::Start, &request).await.map_err(text)?;
    presence(clients, COPROCESSOR, Presence::Online).await?;
    let via = host.device().await.map_err(text)?.name;
    Ok(((), format!("{} {}, life {}, via {via}", core.kind, core.state, core.generation)))
}

/// Switches the coprocessor's lamp on from one device; another one sees the light.
async fn switch(driver: &Client, other: &Client) -> Noted {
    let on = SetValue { value: Value::Bool(true), token: None };
    driver.set(COPROCESSOR, "lamp", &on).await.map_err(text)?;
    let seen = other.read(COPROCESSOR, "lamp").await.map_err(text)?;
    match seen.value {
        Value::Bool(true) if seen.simulated => Ok(((), format!("{COPROCESSOR}/lamp = {} (simulated)", seen.value))),
        value => Err(format!("the lamp was switched on and is {value}")),
    }
}

/// Crashes the coprocessor. Its host starts it again, and everybody can read it again.
async fn crash(driver: &Client, host: &Client, clients: &[Client]) -> Noted {
    let before = host.core(COPROCESSOR).await.map_err(text)?.generation;
    let fault = SetValue { value: Value::Bool(true), token: None };
    // Whether it was done nobody can say any more: that is what it does.
    let _ = driver.set(COPROCESSOR, "fault", &fault).await;
    let after = until(|| async {
        let core = host.core(COPROCESSOR).await.map_err(text)?;
        Ok((core.generation > before && core.state == CoreState::Running).then_some(core))
    })
    .await?;
    returned(clients, COPROCESSOR).await?;
    Ok(((), format!("life {} after life {before}", after.generation)))
}

/// Every one of them sees the device in this state.
pub(crate) async fn presence(clients: &[Client], name: &str, wanted: Presence) -> Noted {
    let seen = |client: &Client| {
        let client = client.clone();
        async move {
            until(|| async {
                let devices = client.devices().await.map_err(text)?;
                Ok(devices.iter().any(|device| device.name == name && device.presence == wanted).then_some(()))
            })
            .await
        }
    };
    try_join_all(clients.iter().map(seen)).await?;
    Ok(((), String::new()))
}

/// Every one of them sees the device again and reads it: that it is shown as online may still be from before.
pub(crate) async fn returned(clients: &[Client], name: &str) -> Noted {
    presence(clients, name, Presence::Online).await?;
    let read_again = |client: &Client| {
        let client = client.clone();
        async move { until(|| async { Ok(read(&client, name).await.ok()) }).await }
    };
    let mut readings = try_join_all(clients.iter().map(read_again)).await?;
    readings.pop().ok_or_else(|| "nobody is there to see it".into())
}

/// What must survive a kill.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    id: String,
    name: String,
    group: String,
    role: Role,
    members: u32,
}

impl From<DeviceInfo> for Kept {
    fn from(device: DeviceInfo) -> Self {
        let group = device.group;
        Self { id: device.id, name: device.name, group: group.id, role: group.role, members: group.members }
    }
}

pub(super) fn text(error: tutti_control::ClientError) -> String {
    match error.hint() {
        hint if hint.is_empty() => error.to_string(),
        hint => format!("{error}; {hint}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::sample;
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    };
    use tutti_control::{
        Controlled, Device, ErrorCode, Joined, PairingOffer, Reading,
        fake::{Answer, FakeDevice},
    };

    struct Fakes {
        folder: tempfile::TempDir,
        devices: Vec<FakeDevice>,
    }

    impl Fakes {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), devices: Vec::new() }
        }

        fn client(&mut self, answer: impl Fn(&str, &str) -> Answer + Send + Sync + 'static) -> Client {
            let socket = self.folder.path().join(self.devices.len().to_string());
            self.devices.push(FakeDevice::start(&socket, move |asked| answer(&asked.line(), &asked.body)).unwrap());
            Client::unix(socket)
        }
    }

    fn nothing(line: &str) -> Answer {
        Answer::refused(ErrorCode::NoSuchRoute, line, "")
    }

    #[tokio::test]
    async fn devices_are_waited_for() {
        let mut fakes = Fakes::new();
        let asked = Arc::new(AtomicUsize::new(0));
        let client = fakes.client(move |line, _| {
            let late = asked.fetch_add(1, Ordering::Relaxed) >= 3;
            let mut devices = sample::devices();
            devices[1].presence = if late { Presence::Offline } else { Presence::Online };
            match line {
                "GET /v1/nearby" => Answer::json(&vec![sample::nearby().remove(0); if late { 2 } else { 1 }]),
                "GET /v1/devices" => Answer::json(&devices),
                _ => nothing(line),
            }
        });
        discovered(std::slice::from_ref(&client)).await.unwrap();
        presence(&[client], "工作室", Presence::Offline).await.unwrap();
    }

    #[tokio::test]
    async fn the_pool_is_complete_when_every_resource_is_there() {
        let mut fakes = Fakes::new();
        let asked = Arc::new(AtomicUsize::new(0));
        let client = fakes.client(move |line, _| {
            let resource = Resource { simulated: true, ..sample::resources().remove(0) };
            let device = |count| Device { resources: count, ..sample::devices().remove(0) };
            match line {
                "GET /v1/devices" => Answer::json(&[device(2), device(3), device(2)]),
                "GET /v1/resources" => {
                    let there = 5 + asked.fetch_add(1, Ordering::Relaxed).min(2);
                    Answer::json(&vec![resource; there])
                }
                _ => nothing(line),
            }
        });
        assert_eq!(complete(&[client]).await.unwrap().1, "7 resources");
    }

    #[tokio::test]
    async fn a_code_goes_from_the_one_to_the_other() {
        let mut fakes = Fakes::new();
        let host = fakes.client(|line, _| match line {
            "GET /v1/device" => Answer::json(&sample::info()),
            _ => Answer::json(&PairingOffer {
                code: "123456".into(),
                ticket: String::new(),
                role: Role::Member,
                expires_in_ms: 1,
            }),
        });
        let joiner = fakes.client(|_, body| {
            assert_eq!(body, r#"{"device":"kitchen","code":"123456"}"#);
            Answer::json(&Joined {
                group: sample::id('9'),
                host: sample::id('a'),
                host_name: "kitchen".into(),
                role: Role::Member,
            })
        });
        assert_eq!(pair(&host, &joiner).await.unwrap().1, "group 9999999999, by kitchen");
    }

    /// Drives a lamp whose owner sees it at `shown`.
    async fn drive_and_see(shown: i64) -> (Result<String, String>, Vec<String>) {
        let mut fakes = Fakes::new();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let driver = fakes.client(move |line, body| {
            log.lock().unwrap().push(format!("{line} {body}").trim().to_owned());
            match line {
                "POST /v1/leases" => Answer::json(&sample::lease()),
                "DELETE /v1/leases/l1" => Answer::done(),
                "PUT /v1/resources/kitchen/lamp" => Answer::json(&Controlled {
                    device: sample::id('a'),
                    device_name: "kitchen".into(),
                    name: "lamp".into(),
                    value: Value::Int(BRIGHTNESS),
                    token: Some(7),
                }),
                _ => Answer::json(&[sample::resources().remove(2)]),
            }
        });
        let owner = fakes.client(move |line, _| match line {
            "GET /v1/device" => Answer::json(&sample::info()),
            _ => Answer::json(&Reading { value: Value::Int(shown), unit: "%".into(), ..sample::reading(0.0) }),
        });
        let outcome = drive(&driver, &owner).await.map(|(_, note)| note);
        (outcome, std::mem::take(&mut *asked.lock().unwrap()))
    }

    #[tokio::test]
    async fn a_lamp_is_driven_with_the_token_of_its_lease() {
        let (outcome, asked) = drive_and_see(BRIGHTNESS).await;
        assert_eq!(outcome.unwrap(), "kitchen/lamp = 60 %, token 7");
        assert_eq!(
            asked[1..],
            [
                r#"POST /v1/leases {"resource":"kitchen/lamp","mode":"exclusive","duration_ms":5000}"#,
                r#"PUT /v1/resources/kitchen/lamp {"value":60,"token":7}"#,
                "DELETE /v1/leases/l1",
            ]
        );
        let (outcome, _) = drive_and_see(0).await;
        assert_eq!(outcome.unwrap_err(), "the lamp was set to 60 and is at 0");
    }
}
