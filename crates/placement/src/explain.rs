//! Why an instance is where it is, in points and in words.

use std::fmt;

use tutti_model::DeviceId;

use crate::{INERTIA, Planner, Want};

/// One part of a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// A wanted resource, with its points.
    Want(Want, u32),
    /// How busy the device is.
    Load(u32),
}

/// Why a device is out of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// It is away.
    Away,
    /// A required resource is nowhere in the pool.
    Missing(Want),
    /// It has too little memory left, in bytes.
    Memory(Short),
    /// It has too little of a processor left, in thousandths of one.
    Processor(Short),
    /// Its owner wants it on another one.
    Pinned(DeviceId),
}

/// Devices have less than an instance needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Short {
    /// How much it needs.
    pub needs: u64,
    /// The least that one of the devices has left.
    pub least: u64,
    /// The most that one of them has left.
    pub most: u64,
}

impl Short {
    fn of(needs: u64, left: u64) -> Self {
        Self { needs, least: left, most: left }
    }

    fn with(self, other: Self) -> Self {
        Self { least: self.least.min(other.least), most: self.most.max(other.most), ..self }
    }
}

impl Obstacle {
    /// Both as one, if they are of one sort.
    fn with(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Memory(a), Self::Memory(b)) => Some(Self::Memory(a.with(b))),
            (Self::Processor(a), Self::Processor(b)) => Some(Self::Processor(a.with(b))),
            (a, b) => (a == b).then_some(a),
        }
    }
}

/// A device that it could be on instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// Which.
    pub device: DeviceId,
    /// Its cost there, the move not counted.
    pub cost: u32,
    /// Of what that is made.
    pub terms: Vec<Term>,
}

/// Why an instance is where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Where it is, if it can be there.
    pub home: Option<Alternative>,
    /// The best others, at most three.
    pub others: Vec<Alternative>,
    /// How many devices are out of the question, by reason.
    pub obstacles: Vec<(Obstacle, usize)>,
}

impl Planner {
    /// Why this instance is where it is, and not elsewhere; `None` if there is no such instance. Looks at every device.
    pub fn why(&self, instance: usize) -> Option<Explanation> {
        let it = self.instances.get(instance)?;
        let app = self.apps.get(it.app)?;
        let (memory, cpu) = (app.app.memory, app.app.cpu);
        let mut obstacles: Vec<(Obstacle, usize)> = Vec::new();
        let mut others: Vec<Alternative> = Vec::new();
        let mut home = None;
        for (place, state) in self.devices.iter().enumerate() {
            let here = self.homes[instance] == Some(place);
            let load = if here { self.load(place, 0, 0) } else { self.load(place, memory, cpu) };
            let missing = self.terms(it.app, place).find(|(_, points)| points.is_none());
            let elsewhere = it.pinned.filter(|pinned| *pinned != state.device.id && self.place_of(*pinned).is_some());
            let obstacle = match (state.device.online, missing, load, elsewhere) {
                (false, ..) => Some(Obstacle::Away),
                (_, Some((want, _)), ..) => Some(Obstacle::Missing(want)),
                (_, _, None, _) => Some(self.shortage(place, memory, cpu, here)),
                (_, _, _, Some(pinned)) => Some(Obstacle::Pinned(pinned)),
                _ => None,
            };
            if let Some(obstacle) = obstacle {
                let known = obstacles.iter_mut().find_map(|(known, count)| Some((known.with(obstacle)?, known, count)));
                match known {
                    Some((both, known, count)) => (*known, *count) = (both, *count + 1),
                    None => obstacles.push((obstacle, 1)),
                }
                continue;
            }
            let wants = self.terms(it.app, place).filter_map(|(want, points)| Some(Term::Want(want, points?)));
            let terms: Vec<Term> = wants.chain(load.map(Term::Load)).collect();
            let points = |term: &Term| match term {
                Term::Want(_, points) | Term::Load(points) => *points,
            };
            let cost = terms.iter().map(points).sum();
            let alternative = Alternative { device: state.device.id, cost, terms };
            if here {
                home = Some(alternative);
            } else {
                others.push(alternative);
                others.sort_by_key(|it| it.cost);
                others.truncate(3);
            }
        }
        obstacles.sort();
        Some(Explanation { home, others, obstacles })
    }

    /// What a device lacks that is there and has no room for an instance that needs this much, which may be on it.
    fn shortage(&self, place: usize, memory: u64, cpu: u32, here: bool) -> Obstacle {
        let state = &self.devices[place];
        let own = if here { (memory, cpu) } else { (0, 0) };
        let left = state.device.memory.saturating_sub(state.memory_used.saturating_sub(own.0));
        if memory > left {
            return Obstacle::Memory(Short::of(memory, left));
        }
        let left = state.device.cpu.saturating_sub(state.cpu_used.saturating_sub(own.1));
        Obstacle::Processor(Short::of(u64::from(cpu), u64::from(left)))
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.home {
            Some(home) => writeln!(f, "on {}: {} points", home.device.short(), home.cost)?,
            None => writeln!(f, "on no device that it can run on")?,
        }
        if let Some(home) = &self.home {
            home.terms.iter().try_for_each(|term| writeln!(f, "  {term}"))?;
        }
        for other in &self.others {
            let stays = self.home.as_ref().filter(|home| home.cost <= other.cost.saturating_add(INERTIA));
            let verdict = match stays {
                Some(home) if home.cost > other.cost => " (better, but not by what a move must gain)",
                Some(_) => "",
                None => " (worth a move)",
            };
            writeln!(f, "instead on {}: {} points{verdict}", other.device.short(), other.cost)?;
        }
        self.obstacles.iter().try_for_each(|(obstacle, count)| writeln!(f, "{count} not: {obstacle}"))
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(points) => write!(f, "{points} for how busy it is"),
            Self::Want(want, 0) => write!(f, "0: {} is there", want.sort.kind),
            Self::Want(want, points) => write!(f, "{points}: {} is elsewhere", want.sort.kind),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away => f.write_str("not reachable"),
            Self::Missing(want) => write!(f, "no {} anywhere in the pool, which it requires", want.sort.kind),
            Self::Memory(short) => {
                write!(f, "needs {} of memory, has {}", Bytes(short.needs), Left(short, Bytes))
            }
            Self::Processor(short) => {
                write!(f, "needs {} of a processor, has {}", Thousandths(short.needs), Left(short, Thousandths))
            }
            Self::Pinned(device) => write!(f, "its owner wants it on {}", device.short()),
        }
    }
}

/// What is left, of one device or from the least to the most.
struct Left<'a, T>(&'a Short, fn(u64) -> T);

impl<T: fmt::Display> fmt::Display for Left<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Short { least, most, .. }, show) = self;
        if least == most { show(*most).fmt(f) } else { write!(f, "from {} to {}", show(*least), show(*most)) }
    }
}

/// Bytes in the largest unit of which there is a whole one.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, word) = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
            .into_iter()
            .find(|(unit, _)| self.0 >= *unit)
            .unwrap_or((1, "B"));
        match (self.0 / unit, self.0 % unit * 10 / unit) {
            (whole, 0) => write!(f, "{whole} {word}"),
            (whole, tenths) => write!(f, "{whole}.{tenths} {word}"),
        }
    }
}

struct Thousandths(u64);

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}
