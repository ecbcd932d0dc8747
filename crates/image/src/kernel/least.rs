//! The least kernel of a product: the options that its parts need, for a kernel that is built for it alone.
//!
//! A distribution's kernel is for every machine there is. What it keeps of a small device's memory, and wants at its start to unpack itself, can be
//! more than the device has (SPECIFICATION.md, "Images"). Whoever builds a kernel for one product begins with the kernel's own
//! `tinyconfig`, in which next to nothing is set, and merges over it what [`options`] collects of the chosen parts and of the board's: the
//! options and modules that they need, these built in, and what they say of a kernel of the product's own. Everything else stays out.
//! What is left out in error is noticed twice: `merge_config.sh` names what it was asked for and the kernel did not take, and
//! `tutti image check` holds the `.config` that came of it against the same parts.
//!
//! Names and values come from files of parts that anybody may have written, and become lines of a file that a kernel is built by:
//! they are looked at when the parts are read ([`config::is_option`](super::config::is_option)).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use crate::{
    fault::{Code, Fault},
    parts::Part,
    product::Said,
    project::Project,
};

/// An option of the least kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, without `CONFIG_`.
    pub option: String,
    /// What it is set to.
    pub value: String,
    /// The parts that want it.
    pub parts: BTreeSet<String>,
}

/// What the parts want of the kernel, by the options' names.
///
/// # Errors
/// Two parts want different values of the same option.
pub fn options(project: &Project) -> Result<Vec<Wanted>, Vec<Fault>> {
    let mut wanted: BTreeMap<String, (Wanted, Said<String>)> = BTreeMap::new();
    let mut faults = Vec::new();
    for part in project.plan.parts.keys().filter_map(|name| project.catalogue.parts.get(name)) {
        for (option, value, said) in of_part(part, project) {
            let by = part.name.value.clone();
            let (first, place) = wanted.entry(option.clone()).or_insert_with(|| {
                (Wanted { option: option.clone(), value: value.clone(), parts: BTreeSet::new() }, said.clone())
            });
            if first.value != value {
                let message = format!("CONFIG_{option} cannot be {} and {value}", first.value);
                let fault = Fault::new(Code::Conflict, message).at(&said.span, format!("{by} wants {value}"));
                let fault = fault.at(&place.span, format!("here it is {}", first.value));
                faults.push(fault.help("let both say the same, or one of them nothing"));
            }
            first.parts.insert(by);
        }
    }
    if faults.is_empty() { Ok(wanted.into_values().map(|(wanted, _)| wanted).collect()) } else { Err(faults) }
}

/// What one part wants: option, value, and where it says so.
fn of_part<'a>(part: &'a Part, project: &'a Project) -> impl Iterator<Item = (String, String, &'a Said<String>)> {
    let needs = &part.needs;
    let yes = || "y".to_owned();
    let options = needs.kernel.iter().map(move |said| (said.value.clone(), yes(), said));
    let modules = needs.modules.iter().map(move |said| (project.catalogue.option_of(&said.value), yes(), said));
    let own = needs.own_kernel.iter().map(|(option, value)| (option.value.clone(), value.value.clone(), value));
    options.chain(modules).chain(own)
}

/// The kernel's word for the product's processor, as its Makefile takes it.
pub fn arch(project: &Project) -> &str {
    let of_board = project.board.as_ref().and_then(|board| board.arch.as_deref());
    of_board.unwrap_or(match project.target.architecture.as_str() {
        "x86_64" => "x86",
        "aarch64" => "arm64",
        "riscv64" => "riscv",
        other => other,
    })
}

/// What make calls the kernel that is booted, and where it puts it.
pub fn image(arch: &str) -> (&'static str, &'static str) {
    match arch {
        "x86" => ("bzImage", "arch/x86/boot/bzImage"),
        "um" => ("linux", "linux"),
        "arm64" => ("Image", "arch/arm64/boot/Image"),
        _ => ("vmlinux", "vmlinux"),
    }
}

