//! The other end of user-mode Linux's network cable: sockets for what `tutti_image::usernet` decides.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::{fd::OwnedFd, unix::net},
    sync::Arc,
};

use tokio::{
    net::{UdpSocket, UnixDatagram},
    sync::Mutex,
    task::JoinSet,
};
use tutti_image::usernet::{Action, MAX_DATAGRAM, MAX_FRAME, Network};

/// The most ports of the guest's that have a socket here.
const MAX_PORTS: usize = 64;

/// A cable: its end for the guest, and this one.
pub(super) fn pair() -> io::Result<(OwnedFd, UnixDatagram)> {
    let (guest, own) = net::UnixDatagram::pair()?;
    own.set_nonblocking(true)?;
    Ok((guest.into(), UnixDatagram::from_std(own)?))
}

/// Serves the cable until the guest lets go of its end.
pub(super) async fn serve(cable: UnixDatagram) -> io::Result<()> {
    let cable = Arc::new(cable);
    let network = Arc::new(Mutex::new(Network::default()));
    let mut sockets: BTreeMap<u16, Arc<UdpSocket>> = BTreeMap::new();
    let mut readers = JoinSet::new();
    let mut frame = [0; MAX_FRAME];
    loop {
        let length = cable.recv(&mut frame).await?;
        let action = network.lock().await.from_guest(frame.get(..length).unwrap_or_default());
        match action {
            None => {}
            // What the guest does not take is lost, as on any network.
            Some(Action::ToGuest(frame)) => drop(cable.try_send(&frame)),
            Some(Action::ToWorld { port, to, data }) => {
                let socket = match sockets.get(&port) {
                    Some(socket) => Arc::clone(socket),
                    None if sockets.len() >= MAX_PORTS => continue,
                    None => {
                        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?);
                        readers.spawn(back(Arc::clone(&socket), port, Arc::clone(&cable), Arc::clone(&network)));
                        sockets.insert(port, Arc::clone(&socket));
                        socket
                    }
                };
                let _ = socket.try_send_to(&data, to.into());
            }
        }
    }
}

/// Takes what comes for a port of the guest's.
async fn back(socket: Arc<UdpSocket>, port: u16, cable: Arc<UnixDatagram>, network: Arc<Mutex<Network>>) {
    let mut data = [0; MAX_DATAGRAM + 1];
    loop {
        // An error is told of an earlier datagram that nobody took.
        let Ok((length, SocketAddr::V4(from))) = socket.recv_from(&mut data).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let data = data.get(..length).unwrap_or_default();
        if let Some(frame) = network.lock().await.from_world(port, from, data) {
            let _ = cable.send(&frame).await;
        }
    }
}
