//! Questions to a person. Each has a flag that answers it, so a script is never asked.

use std::io::BufRead;

use crate::{context::Context, failure::Failure};

/// The longest answer, in bytes.
const MAX_ANSWER: u64 = 4096;

/// Asks for a line of text. `flag` is what answers it where nobody can be asked.
pub(crate) async fn text(context: &mut Context, question: &str, flag: &str) -> Result<String, Failure> {
    if !context.can_ask {
        return Err(
            Failure::wrong_use(format!("{question} Nobody can be asked here")).next(format!("say it with {flag}"))
        );
    }
    context.printer.ask(&format!("{question} "));
    // Reading blocks, so it has a thread of its own, which the end of the process ends.
    let read = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::Read::take(std::io::stdin().lock(), MAX_ANSWER).read_line(&mut answer).map(|_| answer)
    });
    match read.await {
        Ok(Ok(answer)) if answer.is_empty() => {
            Err(Failure::new("no answer was given").next(format!("say it with {flag}")))
        }
        Ok(Ok(answer)) => Ok(answer.trim().to_owned()),
        Ok(Err(error)) => Err(Failure::new("the answer cannot be read").why(error)),
        Err(error) => Err(Failure::new("the answer cannot be read").why(error)),
    }
}

/// Asks whether to go on; `yes` has answered already.
pub(crate) async fn confirm(context: &mut Context, yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let answer = text(context, &format!("{question} [y/N]"), "--yes").await?;
    match answer.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new("nothing was done").next("answer with y to go on")),
    }
}
