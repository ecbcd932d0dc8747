//! From a project to its image: the same project and the same files make the same bytes.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use ed25519_dalek::SigningKey;

use crate::{
    bundle,
    carry::{self, MAX_FIRMWARE},
    cpio::{Archive, Kind},
    elf::Elf,
    fault::{Code, Fault, Faults},
    firmware,
    kernel::{
        Kernel,
        modules::{Store, plain},
    },
    manifest::{Manifest, Member, Part, Profile, Role},
    product::{Firmware, Group},
    project::Project,
    size::Size,
    squashfs, stage, system,
};

pub use system::{ProgramError, Programs, SETTINGS};

/// The largest file that a part carries, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// The part that takes a command that runs apps.
const APPS: &str = "compute";

/// The lines of the chip that the part `gpio-simulated` has made up.
const GPIO_LINES: [&str; 2] = ["button", "lamp"];

/// The window of the compression: 2 MiB.
const WINDOW_LOG: u32 = 21;

/// How hard to compress: zstd's levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all, which every kernel reads.
    None,
    /// zstd: 3 is quick, 19 is small.
    Zstd(i32),
}

/// What an image is built with besides its project.
#[derive(Debug)]
pub struct Options<'a> {
    /// The programs of a standard system.
    pub programs: &'a Programs,
    /// How hard to compress.
    pub compression: Compression,
    /// The key that signs it.
    pub key: &'a SigningKey,
}

/// Why there is no image.
#[derive(Debug)]
pub enum BuildError {
    /// The product is at fault.
    Faults(Box<Faults>),
    /// A program of the system cannot be had.
    Program(ProgramError),
    /// Something else.
    Other(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faults(faults) => f.write_str(&faults.render(false)),
            Self::Program(error) => error.fmt(f),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for BuildError {}

impl From<ProgramError> for BuildError {
    fn from(error: ProgramError) -> Self {
        Self::Program(error)
    }
}

/// An image that was built.
#[derive(Debug)]
pub struct Image {
    /// What is in it.
    pub manifest: Manifest,
    /// Its file.
    pub bytes: Vec<u8>,
}

struct Made {
    role: Role,
    name: &'static str,
    bytes: Vec<u8>,
    why: String,
    files: Vec<crate::manifest::File>,
}

/// Builds an image. `say` hears what is going on.
///
/// # Errors
/// See [`BuildError`].
pub fn build(
    project: &Project,
    kernel: Option<&Kernel>,
    options: &Options<'_>,
    say: &mut dyn FnMut(&str),
) -> Result<Image, BuildError> {
    let builder = Builder { project, options };
    let (made, settings) = match (project.product.profile.value, kernel) {
        (Profile::Standard, Some(kernel)) => builder.standard(kernel, say)?,
        (Profile::Standard, None) => return Err(BuildError::Other("a standard image has a kernel".into())),
        (Profile::Mini | Profile::Core, _) => (builder.mini(say)?, String::new()),
    };
    say("signing");
    let product = &project.product;
    let members = made.iter().map(|made| Member {
        name: made.name.to_owned(),
        role: made.role,
        size: made.bytes.len() as u64,
        digest: bundle::digest(&made.bytes),
        why: made.why.clone(),
        files: made.files.clone(),
    });
    let parts = project.plan.parts.iter().map(|(name, why)| Part { name: name.clone(), why: why.to_string() });
    let manifest = Manifest {
        format: 1,
        product: product.name.value.clone(),
        version: product.version.value.to_string(),
        profile: product.profile.value,
        board: project.target.name.clone(),
        architecture: project.target.architecture.clone(),
        command_line: builder.command_line(kernel),
        kernel: kernel.map(|kernel| kernel.release.clone()).unwrap_or_default(),
        starts_others: kernel.and_then(Kernel::starts_others),
        settings,
        parts: parts.collect(),
        members: members.collect(),
    };
    let bytes: Vec<_> = made.into_iter().map(|made| made.bytes).collect();
    let bytes = bundle::make(&manifest, &bytes, options.key).map_err(|error| BuildError::Other(error.to_string()))?;
    Ok(Image { manifest, bytes })
}

/// The archive that is put behind an image's own to have the device enter a group that the image knows nothing of: the kernel
/// unpacks one after the other, and the later file counts.
/// `once` are commands of `tutti` that the device does when its node is ready.
pub fn overlay(manifest: &Manifest, ticket: Option<&str>, arguments: &[String], once: &[Vec<String>]) -> Vec<u8> {
    let mut archive = Archive::default();
    archive.file(SETTINGS, system::for_group(&manifest.settings, ticket, arguments, once).into_bytes(), "");
    archive.to_bytes()
}

/// The modules that the first process loads without any hardware asking for them.
fn module_names(project: &Project) -> Vec<String> {
    let mut names: Vec<_> = project.modules().into_iter().map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    names
}

struct Builder<'a> {
    project: &'a Project,
    options: &'a Options<'a>,
}

impl Builder<'_> {
    fn command_line(&self, kernel: Option<&Kernel>) -> String {
        let console = self.project.board.as_ref().and_then(|board| board.console.as_ref());
        let console = console.map(|console| format!("console={console}"));
        let own = Some(self.project.product.command_line.clone()).filter(|own| !own.is_empty());
        // The kernel unpacks into a file system that may fill half of the memory, unless it is told to take the one without
        // a limit (`init/do_mounts.c`): a system that did not fit would be cut off in the middle of a file.
        let words = ["panic=10", "rootfstype=ramfs"].map(str::to_owned);
        // Its time goes on running while the device starts anew, or another kernel is started: either may hang.
        let watchdog = self.has_watchdog().then(|| "watchdog.stop_on_reboot=0".to_owned());
        let words = console.into_iter().chain(words).chain(watchdog).chain(self.parameters(kernel)).chain(own);
        match self.project.product.profile.value {
            Profile::Standard => words.collect::<Vec<_>>().join(" "),
            Profile::Mini | Profile::Core => String::new(),
        }
    }

