//! Tickets on paper: an A6 cell each, alone on a page or four on an A4 sheet.

use super::pdf::{Paper, Pdf, Sheet, Weight};
use super::qr::squares;
use super::{At, DocumentError, Papers, Printed};

/// Which paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Size {
    /// A page per ticket.
    #[default]
    A6,
    /// Four tickets a page, or one with the conditions.
    A4,
}

/// Where a cell's contents begin, from its edge.
const EDGE_MM: f32 = 8.0;
/// The width of a cell's contents.
const INNER_MM: f32 = 105.0 - 2.0 * EDGE_MM;
/// Side of the code itself; the white around it is the cell's.
const CODE_MM: f32 = 46.0;
/// The width of the seat's box.
const SEAT_MM: f32 = 30.0;

/// No line of a ticket holds more characters than this.
const LINE_CHARS_MAX: usize = 150;

/// What no letter stands for is left out, and what no line can hold.
fn clean(text: &str) -> String {
    let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    visible.take(LINE_CHARS_MAX).collect()
}

/// Text in at most `most` lines, each as wide as allowed; the last one says by an ellipsis that
/// more was meant.
fn lines(sheet: &Sheet<'_>, max_mm: f32, (size_pt, most): (f32, usize), text: &str) -> Vec<String> {
    let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let enough: String = visible.take(LINE_CHARS_MAX * (most + 1)).collect();
    // A word that no line holds is broken before it is measured again and again.
    let words = enough.split_whitespace().map(clean);
    let whole = words.collect::<Vec<_>>().join(" ");
    let mut all = sheet.wrapped(max_mm, size_pt, Weight::Regular, &whole);
    if all.len() > most {
        let rest = all.split_off(most.saturating_sub(1)).join(" ");
        let last = format!("{} …", clean(&rest));
        all.push(sheet.fitted(max_mm, size_pt, Weight::Regular, &last));
    }
    all
}

fn stop(sheet: &mut Sheet<'_>, (x, y): (f32, f32), what: &str, at: &At) -> f32 {
    let width = INNER_MM - SEAT_MM - 4.0;
    sheet.text(x, y, 7.0, Weight::Regular, what);
    sheet.text(x + 14.0, y, 11.0, Weight::Bold, &at.local());
    let zone = sheet.fitted(width - 50.0, 6.0, Weight::Regular, at.zone.as_str());
    sheet.text(x + 50.0, y, 6.0, Weight::Regular, &zone);
    let mut base = y + 5.0;
    for text in lines(sheet, width, (11.0, 2), &at.stop) {
        sheet.text(x, base, 11.0, Weight::Regular, &text);
        base += 4.6;
    }
    base
}

fn ticket(
    sheet: &mut Sheet<'_>,
    (x0, y0): (f32, f32),
    papers: &Papers,
    t: &Printed,
    conditions: bool,
) -> Result<(), DocumentError> {
    let x = x0 + EDGE_MM;
    let right = x + INNER_MM;
    let test = t.ticket.claim.test;
    let name_mm = if test { INNER_MM - 24.0 } else { INNER_MM };
    let name = sheet.fitted(name_mm, 13.0, Weight::Bold, &clean(&papers.company));
    sheet.text(x, y0 + 13.0, 13.0, Weight::Bold, &name);
    if test {
        sheet.text_right(right, y0 + 13.0, 15.0, Weight::Bold, "TEST");
    }
    let route = format!("{}  {}", t.route, t.headsign);
    let route = sheet.fitted(INNER_MM, 9.0, Weight::Regular, &clean(&route));
    sheet.text(x, y0 + 18.5, 9.0, Weight::Regular, &route);
    sheet.line((x, y0 + 21.0), (right, y0 + 21.0), 0.3);
    let below = stop(sheet, (x, y0 + 27.0), "from", &t.from);
    stop(sheet, (x, below + 2.5), "to", &t.to);
    seat_box(sheet, (right - SEAT_MM, y0 + 24.0), &t.seat_label);
    let mut base = y0 + 60.0;
    sheet.line((x, base - 5.0), (right, base - 5.0), 0.3);
    if let Some(passenger) = &t.passenger {
        let text = sheet.fitted(INNER_MM, 11.0, Weight::Bold, &clean(passenger));
        sheet.text(x, base, 11.0, Weight::Bold, &text);
    }
    base += 5.5;
    let fare = format!(
        "{} {}",
        t.currency.as_str(),
        t.fare_minor.display(t.currency)
    );
    sheet.text(x, base, 10.0, Weight::Regular, t.class.as_str());
    sheet.text_right(right, base, 10.0, Weight::Bold, &fare);
    let top = y0 + 73.0;
    sheet.modules(x + 2.0, top, CODE_MM, &squares(&t.ticket.to_qr())?);
    let beside = x + CODE_MM + 8.0;
    let room = right - beside;
    sheet.text(beside, top + 4.0, 7.0, Weight::Regular, "booking");
    let reference = sheet.fitted(room, 13.0, Weight::Bold, &papers.reference);
    sheet.text(beside, top + 10.0, 13.0, Weight::Bold, &reference);
    let mut label = top + 17.0;
    if let Some(code) = &t.code {
        sheet.text(beside, label, 7.0, Weight::Regular, "code");
        let code = sheet.fitted(room, 10.0, Weight::Bold, &code.to_string());
        sheet.text(beside, label + 5.0, 10.0, Weight::Bold, &code);
        label += 11.0;
    }
    sheet.text(beside, label, 7.0, Weight::Regular, "ticket");
    let mut base = label + 4.0;
    for text in lines(
        sheet,
        room,
        (7.0, 3),
        &t.ticket.claim.id.to_string().replace('-', " "),
    ) {
        sheet.text(beside, base, 7.0, Weight::Regular, &text);
        base += 3.2;
    }
    if conditions {
        let mut base = top + CODE_MM + 8.0;
        for text in lines(sheet, INNER_MM, (6.0, 6), &papers.conditions) {
            sheet.text(x, base, 6.0, Weight::Regular, &text);
            base += 2.7;
        }
    }
    Ok(())
}

