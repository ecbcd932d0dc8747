//! The least set of parts that satisfies a product, or which wish collides with what.
//!
//! What is wanted by name and what that needs by name has to be in; there is nothing to choose. What is needed as an interface can
//! be had from any part that gives it: all choices are tried, the cheapest whole wins (flash, then RAM, then the number of parts, then
//! the names), so that the answer never depends on an order. The search is cut at [`MAX_STEPS`] choices; ours takes some ten.
//!
//! RAM and flash are what the parts declare. What an image takes in the end is measured when it is built.

mod search;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    fault::{Code, Fault, Span},
    manifest::Profile,
    parts::{Catalogue, Part, nearest},
    product::{Product, Said},
    size::Size,
};

pub use search::MAX_STEPS;

/// What an image is for.
#[derive(Debug, Clone)]
pub struct Target {
    /// The board's name or the device tree's.
    pub name: String,
    /// Where the product names it.
    pub span: Span,
    /// What runs on it.
    pub profile: Profile,
    /// Its processor, as Linux calls it.
    pub architecture: String,
    /// What it has, in the words that parts need.
    pub has: BTreeSet<String>,
    /// The parts that every image for it has.
    pub parts: Vec<String>,
    /// Its memory.
    pub ram: Size,
    /// Its flash.
    pub flash: Option<Size>,
}

/// Why a part is in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The product wants it.
    Wanted,
    /// Every image of the profile has it.
    Always,
    /// Every image for the board has it.
    OfBoard,
    /// A part needs it by name.
    Needed {
        /// Which.
        by: String,
    },
    /// A part needs an interface that this one gives at the least cost.
    Gives {
        /// Which interface.
        interface: String,
        /// Which part.
        to: String,
    },
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wanted => f.write_str("wanted"),
            Self::Always => f.write_str("in every image of this profile"),
            Self::OfBoard => f.write_str("in every image for this board"),
            Self::Needed { by } => write!(f, "{by} needs it"),
            Self::Gives { interface, to } => write!(f, "gives {interface}, which {to} needs"),
        }
    }
}

/// What was chosen.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The parts by name, and why each is in.
    pub parts: BTreeMap<String, Why>,
    /// What they declare to take.
    pub ram: Size,
    /// What they declare to take.
    pub flash: Size,
}

/// Finds the least set of parts for a product.
///
/// # Errors
/// Every fault that is found before one makes it pointless to go on.
pub fn resolve(product: &Product, catalogue: &Catalogue, target: &Target) -> Result<Plan, Vec<Fault>> {
    let resolver = Resolver { product, catalogue, target };
    let wanted = resolver.wanted()?;
    let parts = search::least(&resolver, wanted)?;
    resolver.conflicts(&parts)?;
    let total = |of: fn(&Part) -> Size| Size(resolver.each(&parts).map(|(part, _)| of(part).0).sum());
    let plan = Plan { ram: total(|it| it.needs.ram), flash: total(|it| it.needs.flash), parts };
    let faults = resolver.limits(&plan);
    if faults.is_empty() { Ok(plan) } else { Err(faults) }
}

struct Resolver<'a> {
    product: &'a Product,
    catalogue: &'a Catalogue,
    target: &'a Target,
}

impl<'a> Resolver<'a> {
    /// What is to be in by its own name: wishes, and what every image has.
    fn wanted(&self) -> Result<BTreeMap<String, Why>, Vec<Fault>> {
        let mut faults = Vec::new();
        let profile = self.product.profile.value;
        let always = self.catalogue.parts.values().filter(|part| part.always && part.profiles.contains(&profile));
        let of_board = self.target.parts.iter().filter(|part| self.catalogue.parts.contains_key(*part));
        let of_board = of_board.map(|part| (part.clone(), Why::OfBoard));
        let mut wanted: BTreeMap<_, _> =
            always.map(|part| (part.name.value.clone(), Why::Always)).chain(of_board).collect();
        for wish in &self.product.parts {
            match self.catalogue.parts.get(&wish.value) {
                None => faults.push(self.unknown(wish)),
                Some(_) => drop(wanted.insert(wish.value.clone(), Why::Wanted)),
            }
        }
        if faults.is_empty() { Ok(wanted) } else { Err(faults) }
    }

