//! A settlement on paper.

use domain::money::{Currency, Minor};

use super::views::{SettlementLine, SettlementView};
use crate::documents::pdf::{Paper, Pdf, PdfError, Sheet, Weight};

/// Lines of a page, in the space that is left for them.
const LINES_PER_PAGE: usize = 48;
const LEFT: f32 = 18.0;
const RIGHT: f32 = 192.0;

/// The settlement with its first lines; `lines_left` were not given.
pub(super) fn render(
    company: &str,
    view: &SettlementView,
    currency: Currency,
    lines: &[SettlementLine],
    lines_left: i64,
) -> Result<Vec<u8>, PdfError> {
    let title = format!("Settlement {}", view.number);
    let mut pdf = Pdf::new(&title);
    let money = |amount: i64| Minor(amount).display(currency);
    pdf.page(Paper::A4, |sheet| {
        sheet.text(LEFT, 22.0, 18.0, Weight::Bold, &title);
        let name = sheet.fitted(80.0, 12.0, Weight::Regular, company);
        sheet.text_right(RIGHT, 22.0, 12.0, Weight::Regular, &name);
        let mut y = 34.0;
        for (name, value) in head(view) {
            sheet.text(LEFT, y, 10.0, Weight::Regular, name);
            let value = sheet.fitted(120.0, 10.0, Weight::Regular, &value);
            sheet.text(62.0, y, 10.0, Weight::Regular, &value);
            y += 6.0;
        }
        y += 4.0;
        sheet.line((LEFT, y), (RIGHT, y), 0.4);
        for category in &view.categories {
            y += 7.0;
            sheet.text(LEFT, y, 10.0, Weight::Regular, &words(&category.category));
            let count = format!("{} lines", category.lines);
            sheet.text(90.0, y, 10.0, Weight::Regular, &count);
            let amount = money(category.amount_minor);
            sheet.text_right(RIGHT, y, 10.0, Weight::Regular, &amount);
        }
        y += 4.0;
        sheet.line((LEFT, y), (RIGHT, y), 0.2);
        y += 8.0;
        sheet.text(LEFT, y, 12.0, Weight::Bold, "Net");
        sheet.text_right(RIGHT, y, 12.0, Weight::Bold, &money(view.net_minor));
        if view.provisional {
            y += 12.0;
            sheet.filled(LEFT, y - 6.0, RIGHT - LEFT, 8.0, 0.88);
            let warning = format!(
                "Provisional: {} devices have not sent everything, worth about {}",
                view.missing.len(),
                money(view.missing_minor)
            );
            sheet.text(LEFT + 2.0, y - 0.5, 10.0, Weight::Bold, &warning);
        }
        for (place, who) in [(LEFT, "Proposed"), (110.0, "Signed off")] {
            sheet.line((place, 262.0), (place + 70.0, 262.0), 0.2);
            sheet.text(place, 267.0, 9.0, Weight::Regular, who);
        }
    })?;
    let pages = lines.chunks(LINES_PER_PAGE);
    let last = pages.len();
    for (number, some) in pages.enumerate() {
        pdf.page(Paper::A4, |sheet| {
            sheet.text(LEFT, 18.0, 10.0, Weight::Bold, &title);
            let page = format!("lines, page {}", number + 1);
            sheet.text_right(RIGHT, 18.0, 9.0, Weight::Regular, &page);
            sheet.line((LEFT, 21.0), (RIGHT, 21.0), 0.3);
            let mut y = 27.0;
            for line in some {
                draw_line(sheet, y, line, &money(line.amount_minor));
                y += 5.2;
            }
            if number + 1 == last && lines_left > 0 {
                let rest = format!("and {lines_left} more: see the list as CSV or XLSX");
                sheet.text(LEFT, y + 2.0, 9.0, Weight::Bold, &rest);
            }
        })?;
    }
    pdf.finish()
}

fn draw_line(sheet: &mut Sheet<'_>, y: f32, line: &SettlementLine, amount: &str) {
    let size = 8.0;
    sheet.text(LEFT, y, size, Weight::Regular, &line.posting_date);
    sheet.text(40.0, y, size, Weight::Regular, &words(&line.kind));
    sheet.text(66.0, y, size, Weight::Regular, &words(&line.category));
    let entry = format!("{} / {}", line.entry, line.line);
    sheet.text(100.0, y, 7.0, Weight::Regular, &entry);
    sheet.text_right(RIGHT, y, size, Weight::Regular, amount);
}

fn head(view: &SettlementView) -> Vec<(&'static str, String)> {
    let whose = match &view.party_name {
        Some(name) => name.clone(),
        None => "the company".to_owned(),
    };
    let mut head = vec![
        ("With", whose),
        ("Days", format!("{} to {}", view.from, view.to)),
        ("State", words(&view.state)),
        ("Currency", view.currency.clone()),
    ];
    if let Some(reference) = &view.paid_reference {
        head.push(("Paid by", reference.clone()));
    }
    head
}

/// A stored word as people read it.
fn words(code: &str) -> String {
    code.replace('_', " ")
}
