//! The suite that every transport passes, on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
};

use ed25519_dalek::SigningKey;
use futures_util::{FutureExt, future::BoxFuture};

use super::{IrohConfig, IrohTransport};
use crate::transport::{Transport, conformance::Factory};

struct Loopback {
    /// Bound, and never read.
    silent: UdpSocket,
}

impl Loopback {
    fn new() -> Self {
        Self { silent: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap() }
    }
}

impl Factory for Loopback {
    fn transport(&self) -> BoxFuture<'_, Arc<dyn Transport>> {
        async {
            let key = SigningKey::from_bytes(&rand::random());
            let transport = IrohTransport::bind(IrohConfig { key, port: 0 }).await.unwrap();
            Arc::new(transport) as Arc<dyn Transport>
        }
        .boxed()
    }

    fn silent_addr(&self) -> SocketAddr {
        self.silent.local_addr().unwrap()
    }
}

crate::transport_conformance!(#[tokio::test], Loopback::new());
