//! A display in memory that a `tutti screen` window shows: some lines of text, and above them a small picture.
//!
//! Whoever may control the display sends a text or a PNG; both come from another device and are hostile until
//! checked. Text is cleaned of everything that could make a terminal do something ([`text::clean`]). A picture is
//! decoded within limits and scaled to a few thousand pixels ([`image::decode`]), and viewers get those pixels, never
//! the bytes that were sent.

pub mod image;
pub mod text;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tutti_model::{Name, ResourceDescription, ResourceKind, Value};

pub use image::{Raster, RasterError};

use crate::{
    driver::{Driver, DriverError},
    names::{count, unit, with, words},
    signal::Signal,
};

/// The most bytes of text that are taken at once.
pub const MAX_TEXT: usize = 64 * 1024;
/// The largest picture that is taken, in bytes of PNG.
pub const MAX_PICTURE: usize = 1 << 20;

/// How large a display is, in characters, and the picture that it takes. Unless said otherwise, a line of text is as high as two
/// pixels are, and a character as wide as one: a terminal draws two pixels in one cell with `▀`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    columns: u16,
    lines: u16,
    /// Width and height of the largest picture.
    pixels: (u16, u16),
}

impl Size {
    /// A size of 1 to 500 columns and 1 to 200 lines; what is more is cut.
    pub fn new(columns: u16, lines: u16) -> Self {
        let (columns, lines) = (columns.clamp(1, 500), lines.clamp(1, 200));
        Self { columns, lines, pixels: (columns, lines * 2) }
    }

    /// The same for a display that shows pictures of up to so many pixels, at most 1024 by 768; what is more is cut.
    #[must_use]
    pub fn with_pixels(self, width: u16, height: u16) -> Self {
        Self { pixels: (width.clamp(1, 1024), height.clamp(1, 768)), ..self }
    }

    /// Characters in a line.
    pub const fn columns(self) -> u16 {
        self.columns
    }

    /// Lines.
    pub const fn lines(self) -> u16 {
        self.lines
    }
}

impl Default for Size {
    fn default() -> Self {
        Self::new(80, 24)
    }
}

/// What a display shows at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Grows with every change.
    pub generation: u64,
    /// The text, clean, one `String` for each line.
    pub lines: Vec<String>,
    /// The picture.
    pub image: Option<Arc<Raster>>,
    /// Who sent what changed last, if that is known.
    pub from: Option<Name>,
}

/// A display resource.
#[derive(Debug)]
pub struct Screen {
    description: ResourceDescription,
    size: Size,
    frame: Mutex<Arc<Frame>>,
    changes: Signal,
}

impl Screen {
    /// A blank display.
    pub fn new(name: Name, size: Size) -> Self {
        let description = with(
            ResourceDescription::actuator(name, unit("")),
            [
                ("columns", count(size.columns.into())),
                ("lines", count(size.lines.into())),
                ("takes", words("text, image/png")),
            ],
        );
        Self {
            description: ResourceDescription { kind: ResourceKind::Display, ..description },
            size,
            frame: Mutex::default(),
            changes: Signal::new(),
        }
    }

    /// Shows a text or a PNG; each leaves the other as it is, and an empty one takes it away.
    ///
    /// # Errors
    /// [`DriverError::WrongType`], [`DriverError::TooLarge`], [`DriverError::BadImage`]: then nothing changes.
    pub fn show(&self, value: &Value, from: Option<Name>) -> Result<(), DriverError> {
        let (lines, image) = match value {
            Value::Text(text) if text.len() > MAX_TEXT => {
                return Err(DriverError::TooLarge { max: MAX_TEXT, of: "bytes of text" });
            }
            Value::Text(text) => (Some(text::clean(text, self.size.columns.into(), self.size.lines.into())), None),
            Value::Bytes(png) if png.is_empty() => (None, Some(None)),
            Value::Bytes(png) if png.len() > MAX_PICTURE => {
                return Err(DriverError::TooLarge { max: MAX_PICTURE, of: "bytes of PNG" });
            }
            Value::Bytes(png) => {
                let raster = image::decode(png, self.size.pixels.0, self.size.pixels.1)
                    .map_err(|error| DriverError::BadImage(error.to_string()))?;
                (None, Some(Some(Arc::new(raster))))
            }
            other => return Err(DriverError::WrongType { takes: "text or a PNG", given: other.word() }),
        };
        {
            let mut frame = self.lock();
            let last = Frame::clone(&frame);
            *frame = Arc::new(Frame {
                generation: last.generation + 1,
                lines: lines.unwrap_or(last.lines),
                image: image.unwrap_or(last.image),
                from,
            });
        }
        self.changes.raise();
        Ok(())
    }

