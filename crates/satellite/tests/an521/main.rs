//! An emulated AMP chip, end to end: `cargo xtask test an521`, which builds the firmware and names it in `TUTTI_AN521`.
//!
//! QEMU's mps2-an521 runs `firmware/core0`, which runs `firmware/core1`. What is driven here is all that a person has of the board: the
//! console on its first serial line, the satellite protocol on the second, core dumps on the third. Every wait has a bound.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the layer reads what each part says")]

mod board;
mod host;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tutti_model::Value;
use tutti_satellite::{Denied, Event, Measure, Request};

use board::Board;
use host::Host;

/// The image of core 0; without it there is nothing to test.
fn image(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os(name).map(PathBuf::from);
    if path.is_none() {
        eprintln!("skipped: {name} names no image; use `cargo xtask test an521`");
    }
    path
}

const SHORT: Duration = Duration::from_secs(20);

#[test]
fn core_0_runs_core_1_and_brings_it_back() {
    let (Some(core0), Some(core1)) = (image("TUTTI_AN521"), image("TUTTI_AN521_CORE1")) else { return };
    let mut board = Board::start(&core0, &[]);
    board.wait_for("link: first message ", SHORT);
    board.wait_for("core1| generation 1 greets", SHORT);
    // Core 1 has found a service of core 0's by its name, and was answered by it.
    board.wait_for("core1| found tutti-clock, where it is ", SHORT);

    board.say("names");
    for name in ["tutti-echo", "tutti-console", "tutti-satellite", "tutti-orders"] {
        board.wait_for(&format!("names: {name} at "), SHORT);
    }
    board.say("type good evening");
    board.wait_for("core1| heard: good evening", SHORT);
    board.say("trace");
    assert!(board.wait_for("trace: ", SHORT).contains("core 1 runs"));
    let took = board.echo(100_000, 16);
    board.echo(2_000, 496);
    println!("\nok messages: names both ways, console, 100000 echoes of {} us", took / 100_000);

    satellites(&mut board);
    crashes(&mut board, &core1);
    restarts(&mut board);

    // At last a core that hears nothing any more: it is noticed, and what cannot be done is said.
    board.say("order deaf");
    board.wait_for("core1: no heartbeat in generation ", SHORT);
    board.wait_for("core1: Halt failed: core 1 does not hear that it is to stop", SHORT);
    board.wait_for("core1: forced stop is not supported by this board", SHORT);
    board.say("help");
    board.wait_for("help: ", SHORT);
    println!("\nok deaf: a core that masks interrupts is reported");
}

/// What was answered to a request.
fn answer_to(wanted: Request) -> impl FnMut(Event) -> Option<Result<Option<Measure>, Denied>> {
    move |event| match event {
        Event::Answered(request, outcome) if request == wanted => Some(outcome),
        _ => None,
    }
}

