//! Payment methods: Stripe's own test names, tokens and card numbers, and some more.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use sim_kit::{Fault, pairs};

use crate::access::admitted;
use crate::book::{Book, metadata, number, seconds};
use crate::{Card, answer, error, missing};

/// What a payment method stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Paid.
    Good,
    /// Refused, with its code and decline code.
    Declined(&'static str, &'static str),
    /// The bank asks the payer first, and pays or refuses once they have approved.
    Authenticate(Option<(&'static str, &'static str)>),
    /// As scripted.
    Faulty(Fault),
}

/// Names of cards that pay, behind `pm_card_` and `tok_`.
const GOOD: [&str; 13] = [
    "visa",
    "visa_debit",
    "mastercard",
    "mastercard_debit",
    "mastercard_prepaid",
    "amex",
    "discover",
    "diners",
    "jcb",
    "unionpay",
    // They pay; it is their refunds that differ.
    "refundFail",
    "pendingRefund",
    "bypassPending",
];

/// Stripe's test card numbers and the names of what they do.
const NUMBERS: [(&str, &str); 28] = [
    ("4242424242424242", "visa"),
    ("4000056655665556", "visa_debit"),
    ("5555555555554444", "mastercard"),
    ("2223003122003222", "mastercard"),
    ("5200828282828210", "mastercard_debit"),
    ("5105105105105100", "mastercard_prepaid"),
    ("378282246310005", "amex"),
    ("371449635398431", "amex"),
    ("6011111111111117", "discover"),
    ("3056930009020004", "diners"),
    ("3566002020360505", "jcb"),
    ("6200000000000005", "unionpay"),
    ("4000000000000002", "visa_chargeDeclined"),
    ("4000000000009995", "visa_chargeDeclinedInsufficientFunds"),
    ("4000000000009987", "visa_chargeDeclinedLostCard"),
    ("4000000000009979", "visa_chargeDeclinedStolenCard"),
    ("4000000000000069", "chargeDeclinedExpiredCard"),
    ("4000000000000127", "chargeDeclinedIncorrectCvc"),
    ("4000000000000119", "chargeDeclinedProcessingError"),
    ("4242424242424241", "chargeDeclinedIncorrectNumber"),
    (
        "4000000000006975",
        "visa_chargeDeclinedVelocityLimitExceeded",
    ),
    ("4000000000000341", "chargeCustomerFail"),
    ("4100000000000019", "radarBlock"),
    ("4000002760003184", "authenticationRequired"),
    ("4000000000003220", "threeDSecure2Required"),
    (
        "4000008260003178",
        "authenticationRequiredChargeDeclinedInsufficientFunds",
    ),
    ("4000000000007726", "pendingRefund"),
    ("4000000000005126", "refundFail"),
];

/// What a card of Stripe's tests does, by its name without `pm_card_` or `tok_`.
fn of_name(name: &str) -> Option<Behaviour> {
    use Behaviour as B;
    // Most of them have a form with the brand and one without.
    let plain = name.strip_prefix("visa_").unwrap_or(name);
    let country = name.len() == 2 && name.bytes().all(|b| b.is_ascii_lowercase());
    Some(match plain {
        "chargeDeclined" | "chargeCustomerFail" => B::Declined("card_declined", "generic_decline"),
        "chargeDeclinedInsufficientFunds" => B::Declined("card_declined", "insufficient_funds"),
        "chargeDeclinedLostCard" => B::Declined("card_declined", "lost_card"),
        "chargeDeclinedStolenCard" => B::Declined("card_declined", "stolen_card"),
        "chargeDeclinedFraudulent" | "radarBlock" => B::Declined("card_declined", "fraudulent"),
        "chargeDeclinedVelocityLimitExceeded" => {
            B::Declined("card_declined", "card_velocity_exceeded")
        }
        "chargeDeclinedExpiredCard" => B::Declined("expired_card", "expired_card"),
        "chargeDeclinedIncorrectCvc" => B::Declined("incorrect_cvc", "incorrect_cvc"),
        "chargeDeclinedProcessingError" => B::Declined("processing_error", "processing_error"),
        "chargeDeclinedIncorrectNumber" => B::Declined("incorrect_number", "incorrect_number"),
        "authenticationRequired"
        | "authenticationRequiredOnSetup"
        | "threeDSecureRequired"
        | "threeDSecure2Required" => B::Authenticate(None),
        "authenticationRequiredChargeDeclinedInsufficientFunds" => {
            B::Authenticate(Some(("card_declined", "insufficient_funds")))
        }
        _ if country || GOOD.contains(&name) => B::Good,
        _ => return None,
    })
}