    fn unknown(&self, name: &Said<String>) -> Fault {
        let fault = Fault::new(Code::UnknownPart, format!("there is no part {:?}", name.value)).at(&name.span, "this");
        fault.help(match self.catalogue.nearest(&name.value) {
            Some(near) => format!("is {near:?} meant? `tutti image ls --parts` lists all parts"),
            None => "`tutti image ls --parts` lists all parts".to_owned(),
        })
    }

    /// Whether a part can be in the image at all.
    fn fits(&self, part: &Part) -> Result<(), Misfit<'a>> {
        if !part.profiles.contains(&self.product.profile.value) {
            return Err(Misfit::Profile);
        }
        let part = &self.catalogue.parts[&part.name.value];
        match part.needs.hardware.iter().find(|need| !self.target.has.contains(&need.value)) {
            Some(need) => Err(Misfit::Hardware(need)),
            None => Ok(()),
        }
    }

    /// The fault of a part that has to be in and does not fit.
    fn misfit(&self, part: &Part, why: &Why, misfit: &Misfit<'_>) -> Fault {
        let name = &part.name.value;
        let (code, message, note, help) = match misfit {
            Misfit::Profile => {
                let profile = self.product.profile.value;
                let list: Vec<_> = part.profiles.iter().map(ToString::to_string).collect();
                (
                    Code::Profile,
                    format!("the part {name} is not for the profile {profile}"),
                    "the profile is said here".to_owned(),
                    format!("it is for {}", list.join(" and ")),
                )
            }
            Misfit::Hardware(need) => {
                let has = self.target.has.iter().map(String::as_str);
                let has: Vec<_> = has.collect();
                (
                    Code::Hardware,
                    format!("the part {name} needs {}, which {} does not have", need.value, self.target.name),
                    format!(
                        "{} has {}",
                        self.target.name,
                        if has.is_empty() { "nothing".into() } else { has.join(", ") }
                    ),
                    "take the part out, or choose hardware that has it".to_owned(),
                )
            }
        };
        let place = match misfit {
            Misfit::Profile => &self.product.profile.span,
            Misfit::Hardware(_) => &self.target.span,
        };
        self.blamed(Fault::new(code, message), name, why).at(place, note).help(help)
    }

    /// The fault with the place of the wish that leads to this part.
    fn blamed(&self, fault: Fault, part: &str, why: &Why) -> Fault {
        match self.product.parts.iter().find(|wish| wish.value == part) {
            Some(wish) => fault.at(&wish.span, "it is wanted here"),
            None => match self.catalogue.parts.get(part) {
                Some(part) => fault.at(&part.name.span, format!("it is in because: {why}")),
                None => fault,
            },
        }
    }

    fn each<'b>(&'b self, parts: &'b BTreeMap<String, Why>) -> impl Iterator<Item = (&'b Part, &'b Why)> {
        parts.iter().filter_map(|(name, why)| Some((self.catalogue.parts.get(name)?, why)))
    }

    fn conflicts(&self, parts: &BTreeMap<String, Why>) -> Result<(), Vec<Fault>> {
        let mut faults = Vec::new();
        for (part, why) in self.each(parts) {
            for other in part.conflicts.iter().filter(|other| parts.contains_key(&other.value)) {
                let message = format!("the parts {} and {} cannot be together", part.name.value, other.value);
                let fault = self.blamed(Fault::new(Code::Conflict, message), &part.name.value, why);
                let fault = self.blamed(fault, &other.value, &parts[&other.value]).at(&other.span, "this says so");
                faults.push(fault.help("take one of them out"));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// What the parts take, held against the product's limits and the hardware's.
    fn limits(&self, plan: &Plan) -> Vec<Fault> {
        let limits = &self.product.limits;
        let ram = (limits.ram.as_ref(), Some(self.target.ram));
        let flash = (limits.flash.as_ref(), self.target.flash);
        let mut faults = Vec::new();
        for (what, (limit, has), takes, of) in [
            ("RAM", ram, plan.ram, (|part| part.needs.ram) as fn(&Part) -> Size),
            ("flash", flash, plan.flash, |part| part.needs.flash),
        ] {
            if let Some(limit) = limit.filter(|limit| takes > limit.value) {
                faults.push(self.exceeded(what, takes, limit.value, "the product allows", &limit.span, plan, of));
            } else if let Some(has) = has.filter(|has| takes > *has) {
                let owner = format!("{} has", self.target.name);
                faults.push(self.exceeded(what, takes, has, &owner, &self.target.span, plan, of));
            }
        }
        faults
    }

    #[expect(clippy::too_many_arguments, reason = "a message is made of them")]
    fn exceeded(
        &self,
        what: &str,
        takes: Size,
        limit: Size,
        owner: &str,
        span: &Span,
        plan: &Plan,
        of: fn(&Part) -> Size,
    ) -> Fault {
        let message = format!("the parts take {takes} of {what}, and {owner} {limit}");
        let mut fault = Fault::new(Code::Limit, message).at(span, format!("{limit} of {what}"));
        // What each wish costs with all that is in for it alone.
        let mut wishes: Vec<_> = self
            .product
            .parts
            .iter()
            .map(|wish| (self.cost_of(&wish.value, plan, of), wish))
            .filter(|(cost, _)| cost.0 > 0)
            .collect();
        wishes.sort_by_key(|(cost, wish)| (std::cmp::Reverse(*cost), wish.value.clone()));
        for (cost, wish) in wishes.iter().take(4) {
            fault = fault.at(&wish.span, format!("takes {cost} with what only it needs"));
        }
        let saving = wishes.iter().find(|(cost, _)| takes.0 - cost.0 <= limit.0);
        fault.help(match saving {
            Some((_, wish)) => format!("without {} it fits; or allow {takes}", wish.value),
            None if wishes.is_empty() => format!("every image of this profile takes that: allow {takes}"),
            None => format!("no single part is too much: take several out, or allow {takes}"),
        })
    }

    /// What a wish takes together with all that is in for nobody else.
    fn cost_of(&self, wish: &str, plan: &Plan, of: fn(&Part) -> Size) -> Size {
        let mut gone = BTreeSet::from([wish]);
        loop {
            let next = plan.parts.iter().find(|(name, why)| {
                let for_gone = match why {
                    Why::Wanted | Why::Always | Why::OfBoard => false,
                    Why::Needed { by } | Why::Gives { to: by, .. } => gone.contains(by.as_str()),
                };
                for_gone && !gone.contains(name.as_str()) && !self.needed_elsewhere(name, &gone, plan)
            });
            match next {
                Some((name, _)) => gone.insert(name),
                None => break,
            };
        }
        Size(gone.iter().filter_map(|name| self.catalogue.parts.get(*name)).map(|part| of(part).0).sum())
    }

    fn needed_elsewhere(&self, name: &str, gone: &BTreeSet<&str>, plan: &Plan) -> bool {
        let gives = self.catalogue.parts.get(name).map(|part| part.interfaces.as_slice()).unwrap_or_default();
        self.each(&plan.parts).filter(|(part, _)| !gone.contains(part.name.value.as_str())).any(|(part, _)| {
            part.needs.parts.iter().any(|need| need.value == name)
                || part.needs.interfaces.iter().any(|need| gives.contains(&need.value))
        })
    }

    /// The fault of an interface that nothing here can give.
    fn unmet(&self, need: &Said<String>, by: &str, why: &Why) -> Fault {
        let name = &need.value;
        let givers: Vec<_> = self.catalogue.giving(name).collect();
        let mut fault = Fault::new(Code::Unmet, format!("the part {by} needs {name}, and nothing here gives it"));
        fault = self.blamed(fault, by, why).at(&need.span, "it is needed here");
        for giver in &givers {
            let reason = match self.fits(giver) {
                Err(Misfit::Hardware(need)) => format!("would give it on hardware with {}", need.value),
                Err(Misfit::Profile) => "would give it in another profile".to_owned(),
                Ok(()) => "would give it, but cannot be had itself".to_owned(),
            };
            fault = fault.at(&giver.name.span, reason);
        }
        let known = self.catalogue.parts.values().flat_map(|part| part.interfaces.iter().map(String::as_str));
        let near = if givers.is_empty() { nearest(name, known) } else { None };
        fault.at(&self.target.span, format!("the hardware is {}", self.target.name)).help(match near {
            Some(near) => format!("is {near:?} meant?"),
            None => "choose hardware that one of these parts can use, or take the wish out".to_owned(),
        })
    }
}

/// Why a part cannot be in.
enum Misfit<'a> {
    Profile,
    Hardware(&'a Said<String>),
}

#[cfg(test)]
mod tests;
