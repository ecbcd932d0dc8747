//! Letting others in, so many at a time.

use std::{net::IpAddr, sync::Arc};

use ::iroh::{
    Endpoint,
    endpoint::{self as quic, Incoming, IncomingAddr, VarInt},
};
use tokio::{sync::mpsc, time};
use tutti_model::DeviceId;

use super::{
    HANDSHAKE_TIMEOUT, MAX_HALF_OPEN,
    addressee::{self, HOLD_BACK},
    connection::IrohConnection,
    registry::{HalfOpen, Registry},
};
use crate::transport::{CloseCode, Connection, Protocol};

/// How many connections wait at most for the fabric to take them.
pub(super) const QUEUE: usize = 16;

/// Accepts until the endpoint is closed.
pub(super) async fn run(endpoint: Endpoint, registry: Arc<Registry>, accepted: mpsc::Sender<Arc<dyn Connection>>) {
    let me = DeviceId::from_bytes(*endpoint.id().as_bytes());
    while let Some(incoming) = endpoint.accept().await {
        let IncomingAddr::Ip(from) = incoming.remote_addr() else {
            incoming.ignore();
            continue;
        };
        let crowded = registry.half_open() >= MAX_HALF_OPEN / 2;
        if crowded && !incoming.remote_addr_validated() {
            // Costs no state here, and tells real addresses from invented ones. Fails only if validated.
            let _ = incoming.retry();
            continue;
        }
        let Some(place) = registry.begin_handshake(from.ip()) else {
            incoming.ignore();
            continue;
        };
        let (registry, accepted) = (registry.clone(), accepted.clone());
        tokio::spawn(async move {
            let hold_back = means_another(&incoming, me);
            if hold_back && crowded {
                return incoming.ignore();
            }
            if hold_back {
                time::sleep(HOLD_BACK).await;
            }
            let Ok(Some(connection)) = time::timeout(HANDSHAKE_TIMEOUT, shake_hands(incoming)).await else { return };
            welcome(connection, from.ip(), place, &registry, &accepted);
        });
    }
}

fn means_another(incoming: &Incoming, me: DeviceId) -> bool {
    let offered = incoming.decrypt().and_then(|initial| initial.alpns());
    offered.into_iter().flatten().flatten().any(|offered| addressee::means_another(&offered, me))
}

/// What goes wrong here is the other side's concern, and it has been told.
async fn shake_hands(incoming: Incoming) -> Option<quic::Connection> {
    incoming.accept().ok()?.await.ok()
}

fn welcome(
    connection: quic::Connection,
    from: IpAddr,
    place: HalfOpen,
    registry: &Arc<Registry>,
    accepted: &mpsc::Sender<Arc<dyn Connection>>,
) {
    let refuse = |code: CloseCode, reason: &str| connection.close(VarInt::from_u32(code.0), reason.as_bytes());
    let Some(protocol) = Protocol::ALL.into_iter().find(|protocol| protocol.alpn() == connection.alpn()) else {
        return refuse(CloseCode::VERSION, "unknown protocol");
    };
    let device = DeviceId::from_bytes(*connection.remote_id().as_bytes());
    if !registry.adopt(device, &connection, Some(from)) {
        return refuse(CloseCode::BUSY, "too many connections");
    }
    drop(place);
    if accepted.try_send(Arc::new(IrohConnection::new(connection.clone(), protocol, registry.clone()))).is_err() {
        refuse(CloseCode::BUSY, "too many connections wait");
    }
}
