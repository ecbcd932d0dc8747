//! Links that nobody asked for: remote cores of the kernel's that announce the service of a satellite.

use std::{path::PathBuf, time::Duration};

use tokio::time::sleep;
use tutti_amp_host::linux::channels;

use super::{SERVICE, spec::Spec};

/// How often the kernel's bus is looked at. There is no way to be told that a device has come without being root.
const LOOK: Duration = Duration::from_millis(500);

/// Says what there is below `root`, each time that this has changed, for ever.
pub(super) async fn watch(root: PathBuf, tell: impl Fn(Vec<Spec>)) {
    let mut before = Vec::new();
    loop {
        let root = root.clone();
        let look = move || channels(&root).into_iter().filter(|channel| channel.name == SERVICE).map(Spec::Rpmsg);
        let now: Vec<_> = tokio::task::spawn_blocking(move || look().collect()).await.unwrap_or_default();
        if now != before {
            tell(now.clone());
            before = now;
        }
        sleep(LOOK).await;
    }
}
