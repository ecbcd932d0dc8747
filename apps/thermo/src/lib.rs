//! Shows any temperature sensor of the pool on any display: the value, and a line of the last hundred readings.

use std::{cell::RefCell, collections::VecDeque};

wit_bindgen::generate!({ path: "../../wit", world: "app" });

use exports::tutti::app::events::{Action, Guest, Reading};
use tutti::app::{
    display::{self, Label, Line, Shape},
    log::{self, Level},
    pool, sensor,
    types::Value,
};

/// How many readings the line has.
const READINGS: usize = 100;

thread_local! {
    static SEEN: RefCell<VecDeque<f64>> = const { RefCell::new(VecDeque::new()) };
}

fn number(value: Value) -> Option<f64> {
    match value {
        Value::Int(it) => Some(it as f64),
        Value::Float(it) => Some(it),
        _ => None,
    }
}

fn show() {
    let sensor = pool::find("thermometer").unwrap_or_else(|| "no thermometer".into());
    let mut shapes = vec![Shape::Label(Label { x: 50, y: 50, size: 60, text: sensor })];
    SEEN.with_borrow(|seen| {
        let text = seen.back().map_or_else(|| "-".into(), |last| format!("{last:.1}"));
        shapes.push(Shape::Label(Label { x: 50, y: 150, size: 250, text }));
        let low = seen.iter().copied().fold(f64::MAX, f64::min);
        let high = seen.iter().copied().fold(f64::MIN, f64::max);
        // A degree at least, so that noise does not look like weather.
        let span = (high - low).max(1.0);
        let point = |at: usize, value: f64| {
            let x = 50 + 900 * at / READINGS;
            let y = 950.0 - 450.0 * (value - low) / span;
            (x as u16, y as u16)
        };
        let points: Vec<_> = seen.iter().enumerate().map(|(at, value)| point(at, *value)).collect();
        let lines = points.windows(2).map(|it| Line { x1: it[0].0, y1: it[0].1, x2: it[1].0, y2: it[1].1 });
        shapes.extend(lines.map(Shape::Line));
    });
    let _ = display::show("screen", &shapes);
}

struct App;

impl Guest for App {
    fn started() {
        if let Err(error) = sensor::follow("thermometer", 1000) {
            log::write(Level::Error, &format!("the thermometer cannot be followed: {error:?}"));
        }
        show();
    }

    fn resumed() {
        show();
    }

    fn timer(_: u32) {}

    fn measured(_: String, reading: Reading) {
        let Some(value) = number(reading.value) else { return };
        SEEN.with_borrow_mut(|seen| {
            seen.push_back(value);
            if seen.len() > READINGS {
                seen.pop_front();
            }
        });
        show();
    }

    fn input(_: String, _: Action) {}

    fn message(_: String, _: Vec<u8>) {}

    fn changed(_: String, _: bool) {
        show();
    }
}

export!(App);
