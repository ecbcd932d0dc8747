//! The search for the cheapest whole.

use std::collections::{BTreeMap, BTreeSet};

use super::{Resolver, Why};
use crate::{
    fault::{Code, Fault},
    parts::Part,
    product::Said,
};

/// The most choices that are tried.
pub const MAX_STEPS: usize = 20_000;

type Chosen = BTreeMap<String, Why>;

/// What a choice costs: flash, RAM, how many parts, and their names so that there is never a draw.
type Cost = (u64, u64, usize, Vec<String>);

/// The least set with these parts in it.
pub(super) fn least(resolver: &Resolver<'_>, wanted: Chosen) -> Result<Chosen, Vec<Fault>> {
    let mut search = Search { resolver, best: None, first_fault: None, steps: 0 };
    let chosen = search.close(wanted).map_err(|fault| vec![fault])?;
    search.choose(chosen);
    match (search.best, search.first_fault) {
        (Some((_, chosen)), _) => Ok(chosen),
        (None, Some(fault)) => Err(vec![fault]),
        (None, None) => {
            let message = format!("no set of parts was found within {MAX_STEPS} choices");
            Err(vec![Fault::new(Code::Limit, message).help("say by name which parts are to give what others need")])
        }
    }
}

struct Search<'a> {
    resolver: &'a Resolver<'a>,
    best: Option<(Cost, Chosen)>,
    first_fault: Option<Fault>,
    steps: usize,
}

impl<'a> Search<'a> {
    /// With all that these parts need by name.
    fn close(&self, mut chosen: Chosen) -> Result<Chosen, Fault> {
        let mut open: Vec<String> = chosen.keys().cloned().collect();
        while let Some(name) = open.pop() {
            let part = &self.resolver.catalogue.parts[&name];
            self.resolver.fits(part).map_err(|misfit| self.resolver.misfit(part, &chosen[&name], &misfit))?;
            for need in &part.needs.parts {
                if !self.resolver.catalogue.parts.contains_key(&need.value) {
                    return Err(self.resolver.unknown(need));
                }
                if !chosen.contains_key(&need.value) {
                    chosen.insert(need.value.clone(), Why::Needed { by: name.clone() });
                    open.push(need.value.clone());
                }
            }
        }
        self.no_cycle(&chosen)?;
        Ok(chosen)
    }

    /// No part may need itself by way of others.
    fn no_cycle(&self, chosen: &Chosen) -> Result<(), Fault> {
        let mut done = BTreeSet::new();
        chosen.keys().try_for_each(|name| self.visit(name, &mut Vec::new(), &mut done))
    }

    /// `way` has who needs what on the way to this part.
    fn visit<'b>(
        &'b self,
        name: &'b str,
        way: &mut Vec<(&'b str, &'b Said<String>)>,
        done: &mut BTreeSet<&'b str>,
    ) -> Result<(), Fault> {
        let Some(part) = self.resolver.catalogue.parts.get(name).filter(|_| !done.contains(name)) else {
            return Ok(());
        };
        for need in &part.needs.parts {
            way.push((name, need));
            if let Some(from) = way.iter().position(|(who, _)| *who == need.value) {
                return Err(circle(&way[from..]));
            }
            self.visit(&need.value, way, done)?;
            way.pop();
        }
        done.insert(name);
        Ok(())
    }

    /// Tries every part that gives the next interface that is missing.
    fn choose(&mut self, chosen: Chosen) {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return;
        }
        let cost = self.cost(&chosen);
        if self.best.as_ref().is_some_and(|(best, _)| *best <= cost) {
            return;
        }
        let Some((need, by)) = self.missing(&chosen) else {
            self.best = Some((cost, chosen));
            return;
        };
        let (mut any, interface) = (false, need.value.clone());
        let givers: Vec<&Part> = self.resolver.catalogue.giving(&interface).collect();
        for giver in givers {
            if self.resolver.fits(giver).is_err() {
                continue;
            }
            let mut more = chosen.clone();
            let why = Why::Gives { interface: interface.clone(), to: by.clone() };
            more.insert(giver.name.value.clone(), why);
            match self.close(more) {
                Ok(more) => {
                    any = true;
                    self.choose(more);
                }
                Err(fault) => drop(self.first_fault.get_or_insert(fault)),
            }
        }
        if !any {
            let fault = self.resolver.unmet(&need, &by, &chosen[&by]);
            // What cannot be had at all says more than a giver that cannot.
            self.first_fault = Some(self.first_fault.take().filter(|it| it.code == Code::Cycle).unwrap_or(fault));
        }
    }

    /// The first interface that a part needs and none gives.
    fn missing(&self, chosen: &Chosen) -> Option<(Said<String>, String)> {
        let gives = |interface: &str| {
            self.resolver.each(chosen).any(|(part, _)| part.interfaces.iter().any(|it| it == interface))
        };
        self.resolver.each(chosen).find_map(|(part, _)| {
            let need = part.needs.interfaces.iter().find(|need| !gives(&need.value))?;
            Some((need.clone(), part.name.value.clone()))
        })
    }

    fn cost(&self, chosen: &Chosen) -> Cost {
        let sum = |of: fn(&Part) -> u64| self.resolver.each(chosen).map(|(part, _)| of(part)).sum();
        (sum(|it| it.needs.flash.0), sum(|it| it.needs.ram.0), chosen.len(), chosen.keys().cloned().collect())
    }
}

/// The fault of parts that need each other in a circle.
fn circle(way: &[(&str, &Said<String>)]) -> Fault {
    let names: Vec<_> = way.iter().map(|(who, _)| *who).chain(way.first().map(|(who, _)| *who)).collect();
    let fault = Fault::new(Code::Cycle, format!("parts need each other in a circle: {}", names.join(" → ")));
    let at =
        |fault: Fault, (who, need): &(&str, &Said<String>)| fault.at(&need.span, format!("{who} needs {}", need.value));
    way.iter().fold(fault, at).help("one has to do without the other: make what both need a part of its own")
}
