//! The simulated network passes the suite: quiet, rough, and in real time on several threads.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tutti_model::DeviceId;

use crate::transport::{
    Transport,
    conformance::Factory,
    sim::{Conditions, SimNet},
};

struct OverSim(SimNet, AtomicU8);

impl OverSim {
    fn quiet() -> Self {
        Self(SimNet::new(1), AtomicU8::new(1))
    }

    fn rough() -> Self {
        let conditions = Conditions {
            latency: Duration::from_millis(5)..=Duration::from_millis(40),
            loss: 0.1,
            duplicate: 0.1,
            reorder: 0.2,
            bandwidth: Some(2_000_000),
            ..Conditions::default()
        };
        let this = Self::quiet();
        this.0.set_default(conditions);
        this
    }
}

impl Factory for OverSim {
    fn transport(&self) -> BoxFuture<'_, Arc<dyn Transport>> {
        let n = self.1.fetch_add(1, Ordering::Relaxed);
        let transport = self.0.transport(DeviceId::from_bytes([n; 32]), ([10, 0, 0, n], 1).into());
        Box::pin(async { transport as Arc<dyn Transport> })
    }

    fn silent_addr(&self) -> SocketAddr {
        ([10, 9, 9, 9], 9).into()
    }
}

mod quiet {
    crate::transport_conformance!(#[tokio::test(start_paused = true)], super::OverSim::quiet());
}

mod rough {
    crate::transport_conformance!(#[tokio::test(start_paused = true)], super::OverSim::rough());
}

mod real_time {
    crate::transport_conformance!(#[tokio::test(flavor = "multi_thread")], super::OverSim::quiet());
}
