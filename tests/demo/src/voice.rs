//! How the story is told: one line per step, in colour where a person reads it.

use std::io::{IsTerminal as _, Write as _};

/// Who a line is about; each has a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The central office.
    Hub,
    /// The counter in Lusaka.
    Lusaka,
    /// The counter in Kabwe.
    Kabwe,
    /// The driver on the bus.
    Driver,
    /// Somebody at home with a phone.
    Customer,
    /// Who takes a customer's money: mobile money, cards.
    Bank,
    /// The network between them.
    Network,
    /// The second process of the central office.
    Second,
    /// The driver of the bus to Livingstone.
    Coach,
    /// Phones and mailboxes.
    Phone,
}

impl Who {
    fn label(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Lusaka => "Lusaka",
            Self::Kabwe => "Kabwe",
            Self::Driver => "driver",
            Self::Customer => "customer",
            Self::Bank => "bank",
            Self::Network => "network",
            Self::Second => "hub 2",
            Self::Coach => "driver 2",
            Self::Phone => "phone",
        }
    }

    /// What errors call the program that stands behind it.
    pub fn program(self) -> &'static str {
        match self {
            Self::Hub | Self::Customer => "the hub",
            Self::Lusaka => "the station in Lusaka",
            Self::Kabwe => "the station in Kabwe",
            Self::Driver => "the driver's device",
            Self::Bank => "the operators of mobile money and cards",
            Self::Network => "the relay",
            Self::Second => "the second hub process",
            Self::Coach => "the device on the bus to Livingstone",
            Self::Phone => "the SMS gateway",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Hub => "1;34",
            Self::Lusaka => "1;33",
            Self::Kabwe => "1;35",
            Self::Driver => "1;36",
            Self::Customer => "1;37",
            Self::Bank => "1;32",
            Self::Network => "1;31",
            Self::Second => "34",
            Self::Coach => "36",
            Self::Phone => "32",
        }
    }
}

/// The teller.
#[derive(Debug, Clone, Copy)]
pub struct Voice {
    colours: bool,
}

impl Voice {
    /// Speaks to standard output; in colour only to a terminal whose owner wants it.
    pub fn new() -> Self {
        Self {
            colours: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    fn paint(self, colour: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn print(line: &str) {
        let mut out = std::io::stdout().lock();
        // A reader that went away must not end the story before everything is stopped.
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    }

    /// The heading of a chapter.
    pub fn chapter(self, title: &str) {
        Self::print("");
        Self::print(&self.paint("1;4", title));
    }

    /// Somebody does something.
    pub fn tell(self, who: Who, text: &str) {
        let label = self.paint(who.colour(), &format!("{:>9}", who.label()));
        Self::print(&format!("{label}  {text}"));
    }

    /// More about the line before.
    pub fn aside(self, text: &str) {
        Self::print(&format!("           {}", self.paint("2", text)));
    }

    /// A line of a table or a list.
    pub fn row(text: &str) {
        Self::print(&format!("           {text}"));
    }

    /// The heading of a table.
    pub fn head(self, text: &str) {
        Self::print(&format!("           {}", self.paint("1", text)));
    }

    /// A claim that was checked.
    pub fn check(self, holds: bool, text: &str) {
        let mark = if holds {
            self.paint("1;32", "       ok")
        } else {
            self.paint("1;31", "   BROKEN")
        };
        Self::print(&format!("{mark}  {text}"));
    }
}

/// An amount in minor units, as a person writes it: `1,250.00`.
pub fn money(amount_minor: i64) -> String {
    let major = (amount_minor.unsigned_abs() / 100).to_string();
    let mut grouped = String::new();
    for (i, digit) in major.chars().enumerate() {
        if i > 0 && (major.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if amount_minor < 0 { "-" } else { "" };
    format!("{sign}{grouped}.{:02}", amount_minor.unsigned_abs() % 100)
}

/// `1 seat`, `2 seats`.
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

/// `a`, `a and b`, `a, b and c`.
pub fn enumerated(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_lists_read_well() {
        assert_eq!(money(0), "0.00");
        assert_eq!(money(-5), "-0.05");
        assert_eq!(money(123_456_700), "1,234,567.00");
        assert_eq!(money(100_000), "1,000.00");
        assert_eq!(count(1, "seat"), "1 seat");
        assert_eq!(count(3, "seat"), "3 seats");
        let list = |n: usize| enumerated(&["a", "b", "c"].map(str::to_owned)[..n]);
        assert_eq!(
            [list(0), list(1), list(2), list(3)],
            ["", "a", "a and b", "a, b and c"]
        );
    }
}
