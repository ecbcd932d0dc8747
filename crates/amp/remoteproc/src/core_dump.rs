//! What is left of a core that crashed, as an ELF core file: `gdb firmware.elf core` opens it.
//!
//! The layout is that of the System V ABI; registers are a `NT_PRSTATUS` note as Linux writes it
//! (`include/linux/elfcore.h`, and each processor's `elf_gregset_t`).

use core::fmt;

use tutti_metal::{DeviceAddr, Memory};

use crate::elf::{Class, Machine, PT_LOAD, PT_NOTE};
use crate::{NotMapped, Spaces};

/// A range of the remote's memory to keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Area {
    /// Where it starts.
    pub da: DeviceAddr,
    /// How many bytes.
    pub len: u64,
    /// 1 to run, 2 to write, 4 to read.
    pub flags: u32,
}

/// The registers of one thread, or of the whole core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registers<'a> {
    /// In the order of the processor's `elf_gregset_t`; those that are missing read as zero. Arm: r0 to r15, cpsr. 64-bit Arm:
    /// x0 to x30, sp, pc, pstate. RISC-V: pc, x1 to x31. 64-bit x86: r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx,
    /// rdx, rsi, rdi, orig_rax, rip, cs, eflags, rsp, ss, ….
    pub values: &'a [u64],
    /// What ended it, as a signal of Unix: 11 for a bad address, 4 for a bad instruction, 6 for a panic.
    pub signal: u16,
    /// What to call the thread.
    pub thread: u32,
}

/// Why there is no core file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DumpError<E> {
    /// An area is nowhere in the remote's memories.
    NotMapped(NotMapped),
    /// More areas than a core file can list.
    TooMany(usize),
    /// The registers of this processor are not known here.
    Machine(Machine),
    /// An address or a length does not fit into a file of 32 bits.
    TooWide(u64),
    /// The bytes could not be kept.
    Write(E),
}

impl<E: fmt::Display> fmt::Display for DumpError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMapped(error) => write!(f, "the core dump names memory that the remote has not: {error}"),
            Self::TooMany(count) => write!(f, "a core file lists at most 65,000 areas, not {count}; join some"),
            Self::Machine(machine) => {
                write!(
                    f,
                    "how registers of the machine {} stand in a core file is not known here; leave them out",
                    machine.0
                )
            }
            Self::TooWide(value) => write!(f, "{value:#x} does not fit into a core file of 32 bits"),
            Self::Write(error) => write!(f, "the core file cannot be written: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for DumpError<E> {}

/// A core file to be written.
#[derive(Clone, Copy, Debug)]
pub struct CoreDump<'a> {
    /// The width of the firmware's addresses.
    pub class: Class,
    /// Its processor.
    pub machine: Machine,
    /// What to keep.
    pub areas: &'a [Area],
    /// The registers, if they are known.
    pub registers: &'a [Registers<'a>],
}

/// The bytes of a note in front of its contents: the header, and `CORE` filled up.
const NOTE: usize = 12 + 8;

