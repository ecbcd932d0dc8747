//! The hardware that the kernel knows of, now and as it comes and goes: its modules, and its files below `/dev` where the
//! kernel does not make them itself.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, makedev, mknodat},
    io::Errno,
    net::{AddressFamily, RecvFlags, SocketFlags, SocketType, netlink, sockopt},
};

use crate::{
    log::Log,
    modules::load::Loader,
    settings::Device,
    uevent::{self, Uevent},
};

/// How deep a tree of devices is followed; the deepest that were seen have some 20 levels.
const DEPTH: usize = 40;

/// Messages that are taken at one time.
const AT_ONCE: usize = 256;

/// Room for messages while modules are loaded, in bytes.
const ROOM: usize = 4 << 20;

/// The hardware.
pub(crate) struct Devices {
    loader: Loader,
    /// Whether the files below `/dev` are ours to make.
    make_files: bool,
    socket: Option<OwnedFd>,
}

impl Devices {
    /// Listens from now on; what is there already is looked for by [`Devices::look`].
    pub(crate) fn new(make_files: bool, log: &mut Log) -> Self {
        let socket = listen().map_err(|error| {
            log.say(format_args!(
                "the kernel's messages on hardware cannot be heard: {error}; what is plugged in later is not noticed"
            ));
        });
        Self { loader: Loader::new(Path::new("/lib/modules")), make_files, socket: socket.ok() }
    }

    pub(crate) fn fd(&self) -> Option<impl AsFd> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    pub(crate) fn available(&self) -> usize {
        self.loader.available()
    }

    /// Loads a module that was asked for by its name.
    pub(crate) fn load(&mut self, module: &str, log: &mut Log) {
        if let Err(error) = self.loader.load(module) {
            log.say(format_args!("module {module} was not loaded: {error}"));
        }
    }

    /// Takes everything that is there.
    pub(crate) fn look(&mut self, log: &mut Log) {
        if self.make_files {
            // What has a file is listed here, hardware or not (`/dev/null`).
            for (list, kind) in
                [("/sys/dev/char", FileType::CharacterDevice), ("/sys/dev/block", FileType::BlockDevice)]
            {
                for folder in folders(Path::new(list)) {
                    if let Some(event) = read(&folder) {
                        make(&event, kind, log);
                    }
                }
            }
        }
        self.walk(Path::new("/sys/devices"), DEPTH, log);
    }

    fn walk(&mut self, folder: &Path, depth: usize, log: &mut Log) {
        if let Some(event) = read(folder) {
            self.drive(&event, log);
        }
        if depth > 0 {
            for inner in folders(folder) {
                if !inner.is_symlink() {
                    self.walk(&inner, depth - 1, log);
                }
            }
        }
    }

    /// Takes what the kernel has told since the last time.
    pub(crate) fn hear(&mut self, log: &mut Log) {
        let Some(socket) = &self.socket else { return };
        let mut events = Vec::new();
        let mut lost = false;
        let mut buffer = [0; uevent::MAX];
        for _ in 0..AT_ONCE {
            match rustix::net::recvfrom(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                // Only the kernel has the number zero; others who may send here are not believed.
                Ok((len, _, from)) => {
                    let from = from.and_then(|from| netlink::SocketAddrNetlink::try_from(from).ok());
                    if from.is_some_and(|from| from.pid() == 0) {
                        events.extend(Uevent::of_message(buffer.get(..len).unwrap_or_default()));
                    }
                }
                Err(Errno::NOBUFS) => lost = true,
                Err(_) => break,
            }
        }
        for event in events {
            self.happened(&event, log);
        }
        if lost {
            log.say("the kernel told more of its hardware than could be heard; looking at all of it again");
            self.look(log);
        }
    }

    fn happened(&mut self, event: &Uevent, log: &mut Log) {
        let block = event.subsystem.as_deref() == Some("block");
        match event.action.as_str() {
            "add" => {
                if self.make_files {
                    make(event, if block { FileType::BlockDevice } else { FileType::CharacterDevice }, log);
                }
                self.drive(event, log);
            }
            "remove" if self.make_files => {
                if let Some((name, _, _)) = event.node() {
                    // Nobody minds if it was not there.
                    let _ = fs::remove_file(Path::new("/dev").join(name));
                }
            }
            _ => {}
        }
    }

    fn drive(&mut self, event: &Uevent, log: &mut Log) {
        let Some(modalias) = &event.modalias else { return };
        let (new, failed) = self.loader.drive(modalias);
        if !new.is_empty() {
            log.say(format_args!("loaded {} for {modalias}", new.join(", ")));
        }
        for (module, error) in failed {
            log.say(format_args!("module {module} for {modalias} was not loaded: {error}"));
        }
    }
}

/// The file of a block device, once it is there.
pub(crate) fn find(device: &Device) -> Option<PathBuf> {
    match device {
        Device::Path(path) => path.exists().then(|| path.clone()),
        Device::Label(label) => folders(Path::new("/sys/class/block")).into_iter().find_map(|folder| {
            let event = read(&folder)?;
            let path = Path::new("/dev").join(event.node()?.0);
            (event.partname.as_deref() == Some(label) && path.exists()).then_some(path)
        }),
    }
}

fn listen() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::KOBJECT_UEVENT))?;
    // Without the larger room it goes as well, only less surely.
    let _ = sockopt::set_socket_recv_buffer_size_force(&socket, ROOM);
    rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, 1))?;
    Ok(socket)
}

/// The folders in a folder, in the order of their names; links to folders too.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort_unstable();
    found
}

fn read(folder: &Path) -> Option<Uevent> {
    let text = fs::read_to_string(folder.join("uevent")).ok()?;
    Some(Uevent::of_file(&text))
}

fn make(event: &Uevent, kind: FileType, log: &mut Log) {
    let Some((name, major, minor)) = event.node() else { return };
    let path = Path::new("/dev").join(name);
    let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
    // What every program may use; all else is root's.
    let open = matches!(name, "null" | "zero" | "full" | "random" | "urandom" | "tty" | "ptmx");
    let mode = Mode::from_raw_mode(if open { 0o666 } else { 0o600 });
    let made = parent.and_then(|()| match mknodat(CWD, &path, kind, mode, makedev(major, minor)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    });
    if let Err(error) = made {
        log.say(format_args!("/dev/{name} cannot be made: {error}"));
    }
}
