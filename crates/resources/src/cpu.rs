//! How busy the processors are: `cpu-load` in percent of all cores, and `load-average` over one minute.
//!
//! The core-by-core loads (`cpu-load-0`, …) are offered only when asked for: on a server they would be most of the list.
//!
//! Sources: proc_stat(5) and Documentation/filesystems/proc.rst ("Miscellaneous kernel statistics in /proc/stat") for
//! the columns; proc_loadavg(5). `guest` time is already in `user`, and `iowait` is idle time; it may decrease.

use std::{path::Path, sync::Arc, time::Duration};

use tutti_model::{ResourceDescription, Value};

use crate::{
    Options,
    driver::{Driver, DriverError},
    names::{count, name, unit, with, words},
    rate::Meter,
    root::SysRoot,
};

const STAT: &str = "/proc/stat";
const LOADAVG: &str = "/proc/loadavg";
/// Interrupt counters of a large server make `/proc/stat` long.
const MAX_STAT: usize = 1 << 20;
/// More cores than this are not offered one by one.
const MAX_CORES: usize = 256;

/// What the processors do, as offered by [`crate::discover`].
pub(crate) fn discover(root: &SysRoot, options: &Options) -> Vec<Arc<dyn Driver>> {
    let mut drivers: Vec<Arc<dyn Driver>> = Vec::new();
    let times = root.text(STAT, MAX_STAT).map(|text| parse_stat(&text)).unwrap_or_default();
    let cores = times.iter().filter(|(line, _)| line != "cpu").count();
    for (line, times) in times.iter().take(MAX_CORES + 1) {
        let of_all = line == "cpu";
        if of_all || options.per_core_load {
            drivers.push(Arc::new(CpuLoad::new(root, line, *times, cores)));
        }
    }
    if root.text(LOADAVG, 256).is_ok_and(|text| parse_load_average(&text).is_some()) {
        drivers.push(Arc::new(LoadAverage { root: root.clone(), cores }));
    }
    drivers
}

/// Clock ticks that a processor spent working and idling since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks {
    /// In user, nice, system, irq, softirq and steal.
    pub busy: u64,
    /// In idle and iowait.
    pub idle: u64,
}

/// The processor lines of `/proc/stat`: `cpu` for all of them together, `cpu0`, … for each. Lines that are cut
/// off or are not numbers are left out.
pub fn parse_stat(text: &str) -> Vec<(String, Ticks)> {
    text.lines()
        .take_while(|line| line.starts_with("cpu"))
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let which = words.next()?;
            if !which.trim_start_matches("cpu").chars().all(|c| c.is_ascii_digit()) {
                return None;
            }
            let columns: Vec<u64> = words.take(8).map_while(|word| word.parse().ok()).collect();
            // Kernels of all ages have these four; the others count as 0 where they are missing.
            let [user, nice, system, idle, rest @ ..] = columns.as_slice() else { return None };
            let iowait = rest.first().copied().unwrap_or(0);
            let busy = rest.iter().skip(1).fold(0, |sum: u64, ticks| sum.saturating_add(*ticks));
            let busy = busy.saturating_add(*user).saturating_add(*nice).saturating_add(*system);
            Some((which.to_owned(), Ticks { busy, idle: idle.saturating_add(iowait) }))
        })
        .collect()
}

/// The average over one minute out of `/proc/loadavg`.
pub fn parse_load_average(text: &str) -> Option<f64> {
    text.split_ascii_whitespace().next()?.parse().ok().filter(|load: &f64| load.is_finite() && *load >= 0.0)
}

struct CpuLoad {
    root: SysRoot,
    line: String,
    description: ResourceDescription,
    meter: Meter<2>,
}

