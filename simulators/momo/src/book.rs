//! What the operator knows: users, tokens, charges, refunds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sim_kit::{Fault, Faults, Ledger, Line, now_ms, random_hex};

/// Everything.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Book {
    /// API users and their keys.
    pub users: BTreeMap<String, Option<String>>,
    /// Tokens: for which product, until when.
    pub tokens: BTreeMap<String, (String, u64)>,
    /// Charges and refunds by reference.
    pub requests: BTreeMap<String, Request>,
    /// Money that moved.
    pub ledger: Ledger,
    /// The script.
    pub faults: Faults,
}

/// A requesttopay or a refund.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// `X-Reference-Id`.
    pub reference: String,
    /// The charge's reference, of a refund.
    pub of: Option<String>,
    /// As it was written.
    pub amount: String,
    /// ISO 4217.
    pub currency: String,
    /// The caller's own number.
    pub external_id: String,
    /// The payer's number.
    pub payer: String,
    /// `PENDING`, `SUCCESSFUL` or `FAILED`.
    pub status: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// The operator's number once it succeeded.
    pub transaction: Option<String>,
    /// When it is decided.
    pub decides_at_ms: u64,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// What it is going to be.
    pub verdict: Result<(), String>,
}

impl Request {
    /// As the status GET and the callback say it.
    pub fn shown(&self) -> Value {
        let mut shown = json!({
            "amount": self.amount,
            "currency": self.currency,
            "externalId": self.external_id,
            "status": self.status,
        });
        if self.of.is_none() {
            shown["payer"] = json!({ "partyIdType": "MSISDN", "partyId": self.payer });
        }
        if let Some(transaction) = &self.transaction {
            shown["financialTransactionId"] = json!(transaction);
        }
        if let Some(reason) = &self.reason {
            shown["reason"] = json!(reason);
        }
        shown
    }
}

/// Thousandths of a unit, so that amounts of every currency compare; `None` is no amount.
pub fn thousandths(amount: &str) -> Option<i128> {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 15 || fraction.len() > 3 {
        return None;
    }
    if !digits(whole) || !digits(fraction) || amount.ends_with('.') {
        return None;
    }
    format!("{whole}{fraction:0<3}").parse().ok()
}

impl Book {
    /// Decides what is due; gives the request as it stands.
    pub fn settled(&mut self, reference: &str) -> Option<Request> {
        let request = self.requests.get(reference)?;
        let due = request.status == "PENDING"
            && request.fault != Some(Fault::Undecided)
            && now_ms() >= request.decides_at_ms;
        if due {
            self.decide(reference);
        }
        self.requests.get(reference).cloned()
    }

    /// Decides now, once.
    pub fn decide(&mut self, reference: &str) {
        let refundable = self.left(reference);
        let Some(request) = self.requests.get_mut(reference) else {
            return;
        };
        if request.status != "PENDING" {
            return;
        }
        let mut verdict = request.verdict.clone();
        if let (Some(left), Some(wanted)) = (refundable, thousandths(&request.amount))
            && wanted > left
        {
            verdict = Err("NOT_ENOUGH_FUNDS".to_owned());
        }
        if let Err(reason) = verdict {
            "FAILED".clone_into(&mut request.status);
            request.reason = Some(reason);
            return;
        }
        let transaction = format!("{}", 1_000_000_000 + self.ledger.lines.len());
        "SUCCESSFUL".clone_into(&mut request.status);
        request.transaction = Some(transaction.clone());
        let kind = if request.of.is_some() {
            "refund"
        } else {
            "capture"
        };
        self.ledger.lines.push(Line {
            kind: kind.to_owned(),
            id: transaction,
            reference: reference.to_owned(),
            of: request.of.clone(),
            amount: request.amount.clone(),
            currency: request.currency.clone(),
            at_ms: now_ms(),
        });
    }

    /// What can still be returned of the charge that this refund is of.
    fn left(&self, reference: &str) -> Option<i128> {
        let charge = self.requests.get(reference)?.of.as_deref()?;
        let known = self.requests.get(charge)?;
        let whole = thousandths(&known.amount).filter(|_| known.status == "SUCCESSFUL");
        let back = self.ledger.lines.iter();
        let back = back.filter(|l| l.kind == "refund" && l.of.as_deref() == Some(charge));
        let back: i128 = back.filter_map(|l| thousandths(&l.amount)).sum();
        Some(whole.unwrap_or(0) - back)
    }

    /// What was taken and not given back in a currency, as MTN writes amounts.
    pub fn balance(&self, currency: &str) -> String {
        let lines = self.ledger.lines.iter().filter(|l| l.currency == currency);
        let sum: i128 = lines
            .map(|l| {
                let amount = thousandths(&l.amount).unwrap_or(0);
                if l.kind == "refund" { -amount } else { amount }
            })
            .sum();
        format!("{}.{:02}", sum / 1_000, sum % 1_000 / 10)
    }

    /// A fresh token for a product.
    pub fn new_token(&mut self, product: &str) -> String {
        let now = now_ms();
        self.tokens.retain(|_, (_, until)| *until > now);
        let token = random_hex(24);
        let until = now + 3_600_000;
        self.tokens
            .insert(token.clone(), (product.to_owned(), until));
        token
    }
}

#[cfg(test)]
mod tests {
    use super::thousandths;

    #[test]
    fn amounts_of_every_exponent_compare() {
        assert_eq!(thousandths("105.00"), thousandths("105"));
        assert_eq!(thousandths("0.5"), Some(500));
        for wrong in ["", ".5", "5.", "1e3", "-1", "1.0000", "1,000"] {
            assert_eq!(thousandths(wrong), None, "{wrong}");
        }
    }
}
