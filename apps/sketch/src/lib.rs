//! Draw with the pointer on one screen, and go on on another: move the instance to a device that has a display, and the drawing
//! is there, the line that is being drawn among it.
//!
//! - pressing the pointer and moving it draws a line
//! - the key "z" or "Backspace" takes the last line back, "c" clears the sheet
//! - a message "lines" is answered with how many lines and points there are
//!
//! The lines are plain vectors in the app's memory, which is all that has to be known about moving it.

use std::cell::RefCell;

wit_bindgen::generate!({ path: "../../wit", world: "app" });

use exports::tutti::app::events::{Action, Guest, Reading};
use tutti::app::{
    display::{self, Label, Line, Shape},
    log::{self, Level},
    messages,
    types::{Failure, Phase, Pointer},
};

/// What is wanted for drawing on, by the manifest's word.
const SCREEN: &str = "screen";

/// The most points of a sheet. All of it is shown with each change, and what an event may send is bounded; a page full of
/// handwriting has about 2,000.
const MOST_POINTS: usize = 3_000;

/// Points nearer to each other than this, in thousandths of the screen, are one: a hand that rests does not fill the sheet.
const NEAR: u32 = 4;

/// A point, in thousandths of the screen.
type Point = (u16, u16);

/// What has been drawn.
#[derive(Default)]
struct Sheet {
    lines: Vec<Vec<Point>>,
    /// Whether the last of them is still being drawn.
    drawing: bool,
}

thread_local! {
    static SHEET: RefCell<Sheet> = RefCell::default();
}

fn near(a: Point, b: Point) -> bool {
    let along = |a: u16, b: u16| u32::from(a.abs_diff(b));
    along(a.0, b.0).pow(2) + along(a.1, b.1).pow(2) < NEAR.pow(2)
}

impl Sheet {
    fn points(&self) -> usize {
        self.lines.iter().map(Vec::len).sum()
    }

    /// Whether that changed anything that is to be seen.
    fn point(&mut self, phase: Phase, at: Point) -> bool {
        match (phase, self.drawing) {
            (Phase::Down, _) => {
                self.drawing = true;
                self.lines.push(vec![at]);
            }
            (Phase::Move | Phase::Up, true) => {
                self.drawing = phase == Phase::Move;
                // A sheet that has a line being drawn has a last line, and that has a first point.
                let Some(line) = self.lines.last_mut() else { return false };
                if line.last().is_some_and(|last| near(*last, at)) {
                    return false;
                }
                line.push(at);
            }
            (Phase::Move | Phase::Up, false) => return false,
        }
        // The oldest make room, as on a board that is wiped from one end.
        while self.points() > MOST_POINTS && self.lines.len() > 1 {
            self.lines.remove(0);
        }
        if self.points() > MOST_POINTS {
            self.lines[0].remove(0);
        }
        true
    }

    /// Whether that changed anything.
    fn key(&mut self, key: &str) -> bool {
        match key {
            "c" => self.lines.clear(),
            "z" | "Backspace" => drop(self.lines.pop()),
            _ => return false,
        }
        self.drawing = false;
        true
    }

    fn show(&self) {
        let mut shapes = Vec::with_capacity(self.points());
        for line in &self.lines {
            // A dot is a line from a point to itself.
            if let [(x, y)] = line[..] {
                shapes.push(Shape::Line(Line { x1: x, y1: y, x2: x, y2: y }));
            }
            let pieces = line.windows(2).map(|it| Line { x1: it[0].0, y1: it[0].1, x2: it[1].0, y2: it[1].1 });
            shapes.extend(pieces.map(Shape::Line));
        }
        if shapes.is_empty() {
            let text = "Draw with the pointer. z takes back, c clears.".into();
            shapes.push(Shape::Label(Label { x: 50, y: 50, size: 60, text }));
        }
        match display::show(SCREEN, &shapes) {
            // Whoever draws without seeing it sees it as soon as there is a screen: `changed` tells.
            Ok(()) | Err(Failure::NotThere) => {}
            Err(error) => log::write(Level::Warn, &format!("the sheet cannot be shown: {error:?}")),
        }
    }
}

struct App;

impl Guest for App {
    fn started() {
        SHEET.with_borrow(Sheet::show);
    }

    fn resumed() {
        SHEET.with_borrow(Sheet::show);
    }

    fn timer(_: u32) {}

    fn measured(_: String, _: Reading) {}

    fn input(_: String, action: Action) {
        SHEET.with_borrow_mut(|sheet| {
            let changed = match action {
                Action::Pointer(Pointer { phase, x, y }) => sheet.point(phase, (x.min(1000), y.min(1000))),
                Action::Key(key) => sheet.key(&key),
            };
            if changed {
                sheet.show();
            }
        });
    }

    fn message(from: String, body: Vec<u8>) {
        if body != b"lines" {
            return log::write(Level::Warn, "the only question that is answered is: lines");
        }
        let told = SHEET.with_borrow(|sheet| format!("{} lines, {} points", sheet.lines.len(), sheet.points()));
        log::write(Level::Info, &told);
        // Whoever asked may be a person, to whom no message can be sent: the log has the answer.
        let _ = messages::send(&from, told.as_bytes());
    }

    fn changed(_: String, there: bool) {
        if there {
            SHEET.with_borrow(Sheet::show);
        }
    }
}

export!(App);
