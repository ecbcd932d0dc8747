//! A product with all that it refers to: read, understood and held against each other.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    board::{Board, boards},
    build::BuildError,
    carry,
    fault::{Code, Fault, Faults, Span, Texts},
    kernel::{Kernel, debian, modules::bare, read_at_most},
    manifest::Profile,
    parts::{Catalogue, nearest},
    product::{self, Hardware, On, Product, Said},
    resolve::{Plan, Target, resolve},
    size::Size,
    tree::Chip,
};

/// The largest file of parts, in bytes.
const MAX_PARTS_FILE: u64 = 1 << 20;

/// Debian's package of the rescue shell.
const SHELL: &str = "busybox-static";

/// A product that can be built.
#[derive(Debug)]
pub struct Project {
    /// The product.
    pub product: Product,
    /// The folder that its paths are relative to.
    pub folder: PathBuf,
    /// The parts that there are.
    pub catalogue: Catalogue,
    /// What it is for.
    pub target: Target,
    /// The board, if it is one that is known by name.
    pub board: Option<Board>,
    /// The chip, if the product names a device tree.
    pub chip: Option<Chip>,
    /// The parts that were chosen.
    pub plan: Plan,
    /// The texts that faults point into.
    pub texts: Texts,
}

impl Project {
    /// Reads a product file and what it names, and resolves it. The kernel is not looked at yet.
    ///
    /// # Errors
    /// All faults that were found.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let mut reader = Reader { folder: folder_of(path), texts: Texts::default(), faults: Vec::new() };
        let project = reader.read(path);
        let Reader { texts, faults, .. } = reader;
        match project {
            Some(project) if faults.is_empty() => Ok(Self { texts, ..project }),
            _ => Err(Faults { list: faults, texts }),
        }
    }

    /// A file that the product names.
    pub fn path(&self, said: &Said<String>) -> PathBuf {
        self.folder.join(&said.value)
    }

    /// The kernel: files that the product names, or Debian's package. With `fetch` it is fetched if it is not there yet;
    /// without, there may be none.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn kernel(
        &self,
        cache: &debian::Cache,
        fetch: bool,
        say: &mut dyn FnMut(&str),
    ) -> Result<Option<Kernel>, Box<Fault>> {
        if self.product.profile.value != Profile::Standard {
            return Ok(None);
        }
        let (package, span) = match &self.product.kernel {
            product::Kernel::Files { file, modules, config } => {
                let at = |said: &Option<Said<String>>| said.as_ref().map(|it| self.path(it));
                let (modules, config) = (at(modules), at(config));
                let kernel = Kernel::of_files(&self.path(file), modules.as_deref(), config.as_deref());
                return kernel.map(Some).map_err(|error| {
                    let fault = Fault::new(Code::Kernel, error.to_string()).at(&file.span, "the kernel is named here");
                    Box::new(fault.help("paths are relative to the product's file"))
                });
            }
            product::Kernel::Package(package) => (package.value.clone(), package.span.clone()),
            product::Kernel::OfBoard => match self.board.as_ref().and_then(|board| board.kernel.clone()) {
                Some(package) => (package, self.target.span.clone()),
                None => {
                    let message = format!("no kernel is known for {}", self.target.name);
                    let fault = Fault::new(Code::Kernel, message).at(&self.target.span, "this hardware");
                    return Err(Box::new(fault.help("name one: [kernel] with file = \"vmlinuz\", modules and config")));
                }
            },
        };
        if !fetch && !cache.has(&package, &self.target.architecture) {
            return Ok(None);
        }
        let kernel = cache.kernel(&package, &self.target.architecture, say);
        kernel.map(Some).map_err(|error| {
            let fault = Fault::new(Code::Kernel, error.to_string()).at(&span, format!("it is to have {package}"));
            Box::new(
                fault.help("see whether apt works here (apt-cache policy), or name the kernel's files in [kernel]"),
            )
        })
    }

    /// The rescue shell, if the product asks for one: Debian's, which is one program without libraries.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn shell(&self, cache: &debian::Cache, say: &mut dyn FnMut(&str)) -> Result<Option<PathBuf>, Box<Fault>> {
        let Some(rescue) = &self.product.rescue else { return Ok(None) };
        let folder = cache.package(SHELL, &self.target.architecture, say).map_err(|error| {
            let fault = Fault::new(Code::File, error.to_string()).at(rescue, "a rescue shell is asked for here");
            Box::new(fault.help(format!("see whether apt works here (apt-cache policy {SHELL}), or take it out")))
        })?;
        let places = ["bin/busybox", "usr/bin/busybox"].map(|place| folder.join(place));
        Ok(places.into_iter().find(|place| place.is_file()))
    }

    /// What the parts take of memory, and the kernel to begin.
    pub fn ram_with(&self, kernel: &Kernel) -> Size {
        self.ram_beside(kernel.begins_in().unwrap_or_default())
    }

    const fn ram_beside(&self, begins: Size) -> Size {
        Size(self.plan.ram.0.saturating_add(begins.0))
    }

    /// That the kernel and the parts are more than there is.
    fn too_little(&self, kernel: &Kernel) -> Option<Fault> {
        let begins = kernel.begins_in()?;
        let takes = self.ram_beside(begins);
        let (limit, span) = match &self.product.limits.ram {
            Some(limit) => (limit.value, &limit.span),
            None => (self.target.ram, &self.target.span),
        };
        if takes <= limit {
            return None;
        }
        let message = format!(
            "the parts take {} of RAM and the kernel {} {begins} to begin, which is {takes} together",
            self.plan.ram, kernel.release
        );
        let fault = Fault::new(Code::Limit, message).at(span, format!("{limit} of RAM"));
        Some(fault.help(format!("allow {takes}, or build a kernel for this product alone: tutti image kernel")))
    }

    /// What the chosen parts need of a kernel, held against its file and its configuration. A kernel without a folder of modules
    /// has to have them built in.
    pub fn hold_against(&self, kernel: &Kernel) -> Vec<Fault> {
        let mut faults: Vec<_> = self.too_little(kernel).into_iter().collect();
        let Some(config) = &kernel.config else { return faults };
        let release = &kernel.release;
        for (name, why) in &self.plan.parts {
            let Some(part) = self.catalogue.parts.get(name) else { continue };
            let lacking = |message: String, need: &Said<String>, help: String| {
                let mut fault = Fault::new(Code::Kernel, message);
                if let Some(wish) = self.product.parts.iter().find(|wish| wish.value == *name) {
                    fault = fault.at(&wish.span, "it is wanted here");
                }
                fault.at(&need.span, format!("needed here; the part is in because: {why}")).help(help)
            };
            for need in part.needs.kernel.iter().filter(|need| config.get(&need.value).is_none()) {
                let message = format!("the part {name} needs CONFIG_{}, which the kernel {release} lacks", need.value);
                faults.push(lacking(message, need, "take a kernel that has it, or take the part out".into()));
            }
            let to_load = part.needs.modules.iter().filter(|_| kernel.modules.is_none());
            for (need, option) in to_load.map(|need| (need, self.catalogue.option_of(&need.value))) {
                if !kernel.has_built_in(&option) {
                    let module = bare(&need.value);
                    let message = format!(
                        "the part {name} needs the module {module}, which the kernel {release} does not have built in"
                    );
                    let help =
                        format!("build it with CONFIG_{option}=y, or name the folder of its modules in [kernel]");
                    faults.push(lacking(message, need, help));
                }
            }
        }
        faults
    }

    /// The modules that the chosen parts name, with why.
    pub fn modules(&self) -> Vec<(String, String)> {
        let parts = self.plan.parts.keys().filter_map(|name| self.catalogue.parts.get(name));
        let each = parts.flat_map(|part| {
            part.needs.modules.iter().map(|need| (need.value.clone(), format!("the part {} needs it", part.name.value)))
        });
        each.collect()
    }

    /// The bytes of a file that the product names.
    pub(crate) fn bytes_of(&self, said: &Said<String>, most: u64) -> Result<Vec<u8>, BuildError> {
        read_at_most(&self.path(said), most).map_err(|error| {
            let fault = Fault::new(Code::File, error.to_string()).at(&said.span, "named here");
            self.refuse(fault.help("paths are relative to the product's file"))
        })
    }

    /// A fault that ends the building.
    pub(crate) fn refuse(&self, fault: Fault) -> BuildError {
        BuildError::Faults(Box::new(self.faults(vec![fault])))
    }

    /// Faults that came later, with the texts to show them.
    pub fn faults(&self, list: Vec<Fault>) -> Faults {
        Faults { list, texts: self.texts.clone() }
    }
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()
}