    /// What it shows now.
    pub fn frame(&self) -> Arc<Frame> {
        self.lock().clone()
    }

    /// Waits for a frame later than generation `seen`; `None` if there is none within `timeout`.
    pub fn wait_newer(&self, seen: u64, timeout: Duration) -> Option<Arc<Frame>> {
        self.changes.wait_past(seen, timeout);
        let frame = self.frame();
        (frame.generation > seen).then_some(frame)
    }

    /// How large it is.
    pub const fn size(&self) -> Size {
        self.size
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Frame>> {
        self.frame.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver for Screen {
    fn description(&self) -> ResourceDescription {
        self.description.clone()
    }

    /// The text that it shows.
    fn read(&self) -> Result<Value, DriverError> {
        Ok(Value::Text(self.frame().lines.join("\n")))
    }

    fn write(&self, value: &Value) -> Result<(), DriverError> {
        self.show(value, None)
    }

    fn refresh_every(&self) -> Option<Duration> {
        None
    }

    fn changes(&self) -> Option<&Signal> {
        Some(&self.changes)
    }

    fn screen(&self) -> Option<&Screen> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen() -> Screen {
        Screen::new(Name::new("window").unwrap(), Size::new(20, 3))
    }

    #[test]
    fn text_and_picture_are_apart() {
        let screen = screen();
        let picture = Raster::new(2, 2, vec![[255, 0, 0]; 4]).unwrap().to_png();
        screen.write(&Value::Text("hello\nworld\nof\nmany\nlines".into())).unwrap();
        screen.show(&Value::Bytes(picture), Some(Name::new("kitchen").unwrap())).unwrap();
        let frame = screen.frame();
        assert_eq!(frame.lines, ["hello", "world", "of"]);
        assert_eq!(frame.image.as_ref().map(|image| image.pixel(0, 0)), Some([255, 0, 0]));
        assert_eq!(frame.from, Some(Name::new("kitchen").unwrap()));
        assert_eq!(screen.read(), Ok(Value::Text("hello\nworld\nof".into())));
        screen.write(&Value::Bytes(Vec::new())).unwrap();
        assert_eq!(screen.frame().image, None);
        assert_eq!(screen.frame().lines.len(), 3);
        screen.write(&Value::Text(String::new())).unwrap();
        assert!(screen.frame().lines.is_empty());
        assert_eq!(screen.frame().generation, 4);
    }

    #[test]
    fn bad_values_change_nothing() {
        let screen = screen();
        screen.write(&Value::Text("stays".into())).unwrap();
        for bad in [
            Value::Int(1),
            Value::Text("x".repeat(MAX_TEXT + 1)),
            Value::Bytes(vec![0; MAX_PICTURE + 1]),
            Value::Bytes(b"not a picture".to_vec()),
        ] {
            screen.write(&bad).unwrap_err();
        }
        assert_eq!(screen.frame().generation, 1);
        assert_eq!(screen.frame().lines, ["stays"]);
    }

    #[test]
    fn viewers_wait_for_the_next_frame() {
        let screen = Arc::new(screen());
        assert_eq!(screen.wait_newer(0, Duration::from_millis(5)), None);
        let viewer = std::thread::spawn({
            let screen = screen.clone();
            move || screen.wait_newer(0, Duration::from_secs(10))
        });
        screen.write(&Value::Text("now".into())).unwrap();
        assert_eq!(viewer.join().unwrap().unwrap().lines, ["now"]);
    }
}
