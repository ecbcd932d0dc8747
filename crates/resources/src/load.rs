//! How busy this machine is with other things than this process, in coarse steps: for whoever decides where more is to run.
//!
//! What other devices are told must not change with every breath of a machine, so it is told in steps (an eighth of the
//! processors, a sixteenth of the memory), and a step is left only when the measure is three quarters of a step away from it: one
//! that swings about the border between two steps stays on one of them.
//!
//! Sources: proc_stat(5) for the processors' time; proc_pid_stat(5), fields `utime` and `stime`, in the same ticks, for this process;
//! proc_meminfo(5); proc_pid_status(5), field `VmRSS`.

use crate::{
    cpu::{self, Ticks},
    memory,
    root::SysRoot,
};

/// What other things than this process take of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Thousandths of a processor, on average between the last two looks.
    pub processors: u32,
    /// Bytes of memory.
    pub memory: u64,
}

/// Looks at the machine's load now and then.
#[derive(Debug)]
pub struct Gauge {
    root: SysRoot,
    before: Option<(Ticks, u64)>,
    load: Load,
}

/// What was measured, as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Measured {
    load: Load,
    processors: u32,
    memory: u64,
}

impl Gauge {
    /// Of the machine below `root`.
    pub const fn new(root: SysRoot) -> Self {
        Self { root, before: None, load: Load { processors: 0, memory: 0 } }
    }

    /// Looks now. What cannot be read counts as nothing; the processors count from the second look on. Blocks, for as long as reading
    /// four small files takes.
    pub fn look(&mut self) -> Load {
        let text = |path: &str| self.root.text(path, 1 << 20).unwrap_or_default();
        let measured = measure(
            self.before,
            &[text("/proc/stat"), text("/proc/self/stat"), text("/proc/meminfo"), text("/proc/self/status")],
        );
        let (sample, Measured { load, processors, memory }) = measured;
        self.before = sample;
        self.load.processors =
            settle(u64::from(self.load.processors), u64::from(load.processors), u64::from(processors) / 8) as u32;
        self.load.memory = settle(self.load.memory, load.memory, memory / 16);
        self.load
    }
}

/// The next sample of the processors' time, and what was measured, out of `/proc/stat`, `/proc/self/stat`, `/proc/meminfo` and `/proc/self/status`.
fn measure(
    before: Option<(Ticks, u64)>,
    [stat, own, meminfo, status]: &[String; 4],
) -> (Option<(Ticks, u64)>, Measured) {
    let lines = cpu::parse_stat(stat);
    let all = lines.iter().find(|(line, _)| line == "cpu").map(|(_, ticks)| *ticks);
    let processors = 1000 * u32::try_from(lines.len().saturating_sub(1).min(1 << 20)).unwrap_or(0);
    let sample = all.map(|all| (all, parse_own(own).unwrap_or(0)));
    let mut load = Load::default();
    if let (Some((all, own)), Some((all_before, own_before))) = (sample, before) {
        let busy = all.busy.saturating_sub(all_before.busy);
        let whole = busy.saturating_add(all.idle.saturating_sub(all_before.idle));
        let others = busy.saturating_sub(own.saturating_sub(own_before));
        if whole > 0 {
            load.processors = (u128::from(others) * u128::from(processors) / u128::from(whole)) as u32;
        }
    }
    let memory = memory::parse_meminfo(meminfo);
    if let Some(memory) = memory {
        load.memory = (memory.total - memory.available).saturating_sub(parse_resident(status).unwrap_or(0));
    }
    (sample, Measured { load, processors, memory: memory.map_or(0, |memory| memory.total) })
}

/// The ticks that a process has had, out of its `stat`. Its name, in brackets, may hold anything.
fn parse_own(text: &str) -> Option<u64> {
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    Some(user.saturating_add(fields.next()?.parse().ok()?))
}

/// The bytes of memory that a process has, out of its `status` in `/proc`.
pub fn parse_resident(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

/// What is shown when this was shown and that is measured.
fn settle(shown: u64, measured: u64, step: u64) -> u64 {
    if step == 0 {
        return 0;
    }
    if shown.is_multiple_of(step) && u128::from(measured.abs_diff(shown)) * 4 <= u128::from(step) * 3 {
        return shown;
    }
    let down = measured - measured % step;
    if measured - down > step / 2 { down.saturating_add(step) } else { down }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn files(busy: u64, idle: u64, own: u64, free: u64, resident: u64) -> [String; 4] {
        [
            format!("cpu  {busy} 0 0 {idle}\ncpu0 1 1 1 1\ncpu1 1 1 1 1\nintr 5\n"),
            format!("7 (a ) name) S 1 7 7 0 -1 4194304 100 0 0 0 {} {} 0 0 20 0 9 0\n", own / 2, own - own / 2),
            format!("MemTotal: 1000 kB\nMemAvailable: {free} kB\n"),
            format!("Name:\tx\nVmPeak:\t 9 kB\nVmRSS:\t {resident} kB\n"),
        ]
    }

    #[test]
    fn what_this_process_does_is_not_load() {
        let (before, first) = measure(None, &files(1000, 1000, 10, 600, 100));
        assert_eq!(
            first,
            Measured { load: Load { processors: 0, memory: 300 << 10 }, processors: 2000, memory: 1000 << 10 }
        );
        // Of two processors, three quarters of the time was busy; a third of that was this process.
        let (_, second) = measure(before, &files(1300, 1100, 110, 200, 800));
        assert_eq!(second.load, Load { processors: 1000, memory: 0 });
    }

    #[test]
    fn a_step_is_left_only_when_it_is_clearly_left() {
        assert_eq!(settle(0, 140, 100), 100);
        assert_eq!(settle(0, 75, 100), 0);
        assert_eq!(settle(100, 30, 100), 100);
        assert_eq!(settle(100, 20, 100), 0);
        assert_eq!(settle(100, 176, 100), 200);
        assert_eq!(settle(130, 130, 100), 100, "the machine has changed: another step");
        assert_eq!(settle(5, 7, 0), 0, "nothing is known of the machine");
    }

    #[test]
    fn this_machine_is_measured() {
        let root = SysRoot::default();
        let facts = crate::describe_machine(&root);
        let mut gauge = Gauge::new(root);
        assert_eq!(gauge.look().processors, 0, "there is no time between looks before the second");
        let load = gauge.look();
        assert!(load.processors as usize <= 1000 * facts.cores && load.memory <= facts.memory, "{load:?}, {facts:?}");
    }

    proptest! {
        #[test]
        fn what_swings_within_half_a_step_shows_one_step(at in 0u64..1000, swings in prop::collection::vec(0u64..50, 1..40)) {
            let mut shown = settle(0, at, 100);
            let mut changes = 0;
            for swing in swings {
                let next = settle(shown, at + swing, 100);
                changes += u32::from(next != shown);
                shown = next;
                prop_assert!(next.abs_diff(at + swing) <= 75);
            }
            prop_assert!(changes <= 1);
        }

        #[test]
        fn anything_is_survived(texts in prop::array::uniform4("(cpu[0-9 ]{0,30}\n|MemTotal: [0-9]{0,22} kB\n|.{0,20}\n){0,6}"), shown: u64, step: u64) {
            let (sample, _) = measure(None, &texts);
            let (_, measured) = measure(sample, &texts);
            prop_assert_eq!(measured.load.processors, 0);
            settle(shown, measured.load.memory, step);
        }
    }
}
