//! The firmware of the demo's coprocessor: a program that is a remote core, with a sensor, a lamp, and a switch that
//! crashes it.
//!
//! Everything about it is what a real one has: shared memory, RPMsg, a trace, a heartbeat, the satellite protocol, and an
//! endpoint at which it is asked to stop. Only its values are made up, and marked so. It outlives its host, waits for the next one, and ends when none comes.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use clap::Args;
use tutti_amp_host::process::{RemotePort, Work};
use tutti_metal::Doorbell;
use tutti_model::{BootTime, Name, ResourceKind, Text, Unit};
use tutti_rpmsg::Address;
use tutti_satellite::{About, Denied, Input, Level, MAX_FRAME, Measure, Resource, Satellite};

use crate::failure::{Exit, Failure};

/// The RPMsg endpoint of a satellite, as the device looks for it.
const SATELLITE: &str = "tutti-satellite";
/// The RPMsg endpoint that gives back what it is sent.
const PING: &str = "tutti-ping";
/// The address of the RPMsg endpoint at which any message asks it to stop.
pub(crate) const STOP_ENDPOINT: u32 = 100;
/// How long it goes on without a host.
const ALONE: Duration = Duration::from_secs(30);
/// The longest sleep.
const NAP: Duration = Duration::from_millis(100);

/// Is the coprocessor of the demo; started by a device and by nobody else
#[derive(Debug, Args)]
pub(crate) struct DemoCoreArgs {
    /// What it calls itself
    #[arg(default_value = "coprocessor")]
    name: String,
}

/// Runs until it is stopped, or no host has come for a while.
pub(crate) fn run(args: &DemoCoreArgs) -> Result<Exit, Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::new("the coprocessor cannot run").why(why);
    let name = Name::new(&args.name).map_err(|error| failed(&error))?;
    live(name).map(|()| Exit::Done).map_err(|why| failed(&why))
}

fn live(name: Name) -> Result<(), String> {
    fn said(error: impl std::fmt::Display) -> String {
        error.to_string()
    }
    let mut port = RemotePort::join().map_err(said)?;
    let link = port.link(4).map_err(said)?;
    let open = |name| link.endpoint(tutti_rpmsg::Name::new(name).ok(), Address::ANY).map_err(said);
    let (satellites, pings) = (open(SATELLITE)?, open(PING)?);
    let stop = link.endpoint(None, Address(STOP_ENDPOINT)).map_err(said)?;
    let resources = resources();
    let about = About {
        name,
        architecture: Text::lossy(std::env::consts::ARCH),
        os: Text::lossy("a process of this machine"),
        firmware: Text::lossy(env!("CARGO_PKG_VERSION")),
    };
    // Another number at each start.
    let session = port.generation().0.wrapping_mul(0x9e37_79b9) ^ std::process::id();
    let mut board = Board { satellite: Satellite::new(about, &resources, session), lamp: false, born: Instant::now() };
    let mut trace = port.trace("log");
    let mut say = |line: &str| {
        if let Some(trace) = &mut trace {
            // A trace keeps the newest that fits.
            let _ = writeln!(trace, "{line}");
        }
    };
    say(&format!("{name}: life {} begins", port.generation().0));
    let mut bytes = [0; MAX_FRAME];
    let mut joined = Instant::now();
    while joined.elapsed() < ALONE {
        port.heartbeat();
        while let Some(message) = satellites.try_receive().map_err(said)? {
            let frame = bytes.get_mut(..message.len()).unwrap_or_default();
            if message.read(0, frame).is_ok() && board.take(frame) {
                say("told to crash");
                std::process::abort();
            }
        }
        while let Some(message) = pings.try_receive().map_err(said)? {
            let back = bytes.get_mut(..message.len()).unwrap_or_default();
            let source = message.source();
            if message.read(0, back).is_ok() {
                // Without room for it the ping is lost, as on any link.
                let _ = pings.try_send(source, back);
            }
        }
        if stop.try_receive().map_err(said)?.is_some() {
            say("asked to stop");
            port.end();
            return Ok(());
        }
        if port.work() == Work::Relink {
            say("a new host is there");
            if port.relink(&link).is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
            continue;
        }
        board.measure();
        while let Ok(peer) = satellites.peer()
            && let Some(len) = board.satellite.poll_transmit(board.now(), &mut bytes)
        {
            let _ = satellites.try_send(peer, bytes.get(..len).unwrap_or_default());
        }
        if board.satellite.is_joined() {
            joined = Instant::now();
        }
        let pause = board.satellite.poll_timeout(board.now()).since(board.now()).min(NAP);
        if !link.listen().map_err(said)? {
            port.sleep(pause.max(Duration::from_millis(1)));
        }
    }
    say("no host has come");
    port.bell().ring(0);
    port.end();
    Ok(())
}

struct Board<'r> {
    satellite: Satellite<'r, 3>,
    lamp: bool,
    born: Instant,
}

impl Board<'_> {
    fn now(&self) -> BootTime {
        BootTime::from_nanos(u64::try_from(self.born.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Takes a frame. Whether it said to crash.
    fn take(&mut self, frame: &[u8]) -> bool {
        let now = self.now();
        match self.satellite.handle(now, frame) {
            Some(Input::Read { request, resource }) => {
                let measure = self.value(resource);
                self.satellite.answer(request, Ok(Some(measure)));
            }
            Some(Input::Set { resource: 2, measure: Measure::Bool(true), .. }) => return true,
            Some(Input::Set { request, resource: 1, measure: Measure::Bool(on) }) => {
                self.lamp = on;
                self.satellite.log(Level::Info, if on { "the lamp is on" } else { "the lamp is off" });
                self.satellite.answer(request, Ok(None));
            }
            Some(Input::Set { request, .. }) => self.satellite.answer(request, Err(Denied::BadValue)),
            // There is nobody behind it.
            Some(Input::Relayed { .. }) | None => {}
        }
        false
    }

    fn measure(&mut self) {
        let now = self.now();
        while let Some(resource) = self.satellite.due(now) {
            let measure = self.value(resource);
            self.satellite.reading(now, resource, measure);
        }
    }

    fn value(&self, resource: usize) -> Measure {
        match resource {
            // Made up: a slow wave around 36 degrees, in tenths.
            0 => Measure::Float((360.0 + 20.0 * (self.born.elapsed().as_secs_f64() / 5.0).sin()).round() / 10.0),
            1 => Measure::Bool(self.lamp),
            _ => Measure::Bool(false),
        }
    }
}

fn resources() -> Vec<Resource> {
    let resource = |name: &str, kind, unit: &str, readable, writable| {
        let (name, unit) = (Name::new(name).ok()?, Unit::new(unit).ok()?);
        Some(Resource { name, kind, unit, readable, writable, simulated: true })
    };
    let all = [
        resource("die-temperature", ResourceKind::Sensor, "°C", true, false),
        resource("lamp", ResourceKind::Actuator, "", true, true),
        resource("fault", ResourceKind::Actuator, "", false, true),
    ];
    all.into_iter().flatten().collect()
}