fn scripted(name: &str) -> Option<Behaviour> {
    let fault = match name {
        "slow" => Fault::Slow,
        "lost_callback" => Fault::LostCallback,
        "duplicate_callback" => Fault::DuplicateCallback,
        "error_after_charging" => Fault::ErrorAfterCharging,
        "timeout" => Fault::Timeout,
        "processing" => Fault::Undecided,
        "failed_but_200" => Fault::FailedBut200,
        _ => return None,
    };
    Some(Behaviour::Faulty(fault))
}

/// What a payment method does; `None` where there is no such one.
pub fn behaviour(book: &Book, method: &str) -> Option<Behaviour> {
    let named = book.methods.get(method).map_or(method, String::as_str);
    if let Some(name) = named.strip_prefix("pm_card_") {
        return of_name(name);
    }
    if let Some(name) = named.strip_prefix("pm_sim_") {
        return scripted(name);
    }
    // What a shop's page was given for a real card.
    named.starts_with("pm_").then_some(Behaviour::Good)
}

/// What becomes of a refund to this method, where that is not simply done.
pub fn refund_end(book: &Book, method: &str) -> Option<&'static str> {
    let named = book.methods.get(method).map_or(method, String::as_str);
    match named {
        "pm_card_refundFail" => Some("failed"),
        "pm_card_pendingRefund" => Some("succeeded"),
        _ => None,
    }
}

/// What Stripe says to the payer.
pub fn message(code: &str, decline: &str) -> &'static str {
    match (code, decline) {
        ("expired_card", _) => "Your card has expired.",
        ("incorrect_cvc", _) => "Your card's security code is incorrect.",
        ("incorrect_number", _) => "Your card number is incorrect.",
        ("processing_error", _) => {
            "An error occurred while processing your card. Try again in a little bit."
        }
        ("authentication_required", _) => {
            "Your card was declined. This transaction requires authentication."
        }
        (_, "insufficient_funds") => "Your card has insufficient funds.",
        _ => "Your card was declined.",
    }
}

type Form = [(String, String)];

fn field<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    let found = form.iter().find(|(n, _)| n == name);
    found.map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
}

/// A method from a card's number or token, under `prefix` in a form: its name and last digits.
fn named(form: &Form, prefix: &str) -> Result<Option<(String, String)>, String> {
    let inner = |name: &str| {
        let path = if prefix.is_empty() {
            format!("card[{name}]")
        } else {
            format!("{prefix}[card][{name}]")
        };
        field(form, &path)
    };
    if let Some(token) = inner("token") {
        let name = token.strip_prefix("tok_").filter(|n| of_name(n).is_some());
        let name = name.ok_or_else(|| format!("No such token: '{token}'"))?;
        let number = NUMBERS.iter().find(|(_, n)| *n == name);
        let number = number.map_or("4242424242424242", |(number, _)| *number);
        return Ok(Some((name.to_owned(), number.to_owned())));
    }
    let Some(number) = inner("number") else {
        return Ok(None);
    };
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    if !(12..=19).contains(&digits.len()) {
        return Err("Your card number is incorrect.".to_owned());
    }
    let known = NUMBERS.iter().find(|(number, _)| *number == digits);
    let name = match known {
        Some((_, name)) => *name,
        None if luhn(&digits) => "visa",
        None => "chargeDeclinedIncorrectNumber",
    };
    Ok(Some((name.to_owned(), digits)))
}

