//! The command line on the first serial line.

use mps2::say;
use mps2::uart::CONSOLE;
use tutti_remoteproc::life::Command;

use crate::chip::Chip;
use crate::messages::Wish;

const HELP: &str = "help: echo COUNT [BYTES] | names | trace | type TEXT | order fault|panic|stack|hang|lie|deaf | start | stop \
                    | restart";

/// The longest line.
const LINE: usize = 96;

/// Takes lines, one after the other.
pub(crate) async fn run(chip: &Chip) {
    let (mut line, mut len) = ([0; LINE], 0);
    loop {
        let mut bytes = [0; 32];
        let count = CONSOLE.read(&mut bytes).await;
        for byte in bytes.get(..count).unwrap_or(&[]) {
            if *byte == b'\n' || *byte == b'\r' {
                if let Some(text) = line.get(..len).and_then(|line| core::str::from_utf8(line).ok()) {
                    obey(chip, text.trim()).await;
                }
                len = 0;
            } else if let Some(room) = line.get_mut(len) {
                *room = *byte;
                len += 1;
            }
        }
    }
}

async fn obey(chip: &Chip, line: &str) {
    let mut words = line.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (None, ..) => {}
        (Some("echo"), Some(count), bytes) => match (count.parse(), bytes.map_or(Ok(16), str::parse)) {
            (Ok(count), Ok(bytes)) => chip.wishes.send(Wish::Echo(count, bytes)).await,
            _ => say!("{HELP}"),
        },
        (Some("names"), ..) => chip.wishes.send(Wish::Names).await,
        (Some("trace"), ..) => chip.wishes.send(Wish::Trace).await,
        (Some("type"), ..) => {
            let text = line.strip_prefix("type").map_or("", str::trim_start);
            chip.typed.borrow_mut().put(text);
        }
        (Some("order"), Some(order @ ("fault" | "panic" | "stack" | "hang" | "lie" | "deaf")), _) => {
            let letter = order.bytes().next().unwrap_or(0);
            chip.wishes.send(Wish::Order(letter)).await;
        }
        (Some("start"), ..) => chip.command(Command::Start),
        (Some("stop"), ..) => chip.command(Command::Stop),
        (Some("restart"), ..) => {
            chip.command(Command::Stop);
            chip.stopped().await;
            chip.command(Command::Start);
        }
        _ => say!("{HELP}"),
    }
}