/// The options as a file for the kernel's `merge_config.sh`: with how it is used, and each with the parts that want it.
pub fn fragment(project: &Project, options: &[Wanted]) -> String {
    let product = &project.product;
    let (name, arch) = (&product.name.value, arch(project));
    let (target, file) = image(arch);
    let mut out = format!(
        "# What the kernel of {name} {} for {} has to have; all else may stay out of it. In the kernel's source:\n\
         #\n\
         #   make ARCH={arch} tinyconfig\n\
         #   ARCH={arch} scripts/kconfig/merge_config.sh -n .config THIS-FILE\n\
         #   make ARCH={arch} {target}\n\
         #\n\
         # and in product.toml: [kernel] with file = \"{file}\" and config = \".config\".\n",
        product.version.value, project.target.name
    );
    if project.board.is_none() {
        out += "#\n# The drivers of the hardware that the device tree describes are not known here: add them.\n";
    }
    // The same parts under one heading.
    let mut by_parts: BTreeMap<&BTreeSet<String>, Vec<&Wanted>> = BTreeMap::new();
    for wanted in options {
        by_parts.entry(&wanted.parts).or_default().push(wanted);
    }
    for (parts, options) in by_parts {
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let _ = writeln!(out, "\n# {}", parts.join(", "));
        for Wanted { option, value, .. } in options {
            let _ = writeln!(out, "CONFIG_{option}={value}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::kernel::{Config, Kernel};

    fn project(product: &str, own: &str) -> Result<Project, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("product.toml"), product).unwrap();
        fs::write(folder.path().join("own.toml"), own).unwrap();
        Project::read(&folder.path().join("product.toml")).map_err(|faults| faults.render(false))
    }

    const PRODUCT: &str = "name = \"box\"\nversion = \"1.0.0\"\nparts = [\"own\"]\nparts-from = [\"own.toml\"]\n\
        [hardware]\nboard = \"qemu-x86-64\"\n";

    fn own(needs: &str) -> String {
        format!("[own]\nabout = \"own\"\nprofiles = [\"standard\"]\n[own.needs]\n{needs}")
    }

    /// The kernel that is built by the fragment of a product, as far as its parts see it.
    fn kernel(text: &str) -> Kernel {
        let config = Some(Config::parse(text));
        Kernel { release: "6.12".into(), image: "bzImage".into(), config, modules: None }
    }

    #[test]
    fn every_product_of_ours_is_content_with_its_own_kernel() {
        for name in ["gateway", "panel"] {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../products").join(name).join("product.toml");
            let project = Project::read(&file).unwrap_or_else(|faults| panic!("{}", faults.render(false)));
            let wanted = options(&project).unwrap();
            let text = fragment(&project, &wanted);
            assert_eq!(project.hold_against(&kernel(&text)), []);
            // Each line of it is there for a part that cannot do without, or makes the kernel what it is to be.
            let without = |option: &str| text.replace(&format!("CONFIG_{option}=y\n"), "");
            for option in ["EPOLL", "VIRTIO_PCI", "VIRTIO_NET"] {
                let faults = project.hold_against(&kernel(&without(option)));
                assert!(
                    faults.iter().any(|fault| format!("{fault:?}").contains(&format!("CONFIG_{option}"))),
                    "{option}"
                );
            }
        }
    }

    #[test]
    fn each_option_has_the_parts_that_want_it() {
        let own = own("kernel = [\"FUTEX\"]\nmodules = [\"my-driver speed=3\", \"other\"]\n\
                       [own.needs.built-in]\nother = \"OTHER_DRIVER\"\n[own.needs.own-kernel]\nMY_MENU = \"y\"\nMY_SIZE = \"64\"\n");
        let project = project(PRODUCT, &own).unwrap();
        let wanted = options(&project).unwrap();
        let of = |option: &str| wanted.iter().find(|it| it.option == option).map(|it| (it.value.as_str(), &it.parts));
        let both = BTreeSet::from(["own".to_owned(), "system".to_owned()]);
        let alone = BTreeSet::from(["own".to_owned()]);
        assert_eq!(of("FUTEX"), Some(("y", &both)));
        for (option, value) in [("MY_DRIVER", "y"), ("OTHER_DRIVER", "y"), ("MY_MENU", "y"), ("MY_SIZE", "64")] {
            assert_eq!(of(option), Some((value, &alone)), "{option}");
        }
        let text = fragment(&project, &wanted);
        assert!(text.contains("\n# own, system\nCONFIG_FUTEX=y\n"), "{text}");
        assert!(
            text.contains("\n# own\nCONFIG_MY_DRIVER=y\nCONFIG_MY_MENU=y\nCONFIG_MY_SIZE=64\nCONFIG_OTHER_DRIVER=y\n")
        );
        assert!(text.contains("make ARCH=x86 tinyconfig") && text.contains("file = \"arch/x86/boot/bzImage\""));
        // A module whose option is a module all the same has nothing that it could be loaded from.
        let as_module = text.replace("CONFIG_OTHER_DRIVER=y", "CONFIG_OTHER_DRIVER=m");
        let faults = project.faults(project.hold_against(&kernel(&as_module))).render(false);
        assert!(faults.contains("needs the module other, which the kernel 6.12 does not have built in"), "{faults}");
        assert!(faults.contains("CONFIG_OTHER_DRIVER=y"), "{faults}");
    }

    #[test]
    fn what_parts_say_of_options_is_looked_at() {
        let refused = |needs: &str| project(PRODUCT, &own(needs)).unwrap_err();
        let shown = refused("kernel = [\"X=y\\nCONFIG_EVIL\"]\n");
        assert!(shown.contains("is no option of a kernel") && shown.contains("own.toml:5"), "{shown}");
        let shown = refused("[own.needs.own-kernel]\nX = \"y\\nCONFIG_EVIL=y\"\n");
        assert!(shown.contains("is no value of an option"), "{shown}");
        let shown = refused("modules = [\"ext4\"]\n[own.needs.built-in]\next4 = \"EXT5\"\n");
        assert!(shown.contains("two options are said to build the module ext4 in"), "{shown}");
        // Two values are a fault only where both parts are in.
        let project = project(PRODUCT, &own("[own.needs.own-kernel]\nBLK_DEV_RAM_COUNT = \"4\"\n")).unwrap();
        let shown = project.faults(options(&project).unwrap_err()).render(false);
        assert!(shown.contains("CONFIG_BLK_DEV_RAM_COUNT cannot be 4 and 1"), "{shown}");
    }
}
