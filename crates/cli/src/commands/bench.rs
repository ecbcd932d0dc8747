//! `tutti bench`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tutti_amp_host::bench::{Options, Row, measure, serve_if_child};

use crate::{
    context::Context,
    failure::{Exit, Failure},
    printer::{Line, Tone},
    table::Table,
};

/// Measures this machine
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Messages between two cores over shared memory, beside what the machine can do at best
    Amp(AmpArgs),
}

#[derive(Debug, Args)]
struct AmpArgs {
    /// How often each row is measured
    #[arg(long, value_name = "N", default_value = "41", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Only rows whose name contains this, like rtt.16 or zero_copy
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: BenchArgs, context: &mut Context) -> Result<Exit, Failure> {
    let What::Amp(AmpArgs { rounds, only, json }) = args.what;
    let failed = |error: Box<dyn std::error::Error>| Failure::new("cannot measure").why(error);
    if let Some(served) = serve_if_child() {
        return served.map(|()| Exit::Done).map_err(failed);
    }
    let options = Options { rounds: rounds.into(), only, child: vec!["bench".into(), "amp".into()] };
    let mut gone = None;
    let measured = measure(&options, &mut |round, rounds| {
        if gone.is_none() && !json {
            gone = context.printer.progress(format!("round {round} of {rounds}")).err();
        }
    });
    if !json {
        context.printer.progress_done()?;
    }
    if let Some(gone) = gone {
        return Err(gone);
    }
    let (rows, remark) = measured.map_err(failed)?;
    if json {
        let optimised = !cfg!(debug_assertions);
        context.printer.json(
            &json!({ "cores": remark, "optimised": optimised, "rows": rows.iter().map(object).collect::<Vec<_>>() }),
        )?;
    } else {
        context.printer.table(&table(&rows))?;
        context.printer.note(Line::of(Tone::Plain, remark));
        if cfg!(debug_assertions) {
            let unoptimised = "This command is not optimised, so these figures mean little: build it with --release.";
            context.printer.note(Line::of(Tone::Warn, unoptimised));
        }
    }
    Ok(Exit::Done)
}

fn object(row: &Row) -> Value {
    let (reference, its_value) = row.reference.unzip();
    json!({
        "name": row.name, "value": row.value, "unit": row.unit,
        "reference": reference, "reference_value": its_value, "ratio": its_value.map(|its| row.value / its),
    })
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["row", ">value", "unit", "beside", ">its value", ">ratio"]);
    for row in rows {
        let (reference, its_value) = row.reference.unzip();
        table.row([
            Line::from(row.name.clone()),
            Line::from(short(row.value)),
            Line::of(Tone::Faint, row.unit),
            Line::from(reference.unwrap_or_default().replace('_', " ")),
            Line::from(its_value.map(short).unwrap_or_default()),
            Line::of(Tone::Strong, its_value.map(|its| format!("{:.2}", row.value / its)).unwrap_or_default()),
        ]);
    }
    table
}

/// A number with three digits behind the point if it is small, and none if it is large.
fn short(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.3}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_beside_their_references() {
        let rows = [
            Row {
                name: "amp.rtt.16.polled".into(),
                value: 150.0,
                unit: "ns",
                reference: Some(("flag_round_trip", 100.0)),
            },
            Row { name: "amp.cores.apart".into(), value: 1.0, unit: "share", reference: None },
        ];
        let shown: Vec<_> = table(&rows).lines().iter().map(Line::text).collect();
        assert!(shown[1].contains("flag round trip") && shown[1].ends_with("1.50"), "{shown:?}");
        assert!(shown[2].contains("1.000"), "{shown:?}");
        assert_eq!(object(&rows[0])["ratio"], 1.5);
        assert!(object(&rows[1])["ratio"].is_null());
    }
}
