//! Why a device does not start: what happened, why, and what to do next.

use std::{error::Error, fmt, io, net::SocketAddr, path::PathBuf};

use tutti_fabric::{StartError, discovery::samehost::SameHostError, identity::IdentityError, transport::iroh};

use crate::{
    api::BindError,
    state::{OpenError, SaveError},
};

/// Why a device did not start, or stopped by itself. `Display` says what happened and why; [`RunError::hint`] says
/// what to do next.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The state folder cannot be used.
    State(OpenError),
    /// There is no key to work with.
    Identity(IdentityError),
    /// The settings cannot be read or written.
    Settings(SaveError),
    /// The folder below which hardware was to be looked for cannot be used.
    Hardware {
        /// The folder.
        root: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The network cannot be used.
    Network(iroh::BindError),
    /// The saved trust group cannot be used.
    Fabric(StartError),
    /// The pool cannot start.
    Pool(tutti_pool::driver::StartError),
    /// The folder of apps cannot be used.
    Apps(io::Error),
    /// The runtime folder cannot be used.
    Runtime(SameHostError),
    /// The control API's door cannot be opened.
    Api(ApiError),
}

/// Why the control API's door cannot be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum ApiError {
    /// Another process answers at the socket.
    SocketInUse(PathBuf),
    /// The path of the socket is too long for the system.
    PathTooLong(PathBuf),
    /// The operating system said no to the socket.
    Socket(PathBuf, io::Error),
    /// The TCP address is not one of this machine's own.
    NotLoopback(SocketAddr),
    /// Another program has the TCP port.
    PortInUse(SocketAddr),
    /// The operating system said no to the TCP address.
    Tcp(SocketAddr, io::Error),
    /// The token cannot be read or written.
    Token(PathBuf, io::Error),
}

impl RunError {
    /// What to do next. Empty where the error itself says it.
    pub fn hint(&self) -> String {
        match self {
            Self::State(error) => error.hint(),
            Self::Identity(IdentityError::Corrupt { .. }) => {
                "restore it; or start with --reset-corrupt, which moves it and the group that it was in aside".into()
            }
            Self::Identity(_) => String::new(),
            Self::Network(iroh::BindError::PortInUse { .. }) => String::new(),
            Self::Network(_) => "check that this user may use the network".into(),
            Self::Fabric(StartError::Store(_)) => "check the disk; nothing was changed, starting again is safe".into(),
            Self::Fabric(_) | Self::Pool(_) => {
                "restore the state folder from a backup; or start with --reset-corrupt, which moves \
                                the database aside and begins anew: the device then has to be paired again"
                    .into()
            }
            Self::Runtime(SameHostError::Io { .. }) => "name another folder in TUTTI_RUNTIME_DIR".into(),
            Self::Runtime(_) => String::new(),
            Self::Apps(_) => "check the folder `apps` in the state folder, and the disk; then start again".into(),
            Self::Settings(_) => "make room, or check the disk; then start again".into(),
            Self::Hardware { .. } => "name a folder that is there with --sysfs, or leave it out".into(),
            Self::Api(error) => error.hint().into(),
        }
    }
}

impl ApiError {
    const fn hint(&self) -> &'static str {
        match self {
            Self::SocketInUse(_) => "stop that process first",
            Self::PathTooLong(_) => "name a folder with a shorter path in TUTTI_RUNTIME_DIR",
            Self::Socket(..) => "check the runtime folder, or name another one in TUTTI_RUNTIME_DIR",
            Self::NotLoopback(_) => "give a loopback address such as 127.0.0.1:7600",
            Self::PortInUse(_) => "stop that program, or choose another port (0 for any free one)",
            Self::Tcp(..) => "choose another address",
            Self::Token(..) => "remove the file; a new token is made at the next start",
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(error) => error.fmt(f),
            Self::Identity(error) => error.fmt(f),
            Self::Settings(error) => error.fmt(f),
            Self::Hardware { root, error } => {
                write!(f, "hardware cannot be looked for below {}: {error}", root.display())
            }
            Self::Network(error) => error.fmt(f),
            Self::Fabric(error) => error.fmt(f),
            Self::Pool(error) => write!(f, "the pool cannot start: {error}"),
            Self::Apps(error) => write!(f, "the folder of apps cannot be used: {error}"),
            Self::Runtime(error) => error.fmt(f),
            Self::Api(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SocketInUse(path) => write!(f, "another process answers at the socket {}", path.display()),
            Self::PathTooLong(path) => {
                write!(f, "the path of the socket, {}, is longer than the system allows", path.display())
            }
            Self::Socket(path, error) => write!(f, "cannot open the socket {}: {error}", path.display()),
            Self::NotLoopback(address) => {
                write!(f, "the control API is for this machine only, and {address} is not a loopback address")
            }
            Self::PortInUse(address) => write!(f, "another program has the TCP address {address}"),
            Self::Tcp(address, error) => write!(f, "cannot open the TCP address {address}: {error}"),
            Self::Token(path, error) => write!(f, "cannot use the token file {}: {error}", path.display()),
        }
    }
}

impl From<ApiError> for RunError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<BindError> for RunError {
    fn from(error: BindError) -> Self {
        Self::Api(match error {
            BindError::InUse(path) => ApiError::SocketInUse(path),
            BindError::TooLong(path) => ApiError::PathTooLong(path),
            BindError::Socket(path, error) => ApiError::Socket(path, error),
            BindError::NotLoopback(address) => ApiError::NotLoopback(address),
            BindError::Tcp(address, error) if error.kind() == io::ErrorKind::AddrInUse => ApiError::PortInUse(address),
            BindError::Tcp(address, error) => ApiError::Tcp(address, error),
        })
    }
}

impl Error for RunError {}
impl Error for ApiError {}
