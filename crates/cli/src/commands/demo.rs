//! `tutti demo`: three devices on this machine, and what they do together.

use std::io::IsTerminal;

use clap::Args;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{
    context::Context,
    demo::{
        kills, live,
        report::{self, Progress, Step, Steps, Stopped},
        scenario::Cast,
        stage::{Actor, Stage},
    },
    failure::{Exit, Explain, Failure},
    printer::{Line, Printer, Tone},
    tui, words,
};

/// Runs three devices on this machine and shows what they do together
///
/// They discover each other, are paired with codes, read each other's sensors and drive each other's lamps; one is
/// killed and comes back. On a terminal the live view goes on until Ctrl-C. Nothing is left behind.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// No live view: take the steps, hold each against its bound, and exit 0 only if all held
    #[arg(long)]
    check: bool,
    /// Kill devices (SIGKILL) at so many random moments, and see that key, group and state are intact
    #[arg(long, value_name = "N", default_value_t = 0)]
    kills: u32,
    /// Where the random moments come from; a random one if left out
    #[arg(long, value_name = "S", requires = "kills")]
    seed: Option<u64>,
    /// The steps as one JSON document (with --check)
    #[arg(long, requires = "check")]
    json: bool,
    /// Every bound is so many times as long: for emulated machines, which are not what the bounds are promised for
    #[arg(long, value_name = "FACTOR", env = "TUTTI_SLOW", default_value_t = 1, hide = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    slow: u32,
}

/// How it went.
#[derive(Debug, Serialize)]
struct Report<'a> {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    steps: &'a [Step],
}

pub(crate) async fn run(args: DemoArgs, context: &mut Context) -> Result<Exit, Failure> {
    let watched = !args.check && context.printer.is_terminal() && std::io::stdin().is_terminal();
    let seed = (args.kills > 0).then(|| args.seed.unwrap_or_else(random_seed));
    if let Some(seed) = seed.filter(|_| !args.json) {
        context.printer.note(Line::of(Tone::Faint, format!("seed {seed}")));
    }
    let stage = Stage::new(args.slow)?;
    let mut cast = Cast::new(&stage);
    let (progress, watcher) = mpsc::channel(64);
    let mut steps = Steps::new(progress, args.slow);
    let kills = seed.map(|seed| (args.kills, seed));
    let asked = if watched {
        watch(&mut cast, &mut steps, kills, watcher).await
    } else {
        let printer = (!args.json).then_some(&mut context.printer);
        check(&mut cast, &mut steps, kills, watcher, printer).await
    };
    // However the play went, what it started is ended before anything is said.
    let (nobody, mut rest) = mpsc::channel(64);
    let mut last = Steps::new(nobody, args.slow);
    let ended = cast.end(&stage, &mut last).await;
    rest.close();
    cast.clear().await;
    let printed_so_far = steps.taken.len();
    steps.taken.append(&mut last.taken);
    let outcome = asked?;

    let held = steps.all_held() && outcome.is_ok() && ended.is_ok();
    let printer = &mut context.printer;
    if args.json {
        printer.json(&Report { ok: held, seed, steps: &steps.taken })?;
    } else {
        if !watched {
            steps.taken.iter().skip(printed_so_far).try_for_each(|step| printer.line(report::line(step)))?;
            printer.line("")?;
        }
        // Of very many kills the table would say nothing that their lines have not said.
        if kills.is_none() {
            printer.table(&report::table(&steps.taken))?;
        }
        let (well, all) = (steps.taken.iter().filter(|step| step.ok).count(), words::count(steps.taken.len(), "step"));
        printer.line(if held {
            Line::of(Tone::Good, format!("all of {all} held"))
        } else {
            Line::of(Tone::Bad, format!("{well} of {all} held"))
        })?;
    }
    if held {
        stage.close().explain(|| "the demo's folder cannot be removed".into())?;
        return Ok(Exit::Done);
    }
    for actor in &cast.actors {
        tell_log(actor, printer);
    }
    let folder = stage.keep();
    printer.note(Line::from("logs and state are kept in ").and(Tone::Accent, folder.display()));
    Ok(Exit::Failed)
}

type Kills = Option<(u32, u64)>;

/// The whole play.
async fn play(cast: &mut Cast, steps: &mut Steps, kills: Kills) -> Result<(), Stopped> {
    cast.gather(steps).await?;
    match kills {
        Some((count, seed)) => kills::run(cast, steps, count, seed).await,
        None => cast.play(steps).await,
    }
}

/// Plays with a live view, which goes on until the person has seen enough. A play that is cut short has not failed.
async fn watch(
    cast: &mut Cast,
    steps: &mut Steps,
    kills: Kills,
    watcher: mpsc::Receiver<Progress>,
) -> Result<Result<(), Stopped>, Failure> {
    let show = live::show(watcher);
    let mut show = std::pin::pin!(show);
    let played = tokio::select! {
        played = play(cast, steps, kills) => played,
        shown = &mut show => return shown.map(Ok),
    };
    if played.is_ok() {
        show.await?;
    }
    Ok(played)
}

/// Plays and prints each step as it is taken. Ctrl-C ends it as a failure.
async fn check(
    cast: &mut Cast,
    steps: &mut Steps,
    kills: Kills,
    mut watcher: mpsc::Receiver<Progress>,
    mut printer: Option<&mut Printer>,
) -> Result<Result<(), Stopped>, Failure> {
    let played = play(cast, steps, kills);
    let mut played = std::pin::pin!(played);
    let end = tui::asked_to_end();
    let mut end = std::pin::pin!(end);
    let mut print = |one: Progress| match (one, printer.as_mut()) {
        (Progress::End(step), Some(printer)) => printer.line(report::line(&step)),
        _ => Ok(()),
    };
    let outcome = loop {
        tokio::select! {
            biased;
            Some(one) = watcher.recv() => print(one)?,
            played = &mut played => break Ok(played),
            () = &mut end => break Err(Failure::new("the demo was ended before it was over")),
        }
    };
    while let Ok(one) = watcher.try_recv() {
        print(one)?;
    }
    outcome
}

fn tell_log(actor: &Actor, printer: &mut Printer) {
    let tail = actor.log_tail();
    if !tail.is_empty() {
        printer.note(Line::from("the log of ").and(Tone::Strong, &actor.name).plain(" ends with"));
        tail.lines().for_each(|line| printer.note(Line::of(Tone::Faint, format!("  {line}"))));
    }
}

/// A seed that differs from run to run.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