impl CpuLoad {
    fn new(root: &SysRoot, line: &str, ticks: Ticks, cores: usize) -> Self {
        let resource = match line.strip_prefix("cpu") {
            Some(core) if !core.is_empty() => format!("cpu-load-{core}"),
            _ => "cpu-load".to_owned(),
        };
        let mut description = with(
            ResourceDescription::sensor(name(&resource), unit("%")),
            [("quantity", words("load")), ("min", Value::Int(0)), ("max", Value::Int(100))],
        );
        if line == "cpu" {
            description = with(description, [("cores", count(cores as u64))]);
        }
        Self {
            root: root.clone(),
            line: line.to_owned(),
            description,
            meter: Meter::new(Some([ticks.busy, ticks.idle])),
        }
    }

    fn ticks(&self) -> Result<[u64; 2], DriverError> {
        let text = self.root.text(STAT, MAX_STAT)?;
        match parse_stat(&text).into_iter().find(|(line, _)| *line == self.line) {
            Some((_, ticks)) => Ok([ticks.busy, ticks.idle]),
            // A processor that was taken offline has no line.
            None => Err(DriverError::Gone(self.root.locate(STAT))),
        }
    }
}

impl Driver for CpuLoad {
    fn description(&self) -> ResourceDescription {
        self.description.clone()
    }

    fn read(&self) -> Result<Value, DriverError> {
        let ([busy, idle], _) = self.meter.growth(|| self.ticks())?;
        let all = busy.saturating_add(idle);
        Ok(Value::Float(if all == 0 { 0.0 } else { busy as f64 * 100.0 / all as f64 }))
    }

    fn refresh_every(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }

    fn origin(&self) -> Option<&Path> {
        Some(Path::new(STAT))
    }
}

struct LoadAverage {
    root: SysRoot,
    cores: usize,
}

impl Driver for LoadAverage {
    fn description(&self) -> ResourceDescription {
        with(
            ResourceDescription::sensor(name("load-average"), unit("")),
            [("quantity", words("load")), ("minutes", Value::Int(1)), ("cores", count(self.cores as u64))],
        )
    }

    fn read(&self) -> Result<Value, DriverError> {
        let text = self.root.text(LOADAVG, 256)?;
        parse_load_average(&text)
            .map(Value::Float)
            .ok_or_else(|| DriverError::garbage(&self.root.locate(LOADAVG), text.as_bytes()))
    }

    fn refresh_every(&self) -> Option<Duration> {
        // The kernel computes it every five seconds.
        Some(Duration::from_secs(5))
    }

    fn origin(&self) -> Option<&Path> {
        Some(Path::new(LOADAVG))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_columns_are_those_of_the_manual() {
        let text = "cpu  10 1 5 100 7 2 3 4 9 9\ncpu0 1 1 1 1\ncpu1 1 1\ncpux 1 1 1 1\nintr 5\ncpu9 1 1 1 1\n";
        assert_eq!(
            parse_stat(text),
            [("cpu".to_owned(), Ticks { busy: 25, idle: 107 }), ("cpu0".to_owned(), Ticks { busy: 3, idle: 1 }),]
        );
        assert_eq!(parse_load_average("0.52 0.58 0.59 1/467 12345\n"), Some(0.52));
        assert_eq!(parse_load_average("nan"), None);
    }

    proptest! {
        #[test]
        fn what_the_kernel_prints_is_read(cores in prop::collection::vec(prop::array::uniform10(0u64..1 << 40), 1..20)) {
            let mut text = String::new();
            for (core, columns) in cores.iter().enumerate() {
                let columns: Vec<_> = columns.iter().map(u64::to_string).collect();
                text += &format!("cpu{core} {}\n", columns.join(" "));
            }
            let parsed = parse_stat(&text);
            prop_assert_eq!(parsed.len(), cores.len());
            for ((_, ticks), columns) in parsed.iter().zip(&cores) {
                prop_assert_eq!(ticks.busy + ticks.idle, columns[..8].iter().sum::<u64>());
                prop_assert_eq!(ticks.idle, columns[3] + columns[4]);
            }
        }

        #[test]
        fn anything_is_survived(text in "(cpu[0-9a-z ]{0,30}\n|.{0,20}\n){0,10}") {
            parse_stat(&text);
            parse_load_average(&text);
        }
    }
}
