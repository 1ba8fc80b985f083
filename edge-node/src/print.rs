//! A ticket as text, its QR code in half blocks: for a terminal, a file or a line printer.

use core::fmt::Write as _;

use domain::money::{Currency, Minor};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use crate::api::TicketJson;

/// A QR code of a ticket's text, dark on light, with its quiet zone; `None` for a text too long.
pub fn qr_blocks(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    // Terminals are mostly light on dark: dark modules are left blank there.
    let image = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build();
    Some(image)
}

/// An amount with its currency, as `105.00 ZMW`.
pub fn amount(minor: i64, currency: &str) -> String {
    match currency.parse::<Currency>() {
        Ok(currency) => format!("{} {currency}", Minor(minor).display(currency)),
        Err(_) => format!("{minor} {currency}"),
    }
}

/// A ticket, ready to print.
pub fn ticket_text(ticket: &TicketJson) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", ticket.trip_title);
    let _ = writeln!(text, "{}  to  {}", ticket.from_name, ticket.to_name);
    if let Some(departs) = &ticket.departs_local {
        let _ = writeln!(text, "departs {departs}");
    }
    let _ = writeln!(text, "SEAT {}   {}", ticket.seat_label, ticket.class);
    if let Some(name) = &ticket.name {
        let _ = writeln!(text, "{name}");
    }
    let _ = writeln!(text, "{}", amount(ticket.fare_minor, &ticket.currency));
    if ticket.test {
        let _ = writeln!(text, "*** TEST, NOT FOR TRAVEL ***");
    }
    if ticket.state == "void" {
        let _ = writeln!(text, "*** VOID ***");
    }
    if let Some(blocks) = qr_blocks(&ticket.qr) {
        let _ = writeln!(text, "{blocks}");
    }
    let _ = writeln!(text, "{}", ticket.qr);
    if let Some(code) = &ticket.code {
        let _ = writeln!(text, "CODE {code}");
    }
    let _ = writeln!(text, "ticket {}", ticket.id);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_sized_text_fits_version_8_in_blocks() {
        let text = format!("MW1:{}", "A5".repeat(100));
        let blocks = qr_blocks(&text).unwrap();
        let width = blocks.lines().next().unwrap().chars().count();
        assert!(width <= 49 + 8, "{width} modules wide");
        assert!(blocks.contains('▀') || blocks.contains('▄'));
        assert_eq!(amount(10_500, "ZMW"), "105.00 ZMW");
    }
}
