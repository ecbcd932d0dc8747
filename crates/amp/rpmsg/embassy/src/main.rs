//! Both ends of a link in tasks of embassy's executor: `cargo run --manifest-path crates/amp/rpmsg/embassy/Cargo.toml`.
//!
//! It is `examples/executor.rs` once more; there the executor is tokio's. What differs is what stands for the
//! interrupt: a handler signals a task, and that task calls [`Link::on_interrupt`]. The tasks that send and receive
//! name no executor.
#![forbid(unsafe_code)]

use std::cell::Cell;

use embassy_executor::Executor;
use embassy_sync::{blocking_mutex::raw::CriticalSectionRawMutex, signal::Signal};
use tutti_metal::{DeviceAddr, Doorbell, Local, Owned};
use tutti_rpmsg::{Address, Heap, Host, HostSetup, Link, Name, Platform, Remote, RemoteSetup, StaticVrings};

/// An interrupt line: on a chip, the mailbox's handler does nothing but to signal it.
type Line = Signal<CriticalSectionRawMutex, ()>;
static TO_HOST: Line = Signal::new();
static TO_REMOTE: Line = Signal::new();
/// The other side has a service.
static ANNOUNCED: Line = Signal::new();

/// Rings the other side.
struct Bell(&'static Line);

impl Doorbell for Bell {
    fn ring(&self, _: u32) {
        self.0.signal(());
    }
}

enum Desk {}
impl Platform for Desk {
    type Memory = Owned;
    type Doorbell = Bell;
    // All tasks are on one thread, and no handler touches a link.
    type Locks = Local;
    type Storage = Heap;
}

type Failed = Box<dyn std::error::Error>;

#[embassy_executor::task]
async fn interrupts_of_host(link: &'static Link<Desk, Host>) {
    loop {
        TO_HOST.wait().await;
        // A link that is corrupt says so to whoever waits for it, too.
        let _ = link.on_interrupt();
        if link.service(0).is_some() {
            ANNOUNCED.signal(());
        }
    }
}

#[embassy_executor::task]
async fn interrupts_of_remote(link: &'static Link<Desk, Remote>) {
    loop {
        TO_REMOTE.wait().await;
        let _ = link.on_interrupt();
    }
}

/// Echoes whatever comes.
#[embassy_executor::task]
async fn echo(link: &'static Link<Desk, Remote>, done: &'static Cell<Option<Result<u32, Failed>>>) {
    let ends = async {
        let echo = link.endpoint(Some(Name::new("echo")?), Address::ANY)?;
        loop {
            let received = echo.receive().await?;
            let mut answer = link.loan().await?;
            answer.bytes().copy_from(&received.bytes())?;
            answer.send(echo.address(), received.source(), received.len())?;
        }
    };
    done.set(Some(ends.await));
}

/// Asks a thousand times, and sums up the answers.
#[embassy_executor::task]
async fn ask(link: &'static Link<Desk, Host>, done: &'static Cell<Option<Result<u32, Failed>>>) {
    let sum = async {
        ANNOUNCED.wait().await;
        let to = link.service(0).ok_or("the echo service was not announced")?.address;
        let caller = link.endpoint(None, Address::ANY)?;
        let mut sum = 0;
        for i in 0..1000u32 {
            caller.send(to, &i.to_le_bytes()).await?;
            sum += caller.receive().await?.bytes().get::<u32>(0)?;
        }
        Ok(sum)
    };
    done.set(Some(sum.await));
}

fn main() -> Result<(), Failed> {
    let memory = Owned::allocate(0x10000, DeviceAddr(0x3ed0_0000))?;
    let vrings = StaticVrings { at: 0, entries: 4, align: 64 };
    let setup = HostSetup::new(vrings.both(memory.clone())?, memory.clone(), vrings.buffers()?);
    let host = Link::<Desk, Host>::new(setup, Bell(&TO_REMOTE), Heap { endpoints: 4 })?;
    let setup = RemoteSetup::new(vrings.both(memory.clone())?, memory);
    let remote = Link::<Desk, Remote>::new(setup, Bell(&TO_HOST), Heap { endpoints: 4 })?;
    // Tasks live for ever, and so does what they use; on a microcontroller it stands in statics.
    let (host, remote): (&'static _, &'static _) = (Box::leak(Box::new(host)), Box::leak(Box::new(remote)));
    let done: &'static Cell<_> = Box::leak(Box::new(Cell::new(None)));
    let tasks = (interrupts_of_host(host)?, interrupts_of_remote(remote)?, echo(remote, done)?, ask(host, done)?);
    let mut result = None;
    Box::leak(Box::new(Executor::new())).run_until(
        |spawner| {
            spawner.spawn(tasks.0);
            spawner.spawn(tasks.1);
            spawner.spawn(tasks.2);
            spawner.spawn(tasks.3);
        },
        || {
            result = done.take();
            result.is_some()
        },
    );
    let sum = result.ok_or("nobody said anything")??;
    assert_eq!(sum, 499_500);
    println!("a thousand answers, which sum to {sum}");
    Ok(())
}
