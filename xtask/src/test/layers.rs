//! The layers: what each needs, what it runs, what its output must show.
//!
//! Every cargo command names the whole workspace, so that features and hence artefacts are the same for all of them. Which
//! tests are of which layer stands in [`kinds`](super::kinds).

use std::{path::PathBuf, time::Duration};

use super::{
    an521, app_kills, apps, arm64, browser, c_peer, devicetree, image, init,
    kinds::{FAULTS, HOSTILE, Kind, some_steps_and_kills, some_tests, tests},
    linux_peer, own_kernel,
};
use crate::{
    cargo::{cargo, clippy_driver},
    deny,
    needs::{Need, in_ci},
    process::{Program, root, target_dir},
    rustdoc,
};

/// What the command line says to all layers.
pub(crate) struct Context {
    pub(crate) seeds: Option<u32>,
    pub(crate) full: bool,
    /// Where the source trees are that the user names.
    pub(crate) path: Option<PathBuf>,
}

pub(crate) struct Layer {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Whether it runs when no layer is named.
    pub(crate) default: bool,
    pub(crate) needs: &'static [Need],
    /// All its steps together take no longer, or are killed.
    pub(crate) limit: Duration,
    /// What to run, one after the other.
    pub(crate) steps: fn(&Context) -> Result<Vec<Program>, String>,
    /// Reads the output of steps that went well: a word on it, or what is wrong with it after all.
    pub(crate) check: fn(&str) -> Result<String, String>,
}

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

fn nothing_to_say(_: &str) -> Result<String, String> {
    Ok(String::new())
}

/// What the layers share.
pub(crate) const BUILD: Layer = Layer {
    name: "build",
    about: "the workspace and its tests",
    default: false,
    needs: &[],
    limit: minutes(45),
    steps: |_| Ok(vec![locked(["test", "--workspace", "--no-run"])]),
    check: nothing_to_say,
};

