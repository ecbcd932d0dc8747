//! Pictures made of shapes, as displays take them: text, if there are only labels, else an image.
//!
//! Lines are drawn into a raster of a fixed size, by Bresenham's method; labels beside lines are marked by a small box, since there is no
//! font here. An app that wants both as they are sends an image.

use tutti_app::runtime::host::Shape;
use tutti_model::Value;
use tutti_resources::screen::Raster;

/// The size of the raster.
const SIDES: (u16, u16) = (320, 240);
/// The most characters of a text.
const MAX_TEXT: usize = 4096;

/// The value to set a display to.
pub(crate) fn value(shapes: &[Shape]) -> Value {
    if let Some(Shape::Image(png)) = shapes.iter().rev().find(|shape| matches!(shape, Shape::Image(_))) {
        return Value::Bytes(png.clone());
    }
    if !shapes.iter().any(|shape| matches!(shape, Shape::Line(..))) {
        return Value::Text(text(shapes));
    }
    Value::Bytes(image(shapes).map(|raster| raster.to_png()).unwrap_or_default())
}

/// The labels, from top to bottom, those of one height from left to right.
fn text(shapes: &[Shape]) -> String {
    let mut labels: Vec<_> = shapes
        .iter()
        .filter_map(|shape| match shape {
            Shape::Label((x, y), _, text) => Some(((*y, *x), text.as_str())),
            _ => None,
        })
        .collect();
    labels.sort_by_key(|(at, _)| *at);
    let mut text = String::new();
    let mut row = None;
    for ((y, _), label) in labels {
        match row {
            Some(before) if before == y => text.push(' '),
            Some(_) => text.push('\n'),
            None => {}
        }
        row = Some(y);
        text.extend(label.chars().take(MAX_TEXT.saturating_sub(text.len())));
    }
    text
}

fn image(shapes: &[Shape]) -> Option<Raster> {
    let (width, height) = SIDES;
    let mut pixels = vec![[255; 3]; usize::from(width) * usize::from(height)];
    let place = |x: u16, y: u16| {
        let scale = |at: u16, side: u16| i32::from(at.min(1000)) * i32::from(side - 1) / 1000;
        (scale(x, width), scale(y, height))
    };
    let mut dot = |x: i32, y: i32| {
        let inside = (0..i32::from(width)).contains(&x) && (0..i32::from(height)).contains(&y);
        let at = y as usize * usize::from(width) + x as usize;
        if let Some(pixel) = pixels.get_mut(at).filter(|_| inside) {
            *pixel = [0; 3];
        }
    };
    for shape in shapes {
        match shape {
            Shape::Line(from, to) => line(place(from.0, from.1), place(to.0, to.1), &mut dot),
            Shape::Label((x, y), ..) => {
                let (x, y) = place(*x, *y);
                (-2..=2).for_each(|off| {
                    dot(x + off, y - 2);
                    dot(x + off, y + 2);
                    dot(x - 2, y + off);
                    dot(x + 2, y + off);
                });
            }
            Shape::Image(_) => {}
        }
    }
    Raster::new(width, height, pixels)
}

fn line((mut x, mut y): (i32, i32), (to_x, to_y): (i32, i32), dot: &mut impl FnMut(i32, i32)) {
    let (dx, dy) = ((to_x - x).abs(), -(to_y - y).abs());
    let (step_x, step_y) = ((to_x - x).signum(), (to_y - y).signum());
    let mut error = dx + dy;
    loop {
        dot(x, y);
        if (x, y) == (to_x, to_y) {
            return;
        }
        let twice = 2 * error;
        if twice >= dy {
            error += dy;
            x += step_x;
        }
        if twice <= dx {
            error += dx;
            y += step_y;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_text_in_reading_order() {
        let label = |x, y, text: &str| Shape::Label((x, y), 100, text.into());
        let shapes = [label(500, 600, "below"), label(700, 100, "right"), label(100, 100, "left")];
        assert_eq!(value(&shapes), Value::Text("left right\nbelow".into()));
        assert_eq!(value(&[]), Value::Text(String::new()));
    }

    #[test]
    fn lines_are_drawn_from_end_to_end_wherever_they_lie() {
        let raster = image(&[Shape::Line((0, 0), (1000, 1000)), Shape::Line((1000, 0), (1000, 65535))]).unwrap();
        for (x, y) in [(0, 0), (319, 239), (319, 0)] {
            assert_eq!(raster.pixel(x, y), [0; 3], "{x} {y}");
        }
        assert_eq!(raster.pixel(0, 239), [255; 3]);
        let Value::Bytes(png) = value(&[Shape::Line((1, 2), (3, 4))]) else { panic!() };
        assert!(png.starts_with(b"\x89PNG"));
    }
}
