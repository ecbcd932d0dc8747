//! Images in a terminal: two pixels to a character, by half blocks.
//!
//! The PNG comes from another device: its size and what decoding it costs are bounded.

use std::{fmt, io::Cursor};

use ratatui::{
    style::{Color, Style},
    text::{Line, Span},
};

/// The most pixels that an image may have in each direction.
const MAX_SIDE: u32 = 4096;

/// The most memory that decoding may take, in bytes.
const MAX_MEMORY: usize = 64 << 20;

/// An image: 8-bit RGB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

/// Why an image cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ImageError {
    /// It is no PNG image, or a damaged one.
    NotPng(String),
    /// It is too large.
    TooLarge,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPng(why) => write!(f, "this is no PNG image: {why}"),
            Self::TooLarge => write!(f, "the image is larger than {MAX_SIDE} by {MAX_SIDE} pixels"),
        }
    }
}

impl Image {
    /// Decodes a PNG image. What is transparent is black.
    pub(crate) fn decode(png: &[u8]) -> Result<Self, ImageError> {
        let broken = |error: png::DecodingError| ImageError::NotPng(error.to_string());
        let mut decoder = png::Decoder::new_with_limits(Cursor::new(png), png::Limits { bytes: MAX_MEMORY });
        decoder.set_transformations(png::Transformations::normalize_to_color8() | png::Transformations::ALPHA);
        let mut reader = decoder.read_info().map_err(broken)?;
        let (width, height) = (reader.info().width, reader.info().height);
        let size = reader.output_buffer_size().filter(|&size| size <= MAX_MEMORY);
        let (true, Some(size)) = (width <= MAX_SIDE && height <= MAX_SIDE, size) else {
            return Err(ImageError::TooLarge);
        };
        let mut bytes = vec![0; size];
        let info = reader.next_frame(&mut bytes).map_err(broken)?;
        let samples = info.color_type.samples();
        let pixels: Vec<_> = bytes.chunks_exact(samples).map(over_black).collect();
        let (width, height) = (width as usize, height as usize);
        if pixels.len() < width * height || pixels.is_empty() {
            return Err(ImageError::NotPng("it has no pixels".into()));
        }
        Ok(Self { width, height, pixels })
    }

    /// The image as large as fits into this many characters, its proportions kept.
    pub(crate) fn lines(&self, columns: u16, rows: u16) -> Vec<Line<'static>> {
        let (room_x, room_y) = (f64::from(columns.max(1)), f64::from(rows.max(1)) * 2.0);
        let scale = (room_x / self.width as f64).min(room_y / self.height as f64);
        let wide = ((self.width as f64 * scale).round() as usize).clamp(1, usize::from(columns.max(1)));
        let high = ((self.height as f64 * scale).round() as usize).clamp(1, usize::from(rows.max(1)) * 2);
        let colour = |x: usize, y: usize| {
            let [red, green, blue] = self.average(x, y, wide, high);
            Color::Rgb(red, green, blue)
        };
        (0..high.div_ceil(2))
            .map(|row| {
                let cell = |x| {
                    let style = Style::new().fg(colour(x, row * 2));
                    let lower = row * 2 + 1;
                    Span::styled("▀", if lower < high { style.bg(colour(x, lower)) } else { style })
                };
                Line::from((0..wide).map(cell).collect::<Vec<_>>())
            })
            .collect()
    }

    /// The average of the pixels that fall on one of `wide` by `high` fields (at least the nearest one).
    fn average(&self, x: usize, y: usize, wide: usize, high: usize) -> [u8; 3] {
        let range = |at: usize, parts: usize, whole: usize| {
            let start = (at * whole / parts).min(whole.saturating_sub(1));
            start..((at + 1) * whole / parts).max(start + 1).min(whole)
        };
        let mut sums = [0_u64; 3];
        let mut count = 0;
        for row in range(y, high, self.height) {
            for column in range(x, wide, self.width) {
                let Some(pixel) = self.pixels.get(row * self.width + column) else { continue };
                sums.iter_mut().zip(pixel).for_each(|(sum, &sample)| *sum += u64::from(sample));
                count += 1;
            }
        }
        sums.map(|sum| u8::try_from(sum / u64::max(count, 1)).unwrap_or(u8::MAX))
    }
}

/// A pixel of grey or colour, with or without transparency, over black.
fn over_black(samples: &[u8]) -> [u8; 3] {
    let shade = |sample: u8, alpha: u8| u8::try_from(u16::from(sample) * u16::from(alpha) / 255).unwrap_or(u8::MAX);
    match *samples {
        [grey] => [grey; 3],
        [grey, alpha] => [shade(grey, alpha); 3],
        [red, green, blue] => [red, green, blue],
        [red, green, blue, alpha] => [shade(red, alpha), shade(green, alpha), shade(blue, alpha)],
        _ => [0; 3],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(width: u32, height: u32, colour: png::ColorType, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, width, height);
        encoder.set_color(colour);
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        out
    }

    #[test]
    fn colours_come_through() {
        let data = [255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255, 200, 200, 200, 0];
        let image = Image::decode(&encode(2, 2, png::ColorType::Rgba, &data)).unwrap();
        let lines = image.lines(2, 1);
        assert_eq!(lines.len(), 1);
        let styles: Vec<_> = lines[0].spans.iter().map(|span| (span.style.fg, span.style.bg)).collect();
        let rgb = |r, g, b| Some(Color::Rgb(r, g, b));
        assert_eq!(styles, [(rgb(255, 0, 0), rgb(0, 0, 255)), (rgb(0, 255, 0), rgb(0, 0, 0))]);
        let grey = Image::decode(&encode(1, 1, png::ColorType::Grayscale, &[9])).unwrap();
        assert_eq!(grey.pixels, [[9, 9, 9]]);
    }

    #[test]
    fn proportions_are_kept_and_sides_never_vanish() {
        let image = Image::decode(&encode(100, 1, png::ColorType::Grayscale, &[50; 100])).unwrap();
        let lines = image.lines(20, 10);
        assert_eq!((lines.len(), lines[0].spans.len()), (1, 20));
        assert_eq!(image.lines(0, 0).len(), 1);
    }

    #[test]
    fn bad_images_are_refused() {
        assert!(matches!(Image::decode(b"GIF89a"), Err(ImageError::NotPng(_))));
        let whole = encode(64, 64, png::ColorType::Rgb, &[7; 64 * 64 * 3]);
        for length in 0..whole.len() - 12 {
            assert!(Image::decode(&whole[..length]).is_err(), "cut at {length}");
        }
        let mut vast = encode(1, 1, png::ColorType::Grayscale, &[0]);
        vast[16..20].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
        assert!(Image::decode(&vast).is_err());
        let wide = encode(5000, 1, png::ColorType::Grayscale, &[0; 5000]);
        assert_eq!(Image::decode(&wide), Err(ImageError::TooLarge));
    }
}
