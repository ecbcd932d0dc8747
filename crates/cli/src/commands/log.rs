//! Lines of a log, and those that come: what `amp log` and `app logs` share.

use serde::{Serialize, de::DeserializeOwned};
use tutti_control::client::EventStream;

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    tui,
};

/// Shows lines: as one JSON document, or each as `write` writes it.
pub(crate) fn show<L: Serialize>(
    lines: &[L],
    json: bool,
    write: impl Fn(&L, &mut Context) -> Result<(), Failure>,
    context: &mut Context,
) -> Result<Exit, Failure> {
    if json {
        context.printer.json(&lines)?;
    } else {
        lines.iter().try_for_each(|line| write(line, context))?;
    }
    Ok(Exit::Done)
}

/// Shows each line as it comes, until a person has seen enough; as JSON, one line for each.
pub(crate) async fn follow<L: Serialize + DeserializeOwned>(
    mut lines: EventStream<L>,
    json: bool,
    write: impl Fn(&L, &mut Context) -> Result<(), Failure>,
    failed: impl Fn() -> String + Copy,
    context: &mut Context,
) -> Result<Exit, Failure> {
    let mut end = std::pin::pin!(tui::asked_to_end());
    loop {
        let line = tokio::select! {
            line = lines.next() => line.explain(failed)?,
            () = &mut end => return Ok(Exit::Done),
        };
        let Some(line) = line else { return Err(Failure::new(failed()).why("the device stopped")) };
        if json {
            context.printer.json_line(&line)?;
        } else {
            write(&line, context)?;
        }
    }
}
