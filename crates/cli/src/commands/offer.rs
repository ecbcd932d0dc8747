//! `tutti offer NAME`: a resource of one's own, fed by a command or by lines of input.

use std::{
    collections::BTreeMap,
    process::Stdio,
    time::{Duration, Instant},
};

use clap::Args;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::Command,
    sync::mpsc,
};
use tutti_control::{Client, OfferRequest, Sharing, Value};

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
    tui, words,
};

/// The longest line that is taken from a command or the input, in bytes.
const MAX_LINE: u64 = 64 * 1024;

/// The shortest time that a command gets.
const MIN_COMMAND_TIME: Duration = Duration::from_secs(10);

/// The longest time to live that a device takes.
const MAX_TTL: Duration = Duration::from_secs(3600);

/// Offers a resource of your own: a command's output, or lines of input
///
/// With a COMMAND, runs it again and again; the last line that it prints is the value. Without, each line of standard
/// input is a value. The resource is withdrawn when this ends. With --writable, the values that others set are
/// printed, one to a line, for a program at the other end of the pipe to obey.
#[derive(Debug, Args)]
pub(crate) struct OfferArgs {
    /// The resource's name on this device
    name: String,
    /// What it is: sensor, actuator, …
    #[arg(long, default_value = "sensor")]
    kind: String,
    /// The unit of its values, such as °C
    #[arg(long, default_value = "")]
    unit: String,
    /// What else is to be known of it; may be given several times
    #[arg(long = "property", value_name = "KEY=VALUE", value_parser = words::parse_property)]
    properties: Vec<(String, Value)>,
    /// Others may set it
    #[arg(long)]
    writable: bool,
    /// One device at a time may set it
    #[arg(long, requires = "writable")]
    exclusive: bool,
    /// Its values are made up
    #[arg(long)]
    simulated: bool,
    /// How often the command is run
    #[arg(long, value_name = "TIME", value_parser = words::parse_span, default_value = "5s")]
    interval: Duration,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) async fn run(args: OfferArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let ttl = (args.interval * 3 + MIN_COMMAND_TIME).clamp(Duration::from_secs(30), MAX_TTL);
    let request = OfferRequest {
        kind: args.kind.clone(),
        unit: args.unit.clone(),
        properties: args.properties.iter().cloned().collect::<BTreeMap<_, _>>(),
        value: None,
        writable: args.writable,
        sharing: if args.exclusive { Sharing::Exclusive } else { Sharing::Shared },
        simulated: args.simulated,
        ttl_ms: u64::try_from(ttl.as_millis()).ok(),
    };
    let mut offered = false;
    let outcome = tokio::select! {
        outcome = serve(&args, request, ttl, &mut offered, &client, context) => outcome,
        () = tui::asked_to_end() => Ok(()),
    };
    if !offered {
        return outcome.map(|()| Exit::Done);
    }
    // Nobody is to read a value that nothing stands behind; without an answer its time ends by itself.
    let withdrawn = client.withdraw(&args.name).await.explain(|| format!("cannot withdraw {}", args.name));
    outcome.and(withdrawn).map(|()| Exit::Done)
}

/// Until the input ends.
async fn serve(
    args: &OfferArgs,
    mut request: OfferRequest,
    ttl: Duration,
    offered: &mut bool,
    client: &Client,
    context: &mut Context,
) -> Result<(), Failure> {
    let failed = || format!("cannot offer {}", args.name);
    let (values, mut incoming) = mpsc::channel(16);
    let source = async {
        if args.command.is_empty() {
            read_lines(values).await
        } else {
            repeat(&args.command, args.interval, values).await
        }
    };
    let mut source = std::pin::pin!(source);
    let mut ended = false;
    let mut commands = None;
    let mut refresh = tokio::time::interval(ttl / 3);
    loop {
        tokio::select! {
            outcome = &mut source, if !ended => {
                outcome?;
                ended = true;
            }
            value = incoming.recv() => match value {
                Some(Sample::Value(value)) => request.value = Some(value),
                Some(Sample::Trouble(trouble)) => {
                    context.printer.note(Line::of(Tone::Warn, trouble));
                    continue;
                }
                None => return Ok(()),
            },
            // A command that fails for long lets the resource go, rather than show an old value for ever.
            _ = refresh.tick(), if *offered && args.command.is_empty() => request.value = None,
            command = next_command(&mut commands) => {
                let command = command.explain(failed)?;
                context.printer.line(command.to_string())?;
                continue;
            }
        }
        if request.value.is_some() || *offered {
            client.offer(&args.name, &request).await.explain(failed)?;
            if !*offered {
                context.printer.note(Line::of(Tone::Faint, format!("{} is offered; Ctrl-C withdraws it", args.name)));
            }
            *offered = true;
            if args.writable && commands.is_none() {
                commands = Some(client.commands(&args.name).await.explain(failed)?);
            }
        }
    }
}

