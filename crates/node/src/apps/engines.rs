//! What runs WebAssembly on this device: made with the first app, ticked only while an app handles something.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
};

use tutti_app::{
    package::Package,
    runtime::{App, Engine, Kind, StartError, TICK},
};

use crate::lock::lock;

/// Engine and apps. Clones share them.
#[derive(Clone)]
pub(crate) struct Engines(Arc<Shared>);

struct Shared {
    cache: PathBuf,
    engine: OnceLock<Arc<Engine>>,
    making: Mutex<()>,
    apps: Mutex<BTreeMap<[u8; 32], Weak<App>>>,
    busy: Arc<Busy>,
}

/// How many apps handle something now.
#[derive(Default)]
struct Busy {
    count: Mutex<(usize, bool)>,
    changed: Condvar,
}

/// While this lives, time counts for apps.
pub(crate) struct Ticking(Arc<Busy>);

impl Engines {
    /// None yet; native code is kept in this folder.
    pub(crate) fn new(cache: PathBuf) -> Self {
        let (engine, making, apps, busy) = (OnceLock::new(), Mutex::default(), Mutex::default(), Arc::default());
        Self(Arc::new(Shared { cache, engine, making, apps, busy }))
    }

    /// Makes an app ready to run. Compiles it, if that was not done before. Blocks.
    pub(crate) fn load(&self, package: &Package) -> Result<Arc<App>, StartError> {
        // One at a time: a compiler takes much memory.
        let _turn = lock(&self.0.making);
        let digest = *package.digest();
        if let Some(app) = self.apps().get(&digest).and_then(Weak::upgrade) {
            return Ok(app);
        }
        let engine = match self.0.engine.get() {
            Some(engine) => engine.clone(),
            None => self.start()?,
        };
        let app = Arc::new(engine.load(package.component())?);
        let mut apps = self.apps();
        apps.retain(|_, app| app.strong_count() > 0);
        apps.insert(digest, Arc::downgrade(&app));
        Ok(app)
    }

    fn start(&self) -> Result<Arc<Engine>, StartError> {
        let _ = std::fs::create_dir_all(&self.0.cache);
        let engine = Arc::new(Engine::new(Kind::Cranelift, Some(&self.0.cache))?);
        let (ticked, busy) = (Arc::downgrade(&engine), Arc::downgrade(&self.0.busy));
        let thread = std::thread::Builder::new().name("app-ticks".into()).stack_size(128 * 1024);
        let started = thread.spawn(move || {
            while let (Some(engine), Some(busy)) = (ticked.upgrade(), busy.upgrade()) {
                if !busy.wait() {
                    return;
                }
                engine.tick();
                drop((engine, busy));
                std::thread::sleep(TICK);
            }
        });
        started.map_err(|error| StartError::Engine(error.to_string()))?;
        let _ = self.0.engine.set(engine.clone());
        Ok(engine)
    }

    /// To be held while an app handles something.
    pub(crate) fn ticking(&self) -> Ticking {
        let mut count = self.0.busy.lock();
        count.0 += 1;
        self.0.busy.changed.notify_all();
        Ticking(self.0.busy.clone())
    }

    fn apps(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Weak<App>>> {
        lock(&self.0.apps)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.busy.lock().1 = true;
        self.busy.changed.notify_all();
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.lock().0 -= 1;
    }
}

impl Busy {
    fn lock(&self) -> MutexGuard<'_, (usize, bool)> {
        lock(&self.count)
    }

    /// Waits until somebody is busy; false if it is all over.
    fn wait(&self) -> bool {
        let idle = |it: &mut (usize, bool)| it.0 == 0 && !it.1;
        let count = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        !count.1
    }
}