    /// The parameters of modules that are built in, where nobody loads them with these: `module.name=value` (`kernel/params.c`).
    fn parameters(&self, kernel: Option<&Kernel>) -> Vec<String> {
        let all_built_in = kernel.is_some_and(|kernel| kernel.modules.is_none() && kernel.config.is_some());
        let modules = self.project.modules().into_iter().filter(|_| all_built_in);
        let each = modules.flat_map(|(words, _)| {
            let (module, parameters) = words.split_once(' ').unwrap_or((&words, ""));
            let of = |parameter: &str| format!("{}.{parameter}", plain(module));
            parameters.split_whitespace().map(of).collect::<Vec<_>>()
        });
        each.collect()
    }

    fn standard(&self, kernel: &Kernel, say: &mut dyn FnMut(&str)) -> Result<(Vec<Made>, String), BuildError> {
        let project = self.project;
        let lacks = project.hold_against(kernel);
        if !lacks.is_empty() {
            return Err(BuildError::Faults(Box::new(project.faults(lacks))));
        }
        let mut archive = Archive::default();
        system::put_skeleton(&mut archive);
        say("programs and their libraries");
        let architecture = &project.target.architecture;
        let programs = self.options.programs;
        system::put_program(&mut archive, &programs.init, "/init", architecture, "the first process")?;
        let runs_apps = project.plan.parts.contains_key(APPS) || !project.product.apps.is_empty();
        let (tutti, why) = match &programs.without_apps {
            Some(program) if !runs_apps => {
                (program, "the node, without what runs apps, and the command to speak with it")
            }
            _ => (&programs.tutti, "the node, and the command to speak with it"),
        };
        system::put_program(&mut archive, tutti, system::TUTTI, architecture, why)?;
        let wanted = project.modules();
        let packed = stage::is_for(kernel, self.options.compression);
        let mut first = Archive::default();
        if let Some(folder) = &kernel.modules {
            say("modules of the kernel");
            let mut store = Store::open(folder).map_err(|error| BuildError::Other(error.to_string()))?;
            self.modules(&mut archive, kernel, &mut store, &wanted)?;
            if packed {
                let early = stage::modules(&project.product, &project.catalogue, &project.plan);
                self.modules(&mut first, kernel, &mut store, &early)?;
            }
        } else if kernel.config.is_some() && !kernel.release.is_empty() {
            // It was held against the parts above.
            let chosen = stage::all_built_in(&wanted);
            [&mut archive, &mut first].into_iter().for_each(|it| system::put_modules(it, &kernel.release, &chosen));
        } else if let Some((name, why)) = wanted.first() {
            say(&format!("the module {name} is taken to be built in, as no folder of modules is named ({why})"));
        }
        self.files(&mut archive)?;
        archive.file(SETTINGS, self.settings(None).into_bytes(), "what the product says of the device");
        if packed {
            system::put_skeleton(&mut first);
            system::put_program(&mut first, &programs.init, "/init", architecture, "finds the system and enters it")?;
        } else if let Some(disk) = &project.product.system {
            let message = format!("the kernel {} is not known to mount a system from a disk", kernel.release);
            let fault = Fault::new(Code::Kernel, message).at(&disk.span, "it is to be here");
            let help = "take a kernel whose config is named and has BLK_DEV_RAM, SQUASHFS and SQUASHFS_ZSTD (and BLK_DEV_RAM_SIZE, if \
                 that is built in), or take this out";
            return Err(BuildError::Faults(Box::new(project.faults(vec![fault.help(help)]))));
        }
        if project.product.rescue.is_some() {
            self.shell(if packed { &mut first } else { &mut archive })?;
        }
        let mut made = vec![Made {
            role: Role::Kernel,
            name: "kernel",
            bytes: kernel.read().map_err(|error| BuildError::Other(error.to_string()))?,
            why: format!("Linux {}", kernel.release),
            files: Vec::new(),
        }];
        let other = |error: std::io::Error| BuildError::Other(format!("the system cannot be compressed: {error}"));
        let mut settings = self.settings(None);
        match self.options.compression {
            Compression::Zstd(level) if packed => {
                say("compressing the system");
                let system = squashfs::write(&archive, level).map_err(other)?;
                if let Some(most) = stage::most(kernel).filter(|most| system.len() as u64 > *most) {
                    let size = Size(system.len() as u64);
                    let message = format!("the system takes {size}, and the kernel's disk in memory {}", Size(most));
                    let fault = Fault::new(Code::Kernel, message);
                    let help = "build the kernel with a larger BLK_DEV_RAM_SIZE";
                    return Err(BuildError::Faults(Box::new(project.faults(vec![fault.help(help)]))));
                }
                let on_disk = project.product.system.as_ref().map(|disk| system::Packed {
                    device: disk.value.clone(),
                    size: system.len(),
                    digest: bundle::digest(&system),
                });
                settings = self.settings(on_disk.as_ref());
                first.file(
                    SETTINGS,
                    settings.clone().into_bytes(),
                    "where the state is, and what was put behind the image",
                );
                let stage = compress(&first.to_bytes(), level).map_err(other)?;
                let (role, why) = (Role::Initramfs, "finds the system and enters it".to_owned());
                if on_disk.is_some() {
                    let files = stage::files(&first, None);
                    made.push(Made { role, name: "initramfs", bytes: stage, why, files });
                    let why = "the system, for a disk of its own".into();
                    made.push(Made { role: Role::System, name: "system", bytes: system, why, files: archive.files() });
                } else {
                    let files = [archive.files(), stage::files(&first, Some(system.len()))].concat();
                    let why = "the system, which stays compressed in memory, and what enters it".into();
                    made.push(Made { role, name: "initramfs", bytes: stage::with_system(system, &stage), why, files });
                }
            }
            compression => {
                let raw = archive.to_bytes();
                say(&format!("compressing {}", Size(raw.len() as u64)));
                let bytes = match compression {
                    Compression::None => raw,
                    Compression::Zstd(level) => compress(&raw, level).map_err(other)?,
                };
                let (role, why) = (Role::Initramfs, "the system, unpacked into memory".into());
                made.push(Made { role, name: "initramfs", bytes, why, files: archive.files() });
            }
        }
        for initramfs in made.iter().filter(|it| it.role == Role::Initramfs) {
            self.hold_size(initramfs.bytes.len() as u64, "initramfs")?;
        }
        if let Some(chip) = &project.chip {
            let why = "describes the hardware to the kernel".into();
            made.push(Made { role: Role::Tree, name: "tree.dtb", bytes: chip.blob.clone(), why, files: Vec::new() });
        }
        Ok((made, settings))
    }

