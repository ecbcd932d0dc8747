//! How an image is booted on this machine: the words of the emulator's command line, and nothing is run here.

use std::path::{Path, PathBuf};

use crate::{
    board::boards,
    manifest::{Manifest, Profile, Role},
    size::Size,
};

/// The socket of the emulator's monitor, in the folder of the members.
pub const MONITOR: &str = "monitor";
/// What the emulated device is to have.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Memory; the board's if left out.
    pub ram: Option<Size>,
    /// A socket that the serial line of a microcontroller is served on.
    pub line: Option<PathBuf>,
    /// More words for the kernel's command line.
    pub words: Vec<String>,
    /// A disk, as a file.
    pub disk: Option<PathBuf>,
}

/// Why it cannot be booted here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CannotRun(pub String);

impl std::fmt::Display for CannotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CannotRun {}

/// Whether its standard input is the cable of its network.
pub fn has_cable(manifest: &Manifest) -> bool {
    manifest.board == USER_MODE
}

/// What the monitor is told when the system may end: three keys, or the power button. (User-mode Linux has no monitor unless its
/// kernel is configured so.)
pub fn end(manifest: &Manifest) -> Option<String> {
    Some(boards().remove(&manifest.board)?.end? + "\n")
}

/// The board that is a program of this machine.
const USER_MODE: &str = "user-mode-linux";

/// The program and its arguments. `members` is the folder that the image's members were written to.
///
/// # Errors
/// No emulator is known for the board.
pub fn command(manifest: &Manifest, members: &Path, machine: &Machine) -> Result<Vec<String>, CannotRun> {
    let mut boards = boards();
    let Some(board) = boards.remove(&manifest.board) else {
        return Err(CannotRun(format!("no emulator is known for {}", manifest.board)));
    };
    let at = |name: &str| members.join(name).display().to_string();
    let ram = machine.ram.unwrap_or(board.ram);
    let line = [vec![manifest.command_line.clone()], machine.words.clone()].concat().join(" ");
    if has_cable(manifest) {
        return Ok(user_mode(&at, ram, &line, machine));
    }
    let mut words = board.emulator.clone();
    if words.is_empty() {
        return Err(CannotRun(format!("no emulator is known for {}", manifest.board)));
    }
    let mut more = |list: &[&str]| words.extend(list.iter().map(|it| (*it).to_owned()));
    match manifest.profile {
        Profile::Standard => {
            more(&["-m", &format!("{}M", ram.0 >> 20), "-display", "none", "-serial", "stdio"]);
            let monitor = format!("unix:{},server=on,wait=off", at(MONITOR));
            more(&["-monitor", &monitor, "-kernel", &at("kernel"), "-initrd", &at("initramfs"), "-append", &line]);
            more(&["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="]);
            // What it starts anew for is on its disk; without one, whatever went wrong would go wrong for ever.
            if machine.disk.is_none() {
                more(&["-no-reboot"]);
            }
            if let Some(disk) = &machine.disk {
                more(&["-drive", &format!("if=virtio,format=raw,file={}", disk.display())]);
            }
            // Behind the disk with the state, if there is one.
            if manifest.members.iter().any(|member| member.role == Role::System) {
                more(&["-drive", &format!("if=virtio,format=raw,readonly=on,file={}", at("system"))]);
            }
        }
        Profile::Mini | Profile::Core => {
            more(&["-display", "none", "-monitor", "none", "-kernel", &at("firmware.elf")]);
            more(&["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
            if let Some(line) = &machine.line {
                more(&["-serial", &format!("unix:{},server=on,wait=off", line.display()), "-serial", "null"]);
            }
        }
    }
    Ok(words)
}

fn user_mode(at: &dyn Fn(&str) -> String, ram: Size, line: &str, machine: &Machine) -> Vec<String> {
    let mut words = vec![at("kernel"), format!("mem={}M", ram.0 >> 20), format!("initrd={}", at("initramfs"))];
    // Its standard input is the cable of its network, see `usernet`.
    words.extend(["con0=null,fd:1", "vec0:transport=fd,fd=0,vec=0", "con=null", "ssl=null"].map(str::to_owned));
    words.push(match &machine.disk {
        Some(disk) => format!("ubd0={}", disk.display()),
        None => "noreboot".to_owned(),
    });
    // `tty0` is the first console of a PC, and of this kernel.
    words.extend(line.split_whitespace().map(str::to_owned));
    words
}
