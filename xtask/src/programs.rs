//! `cargo xtask programs`: `tutti` and `tutti-init` for devices with another processor than this machine's, to be named with
//! `tutti image build --programs`. What the layer `arm64` builds lies in the same folder.

use std::time::Duration;

use crate::{Failure, needs, process::run_all, test::arm64};

const USAGE: &str = "\
Usage: cargo xtask programs ARCHITECTURE [--release]

Builds the programs of a device, `tutti` and `tutti-init`, for another processor than this machine's, with the
toolchain of rustup if it has the target, else with Debian's, and shows the folder that they are in then, which
`tutti image build` takes as --programs.

  ARCHITECTURE  aarch64 (also called arm64)
  --release     optimised, as it goes onto a device; takes twice as long
";

/// On two cores it takes a quarter of an hour, optimised half of one.
const LIMIT: Duration = Duration::from_secs(7200);

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let usage = |error: &str| Err(Failure::Usage(format!("{error}\n\n{USAGE}")));
    let (mut named, mut release) = (false, false);
    for arg in args {
        match arg.as_str() {
            "--help" | "-h" => {
                print!("{USAGE}");
                return Ok(());
            }
            "--release" => release = true,
            "aarch64" | "arm64" => named = true,
            other => return usage(&format!("{other}: this is neither an option nor a processor that is known")),
        }
    }
    if !named {
        return usage("for which processor?");
    }
    needs::demand(&arm64::TO_BUILD)?;
    let (steps, folder) = arm64::programs(release)?;
    run_all("programs", steps, LIMIT)?;
    println!("tutti and tutti-init are built; name them with: tutti image build --programs {}", folder.display());
    Ok(())
}
