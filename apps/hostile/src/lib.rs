//! Does what no app should, as messages ask it to: for the tests of isolation. Not for installing.

use std::hint::black_box;

wit_bindgen::generate!({ path: "../../wit", world: "app" });

use exports::tutti::app::events::{Action, Guest, Reading};
use tutti::app::{
    actuator, clock, display, kv,
    log::{self, Level},
    messages, random, sensor,
    types::Value,
};

thread_local! {
    static KEPT: std::cell::RefCell<Vec<Vec<u8>>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn deep(n: u64) -> u64 {
    if black_box(n) == u64::MAX { 0 } else { deep(n + 1) + black_box(1) }
}

/// How often it went well before it was refused.
fn until_refused<T>(mut run: impl FnMut(u32) -> Result<T, tutti::app::types::Failure>) -> String {
    let done = (0..100_000).find(|n| run(*n).is_err());
    done.map_or_else(|| "never refused".into(), |n| n.to_string())
}

struct App;

impl Guest for App {
    fn started() {}

    fn resumed() {}

    fn timer(_: u32) {}

    fn measured(_: String, _: Reading) {}

    fn input(_: String, _: Action) {}

    fn message(_: String, body: Vec<u8>) {
        let result = match &body[..] {
            b"loop" => loop {
                black_box(0);
            },
            b"memory" => loop {
                KEPT.with_borrow_mut(|it| it.push(vec![1; 1 << 20]));
            },
            b"recursion" => deep(0).to_string(),
            b"panic" => panic!("as told"),
            b"log" => {
                (0..100_000).for_each(|n| log::write(Level::Info, &format!("line {n}")));
                "done".into()
            }
            b"timers" => until_refused(|n| clock::set_timer(n, 1)),
            b"kv" => until_refused(|n| kv::set(&n.to_string(), &[0; 100])),
            b"send" => until_refused(|_| messages::send(&"0".repeat(32), &[0; 1000])),
            b"show" => until_refused(|_| display::show("screen", &[])),
            b"names" => {
                let found = [
                    actuator::set("../../etc", &Value::Bool(true)).is_ok(),
                    sensor::read("").is_ok(),
                    sensor::follow("no such", 0).is_ok(),
                    display::show("\u{0}", &[]).is_ok(),
                    messages::send("not an id", &[]).is_ok(),
                ];
                format!("{found:?}")
            }
            b"random" => random::bytes(u32::MAX).len().to_string(),
            // Changes so many kilobytes of its memory, for measuring moves.
            other => {
                let text = String::from_utf8_lossy(other);
                if let Some(pages) = text.strip_prefix("touch ").and_then(|it| it.parse::<usize>().ok()) {
                    // So many of them, all over.
                    KEPT.with_borrow_mut(|it| {
                        let step = (it.len() / pages.max(1)).max(1);
                        it.iter_mut().step_by(step).for_each(|block| block[0] ^= 2);
                    });
                    return;
                }
                let kib: usize = text.strip_prefix("fill ").and_then(|it| it.parse().ok()).unwrap_or(0);
                KEPT.with_borrow_mut(|it| {
                    *it = (0..kib).map(|n| (0..1024).map(|at| (n * 31 + at * 7) as u8 | 1).collect()).collect();
                });
                "filled".into()
            }
        };
        log::write(Level::Error, &result);
    }

    fn changed(_: String, _: bool) {}
}

export!(App);
