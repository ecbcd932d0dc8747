//! From options to a running device, and back to nothing in good order.
//!
//! Each room is started when what it stands on runs, and stopped before that stops:
//!
//! ```text
//! runtime folder → state (lock, database) → identity → socket → network → fabric → local resources → pool
//!   → discovery → control API → ready
//! ```

use std::{future::Future, path::Path, pin::pin, sync::Arc, time::Duration};

use ed25519_dalek::SigningKey;
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tutti_control::runtime::TOKEN_FILE;
use tutti_fabric::{
    Config, Fabric, StartError,
    clock::{Clock, MachineClock},
    discovery::{
        mdns::MdnsConfig,
        samehost::{SameHostError, prepare_folder},
    },
    identity::{self, IdentityError, device_id},
    transport::{
        Transport,
        iroh::{IrohConfig, IrohTransport},
    },
};
use tutti_model::{Capacity, Name, Text};
use tutti_pool::Identity;
use tutti_resources::{Driver, Inventory, Storage, SysRoot, describe_machine, simulated::simulated};
use tutti_update::{Carried, System};

use crate::{
    api::{ConsoleDoor, Hub, Limits, Listeners, Streams, Token, router},
    carried::{self, Board},
    cores::{Cores, Places},
    discovery::{Discovery, Setup},
    error::{ApiError, RunError},
    followed::Followed,
    history::History,
    locals::Locals,
    node::{NAME, Node},
    options::{Options, Ready},
    pool,
    satellites::{Satellites, links::Links},
    sources::Sources,
    state::{Reset, State, Table},
    stop::StopSwitch,
    stores::Part,
    timeline::Timeline,
    tree::Trees,
    update,
};

/// The file in the state folder that holds the device's key.
pub const IDENTITY: &str = "identity";

/// How long the rooms may take to stop, together; what is not done by then is left to the next start.
const GOODBYE: Duration = Duration::from_secs(8);

/// Runs a device until `shutdown` is done, or somebody asks it to stop through the control API. `ready` is called once,
/// when it can be used.
///
/// Needs a tokio runtime such as [`runtime`](crate::runtime) makes.
///
/// # Errors
/// If it cannot start: see [`RunError`]. Nothing in the state folder was changed then that would stop the next start.
pub async fn run(
    options: Options,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let mut shutdown = pin!(shutdown);
    let device = tokio::select! {
        started = start(options) => started?,
        () = &mut shutdown => return Ok(()),
    };
    ready(device.ready());
    let mut stop = device.node.stop.subscribe();
    tokio::select! {
        () = shutdown => {}
        () = stop.requested() => {}
    }
    device.stop().await;
    Ok(())
}

/// A running device.
struct Device {
    node: Arc<Node>,
    tasks: JoinSet<()>,
    api: tokio::task::JoinHandle<()>,
    discovery: tokio::task::JoinHandle<()>,
}