fn seat_box(sheet: &mut Sheet<'_>, (x, y): (f32, f32), label: &str) {
    sheet.filled(x, y, SEAT_MM, 22.0, 0.9);
    sheet.text(x + 2.0, y + 4.0, 7.0, Weight::Regular, "seat");
    let label = clean(label);
    let sizes = [34.0, 26.0, 18.0, 12.0, 8.0];
    let fits = |size: &f32| sheet.width_mm(*size, Weight::Bold, &label) <= SEAT_MM - 3.0;
    let size = sizes.into_iter().find(fits).unwrap_or(8.0);
    let text = sheet.fitted(SEAT_MM - 3.0, size, Weight::Bold, &label);
    sheet.text_middle(x + SEAT_MM / 2.0, y + 17.0, size, Weight::Bold, &text);
}

/// The conditions below a single ticket on an A4 sheet.
fn conditions(sheet: &mut Sheet<'_>, papers: &Papers) {
    let mut base = 165.0;
    sheet.line((EDGE_MM, 150.0), (210.0 - EDGE_MM, 150.0), 0.3);
    sheet.text(EDGE_MM, 158.0, 11.0, Weight::Bold, "Conditions");
    for text in lines(sheet, 210.0 - 2.0 * EDGE_MM, (9.0, 28), &papers.conditions) {
        sheet.text(EDGE_MM, base, 9.0, Weight::Regular, &text);
        base += 4.4;
    }
}

/// The tickets of a booking as a PDF file.
pub fn pdf(papers: &Papers, size: Size) -> Result<Vec<u8>, DocumentError> {
    let mut file = Pdf::new(&format!("{} {}", papers.company, papers.reference));
    let mut drawn = Ok(());
    match (size, papers.tickets.as_slice()) {
        (Size::A6, tickets) => {
            for t in tickets {
                file.page(Paper::A6, |sheet| {
                    let cell = ticket(sheet, (0.0, 0.0), papers, t, true);
                    drawn = std::mem::replace(&mut drawn, Ok(())).and(cell);
                })?;
            }
        }
        (Size::A4, [one]) => file.page(Paper::A4, |sheet| {
            drawn = ticket(sheet, (0.0, 0.0), papers, one, false);
            conditions(sheet, papers);
        })?,
        (Size::A4, tickets) => {
            for four in tickets.chunks(4) {
                file.page(Paper::A4, |sheet| {
                    for (n, t) in four.iter().enumerate() {
                        let at = ((n % 2) as f32 * 105.0, (n / 2) as f32 * 148.0);
                        let cell = ticket(sheet, at, papers, t, true);
                        drawn = std::mem::replace(&mut drawn, Ok(())).and(cell);
                    }
                    sheet.line((105.0, 0.0), (105.0, 297.0), 0.1);
                    sheet.line((0.0, 148.5), (210.0, 148.5), 0.1);
                })?;
            }
        }
    }
    drawn?;
    Ok(file.finish()?)
}