    fn modules(
        &self,
        archive: &mut Archive,
        kernel: &Kernel,
        store: &mut Store,
        wanted: &[(String, String)],
    ) -> Result<(), BuildError> {
        for (name, part) in self.project.plan.parts.keys().filter_map(|name| {
            let part = self.project.catalogue.parts.get(name)?;
            Some((name, part))
        }) {
            if let Some(need) = part.needs.modules.iter().find(|need| !store.has(&need.value)) {
                let message = format!(
                    "the part {name} needs the module {}, which the kernel {} lacks",
                    need.value, kernel.release
                );
                let mut fault = Fault::new(Code::Kernel, message);
                if let Some(wish) = self.project.product.parts.iter().find(|wish| wish.value == *name) {
                    fault = fault.at(&wish.span, "it is wanted here");
                }
                let fault = fault.at(&need.span, "needed here");
                return Err(self.project.refuse(fault.help("take a kernel that has it, or take the part out")));
            }
        }
        let chosen = store.choose(wanted).map_err(|error| BuildError::Other(error.to_string()))?;
        system::put_modules(archive, &kernel.release, &chosen);
        Ok(())
    }

    /// The rescue shell: one program that is all of the usual commands.
    fn shell(&self, archive: &mut Archive) -> Result<(), BuildError> {
        let Some(shell) = &self.options.programs.shell else {
            return Err(BuildError::Other("the product asks for a rescue shell, and none was named".into()));
        };
        let architecture = &self.project.target.architecture;
        system::put_program(archive, shell, system::SHELL, architecture, "the rescue shell that the product asks for")?;
        // What a person types, and what the first process looks for.
        archive.put("/bin/sh", 0o777, Kind::Link("busybox".into()), "");
        Ok(())
    }

