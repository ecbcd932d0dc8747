//! Cores whose firmware the image of this device carries: started at each start of the device, as with `tutti amp start`.
//!
//! A program is a core of its own, which is kept in the device's state like any that a person has started: one that was stopped since stays
//! so. One of the kernel's processors is found by what its driver calls it, and loads the file that the image has for it, in place of what
//! it may run now: the product decides what this chip runs. From then on each has the life that all cores have: a process is started
//! again when it crashes, ever more rarely, and the kernel has a recovery of its own.

use tutti_amp_host::linux::{self, LinuxCore};
use tutti_model::Name;
use tutti_remoteproc::life::{Command, State as CoreState};
use tutti_update::carried::{Core, Firmware};

use super::{CoreError, Cores, Origin, checked_program};

impl Cores {
    /// Starts a core with what the image carries for it, unless it runs with that already.
    pub(crate) async fn take_up(&self, core: &Core) -> Result<(), CoreError> {
        match &core.firmware {
            Firmware::Process { program, arguments, stop } => {
                let name = Name::new(&core.name).map_err(|error| CoreError::Bad(error.to_string()))?;
                let stop = stop.as_ref().map(|stop| (stop.endpoint, stop.bytes.clone()));
                self.take_up_program(name, program.display().to_string(), arguments.clone(), stop).await
            }
            Firmware::Kernel { file, processor } => self.take_up_processor(file, processor).await,
        }
    }

    async fn take_up_program(
        &self,
        name: Name,
        file: String,
        arguments: Vec<String>,
        stop: Option<(u32, Vec<u8>)>,
    ) -> Result<(), CoreError> {
        let wanted = Origin::Process(checked_program(file.clone(), arguments.clone(), stop.clone())?);
        match self.find(&name).await {
            // It was led from the start on, and runs unless somebody has stopped it.
            Ok(shown) if shown.origin == wanted => return Ok(()),
            // An earlier image's, or somebody's own.
            Ok(shown) if runs(shown.desk.status().state) => self.act(&name, vec![Command::Stop]).await?,
            _ => {}
        }
        self.start_core(name, Some(file), arguments, stop).await
    }

    async fn take_up_processor(&self, file: &str, processor: &str) -> Result<(), CoreError> {
        let (root, wanted) = (self.0.root.clone(), processor.to_owned());
        let found = tokio::task::spawn_blocking(move || {
            let all = linux::list(&root)
                .into_iter()
                .map(|id| LinuxCore::new(&root, &id, None, None).name().map(|name| (id, name)));
            let all: Vec<_> = all.filter_map(Result::ok).collect();
            let mut named = all.iter().filter(|(_, name)| *name == wanted);
            let id = match (named.next(), named.next()) {
                (Some((id, _)), None) => id.clone(),
                (Some(_), Some(_)) => return Err(CoreError::Bad(format!("the kernel has two processors {wanted:?}"))),
                (None, _) => {
                    let names: Vec<_> = all.iter().map(|(_, name)| name.as_str()).collect();
                    let has = if names.is_empty() { "none".into() } else { names.join(", ") };
                    return Err(CoreError::Bad(format!("the kernel has no remote processor {wanted:?}; it has {has}")));
                }
            };
            let core = LinuxCore::new(&root, &id, None, None);
            Ok((id, core.state().ok(), core.firmware().ok()))
        });
        let (id, state, firmware) = found.await.map_err(|error| CoreError::Failed(error.to_string()))??;
        let name = Name::new(&id).map_err(|_| CoreError::Unknown)?;
        if state.is_some_and(runs) {
            if firmware.as_deref() == Some(file) {
                return Ok(());
            }
            self.act(&name, vec![Command::Stop]).await?;
        }
        self.start_core(name, Some(file.to_owned()), Vec::new(), None).await
    }
}

fn runs(state: CoreState) -> bool {
    !matches!(state, CoreState::Offline(_) | CoreState::Crashed)
}
