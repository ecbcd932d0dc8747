//! The console, by proxy calls: greets, and answers each line that is typed.

use core::fmt::Write as _;

use embassy_time::{Duration, Timer, with_timeout};
use tutti_proxy::{Frame, HEADER, call};
use tutti_rpmsg::{Address, Endpoint, Name, Remote};

use crate::{CONSOLE, Chip, Failed, Port, name};

/// The longest frame of ours.
const FRAME: usize = 128;
/// How long the host has for an answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How often it is asked whether something was typed.
const ASK: Duration = Duration::from_millis(250);

/// A service of the host's, which this core finds by its name.
const CLOCK: Name = name("tutti-clock");

/// A line of text of fixed size; what does not fit is left out.
struct Line {
    bytes: [u8; FRAME - HEADER - 1],
    len: usize,
}

impl core::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl Line {
    const fn new() -> Self {
        Self { bytes: [0; FRAME - HEADER - 1], len: 0 }
    }
    fn push(&mut self, bytes: &[u8]) {
        for (room, byte) in self.bytes.iter_mut().skip(self.len).zip(bytes) {
            *room = *byte;
            self.len += 1;
        }
    }
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

/// The console as long as the link lasts.
pub(crate) async fn run(link: &Port, generation: u32) -> Result<(), Failed> {
    let end = link.endpoint(Some(CONSOLE), Address::ANY).map_err(|_| Failed::Built)?;
    // The host opens an endpoint of the same name, and announces it.
    while end.peer().is_err() {
        Timer::after_millis(5).await;
    }
    let mut line = Line::new();
    let _ = write!(line, "generation {generation} greets");
    print(&end, line.bytes()).await?;
    if let Some(time) = clock(link).await? {
        let mut line = Line::new();
        let _ = write!(line, "found {}, where it is {time} us", CLOCK.as_str().unwrap_or_default());
        print(&end, line.bytes()).await?;
    }
    loop {
        Timer::after(ASK).await;
        let mut typed = [0; 64];
        let len = read(&end, &mut typed).await?;
        if let Some(text) = typed.get(..len).filter(|text| !text.is_empty()) {
            let mut line = Line::new();
            line.push(b"heard: ");
            line.push(text);
            print(&end, line.bytes()).await?;
        }
    }
}

/// What time it is on the host, if it has a clock.
async fn clock(link: &Port) -> Result<Option<u64>, Failed> {
    for _ in 0..100 {
        let found = (0..).map_while(|index| link.service(index)).find(|service| service.name == CLOCK);
        let Some(service) = found else {
            Timer::after_millis(10).await;
            continue;
        };
        let end = link.endpoint(None, Address::ANY).map_err(|_| Failed::Built)?;
        end.send(service.address, b"time").await?;
        let Ok(answer) = with_timeout(ANSWER, end.receive()).await else { return Ok(None) };
        return Ok(answer?.bytes().get::<u64>(0).ok());
    }
    Ok(None)
}

async fn print(end: &Endpoint<'_, Chip, Remote>, text: &[u8]) -> Result<(), Failed> {
    let mut frame = [0; FRAME];
    let len = call::write(1, text, &mut frame).ok_or(Failed::Built)?;
    ask(end, &mut frame, len).await?;
    Ok(())
}

/// Reads what was typed; how many bytes.
async fn read(end: &Endpoint<'_, Chip, Remote>, to: &mut [u8]) -> Result<usize, Failed> {
    let mut frame = [0; FRAME];
    let len = call::read(0, to.len() as i32, &mut frame).ok_or(Failed::Built)?;
    let len = ask(end, &mut frame, len).await?;
    let answer = frame.get(..len).and_then(|frame| Frame::new_checked(frame).ok());
    let Some(answer) = answer else { return Ok(0) };
    let (Some(to), data) = (to.get_mut(..answer.data().len()), answer.data()) else { return Ok(0) };
    to.copy_from_slice(data);
    Ok(data.len())
}

/// Makes a call and takes its answer, which stands in `frame` then; 0 if there was none in time.
async fn ask(end: &Endpoint<'_, Chip, Remote>, frame: &mut [u8; FRAME], len: usize) -> Result<usize, Failed> {
    let Ok(to) = end.peer() else { return Ok(0) };
    end.send(to, frame.get(..len).unwrap_or(&[])).await?;
    let Ok(answer) = with_timeout(ANSWER, end.receive()).await else { return Ok(0) };
    let answer = answer?;
    let len = answer.len().min(FRAME);
    if let Some(room) = frame.get_mut(..len) {
        let _ = answer.read(0, room);
    }
    Ok(len)
}