pub(crate) const LAYERS: &[Layer] = &[
    Layer {
        name: "fmt",
        about: "the code is formatted",
        default: true,
        needs: &[Need::Rustfmt],
        limit: minutes(2),
        steps: |_| {
            let others =
                [has_fuzz().then_some(FUZZ), Some(FIRMWARE), Some(EMBASSY), Some(MINIMAL)].into_iter().flatten();
            let others = others.map(|other| cargo(["fmt", "--all", "--check", "--manifest-path", other]));
            Ok([cargo(["fmt", "--all", "--check"])].into_iter().chain(others).collect())
        },
        check: nothing_to_say,
    },
    Layer {
        name: "deny",
        about: "licences and duplicate versions are those in deny.toml",
        default: true,
        needs: &[],
        limit: minutes(2),
        steps: |_| Ok(vec![]),
        check: |_| deny::check(),
    },
    Layer {
        name: "unit",
        about: "unit, property and integration tests",
        default: true,
        needs: &[Need::Build],
        limit: minutes(15),
        steps: |_| tests(Kind::Unit).map(|program| vec![program]),
        check: some_tests,
    },
    Layer {
        name: "sim",
        about: "seeded simulations",
        default: true,
        needs: &[Need::Build],
        limit: minutes(60),
        steps: |context| {
            let program = tests(Kind::Sim)?;
            Ok(vec![match context.seeds {
                Some(seeds) => program.env("TUTTI_SIM_SEEDS", seeds.to_string()),
                None => program,
            }])
        },
        check: some_tests,
    },
    Layer {
        name: "loom",
        about: "every interleaving of two cores over a ring of two entries, with up to three preemptions: no lost wake-up",
        default: true,
        needs: &[Need::Build],
        limit: minutes(10),
        steps: |_| Ok(vec![cargo(["test", "--workspace", "--test", "loom"])]),
        check: some_tests,
    },
    Layer {
        name: "hostile",
        about: "a peer that changes any byte of shared memory before any read; 8 million steps (--full: 100 million)",
        default: true,
        needs: &[Need::Build],
        limit: minutes(60),
        steps: |context| {
            // Four tests: both ends of a ring, both ends of a link.
            let each = if context.full || std::env::var_os("TUTTI_FULL").is_some() { "25000000" } else { "2000000" };
            let named = HOSTILE.iter().flat_map(|test| ["--test", test]);
            Ok(vec![cargo(["test", "--workspace"]).args(named).env("TUTTI_HOSTILE_STEPS", each)])
        },
        check: some_tests,
    },
    Layer {
        name: "doc",
        about: "examples in the documentation work, and it has no warnings; both ends of a link run under embassy",
        default: true,
        needs: &[Need::Build],
        limit: minutes(10),
        steps: |_| Ok(vec![rustdoc::test_and_lint()?, embassy()]),
        check: some_tests,
    },
    Layer {
        name: "lint",
        about: "clippy has nothing to say",
        default: true,
        needs: &[Need::Build, Need::Clippy],
        limit: minutes(20),
        steps: |_| lint(),
        check: nothing_to_say,
    },
    Layer {
        name: "fuzz",
        about: "every parser survives its corpus",
        default: true,
        needs: &[],
        limit: minutes(20),
        steps: |_| Ok(vec![of_fuzz(cargo(["test"]))]),
        check: some_tests,
    },
    Layer {
        name: "devicetree",
        about: "device trees against dtc, lopper, dtschema and compilers, on Debian's and the kernel's and random ones",
        default: true,
        needs: devicetree::NEEDS,
        limit: minutes(30),
        steps: devicetree::steps,
        check: |output| {
            let (tests, compared) = (some_tests(output)?, devicetree::compared(output)?);
            Ok(format!("{tests}: {compared}"))
        },
    },
    Layer {
        name: "demo",
        about: "three devices as processes of this machine, each step within its bound; then 20 (--full: 200) seeded kills",
        default: true,
        needs: &[Need::Build],
        limit: minutes(60),
        steps: |context| {
            let kills = if context.full || std::env::var_os("TUTTI_FULL").is_some() { "200" } else { KILLS };
            let demo = || cargo(["run", "-q", "--", "demo", "--check"]);
            Ok(vec![demo(), demo().args(["--kills", kills, "--seed", &seed()])])
        },
        check: some_steps_and_kills,
    },
    Layer {
        name: "netns",
        about: "two and three hosts in network namespaces, with loss and cuts",
        default: true,
        needs: &[
            Need::Build,
            Need::Root,
            Need::Program { name: "ip", package: "iproute2" },
            Need::Program { name: "nft", package: "nftables" },
        ],
        limit: minutes(15),
        steps: |context| {
            let lib = cargo(["test", "--workspace", "--lib", "--", "netns_tests", "--test-threads=1"]);
            let hosts = cargo(["test", "--workspace", "--test", "netns", "--", "--test-threads=1"]);
            Ok([lib, hosts].map(|program| full(program.env("TUTTI_NETNS", "1"), context)).into())
        },
        check: some_tests,
    },
    Layer {
        name: "gdb",
        about: "core dumps of remote cores, as gdb and readelf see them",
        default: true,
        needs: &[
            Need::Build,
            Need::Program { name: "gdb", package: "gdb" },
            Need::Program { name: "readelf", package: "binutils" },
            Need::Program { name: "cc", package: "gcc libc6-dev" },
        ],
        limit: minutes(5),
        steps: |_| Ok(vec![cargo(["test", "--workspace", "--test", "core_dump"]).env("TUTTI_GDB", "1")]),
        check: some_tests,
    },
    Layer {
        name: "faults",
        about: "real devices with bad state, full disks, wrong clocks, hostile peers and older peers",
        default: true,
        needs: &[Need::Build, Need::Root, Need::Program { name: "faketime", package: "faketime" }],
        limit: minutes(15),
        steps: |context| {
            let named = FAULTS.iter().flat_map(|test| ["--test", test]);
            let program = cargo(["test", "--workspace"]).args(named).args(["--", "--test-threads=2"]);
            Ok(vec![full(program.env("TUTTI_FAULTS", "1"), context)])
        },
        check: some_tests,
    },
    Layer {
        name: "browser",
        about: "the console in a real browser, against real devices; its bundle is the one that its sources make",
        default: true,
        needs: &[
            Need::Build,
            Need::Program { name: "node", package: "nodejs" },
            Need::Program { name: "npm", package: "npm" },
            Need::Program { name: "chromium", package: "chromium" },
        ],
        limit: minutes(15),
        steps: |_| Ok(browser::steps()),
        check: browser::check,
    },
    Layer {
        name: "apps",
        about: "the example apps, built anew, are those that are committed; they run, and cross engines with their state",
        default: true,
        needs: apps::NEEDS,
        limit: minutes(15),
        steps: |_| Ok(apps::steps()),
        check: |output| Ok(format!("{}, {}", apps::same(output)?, some_tests(output)?)),
    },
    Layer {
        name: "app-kills",
        about: "apps that move between devices or have a standby, and devices killed at 20 (--full: 200) seeded moments: never two copies, then one, nothing lost that was safe",
        default: true,
        needs: &[Need::Build],
        limit: minutes(30),
        steps: |context| {
            let kills = if context.full || std::env::var_os("TUTTI_FULL").is_some() { "200" } else { KILLS };
            Ok(app_kills::steps(kills, &seed()))
        },
        check: app_kills::killed,
    },
    Layer {
        name: "linux-peer",
        about: "user-mode Linux, built once: its RPMsg drivers against our device, its remoteproc against our back end, a device in it",
        default: true,
        needs: &[Need::LinuxSource],
        limit: minutes(30),
        steps: |_| linux_peer::steps(),
        check: linux_peer::check,
    },
    Layer {
        name: "init",
        about: "devices that tutti-init boots in user-mode Linux: network, new systems, power cuts",
        default: true,
        needs: init::NEEDS,
        limit: minutes(30),
        steps: init::steps,
        check: init::check,
    },
    Layer {
        name: "an521",
        about: "an emulated chip with two cores: the first runs, dumps and restarts the second; both as satellites",
        default: true,
        needs: an521::NEEDS,
        limit: minutes(15),
        steps: |_| an521::steps(),
        check: an521::check,
    },
    Layer {
        name: "image",
        about: "products become images, which boot in emulators and as user-mode Linux, join a pool, and leave it",
        default: true,
        needs: image::NEEDS,
        limit: minutes(45),
        steps: |_| image::steps(),
        check: image::check,
    },
    Layer {
        name: "own-kernel",
        about: "a kernel built for the product gateway alone, by what its parts say; the product boots on it in 64 MiB and joins a pool",
        default: false,
        needs: own_kernel::NEEDS,
        limit: minutes(120),
        steps: |_| own_kernel::steps(),
        check: own_kernel::check,
    },
    Layer {
        name: C_PEER,
        about: "open-amp and rpmsg-lite in both roles, from source trees that --path names; never without it",
        default: false,
        needs: c_peer::NEEDS,
        limit: minutes(10),
        steps: |context| c_peer::steps(context.path.as_deref()),
        check: c_peer::check,
    },
    Layer {
        name: "arm64",
        about: "builds for 64-bit Arm; the unit tests and the demo run under qemu; an image boots in a machine and joins a pool",
        default: false,
        needs: arm64::NEEDS,
        limit: minutes(120),
        steps: |_| arm64::steps(),
        check: arm64::check,
    },
];

