//! The second core as a platform of remoteproc: loaded from memory, started and stopped through the resident stub.
//!
//! What core 1 writes is a claim: its resource table is copied out and checked when it is loaded, addresses in it are looked for in the
//! memories that there are, and its stack is only read where there is memory. There is no wall between the cores, though: the
//! board's memory protection controllers stay as they are after reset, so a core 1 that goes wild can write into core 0's memory, the
//! stub's among it.

use core::fmt;

use embassy_time::{Duration, Instant};
use tutti_metal::{DeviceAddr, Doorbell as _, Memory, OutOfBounds, PhysAddr, Region};
use tutti_remoteproc::core_dump::{Area, CoreDump, DumpError, Registers};
use tutti_remoteproc::elf::{Class, LoadError, Machine, load};
use tutti_remoteproc::life::{Abilities, Action, Cause, Generation, Sign};
use tutti_remoteproc::table::{Entry, Finding, Table};
use tutti_remoteproc::{Platform, Space, Spaces};
use tutti_virtio::{VdevEntry, VdevError};

use crate::hardware::sleep_unless;
use crate::memory;
use crate::mhu::Bell;
use crate::park::{self, Position};

/// How long core 1 has to park, or to leave the stub.
const PATIENCE: Duration = Duration::from_millis(800);
/// RPMsg's number among virtio devices.
const RPMSG: u32 = 7;
/// The longest resource table.
const LONGEST: usize = 512;

/// Why something could not be done to core 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Its firmware cannot be loaded.
    Load(LoadError),
    /// Its first two vectors, a stack and an entry, do not lie in its memory.
    Vectors(u32, u32),
    /// The firmware has no resource table, or one that is too long.
    NoTable,
    /// The resource table is wrong.
    Table(Finding),
    /// The resource table has no RPMsg device, or a wrong one.
    NoRpmsg(Option<VdevError>),
    /// It does not park when it is told to.
    Deaf,
    /// It does not leave the stub.
    Stuck,
    /// It still runs.
    Runs,
    /// This board has no way to do that.
    Unsupported,
    /// A memory is not where it should be.
    Memory(OutOfBounds),
    /// The line that dumps go out by does not take them.
    Line,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Vectors(stack, entry) => write!(
                f,
                "the vectors name the stack {stack:#x} and the entry {entry:#x}, which are not in core 1's memory; link \
                 the firmware there, its vectors first"
            ),
            Self::NoTable => write!(f, "the firmware has no section .resource_table of at most {LONGEST} bytes"),
            Self::Table(finding) => finding.fmt(f),
            Self::NoRpmsg(Some(error)) => error.fmt(f),
            Self::NoRpmsg(None) => f.write_str("the resource table has no vdev with the id 7"),
            Self::Deaf => f.write_str(
                "core 1 does not hear that it is to stop: it masks interrupts for ever, or has locked up; to stop it by \
                 force is not supported by this board, reset it",
            ),
            Self::Stuck => f.write_str("core 1 was told to go and still rests; reset the board"),
            Self::Runs => f.write_str("core 1 runs; stop it first"),
            Self::Unsupported => f.write_str("this board has no way to do that"),
            Self::Memory(error) => error.fmt(f),
            Self::Line => f.write_str("the line for core dumps does not take them; connect it"),
        }
    }
}

impl core::error::Error for Fault {}

impl From<OutOfBounds> for Fault {
    fn from(error: OutOfBounds) -> Self {
        Self::Memory(error)
    }
}

/// What a firmware says about itself in its resource table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Found {
    /// Where the vdev entry stands in core 1's memory, behind its type.
    vdev: usize,
    /// Its trace, in the shared memory.
    trace: Option<(usize, usize)>,
}

/// Core 1.
pub struct Core1 {
    firmware: &'static [u8],
    own: Region<'static>,
    shared: Region<'static>,
    found: Option<Found>,
    generation: Generation,
    heartbeat: u32,
    /// Its end in this generation was noticed.
    noticed: bool,
    /// What it wrote into shared memory cannot be.
    corrupt: bool,
    /// Takes a piece of a core dump; false if it cannot.
    keep: fn(&[u8]) -> bool,
    /// How many bytes the last dump has, until somebody asks.
    dumped: usize,
}

