//! Amounts as people type them.

use anyhow::{Context as _, Result, bail};
use domain::money::Currency;

/// Reads `105` or `105.50` as minor units of a currency.
pub fn parse(text: &str, currency: &str) -> Result<i64> {
    let currency: Currency = currency.parse()?;
    let digits = currency.exponent() as usize;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let numeric = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 12 || !numeric(whole) || !numeric(fraction) {
        bail!("{text:?} is not an amount: write it like 105 or 105.50");
    }
    if fraction.len() > digits {
        bail!("{text:?}: {currency} has {digits} digits after the point");
    }
    let padded = format!("{whole}{fraction:0<digits$}");
    padded
        .parse()
        .with_context(|| format!("{text:?} is not an amount"))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        assert_eq!(parse("105", "ZMW").unwrap(), 10_500);
        assert_eq!(parse("105.5", "ZMW").unwrap(), 10_550);
        assert_eq!(parse("700", "UGX").unwrap(), 700);
        for wrong in ["", "-5", "1.234", "1,50", "12345678901234", "x"] {
            assert!(parse(wrong, "ZMW").is_err(), "{wrong}");
        }
    }
}