async fn start(options: Options) -> Result<Device, RunError> {
    let clock: Arc<dyn Clock> = Arc::new(MachineClock);
    let started = clock.now();
    let options = Arc::new(options);
    let preparing = options.clone();
    let (state, key, machine) = blocking(move || {
        prepare_runtime(&preparing.runtime)?;
        let (state, key) = open(&preparing)?;
        let machine = Machine::find(&preparing, &state)?;
        Ok::<_, RunError>((state, key, machine))
    })
    .await?;
    #[cfg(feature = "apps")]
    let root = machine.root.clone();
    let Machine { name, identity, fixed, inventory, system, carried: (carried, board), .. } = machine;

    let id = device_id(&key);
    let socket = options.runtime.join(format!("{}.sock", id.short()));
    let token = options.api_tcp.map(|_| Token::load_or_create(state.folder())).transpose();
    let token = token.map_err(|error| ApiError::Token(state.folder().join(TOKEN_FILE), error))?;
    let listeners = Listeners::bind(&socket, options.api_tcp).await?;
    let config = IrohConfig { key: key.clone(), port: options.port };
    let transport = Arc::new(IrohTransport::bind(config).await.map_err(RunError::Network)?);
    let fabric = start_fabric(&options, &state, &key, name, &clock, transport.clone()).await?;

    let locals = Locals::new(clock.clone());
    let sources = Sources::new(clock.clone(), locals.clone(), fixed);
    sources.use_hardware(inventory.as_ref());
    let satellites = Satellites::new(id);
    let stop = StopSwitch::new();
    let health = Arc::new(watch::Sender::new(None));
    let names = watch::Sender::new(name);
    let setup = Setup {
        fabric: fabric.clone(),
        name: names.subscribe(),
        port: transport.port(),
        local_addrs: transport.same_host_addrs(),
        mdns: options.mdns.then(MdnsConfig::default),
        runtime: options.runtime.clone(),
        state: state.folder().to_path_buf(),
        socket: socket.clone(),
    };
    let above = async {
        let pool = pool::start(&fabric, &state, &key, identity, &locals, &sources, &satellites).await?;
        let discovery = Discovery::start(setup, health.clone()).await?;
        Ok((pool, discovery))
    };
    let (pool, discovery) = match above.await {
        Ok(started) => started,
        Err(error) => {
            fabric.shutdown().await;
            return Err(error);
        }
    };
    let kept = async {
        let links = Links::start(satellites.clone(), clock.clone(), state.clone(), options.sysfs.clone()).await?;
        let places = Places { runtime: options.runtime.clone(), root: options.sysfs.clone() };
        let cores = Cores::start(id, satellites.clone(), clock.clone(), state.clone(), places).await?;
        Ok((links, cores))
    };
    let (links, cores) = match kept.await {
        Ok(kept) => kept,
        Err(error) => {
            fabric.shutdown().await;
            return Err(RunError::Settings(error));
        }
    };
    let trees = Trees::new(options.device_tree.clone(), state.folder(), &options.sysfs);
    #[cfg(feature = "apps")]
    let apps = {
        let ground = crate::apps::Ground {
            key: &key,
            clock: &clock,
            state: &state,
            fabric: &fabric,
            pool: &pool,
            locals: &locals,
            sources: &sources,
            satellites: &satellites,
            root: &root,
        };
        match crate::apps::Apps::start(ground).await {
            Ok(apps) => apps,
            Err(error) => {
                fabric.shutdown().await;
                return Err(RunError::Apps(error));
            }
        }
    };
    let node = Arc::new(Node {
        clock,
        started,
        state,
        transport,
        fabric,
        pool,
        locals: locals.clone(),
        sources: sources.clone(),
        hardware: options.hardware.then(|| SysRoot::new(&options.sysfs).ok()).flatten(),
        satellites,
        links,
        cores,
        #[cfg(feature = "apps")]
        apps,
        carried: board,
        followed: Followed::new(),
        history: History::default(),
        timeline: Timeline::new(),
        trees,
        name: names,
        discovery: health.subscribe(),
        tcp: listeners.tcp(),
        socket,
        streams: Streams::new(stop.subscribe()),
        hub: Hub::new(),
        console: ConsoleDoor::default(),
        stop: stop.clone(),
    });
    tracing::info!(id = %id, %name, "the device runs");

    let mut tasks = JoinSet::new();
    tasks.spawn(locals.poll());
    tasks.spawn(sources.run(inventory));
    let hub = (node.clone(), stop.subscribe());
    tasks.spawn(async move { hub.0.hub.run(&hub.0, hub.1).await });
    let history = (node.clone(), stop.subscribe());
    tasks.spawn(async move { history.0.history.run(&history.0, history.1).await });
    let timeline = (node.clone(), stop.subscribe());
    tasks.spawn(async move { timeline.0.timeline.run(&timeline.0, timeline.1).await });
    if !carried.is_empty() {
        let node = node.clone();
        tasks.spawn(async move { carried::take_up(carried, &node).await });
    }
    if let Some(system) = system {
        tasks.spawn(update::report(system, node.fabric.view()));
    }
    let discovery = tokio::spawn(discovery.run(stop.subscribe()));
    let api = tokio::spawn(listeners.serve(router(node.clone(), token), Limits::default(), stop.subscribe()));
    Ok(Device { node, tasks, api, discovery })
}

impl Device {
    fn ready(&self) -> Ready {
        let node = &self.node;
        Ready {
            id: node.fabric.id(),
            name: node.name(),
            socket: node.socket.clone(),
            tcp: node.tcp,
            addresses: node.transport.local_addrs(),
            members: node.view().group.members.len(),
        }
    }

    /// Stops in the opposite order of starting. Takes at most [`GOODBYE`].
    async fn stop(mut self) {
        let node = self.node;
        node.stop.stop();
        let ended = timeout(GOODBYE, async {
            // Both wait for what is under way, each with bounds of its own.
            let _ = tokio::join!(self.api, self.discovery, node.console.closed());
            self.tasks.shutdown().await;
            node.links.stop().await;
            #[cfg(feature = "apps")]
            node.apps.stop();
            node.cores.stop().await;
            node.pool.stop().await;
            node.fabric.shutdown().await;
            let state = node.state.clone();
            let _ = tokio::task::spawn_blocking(move || state.close()).await;
        });
        match ended.await {
            Ok(()) => tracing::info!("the device has stopped"),
            Err(_) => tracing::warn!("the device was stopped before all was in order; nothing saved is lost"),
        }
    }
}

fn prepare_runtime(folder: &Path) -> Result<(), RunError> {
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent).map_err(|error| {
            RunError::Runtime(SameHostError::Io { path: parent.to_path_buf(), doing: "create", error })
        })?;
    }
    prepare_folder(folder).map_err(RunError::Runtime)
}