impl Core1 {
    /// Core 1, which is to run `firmware`. Core dumps go to `keep`, piece by piece.
    ///
    /// # Errors
    /// On another core than core 0.
    pub fn new(firmware: &'static [u8], keep: fn(&[u8]) -> bool) -> Result<Self, OutOfBounds> {
        Ok(Self {
            firmware,
            own: memory::core1()?,
            shared: memory::shared()?,
            found: None,
            generation: Generation(0),
            heartbeat: 0,
            noticed: true,
            corrupt: false,
            keep,
            dumped: 0,
        })
    }

    /// The RPMsg device of the firmware that is loaded.
    ///
    /// # Errors
    /// If there is none.
    pub fn vdev(&self) -> Result<VdevEntry<Region<'static>>, Fault> {
        let found = self.found.ok_or(Fault::NoRpmsg(None))?;
        VdevEntry::new(self.own, found.vdev).map_err(|error| Fault::NoRpmsg(Some(error)))
    }

    /// Whether core 1 has stopped by itself, as it was asked to.
    pub fn has_stopped(&self) -> bool {
        park::position() == Position::Parked && self.shared.get(memory::STOP) == Ok(memory::STOPPED)
    }

    /// What core 1 wrote into shared memory cannot be: its life is over, at the next look.
    pub fn distrust(&mut self) {
        self.corrupt = true;
    }

    /// Where in the shared memory the firmware's trace is.
    pub fn trace(&self) -> Option<(usize, usize)> {
        self.found?.trace
    }

    /// How many bytes the last core dump has, once for each.
    pub fn take_dumped(&mut self) -> usize {
        core::mem::take(&mut self.dumped)
    }

    fn load(&mut self) -> Result<(), Fault> {
        if park::position() != Position::Parked {
            return Err(Fault::Runs);
        }
        self.found = None;
        let spaces = [space(self.own)];
        let image = load(self.firmware, &Spaces(&spaces)).map_err(Fault::Load)?;
        let (stack, entry) = (self.own.get::<u32>(0)?, self.own.get::<u32>(4)?);
        let inside = |address: u32| Spaces(&spaces).locate(memory::device(address), 1).is_ok();
        if !stack.is_multiple_of(8) || !inside(stack.wrapping_sub(1)) || entry & 1 == 0 || !inside(entry) {
            return Err(Fault::Vectors(stack, entry));
        }
        let section = image.table.ok_or(Fault::NoTable)?;
        let mut bytes = [0; LONGEST];
        let len = usize::try_from(section.len).map_err(|_| Fault::NoTable)?;
        let bytes = bytes.get_mut(..len).ok_or(Fault::NoTable)?;
        Spaces(&spaces).read(section.da, bytes).map_err(|error| Fault::Load(LoadError::NotMapped(error)))?;
        self.found = Some(self.look_up(section.da, bytes)?);
        Ok(())
    }

    fn look_up(&self, at: DeviceAddr, bytes: &[u8]) -> Result<Found, Fault> {
        let table = Table::new_checked(bytes).map_err(Fault::Table)?;
        let (mut vdev, mut trace) = (None, None);
        for (index, entry) in table.entries().enumerate() {
            match entry {
                Entry::Vdev(it) if it.id == RPMSG => {
                    let offset = table.offset(index).map(|offset| offset as u64 + 4);
                    vdev = offset.and_then(|offset| at.checked_add(offset));
                }
                Entry::Trace(it) => {
                    let at = it.da.address().and_then(|da| self.shared.offset_of(da, it.len).ok());
                    trace = at.map(|at| (at, it.len as usize));
                }
                _ => {}
            }
        }
        let vdev = vdev.ok_or(Fault::NoRpmsg(None))?;
        Ok(Found { vdev: self.own.offset_of(vdev, 4)?, trace })
    }

    fn start(&mut self, generation: Generation) -> Result<(), Fault> {
        if park::position() != Position::Parked {
            return Err(Fault::Runs);
        }
        self.shared.put(memory::GENERATION, &generation.0)?;
        self.shared.put(memory::HEARTBEAT, &0u32)?;
        self.shared.put(memory::STOP, &0u32)?;
        (self.heartbeat, self.generation, self.noticed, self.corrupt) = (0, generation, false, false);
        park::go(&self.own, generation.0)?;
        if reaches(Position::Running) { Ok(()) } else { Err(Fault::Stuck) }
    }

    /// Asks the firmware to stop.
    fn ask(&mut self) -> Result<(), Fault> {
        self.shared.put(memory::STOP, &memory::ASKED)?;
        Bell.ring(0);
        Ok(())
    }

    /// Has it parked, by the doorbell if it runs.
    fn halt(&mut self) -> Result<(), Fault> {
        self.noticed = true;
        if park::position() == Position::Running {
            park::stop();
        }
        if reaches(Position::Parked) { Ok(()) } else { Err(Fault::Deaf) }
    }

    /// Where nothing could be stacked, as when the stack is full, the frame pointer still leads to the caller: Rust keeps one in r7 for
    /// this processor, which points to the caller's and to the return address.
    fn step_out(&self, values: &mut [u64; 17]) {
        let frame = DeviceAddr(values[7]);
        let caller = self.own.offset_of(frame, 8).ok();
        let read = |at: usize| self.own.get::<u32>(at).map_or(0, u64::from);
        if let Some(at) = caller {
            (values[7], values[13], values[15]) = (read(at), frame.0 + 8, read(at + 4) & !1);
            values[16] = 1 << 24;
        }
    }

    fn dump(&mut self) -> Result<(), Fault> {
        self.halt()?;
        let record = park::record();
        let mut values = record.registers.map(u64::from);
        if !record.whole {
            self.step_out(&mut values);
        }
        // Linux's flag for Thumb code, where debuggers of its core files look for it. Bits 0 to 8 name the exception that was
        // interrupted.
        values[16] |= 1 << 5;
        let signal = if record.exception == park::TOLD { 6 } else { 11 };
        let registers = [Registers { values: &values, signal, thread: 1 }];
        let areas = [Area { da: memory::device(memory::CORE1_RAM.0), len: u64::from(memory::CORE1_RAM.1), flags: 6 }];
        let dump = CoreDump { class: Class::Elf32, machine: Machine::ARM, areas: &areas, registers: &registers };
        let (keep, mut len) = (self.keep, 0);
        let written = dump.write(&Spaces(&[space(self.own)]), |bytes| {
            len += bytes.len();
            if keep(bytes) { Ok(()) } else { Err(()) }
        });
        self.dumped = len;
        written.map_err(|error| match error {
            DumpError::NotMapped(error) => Fault::Load(LoadError::NotMapped(error)),
            _ => Fault::Line,
        })
    }
}

