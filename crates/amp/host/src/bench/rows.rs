//! What is measured beside what, and what is printed of it.

use std::fmt;

use super::run::Job;

/// One line of the result.
#[derive(Clone, Debug)]
pub struct Row {
    /// As in `amp.rtt.16.polled`.
    pub name: String,
    /// Ours: the median ratio times the median of the reference.
    pub value: f64,
    /// Of both values.
    pub unit: &'static str,
    /// What it is held against, and the median of that.
    pub reference: Option<(&'static str, f64)>,
}

impl Row {
    /// A figure that stands alone.
    pub(super) fn alone(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, reference: None }
    }
}

/// One JSON object.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, unit, reference } = self;
        write!(f, "{{\"name\":\"{name}\",\"value\":{value:.4},\"unit\":\"{unit}\"")?;
        if let Some((reference, value)) = reference {
            write!(f, ",\"reference\":\"{reference}\",\"reference_value\":{value:.4}")?;
        }
        f.write_str("}")
    }
}

/// In what a row is counted.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Unit {
    Nanoseconds,
    Messages,
    Megabytes,
}

impl Unit {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Messages => "msg/s",
            Self::Megabytes => "MB/s",
        }
    }

    /// The figure for `count` messages of `size` bytes in so many nanoseconds.
    pub(super) fn of(self, nanos: f64, count: u32, size: usize) -> f64 {
        match self {
            Self::Nanoseconds => nanos / f64::from(count),
            Self::Messages => f64::from(count) * 1e9 / nanos,
            Self::Megabytes => f64::from(count) * size as f64 * 1e3 / nanos,
        }
    }
}

/// A row to be measured.
#[derive(Clone)]
pub(super) struct Spec {
    pub(super) name: String,
    pub(super) reference: &'static str,
    pub(super) unit: Unit,
    pub(super) count: u32,
    pub(super) size: usize,
    pub(super) limit: Job,
    pub(super) ours: Job,
    /// Publishes after how many messages.
    pub(super) batch: u32,
    /// Whether single round trips are timed too.
    pub(super) single: bool,
}

/// The sizes at which everything is measured: the last two in large buffers.
const SIZES: [usize; 5] = [16, 64, 496, 4096, 65_000];

/// All rows.
pub(super) fn specs() -> Vec<Spec> {
    let mut specs = Vec::new();
    let mut add = |name: String, unit, reference, (limit, ours): (Job, Job), (count, size): (u32, usize)| {
        let batch = if name.ends_with("single") || size > 496 { 1 } else { 32 };
        let single = unit == Unit::Nanoseconds && !name.ends_with("pipe");
        specs.push(Spec { name, reference, unit, count, size, limit, ours, batch, single });
    };
    for size in SIZES {
        use Unit::{Megabytes, Messages, Nanoseconds};
        let small = size <= 496;
        let pick = |a, b| if small { a } else { b };
        let (answer, sink, read) = (
            pick(Job::LinkAnswer, Job::LargeAnswer),
            pick(Job::LinkSink, Job::LargeSink),
            pick(Job::LinkRead, Job::LargeRead),
        );
        let spsc = pick(Job::SpscSink, Job::WideSpscSink);
        let trips = match size {
            65_000 => 50,
            4096 => 200,
            _ => 500,
        };
        let messages = match size {
            65_000 => 96,
            4096 => 400,
            _ => 4096,
        };
        add(
            format!("amp.rtt.{size}.polled"),
            Nanoseconds,
            "flag_round_trip",
            (Job::FlagsAnswer, answer),
            (trips, size),
        );
        let batches = pick(Job::LinkBatchSink, sink);
        add(format!("amp.rate.{size}.batched"), Messages, "spsc_ring", (spsc, batches), (messages, size));
        if size == 16 {
            add(format!("amp.rate.{size}.layout"), Messages, "spsc_ring", (spsc, Job::BareSink), (messages, size));
            add(format!("amp.rate.{size}.single"), Messages, "spsc_ring", (spsc, sink), (messages, size));
        }
        let bytes = messages.max(96);
        add(
            format!("amp.copy.{size}.zero_copy"),
            Megabytes,
            "memcpy_of_foreign",
            (Job::BlocksFill, read),
            (bytes, size),
        );
        add(format!("amp.copy.{size}.copying"), Megabytes, "memcpy_of_foreign", (Job::BlocksFill, sink), (bytes, size));
        if !small {
            add(
                format!("amp.copy.{size}.handover"),
                Megabytes,
                "flag_handover",
                (Job::BlocksSink, read),
                (bytes, size),
            );
            add(format!("amp.copy.{size}.beside_private"), Megabytes, "memcpy", (Job::Memcpy, read), (bytes, size));
        }
        let (futex, event) = ((Job::FutexAnswer, Job::LinkFutexAnswer), (Job::EventAnswer, Job::LinkEventAnswer));
        add(format!("amp.rtt.{size}.interrupt"), Nanoseconds, "futex_round_trip", futex, (10, size));
        add(format!("amp.rtt.{size}.eventfd"), Nanoseconds, "eventfd_round_trip", event, (10, size));
        add(format!("amp.rtt.{size}.pipe"), Nanoseconds, "pipe_round_trip", (Job::PipeAnswer, answer), (40, size));
        add(format!("amp.rate.{size}.pipe"), Messages, "pipe", (Job::PipeSink, sink), (messages / 4, size));
        add(
            format!("amp.rate.{size}.interrupt"),
            Messages,
            "pipe",
            (Job::PipeSink, Job::LinkFutexSink),
            (messages / 4, size),
        );
    }
    specs
}

