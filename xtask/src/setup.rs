//! `cargo xtask setup`: installs what the layers need, and says what is still missing.

use crate::{Failure, needs, test::layers};

const USAGE: &str = "\
Usage: cargo xtask setup [NAME…]

Installs what all layers of tests need, or these: Debian packages when run as root, parts of the Rust
toolchain by rustup. Says what it installs before it does.
";

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        print!("{USAGE}");
        return Ok(());
    }
    let chosen = layers::choose(args, true).map_err(|error| Failure::Usage(format!("{error}\n\n{USAGE}")))?;
    let needs: Vec<_> = chosen.iter().flat_map(|layer| layer.needs).copied().collect();
    needs::install(&needs);
    let mut complete = true;
    for layer in chosen {
        match needs::missing(layer.needs) {
            None => println!("{}: ready", layer.name),
            Some(missing) => {
                complete = false;
                println!("{}: {missing}", layer.name);
            }
        }
    }
    if complete { Ok(()) } else { Err(Failure::Reported) }
}
