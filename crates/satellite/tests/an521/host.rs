//! The host of the board's satellites, over the socket of its serial line.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use tutti_model::{BootTime, WallTime};
use tutti_satellite::serial::{Decoder, encode, line_len};
use tutti_satellite::{Event, MAX_FRAME, SatelliteHost};

/// What core 0 calls the satellite behind it.
const CORE1: u8 = 1;

pub(crate) struct Host {
    host: SatelliteHost,
    socket: UnixStream,
    decoder: Decoder,
    start: Instant,
}

impl Host {
    pub(crate) fn connect(path: &Path) -> Self {
        let socket = UnixStream::connect(path).expect("the emulator listens");
        socket.set_read_timeout(Some(Duration::from_millis(10))).expect("a time-out");
        socket.set_write_timeout(Some(Duration::from_secs(5))).expect("a time-out");
        Self { host: SatelliteHost::new(), socket, decoder: Decoder::default(), start: Instant::now() }
    }

    pub(crate) fn now(&self) -> BootTime {
        BootTime::from_nanos(self.start.elapsed().as_nanos() as u64)
    }

    /// Core 0.
    pub(crate) fn satellite(&mut self) -> &mut SatelliteHost {
        &mut self.host
    }

    /// Core 1.
    pub(crate) fn core1(&mut self) -> &mut SatelliteHost {
        self.host.behind(CORE1).expect("core 1 is behind core 0")
    }

    /// Runs until `wanted` takes an event of core 0.
    pub(crate) fn wait<T>(&mut self, within: Duration, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        let until = Instant::now() + within;
        loop {
            self.turn();
            while let Some(event) = self.host.poll_event() {
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
            assert!(Instant::now() < until, "it did not happen within {within:?}");
        }
    }

    /// The same with what happens to core 1.
    pub(crate) fn wait_behind<T>(&mut self, within: Duration, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        self.wait(within, |event| match event {
            Event::Behind(CORE1, event) => wanted(*event),
            _ => None,
        })
    }

    /// Sends what is to be sent, and takes what has arrived.
    fn turn(&mut self) {
        let wall = WallTime::from_unix_millis(1_800_000_000_000);
        while let Some(frame) = self.host.poll_transmit(self.now(), wall) {
            let mut line = [0; line_len(MAX_FRAME)];
            let len = encode(&frame, &mut line).expect("it fits");
            self.socket.write_all(&line[..len]).expect("the emulator takes it");
        }
        let mut bytes = [0; 512];
        let len = match self.socket.read(&mut bytes) {
            Ok(0) => panic!("the emulator has closed the line"),
            Ok(len) => len,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
            Err(error) => panic!("{error}"),
        };
        let now = self.now();
        for byte in &bytes[..len] {
            if let Some(frame) = self.decoder.push(*byte) {
                self.host.handle(now, frame);
            }
        }
    }
}
