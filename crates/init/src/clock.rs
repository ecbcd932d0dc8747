//! The clock: told what it is, and set by a server if the settings name one.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::{AsFd, BorrowedFd},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use rustix::time::{ClockId, Timespec, clock_settime};

use crate::{
    log::Log,
    net::sntp::{self, Client},
};

/// The clock, and whom to ask.
pub(crate) struct Clock {
    asking: Option<Asking>,
}

struct Asking {
    client: Client,
    server: IpAddr,
    /// A new one for each question: it takes a way to the server, and another port is harder to guess.
    socket: Option<UdpSocket>,
}

impl Clock {
    pub(crate) fn new(server: Option<IpAddr>, log: &mut Log) -> Self {
        if !sntp::is_set(SystemTime::now()) {
            let then = if server.is_some() { "until the time server answers" } else { "until somebody sets it" };
            log.say(format_args!("this machine's clock was never set; the times that are shown are wrong {then}"));
        }
        let asking = server.map(|server| Asking { client: Client::new(Instant::now()), server, socket: None });
        Self { asking }
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.asking.as_ref()?.socket.as_ref().map(AsFd::as_fd)
    }

    /// Asks, and sets the clock by the answer.
    pub(crate) fn tick(&mut self, now: Instant, log: &mut Log) {
        let Some(Asking { client, server, socket }) = &mut self.asking else { return };
        let mut buffer = [0; 128];
        // Whoever else sends here is skipped, a few at a time.
        for _ in 0..8 {
            let Some(Ok(len)) = socket.as_ref().map(|socket| socket.recv(&mut buffer)) else { break };
            if let Some(since) = client.handle(now, buffer.get(..len).unwrap_or_default()) {
                let had = SystemTime::now();
                let right = UNIX_EPOCH + since;
                let wrong = right.duration_since(had).unwrap_or_else(|early| early.duration());
                if wrong > sntp::WRONG {
                    let time = Timespec { tv_sec: since.as_secs().cast_signed(), tv_nsec: since.subsec_nanos().into() };
                    match clock_settime(ClockId::Realtime, time) {
                        Ok(()) => {
                            log.say(format_args!("the clock was set; it was wrong by {:.1} s", wrong.as_secs_f64()))
                        }
                        Err(error) => log.say(format_args!("the clock cannot be set: {error}")),
                    }
                }
            }
        }
        if let Some(question) = client.poll(now, RandomState::new().build_hasher().finish()) {
            // Without a network there is no socket; then it is asked again.
            *socket = self::socket(*server).ok().filter(|socket| socket.send(&question).is_ok());
        }
    }
}

fn socket(server: IpAddr) -> io::Result<UdpSocket> {
    let own = match server {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((own, 0))?;
    socket.set_nonblocking(true)?;
    // Only what comes from there is heard then.
    socket.connect(SocketAddr::new(server, sntp::PORT))?;
    Ok(socket)
}
