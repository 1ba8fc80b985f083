//! Refusals as problem documents.

use axum::http::StatusCode;

use crate::auth::error::AuthError;
use crate::company::CompanyError;
use crate::http::Problem;

pub(super) fn of(error: &AuthError) -> Problem {
    use AuthError as E;
    let detail = error.to_string();
    let refuse = |status, kind, title| Problem::new(status, kind, title, detail.clone());
    match error {
        E::WrongCredentials => refuse(
            StatusCode::UNAUTHORIZED,
            "wrong-credentials",
            "Wrong credentials",
        ),
        E::SecondFactorNeeded => refuse(
            StatusCode::UNAUTHORIZED,
            "second-factor-needed",
            "Second factor needed",
        ),
        E::RefreshRefused => refuse(StatusCode::UNAUTHORIZED, "refresh-refused", "Refused"),
        E::SessionEnded => refuse(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized"),
        E::TooMany { retry_after_s } => refuse(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-tries",
            "Too many tries",
        )
        .with("retry_after_s", *retry_after_s),
        E::NotYourCompany => refuse(
            StatusCode::FORBIDDEN,
            "not-your-company",
            "Not your company",
        ),
        E::BeyondYours(_) => refuse(StatusCode::FORBIDDEN, "beyond-yours", "Beyond your rights"),
        E::WrongCode => refuse(StatusCode::UNPROCESSABLE_ENTITY, "wrong-code", "Wrong code"),
        E::Input(_) => Problem::unprocessable(detail),
        E::ContactTaken => Problem::conflict("contact-taken", "Has an account", detail),
        E::SecondFactorInForce => {
            Problem::conflict("second-factor-in-force", "In force already", detail)
        }
        E::NoSecondFactor => Problem::conflict("no-second-factor", "Nothing enrolled", detail),
        E::LastAdmin => Problem::conflict("last-admin", "The last admin", detail),
        E::AlreadyMember => Problem::conflict("already-member", "Works here already", detail),
        E::Full(_) => Problem::conflict("full", "Too many of them", detail),
        E::NotFound(_) => Problem::not_found(detail),
        E::Stale => refuse(
            StatusCode::PRECONDITION_FAILED,
            "changed-meanwhile",
            "Changed meanwhile",
        ),
        E::Busy => refuse(StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy"),
        E::Company(error) => of_company(error),
        E::Vault(_) | E::Signing(_) | E::NoEntropy(_) | E::Broken(_) | E::Db(_) => {
            tracing::error!(%error, "a request failed");
            Problem::unavailable()
        }
    }
}

fn of_company(error: &CompanyError) -> Problem {
    if matches!(error, CompanyError::BadName) {
        return Problem::unprocessable(error.to_string());
    }
    tracing::error!(%error, "a request failed");
    Problem::unavailable()
}
