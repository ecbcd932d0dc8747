//! QR codes in the terminal: two modules to a character, by half blocks.

use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

use crate::{
    failure::Failure,
    printer::{Printer, width},
};

/// Shows a text as a QR code and an empty line, if this is a terminal with room for it.
pub(crate) fn show(text: &str, printer: &mut Printer) -> Result<(), Failure> {
    if printer.is_terminal()
        && let Some(picture) = picture(text)
        && picture.lines().all(|line| width(line) <= printer.columns())
    {
        printer.picture(&picture)?;
        printer.line("")?;
    }
    Ok(())
}

/// The picture of a ticket, or none if the text is too long for a QR code. Light modules are drawn, so it reads on a dark
/// terminal as on paper; the quiet zone of four modules (ISO/IEC 18004) is part of it.
fn picture(text: &str) -> Option<String> {
    // Letters in upper case take less room (ISO/IEC 18004, alphanumeric mode); tickets are read in either case.
    let compact = text.bytes().all(|byte| byte.is_ascii_alphanumeric()).then(|| text.to_ascii_uppercase());
    let text = compact.as_deref().unwrap_or(text);
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    Some(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).quiet_zone(true).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_square_and_has_a_quiet_zone() {
        let picture = picture("tutti").unwrap();
        let lines: Vec<_> = picture.lines().collect();
        // Version 1 has 21 modules; four more at each side.
        assert!(lines.iter().all(|line| line.chars().count() == 29));
        assert_eq!(lines.len(), 15);
        assert!(lines[0].chars().all(|c| c == '█'), "the quiet zone is light");
        assert!(picture.contains('▀') || picture.contains('▄'));
    }

    #[test]
    fn a_text_that_does_not_fit_has_no_picture() {
        assert_eq!(picture(&"x".repeat(5000)), None);
    }
}
