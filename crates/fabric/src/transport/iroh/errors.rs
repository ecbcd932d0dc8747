//! iroh's errors in the words of the transport.

use ::iroh::endpoint::{
    self as quic, ConnectWithOptsError, ConnectingError, ConnectionError, ReadError, TransportErrorCode, VarInt,
    WriteError,
};

use crate::transport::{CloseCode, Closed, ConnectError};
use std::io;

/// The most characters of another side's reason that are kept.
const MAX_REASON: usize = 200;

/// TLS alerts (RFC 8446, section 6) as iroh's peers send them, in QUIC's numbers (RFC 9001, section 4.8).
mod alert {
    /// `unknown_ca`: what iroh's verifier says of a certificate with another key than was dialled.
    pub(super) const UNKNOWN_CA: u8 = 48;
    /// `no_application_protocol`.
    pub(super) const NO_PROTOCOL: u8 = 120;
}

/// What the other side said, made safe to show: its text is foreign.
fn reason(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).take(MAX_REASON).collect()
}

pub(super) fn closed(error: ConnectionError) -> Closed {
    match error {
        ConnectionError::LocallyClosed => Closed::Locally,
        ConnectionError::TimedOut => Closed::TimedOut,
        ConnectionError::ApplicationClosed(close) => {
            Closed::ByPeer(close_code(close.error_code), reason(&close.reason))
        }
        ConnectionError::Reset => Closed::Network("the other side does not know the connection any more".into()),
        other => Closed::Network(reason(other.to_string().as_bytes())),
    }
}

fn close_code(code: VarInt) -> CloseCode {
    CloseCode(u32::try_from(code.into_inner()).unwrap_or(u32::MAX))
}

pub(super) fn connecting(error: ConnectingError) -> ConnectError {
    match error {
        ConnectingError::ConnectionError { source, .. } => connect(source),
        ConnectingError::LocallyRejected { .. } => ConnectError::Network("this device changed its mind".into()),
        other => ConnectError::Network(reason(other.to_string().as_bytes())),
    }
}

pub(super) fn dialling(error: ConnectWithOptsError) -> ConnectError {
    match error {
        ConnectWithOptsError::EndpointClosed { .. } => ConnectError::Closed,
        ConnectWithOptsError::NoAddress { .. } => ConnectError::NoAddress,
        ConnectWithOptsError::SelfConnect { .. } => ConnectError::Network("that is this device itself".into()),
        other => ConnectError::Network(reason(other.to_string().as_bytes())),
    }
}

fn connect(error: ConnectionError) -> ConnectError {
    match error {
        // Found out here: the certificate is not that of the key that was dialled.
        ConnectionError::TransportError(fault) if fault.code == TransportErrorCode::crypto(alert::UNKNOWN_CA) => {
            ConnectError::WrongKey
        }
        ConnectionError::TimedOut => ConnectError::TimedOut,
        ConnectionError::LocallyClosed => ConnectError::Closed,
        ConnectionError::ApplicationClosed(close) => ConnectError::Refused(reason(&close.reason)),
        ConnectionError::ConnectionClosed(close) => ConnectError::Refused(refusal(&close)),
        other => ConnectError::Network(reason(other.to_string().as_bytes())),
    }
}

fn refusal(close: &quic::ConnectionClose) -> String {
    if close.error_code == TransportErrorCode::CONNECTION_REFUSED {
        "it has too many connections".into()
    } else if close.error_code == TransportErrorCode::crypto(alert::NO_PROTOCOL) {
        "it does not speak this protocol".into()
    } else {
        reason(close.to_string().as_bytes())
    }
}

pub(super) fn write(error: WriteError) -> io::Error {
    match error {
        WriteError::ConnectionLost(lost) => closed(lost).into(),
        WriteError::Stopped(_) => {
            io::Error::new(io::ErrorKind::BrokenPipe, "the other side does not want the rest of the stream")
        }
        other => io::Error::new(io::ErrorKind::NotConnected, other),
    }
}

pub(super) fn read(error: ReadError) -> io::Error {
    match error {
        ReadError::ConnectionLost(lost) => closed(lost).into(),
        ReadError::Reset(_) => io::Error::new(io::ErrorKind::ConnectionReset, "the other side broke off the stream"),
        other => io::Error::new(io::ErrorKind::NotConnected, other),
    }
}
