//! Small PDF pages: text in two weights, lines, boxes and squares of a code, measured in
//! millimetres from the upper left corner. The font is part of the program.

use std::sync::LazyLock;

use krilla::Document;
use krilla::color::rgb;
use krilla::geom::{Path, PathBuilder, Point, Rect};
use krilla::metadata::Metadata;
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::{Fill, FillRule, Stroke};
use krilla::surface::Surface;
use krilla::text::{Font, TextDirection};

pub(super) static REGULAR: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans.ttf");
static BOLD: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans-Bold.ttf");

/// Points in a millimetre.
const PT_PER_MM: f32 = 72.0 / 25.4;

struct Face {
    font: Font,
    metrics: ttf_parser::Face<'static>,
}

static FACES: LazyLock<Option<[Face; 2]>> = LazyLock::new(|| {
    let face = |bytes: &'static [u8]| {
        Some(Face {
            font: Font::new(bytes.to_vec().into(), 0)?,
            metrics: ttf_parser::Face::parse(bytes, 0).ok()?,
        })
    };
    Some([face(REGULAR)?, face(BOLD)?])
});

/// Why there is no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PdfError {
    /// The bundled font does not load.
    #[error("the font of this program is damaged: install it again")]
    Font,
    /// A page without area, or what the writer said.
    #[error("the document could not be written: {0}")]
    Writer(String),
}

/// How heavy letters are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weight {
    /// As in a sentence.
    #[default]
    Regular,
    /// As in a heading.
    Bold,
}

/// A size of paper.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paper {
    /// Millimetres.
    pub width_mm: f32,
    /// Millimetres.
    pub height_mm: f32,
}

impl Paper {
    /// 210 × 297 mm.
    pub const A4: Self = Self {
        width_mm: 210.0,
        height_mm: 297.0,
    };
    /// 105 × 148 mm.
    pub const A6: Self = Self {
        width_mm: 105.0,
        height_mm: 148.0,
    };
}

/// A document that pages are added to.
pub struct Pdf {
    document: Document,
}

impl Pdf {
    /// Without pages; the title is what a reader's window shows.
    pub fn new(title: &str) -> Self {
        let mut document = Document::new();
        document.set_metadata(Metadata::new().title(title.to_owned()));
        Self { document }
    }

    /// Adds a page and draws on it.
    pub fn page(
        &mut self,
        paper: Paper,
        draw: impl FnOnce(&mut Sheet<'_>),
    ) -> Result<(), PdfError> {
        let faces = FACES.as_ref().ok_or(PdfError::Font)?;
        let (width, height) = (paper.width_mm * PT_PER_MM, paper.height_mm * PT_PER_MM);
        let settings = PageSettings::from_wh(width, height)
            .ok_or_else(|| PdfError::Writer("a page without area".to_owned()))?;
        let mut page = self.document.start_page_with(settings);
        {
            let mut sheet = Sheet {
                surface: page.surface(),
                faces,
                paper,
            };
            sheet.shade(0.0);
            draw(&mut sheet);
        }
        page.finish();
        Ok(())
    }

    /// The file's bytes.
    pub fn finish(self) -> Result<Vec<u8>, PdfError> {
        let written = self.document.finish();
        written.map_err(|error| PdfError::Writer(format!("{error:?}")))
    }
}

/// A page to draw on.
pub struct Sheet<'a> {
    surface: Surface<'a>,
    faces: &'static [Face; 2],
    /// How large it is.
    pub paper: Paper,
}

