//! Accepting connections: bounded in number, in time and in size, on a Unix socket and, when asked, on loopback TCP; for
//! the console, when asked, over TLS from other machines.
//!
//! | attack | met by |
//! |---|---|
//! | another user of the machine connects | the socket has mode 0600 from the moment it has its name; TCP wants the token |
//! | a web page makes the browser send requests to loopback TCP | no CORS header is ever sent, the token is not in a cookie |
//! | a web page rebinds its own name to 127.0.0.1 | the `Host` header must be a loopback name |
//! | a page elsewhere drives the console's door | `tutti-console` stands there, and lists the attacks on it |
//! | guessing the token by timing | it is compared in constant time |
//! | connections that say nothing, or half a head | a time-out on heads, and on idling between requests |
//! | very many connections or streams | so many and no more: others wait in the backlog, or get "too many" |
//! | a huge head or body | bounded; what stores files streams, within its quota |

use std::{
    fs,
    future::pending,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tutti_console::tls::MAX_HANDSHAKE;

use crate::stop::Stop;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at a time, over all listeners.
    pub(crate) connections: usize,
    /// For the head of a request to arrive, from the end of the one before.
    pub(crate) head: Duration,
    /// For requests under way when the device stops.
    pub(crate) goodbye: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 64, head: Duration::from_secs(30), goodbye: Duration::from_secs(2) }
    }
}

/// Which way a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// The Unix socket: the file's mode has decided already who may.
    Unix,
    /// Loopback TCP: the token decides.
    Tcp,
    /// The console's door: its own guard has decided already.
    Console,
}

/// The open doors.
pub(crate) struct Listeners {
    unix: Option<(UnixListener, PathBuf)>,
    tcp: Option<Tcp>,
}

struct Tcp {
    listener: TcpListener,
    entrance: Entrance,
    tls: Option<TlsAcceptor>,
}

/// Why a door cannot be opened.
#[derive(Debug)]
pub(crate) enum BindError {
    /// Something answers at the socket.
    InUse(PathBuf),
    /// The path does not fit in a socket address.
    TooLong(PathBuf),
    /// The operating system said no.
    Socket(PathBuf, io::Error),
    /// The TCP address is not a loopback address.
    NotLoopback(SocketAddr),
    /// The operating system said no to the TCP address.
    Tcp(SocketAddr, io::Error),
}

/// Linux: `sun_path` has 108 bytes with the zero at the end (unix(7)).
const MAX_SOCKET_PATH: usize = 107;

