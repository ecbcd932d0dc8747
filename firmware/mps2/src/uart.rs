//! The serial lines: CMSDK's APB UART, received by interrupt into a pipe, sent by polling with a bound.

use core::fmt;

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pipe::Pipe;

use crate::hardware::{Register, UARTS, enable_of, interrupt};
use crate::tree::core0;

/// Bits of the state.
const SENDING: u32 = 1;
const RECEIVED: u32 = 2;
/// Bits of the control.
const SEND: u32 = 1;
const RECEIVE: u32 = 2;
const INTERRUPT: u32 = 8;
/// How often the state is looked at before a byte is given up: some ten times as often as one takes at 115,200 baud.
const PATIENCE: u32 = 20_000;

/// Bytes that are kept until somebody reads them.
const KEPT: usize = 256;

/// A serial line.
pub struct Uart {
    registers: [Register; 5],
    /// Ticks of its clock in a bit.
    divider: u32,
    received: Pipe<CriticalSectionRawMutex, KEPT>,
}

/// The line for people.
pub static CONSOLE: Uart = Uart::new(UARTS[0], core0::UART0_CLOCK_FREQUENCY / core0::UART0_CURRENT_SPEED);
/// The line of the satellite protocol.
pub static LINE: Uart = Uart::new(UARTS[1], core0::UART1_CLOCK_FREQUENCY / core0::UART1_CURRENT_SPEED);
/// The line that core dumps go out by.
pub static DUMP: Uart = Uart::new(UARTS[2], core0::UART2_CLOCK_FREQUENCY / core0::UART2_CURRENT_SPEED);

/// The receive interrupt of the line for people.
pub const CONSOLE_INTERRUPT: u8 = interrupt(core0::UART0_INTERRUPT_RX);
/// The receive interrupt of the line of the satellite protocol.
pub const LINE_INTERRUPT: u8 = interrupt(core0::UART1_INTERRUPT_RX);

impl Uart {
    const fn new(registers: [Register; 5], divider: u32) -> Self {
        assert!(divider >= 16, "the UART's clock is too slow for this many bits in a second");
        Self { registers, divider, received: Pipe::new() }
    }

    /// Opens it; with an interrupt, for receiving too.
    pub fn open(&self, interrupt: Option<u8>) {
        let [_, _, control, _, divider] = self.registers;
        divider.write(self.divider);
        control.write(SEND | if interrupt.is_some() { RECEIVE | INTERRUPT } else { 0 });
        if let Some(interrupt) = interrupt {
            let (register, bit) = enable_of(interrupt);
            register.write(bit);
        }
    }

    /// Sends bytes; how many left before the line was taken to be stuck.
    pub fn write(&self, bytes: &[u8]) -> usize {
        let [data, state, ..] = self.registers;
        for (sent, byte) in bytes.iter().enumerate() {
            if (0..PATIENCE).all(|_| state.read() & SENDING != 0) {
                return sent;
            }
            data.write(u32::from(*byte));
        }
        bytes.len()
    }

    /// Waits for bytes.
    pub async fn read(&self, to: &mut [u8]) -> usize {
        let len = self.received.read(to).await;
        // There is room now for what the interrupt had to leave.
        critical_section::with(|_| self.fetch());
        len
    }

    /// Takes what has arrived, as long as there is room. What there is none for stays in the UART, and holds the sender up
    /// if the line has a flow control, as an emulated one does; otherwise the next byte is lost.
    fn fetch(&self) {
        let [data, state, _, status, _] = self.registers;
        status.write(RECEIVED);
        while state.read() & RECEIVED != 0 && self.received.free_capacity() > 0 {
            let byte = data.read() as u8;
            // There is room: nobody else writes.
            let _ = self.received.try_write(&[byte]);
        }
    }
}

/// The console's receive interrupt.
pub extern "C" fn on_console() {
    CONSOLE.fetch();
}

/// The other line's receive interrupt.
pub extern "C" fn on_line() {
    LINE.fetch();
}

/// Text for people. What cannot leave is lost: nobody waits for a console.
#[derive(Clone, Copy, Debug, Default)]
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        CONSOLE.write(text.as_bytes());
        Ok(())
    }
}

/// Writes a line to the console.
#[macro_export]
macro_rules! say {
    ($($arguments:tt)*) => {{
        let _ = ::core::fmt::Write::write_fmt(&mut $crate::uart::Console, format_args!($($arguments)*));
        let _ = $crate::uart::CONSOLE.write(b"\n");
    }};
}