/// The layer that takes source trees of others.
pub(crate) const C_PEER: &str = "c-peer";

/// How many kills there are unless all is asked for.
const KILLS: &str = "20";

/// Where the moments of the kills come from: `TUTTI_SEED`, or the time, so that runs differ. The command that is shown
/// names it.
fn seed() -> String {
    std::env::var("TUTTI_SEED").unwrap_or_else(|_| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |now| now.as_secs()).to_string()
    })
}

/// The named layers in the order of the table; without names the default run, or all if that is asked for.
pub(crate) fn choose(names: &[String], all: bool) -> Result<Vec<&'static Layer>, String> {
    if let Some(unknown) = names.iter().find(|name| LAYERS.iter().all(|layer| layer.name != name.as_str())) {
        let known: Vec<_> = LAYERS.iter().map(|layer| layer.name).collect();
        return Err(format!("there is no layer {unknown:?}; there are {}", known.join(", ")));
    }
    let named = |layer: &&Layer| names.iter().any(|name| name == layer.name);
    let usual = |layer: &&Layer| names.is_empty() && (layer.default || all);
    Ok(LAYERS.iter().filter(|layer| named(layer) || usual(layer)).collect())
}

/// Cargo, which in CI must not change the lock file.
fn locked<const N: usize>(args: [&str; N]) -> Program {
    cargo(args).args(in_ci().then_some("--locked"))
}

