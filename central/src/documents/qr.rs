//! The QR code of a ticket: its squares, and a picture of them.

use ab_glyph::{Font as _, FontRef, Glyph, PxScale, ScaleFont as _, point};
use qrcode::{Color, EcLevel, QrCode};

use super::pdf::REGULAR;
use super::{DocumentError, Printed};

/// White around a code, in squares (ISO/IEC 18004).
const QUIET: usize = 4;
/// Pixels of a square's side.
const SQUARE_PX: usize = 8;
/// Height of the letters beneath.
const LETTERS_PX: f32 = 22.0;
/// Height of one line beneath.
const LINE_PX: usize = 28;
/// Left and right of the letters.
const MARGIN_PX: f32 = 12.0;

/// The squares of a ticket's code, row by row, without the white around; `true` is dark.
pub fn squares(text: &str) -> Result<Vec<Vec<bool>>, DocumentError> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M)
        .map_err(|error| DocumentError::Picture(error.to_string()))?;
    let dark: Vec<bool> = code
        .to_colors()
        .into_iter()
        .map(|c| c == Color::Dark)
        .collect();
    Ok(dark.chunks(code.width()).map(<[bool]>::to_vec).collect())
}

/// A picture in shades of grey.
struct Picture {
    width: usize,
    pixels: Vec<u8>,
}

impl Picture {
    fn darken(&mut self, x: usize, y: usize, by: f32) {
        if x < self.width
            && let Some(pixel) = self.pixels.get_mut(y * self.width + x)
        {
            *pixel = pixel.saturating_sub((by.clamp(0.0, 1.0) * 255.0) as u8);
        }
    }

    fn fill(&mut self, left: usize, top: usize, side: usize) {
        for y in top..top + side {
            for x in left..left + side {
                self.darken(x, y, 1.0);
            }
        }
    }

    /// One line of text, cut where the picture ends.
    fn write(&mut self, font: &FontRef<'_>, base_px: f32, text: &str) {
        let scaled = font.as_scaled(PxScale::from(LETTERS_PX));
        let right = self.width as f32 - MARGIN_PX;
        let mut x = MARGIN_PX;
        for c in text.chars() {
            let id = font.glyph_id(c);
            let advance = scaled.h_advance(id);
            if x + advance > right {
                break;
            }
            let glyph: Glyph = id.with_scale_and_position(LETTERS_PX, point(x, base_px));
            x += advance;
            let Some(outline) = font.outline_glyph(glyph) else {
                continue;
            };
            let at = outline.px_bounds().min;
            outline.draw(|dx, dy, cover| {
                let (px, py) = (at.x + dx as f32, at.y + dy as f32);
                if px >= 0.0 && py >= 0.0 {
                    self.darken(px as usize, py as usize, cover);
                }
            });
        }
    }
}

/// The ticket's code as a PNG; with what people read beneath, where wanted.
pub fn png(ticket: &Printed, reference: &str, with_text: bool) -> Result<Vec<u8>, DocumentError> {
    let wrong = |error: &dyn std::fmt::Display| DocumentError::Picture(error.to_string());
    let rows = squares(&ticket.ticket.to_qr())?;
    let side = (rows.len() + 2 * QUIET) * SQUARE_PX;
    let lines = if with_text {
        vec![ticket.line(reference), ticket.from.local()]
    } else {
        vec![]
    };
    let beneath = lines.len() * LINE_PX + if lines.is_empty() { 0 } else { LINE_PX / 2 };
    let height = side + beneath;
    let mut picture = Picture {
        width: side,
        pixels: vec![255; side * height],
    };
    for (y, row) in rows.iter().enumerate() {
        for (x, _) in row.iter().enumerate().filter(|(_, dark)| **dark) {
            let at = |n: usize| (n + QUIET) * SQUARE_PX;
            picture.fill(at(x), at(y), SQUARE_PX);
        }
    }
    let font = FontRef::try_from_slice(REGULAR).map_err(|e| wrong(&e))?;
    for (i, line) in lines.iter().enumerate() {
        let base = side + (i + 1) * LINE_PX - LINE_PX / 4;
        picture.write(&font, base as f32, line);
    }
    let mut file = vec![];
    let mut encoder = png::Encoder::new(&mut file, side as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|e| wrong(&e))?;
    writer
        .write_image_data(&picture.pixels)
        .map_err(|e| wrong(&e))?;
    writer.finish().map_err(|e| wrong(&e))?;
    Ok(file)
}
