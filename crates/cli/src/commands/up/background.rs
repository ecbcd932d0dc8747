//! Starts the device in the background and waits until it is ready.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tutti_control::{Client, DeviceInfo, RuntimeEntry, Selection};

use super::{UpArgs, foreground_arguments};
use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Printer, Tone},
};

/// How long a device may take until it is ready.
const READY: Duration = Duration::from_secs(30);

/// How often is looked.
const POLL: Duration = Duration::from_millis(30);

/// The log of a device in the background, in its state folder.
const LOG: &str = "tutti.log";

/// A log longer than this is begun anew (the old one is kept as `tutti.log.old`), in bytes.
const MAX_LOG: u64 = 4 << 20;

/// How much of the log's end is shown when a start fails: lines, and bytes to find them in.
const TAIL_LINES: usize = 12;
const TAIL_BYTES: u64 = 16 * 1024;

pub(super) async fn run(args: &UpArgs, state: &Path, context: &mut Context) -> Result<Exit, Failure> {
    let selection = Selection { state: Some(state.to_owned()), ..Selection::default() };
    if let Ok(entry) = selection.find_entry().await {
        let line = Line::of(Tone::Strong, &entry.name).plain(format!(" runs already (process {})", entry.pid));
        context.printer.line(line)?;
        return Ok(Exit::Done);
    }
    let log = prepare(state).explain(|| format!("cannot use the state folder {}", state.display()))?;
    let program = std::env::current_exe().explain(|| "cannot find this program".into())?;
    let begin = log.metadata().map_or(0, |about| about.len());
    let mut child = Command::new(program)
        .args(foreground_arguments(args, state))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .explain(|| "cannot start the device".into())?;
    match wait(&mut child, &selection).await {
        Ok((entry, device)) => {
            welcome(&entry, &device, &mut context.printer)?;
            Ok(Exit::Done)
        }
        Err(failure) => Err(failure.why(tail(&state.join(LOG), begin))),
    }
}

/// Makes the state folder, closed to others, and opens the log in it.
fn prepare(state: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(state)?;
    let path = state.join(LOG);
    if fs::metadata(&path).is_ok_and(|about| about.len() > MAX_LOG) {
        fs::rename(&path, state.join("tutti.log.old"))?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Until the device answers. One that ended, or does not answer in time, is a failure; nothing is left running then.
async fn wait(child: &mut Child, selection: &Selection) -> Result<(RuntimeEntry, DeviceInfo), Failure> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().explain(|| "cannot see how the device does".into())? {
            return Err(
                Failure::new(format!("the device did not start ({status})")).next("mend that, or ask: tutti doctor")
            );
        }
        if let Ok(entry) = selection.find_entry().await
            && entry.pid == child.id()
            && let Ok(device) = Client::unix(&entry.socket).timeout(POLL * 20).device().await
        {
            return Ok((entry, device));
        }
        if start.elapsed() > READY {
            // It may be gone already.
            let _ = child.kill();
            let _ = child.wait();
            return Err(Failure::new(format!("the device was not ready within {} s, and was ended", READY.as_secs()))
                .next("see what it waits for: tutti up --foreground"));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The end of what the log tells since `begin`.
fn tail(log: &Path, begin: u64) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(begin.max(end.saturating_sub(TAIL_BYTES))))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let mut lines: Vec<_> = text.lines().collect();
    // What follows a panic is where it came from; what happened is at its beginning.
    if let Some(panic) = lines.iter().position(|line| line.contains("panicked at")) {
        lines.truncate(panic + 3);
    }
    match lines.get(lines.len().saturating_sub(TAIL_LINES)..) {
        None | Some([]) => format!("its log ({}) says nothing", log.display()),
        Some(last) => format!("its log ({}) ends with\n{}", log.display(), last.join("\n")),
    }
}

fn welcome(entry: &RuntimeEntry, device: &DeviceInfo, printer: &mut Printer) -> Result<(), Failure> {
    let line = Line::of(Tone::Strong, &device.name).and(Tone::Good, " is up");
    printer.line(line.and(Tone::Faint, format!("  process {}, state in {}", entry.pid, entry.state_dir.display())))?;
    let hint = |printer: &mut Printer, what: &str, command: &str| {
        printer.note(Line::from(format!("  {what:<34}")).and(Tone::Accent, command));
    };
    if device.group.alone {
        hint(printer, "let another device in:", "tutti pair");
        hint(printer, "or enter another's group:", "tutti nearby, then tutti pair NAME");
    }
    hint(printer, "see what is there:", "tutti watch");
    hint(printer, "stop it:", "tutti down");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_tail_of_a_log_is_what_came_since() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join(LOG);
        let lines: String = (0..50).map(|line| format!("line {line}\n")).collect();
        fs::write(&log, &lines).unwrap();
        let shown = tail(&log, 0);
        assert!(shown.ends_with("line 48\nline 49") && !shown.contains("line 37\n"), "{shown}");
        let panic = "\nthread 'main' panicked at x.rs:1:1:\nit broke\nstack backtrace:\n".to_owned();
        fs::write(&log, panic + &"   0: frame\n".repeat(40)).unwrap();
        assert!(tail(&log, 0).contains("it broke"));
        fs::write(&log, &lines).unwrap();
        assert!(tail(&log, lines.len() as u64).ends_with("says nothing"));
        assert!(tail(&folder.path().join("none"), 0).ends_with("says nothing"));
    }

    #[test]
    fn the_state_folder_and_log_are_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("a/b");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        prepare(&state).unwrap();
        assert_eq!((mode(&state), mode(&state.join(LOG))), (0o700, 0o600));
        fs::write(state.join(LOG), vec![b'x'; MAX_LOG as usize + 1]).unwrap();
        assert_eq!(prepare(&state).unwrap().metadata().unwrap().len(), 0);
        assert!(state.join("tutti.log.old").exists());
    }
}
