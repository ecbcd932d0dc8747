//! This board as a satellite, over the second serial line; whoever is behind it is reached through it.

use core::cell::RefCell;

use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Instant, Timer};
use mps2::say;
use mps2::uart::LINE;
use parts::Part;
use tutti_model::{BootTime, Name, Text};
use tutti_satellite::serial::{Decoder, encode, line_len};
use tutti_satellite::{About, Denied, Input, MAX_FRAME, Resource, Satellite};

/// Who is behind this satellite.
pub(crate) trait Behind {
    /// Takes a frame for one of them.
    fn take(&self, child: u8, frame: &[u8]);
}

/// Nobody.
#[cfg(not(feature = "second-core"))]
impl Behind for () {
    fn take(&self, _: u8, _: &[u8]) {}
}

/// The link with the host of this satellite, which has `N` parts.
pub(crate) struct Uplink<const N: usize, B> {
    satellite: RefCell<Satellite<'static, N>>,
    parts: [&'static dyn Part; N],
    pub(crate) behind: B,
}

fn now() -> BootTime {
    BootTime::from_nanos(Instant::now().as_micros() * 1000)
}

impl<const N: usize, B: Behind> Uplink<N, B> {
    /// A satellite of this name with these parts, of which `resources` tells.
    pub(crate) fn new(name: Name, parts: [&'static dyn Part; N], resources: &'static [Resource; N], behind: B) -> Self {
        let about = About {
            name,
            architecture: Text::lossy(mps2::ARCHITECTURE),
            os: Text::lossy("embassy"),
            firmware: Text::lossy(env!("CARGO_PKG_VERSION")),
        };
        // The board has no random numbers, and no memory that outlives it, so a board that was reset begins with the number of its last
        // life. A host that still knows it acknowledges the hello and does not welcome it; after 2.5 s the next number is tried.
        let satellite = Satellite::new(about, resources, 0x521);
        Self { satellite: RefCell::new(satellite), parts, behind }
    }

    /// Sends a frame of a satellite behind this one on.
    #[cfg(feature = "second-core")]
    pub(crate) fn relay(&self, child: u8, frame: &[u8]) {
        let mut wrapped = [0; MAX_FRAME];
        let len = self.satellite.borrow_mut().relay(child, frame, &mut wrapped);
        if let Some(frame) = len.and_then(|len| wrapped.get(..len)) {
            send(frame);
        }
    }

    /// Speaks with the host, if there is one.
    pub(crate) async fn run(&self) {
        let mut decoder = Decoder::default();
        let mut joined = false;
        loop {
            let due = self.turn();
            let is_joined = self.satellite.borrow().is_joined();
            if is_joined != joined {
                joined = is_joined;
                say!("satellite: {}", if joined { "joined" } else { "alone" });
            }
            let mut bytes = [0; 64];
            let due = due.max(Instant::now() + Duration::from_millis(1));
            let Either::First(len) = select(LINE.read(&mut bytes), Timer::at(due)).await else { continue };
            for byte in bytes.get(..len).unwrap_or(&[]) {
                if let Some(frame) = decoder.push(*byte) {
                    self.take(frame);
                }
            }
        }
    }

    /// Measures what is due and sends what is to be sent; when to come again.
    fn turn(&self) -> Instant {
        let mut satellite = self.satellite.borrow_mut();
        while let Some(resource) = satellite.due(now()) {
            if let Ok(measure) = self.part(resource).and_then(|part| part.read()) {
                satellite.reading(now(), resource, measure);
            }
        }
        let mut frame = [0; MAX_FRAME];
        while let Some(len) = satellite.poll_transmit(now(), &mut frame) {
            send(frame.get(..len).unwrap_or(&[]));
        }
        Instant::from_micros(satellite.poll_timeout(now()).as_nanos() / 1000)
    }

    fn part(&self, resource: usize) -> Result<&'static dyn Part, Denied> {
        self.parts.get(resource).copied().ok_or(Denied::NoSuchResource)
    }

    fn take(&self, frame: &[u8]) {
        let mut satellite = self.satellite.borrow_mut();
        match satellite.handle(now(), frame) {
            Some(Input::Read { request, resource }) => {
                satellite.answer(request, self.part(resource).and_then(|part| part.read()).map(Some));
            }
            Some(Input::Set { request, resource, measure }) => {
                satellite.answer(request, self.part(resource).and_then(|part| part.set(measure)).map(|()| None));
            }
            Some(Input::Relayed { child, frame }) => self.behind.take(child, frame),
            None => {}
        }
    }
}

fn send(frame: &[u8]) {
    let mut line = [0; line_len(MAX_FRAME)];
    if let Some(bytes) = encode(frame, &mut line).and_then(|len| line.get(..len)) {
        // A line that is stuck loses the frame, as a line may.
        LINE.write(bytes);
    }
}
