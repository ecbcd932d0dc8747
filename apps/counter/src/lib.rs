//! Counts, and remembers how it came to its count. Nothing in it knows that it can be moved: the count and its history are
//! plain variables, and go along.
//!
//! - a message "add N" adds N; "show" answers with the count and the last ten steps; anything else is logged
//! - key "+" and "-" on the display count as well
//! - every minute it writes its count to the log

use std::{cell::RefCell, collections::VecDeque};

wit_bindgen::generate!({ path: "../../wit", world: "app" });

use exports::tutti::app::events::{Action, Guest, Reading};
use tutti::app::{
    clock, display,
    log::{self, Level},
    messages,
};

/// How many steps are remembered.
const STEPS: usize = 1000;

#[derive(Default)]
struct Counter {
    count: i64,
    history: VecDeque<(u64, i64)>,
}

thread_local! {
    static COUNTER: RefCell<Counter> = RefCell::default();
}

impl Counter {
    fn add(&mut self, by: i64) {
        self.count = self.count.saturating_add(by);
        self.history.push_back((clock::now(), self.count));
        if self.history.len() > STEPS {
            self.history.pop_front();
        }
        self.show();
    }

    fn show(&self) {
        let label = display::Label { x: 500, y: 500, size: 200, text: self.count.to_string() };
        // Without a display it counts all the same.
        let _ = display::show("screen", &[display::Shape::Label(label)]);
    }

    fn told(&self) -> String {
        let last = self.history.iter().rev().take(10).map(|(_, count)| count.to_string());
        format!("{} ({})", self.count, last.collect::<Vec<_>>().join(" "))
    }
}

struct App;

impl Guest for App {
    fn started() {
        let _ = clock::set_timer(1, 60_000);
        COUNTER.with_borrow(Counter::show);
    }

    fn resumed() {
        COUNTER.with_borrow(Counter::show);
    }

    fn timer(_: u32) {
        COUNTER.with_borrow(|it| log::write(Level::Info, &it.told()));
        let _ = clock::set_timer(1, 60_000);
    }

    fn measured(_: String, _: Reading) {}

    fn input(_: String, action: Action) {
        match action {
            Action::Key(key) if key == "+" => COUNTER.with_borrow_mut(|it| it.add(1)),
            Action::Key(key) if key == "-" => COUNTER.with_borrow_mut(|it| it.add(-1)),
            _ => {}
        }
    }

    fn message(from: String, body: Vec<u8>) {
        let text = String::from_utf8_lossy(&body);
        match text.strip_prefix("add ").and_then(|number| number.parse().ok()) {
            Some(by) => COUNTER.with_borrow_mut(|it| it.add(by)),
            None if text == "show" => {
                let told = COUNTER.with_borrow(Counter::told);
                if let Err(error) = messages::send(&from, told.as_bytes()) {
                    log::write(Level::Warn, &format!("{from} could not be answered: {error:?}"));
                }
            }
            None => log::write(Level::Warn, &format!("what is {text:?}?")),
        }
    }

    fn changed(_: String, there: bool) {
        if there {
            COUNTER.with_borrow(Counter::show);
        }
    }
}

export!(App);
