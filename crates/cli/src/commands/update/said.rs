//! What a device says of its system, and what follows from it for an image that was ordered.
//!
//! The answer to an order may be lost although it was taken, and a device may lose its power while it installs. Two
//! things tell what became of it: what the device says, and whether the parts are still there. A device removes them when
//! it has installed or refused what they hold, before it says that it was refused, and never otherwise.

/// What a device says of its system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// It installs; how far it is.
    Installing,
    /// This version is installed, and it starts anew.
    Restarting(String),
    /// It does not take the image.
    Refused(String),
    /// It runs something, and installs nothing.
    Runs,
}

impl Said {
    pub(super) fn of(text: &str) -> Self {
        if let Some(new) = text.strip_prefix("restarting: ").and_then(|rest| rest.split(' ').next()) {
            Self::Restarting(new.to_owned())
        } else if let Some(why) = text.strip_prefix("refused: ") {
            Self::Refused(why.to_owned())
        } else if text.starts_with("installing: ") {
            Self::Installing
        } else {
            Self::Runs
        }
    }
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait: it is at it.
    Wait,
    /// It is installed; the version, if it was told.
    Installed(Option<String>),
    /// It is refused, for this reason.
    Refused(String),
    /// Give the order, again if it was given: it has not been carried out.
    Order,
    /// Send what is missing: nobody has it any more.
    Send,
}

/// What follows from what a device says, whether all parts are there, and what it said before anything was ordered.
pub(super) fn next(said: &str, parts: bool, before: &str) -> Next {
    match Said::of(said) {
        Said::Installing => Next::Wait,
        Said::Restarting(new) => Next::Installed(Some(new)),
        // Of an earlier image, as it has left these alone.
        Said::Refused(_) | Said::Runs if parts => Next::Order,
        Said::Refused(why) => Next::Refused(why),
        Said::Runs if said == before => Next::Send,
        // It has done with the parts, and has started anew since.
        Said::Runs => Next::Installed(None),
    }
}

/// What a device says once it has made up its mind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Settled {
    /// The new system runs, and is good.
    New,
    /// The old one runs again.
    Old,
}

/// Whether it has made up its mind about the new system, of this version.
pub(super) fn settled(said: &str, before: &str, new: &str) -> Option<Settled> {
    if !said.contains(" runs, ") || said.contains("on trial") || said == before {
        return None;
    }
    if said.split(';').next().is_some_and(|runs| runs.contains(&format!(" {new} runs"))) {
        return Some(Settled::New);
    }
    said.contains(&format!("{new} has failed")).then_some(Settled::Old)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "gateway 0.1.0 runs, built in";

    #[test]
    fn an_order_is_repeated_only_if_it_was_not_carried_out() {
        let installed = |new: &str| Next::Installed(Some(new.to_owned()));
        for parts in [true, false] {
            assert_eq!(next("installing: 40 %", parts, OLD), Next::Wait);
            assert_eq!(next("restarting: 0.2.0 is installed", parts, OLD), installed("0.2.0"));
        }
        assert_eq!(next(OLD, true, OLD), Next::Order, "it was lost, or the power was");
        assert_eq!(next(OLD, false, OLD), Next::Send, "the parts were lost");
        assert_eq!(next("gateway 0.2.0 runs, from slot a, on trial", false, OLD), Next::Installed(None));
        let failed = "gateway 0.1.0 runs, built in; 0.2.0 has failed: it did not join the pool in time";
        assert_eq!(next(failed, false, OLD), Next::Installed(None));
        let refused = "refused: it is signed by another key";
        assert_eq!(next(refused, false, OLD), Next::Refused("it is signed by another key".into()));
        assert_eq!(next(refused, true, refused), Next::Order, "that was another image");
    }

    #[test]
    fn a_mind_is_made_up_when_nothing_is_on_trial() {
        let new = "gateway 0.2.0 runs, from slot a";
        let failed = "gateway 0.1.0 runs, built in; 0.2.0 has failed: it did not join the pool in time";
        assert_eq!(settled(new, OLD, "0.2.0"), Some(Settled::New));
        assert_eq!(settled(failed, OLD, "0.2.0"), Some(Settled::Old));
        assert_eq!(settled(OLD, OLD, "0.2.0"), None);
        assert_eq!(settled(&format!("{new}, on trial"), OLD, "0.2.0"), None);
        assert_eq!(settled("restarting: 0.2.0 is installed", OLD, "0.2.0"), None);
        assert_eq!(settled(failed, OLD, "0.3.0"), None, "of an earlier one");
    }
}
