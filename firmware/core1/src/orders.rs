//! Orders of the host: the ways to end that tests need. Each is a message of one byte.

use mps2::{hardware, memory};
use tutti_metal::Memory as _;
use tutti_rpmsg::Address;

use crate::{Failed, ORDERS, Port};

/// Takes orders.
pub(crate) async fn run(link: &Port) -> Result<(), Failed> {
    let end = link.endpoint(Some(ORDERS), Address::ANY).map_err(|_| Failed::Built)?;
    loop {
        let order = {
            let message = end.receive().await?;
            message.bytes().get::<u8>(0).unwrap_or(0)
        };
        obey(order);
    }
}

fn obey(order: u8) {
    match order {
        b'f' => read_the_broken_sensor(3),
        b'p' => look_up_the_calibration(usize::from(order)),
        b's' => overflow_the_stack(0),
        b'h' => hang(),
        b'l' => lie(),
        b'd' => {
            hardware::go_deaf();
            hang();
        }
        _ => {}
    }
}

/// Reads a register where there is nothing: a bus fault.
#[inline(never)]
fn read_the_broken_sensor(channel: u32) {
    let value = hardware::read_nowhere();
    parts::thermometer::calibrate(value.wrapping_add(channel));
}

/// Looks behind the end of a table: a panic.
#[inline(never)]
fn look_up_the_calibration(index: usize) {
    const CALIBRATION: [u32; 4] = [3, 1, 4, 1];
    let table: &[u32] = core::hint::black_box(&CALIBRATION);
    parts::thermometer::calibrate(table[index]);
}

/// Calls itself until there is no stack.
#[inline(never)]
#[expect(unconditional_recursion, reason = "that is the order")]
fn overflow_the_stack(depth: u32) {
    let room = core::hint::black_box([depth; 16]);
    overflow_the_stack(depth.wrapping_add(room.len() as u32));
    parts::thermometer::calibrate(core::hint::black_box(&room).len() as u32);
}

/// Writes what cannot be over a whole queue.
fn lie() {
    let queue = (memory::QUEUES[0] - memory::SHARED.0) as usize;
    if let Ok(shared) = memory::shared() {
        for at in (queue..queue + memory::QUEUE).step_by(4) {
            let _ = shared.put(at, &0xa5a5_a5a5u32);
        }
    }
}

/// Does nothing any more, so that no heartbeat leaves.
#[inline(never)]
fn hang() {
    loop {
        core::hint::spin_loop();
    }
}
