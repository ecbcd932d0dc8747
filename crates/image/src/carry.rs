//! What an image carries besides its system: apps, and the firmware of other cores. Checked with the product, put into the archive with the
//! list that the device's node reads ([`tutti_update::carried`]).
//!
//! | what | where in the image |
//! |---|---|
//! | an app's package | `/usr/share/tutti/apps/NAME.app` |
//! | a program that is a core | `/usr/lib/tutti/cores/NAME`, with its libraries; or where the same program is already |
//! | firmware for a processor of the chip | `/lib/firmware/DOMAIN.elf`, where the kernel looks for it |
//! | the list | `/usr/share/tutti/carried.json` |

use std::{fs, path::Path};

use tutti_app::package::{MAX_PACKAGE, Package};
use tutti_model::Name;
use tutti_update::{
    Carried,
    carried::{self, Firmware, Stop},
};

use crate::{
    build::BuildError,
    cpio::Archive,
    elf::Elf,
    fault::{Code, Fault},
    kernel::read_at_most,
    manifest::Profile,
    product::{App, Core, On, Product, Said},
    project::Project,
    resolve::Target,
    system::{self, Programs},
};

/// The largest firmware, in bytes.
pub(crate) const MAX_FIRMWARE: u64 = 64 << 20;
/// The largest program that is a core, in bytes: one with all that debuggers read is large.
const MAX_PROGRAM: u64 = 1 << 30;

/// Everything that is wrong with what a product carries, but for addresses.
pub(crate) fn check(product: &Product, folder: &Path, target: &Target) -> Vec<Fault> {
    let mut faults = apps(product, folder);
    faults.extend(cores(product, folder, target));
    faults
}

fn apps(product: &Product, folder: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(first) = product.apps.first().filter(|_| product.profile.value != Profile::Standard) {
        let fault = Fault::new(Code::Profile, "apps are carried by images of the profile standard alone");
        let fault = fault.at(&first.file.span, "this app").at(&product.profile.span, "the profile");
        faults.push(fault.help("take the apps out, or carry them in the image of the microcontroller's host"));
        return faults;
    }
    if let Some(excess) = product.apps.get(carried::MOST) {
        let fault = Fault::new(Code::Limit, format!("an image carries at most {} apps", carried::MOST));
        faults.push(fault.at(&excess.file.span, "this is one too many").help("take some out"));
    }
    let mut names: Vec<(Name, &App)> = Vec::new();
    for app in product.apps.iter().take(carried::MOST) {
        let name = match package(&folder.join(&app.file.value)) {
            Ok(package) => package.manifest().name,
            Err(why) => {
                let fault = Fault::new(Code::File, format!("{}: {why}", app.file.value)).at(&app.file.span, "this app");
                faults.push(
                    fault.help(
                        "name a package, as `tutti app build` makes it; paths are relative to the product's file",
                    ),
                );
                continue;
            }
        };
        if let Some((_, other)) = names.iter().find(|(other, _)| *other == name) {
            let fault = Fault::new(Code::Conflict, format!("two apps are called {name}"));
            let fault = fault.at(&app.file.span, "this one").at(&other.file.span, "and this one");
            faults.push(fault.help("carry one of them"));
        }
        names.push((name, app));
    }
    faults
}

fn package(path: &Path) -> Result<Package, String> {
    let bytes = read_at_most(path, MAX_PACKAGE as u64).map_err(|error| error.to_string())?;
    Package::parse(&bytes).map_err(|error| error.to_string())
}

fn cores(product: &Product, folder: &Path, target: &Target) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(excess) = product.cores.get(carried::MOST) {
        let fault = Fault::new(Code::Limit, format!("an image carries at most {} cores", carried::MOST));
        faults.push(fault.at(&excess.firmware.span, "this is one too many").help("take some out"));
    }
    for (index, core) in product.cores.iter().enumerate() {
        let name = core.name();
        if let Err(error) = Name::new(&name.value) {
            let fault = Fault::new(Code::Syntax, format!("{:?} cannot be a core's name: {error}", name.value));
            faults.push(fault.at(&name.span, "here").help("choose another name"));
        }
        let is_process = matches!(core.on, On::Process { .. });
        let same =
            |other: &&Core| other.name().value == name.value && (is_process || matches!(other.on, On::Process { .. }));
        if let Some(other) = product.cores.iter().take(index).find(same) {
            let fault = Fault::new(Code::Conflict, format!("two cores are called {}", name.value));
            let fault = fault.at(&name.span, "this one").at(&other.name().span, "and this one");
            faults.push(fault.help("choose another name"));
        }
        if is_process {
            faults.extend(program(core, folder, target));
        }
    }
    faults
}