    /// What parts carry, apps, and the firmware of other cores.
    fn files(&self, archive: &mut Archive) -> Result<(), BuildError> {
        let project = self.project;
        for part in project.plan.parts.keys().filter_map(|name| project.catalogue.parts.get(name)) {
            for (to, from) in &part.files {
                let bytes = project.bytes_of(from, MAX_FILE)?;
                let program = bytes.starts_with(b"\x7fELF") || bytes.starts_with(b"#!");
                let why = format!("the part {} carries it", part.name.value);
                if program { archive.program(to, bytes, why) } else { archive.file(to, bytes, why) }
            }
        }
        if self.has_simulated_gpio() {
            let why = "the lines that are driven: of the made-up chip, the lamp";
            archive.file("/etc/tutti/gpio-outputs", b"lamp\n".to_vec(), why);
        }
        carry::put(project, self.options.programs, archive)
    }

    /// Whether the kernel is to make a GPIO chip up.
    fn has_simulated_gpio(&self) -> bool {
        self.project.plan.parts.contains_key("gpio-simulated")
    }

    /// Whether the device is started anew by hardware if it hangs.
    fn has_watchdog(&self) -> bool {
        self.project.plan.parts.contains_key("watchdog")
    }

    fn settings(&self, packed: Option<&system::Packed>) -> String {
        let key = HEXLOWER.encode(self.options.key.verifying_key().as_bytes());
        match self.project.product.profile.value {
            Profile::Standard => {
                let gpio = if self.has_simulated_gpio() { &GPIO_LINES[..] } else { &[] };
                system::settings(
                    &self.project.product,
                    &module_names(self.project),
                    gpio,
                    &key,
                    packed,
                    self.has_watchdog(),
                )
            }
            Profile::Mini | Profile::Core => String::new(),
        }
    }

