//! The console, by proxy calls: greets, and answers each line that is typed.

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

/// The longest line that is asked for.
const TYPED: i32 = 64;

/// A service of the host's, which this core finds by its name.
const CLOCK: Name = name("tutti-clock");

/// A line of text of fixed size; what does not fit is left out. (The library's formatting would take two kilobytes.)
struct Line {
    bytes: [u8; FRAME - HEADER - 1],
    len: usize,
}

impl Line {
    const fn new() -> Self {
        Self { bytes: [0; FRAME - HEADER - 1], len: 0 }
    }
    fn text(&mut self, text: &str) -> &mut Self {
        self.push(text.as_bytes())
    }
    fn number(&mut self, mut number: u64) -> &mut Self {
        let (mut digits, mut at) = ([0; 20], 20);
        loop {
            at -= 1;
            if let Some(digit) = digits.get_mut(at) {
                *digit = b'0' + (number % 10) as u8;
            }
            number /= 10;
            if number == 0 || at == 0 {
                return self.push(digits.get(at..).unwrap_or(&[]));
            }
        }
    }
    fn push(&mut self, bytes: &[u8]) -> &mut Self {
        for (room, byte) in self.bytes.iter_mut().skip(self.len).zip(bytes) {
            *room = *byte;
            self.len += 1;
        }
        self
    }
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

/// The console as long as the link lasts: one call after the other.
pub(crate) async fn run(link: &Port, generation: u32) -> Result<(), Failed> {
    let end = link.endpoint(Some(CONSOLE), Address::ANY).map_err(|_| Failed::Built)?;
    // The host opens an endpoint of the same name, and announces it.
    let to = loop {
        match end.peer() {
            Ok(to) => break to,
            Err(_) => Timer::after_millis(5).await,
        }
    };
    let (mut frame, mut line, mut said_time) = ([0; FRAME], Line::new(), false);
    line.text("generation ").number(u64::from(generation)).text(" greets");
    loop {
        let says = line.len > 0;
        let len = if says {
            call::write(1, line.bytes(), &mut frame)
        } else {
            Timer::after(ASK).await;
            call::read(0, TYPED, &mut frame)
        };
        let len = ask(&end, to, &mut frame, len.ok_or(Failed::Built)?).await?;
        line = Line::new();
        if !says {
            let answer = frame.get(..len).and_then(|frame| Frame::new_checked(frame).ok());
            if let Some(answer) = answer.filter(|answer| !answer.data().is_empty()) {
                line.text("heard: ").push(answer.data());
            }
        } else if !core::mem::replace(&mut said_time, true)
            && let Some(time) = clock(link).await?
        {
            line.text("found tutti-clock, where it is ").number(time).text(" us");
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

/// Makes a call and takes its answer, which stands in `frame` then; how long it is, 0 if there was none in time.
async fn ask(
    end: &Endpoint<'_, Chip, Remote>,
    to: Address,
    frame: &mut [u8; FRAME],
    len: usize,
) -> Result<usize, Failed> {
    end.send(to, frame.get(..len).unwrap_or(&[])).await?;
    let Ok(answer) = with_timeout(ANSWER, end.receive()).await else { return Ok(0) };
    let answer = answer?;
    let len = answer.len().min(FRAME);
    if let Some(room) = frame.get_mut(..len) {
        let _ = answer.read(0, room);
    }
    Ok(len)
}
