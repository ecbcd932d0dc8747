//! Whether a system can be started, as far as its kernel goes.
//!
//! A system for the kernel that runs takes the place of the one that runs, and that kernel goes on. A system for another kernel
//! brings that as a member, and the running one starts it in its own place (`kexec_file_load`). From there on it is as if the boot medium
//! had started it: there is no way back but a restart, which the boot record has counted.
//!
//! # What can be known before
//!
//! An image that this device cannot start is refused when it comes, with the reason: a kernel that cannot start others (the first program
//! of the boot medium asks it, see [`System::other_kernels`](crate::System)), an image without a kernel, a kernel of a form that is
//! not started so, too little memory. What is left for the trial: a kernel that is locked down and does not trust the signature of the
//! other, and one that does not get along with the hardware.

use std::{
    fmt,
    io::{self, Read},
};

/// Bytes of a kernel that say what it is.
const LOOKED_AT: usize = 0x400;

/// Memory for what runs meanwhile, a first stage, and for the kernel as it unpacks itself, which is room that Linux sets aside when it
/// loads it (64 MiB for Debian 12's, `init_size` of its head). A device that runs out of memory there panics.
const BESIDES: u64 = 96 << 20;

/// How many times the members are in memory until they are loaded: as files that were checked, as the kernel has read them, and where
/// it has put them for the restart.
const TIMES: u64 = 3;

/// The machine that runs, as far as kernels go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// The release of its kernel.
    pub release: String,
    /// Its processor, as Linux calls it.
    pub architecture: String,
    /// Its memory in bytes.
    pub memory: u64,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let name = rustix::system::uname();
        let about = rustix::system::sysinfo();
        let memory = (about.totalram as u64).saturating_mul(about.mem_unit.into());
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        Self { release: text(name.release()), architecture: text(name.machine()), memory }
    }
}

/// How a system is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By the kernel that runs.
    SameKernel,
    /// By its own.
    OwnKernel,
}

/// Why a system for another kernel cannot be started.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoWay {
    /// The image has no kernel.
    NoKernel,
    /// This device cannot start others.
    Cannot(String),
    /// What it has as a kernel is none that is started so.
    Form(&'static str),
    /// There is too little memory.
    Memory {
        /// Bytes that it takes.
        needs: u64,
        /// Bytes that there are.
        has: u64,
    },
}

impl fmt::Display for NoWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKernel => f.write_str("the image carries no kernel"),
            Self::Cannot(why) => f.write_str(why),
            Self::Form(wanted) => write!(f, "what it carries is no kernel that Linux starts another by: {wanted}"),
            Self::Memory { needs, has } => write!(
                f,
                "starting another kernel with this system takes {} MiB of memory, of which there are {}",
                needs.div_ceil(1 << 20),
                has >> 20
            ),
        }
    }
}

/// How this image is started on this machine. Its kernel's form is another question: [`look`].
///
/// # Errors
/// See [`NoWay`].
pub fn way(head: &crate::Head, machine: &Machine, other_kernels: &Result<(), String>) -> Result<Way, NoWay> {
    if head.manifest.is_for_kernel(&machine.release) {
        return Ok(Way::SameKernel);
    }
    other_kernels.clone().map_err(NoWay::Cannot)?;
    let kernel = head.size_of(&["kernel"]).ok_or(NoWay::NoKernel)?;
    let system = head.size_of(&["initramfs", "system"]).unwrap_or_default();
    let needs = kernel.saturating_add(system).saturating_mul(TIMES).saturating_add(BESIDES);
    if needs > machine.memory {
        return Err(NoWay::Memory { needs, has: machine.memory });
    }
    Ok(Way::OwnKernel)
}

/// Whether this is a kernel of a form that Linux on this processor starts another by, judging by its beginning.
///
/// # Errors
/// It cannot be read.
pub fn look(kernel: &mut dyn Read, machine: &Machine) -> io::Result<Result<(), NoWay>> {
    let mut beginning = Vec::with_capacity(LOOKED_AT);
    kernel.take(LOOKED_AT as u64).read_to_end(&mut beginning)?;
    Ok(has_form(&beginning, &machine.architecture).map_err(NoWay::Form))
}

