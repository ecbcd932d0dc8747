//! What another device sends to be shown.

use tutti_resources::screen::{Raster, image, text};

const COLUMNS: u16 = 40;
const LINES: u16 = 12;

/// A text: what is left of it fits and does nothing to a terminal.
pub(crate) fn screen_text(bytes: &[u8]) {
    let lines = text::clean(&String::from_utf8_lossy(bytes), COLUMNS.into(), LINES.into());
    assert!(lines.len() <= LINES.into());
    for line in &lines {
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    // What is clean stays as it is.
    let again: String = lines.iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(text::clean(&again, COLUMNS.into(), LINES.into()), lines);
}

pub(crate) fn screen_text_seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("plain", b"hello\nworld\n".to_vec()),
        ("escapes", b"\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J \x1bP+q\x1b\\ tab\there\rback\x08".to_vec()),
        ("letters", "Grüße 日本語 🎵 e\u{301} \u{202e}reversed\u{2066} \u{200b}zero \u{feff}".into()),
        ("wide", "日本語".repeat(30).into_bytes()),
        ("long", [b"x".repeat(200), b"\n".repeat(40)].concat()),
    ]
}

/// A picture: what is accepted fits, and is a picture again. Once as it is, once with the checksums of its parts put
/// right, which no mutation would get past.
pub(crate) fn picture(bytes: &[u8]) {
    for png in [bytes.to_vec(), with_checksums(bytes)] {
        let Ok(raster) = image::decode(&png, COLUMNS, 2 * LINES) else { continue };
        assert!((1..=COLUMNS).contains(&raster.width()) && (1..=2 * LINES).contains(&raster.height()));
        assert_eq!(image::decode(&raster.to_png(), COLUMNS, 2 * LINES), Ok(raster));
    }
}

pub(crate) fn picture_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let raster = |width: u16, height: u16| {
        let pixels = (0..width * height).map(|at| [at as u8, 100, (at >> 8) as u8]).collect();
        Raster::new(width, height, pixels).expect("as many pixels as it has").to_png()
    };
    // Grey, four bits for each pixel, interlaced; a palette; both not compressed.
    let grey = written(&[0, 0, 0, 2, 0, 0, 0, 2, 4, 0, 0, 0, 1], None, &[0, 0x10, 0, 0x20, 0, 0x34]);
    let palette = written(&[0, 0, 0, 3, 0, 0, 0, 1, 8, 3, 0, 0, 0], Some(&[1, 2, 3, 4, 5, 6]), &[0, 0, 1, 5]);
    vec![("small", raster(3, 2)), ("scaled", raster(50, 30)), ("grey", grey), ("palette", palette)]
}

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

fn written(header: &[u8; 13], palette: Option<&[u8]>, data: &[u8]) -> Vec<u8> {
    // One block of RFC 1950 and 1951 that is not compressed.
    let length = data.len() as u16;
    let head = [&[0x78, 1, 1][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat();
    let (a, b) = data.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    let image = [&head[..], data, &(b << 16 | a).to_be_bytes()].concat();
    let part = |name: &[u8; 4], bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], name, bytes, &[0; 4]].concat();
    let palette = palette.map(|colours| part(b"PLTE", colours)).unwrap_or_default();
    with_checksums(&[SIGNATURE, &part(b"IHDR", header), &palette, &part(b"IDAT", &image), &part(b"IEND", b"")].concat())
}

/// The PNG with the checksum of each of its parts put right.
fn with_checksums(png: &[u8]) -> Vec<u8> {
    let mut png = png.to_vec();
    let mut at = SIGNATURE.len();
    while let Some(length) = png.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        let end = at.saturating_add(8).saturating_add(length);
        let Some(checksum) = png.get(at + 4..end).map(crc32) else { break };
        let Some(place) = png.get_mut(end..end + 4) else { break };
        place.copy_from_slice(&checksum.to_be_bytes());
        at = end + 4;
    }
    png
}

/// The checksum of PNG (annex D of its third edition), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pictures_are_pictures() {
        for (name, png) in picture_seeds() {
            assert!(image::decode(&png, COLUMNS, 2 * LINES).is_ok(), "{name}");
            assert_eq!(with_checksums(&png), png, "{name}");
        }
    }
}