impl Listeners {
    /// Opens the socket at `socket`, taking the place of a dead one, and the TCP address if there is one.
    pub(crate) async fn bind(socket: &Path, tcp: Option<SocketAddr>) -> Result<Self, BindError> {
        let failed = |error| BindError::Socket(socket.to_path_buf(), error);
        // It is born under a name two characters longer, gets its mode, and then its name: it is never open to others.
        let temporary = socket.with_extension("new.sock");
        if temporary.as_os_str().len() > MAX_SOCKET_PATH {
            return Err(BindError::TooLong(socket.to_path_buf()));
        }
        if UnixStream::connect(socket).await.is_ok() {
            return Err(BindError::InUse(socket.to_path_buf()));
        }
        match fs::symlink_metadata(socket) {
            Ok(found) if !std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()) => {
                return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket")));
            }
            _ => {}
        }
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let unix = UnixListener::bind(&temporary).map_err(failed)?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600))
            .and_then(|()| fs::rename(&temporary, socket))
            .map_err(failed)?;
        let tcp = match tcp {
            None => None,
            Some(address) => Some(Tcp { listener: loopback(address).await?, entrance: Entrance::Tcp, tls: None }),
        };
        Ok(Self { unix: Some((unix, socket.to_path_buf())), tcp })
    }

    /// Opens the console's door at this address.
    pub(crate) async fn console(address: SocketAddr) -> Result<Self, BindError> {
        let listener = loopback(address).await?;
        Ok(Self { unix: None, tcp: Some(Tcp { listener, entrance: Entrance::Console, tls: None }) })
    }

    /// Opens the console's door for other machines: at every address, over TLS.
    pub(crate) async fn console_on_network(port: u16, tls: TlsAcceptor) -> Result<Self, BindError> {
        let listener = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Ok(both) => both,
            // Without IPv6.
            Err(_) => {
                let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
                TcpListener::bind(address).await.map_err(|error| BindError::Tcp(address, error))?
            }
        };
        Ok(Self { unix: None, tcp: Some(Tcp { listener, entrance: Entrance::Console, tls: Some(tls) }) })
    }

    /// The TCP address, with the port that was chosen.
    pub(crate) fn tcp(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|tcp| tcp.listener.local_addr().ok())
    }

    /// Serves until `stop`, then ends in good order: what is under way gets `limits.goodbye`.
    pub(crate) async fn serve(self, router: Router, limits: Limits, mut stop: Stop) {
        let slots = Arc::new(Semaphore::new(limits.connections));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                biased;
                () = stop.requested() => break,
                accepted = self.accept(&slots) => accepted,
            };
            let (router, stop) = (router.clone(), stop.clone());
            match accepted {
                Ok((Accepted::Unix(stream), slot)) => {
                    connections.spawn(serve_one(stream, Entrance::Unix, router, limits, stop, slot));
                }
                Ok((Accepted::Tcp(stream, entrance, None), slot)) => {
                    connections.spawn(serve_one(stream, entrance, router, limits, stop, slot));
                }
                Ok((Accepted::Tcp(stream, entrance, Some(tls)), slot)) => {
                    connections.spawn(async move {
                        match tokio::time::timeout(MAX_HANDSHAKE, tls.accept(stream)).await {
                            Ok(Ok(stream)) => serve_one(stream, entrance, router, limits, stop, slot).await,
                            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                            Err(_) => tracing::debug!("a TLS handshake took too long"),
                        }
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: what is open may close meanwhile.
                    tracing::warn!(%error, "a connection to the control API could not be accepted");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
        drop(self);
        let all_done = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(limits.goodbye, all_done).await.is_err() {
            tracing::debug!("connections to the control API were cut off");
        }
    }

    async fn accept(&self, slots: &Arc<Semaphore>) -> io::Result<(Accepted, OwnedSemaphorePermit)> {
        let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
        let unix = async {
            match &self.unix {
                Some((unix, _)) => Ok(Accepted::Unix(unix.accept().await?.0)),
                None => pending().await,
            }
        };
        let tcp = async {
            match &self.tcp {
                Some(tcp) => Ok(Accepted::Tcp(tcp.listener.accept().await?.0, tcp.entrance, tcp.tls.clone())),
                None => pending().await,
            }
        };
        let accepted: io::Result<Accepted> = tokio::select! {
            accepted = unix => accepted,
            accepted = tcp => accepted,
        };
        Ok((accepted?, slot))
    }
}

impl Drop for Listeners {
    /// The socket's file goes with it, so that nobody knocks at a dead door.
    fn drop(&mut self) {
        if let Some((_, socket)) = &self.unix {
            let _ = fs::remove_file(socket);
        }
    }
}

enum Accepted {
    Unix(UnixStream),
    Tcp(tokio::net::TcpStream, Entrance, Option<TlsAcceptor>),
}

async fn loopback(address: SocketAddr) -> Result<TcpListener, BindError> {
    if !address.ip().is_loopback() {
        return Err(BindError::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|error| BindError::Tcp(address, error))
}

async fn serve_one(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    entrance: Entrance,
    router: Router,
    limits: Limits,
    mut stop: Stop,
    _slot: OwnedSemaphorePermit,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(entrance);
        router.call(request)
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_headers(64).max_buf_size(32 * 1024);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        result = &mut connection => result,
        () = stop.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the control API ended early");
    }
}

#[cfg(test)]
mod tests;