/// Both cores in the pool, as a host of satellites sees them.
fn satellites(board: &mut Board) {
    let mut host = Host::connect(&board.line);
    let core0 = host.wait(SHORT, |event| match event {
        Event::Joined(about, resources) => Some((about, resources)),
        _ => None,
    });
    assert_eq!((core0.0.name.as_str(), core0.1.len()), ("an521-core0", 2));
    let core1 = host.wait_behind(SHORT, |event| match event {
        Event::Joined(about, resources) => Some((about, resources)),
        _ => None,
    });
    assert_eq!(core1.0.name.as_str(), "an521-core1");
    assert_eq!(core1.0.os.as_str(), "embassy");
    let names: Vec<_> = core1.1.iter().map(|resource| resource.name.as_str()).collect();
    assert_eq!(names, ["temperature", "lamp"]);

    let now = host.now();
    host.core1().subscribe(0, Some(Duration::from_millis(200))).unwrap();
    let request = host.core1().set(now, 1, Measure::Bool(true)).unwrap();
    assert_eq!(host.wait_behind(SHORT, answer_to(request)), Ok(None));
    let now = host.now();
    let request = host.core1().read(now, 1).unwrap();
    assert_eq!(host.wait_behind(SHORT, answer_to(request)), Ok(Some(Measure::Bool(true))));
    let now = host.now();
    let request = host.core1().set(now, 1, Measure::Int(7)).unwrap();
    assert!(host.wait_behind(SHORT, answer_to(request)).is_err());
    let mut readings = 0;
    while readings < 5 {
        let measure = host.wait_behind(SHORT, |event| match event {
            Event::Reading { resource: 0, measure, .. } => Some(measure),
            _ => None,
        });
        assert!(
            matches!(Value::from(measure), Value::Float(degrees) if (20.0..24.0).contains(&degrees)),
            "{measure:?}"
        );
        readings += 1;
    }
    let now = host.now();
    let request = host.satellite().read(now, 1).unwrap();
    let starts = host.wait(SHORT, answer_to(request));
    assert_eq!(starts, Ok(Some(Measure::Int(1))));
    println!("\nok satellites: core 0, and core 1 behind it: its sensor read, its lamp switched");

    // It goes with its core, and comes back with it.
    let start = Instant::now();
    board.say("stop");
    board.wait_for("core1: stopped as it was asked to", SHORT);
    host.wait_behind(SHORT, |event| (event == Event::Lost).then_some(()));
    let lost = start.elapsed();
    assert!(lost < Duration::from_secs(3), "noticed after {lost:?}");
    board.say("start");
    host.wait_behind(SHORT, |event| matches!(event, Event::Joined(..)).then_some(()));
    println!("\nok lost: gone {lost:.1?} after its core, back with it");
}

/// Every way to crash, each noticed, dumped and got over.
fn crashes(board: &mut Board, core1: &std::path::Path) {
    let ways = [
        ("fault", "core1: fault ", ["read_the_broken_sensor", "orders.rs"]),
        ("panic", "core1: fault ", ["look_up_the_calibration", "orders.rs"]),
        ("stack", "core1: fault ", ["overflow_the_stack", "orders.rs"]),
        ("hang", "core1: no heartbeat ", ["hang", "orders.rs"]),
        // This one is told to park, wherever it is.
        ("lie", "core1: wrote what cannot be ", ["run<core1::This>", "start.rs"]),
    ];
    for (order, noticed, frames) in ways {
        board.say(&format!("order {order}"));
        board.wait_for(noticed, SHORT);
        let said = board.wait_for("core1: its core dump has ", SHORT);
        let len: usize = said.split(' ').next().and_then(|len| len.parse().ok()).expect("a length");
        board.wait_for("core1: running ", SHORT);
        board.wait_for("link: first message ", SHORT);
        board.echo(100, 16);
        let core = board.folder().join(format!("core.{order}"));
        std::fs::write(&core, board.last_dump(len)).unwrap();
        let shown = backtrace(core1, &core);
        for frame in frames {
            assert!(shown.contains(frame), "no {frame} in the core dump of {order}: {shown}");
        }
    }
    println!("\nok crashes: {} sorts noticed, dumped (gdb names the line), restarted, messages again", ways.len());
}

