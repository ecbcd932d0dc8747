//! RPMsg with core 1: a link for each of its lives.

use core::fmt;

use embassy_futures::select::{Either, Either4 as E, select, select4};
use embassy_time::{Duration, Instant, Timer, with_timeout};
use mps2::memory::{self, BUFFER, BUFFERS, ENTRIES, QUEUES};
use mps2::remote::Fault;
use mps2::{mhu, say};
use tutti_metal::{Local, Region};
use tutti_proxy::{Errno, Files, Policy, Server, Whence};
use tutti_remoteproc::life::Generation;
use tutti_rpmsg::{
    Address, AttachError, Attaching, Corrupt, EndpointError, F_NS, Host, Inline, Link, Name, Platform, SendError,
    SetupError,
};

use crate::Uplink;
use crate::chip::Chip;
use crate::second::{CORE1, FRAME};

/// What the link stands on.
enum Board {}

impl Platform for Board {
    type Memory = Region<'static>;
    type Doorbell = mhu::Bell;
    type Locks = Local;
    type Storage = Inline<ENTRIES, 8>;
}

type Port = Link<Board, Host>;

/// How long core 1 has for an answer.
const ANSWER: Duration = Duration::from_secs(2);

const CLOCK: &str = "tutti-clock";
const CONSOLE: &str = "tutti-console";
const ECHO: &str = "tutti-echo";
const ORDERS: &str = "tutti-orders";
const SATELLITE: &str = "tutti-satellite";

/// What is asked of core 1 from the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    /// So many messages of so many bytes to and fro.
    Echo(u32, usize),
    /// An order.
    Order(u8),
    /// Which services it has announced.
    Names,
    /// Its trace.
    Trace,
}

/// Why a link ended.
enum Ended {
    /// Core 1 ended before it.
    Core,
    Chip(Fault),
    Attach(AttachError),
    Setup(SetupError),
    Endpoint(EndpointError),
    Send(SendError),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Core => f.write_str("core 1 has ended"),
            Self::Chip(error) => error.fmt(f),
            Self::Attach(error) => error.fmt(f),
            Self::Setup(error) => error.fmt(f),
            Self::Endpoint(error) => error.fmt(f),
            Self::Send(error) => error.fmt(f),
        }
    }
}

