//! How the demo went: a line for each step, with its time and its bound.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::mpsc;
use tutti_control::Client;

use crate::{
    printer::{Line, Tone},
    table::Table,
};

/// How long a step is waited for, as a multiple of its bound, so that a step that is late still tells how late.
const PATIENCE: u32 = 4;

/// The end of patience is never sooner than this: a step that hangs is told from one that is slow.
const LEAST_PATIENCE: Duration = Duration::from_secs(10);

/// A step that was taken.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Step {
    /// What was to happen.
    pub(crate) step: String,
    /// How long it took, in milliseconds.
    pub(crate) measured_ms: f64,
    /// How long it may take.
    pub(crate) bound_ms: u64,
    /// Whether it happened in time.
    pub(crate) ok: bool,
    /// What happened, or why it did not.
    pub(crate) note: String,
}

/// What happens on the stage, for whoever watches.
#[derive(Debug)]
pub(crate) enum Progress {
    /// A step begins.
    Begin(String),
    /// It is over.
    End(Step),
    /// There is something to be seen, through this device.
    Look(Client),
}

/// The scenario cannot go on: a step failed. It is in the report.
#[derive(Debug)]
pub(crate) struct Stopped;

/// Takes steps, and keeps how they went.
#[derive(Debug)]
pub(crate) struct Steps {
    /// Those taken so far.
    pub(crate) taken: Vec<Step>,
    watcher: mpsc::Sender<Progress>,
    slower: u32,
}

impl Steps {
    /// None taken yet. `watcher` is told of each; it must keep up or be gone. Every bound is `slower` times as long:
    /// more than 1 only where the machine is emulated.
    pub(crate) fn new(watcher: mpsc::Sender<Progress>, slower: u32) -> Self {
        Self { taken: Vec::new(), watcher, slower }
    }

    /// Takes a step. It fails when the work fails or takes far too long; when it is only late, that is noted and the
    /// scenario goes on.
    pub(crate) async fn take<T>(
        &mut self,
        step: impl Into<String>,
        bound: Duration,
        work: impl Future<Output = Result<(T, String), String>>,
    ) -> Result<T, Stopped> {
        let step = step.into();
        self.tell(Progress::Begin(step.clone())).await;
        let start = Instant::now();
        let patience = (bound * self.slower * PATIENCE).max(LEAST_PATIENCE);
        let outcome = tokio::time::timeout(patience, work)
            .await
            .unwrap_or_else(|_| Err(format!("it did not happen within {} s", patience.as_secs())));
        self.record(step, start.elapsed(), bound, outcome).await
    }

    /// Keeps a step whose time was measured elsewhere.
    pub(crate) async fn record<T>(
        &mut self,
        step: impl Into<String>,
        measured: Duration,
        bound: Duration,
        outcome: Result<(T, String), String>,
    ) -> Result<T, Stopped> {
        let bound = bound * self.slower;
        let (done, note) = match outcome {
            Ok((done, note)) => (Some(done), note),
            Err(why) => (None, why),
        };
        let step = Step {
            step: step.into(),
            measured_ms: (measured.as_secs_f64() * 1e4).round() / 10.0,
            bound_ms: u64::try_from(bound.as_millis()).unwrap_or(u64::MAX),
            ok: done.is_some() && measured <= bound,
            note,
        };
        self.taken.push(step.clone());
        self.tell(Progress::End(step)).await;
        done.ok_or(Stopped)
    }

    /// Shows the watcher where to look.
    pub(crate) async fn look(&self, client: &Client) {
        self.tell(Progress::Look(client.clone())).await;
    }

    /// Whether all held.
    pub(crate) fn all_held(&self) -> bool {
        self.taken.iter().all(|step| step.ok)
    }

    async fn tell(&self, progress: Progress) {
        // A watcher that has gone misses nothing that it wanted.
        let _ = self.watcher.send(progress).await;
    }
}

