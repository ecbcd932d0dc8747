//! Apps, on a device that was built without them.

use tokio::sync::watch;
use tutti_control::{AppsState, ErrorCode};

use super::error::ApiError;
use crate::node::Node;

/// What the event `apps` says.
pub(super) fn state(_: &Node) -> AppsState {
    AppsState::default()
}

/// Grows with what it says: never.
pub(super) fn changes(_: &Node) -> watch::Receiver<u64> {
    // It outlives every reader, so that whoever waits is not told of its end again and again.
    static NEVER: std::sync::LazyLock<watch::Sender<u64>> = std::sync::LazyLock::new(|| watch::Sender::new(0));
    NEVER.subscribe()
}

macro_rules! absent {
    ($($name:ident)*) => {
        $(pub(super) async fn $name() -> ApiError {
            let hint = "run apps on another device of the group";
            ApiError::new(ErrorCode::Unsupported, "this device was built without apps", hint)
        })*
    };
}

absent! {
    list install carried install_carried remove icon run why instances instance end begin_move cancel_move set_standby remove_standby foretell stop start recover tell log follow audit
}