fn full(program: Program, context: &Context) -> Program {
    if context.full { program.env("TUTTI_FULL", "1") } else { program }
}

/// The workspace of what is not for the machine that builds it.
const FIRMWARE: &str = "firmware/Cargo.toml";

/// The examples of RPMsg that are workspaces of their own: one for embassy's executor, and the least remote.
const EMBASSY: &str = "crates/amp/rpmsg/embassy/Cargo.toml";
const MINIMAL: &str = "crates/amp/rpmsg/minimal/Cargo.toml";

/// Runs the one for embassy, which says whether all answers came.
fn embassy() -> Program {
    let run = locked(["run", "-q", "--manifest-path", EMBASSY]);
    run.args(["--target-dir".as_ref(), target_dir().as_os_str()])
}

const FUZZ: &str = "fuzz/Cargo.toml";

fn has_fuzz() -> bool {
    root().join(FUZZ).exists()
}

/// A cargo command for the fuzz targets, which are a workspace of their own, in the target folder of the main one.
fn of_fuzz(program: Program) -> Program {
    program.args(["--manifest-path", FUZZ]).args(["--target-dir".as_ref(), target_dir().as_os_str()])
}

/// Clippy as a build, not as a check: a check would compile all dependencies once more. `cargo clippy` itself does no
/// more than set these two (see `src/main.rs` of rust-clippy). Cargo keeps what a wrapper compiles apart, so only the
/// workspace's own packages are compiled again.
fn lint() -> Result<Vec<Program>, String> {
    let driver = clippy_driver()?;
    let build = || {
        cargo(["build", "--keep-going"])
            .env("RUSTC_WORKSPACE_WRAPPER", &driver)
            .env("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__")
    };
    let fuzz = has_fuzz().then(|| of_fuzz(build().args(["--all-targets"])));
    // The command for small devices, without apps. All else keeps its features, so that nothing but node and command is compiled once more.
    let others = ["--no-default-features", "--features", "tutti-app/default,tutti-fabric/default,tutti-model/default"];
    let small = build().args(["--workspace", "--lib", "--bins"]).args(others);
    Ok([build().args(["--workspace", "--all-targets"]), small].into_iter().chain(fuzz).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_chosen_by_name_in_their_order() {
        let names = |names: &[&str], all| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            choose(&names, all).map(|chosen| chosen.iter().map(|layer| layer.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["sim", "fmt"], false).unwrap(), ["fmt", "sim"]);
        assert_eq!(names(&["arm64"], false).unwrap(), ["arm64"]);
        assert!(!names(&[], false).unwrap().contains(&"arm64"));
        assert!(names(&[], true).unwrap().contains(&"arm64"));
        assert!(names(&["units"], false).unwrap_err().contains("units"));
    }
}