fn backtrace(firmware: &std::path::Path, core: &std::path::Path) -> String {
    let mut gdb = Command::new("gdb-multiarch");
    // Core files with a processor's registers are Linux's; which system a bare firmware has, gdb has to be told.
    gdb.args(["--batch", "-nx", "-ex", "set osabi GNU/Linux", "-ex"]).arg(format!("file {}", firmware.display()));
    gdb.args(["-ex"]).arg(format!("core-file {}", core.display())).args(["-ex", "bt 20"]).stdin(Stdio::null());
    let output = gdb.output().expect("gdb-multiarch runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// 50 restarts in a row, by command and by crash in turn.
fn restarts(board: &mut Board) {
    let start = Instant::now();
    let mut generation = None;
    for number in 0..50 {
        board.say(if number % 2 == 0 { "restart" } else { "order fault" });
        let said = board.wait_for("core1: running (", SHORT);
        let now: u32 = said.trim_end_matches(')').parse().expect("a generation");
        assert!(generation.is_none_or(|before| now == before + 1), "{generation:?}, then {now}");
        generation = Some(now);
        board.wait_for("link: first message ", SHORT);
        board.echo(20, 16);
    }
    println!("\nok restarts: 50 in a row, {} ms each", start.elapsed().as_millis() / 50);
}

/// Firmware that was built from another device tree: memories, queues and doorbells are all elsewhere, and it works the same.
#[test]
fn another_tree_is_another_firmware() {
    let Some(moved) = image("TUTTI_AN521_MOVED") else { return };
    let mut board = Board::start(&moved, &[]);
    board.wait_for("link: first message ", SHORT);
    board.wait_for("core1| found tutti-clock, where it is ", SHORT);
    board.echo(2_000, 496);
    board.say("trace");
    assert!(board.wait_for("trace: ", SHORT).contains("core 1 runs"));
    board.say("order fault");
    board.wait_for("core1: its core dump has ", SHORT);
    board.wait_for("core1: running ", SHORT);
    board.wait_for("link: first message ", SHORT);
    let mut host = Host::connect(&board.line);
    host.wait_behind(SHORT, |event| matches!(event, Event::Joined(..)).then_some(()));
    board.say("restart");
    board.wait_for("core1: running ", SHORT);
    println!("\nok moved: the same with memories, queues and doorbells elsewhere, by another device tree");
}

/// The small board, with one core: the same satellite with the parts that its image was built with.
#[test]
fn another_board_is_a_satellite_too() {
    let Some(small) = image("TUTTI_AN386") else { return };
    let mut board = Board::start_as("mps2-an386", &small, &[]);
    board.wait_for("core0: tutti ", SHORT);
    let mut host = Host::connect(&board.line);
    let (about, resources) = host.wait(SHORT, |event| match event {
        Event::Joined(about, resources) => Some((about, resources)),
        _ => None,
    });
    assert_eq!((about.name.as_str(), about.architecture.as_str()), ("an386", "thumbv7em"));
    let names: Vec<_> = resources.iter().map(|resource| resource.name.as_str()).collect();
    assert_eq!(names, ["uptime", "temperature", "lamp"]);
    for on in [true, false] {
        let now = host.now();
        let set = host.satellite().set(now, 2, Measure::Bool(on)).unwrap();
        assert_eq!(host.wait(SHORT, answer_to(set)), Ok(None));
        let read = host.satellite().read(now, 2).unwrap();
        assert_eq!(host.wait(SHORT, answer_to(read)), Ok(Some(Measure::Bool(on))));
    }
    let now = host.now();
    let refused = host.satellite().set(now, 2, Measure::Int(7)).unwrap();
    assert!(host.wait(SHORT, answer_to(refused)).is_err());
    host.satellite().subscribe(1, Some(Duration::from_millis(200))).unwrap();
    for _ in 0..5 {
        let measure = host.wait(SHORT, |event| match event {
            Event::Reading { resource: 1, measure, .. } => Some(measure),
            _ => None,
        });
        assert!(
            matches!(Value::from(measure), Value::Float(degrees) if (20.0..24.0).contains(&degrees)),
            "{measure:?}"
        );
    }
    println!("\nok an386: the small board joins: its sensor read, its lamp switched");
}

/// What a round trip costs, where the clock counts instructions: one a nanosecond, those of both cores.
#[test]
fn instructions_are_counted() {
    let Some(core0) = image("TUTTI_AN521") else { return };
    let mut board = Board::start(&core0, &["-icount", "shift=0"]);
    let first = board.wait_for("link: first message ", SHORT);
    let first: u64 = first.split(' ').next().and_then(|us| us.parse().ok()).expect("a time");
    board.wait_for("core1| found tutti-clock", SHORT);
    let count = 20_000;
    let took = board.echo(count, 16);
    println!(
        "\nok instructions: {} for a round trip of 16 bytes on both cores, {} from start to the first message",
        took * 1000 / u64::from(count),
        first * 1000
    );
}
