//! What every command works with: the printer, and the device to speak to.

use std::io::IsTerminal;

use tutti_control::{Client, Selection};

use crate::{
    args::Global,
    failure::{Exit, Failure},
    printer::Printer,
};

/// What every command works with.
pub(crate) struct Context {
    /// For output.
    pub(crate) printer: Printer,
    /// Which device is meant.
    pub(crate) selection: Selection,
    /// Whether a person can be asked.
    pub(crate) can_ask: bool,
}

impl Context {
    /// For this process.
    pub(crate) fn new(global: &Global) -> Self {
        Self {
            printer: Printer::of_process(),
            selection: global.selection(),
            can_ask: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
        }
    }

    /// A client of the device that is meant.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        Ok(self.selection.find().await?)
    }

    /// Says what went wrong, and gives the exit code that goes with it.
    pub(crate) fn report(&mut self, failure: &Failure) -> Exit {
        self.printer.failure(failure);
        failure.exit
    }
}
