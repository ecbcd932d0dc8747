//! `tutti dt domains`.

use clap::Args;
use tutti_devicetree::command::{self, DomainRow};

use super::input::TreeArgs;
use crate::{
    context::Context,
    failure::{Exit, Failure},
    printer::{Line, Tone},
    table::Table,
    words,
};

/// Lists the execution domains
#[derive(Debug, Args)]
pub(super) struct DomainsArgs {
    #[command(flatten)]
    tree: TreeArgs,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: DomainsArgs, context: &mut Context) -> Result<Exit, Failure> {
    let loaded = args.tree.read_well(context)?;
    let domains = command::domains(&loaded.tree);
    if args.json {
        context.printer.json(&domains)?;
    } else if domains.is_empty() {
        context.printer.note("There are no execution domains: /domains has no node compatible with openamp,domain-v1.");
    } else {
        context.printer.table(&table(&domains))?;
    }
    Ok(Exit::Done)
}

fn table(domains: &[DomainRow]) -> Table {
    let mut table = Table::new(&["DOMAIN", "OS", "CPUS", "MEMORY", "DEVICES", "RELATIONS"]);
    for domain in domains {
        let joined = |list: Vec<String>| list.join(", ");
        let bytes = domain.memory.iter().fold(0u64, |sum, memory| sum.saturating_add(memory.region.size));
        let rest = if domain.has_the_rest { " and the rest" } else { "" };
        table.row([
            Line::from("  ".repeat(domain.depth)).and(Tone::Strong, &domain.name),
            domain.os.into(),
            joined(domain.cpus.iter().map(|cpu| format!("{} {:#x}", cpu.cluster, cpu.mask)).collect()).into(),
            format!("{} in {}", words::size(bytes), domain.memory.len()).into(),
            format!("{}{rest}", domain.devices.len()).into(),
            joined(domain.relations.iter().map(ToString::to_string).collect()).into(),
        ]);
    }
    table
}
