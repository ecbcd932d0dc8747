//! The wish that this device stop, and those who heed it.

use std::sync::Arc;

use tokio::sync::watch;

/// Asks for the stop. Clones ask for the same one.
#[derive(Clone)]
pub(crate) struct StopSwitch(Arc<watch::Sender<bool>>);

/// Learns of the stop.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl StopSwitch {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }

    pub(crate) fn subscribe(&self) -> Stop {
        Stop(self.0.subscribe())
    }
}

impl Stop {
    /// Waits for the stop. A switch that is gone counts as one.
    pub(crate) async fn requested(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
