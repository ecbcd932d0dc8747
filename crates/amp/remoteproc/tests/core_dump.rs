//! Core files: their bytes, and that `readelf` and `gdb` open them. The layer `gdb` sees to it that both are there.
#![forbid(unsafe_code)]

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tutti_metal::{DeviceAddr, Memory, Owned, PhysAddr};
use tutti_remoteproc::core_dump::{Area, CoreDump, DumpError, Registers};
use tutti_remoteproc::elf::{Class, Machine};
use tutti_remoteproc::{Space, Spaces};

fn space(da: u64, len: usize) -> Space<Owned> {
    let (da, pa) = (DeviceAddr(da), PhysAddr(da));
    Space { name: "ram", da, pa, memory: Owned::allocate(len, da).unwrap() }
}

fn written(dump: &CoreDump<'_>, spaces: &[Space<Owned>]) -> Result<Vec<u8>, DumpError<std::convert::Infallible>> {
    let mut file = Vec::new();
    dump.write(&Spaces(spaces), |bytes| {
        file.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok(file)
}

/// What a program that may not be installed says; `None` if it is not.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).stdin(Stdio::null()).output() {
        Ok(output) => Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(std::env::var_os("TUTTI_GDB").is_none(), "the layer gdb needs {program}");
            eprintln!("skipped: {program} is not installed");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

#[test]
fn readelf_reads_areas_and_registers_of_both_widths() {
    let spaces = [space(0x2000_0000, 4096)];
    spaces[0].memory.copy_in(16, b"firmware").unwrap();
    let areas = [
        Area { da: DeviceAddr(0x2000_0000), len: 24, flags: 6 },
        Area { da: DeviceAddr(0x2000_0100), len: 1000, flags: 4 },
    ];
    let values: Vec<u64> = (0..34).map(|i| 0x1000 + i).collect();
    let registers = [Registers { values: &values, signal: 11, thread: 1 }];
    for (class, machine, name, status) in [
        (Class::Elf32, Machine::ARM, "ARM", 148),
        (Class::Elf64, Machine::AARCH64, "AArch64", 392),
        (Class::Elf64, Machine::X86_64, "X86-64", 336),
        (Class::Elf32, Machine::RISCV, "RISC-V", 204),
        (Class::Elf64, Machine::RISCV, "RISC-V", 376),
    ] {
        let file = written(&CoreDump { class, machine, areas: &areas, registers: &registers }, &spaces).unwrap();
        assert!(file.windows(8).any(|bytes| bytes == b"firmware"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("core");
        fs::write(&path, &file).unwrap();
        let Some(shown) = output("readelf", &["-W", "-h", "-l", "-n", path.to_str().unwrap()]) else { return };
        assert!(shown.contains("CORE (Core file)") && shown.contains(name), "{shown}");
        assert_eq!(shown.matches(" LOAD ").count(), 2, "{shown}");
        assert!(shown.contains(&format!("0x{status:08x}")) && shown.contains("NT_PRSTATUS"), "{shown}");
        assert!(!shown.to_lowercase().contains("warning") && !shown.to_lowercase().contains("error"), "{shown}");
    }
}

#[test]
fn what_cannot_be_dumped_is_refused_before_anything_is_written() {
    let spaces = [space(0x2000_0000, 4096)];
    let area = Area { da: DeviceAddr(0x2000_0000), len: 4097, flags: 6 };
    let dump = CoreDump { class: Class::Elf32, machine: Machine::ARM, areas: &[area], registers: &[] };
    assert!(matches!(written(&dump, &spaces), Err(DumpError::NotMapped(_))));
    let registers = [Registers { values: &[], signal: 6, thread: 0 }];
    let dump = CoreDump { machine: Machine(94), areas: &[], registers: &registers, ..dump };
    assert!(matches!(written(&dump, &spaces), Err(DumpError::Machine(Machine(94)))));
    let wide = [space(0x1_0000_0000, 4096)];
    let area = Area { da: DeviceAddr(0x1_0000_0000), len: 16, flags: 6 };
    let dump = CoreDump { areas: &[area], registers: &[], ..dump };
    assert!(matches!(written(&dump, &wide), Err(DumpError::TooWide(0x1_0000_0000))));
    let broken = dump.write(&Spaces(&wide), |_| Err("disk full"));
    assert!(broken.is_err());
}

/// A firmware for the processor that the tests run on, without any library.
#[cfg(target_arch = "x86_64")]
const FIRMWARE: &str = r#"
volatile int depth;
__attribute__((noinline)) void wait_for_ever(int why) {
    depth = why;
    for (;;) __asm__ volatile("syscall" : : "a"(34) : "rcx", "r11", "memory");
}
__attribute__((noinline)) void read_the_sensor(int channel) { wait_for_ever(channel + 40); depth = 1; }
void _start(void) { __asm__ volatile("and $-16, %rsp"); read_the_sensor(2); __builtin_unreachable(); }
"#;

#[cfg(target_arch = "x86_64")]
struct Killed(Child);

#[cfg(target_arch = "x86_64")]
impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A core file of a program that really runs, with its registers and its stack: gdb finds the way into the source.
#[cfg(target_arch = "x86_64")]
#[test]
fn gdb_shows_a_backtrace_into_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("firmware.c"), FIRMWARE).unwrap();
    let flags = ["-g", "-O1", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-nostdlib", "-static", "-no-pie"];
    let (source, elf) = (path("firmware.c"), path("firmware.elf"));
    let arguments: Vec<&str> = flags.into_iter().chain(["-o", &elf, &source]).collect();
    let Some(said) = output("cc", &arguments) else { return };
    assert!(fs::exists(&elf).unwrap(), "{said}");
    let firmware = Killed(Command::new(&elf).spawn().unwrap());
    let process = format!("/proc/{}", firmware.0.id());
    // `pause` is system call 34; the file ends with the stack pointer and the program counter.
    let end = Instant::now() + Duration::from_secs(10);
    let (sp, pc) = loop {
        let mut text = String::new();
        fs::File::open(format!("{process}/syscall")).unwrap().read_to_string(&mut text).unwrap();
        let words: Vec<&str> = text.split_whitespace().collect();
        if let ["34", .., sp, pc] = words[..] {
            let hex = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).unwrap();
            break (hex(sp), hex(pc));
        }
        assert!(Instant::now() < end, "{text}");
        std::thread::sleep(Duration::from_millis(1));
    };
    let stack = sp & !0xfff;
    let spaces = [space(stack, 4096)];
    let mut bytes = [0; 4096];
    fs::File::open(format!("{process}/mem")).unwrap().read_exact_at(&mut bytes, stack).unwrap();
    spaces[0].memory.copy_in(0, &bytes).unwrap();
    let mut values = [0; 27];
    (values[16], values[17], values[19], values[20]) = (pc, 0x33, sp, 0x2b);
    let registers = [Registers { values: &values, signal: 6, thread: 1 }];
    let areas = [Area { da: DeviceAddr(stack), len: 4096, flags: 6 }];
    let dump = CoreDump { class: Class::Elf64, machine: Machine::X86_64, areas: &areas, registers: &registers };
    fs::write(path("core"), written(&dump, &spaces).unwrap()).unwrap();
    let Some(shown) = output("gdb", &["--batch", "-nx", "-ex", "bt", &elf, &path("core")]) else { return };
    for expected in ["SIGABRT", "wait_for_ever", "read_the_sensor", "_start", "firmware.c:5", "firmware.c:7"] {
        assert!(shown.contains(expected), "no {expected} in: {shown}");
    }
}
