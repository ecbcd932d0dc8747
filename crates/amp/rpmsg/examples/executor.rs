//! Both ends in tasks of one executor: `cargo run -p tutti-rpmsg --features alloc --example executor`.
//!
//! The executor here is tokio's, on one thread. Under embassy the tasks read the same, word for word: nothing in them
//! names an executor; only what stands for the interrupt does. There, the mailbox's handler signals a task that calls
//! [`Link::on_interrupt`], as `Bell` does here.
#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use std::rc::Rc;

use tokio::sync::Notify;
use tutti_metal::{DeviceAddr, Doorbell, Local, Owned};
use tutti_rpmsg::{Address, Heap, Host, HostSetup, Link, Name, Platform, Remote, RemoteSetup, Role, StaticVrings};

/// The interrupt line to the other side.
#[derive(Clone, Default)]
struct Bell(Rc<Notify>);

impl Doorbell for Bell {
    fn ring(&self, _: u32) {
        self.0.notify_one();
    }
}

enum Desktop {}
impl Platform for Desktop {
    type Memory = Owned;
    type Doorbell = Bell;
    type Locks = Local;
    type Storage = Heap;
}

/// What an interrupt handler and its task do.
async fn interrupts<R: Role>(link: &Link<Desktop, R>, line: Bell) -> Result<(), tutti_rpmsg::Corrupt> {
    loop {
        line.0.notified().await;
        link.on_interrupt()?;
    }
}

/// The remote's task: echoes whatever comes.
async fn echo(link: &Link<Desktop, Remote>) -> Result<(), Box<dyn std::error::Error>> {
    let echo = link.endpoint(Some(Name::new("echo")?), Address::ANY)?;
    loop {
        let received = echo.receive().await?;
        let mut answer = link.loan().await?;
        answer.bytes().copy_from(&received.bytes())?;
        answer.send(echo.address(), received.source(), received.len())?;
    }
}

/// The host's task: asks a thousand times.
async fn ask(link: &Link<Desktop, Host>) -> Result<u32, Box<dyn std::error::Error>> {
    link.poll()?;
    let to = link.service(0).ok_or("the echo service was not announced")?.address;
    let caller = link.endpoint(None, Address::ANY)?;
    let mut sum = 0;
    for i in 0..1000u32 {
        caller.send(to, &i.to_le_bytes()).await?;
        sum += caller.receive().await?.bytes().get::<u32>(0)?;
    }
    Ok(sum)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let memory = Owned::allocate(0x10000, DeviceAddr(0x3ed0_0000))?;
    let vrings = StaticVrings { at: 0, entries: 4, align: 64 };
    let [to_host, to_remote] = [Bell::default(), Bell::default()];
    let setup = HostSetup::new(vrings.both(memory.clone())?, memory.clone(), vrings.buffers()?);
    let host = Link::<Desktop, Host>::new(setup, to_remote.clone(), Heap { endpoints: 4 })?;
    let setup = RemoteSetup::new(vrings.both(memory.clone())?, memory);
    let remote = Link::<Desktop, Remote>::new(setup, to_host.clone(), Heap { endpoints: 4 })?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let sum = runtime.block_on(async {
        tokio::select! {
            biased;
            failed = echo(&remote) => failed.map(|()| 0),
            failed = interrupts(&remote, to_remote) => failed.map(|()| 0).map_err(Into::into),
            failed = interrupts(&host, to_host) => failed.map(|()| 0).map_err(Into::into),
            sum = ask(&host) => sum,
        }
    })?;
    assert_eq!(sum, 499_500);
    println!("a thousand answers, which sum to {sum}");
    Ok(())
}