/// The next value that somebody sets; never, if the resource takes none.
async fn next_command(
    commands: &mut Option<tutti_control::EventStream<tutti_control::Command>>,
) -> Result<Value, tutti_control::ClientError> {
    let Some(stream) = commands else { return std::future::pending().await };
    match stream.next().await? {
        Some(command) => Ok(command.value),
        None => {
            // The next refresh opens it anew.
            *commands = None;
            std::future::pending().await
        }
    }
}

/// What a source gives.
enum Sample {
    Value(Value),
    Trouble(String),
}

/// Each line of standard input, until it ends.
async fn read_lines(values: mpsc::Sender<Sample>) -> Result<(), Failure> {
    let mut input = BufReader::new(tokio::io::stdin());
    loop {
        let mut line = Vec::new();
        let read = (&mut input).take(MAX_LINE).read_until(b'\n', &mut line).await;
        if read.explain(|| "cannot read standard input".into())? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&line);
        if !line.trim().is_empty() && values.send(Sample::Value(Value::from_word(line.trim()))).await.is_err() {
            return Ok(());
        }
    }
}

/// The output of the command, again and again.
async fn repeat(command: &[String], interval: Duration, values: mpsc::Sender<Sample>) -> Result<(), Failure> {
    loop {
        let start = Instant::now();
        let sample = match once(command, interval.max(MIN_COMMAND_TIME)).await {
            Ok(value) => Sample::Value(value),
            Err(trouble) => Sample::Trouble(trouble),
        };
        if values.send(sample).await.is_err() {
            return Ok(());
        }
        tokio::time::sleep(interval.saturating_sub(start.elapsed())).await;
    }
}

/// Runs the command; the last line that it prints is the value.
async fn once(command: &[String], bound: Duration) -> Result<Value, String> {
    let (program, arguments) = command.split_first().ok_or("no command was given")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{program} cannot be run: {error}"))?;
    let mut output = Vec::new();
    let work = async {
        if let Some(stdout) = child.stdout.as_mut() {
            stdout.take(MAX_LINE).read_to_end(&mut output).await?;
        }
        drop(child.stdout.take());
        child.wait().await
    };
    match tokio::time::timeout(bound, work).await {
        Err(_) => Err(format!("{program} took longer than {} s and was ended", bound.as_secs())),
        Ok(Err(error)) => Err(format!("{program} cannot be run: {error}")),
        Ok(Ok(status)) if !status.success() => Err(format!("{program} failed: {status}")),
        Ok(Ok(_)) => {
            let text = String::from_utf8_lossy(&output);
            let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
            last.map(Value::from_word).ok_or_else(|| format!("{program} printed nothing"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_line_of_a_command_is_the_value() {
        let run = |script: &str| {
            let command: Vec<_> = ["sh", "-c", script].map(String::from).into();
            async move { once(&command, Duration::from_millis(400)).await }
        };
        assert_eq!(run("echo warming up; echo 21.5; echo").await, Ok(Value::Float(21.5)));
        assert_eq!(run("true").await.unwrap_err(), "sh printed nothing");
        assert_eq!(run("exit 3").await.unwrap_err(), "sh failed: exit status: 3");
        assert!(run("sleep 5").await.unwrap_err().contains("was ended"));
        assert!(once(&["/nonexistent".into()], MIN_COMMAND_TIME).await.unwrap_err().contains("cannot be run"));
    }
}
