//! This core as a satellite, over the second serial line; core 1 is behind it.

use core::cell::RefCell;

use an521::say;
use an521::uart::LINE;
use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::channel::Channel;
use embassy_time::{Duration, Instant, Timer};
use tutti_model::{BootTime, Name, ResourceKind, Text, Unit};
use tutti_satellite::serial::{Decoder, encode, line_len};
use tutti_satellite::{About, Denied, Input, MAX_FRAME, Measure, Resource, Satellite};

use crate::chip::Chip;

/// What core 1 is called here.
const CORE1: u8 = 1;
/// What an RPMsg message holds.
const FRAME: usize = 496;

/// A frame on its way to core 1.
pub(crate) struct Frame {
    bytes: [u8; FRAME],
    len: usize,
}

impl Frame {
    fn new(from: &[u8]) -> Option<Self> {
        let mut bytes = [0; FRAME];
        bytes.get_mut(..from.len())?.copy_from_slice(from);
        Some(Self { bytes, len: from.len() })
    }
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// The link with the host of this satellite.
pub(crate) struct Uplink<'r> {
    satellite: RefCell<Satellite<'r, 2>>,
    /// What is to go to core 1. When it is full frames are lost; the host sends them again.
    pub(crate) for_core1: Channel<NoopRawMutex, Frame, 2>,
}

/// What core 0 has.
pub(crate) fn resources() -> Option<[Resource; 2]> {
    let sensor = |name, unit| {
        Some(Resource {
            name: Name::new(name).ok()?,
            kind: ResourceKind::Sensor,
            unit,
            readable: true,
            writable: false,
            simulated: false,
        })
    };
    Some([sensor("uptime", Unit::new("s").ok()?)?, sensor("core1-starts", Text::EMPTY)?])
}

fn now() -> BootTime {
    BootTime::from_nanos(Instant::now().as_micros() * 1000)
}

impl<'r> Uplink<'r> {
    /// A satellite of this name.
    pub(crate) fn new(name: Name, resources: &'r [Resource]) -> Self {
        let about = About {
            name,
            architecture: Text::lossy("thumbv8m.main"),
            os: Text::lossy("embassy"),
            firmware: Text::lossy(env!("CARGO_PKG_VERSION")),
        };
        // The board has no random numbers, and no memory that outlives it, so a board that was reset begins with the number of its last
        // life. A host that still knows it acknowledges the hello and does not welcome it; after 2.5 s the next number is tried.
        let satellite = Satellite::new(about, resources, 0x521);
        Self { satellite: RefCell::new(satellite), for_core1: Channel::new() }
    }

    /// Sends a frame of core 1's satellite on.
    pub(crate) fn relay(&self, frame: &[u8]) {
        let mut wrapped = [0; MAX_FRAME];
        let len = self.satellite.borrow_mut().relay(CORE1, frame, &mut wrapped);
        if let Some(frame) = len.and_then(|len| wrapped.get(..len)) {
            send(frame);
        }
    }

    /// Speaks with the host, if there is one.
    pub(crate) async fn run(&self, chip: &Chip) {
        let mut decoder = Decoder::default();
        let mut joined = false;
        loop {
            let due = self.turn(chip);
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
                    self.take(chip, frame);
                }
            }
        }
    }

    /// Measures what is due and sends what is to be sent; when to come again.
    fn turn(&self, chip: &Chip) -> Instant {
        let mut satellite = self.satellite.borrow_mut();
        while let Some(resource) = satellite.due(now()) {
            if let Ok(measure) = read(chip, resource) {
                satellite.reading(now(), resource, measure);
            }
        }
        let mut frame = [0; MAX_FRAME];
        while let Some(len) = satellite.poll_transmit(now(), &mut frame) {
            send(frame.get(..len).unwrap_or(&[]));
        }
        Instant::from_micros(satellite.poll_timeout(now()).as_nanos() / 1000)
    }

    fn take(&self, chip: &Chip, frame: &[u8]) {
        let mut satellite = self.satellite.borrow_mut();
        match satellite.handle(now(), frame) {
            Some(Input::Read { request, resource }) => satellite.answer(request, read(chip, resource).map(Some)),
            Some(Input::Set { request, .. }) => satellite.answer(request, Err(Denied::NoSuchResource)),
            Some(Input::Relayed { child: CORE1, frame }) => {
                if let Some(frame) = Frame::new(frame) {
                    let _ = self.for_core1.try_send(frame);
                }
            }
            Some(Input::Relayed { .. }) | None => {}
        }
    }
}

fn read(chip: &Chip, resource: usize) -> Result<Measure, Denied> {
    match resource {
        0 => Ok(Measure::Int(Instant::now().as_secs() as i64)),
        1 => Ok(Measure::Int(i64::from(chip.generation().0))),
        _ => Err(Denied::NoSuchResource),
    }
}

fn send(frame: &[u8]) {
    let mut line = [0; line_len(MAX_FRAME)];
    if let Some(bytes) = encode(frame, &mut line).and_then(|len| line.get(..len)) {
        // A line that is stuck loses the frame, as a line may.
        LINE.write(bytes);
    }
}
