//! Prints what this machine offers, or what the fixture tree given as the argument does:
//! `cargo run -p tutti-resources --example list [ROOT]`.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use tutti_resources::{Inventory, Options, SysRoot, describe_machine};

fn main() -> std::io::Result<()> {
    let root = SysRoot::new(std::env::args_os().nth(1).unwrap_or_else(|| "/".into()))?;
    let facts = describe_machine(&root);
    println!("{} {} | {} | {}", facts.kind, facts.architecture, facts.model, facts.os);
    println!("{} processors, {} bytes of memory", facts.cores, facts.memory);
    for (name, driver) in Inventory::new(root, Options::default()).drivers() {
        let description = driver.description();
        let value = driver.read().map_or_else(|error| error.to_string(), |value| value.to_string());
        let kind = description.kind.to_string();
        println!("{name:<40} {kind:<9} {value} {}", description.unit);
    }
    Ok(())
}
