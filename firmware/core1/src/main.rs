//! Core 1's firmware: a complete remote.
//!
//! It has a resource table, follows its host through it ([`Attachment`]), and offers over RPMsg: an echo, a console by proxy
//! calls, a satellite with a sensor and a lamp, and orders, by which tests make it crash. Its text goes into a trace that the
//! host reads. There is no unsafe code in it but what `resource_table!` and `image!` stand for.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod console;
mod orders;
mod satellite;

use core::fmt::Write as _;

use embassy_futures::select::{Either, select, select4};
use embassy_time::Timer;
use mps2::memory::{self, ENTRIES};
use mps2::{Spawner, mhu};
use tutti_metal::{DeviceAddr, Local, Memory, Region};
use tutti_remoteproc::table::{Claim, Entry, HEADER, Label, Trace, Vdev};
use tutti_remoteproc::trace::TraceWriter;
use tutti_rpmsg::{Address, Attachment, Change, Corrupt, Inline, Link, Name, Platform, Remote, SendError};
use tutti_virtio::{VdevEntry, VringEntry};

const QUEUE: VringEntry = VringEntry { da: Claim::ANY.0, align: memory::ALIGN, num: ENTRIES as u32, notifyid: 0 };

tutti_remoteproc::resource_table! {
    /// What this firmware asks of its host.
    static TABLE = &[
        Entry::Vdev(Vdev::rpmsg(&[QUEUE, VringEntry { notifyid: 1, ..QUEUE }])),
        Entry::Trace(Trace { da: Claim(memory::TRACE.0), len: memory::TRACE.1, name: Label::literal("core1") }),
    ];
}

/// Where the vdev entry, the first of the two, stands in the table, behind its type.
const VDEV: usize = HEADER + 2 * 4 + 4;

mps2::image!(start, { mhu::MESSAGES => mhu::on_message });

/// What the link stands on.
enum Chip {}

impl Platform for Chip {
    type Memory = Region<'static>;
    type Doorbell = mhu::Bell;
    type Locks = Local;
    type Storage = Inline<ENTRIES, 5>;
}

type Port = Link<Chip, Remote>;
type Log = TraceWriter<Region<'static>>;

/// The names of the services, as core 0 knows them.
const ECHO: Name = name("tutti-echo");
const CONSOLE: Name = name("tutti-console");
const SATELLITE: Name = name("tutti-satellite");
const ORDERS: Name = name("tutti-orders");

const fn name(text: &str) -> Name {
    match Name::new(text) {
        Ok(name) => name,
        Err(_) => panic!("no name"),
    }
}

fn start(spawner: Spawner) {
    if let (Ok(task), Ok(sign)) = (run(), heartbeat()) {
        spawner.spawn(task);
        spawner.spawn(sign);
    }
}

/// Why it cannot go on. There is nobody to tell but whoever reads the trace.
enum Failed {
    /// The board's memory, or its own table, is not as it should be: this image was built wrongly.
    Built,
    /// The host wrote what cannot be.
    Corrupt,
}

impl From<Corrupt> for Failed {
    fn from(_: Corrupt) -> Self {
        Self::Corrupt
    }
}

impl From<SendError> for Failed {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Corrupt(_) => Self::Corrupt,
            _ => Self::Built,
        }
    }
}

#[embassy_executor::task]
async fn run() {
    mhu::listen(mhu::MESSAGES);
    let Ok(shared) = memory::shared() else { return };
    let (at, len) = ((memory::TRACE.0 - memory::SHARED.0) as usize, memory::TRACE.1 as usize);
    let Ok(mut log) = TraceWriter::new(shared, at, len) else { return };
    let generation = shared.get::<u32>(memory::GENERATION).unwrap_or(0);
    let _ = log.write_str("core 1 runs\n");
    let Err(failed) = remote(shared, generation, &mut log).await;
    let _ = log.write_str(match failed {
        Failed::Built => "this image was built wrongly\n",
        Failed::Corrupt => "the host wrote what cannot be\n",
    });
}

/// Says that the executor runs.
#[embassy_executor::task]
async fn heartbeat() {
    let Ok(shared) = memory::shared() else { return };
    for count in 1u32.. {
        let _ = shared.put(memory::HEARTBEAT, &count);
        Timer::after_millis(50).await;
    }
}

/// Follows the host: whenever it is there, a new link.
async fn remote(shared: Region<'static>, generation: u32, log: &mut Log) -> Result<core::convert::Infallible, Failed> {
    let table = TABLE.region(DeviceAddr(0)).map_err(|_| Failed::Built)?;
    let entry = VdevEntry::new(table, VDEV).map_err(|_| Failed::Built)?;
    let mut attachment = Attachment::new(entry).map_err(|_| Failed::Built)?;
    loop {
        while !matches!(attachment.poll(), Change::Up(_)) {
            stop_if_asked(&shared, log);
            select(mhu::RUNG.wait(), Timer::after_millis(10)).await;
        }
        let setup = attachment.setup(shared, shared).map_err(|_| Failed::Built)?;
        let link = Port::new(setup, mhu::Bell, Inline).map_err(|_| Failed::Built)?;
        let _ = log.write_str("the host is there\n");
        let served = select4(
            interrupts(&link, &mut attachment, &shared),
            echo(&link),
            console::run(&link, generation),
            select(satellite::run(&link, generation), orders::run(&link)),
        );
        match served.await {
            embassy_futures::select::Either4::First(Err(Failed::Built)) => return Err(Failed::Built),
            _ => attachment.lost(),
        }
        drop(link);
        stop_if_asked(&shared, log);
        let _ = log.write_str("the host has gone\n");
    }
}

fn is_asked(shared: &Region<'static>) -> bool {
    shared.get(memory::STOP) == Ok(memory::ASKED)
}

/// Ends if the host wants that. The endpoints have been closed.
fn stop_if_asked(shared: &Region<'static>, log: &mut Log) {
    if is_asked(shared) {
        let _ = log.write_str("stops, as it was asked to\n");
        let _ = shared.put(memory::STOP, &memory::STOPPED);
        mps2::hardware::fault();
    }
}

/// Takes in what arrives, and notices when the host goes, or wants an end.
async fn interrupts(
    link: &Port,
    attachment: &mut Attachment<Region<'static>>,
    shared: &Region<'static>,
) -> Result<(), Failed> {
    while !is_asked(shared) {
        link.on_interrupt()?;
        match select(mhu::RUNG.wait(), Timer::after_millis(100)).await {
            Either::First(()) => {}
            Either::Second(()) => {
                if attachment.poll() != Change::Same {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Sends back whatever comes.
async fn echo(link: &Port) -> Result<(), Failed> {
    let echo = link.endpoint(Some(ECHO), Address::ANY).map_err(|_| Failed::Built)?;
    loop {
        let question = echo.receive().await?;
        let mut answer = link.loan().await?;
        if answer.bytes().copy_from(&question.bytes()).is_ok() {
            answer.send(echo.address(), question.source(), question.len())?;
        }
    }
}