fn space(own: Region<'static>) -> Space<Region<'static>> {
    let start = u64::from(memory::CORE1.0);
    Space { name: "core 1", da: DeviceAddr(start), pa: PhysAddr(start), memory: own }
}

/// Waits for core 1 to get there. Sleeps meanwhile: an emulator that runs one core at a time has the other wait otherwise.
fn reaches(position: Position) -> bool {
    let until = Instant::now() + PATIENCE;
    while park::position() != position {
        if Instant::now() >= until {
            return false;
        }
        // The clock's tick ends it at the latest.
        sleep_unless(|| park::position() == position);
    }
    true
}

impl Platform for Core1 {
    type Fault = Fault;

    fn abilities(&self) -> Abilities {
        Abilities { suspend: false, attach: false, detach: false, ..Abilities::ALL }
    }

    fn find(&mut self) -> Result<Option<Generation>, Fault> {
        // A reset of this core is one of the whole board.
        Ok(None)
    }

    fn perform(&mut self, action: Action) -> Result<Option<Generation>, Fault> {
        match action {
            Action::Configure => {
                park::release();
                if reaches(Position::Parked) { Ok(()) } else { Err(Fault::Stuck) }
            }
            Action::Load => self.load(),
            Action::Start(generation) => self.start(generation),
            Action::Ask => self.ask(),
            Action::Halt => self.halt(),
            Action::Dump => self.dump(),
            Action::Release => Ok(()),
            Action::Suspend | Action::Resume | Action::Attach | Action::Detach => Err(Fault::Unsupported),
        }
        .map(|()| None)
    }

    fn observe(&mut self) -> Option<(Generation, Sign)> {
        if !self.noticed && park::position() == Position::Parked {
            self.noticed = true;
            if self.has_stopped() {
                return Some((self.generation, Sign::Ended));
            }
            let record = park::record();
            let cause = if record.status != 0 { record.status } else { record.exception };
            return Some((self.generation, Sign::Crashed(Cause::Fault(cause))));
        }
        if !self.noticed && self.corrupt {
            self.noticed = true;
            return Some((self.generation, Sign::Crashed(Cause::Corrupt)));
        }
        let heartbeat = self.shared.get(memory::HEARTBEAT).unwrap_or(self.heartbeat);
        if !self.noticed && heartbeat != self.heartbeat {
            self.heartbeat = heartbeat;
            return Some((self.generation, Sign::Heartbeat));
        }
        None
    }
}
