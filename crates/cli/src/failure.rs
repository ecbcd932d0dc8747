//! How a command ends: well, or with what happened, why, and what to do next.

use std::{fmt, io, process::ExitCode};

use tutti_control::{ClientError, SelectError};

/// The exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It is done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// It was asked for in a wrong way.
    WrongUse = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code that goes with it.
    pub(crate) exit: Exit,
    /// What happened.
    pub(crate) what: String,
    /// Why, if that is not said already.
    pub(crate) why: Option<String>,
    /// What to do next.
    pub(crate) next: Option<String>,
    /// Nothing is to be said: whoever read the output has gone.
    pub(crate) silent: bool,
}

impl Failure {
    /// It failed.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, what: what.into(), why: None, next: None, silent: false }
    }

    /// It was asked for in a wrong way.
    pub(crate) fn wrong_use(what: impl Into<String>) -> Self {
        Self { exit: Exit::WrongUse, ..Self::new(what) }
    }

    /// The reader of the output has gone (`tutti devices | head`): that ends the command, and is no failure.
    pub(crate) fn reader_gone() -> Self {
        Self { exit: Exit::Done, silent: true, ..Self::new("the reader of the output has gone") }
    }

    /// With why.
    pub(crate) fn why(mut self, why: impl fmt::Display) -> Self {
        self.why = Some(why.to_string());
        self
    }

    /// With what to do next.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into()).filter(|next| !next.is_empty());
        self
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::new(error.to_string()).next(error.hint())
    }
}

impl From<SelectError> for Failure {
    fn from(error: SelectError) -> Self {
        Self::new(error.to_string()).next(error.hint())
    }
}

/// Says what a failed step was for.
pub(crate) trait Explain<T> {
    /// Turns the error into a failure with this as what happened and the error as why.
    fn explain(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T> Explain<T> for Result<T, ClientError> {
    fn explain(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(what()).why(&error).next(error.hint()))
    }
}

impl<T> Explain<T> for io::Result<T> {
    fn explain(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(what()).why(error))
    }
}

/// The failure before there is anything to fail in.
pub(crate) fn no_runtime(error: &io::Error) -> Failure {
    Failure::new("cannot start").why(error).next("see whether the limits on processes and files are too low: ulimit -a")
}