/// Opens the state folder and reads or makes the key. With the user's word, what is damaged is moved aside; a new key
/// begins anew altogether, since it is another device's. Blocks.
fn open(options: &Options) -> Result<(State, SigningKey), RunError> {
    let reset = if options.reset_corrupt { Reset::IfDamaged } else { Reset::Never };
    // A key that cannot be used is found before the database is opened, which is to be left as it is then. What the
    // operating system objects to, it will object to in the folder as a whole.
    match identity::load(&options.state.join(IDENTITY)) {
        Err(IdentityError::Corrupt { .. }) if options.reset_corrupt => {}
        Ok(_) | Err(IdentityError::Io { .. }) => {}
        Err(error) => return Err(RunError::Identity(error)),
    }
    let state = State::open(&options.state, reset).map_err(RunError::State)?;
    let path = state.folder().join(IDENTITY);
    let mut rng = rand::rng();
    let key = match identity::load_or_create(&path, &mut rng) {
        Err(IdentityError::Corrupt { .. }) if options.reset_corrupt => {
            let aside = identity::set_aside(&path).map_err(RunError::Identity)?;
            tracing::warn!(file = %aside.display(), "the damaged key was moved aside: this is a new device now");
            state.begin_anew().map_err(RunError::State)?;
            identity::load_or_create(&path, &mut rng)
        }
        other => other,
    };
    Ok((state, key.map_err(RunError::Identity)?))
}

async fn start_fabric(
    options: &Options,
    state: &State,
    key: &SigningKey,
    name: Name,
    clock: &Arc<dyn Clock>,
    transport: Arc<dyn Transport>,
) -> Result<Fabric, RunError> {
    let config = Config {
        name,
        key: key.clone(),
        versions: options.versions,
        clock: clock.clone(),
        random: Arc::new(rand::random),
    };
    let store = Arc::new(Part(state.clone(), Table::Fabric));
    match Fabric::start(config.clone(), transport.clone(), store.clone()).await {
        Err(StartError::Group(_) | StartError::NotMine) if options.reset_corrupt => {
            let anew = state.clone();
            blocking(move || anew.begin_anew().map_err(RunError::State)).await?;
            Fabric::start(config, transport, store).await.map_err(RunError::Fabric)
        }
        other => other.map_err(RunError::Fabric),
    }
}

/// What there is to know and to offer of this machine.
struct Machine {
    name: Name,
    identity: Identity,
    fixed: Vec<Arc<dyn Driver>>,
    inventory: Option<Inventory>,
    /// What it was told by the first program, if that is ours.
    system: Option<System>,
    /// Where it is looked at.
    #[cfg_attr(not(feature = "apps"), expect(dead_code, reason = "only what runs apps looks again"))]
    root: SysRoot,
    /// What its image carries.
    carried: (Carried, Board),
}

impl Machine {
    /// Looks around. Blocks.
    fn find(options: &Options, state: &State) -> Result<Self, RunError> {
        let root =
            SysRoot::new(&options.sysfs).map_err(|error| RunError::Hardware { root: options.sysfs.clone(), error })?;
        let facts = describe_machine(&root);
        let saved = state.load(Table::Settings, NAME).map_err(RunError::Settings)?;
        let saved = saved.and_then(|bytes| Name::new(std::str::from_utf8(&bytes).ok()?).ok());
        let name = options.name.or(saved).or(facts.host_name);
        let name = name.unwrap_or_else(|| Name::new("device").expect("it is a name"));
        if Some(name) != saved {
            state.save(Table::Settings, NAME, name.as_str().as_bytes()).map_err(RunError::Settings)?;
        }
        let identity = Identity {
            name,
            kind: facts.kind,
            architecture: facts.architecture,
            os: facts.os,
            profile: Text::lossy("standard"),
            software: Text::lossy(env!("CARGO_PKG_VERSION")),
            capacity: Capacity::of(facts.memory, facts.cores, options.app_memory),
        };
        let mut fixed = simulated(&options.simulated, options.seed);
        if let Some(wanted) = &options.storage {
            let folder = wanted.folder.clone().unwrap_or_else(|| state.folder().join("storage"));
            match Storage::open(wanted.name, &folder, wanted.quota) {
                Ok(storage) => fixed.insert(0, Arc::new(storage)),
                // A device without its storage is of more use than none.
                Err(error) => tracing::error!(%error, folder = %folder.display(), "the storage is not offered"),
            }
        }
        // Only the node that the first program runs is asked about the system.
        let system = update::told().filter(|_| options.hardware);
        fixed.extend(system.iter().flat_map(update::drivers));
        let inventory = options.hardware.then(|| Inventory::new(root.clone(), tutti_resources::Options::default()));
        let carried = carried::read(options.carried.as_deref());
        Ok(Self { name, identity, fixed, inventory, system, root, carried })
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RunError> + Send + 'static,
) -> Result<T, RunError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