/// A text file's content, if it is not too long.
fn text_of(path: &Path, most: u64) -> Result<String, String> {
    let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > most {
        return Err(format!("it has {length} bytes, and {most} are the most"));
    }
    fs::read_to_string(path).map_err(|error| error.to_string())
}

struct Reader {
    folder: PathBuf,
    texts: Texts,
    faults: Vec<Fault>,
}

impl Reader {
    fn read(&mut self, path: &Path) -> Option<Project> {
        let shown = path.display().to_string();
        let text = match text_of(path, product::MAX_PRODUCT as u64) {
            Ok(text) => text,
            Err(error) => {
                let fault = Fault::new(Code::File, format!("{shown} cannot be read: {error}"));
                self.faults.push(fault.help("write one with: tutti image new"));
                return None;
            }
        };
        let mut product = product::parse(&mut self.texts, &shown, &text, &mut self.faults)?;
        let mut catalogue = Catalogue::own(&mut self.texts, &mut self.faults);
        for file in &product.parts_from {
            match text_of(&self.folder.join(&file.value), MAX_PARTS_FILE) {
                Ok(text) => catalogue.add(&mut self.texts, &file.value, &text, &mut self.faults),
                Err(error) => self.unreadable(file, &error),
            }
        }
        let (target, board, chip) = self.target(&product)?;
        let of_the_chip = product.cores.iter().find_map(|core| match &core.on {
            On::Processor { domain, .. } => Some(domain),
            On::Process { .. } => None,
        });
        if let Some(core) = of_the_chip.filter(|_| chip.is_none()) {
            let fault =
                Fault::new(Code::Hardware, "another core's firmware needs a device tree that says where it may be");
            let fault = fault.at(&core.span, "this core").at(&target.span, "and this is a board");
            let help = "write tree = \"chip.dts\" and domain = \"NAME\" in [hardware]; a core that is a program has name = \"NAME\"";
            self.faults.push(fault.help(help));
        }
        self.faults.extend(carry::check(&product, &self.folder, &target));
        if let Some(chip) = &chip {
            self.faults.extend(chip.hold_cores(&product, &self.folder));
        }
        if product.profile.value == Profile::Mini && product.firmware.is_none() {
            let fault = Fault::new(Code::Syntax, "a product of the profile mini has a program");
            let fault = fault.at(&product.profile.span, "because of this");
            self.faults.push(
                fault.help("write [firmware] with source = \"FOLDER\" (of Tutti's source), or image = \"FILE.elf\""),
            );
        }
        if !self.faults.is_empty() {
            return None;
        }
        // Whoever carries something wants it used.
        product.parts.extend(carry::parts(&product));
        match resolve(&product, &catalogue, &target) {
            Ok(plan) => {
                let (folder, texts) = (self.folder.clone(), Texts::default());
                Some(Project { product, folder, catalogue, target, board, chip, plan, texts })
            }
            Err(faults) => {
                self.faults.extend(faults);
                None
            }
        }
    }