impl CoreDump<'_> {
    /// Writes the file, from front to back, by handing its pieces to `to`.
    ///
    /// # Errors
    /// See [`DumpError`]. Nothing was written if it is about the areas.
    pub fn write<M: Memory, E>(
        &self,
        memories: &Spaces<'_, M>,
        mut to: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), DumpError<E>> {
        let status = self.status_len()?;
        let notes = (NOTE + status) * self.registers.len();
        let segments = self.areas.len() + usize::from(notes > 0);
        let count = u16::try_from(segments).ok().filter(|&count| count <= 65_000);
        let count = count.ok_or(DumpError::TooMany(segments))?;
        for area in self.areas {
            memories.locate(area.da, area.len).map_err(DumpError::NotMapped)?;
            self.narrow(area.da.0)?;
            self.narrow(area.len)?;
        }
        let mut put = |bytes: &[u8]| to(bytes).map_err(DumpError::Write);
        let front = self.class.header_len() + self.class.segment_len() * segments;
        put(self.header(count).bytes())?;
        let mut offset = front as u64 + notes as u64;
        if notes > 0 {
            put(self.segment(PT_NOTE, front as u64, 0, notes as u64, 4).bytes())?;
        }
        for area in self.areas {
            self.narrow(offset)?;
            put(self.segment(PT_LOAD, offset, area.da.0, area.len, area.flags).bytes())?;
            offset += area.len;
        }
        for registers in self.registers {
            self.note(registers, status, &mut put)?;
        }
        for area in self.areas {
            let mut done = 0;
            let mut chunk = [0; 512];
            while done < area.len {
                let step = (area.len - done).min(512) as usize;
                let piece = chunk.get_mut(..step).unwrap_or(&mut []);
                memories.read(DeviceAddr(area.da.0 + done), piece).map_err(DumpError::NotMapped)?;
                put(piece)?;
                done += step as u64;
            }
        }
        Ok(())
    }

    fn narrow<E>(&self, value: u64) -> Result<(), DumpError<E>> {
        match self.class {
            Class::Elf32 if value > u64::from(u32::MAX) => Err(DumpError::TooWide(value)),
            _ => Ok(()),
        }
    }

    fn fields(&self) -> Fields {
        Fields { class: self.class, bytes: [0; 64], len: 0 }
    }

    fn header(&self, segments: u16) -> Fields {
        let mut out = self.fields();
        let class = if self.class == Class::Elf32 { 1 } else { 2 };
        out.put(&[0x7f, b'E', b'L', b'F', class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.half(4);
        out.half(self.machine.0);
        out.word(1);
        out.wide(0);
        out.wide(self.class.header_len() as u64);
        out.wide(0);
        out.word(0);
        out.half(self.class.header_len() as u16);
        out.half(self.class.segment_len() as u16);
        out.half(segments);
        out.put(&[0; 6]);
        out
    }

    fn segment(&self, kind: u32, offset: u64, da: u64, len: u64, flags: u32) -> Fields {
        let mut out = self.fields();
        let in_memory = if kind == PT_LOAD { len } else { 0 };
        out.word(kind);
        if self.class == Class::Elf64 {
            out.word(flags);
        }
        for value in [offset, da, da, len, in_memory] {
            out.wide(value);
        }
        if self.class == Class::Elf32 {
            out.word(flags);
        }
        out.wide(if kind == PT_LOAD { 1 } else { 4 });
        out
    }

    /// How many registers `elf_gregset_t` has.
    fn register_count<E>(&self) -> Result<usize, DumpError<E>> {
        match (self.machine, self.class) {
            (Machine::ARM, Class::Elf32) => Ok(18),
            (Machine::AARCH64, Class::Elf64) => Ok(34),
            (Machine::X86_64, Class::Elf64) => Ok(27),
            (Machine::RISCV, _) => Ok(32),
            _ => Err(DumpError::Machine(self.machine)),
        }
    }

    /// The bytes of `struct elf_prstatus`.
    fn status_len<E>(&self) -> Result<usize, DumpError<E>> {
        if self.registers.is_empty() {
            return Ok(0);
        }
        let count = self.register_count()?;
        Ok(match self.class {
            Class::Elf32 => 72 + 4 * count + 4,
            Class::Elf64 => 112 + 8 * count + 8,
        })
    }

    fn note<E>(
        &self,
        registers: &Registers<'_>,
        status: usize,
        put: &mut impl FnMut(&[u8]) -> Result<(), DumpError<E>>,
    ) -> Result<(), DumpError<E>> {
        let count = self.register_count()?;
        let mut head = self.fields();
        head.word(5);
        head.word(status as u32);
        head.word(1);
        head.put(b"CORE\0\0\0\0");
        put(head.bytes())?;
        // siginfo (signal, code, errno), the signal again, padding, then pending and held signals, and the thread.
        let mut front = self.fields();
        front.word(u32::from(registers.signal));
        front.put(&[0; 8]);
        front.half(registers.signal);
        front.half(0);
        front.wide(0);
        front.wide(0);
        front.word(registers.thread);
        put(front.bytes())?;
        let (behind, times) = if self.class == Class::Elf32 { (28, 72) } else { (36, 112) };
        put([0; 128].get(..times - behind).unwrap_or(&[]))?;
        for index in 0..count {
            let mut out = self.fields();
            out.wide(registers.values.get(index).copied().unwrap_or(0));
            put(out.bytes())?;
        }
        let mut end = self.fields();
        end.wide(0);
        put(end.bytes())
    }
}

/// A few numbers in a row.
struct Fields {
    class: Class,
    bytes: [u8; 64],
    len: usize,
}

impl Fields {
    fn put(&mut self, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
    fn half(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }
    fn word(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }
    fn wide(&mut self, value: u64) {
        match self.class {
            Class::Elf32 => self.word(value as u32),
            Class::Elf64 => self.put(&value.to_le_bytes()),
        }
    }
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}