/// Holds the program of a core against the processor that is to run it.
fn program(core: &Core, folder: &Path, target: &Target) -> Option<Fault> {
    let file = &core.firmware;
    let fault = |code, what: String| Fault::new(code, what).at(&file.span, "named here");
    let bytes = match read_at_most(&folder.join(&file.value), MAX_PROGRAM) {
        Ok(bytes) => bytes,
        Err(error) => {
            let help = "build the program first; paths are relative to the product's file";
            return Some(fault(Code::File, error.to_string()).help(help));
        }
    };
    match Elf::new(&bytes) {
        Some(elf) if system::is_for(&elf, &target.architecture) => None,
        Some(_) => {
            let what = format!("{} is no program for {}", file.value, target.architecture);
            let help =
                "build it for that; firmware for another processor of the chip has domain = \"NAME\" in place of name";
            Some(fault(Code::Hardware, what).at(&target.span, "the hardware").help(help))
        }
        None => {
            let help = "name an ELF file; scripts cannot be cores";
            Some(fault(Code::File, format!("{} is no program of Linux", file.value)).help(help))
        }
    }
}

/// The parts that what is carried takes, each with the place that asks for it.
pub(crate) fn parts(product: &Product) -> Vec<Said<String>> {
    let part = |name: &str, at: &Said<String>| Said { value: name.to_owned(), span: at.span.clone() };
    let runs = product.apps.iter().find(|app| app.run).map(|app| part("compute", &app.file));
    let cores = product.cores.first().map(|core| part("cores", &core.firmware));
    let chip = product.cores.iter().find(|core| matches!(core.on, On::Processor { .. }));
    let chip = chip.map(|core| part("remoteproc", &core.firmware));
    let wanted = |it: &Said<String>| !product.parts.iter().any(|wish| wish.value == it.value);
    runs.into_iter().chain(cores).chain(chip).filter(wanted).collect()
}

/// Puts all that is carried, and the list of it.
pub(crate) fn put(project: &Project, programs: &Programs, archive: &mut Archive) -> Result<(), BuildError> {
    let mut list = Carried::default();
    for app in &project.product.apps {
        let bytes = project.bytes_of(&app.file, MAX_PACKAGE as u64)?;
        let package = Package::parse(&bytes).map_err(|error| {
            let fault = Fault::new(Code::File, format!("{}: {error}", app.file.value)).at(&app.file.span, "this app");
            project.refuse(fault.help("name a package, as `tutti app build` makes it"))
        })?;
        let (name, version) = (&package.manifest().name, package.manifest().version);
        let path = format!("/usr/share/tutti/apps/{name}.app");
        archive.file(&path, bytes, format!("the product carries the app {name} {version}"));
        list.apps.push(carried::App { file: path.into(), run: app.run });
    }
    for core in &project.product.cores {
        let name = core.name().value.clone();
        let firmware = match &core.on {
            On::Processor { domain, processor } => {
                let bytes = project.bytes_of(&core.firmware, MAX_FIRMWARE)?;
                let file = format!("{}.elf", domain.value);
                archive.file(&format!("/lib/firmware/{file}"), bytes, format!("the firmware of the core {name}"));
                let processor = processor.as_ref().unwrap_or(domain).value.clone();
                Firmware::Kernel { file, processor }
            }
            On::Process { arguments, stop, .. } => {
                let program = put_core(project, core, programs, archive)?;
                let stop = stop.clone().map(|(endpoint, bytes)| Stop { endpoint, bytes });
                Firmware::Process { program: program.into(), arguments: arguments.clone(), stop }
            }
        };
        list.cores.push(carried::Core { name, firmware });
    }
    if !list.is_empty() {
        let bytes = list.to_bytes().map_err(|error| BuildError::Other(error.to_string()))?;
        archive.file(carried::FILE, bytes, "says what the node takes up");
    }
    Ok(())
}

/// Puts the program of a core, unless it is in the image; where it is.
fn put_core(project: &Project, core: &Core, programs: &Programs, archive: &mut Archive) -> Result<String, BuildError> {
    let (name, own) = (&core.name().value, project.path(&core.firmware));
    let same = |other: &Path| match (fs::canonicalize(&own), fs::canonicalize(other)) {
        (Ok(own), Ok(other)) => own == other,
        _ => false,
    };
    if same(&programs.tutti) {
        return Ok(system::TUTTI.to_owned());
    }
    let path = format!("/usr/lib/tutti/cores/{name}");
    let why = format!("the program of the core {name}");
    system::put_program(archive, &own, &path, &project.target.architecture, &why)?;
    Ok(path)
}
