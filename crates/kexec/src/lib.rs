//! Has Linux load another kernel, which a restart then starts in the place of the one that runs: the system call
//! `kexec_file_load` (kexec_file_load(2); `kernel/kexec_file.c`), which the libraries that we use offer only as a number.
//!
//! The kernel reads both files whole, checks the form of the first and, where it is configured so, its signature, and keeps its
//! own copies: the files may go when [`load`] has returned. Nothing happens until a restart by `LINUX_REBOOT_CMD_KEXEC`.
//!
//! This takes the right `CAP_SYS_BOOT`, and a kernel with `CONFIG_KEXEC_FILE`: x86-64 as a rule, 64-bit Arm if it was asked
//! for (Debian 12 does not), user-mode Linux never.
#![deny(unsafe_code)]

use std::{
    ffi::{CStr, CString},
    fmt,
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

#[cfg(not(target_os = "linux"))]
compile_error!("kexec is Linux's; leave tutti-kexec out of builds for other systems");

/// The longest command line that is passed on, with the zero at its end: `COMMAND_LINE_SIZE` of x86-64 and 64-bit Arm.
pub const MAX_COMMAND_LINE: usize = 2048;

/// No flag that any kernel knows, which is seen before anything else is looked at.
const NO_FLAG: libc::c_ulong = 1 << 31;

/// Why another kernel cannot be loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The command line is longer than [`MAX_COMMAND_LINE`], or has a zero in it.
    CommandLine,
    /// This kernel was built without the system call.
    Missing,
    /// This kernel does not allow it: it is switched off, or locked down and what was to be loaded is not signed.
    Forbidden,
    /// The kernel's file is of no form that this kernel starts.
    Form,
    /// It is signed by nobody whom this kernel trusts.
    Signature,
    /// There is too little memory for both.
    Memory,
    /// Something else.
    Other(io::Error),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => {
                write!(f, "the command line has more than {} bytes; shorten it", MAX_COMMAND_LINE - 1)
            }
            Self::Missing => f.write_str("the kernel that runs has no CONFIG_KEXEC_FILE"),
            Self::Forbidden => f.write_str(
                "the kernel that runs does not allow it: kernel.kexec_load_disabled is set, or it is locked down",
            ),
            Self::Form => f.write_str("its kernel is of no form that the kernel that runs can start"),
            Self::Signature => f.write_str("its kernel is signed by nobody whom the kernel that runs trusts"),
            Self::Memory => f.write_str("there is too little memory for its kernel and its system beside what runs"),
            Self::Other(error) => write!(f, "its kernel cannot be loaded: {error}"),
        }
    }
}

impl std::error::Error for LoadError {}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOSYS) => Self::Missing,
            Some(libc::EPERM) => Self::Forbidden,
            Some(libc::ENOEXEC) => Self::Form,
            Some(libc::EKEYREJECTED | libc::ENOKEY | libc::EBADMSG | libc::ENODATA | libc::ENOPKG) => Self::Signature,
            Some(libc::ENOMEM | libc::EADDRNOTAVAIL | libc::EFBIG) => Self::Memory,
            _ => Self::Other(error),
        }
    }
}

/// Loads a kernel with its first file system and its command line. The files are read from their beginning, and nobody may have
/// them open for writing.
///
/// # Errors
/// See [`LoadError`]; then nothing is loaded.
pub fn load(kernel: &File, initramfs: &File, command_line: &str) -> Result<(), LoadError> {
    let line = CString::new(command_line).map_err(|_| LoadError::CommandLine)?;
    if line.as_bytes_with_nul().len() > MAX_COMMAND_LINE {
        return Err(LoadError::CommandLine);
    }
    Ok(kexec_file_load(kernel.as_fd(), initramfs.as_fd(), &line, 0)?)
}

/// Whether this process could have a kernel loaded, as far as that can be known before.
///
/// # Errors
/// [`LoadError::Missing`], [`LoadError::Forbidden`].
pub fn possible() -> Result<(), LoadError> {
    let stdin = io::stdin();
    match kexec_file_load(stdin.as_fd(), stdin.as_fd(), c"", NO_FLAG).map_err(|error| (error.raw_os_error(), error)) {
        // It is there, and would have gone on but for the flag.
        Ok(()) | Err((Some(libc::EINVAL), _)) => Ok(()),
        Err((_, error)) => Err(error.into()),
    }
}

/// The system call. A kernel that has it for no processor like this one has none.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[expect(unsafe_code, reason = "no library that we use has a safe form of this system call")]
fn kexec_file_load(
    kernel: BorrowedFd<'_>,
    initramfs: BorrowedFd<'_>,
    line: &CStr,
    flags: libc::c_ulong,
) -> io::Result<()> {
    let line = line.to_bytes_with_nul();
    // SAFETY: the kernel reads `line.len()` bytes from `line`, which are borrowed until it returns, and writes nothing of ours;
    // both descriptors are open as long. The five arguments are as wide as registers, as `syscall` takes them. What
    // it loads runs only when a process with the right for it restarts the machine by it.
    let done = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            libc::c_long::from(kernel.as_raw_fd()),
            libc::c_long::from(initramfs.as_raw_fd()),
            line.len(),
            line.as_ptr(),
            flags,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn kexec_file_load(_: BorrowedFd<'_>, _: BorrowedFd<'_>, _: &CStr, _: libc::c_ulong) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> [File; 2] {
        [(); 2].map(|()| tempfile::tempfile().unwrap())
    }

    /// Whoever runs this may have the right or not, and the kernel the call or not; an empty file is a kernel nowhere.
    #[test]
    fn an_empty_file_is_no_kernel() {
        let [kernel, initramfs] = two();
        let error = load(&kernel, &initramfs, "console=ttyS0").unwrap_err();
        assert!(!matches!(error, LoadError::CommandLine), "{error}");
        match possible() {
            Ok(()) => assert!(!matches!(error, LoadError::Missing | LoadError::Forbidden), "{error}"),
            Err(why) => assert_eq!(why.to_string(), error.to_string()),
        }
    }

    #[test]
    fn a_command_line_has_its_limit() {
        let [kernel, initramfs] = two();
        let with = |line: &str| load(&kernel, &initramfs, line).unwrap_err();
        assert!(matches!(with("a\0b"), LoadError::CommandLine));
        assert!(matches!(with(&"x".repeat(MAX_COMMAND_LINE)), LoadError::CommandLine));
        assert!(!matches!(with(&"x".repeat(MAX_COMMAND_LINE - 1)), LoadError::CommandLine));
    }

    #[test]
    fn each_refusal_has_its_words() {
        let said = |number: i32| LoadError::from(io::Error::from_raw_os_error(number)).to_string();
        assert!(said(libc::ENOSYS).contains("CONFIG_KEXEC_FILE"));
        assert!(said(libc::EPERM).contains("locked down"));
        assert!(said(libc::ENOEXEC).contains("no form"));
        assert!(said(libc::EKEYREJECTED).contains("signed by nobody"));
        assert!(said(libc::ENOMEM).contains("too little memory"));
        assert!(said(libc::EIO).contains("cannot be loaded"));
    }
}
