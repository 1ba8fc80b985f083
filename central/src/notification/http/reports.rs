//! Where the SMS gateway says what became of a message.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;

use crate::clock;
use crate::http::extract::Named;
use crate::http::{Api, Problem};
use crate::notification::send;

/// The longest value of a report that is looked at, in characters.
const VALUE_CHARS_MAX: usize = 200;

/// The first value of a name in a form, percent-decoded.
fn value(form: &[u8], wanted: &str) -> Option<String> {
    let text = std::str::from_utf8(form).ok()?;
    let pair = text.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name == wanted).then_some(value)
    })?;
    let mut bytes = pair.bytes();
    let mut out = vec![];
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    let text = String::from_utf8(out).ok()?;
    Some(text.chars().take(VALUE_CHARS_MAX).collect())
}

fn same(one: &str, other: &str) -> bool {
    use sha2::{Digest as _, Sha256};
    // Digests differ at once or not at all, whatever the texts have in common.
    Sha256::digest(one) == Sha256::digest(other)
}

/// A delivery report of the SMS gateway, as a form with `id`, `status` and perhaps
/// `failureReason`. `Success` and `Failed` or `Rejected` are final; others change nothing.
#[utoipa::path(post, path = "/notifications/reports/sms/{secret}", tag = "notifications",
    operation_id = "reports_sms", security(()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded",
        example = "id=ATXid_1&status=Success&phoneNumber=%2B260970000001"),
    params(("secret" = String, Path, description = "`report_secret` of the hub's `[sms]`")),
    responses((status = 200, description = "Heard"),
        (status = 404, body = Problem, description = "a wrong secret, or no such message"),
        (status = "default", body = Problem)))]
pub async fn sms(
    State(api): State<Api>,
    Named(secret): Named<String>,
    form: Bytes,
) -> Result<StatusCode, Problem> {
    let nothing = || Problem::not_found("there is nothing at this address");
    let outlets = api.outlets.as_ref().ok_or_else(nothing)?;
    let known = outlets.report_secret.as_ref().ok_or_else(nothing)?;
    if !same(known.reveal(), &secret) {
        return Err(nothing());
    }
    let (Some(id), Some(status)) = (value(&form, "id"), value(&form, "status")) else {
        return Err(Problem::unprocessable("a report has `id` and `status`"));
    };
    let why = value(&form, "failureReason");
    let said = (status.as_str(), why.as_deref());
    if send::report(&api, &id, said, clock::now()).await? {
        Ok(StatusCode::OK)
    } else {
        Err(Problem::not_found("no message is called so"))
    }
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn a_forms_values_are_decoded_and_bounded() {
        let form = b"id=ATXid%5f1&status=Success&why=a+b&bad=%zz";
        assert_eq!(value(form, "id").as_deref(), Some("ATXid_1"));
        assert_eq!(value(form, "why").as_deref(), Some("a b"));
        assert_eq!(value(form, "bad"), None);
        assert_eq!(value(form, "none"), None);
        let long = [b"id=".to_vec(), vec![b'x'; 1_000]].concat();
        assert_eq!(value(&long, "id").map(|v| v.len()), Some(200));
    }
}
