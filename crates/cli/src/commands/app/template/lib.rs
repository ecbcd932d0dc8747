//! Shows how often it was told something: `tutti app tell INSTANCE hello`.
//!
//! What an app can do stands in wit/app.wit. It has no line of code for being moved: what it knows are plain variables, and they
//! go along.

use std::cell::Cell;

wit_bindgen::generate!({ path: "wit", world: "app" });

use exports::tutti::app::events::{Action, Guest, Reading};
use tutti::app::{
    display::{self, Label, Shape},
    log::{self, Level},
};

thread_local! {
    static TOLD: Cell<u32> = const { Cell::new(0) };
}

fn show() {
    let text = format!("told {} times", TOLD.get());
    // Places and sizes are thousandths of the display. Without a display nothing is shown, and that is no harm.
    let _ = display::show("screen", &[Shape::Label(Label { x: 100, y: 400, size: 150, text })]);
}

struct App;

impl Guest for App {
    /// It is new.
    fn started() {
        show();
    }

    /// It goes on, here or on another device.
    fn resumed() {
        show();
    }

    /// A timer that was set by `clock::set_timer` goes off.
    fn timer(_id: u32) {}

    /// A reading of a sensor that is followed by `sensor::follow`.
    fn measured(_name: String, _reading: Reading) {}

    /// A key or a pointer at a display.
    fn input(_name: String, _action: Action) {}

    /// Somebody tells it something.
    fn message(from: String, body: Vec<u8>) {
        TOLD.set(TOLD.get() + 1);
        log::write(Level::Info, &format!("{from}: {}", String::from_utf8_lossy(&body)));
        show();
    }

    /// A want is met now, or not any longer.
    fn changed(_name: String, _there: bool) {
        show();
    }
}

export!(App);