impl Sheet<'_> {
    /// Text from `x` on, its base line at `y`, letters of `size_pt` points.
    pub fn text(&mut self, x: f32, y: f32, size_pt: f32, weight: Weight, text: &str) {
        if text.is_empty() {
            return;
        }
        let font = self.face(weight).font.clone();
        let at = Point::from_xy(x * PT_PER_MM, y * PT_PER_MM);
        self.surface
            .draw_text(at, font, size_pt, text, false, TextDirection::Auto);
    }

    /// Text that ends at `x`.
    pub fn text_right(&mut self, x: f32, y: f32, size_pt: f32, weight: Weight, text: &str) {
        let width = self.width_mm(size_pt, weight, text);
        self.text(x - width, y, size_pt, weight, text);
    }

    /// Text around `x`.
    pub fn text_middle(&mut self, x: f32, y: f32, size_pt: f32, weight: Weight, text: &str) {
        let width = self.width_mm(size_pt, weight, text);
        self.text(x - width / 2.0, y, size_pt, weight, text);
    }

    /// How wide a text is, in millimetres.
    pub fn width_mm(&self, size_pt: f32, weight: Weight, text: &str) -> f32 {
        let metrics = &self.face(weight).metrics;
        let units: f32 = text
            .chars()
            .filter_map(|c| metrics.glyph_hor_advance(metrics.glyph_index(c)?))
            .map(f32::from)
            .sum();
        units * size_pt / f32::from(metrics.units_per_em()) / PT_PER_MM
    }

    /// The text, shortened with an ellipsis where it is wider than `max_mm`.
    pub fn fitted(&self, max_mm: f32, size_pt: f32, weight: Weight, text: &str) -> String {
        if self.width_mm(size_pt, weight, text) <= max_mm {
            return text.to_owned();
        }
        let mut kept: String = text.to_owned();
        while kept.pop().is_some() {
            let shorter = format!("{}…", kept.trim_end());
            if self.width_mm(size_pt, weight, &shorter) <= max_mm {
                return shorter;
            }
        }
        String::new()
    }

    /// The text in lines of at most `max_mm`, broken between words.
    pub fn wrapped(&self, max_mm: f32, size_pt: f32, weight: Weight, text: &str) -> Vec<String> {
        let mut lines: Vec<String> = vec![];
        for word in text.split_whitespace() {
            let longer = lines.last().map(|line| format!("{line} {word}"));
            let fits = |t: &str| self.width_mm(size_pt, weight, t) <= max_mm;
            match (longer, lines.last_mut()) {
                (Some(longer), Some(last)) if fits(&longer) => *last = longer,
                _ => lines.push(self.fitted(max_mm, size_pt, weight, word)),
            }
        }
        lines
    }

    /// A line of `width_mm`.
    pub fn line(&mut self, from: (f32, f32), to: (f32, f32), width_mm: f32) {
        let mut path = PathBuilder::new();
        path.move_to(from.0 * PT_PER_MM, from.1 * PT_PER_MM);
        path.line_to(to.0 * PT_PER_MM, to.1 * PT_PER_MM);
        let Some(path) = path.finish() else { return };
        self.surface.set_stroke(Some(Stroke {
            width: width_mm * PT_PER_MM,
            ..Stroke::default()
        }));
        self.surface.set_fill(None);
        self.surface.draw_path(&path);
        self.surface.set_stroke(None);
        self.shade(0.0);
    }

    /// A filled box: 0 is black, 1 is white.
    pub fn filled(&mut self, x: f32, y: f32, width: f32, height: f32, shade: f32) {
        self.shade(shade);
        if let Some(path) = rectangles([(x, y, width, height)]) {
            self.surface.draw_path(&path);
        }
        self.shade(0.0);
    }

    /// A square code, row by row, `side_mm` wide; `true` is dark. Leave four modules of white
    /// around it.
    pub fn modules(&mut self, x: f32, y: f32, side_mm: f32, dark: &[Vec<bool>]) {
        let module = side_mm / dark.len().max(1) as f32;
        let squares = dark.iter().enumerate().flat_map(|(row, line)| {
            line.iter()
                .enumerate()
                .filter(|(_, dark)| **dark)
                .map(move |(column, _)| {
                    let left = x + column as f32 * module;
                    (left, y + row as f32 * module, module, module)
                })
        });
        if let Some(path) = rectangles(squares) {
            self.surface.draw_path(&path);
        }
    }

    fn face(&self, weight: Weight) -> &'static Face {
        match weight {
            Weight::Regular => &self.faces[0],
            Weight::Bold => &self.faces[1],
        }
    }

    fn shade(&mut self, shade: f32) {
        let level = (shade.clamp(0.0, 1.0) * 255.0) as u8;
        self.surface.set_fill(Some(Fill {
            paint: rgb::Color::new(level, level, level).into(),
            opacity: NormalizedF32::ONE,
            rule: FillRule::NonZero,
        }));
    }
}

fn rectangles(all: impl IntoIterator<Item = (f32, f32, f32, f32)>) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (x, y, width, height) in all {
        let rect = Rect::from_xywh(
            x * PT_PER_MM,
            y * PT_PER_MM,
            width * PT_PER_MM,
            height * PT_PER_MM,
        );
        if let Some(rect) = rect {
            path.push_rect(rect);
        }
    }
    path.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_with_text_lines_and_a_code_is_a_pdf() {
        let mut pdf = Pdf::new("Settlement");
        let mut widths = (0.0, 0.0);
        pdf.page(Paper::A6, |sheet| {
            sheet.text(10.0, 15.0, 12.0, Weight::Bold, "Mwanawasa–Łódź é");
            sheet.text_right(95.0, 25.0, 10.0, Weight::Regular, "K 1,250.00");
            sheet.line((10.0, 30.0), (95.0, 30.0), 0.3);
            sheet.filled(10.0, 32.0, 85.0, 6.0, 0.9);
            sheet.modules(10.0, 50.0, 20.0, &[vec![true, false], vec![false, true]]);
            widths.0 = sheet.width_mm(10.0, Weight::Regular, "iiii");
            widths.1 = sheet.width_mm(10.0, Weight::Regular, "WWWW");
            let lines = sheet.wrapped(30.0, 10.0, Weight::Regular, "one two three four five six");
            assert!(lines.len() > 1, "{lines:?}");
            assert_eq!(lines.join(" "), "one two three four five six");
            let short = sheet.fitted(20.0, 10.0, Weight::Regular, "a very long name of a station");
            assert!(short.ends_with('…'), "{short}");
        })
        .unwrap();
        let bytes = pdf.finish().unwrap();
        assert!(bytes.starts_with(b"%PDF-"), "{:?}", &bytes[..8]);
        assert!(bytes.len() < 100_000, "only the used letters are embedded");
        assert!(widths.0 * 2.0 < widths.1, "{widths:?}");
    }
}
