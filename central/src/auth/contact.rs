//! E-mail addresses and phone numbers, brought to the one form that they are found by: pure.

use core::fmt;

/// The longest e-mail address, in bytes (RFC 5321).
const EMAIL_BYTES_MAX: usize = 254;
/// E.164.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// The longest text that is looked at, in bytes.
const TEXT_BYTES_MAX: usize = 400;

/// How a person can be reached, and what they sign in with.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Contact {
    /// An e-mail address in small letters.
    Email(String),
    /// A phone number in E.164.
    Phone(String),
}

/// Shows no more than whoever gave it knows anyway.
impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Contact({})", self.kind())
    }
}

/// Neither an e-mail address nor a phone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give an e-mail address, or a phone number with its country code like +260 97 1234567")]
pub struct BadContact;

impl Contact {
    /// Reads what a person typed.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, BadContact> {
        let text = text.trim();
        if text.len() > TEXT_BYTES_MAX {
            return Err(BadContact);
        }
        if text.contains('@') {
            email(text).map(Self::Email)
        } else {
            phone(text).map(Self::Phone)
        }
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Email(text) | Self::Phone(text) => text,
        }
    }

    /// `email` or `phone`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Phone(_) => "phone",
        }
    }
}

fn email(text: &str) -> Result<String, BadContact> {
    let (name, host) = text.rsplit_once('@').ok_or(BadContact)?;
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"<>()[],;:\\\"@".contains(c);
    let labels = host.split('.').count();
    let fits = text.len() <= EMAIL_BYTES_MAX
        && (1..=64).contains(&name.len())
        && name.chars().all(plain)
        && labels >= 2
        && host.split('.').all(is_label);
    fits.then(|| text.to_lowercase()).ok_or(BadContact)
}

fn is_label(label: &str) -> bool {
    let inside = label.chars().all(|c| c.is_alphanumeric() || c == '-');
    (1..=63).contains(&label.len()) && inside && !label.starts_with('-') && !label.ends_with('-')
}

fn phone(text: &str) -> Result<String, BadContact> {
    let bare: String = text
        .chars()
        .filter(|c| !" -./()\u{a0}".contains(*c))
        .collect();
    let digits = bare
        .strip_prefix('+')
        .or_else(|| bare.strip_prefix("00"))
        .ok_or(BadContact)?;
    let fits = PHONE_DIGITS.contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0');
    fits.then(|| format!("+{digits}")).ok_or(BadContact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_contact_has_one_form() {
        let email = Contact::Email("mutale@example.co.zm".to_owned());
        for text in ["mutale@example.co.zm", " Mutale@Example.CO.ZM "] {
            assert_eq!(Contact::parse(text).as_ref(), Ok(&email), "{text}");
        }
        let phone = Contact::Phone("+260970000001".to_owned());
        for text in ["+260970000001", "00260 97 000-0001", "+260 (97) 000.0001"] {
            assert_eq!(Contact::parse(text).as_ref(), Ok(&phone), "{text}");
        }
    }

    #[test]
    fn what_reaches_nobody_is_refused() {
        let long = format!("{}@example.com", "x".repeat(65));
        let bad = [
            "",
            "@",
            "a@",
            "@b.c",
            "a@b",
            "a b@c.d",
            "a@b..c",
            "a@-b.c",
            "a@b.c\r\nBcc: x@y.z",
            "<a@b.c>",
            "a@b@c.d",
            &long,
            "0970000001",
            "+0970000001",
            "+26097",
            "+2609700000012345",
            "+26097000000x",
            "Mutale",
        ];
        for text in bad {
            assert_eq!(Contact::parse(text), Err(BadContact), "{text}");
        }
    }
}