    fn hold_size(&self, size: u64, what: &str) -> Result<(), BuildError> {
        match &self.project.product.limits.image {
            Some(limit) if size > limit.value.0 => {
                let message = format!("the {what} takes {}, and the product allows {}", Size(size), limit.value);
                let fault = Fault::new(Code::Limit, message).at(&limit.span, "this limit");
                Err(self
                    .project
                    .refuse(fault.help("`tutti image inspect` of an image without the limit shows what is large")))
            }
            _ => Ok(()),
        }
    }

    fn mini(&self, say: &mut dyn FnMut(&str)) -> Result<Vec<Made>, BuildError> {
        let product = &self.project.product;
        let Some(from) = &product.firmware else { return Ok(Vec::new()) };
        let named = from.named();
        let called: &str = match from {
            Firmware::File(file) => &file.value,
            Firmware::Source(_) => "the firmware",
        };
        if let Group::Ticket(_) = product.group {
            say("a satellite joins by its host, so the ticket is not used");
        }
        let bytes = match from {
            Firmware::File(_) => {
                say("the firmware");
                self.project.bytes_of(named, MAX_FIRMWARE)?
            }
            Firmware::Source(source) => firmware::compiled(self.project, source, say)?,
        };
        let elf = Elf::new(&bytes).filter(|elf| !elf.is_wide());
        let Some(elf) = elf else {
            let fault = Fault::new(Code::File, format!("{called} is no ELF file of 32 bits"));
            return Err(self
                .project
                .refuse(fault.at(&named.span, "named here").help("name the file that the linker made")));
        };
        let takes = elf.takes();
        let limits = [
            ("flash", takes.flash, &product.limits.flash, self.project.target.flash),
            ("RAM", takes.ram, &product.limits.ram, Some(self.project.target.ram)),
        ];
        for (what, takes, limit, has) in limits {
            let most = limit.as_ref().map(|limit| limit.value).into_iter().chain(has).min();
            if let Some(most) = most.filter(|most| takes > most.0) {
                let message = format!("{called} takes {} of {what}, and {most} are the most", Size(takes));
                let fault = Fault::new(Code::Limit, message).at(&named.span, "this firmware");
                let span = limit.as_ref().map_or(&self.project.target.span, |limit| &limit.span);
                let help = "leave parts out of the firmware, optimise it for size, or allow more";
                return Err(self.project.refuse(fault.at(span, "the limit").help(help)));
            }
        }
        let bytes = elf.stripped();
        self.hold_size(bytes.len() as u64, "firmware")?;
        let why = format!("the program: {} of flash, {} of RAM", Size(takes.flash), Size(takes.ram));
        Ok(vec![Made { role: Role::Firmware, name: "firmware.elf", bytes, why, files: Vec::new() }])
    }
}

/// With a window that a small device has room for: the kernel holds it besides the archive and what comes out of it.
fn compress(bytes: &[u8], level: i32) -> std::io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(level)?;
    compressor.window_log(WINDOW_LOG)?;
    compressor.compress(bytes)
}

/// Writes a file so that it is whole or not there.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    let work: PathBuf = path.with_file_name(name);
    let written = fs::write(&work, bytes).and_then(|()| fs::rename(&work, path));
    if written.is_err() {
        let _ = fs::remove_file(&work);
    }
    written
}
