//! Pictures from strangers, made small.
//!
//! A PNG of a kilobyte can decode to gigabytes, in its pixels or in its texts and profiles. So the size in its header is
//! checked before anything is decoded, texts and profiles are skipped unread, the decoder's own memory is limited, and
//! only the first frame of an animation is taken. Format: PNG, third edition (W3C, 2025).

use std::{fmt, io::Cursor};

use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

/// The widest and highest picture that is decoded.
const MAX_SIDE: u32 = 4096;
/// The most pixels that are decoded: 16 MiB at four bytes each.
const MAX_PIXELS: u64 = 4 << 20;
/// What the decoder may use besides for its own buffers.
const MAX_DECODER: usize = 32 << 20;

/// A small picture.
#[derive(Clone, PartialEq, Eq)]
pub struct Raster {
    width: u16,
    height: u16,
    pixels: Vec<[u8; 3]>,
}

impl Raster {
    /// A picture of these pixels (red, green, blue), row by row; `None` if they are not `width` times `height`, or
    /// none.
    pub fn new(width: u16, height: u16, pixels: Vec<[u8; 3]>) -> Option<Self> {
        let fits = pixels.len() == usize::from(width) * usize::from(height) && !pixels.is_empty();
        fits.then_some(Self { width, height, pixels })
    }

    /// Pixels in a row.
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// Rows.
    pub const fn height(&self) -> u16 {
        self.height
    }

    /// Red, green and blue of a pixel; black outside the picture.
    pub fn pixel(&self, x: u16, y: u16) -> [u8; 3] {
        if x >= self.width {
            return [0; 3];
        }
        let at = usize::from(y) * usize::from(self.width) + usize::from(x);
        self.pixels.get(at).copied().unwrap_or_default()
    }

    /// The picture as a PNG.
    pub fn to_png(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, self.width.into(), self.height.into());
        encoder.set_color(ColorType::Rgb);
        encoder.set_depth(BitDepth::Eight);
        // Writing to memory a picture of a checked size does not fail; if it did, an empty picture is no picture.
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(self.pixels.as_flattened())?;
            writer.finish()
        });
        if written.is_err() {
            out.clear();
        }
        out
    }
}

impl fmt::Debug for Raster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raster({}x{})", self.width, self.height)
    }
}

/// Why a picture was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RasterError {
    /// It has more pixels than are ever decoded.
    TooManyPixels {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// It is not a PNG, or a broken one, and what the decoder says.
    Broken(String),
}

impl fmt::Display for RasterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyPixels { width, height } => write!(
                f,
                "it is {width} by {height} pixels; a display takes at most {MAX_SIDE} on a side and {MAX_PIXELS} in all"
            ),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for RasterError {}

impl From<png::DecodingError> for RasterError {
    fn from(error: png::DecodingError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Decodes a PNG and scales it down, its shape kept, to fit into `max_width` by `max_height` pixels. What is
/// transparent becomes black. A picture that fits already stays as it is.
///
/// # Errors
/// [`RasterError`]. Costs at most some 50 MiB of memory for the time of the call, whatever the bytes are.
pub fn decode(png: &[u8], max_width: u16, max_height: u16) -> Result<Raster, RasterError> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(png), Limits { bytes: MAX_DECODER });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    // Eight bits for each channel, palettes resolved.
    decoder.set_transformations(Transformations::normalize_to_color8());
    let header = decoder.read_header_info()?;
    let (width, height) = (header.width, header.height);
    let pixels = u64::from(width) * u64::from(height);
    if width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_PIXELS {
        return Err(RasterError::TooManyPixels { width, height });
    }
    let mut reader = decoder.read_info()?;
    let size = reader.output_buffer_size().unwrap_or(usize::MAX);
    if size as u64 > pixels.saturating_mul(4) {
        return Err(RasterError::TooManyPixels { width, height });
    }
    let mut buffer = vec![0; size];
    let info = reader.next_frame(&mut buffer)?;
    let source = Source {
        bytes: buffer.get(..info.buffer_size()).unwrap_or_default(),
        line: info.line_size,
        width: info.width,
        height: info.height,
        color: info.color_type,
    };
    scale(&source, max_width.max(1), max_height.max(1)).ok_or_else(|| RasterError::Broken("it has no pixels".into()))
}

/// Decoded pixels, eight bits for each channel.
struct Source<'a> {
    bytes: &'a [u8],
    line: usize,
    width: u32,
    height: u32,
    color: ColorType,
}

impl Source<'_> {
    fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        let samples = self.color.samples();
        let at = (y as usize).saturating_mul(self.line).saturating_add(x as usize * samples);
        let over_black = |channel: u8, alpha: u8| (u16::from(channel) * u16::from(alpha) / 255) as u8;
        match self.bytes.get(at..at.saturating_add(samples)) {
            Some(&[grey]) => [grey; 3],
            Some(&[grey, alpha]) => [over_black(grey, alpha); 3],
            Some(&[red, green, blue]) => [red, green, blue],
            Some(&[red, green, blue, alpha]) => [red, green, blue].map(|channel| over_black(channel, alpha)),
            _ => [0; 3],
        }
    }
}