/// One kept measurement: nanoseconds of the limit and of the subject, and what the cores were to each other then.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub(super) limit: f64,
    pub(super) ours: f64,
    pub(super) cores: Cores,
}

/// What two cores are to each other, as far as it was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cores {
    /// Whether each computes as fast as alone.
    pub(super) apart: bool,
    /// The round trip of a bare cache line in nanoseconds.
    pub(super) line: f64,
}

impl Cores {
    /// The most usual state: on cores of their own if that was seen often enough, with the median line.
    pub(super) fn usual(all: &[Self]) -> Self {
        let apart = all.iter().filter(|cores| cores.apart).count() * 10 >= all.len();
        let line = median(all.iter().filter(|cores| cores.apart == apart).map(|cores| cores.line).collect());
        Self { apart, line }
    }

    /// Whether figures measured in one state may stand beside those of the other: a hypervisor moves virtual cores
    /// between neighbours, threads of one core, and cores on different dies.
    pub(super) fn like(&self, other: &Self) -> bool {
        self.apart == other.apart && self.line < 1.6 * other.line && other.line < 1.6 * self.line
    }
}

/// The rows of a spec: ours beside the limit, and single round trips; of what was measured while the cores were as
/// usual.
pub(super) fn rows(spec: &Spec, samples: &[Sample], laps: &[(u32, Cores)], usual: &Cores) -> Vec<Row> {
    let chosen: Vec<_> = samples.iter().filter(|sample| sample.cores.like(usual)).collect();
    if chosen.is_empty() {
        return Vec::new();
    }
    let Spec { unit, count, size, .. } = *spec;
    let limit = median(chosen.iter().map(|sample| sample.limit).collect());
    let ratio = median(chosen.iter().map(|sample| sample.ours / sample.limit).collect());
    let reference = Some((spec.reference, unit.of(limit, count, size)));
    let value = unit.of(limit * ratio, count, size);
    let mut rows = vec![Row { name: spec.name.clone(), value, unit: unit.name(), reference }];
    let mut laps: Vec<u32> = laps.iter().filter(|lap| lap.1.like(usual)).map(|lap| lap.0).collect();
    laps.sort_unstable();
    for (what, share) in [("min", 0), ("median", 500), ("p99", 990)] {
        if let Some(lap) = laps.get(laps.len() * share / 1000) {
            rows.push(Row::alone(format!("{}.{what}", spec.name), f64::from(*lap), "ns"));
        }
    }
    rows
}

pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        specs().swap_remove(0)
    }

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let mut names: Vec<_> = specs().into_iter().map(|spec| spec.name).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
        for goal in ["amp.rtt.16.polled", "amp.rate.16.batched", "amp.rtt.16.interrupt", "amp.copy.65000.zero_copy"] {
            assert!(names.iter().any(|name| name == goal), "{goal}");
        }
    }

    #[test]
    fn what_was_measured_in_another_state_is_left_out() {
        let near = Cores { apart: true, line: 90.0 };
        let far = Cores { apart: true, line: 500.0 };
        let one = Cores { apart: false, line: 60.0 };
        let usual = Cores::usual(&[near, near, far, one]);
        assert!(usual.like(&near) && !usual.like(&far) && !usual.like(&one));
        assert!(!Cores::usual(&[one; 20]).apart);
        let sample = |ours, cores| Sample { limit: 1000.0, ours, cores };
        let samples = [sample(9000.0, far), sample(2000.0, near), sample(3000.0, one)];
        let rows = rows(&spec(), &samples, &[(7, far), (5, near), (6, one)], &usual);
        assert_eq!((rows[0].value / rows[0].reference.unwrap().1, rows[1].value), (2.0, 5.0));
        assert!(super::rows(&spec(), &[], &[], &usual).is_empty());
    }
}