fn has_form(kernel: &[u8], architecture: &str) -> Result<(), &'static str> {
    let byte = |at: usize| kernel.get(at).copied().unwrap_or_default();
    match architecture {
        // `bzImage64_probe` of arch/x86/kernel/kexec-bzimage64.c, Documentation/arch/x86/boot.rst: protocol 2.12, loaded high, entered
        // with 64 bits, at any place.
        "x86_64" => {
            let version = u16::from_le_bytes([byte(0x206), byte(0x207)]);
            let boots = kernel.get(0x1fe..0x200) == Some(&[0x55, 0xaa]) && kernel.get(0x202..0x206) == Some(b"HdrS");
            let fits = version >= 0x020c && byte(0x211) & 1 != 0 && byte(0x236) & 3 == 3;
            if boots && fits { Ok(()) } else { Err("on x86-64 it takes a bzImage of 64 bits") }
        }
        // `image_probe` of arch/arm64/kernel/kexec_image.c, Documentation/arch/arm64/booting.rst.
        "aarch64" if kernel.get(56..60) == Some(b"ARM\x64") => Ok(()),
        "aarch64" => Err("on 64-bit Arm it takes an Image that is not compressed"),
        _ => Err("only kernels for x86-64 and 64-bit Arm are"),
    }
}

/// Kernels by their looks.
#[cfg(any(test, feature = "test-utils"))]
pub mod testing {
    /// The beginning of one for a PC.
    pub fn for_a_pc() -> Vec<u8> {
        let mut kernel = vec![0; super::LOOKED_AT];
        kernel[0x1fe..0x208].copy_from_slice(b"\x55\xaa\xeb\x6aHdrS\x0f\x02");
        kernel[0x211] = 1;
        kernel[0x236] = 0x3f;
        kernel
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Made, key};

    fn head(made: &Made) -> crate::Head {
        crate::Head::read(&mut made.sign(&key(1).0).as_slice(), key(1).1).unwrap()
    }

    fn machine() -> Machine {
        Machine { release: "6.1.0-40-amd64".into(), architecture: "x86_64".into(), memory: 256 << 20 }
    }

    #[test]
    fn a_system_is_started_by_the_kernel_that_it_is_for() {
        let of = |kernel: &str| Made::new("gateway", "2.0.0", &[0; 1 << 20]).for_kernel(kernel).kernel(&[0; 1 << 20]);
        let way = |made: &Made, others: &Result<(), String>| way(&head(made), &machine(), others);
        let no: Result<(), String> = Err("not here".into());
        for kernel in ["", "6.1.0-40-amd64", "Linux/6.1.0-40-amd64"] {
            assert_eq!(way(&of(kernel), &no), Ok(Way::SameKernel), "{kernel}");
        }
        for kernel in ["6.1.0-40", "6.1.0-40-amd64x", "6.1.0-41-cloud-amd64"] {
            assert_eq!(way(&of(kernel), &Ok(())), Ok(Way::OwnKernel), "{kernel}");
            assert_eq!(way(&of(kernel), &no), Err(NoWay::Cannot("not here".into())));
        }
        let without = Made::new("gateway", "2.0.0", b"x").for_kernel("6.1.0-41");
        assert_eq!(way(&without, &Ok(())), Err(NoWay::NoKernel));
    }

    #[test]
    fn it_takes_memory_for_both() {
        let large = Made::new("gateway", "2.0.0", &[0; 2 << 20]).for_kernel("6.1.0-41").kernel(&[0; 1 << 20]);
        let with = |memory| way(&head(&large), &Machine { memory, ..machine() }, &Ok(()));
        let needs = TIMES * (3 << 20) + BESIDES;
        assert_eq!(with(needs), Ok(Way::OwnKernel));
        let refused = with(needs - 1).unwrap_err();
        assert_eq!(refused, NoWay::Memory { needs, has: needs - 1 });
        assert!(refused.to_string().contains("takes 105 MiB of memory, of which there are 104"), "{refused}");
    }

    #[test]
    fn kernels_are_known_by_their_looks() {
        let look = |bytes: &[u8], architecture: &str| {
            look(&mut &bytes[..], &Machine { architecture: architecture.into(), ..machine() }).unwrap()
        };
        let pc = testing::for_a_pc();
        assert_eq!(look(&pc, "x86_64"), Ok(()));
        for at in [0x1fe, 0x202, 0x207, 0x211, 0x236] {
            let mut other = pc.clone();
            other[at] = 0;
            assert!(matches!(look(&other, "x86_64"), Err(NoWay::Form(_))), "{at:#x}");
        }
        let mut arm = vec![0; 64];
        arm[56..60].copy_from_slice(b"ARM\x64");
        assert_eq!(look(&arm, "aarch64"), Ok(()));
        assert!(look(&pc, "aarch64").is_err() && look(&arm, "x86_64").is_err());
        assert!(look(&arm, "riscv64").is_err() && look(b"", "aarch64").is_err() && look(b"\x7fELF", "x86_64").is_err());
        assert!(Machine::here().memory > 1 << 20 && !Machine::here().release.is_empty());
    }
}
