//! Money in integer minor units with its currency; no floating point anywhere.

use core::fmt;
use core::str::FromStr;

use crate::ids::IdError;

/// An ISO 4217 code, three capital letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Zambian kwacha.
    pub const ZMW: Self = Self(*b"ZMW");

    /// The three letters.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// How many decimal digits the minor unit stands behind (ISO 4217 exponents).
    pub fn exponent(&self) -> u32 {
        match &self.0 {
            b"JPY" | b"KRW" | b"VND" | b"UGX" | b"RWF" | b"XAF" | b"XOF" | b"BIF" | b"DJF"
            | b"GNF" | b"KMF" | b"CLP" | b"PYG" | b"ISK" | b"VUV" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            _ => 2,
        }
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Currency {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_uppercase) => Ok(Self(code)),
            _ => Err(IdError::new("currency code of three capital letters", text)),
        }
    }
}

impl<C> minicbor::Encode<C> for Currency {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(self.as_str())?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Currency {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.str()?
            .parse()
            .map_err(|_| minicbor::decode::Error::message("not a currency code"))
    }
}

/// An amount in minor units (ngwee for ZMW); negative amounts are credits in a ledger line.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    minicbor::Encode,
    minicbor::Decode,
)]
#[cbor(transparent)]
pub struct Minor(#[n(0)] pub i64);

impl Minor {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum, or `None` when it leaves 64 bits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The sum of many, or `None` when it leaves 64 bits.
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }

    /// `1234` with two decimals reads `12.34`.
    pub fn display(self, currency: Currency) -> String {
        let exponent = currency.exponent() as usize;
        let digits = self.0.unsigned_abs().to_string();
        let sign = if self.0 < 0 { "-" } else { "" };
        if exponent == 0 {
            return format!("{sign}{digits}");
        }
        let padded = format!("{digits:0>width$}", width = exponent + 1);
        let (whole, fraction) = padded.split_at(padded.len() - exponent);
        format!("{sign}{whole}.{fraction}")
    }
}

impl core::ops::Neg for Minor {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_prints_with_its_currency_exponent() {
        assert_eq!(Minor(-5).display(Currency::ZMW), "-0.05");
        assert_eq!(Minor(10_500).display(Currency::ZMW), "105.00");
        assert_eq!(Minor(700).display("UGX".parse().unwrap()), "700");
    }

    #[test]
    fn a_sum_that_overflows_is_refused() {
        assert_eq!(Minor::checked_sum([Minor(i64::MAX), Minor(1)]), None);
    }

    #[test]
    fn a_currency_is_three_capital_letters() {
        assert!("zmw".parse::<Currency>().is_err());
        assert!("ZMWX".parse::<Currency>().is_err());
    }
}