macro_rules! from {
    ($($error:ident => $variant:ident),*) => {$(
        impl From<$error> for Ended {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}
from!(Fault => Chip, AttachError => Attach, SetupError => Setup, EndpointError => Endpoint, SendError => Send);

impl From<Corrupt> for Ended {
    fn from(corrupt: Corrupt) -> Self {
        Self::Send(SendError::Corrupt(corrupt))
    }
}

/// A link whenever core 1 runs.
pub(crate) async fn run(chip: &Chip, uplink: &Uplink) {
    let mut served = None;
    loop {
        match chip.runs().filter(|generation| served != Some(*generation)) {
            Some(generation) => {
                served = Some(generation);
                let Err(ended) = serve(chip, uplink, generation).await else { continue };
                say!("link: over: {ended}");
                chip.distrust(generation);
            }
            None => {
                select(chip.changed.wait(), Timer::after_millis(20)).await;
                while let Ok(wish) = chip.wishes.try_receive() {
                    say!("link: none, so not done: {wish:?}");
                }
            }
        }
    }
}

async fn serve(chip: &Chip, uplink: &Uplink, generation: Generation) -> Result<(), Ended> {
    let shared = memory::shared().map_err(Fault::Memory)?;
    let attaching = Attaching::new(chip.with(|core| core.vdev())?)?;
    let queues = [(QUEUES[0], 0), (QUEUES[1], 1)];
    let setup = attaching.setup(queues, &shared, BUFFERS, F_NS, BUFFER)?;
    let link = Port::new(setup, mhu::Bell, Inline)?;
    attaching.ready();
    tutti_metal::Doorbell::ring(&mhu::Bell, 0);
    let served = select4(
        select(interrupts(chip, &link), ended(chip, generation)),
        select(console(chip, &link), clock(&link)),
        satellite(uplink, &link),
        wishes(chip, &link, &shared),
    );
    match served.await {
        E::First(Either::First(result)) | E::Second(Either::First(result) | Either::Second(result)) => result,
        E::First(Either::Second(())) => Err(Ended::Core),
        E::Third(result) | E::Fourth(result) => result,
    }
}

/// Takes in what arrives; says when the first message is there.
async fn interrupts(chip: &Chip, link: &Port) -> Result<(), Ended> {
    let mut first = true;
    loop {
        link.on_interrupt()?;
        if first && link.service(0).is_some() {
            first = false;
            let took = Instant::now().duration_since(chip.started.get());
            say!("link: first message {} us after the start", took.as_micros());
        }
        mhu::RUNG.wait().await;
    }
}

/// Waits until core 1's life is over.
async fn ended(chip: &Chip, generation: Generation) {
    while chip.runs() == Some(generation) {
        chip.changed.wait().await;
    }
}

fn name(text: &str) -> Result<Name, Ended> {
    Name::new(text).map_err(|_| Ended::Endpoint(EndpointError::Reserved))
}

/// The address of the service of this name, which core 1 has announced.
fn service(link: &Port, text: &str) -> Option<Address> {
    let mut all = (0..).map_while(|index| link.service(index));
    all.find(|service| service.name.as_str() == Some(text)).map(|service| service.address)
}

/// The same, or once it is announced.
async fn await_service(link: &Port, text: &str) -> Option<Address> {
    let announced = async {
        loop {
            match service(link, text) {
                Some(address) => break address,
                None => Timer::after_millis(2).await,
            }
        }
    };
    with_timeout(ANSWER, announced).await.ok()
}

/// Serves core 1's console, and nothing else.
async fn console(chip: &Chip, link: &Port) -> Result<(), Ended> {
    let end = link.endpoint(Some(name(CONSOLE)?), Address::ANY)?;
    let policy = Policy { console: true, read: false, write: false, quota: 0, longest: 0 };
    let mut server = Server::<_, 1>::new(Terminal(chip), policy);
    let (mut call, mut answer) = ([0; FRAME], [0; FRAME]);
    loop {
        let received = end.receive().await?;
        let from = received.source();
        let call = call.get_mut(..received.len()).unwrap_or(&mut []);
        if received.read(0, call).is_err() {
            continue;
        }
        drop(received);
        let len = match server.handle(call, &mut answer) {
            Ok(len) => len,
            Err(error) => {
                say!("core1| what is no call: {error}");
                Server::<Terminal<'_>, 1>::refusal(call, &mut answer)
            }
        };
        if let Some(answer) = len.and_then(|len| answer.get(..len)) {
            end.send(from, answer).await?;
        }
    }
}

/// Core 1's console is this one, each line marked. It has no files.
struct Terminal<'a>(&'a Chip);

impl Files for Terminal<'_> {
    type File = core::convert::Infallible;

    fn open(&mut self, _: &str, _: i32, _: i32, _: bool) -> Result<Self::File, Errno> {
        Err(Errno::ACCES)
    }
    fn read(&mut self, file: &mut Self::File, _: &mut [u8]) -> Result<usize, Errno> {
        match *file {}
    }
    fn write(&mut self, file: &mut Self::File, _: &[u8]) -> Result<usize, Errno> {
        match *file {}
    }
    fn seek(&mut self, file: &mut Self::File, _: Whence, _: i64) -> Result<u64, Errno> {
        match *file {}
    }
    fn position(&mut self, file: &mut Self::File) -> Result<u64, Errno> {
        match *file {}
    }
    fn console_write(&mut self, bytes: &[u8]) {
        say!("core1| {}", bytes.escape_ascii());
    }
    fn console_read(&mut self, to: &mut [u8]) -> usize {
        self.0.typed.borrow_mut().take(to)
    }
}

/// Tells core 1 what time it is here: a service of this side, which core 1 finds by its name.
async fn clock(link: &Port) -> Result<(), Ended> {
    let end = link.endpoint(Some(name(CLOCK)?), Address::ANY)?;
    loop {
        let from = end.receive().await?.source();
        end.send(from, &Instant::now().as_micros().to_le_bytes()).await?;
    }
}

/// Carries frames between core 1's satellite and the line.
async fn satellite(uplink: &Uplink, link: &Port) -> Result<(), Ended> {
    let end = link.endpoint(Some(name(SATELLITE)?), Address::ANY)?;
    let mut frame = [0; FRAME];
    loop {
        match select(end.receive(), uplink.behind.frames.receive()).await {
            Either::First(received) => {
                let received = received?;
                let room = frame.get_mut(..received.len()).unwrap_or(&mut []);
                if received.read(0, room).is_ok() {
                    drop(received);
                    uplink.relay(CORE1, room);
                }
            }
            // What cannot be delivered is sent again, end to end.
            Either::Second(frame) => {
                if let Some(to) = service(link, SATELLITE) {
                    end.send(to, frame.bytes()).await?;
                }
            }
        }
    }
}

/// Does what is asked on the command line.
async fn wishes(chip: &Chip, link: &Port, shared: &Region<'static>) -> Result<(), Ended> {
    let mut trace = tutti_remoteproc::trace::TraceReader::new();
    loop {
        match chip.wishes.receive().await {
            Wish::Echo(count, len) => echo(link, count, len).await?,
            Wish::Order(order) => match await_service(link, ORDERS).await {
                Some(to) => link.endpoint(None, Address::ANY)?.send(to, &[order]).await?,
                None => say!("orders: core 1 takes none"),
            },
            Wish::Names => {
                for service in (0..).map_while(|index| link.service(index)) {
                    say!("names: {} at {}", service.name.as_bytes().escape_ascii(), service.address.0);
                }
                say!("names: done");
            }
            Wish::Trace => {
                let (at, len) = chip.with(|core| core.trace()).unwrap_or((0, 0));
                let read = trace.read(shared, at, len, &mut |piece| say!("trace: {}", piece.escape_ascii()));
                say!("trace: {} bytes", read.map_or(0, |read| read.bytes));
            }
        }
    }
}

/// Sends messages to core 1's echo and compares what comes back, one at a time.
async fn echo(link: &Port, count: u32, len: usize) -> Result<(), Ended> {
    let Some(to) = await_service(link, ECHO).await else {
        say!("echo: core 1 has announced none");
        return Ok(());
    };
    let start = Instant::now();
    // One bound for all of them: a timer for each would be much of what is measured.
    let within = ANSWER + Duration::from_millis(5) * count;
    match with_timeout(within, echoes(link, to, count, len)).await {
        Ok(Ok(None)) => {
            let took = Instant::now().duration_since(start).as_micros();
            say!("echo: {count} of {} bytes in {took} us", len.clamp(4, FRAME));
        }
        Ok(Ok(Some(number))) => say!("echo: message {number} came back as another"),
        Ok(Err(ended)) => return Err(ended),
        Err(_) => say!("echo: not all came back in time"),
    }
    Ok(())
}

/// The number of the first message that came back as another.
async fn echoes(link: &Port, to: Address, count: u32, len: usize) -> Result<Option<u32>, Ended> {
    let end = link.endpoint(None, Address::ANY)?;
    let (mut sent, mut got) = ([0; FRAME], [0; FRAME]);
    let sent = sent.get_mut(..len.clamp(4, FRAME)).unwrap_or(&mut []);
    for number in 0..count {
        if let Some(front) = sent.first_chunk_mut() {
            *front = number.to_le_bytes();
        }
        end.send(to, sent).await?;
        let received = end.receive().await?;
        let got = got.get_mut(..received.len()).unwrap_or(&mut []);
        if received.read(0, got).is_err() || *got != *sent {
            return Ok(Some(number));
        }
    }
    Ok(None)
}