    fn unreadable(&mut self, file: &Said<String>, error: &str) {
        let fault = Fault::new(Code::File, format!("{} cannot be read: {error}", file.value));
        self.faults.push(fault.at(&file.span, "named here").help("paths are relative to the product's file"));
    }

    fn target(&mut self, product: &Product) -> Option<(Target, Option<Board>, Option<Chip>)> {
        match &product.hardware {
            Hardware::Board(name) => {
                let board = self.board(name)?;
                let profile = product.profile.value;
                if board.profile != profile {
                    let message = format!("{} runs the profile {}, not {profile}", name.value, board.profile);
                    let fault = Fault::new(Code::Profile, message).at(&product.profile.span, "the profile");
                    let help = format!("write profile = \"{}\", or choose another board", board.profile);
                    self.faults.push(fault.at(&name.span, "the board").help(help));
                    return None;
                }
                let target = Target {
                    name: name.value.clone(),
                    span: name.span.clone(),
                    profile,
                    architecture: board.architecture.clone(),
                    has: board.has.iter().cloned().collect(),
                    parts: board.parts.clone(),
                    ram: board.ram,
                    flash: board.flash,
                };
                Some((target, Some(board), None))
            }
            Hardware::Tree { file, domain } => {
                let chip = Chip::read(&self.folder.join(&file.value), file, &mut self.texts, &mut self.faults)?;
                let target = self.target_of(&chip, file, domain, product)?;
                Some((target, None, Some(chip)))
            }
        }
    }

    fn board(&mut self, name: &Said<String>) -> Option<Board> {
        let mut boards = boards();
        let found = boards.remove(&name.value);
        if found.is_none() {
            let fault = Fault::new(Code::UnknownBoard, format!("there is no board {:?}", name.value));
            let near = nearest(&name.value, boards.keys().map(String::as_str));
            let near = near.map(|near| format!("is {near:?} meant? ")).unwrap_or_default();
            let help =
                format!("{near}`tutti image ls --boards` lists them; other hardware is described by a device tree");
            self.faults.push(fault.at(&name.span, "this").help(help));
        }
        found
    }

    fn target_of(
        &mut self,
        chip: &Chip,
        file: &Said<String>,
        domain: &Said<String>,
        product: &Product,
    ) -> Option<Target> {
        let Some(found) = chip.domain(&domain.value) else {
            let names = chip.names();
            let fault = Fault::new(Code::Hardware, format!("{} has no domain {:?}", file.value, domain.value));
            let has =
                if names.is_empty() { "it has no domains".into() } else { format!("it has {}", names.join(", ")) };
            self.faults.push(fault.at(&domain.span, "this").help(has));
            return None;
        };
        let linux = found.linux;
        if linux != (product.profile.value == Profile::Standard) {
            let message = format!("the domain {} runs {}", domain.value, found.os);
            let fault = Fault::new(Code::Profile, message).at(&product.profile.span, "so this cannot be its profile");
            let right = if linux { "standard" } else { "mini" };
            self.faults.push(fault.at(&domain.span, "the domain").help(format!("write profile = \"{right}\"")));
            return None;
        }
        Some(Target {
            name: format!("{} of {}", domain.value, file.value),
            span: Span { ..domain.span.clone() },
            profile: product.profile.value,
            architecture: found.architecture.to_owned(),
            has: found.has.iter().cloned().collect::<BTreeSet<_>>(),
            parts: Vec::new(),
            ram: Size(found.ram),
            flash: None,
        })
    }
}