/// Averages the rectangle of source pixels behind each pixel.
fn scale(source: &Source<'_>, max_width: u16, max_height: u16) -> Option<Raster> {
    let (from_width, from_height) = (u64::from(source.width), u64::from(source.height));
    let (max_width, max_height) = (u64::from(max_width), u64::from(max_height));
    // The side that is further beyond its limit decides.
    let (width, height) = if from_width <= max_width && from_height <= max_height {
        (from_width, from_height)
    } else if from_width * max_height >= from_height * max_width {
        (max_width, (from_height * max_width / from_width.max(1)).max(1))
    } else {
        ((from_width * max_height / from_height.max(1)).max(1), max_height)
    };
    let mut pixels = Vec::new();
    for y in 0..height {
        let (top, bottom) = (y * from_height / height, ((y + 1) * from_height).div_ceil(height));
        for x in 0..width {
            let (left, right) = (x * from_width / width, ((x + 1) * from_width).div_ceil(width));
            let mut sums = [0u64; 3];
            for (at_x, at_y) in (top..bottom).flat_map(|at_y| (left..right).map(move |at_x| (at_x, at_y))) {
                let pixel = source.pixel(at_x as u32, at_y as u32);
                sums.iter_mut().zip(pixel).for_each(|(sum, channel)| *sum += u64::from(channel));
            }
            let behind = ((bottom - top) * (right - left)).max(1);
            pixels.push(sums.map(|sum| (sum / behind) as u8));
        }
    }
    Raster::new(u16::try_from(width).ok()?, u16::try_from(height).ok()?, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(width: u32, height: u32, color: ColorType, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, width, height);
        encoder.set_color(color);
        encoder.set_depth(BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        out
    }

    #[test]
    fn all_sorts_of_pixels_are_read() {
        for (color, data, wanted) in [
            (ColorType::Grayscale, vec![7], [7, 7, 7]),
            (ColorType::GrayscaleAlpha, vec![200, 255], [200, 200, 200]),
            (ColorType::Rgb, vec![1, 2, 3], [1, 2, 3]),
            (ColorType::Rgba, vec![255, 255, 255, 0], [0, 0, 0]),
        ] {
            let raster = decode(&encode(1, 1, color, &data), 10, 10).unwrap();
            assert_eq!((raster.width(), raster.height(), raster.pixel(0, 0)), (1, 1, wanted));
        }
    }

    #[test]
    fn scaling_keeps_the_shape_and_averages() {
        let stripes: Vec<u8> = (0..400 * 100).map(|i| if i % 400 < 200 { 0 } else { 200 }).collect();
        let raster = decode(&encode(400, 100, ColorType::Grayscale, &stripes), 80, 48).unwrap();
        assert_eq!((raster.width(), raster.height()), (80, 20));
        assert_eq!((raster.pixel(0, 0), raster.pixel(79, 19)), ([0; 3], [200; 3]));
        let tall = decode(&encode(1, 3000, ColorType::Grayscale, &[9; 3000]), 80, 48).unwrap();
        assert_eq!((tall.width(), tall.height(), tall.pixel(0, 47)), (1, 48, [9; 3]));
    }

    /// Makes the header say another size, its checksum right.
    fn lie(png: &mut [u8], width: u32, height: u32) {
        png[16..20].copy_from_slice(&width.to_be_bytes());
        png[20..24].copy_from_slice(&height.to_be_bytes());
        let crc = crc32(&png[12..29]);
        png[29..33].copy_from_slice(&crc.to_be_bytes());
    }

    #[test]
    fn bombs_are_refused() {
        let mut png = encode(1, 1, ColorType::Rgb, &[0; 3]);
        for (width, height) in [(65535, 65535), (4097, 1), (4096, 1025), (u32::MAX >> 1, 1)] {
            lie(&mut png, width, height);
            assert_eq!(decode(&png, 80, 48), Err(RasterError::TooManyPixels { width, height }));
        }
        // Fewer bytes than pixels, and more: four million behind a header that says one.
        lie(&mut png, 2000, 2000);
        assert!(matches!(decode(&png, 80, 48), Err(RasterError::Broken(_))));
        let mut png = encode(2000, 2000, ColorType::Grayscale, &vec![9; 4_000_000]);
        assert!(png.len() < 10_000);
        lie(&mut png, 1, 1);
        assert_eq!(decode(&png, 80, 48).map(|raster| raster.pixel(0, 0)), Ok([9; 3]));
        assert!(matches!(decode(b"GIF89a", 80, 48), Err(RasterError::Broken(_))));
        assert!(matches!(decode(&[], 80, 48), Err(RasterError::Broken(_))));
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
        })
    }

    proptest! {
        #[test]
        fn rasters_round_trip(width in 1u16..20, height in 1u16..20, seed: u8) {
            let pixels = (0..width * height).map(|i| [i as u8 ^ seed, (i >> 3) as u8, seed]).collect();
            let raster = Raster::new(width, height, pixels).unwrap();
            prop_assert_eq!(decode(&raster.to_png(), 20, 20), Ok(raster));
        }

        #[test]
        fn broken_pictures_are_refused(
            cut in 0usize..200,
            flips in prop::collection::vec((0usize..200, any::<u8>()), 0..4),
        ) {
            let mut png = encode(8, 8, ColorType::Rgba, &[0x5a; 256]);
            for (at, bits) in flips {
                let at = at % png.len();
                png[at] ^= bits;
            }
            png.truncate(png.len().saturating_sub(cut).max(1));
            if let Ok(raster) = decode(&png, 80, 48) {
                prop_assert!(raster.width() <= 80 && raster.height() <= 48);
            }
        }
    }
}
