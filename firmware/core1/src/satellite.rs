//! This core as a satellite: behind core 0, over RPMsg, a frame a message.

use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Instant, Timer};
use mps2::hardware::LEDS;
use parts::{Lamp, Part, Thermometer};
use tutti_model::{BootTime, Name, Text};
use tutti_rpmsg::Address;
use tutti_satellite::{About, Denied, Input, Satellite};

use crate::{Failed, Port, SATELLITE};

/// What a message holds.
const FRAME: usize = 496;

fn now() -> BootTime {
    BootTime::from_nanos(Instant::now().as_micros() * 1000)
}

/// The satellite as long as the link lasts.
pub(crate) async fn run(link: &Port, generation: u32) -> Result<(), Failed> {
    let about = About {
        name: Name::new("an521-core1").map_err(|_| Failed::Built)?,
        architecture: Text::lossy(mps2::ARCHITECTURE),
        os: Text::lossy("embassy"),
        firmware: Text::lossy(env!("CARGO_PKG_VERSION")),
    };
    let parts: [&dyn Part; 2] = [&Thermometer, &Lamp(LEDS)];
    let part = |resource: usize| parts.get(resource).copied().ok_or(Denied::NoSuchResource);
    let resources = parts::resources(&parts).ok_or(Failed::Built)?;
    // A session is another one at each start of this core, and for each link.
    let session = generation.wrapping_mul(0x1_0001).wrapping_add(Instant::now().as_millis() as u32);
    let mut satellite = Satellite::<2>::new(about, &resources, session);
    let end = link.endpoint(Some(SATELLITE), Address::ANY).map_err(|_| Failed::Built)?;
    let mut frame = [0; FRAME];
    loop {
        let time = now();
        while let Some(resource) = satellite.due(time) {
            if let Ok(measure) = part(resource).and_then(|part| part.read()) {
                satellite.reading(time, resource, measure);
            }
        }
        while let Some(len) = satellite.poll_transmit(now(), &mut frame) {
            if let Ok(to) = end.peer() {
                end.send(to, frame.get(..len).unwrap_or(&[])).await?;
            }
        }
        let due = Instant::from_micros(satellite.poll_timeout(now()).as_nanos() / 1000);
        let due = due.max(Instant::now() + Duration::from_millis(1));
        let Either::First(received) = select(end.receive(), Timer::at(due)).await else { continue };
        let received = received?;
        let Some(room) = frame.get_mut(..received.len()) else { continue };
        if received.read(0, room).is_err() {
            continue;
        }
        drop(received);
        match satellite.handle(now(), room) {
            Some(Input::Read { request, resource }) => {
                satellite.answer(request, part(resource).and_then(|part| part.read()).map(Some));
            }
            Some(Input::Set { request, resource, measure }) => {
                satellite.answer(request, part(resource).and_then(|part| part.set(measure)).map(|()| None));
            }
            // Nobody is behind this core.
            Some(Input::Relayed { .. }) | None => {}
        }
    }
}