/// Tries again and again until there is something, a hundred times a second.
pub(crate) async fn until<T, W: Future<Output = Result<Option<T>, String>>>(
    mut attempt: impl FnMut() -> W,
) -> Result<T, String> {
    loop {
        if let Some(found) = attempt().await? {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The table of all steps.
pub(crate) fn table(steps: &[Step]) -> Table {
    let mut table = Table::new(&["STEP", ">MEASURED", ">BOUND", "OK", "NOTE"]);
    for step in steps {
        table.row(cells(step));
    }
    table
}

fn cells(step: &Step) -> [Line; 5] {
    let (word, tone) = if step.ok { ("ok", Tone::Good) } else { ("NO", Tone::Bad) };
    [
        step.step.as_str().into(),
        seconds(step.measured_ms).into(),
        seconds(step.bound_ms as f64).into(),
        Line::of(tone, word),
        Line::of(Tone::Faint, &step.note),
    ]
}

fn seconds(millis: f64) -> String {
    format!("{:.3} s", millis / 1000.0)
}

/// One step, as it happens.
pub(crate) fn line(step: &Step) -> Line {
    let (sign, tone) = if step.ok { ("ok ", Tone::Good) } else { ("NO ", Tone::Bad) };
    let line = Line::of(tone, sign).plain(format!("{:>9}  {}", seconds(step.measured_ms), step.step));
    if step.note.is_empty() { line } else { line.and(Tone::Faint, format!(": {}", step.note)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps() -> (Steps, mpsc::Receiver<Progress>) {
        let (sender, receiver) = mpsc::channel(64);
        (Steps::new(sender, 1), receiver)
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_fails_or_hangs_stops_the_scenario() {
        let (mut steps, _watcher) = steps();
        let second = Duration::from_secs(1);
        assert!(steps.take("well", second, async { Ok((5, "five".into())) }).await.is_ok_and(|five| five == 5));
        assert!(steps.all_held());
        assert!(steps.take::<()>("fails", second, async { Err("no".into()) }).await.is_err());
        assert!(steps.take::<()>("hangs", second, std::future::pending()).await.is_err());
        assert!(!steps.all_held());
        assert_eq!(steps.taken[2].note, "it did not happen within 10 s");
    }

    #[tokio::test]
    async fn a_step_that_is_late_is_noted_and_the_scenario_goes_on() {
        let (mut steps, mut watcher) = steps();
        let late = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(((), String::new()))
        };
        assert!(steps.take("late", Duration::from_millis(5), late).await.is_ok());
        assert!(!steps.all_held());
        assert!(steps.taken[0].measured_ms >= 20.0);
        assert!(matches!(watcher.recv().await, Some(Progress::Begin(step)) if step == "late"));
        assert!(matches!(watcher.recv().await, Some(Progress::End(step)) if !step.ok));
    }

    #[tokio::test(start_paused = true)]
    async fn an_emulated_machine_has_more_time_and_the_report_says_so() {
        let (sender, _watcher) = mpsc::channel(64);
        let mut steps = Steps::new(sender, 4);
        let late = async {
            tokio::time::sleep(Duration::from_secs(45)).await;
            Ok(((), String::new()))
        };
        assert!(steps.take("late", Duration::from_secs(3), late).await.is_ok());
        assert_eq!(steps.taken[0].bound_ms, 12_000);
    }

    #[test]
    fn the_table_of_steps() {
        let step = |step: &str, measured_ms, ok, note: &str| Step {
            step: step.into(),
            measured_ms,
            bound_ms: 3000,
            ok,
            note: note.into(),
        };
        let steps = [step("the kill is noticed", 1234.5, true, ""), step("it returns", 3001.0, false, "late")];
        let lines: Vec<_> = table(&steps).lines().iter().map(Line::text).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        STEP                 MEASURED    BOUND  OK  NOTE
        the kill is noticed   1.234 s  3.000 s  ok
        it returns            3.001 s  3.000 s  NO  late
        ");
    }
}