/// The check digit of card numbers.
fn luhn(digits: &str) -> bool {
    let values = digits.bytes().rev().map(|b| u32::from(b - b'0'));
    let sum: u32 = values
        .enumerate()
        .map(|(i, d)| match (i % 2, d * 2) {
            (0, _) => d,
            (_, twice) if twice > 9 => twice - 9,
            (_, twice) => twice,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Makes a method of the card described under `prefix`; `None` where none is. The number itself is
/// kept nowhere.
pub fn made(book: &mut Book, form: &Form, prefix: &str) -> Result<Option<String>, String> {
    let Some((name, digits)) = named(form, prefix)? else {
        return Ok(None);
    };
    let id = number("pm");
    book.methods.insert(id.clone(), format!("pm_card_{name}"));
    let last4 = digits.get(digits.len().saturating_sub(4)..).unwrap_or("");
    book.last4.insert(id.clone(), last4.to_owned());
    Ok(Some(id))
}

fn shown(book: &Book, id: &str, metadata: &Value) -> Value {
    let name = book.methods.get(id).map_or(id, String::as_str);
    let name = name.trim_start_matches("pm_card_");
    let brands = [
        "mastercard",
        "amex",
        "discover",
        "diners",
        "jcb",
        "unionpay",
    ];
    let brand = brands.into_iter().find(|b| name.starts_with(b));
    json!({
        "id": id,
        "object": "payment_method",
        "type": "card",
        "created": seconds(),
        "customer": null,
        "livemode": false,
        "metadata": metadata,
        "billing_details": { "address": null, "email": null, "name": null, "phone": null },
        "card": {
            "brand": brand.unwrap_or("visa"),
            "last4": book.last4.get(id).map_or("4242", String::as_str),
            "exp_month": 12,
            "exp_year": 2040,
            "funding": "credit",
            "country": "US",
        },
    })
}

/// `POST /v1/payment_methods`
pub async fn create(State(card): State<Card>, headers: HeaderMap, body: Bytes) -> Response {
    if let Err(no) = admitted(&card, &headers) {
        return no;
    }
    let form = pairs(&body);
    let wrong = |text: &str| error(StatusCode::BAD_REQUEST, "invalid_request_error", None, text);
    if field(&form, "type") != Some("card") {
        return wrong("Missing required param: type.");
    }
    let made = card.book.change(|b| {
        let id = made(b, &form, "")?;
        Ok::<_, String>(id.map(|id| shown(b, &id, &metadata(&form))))
    });
    match made {
        Ok(Some(shown)) => answer(StatusCode::OK, &shown),
        Ok(None) => wrong("Missing required param: card."),
        Err(text) => wrong(&text),
    }
}

/// `GET /v1/payment_methods/{id}`
pub async fn show(
    State(card): State<Card>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(no) = admitted(&card, &headers) {
        return no;
    }
    let known = card
        .book
        .look(|b| behaviour(b, &id).map(|_| shown(b, &id, &json!({}))));
    match known {
        Some(shown) => answer(StatusCode::OK, &shown),
        None => missing("PaymentMethod", &id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_and_name_of_the_real_tests_is_known() {
        let book = Book::default();
        for (number, name) in NUMBERS {
            let method = format!("pm_card_{name}");
            assert!(behaviour(&book, &method).is_some(), "{method}");
            assert_eq!(luhn(number), number != "4242424242424241", "{number}");
        }
        assert_eq!(behaviour(&book, "pm_card_us"), Some(Behaviour::Good));
        assert_eq!(behaviour(&book, "pm_1PZabc"), Some(Behaviour::Good));
        assert_eq!(behaviour(&book, "pm_card_chargedDeclind"), None);
        assert_eq!(behaviour(&book, "tok_visa"), None);
    }
}
