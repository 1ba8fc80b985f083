//! One try of one refund: take it, call the provider, write down what it said.

use domain::ids::CompanyId;
use serde_json::json;
use uuid::Uuid;

use super::{NO_ANSWER, db, post, tell};
use crate::clock;
use crate::db::DbError;
use crate::http::Api;
use crate::payment::calls::{Call, timed};
use crate::payment::provider::{Provider, Return, Said};
use crate::payment::rules::{Heard, RefundState, RefundStep, hear_refund};

/// A refund that is being tried is left alone so long, in milliseconds.
const TRY_LEASE_MS: i64 = 60_000;

/// Tries a refund if it is due and nobody else is at it.
pub(in crate::payment) async fn drive(
    api: &Api,
    company: CompanyId,
    refund: Uuid,
) -> Result<(), DbError> {
    let now = clock::now();
    let mut tx = api.db.tenant(company).await?;
    let taken = db::claim(&mut tx, refund, now.plus_ms(TRY_LEASE_MS), now).await?;
    let row = db::list(&mut tx, &db::Wanted::one(refund)).await?.pop();
    tx.commit().await?;
    let (Some((standing, back)), Some(row)) = (taken, row) else {
        return Ok(());
    };
    let Some(provider) = api.payments.of(row.provider) else {
        tracing::error!(%refund, provider = row.provider.as_str(), "a refund's provider is not configured");
        return Ok(());
    };
    let mut calls = vec![];
    let said = call(provider, standing, &back, &mut calls).await;
    let now = clock::now();
    let mut tx = api.db.tenant(company).await?;
    for call in &calls {
        call.write(&mut tx, None, Some(refund)).await?;
    }
    settle(&mut tx, refund, &said, now).await?;
    tx.commit().await
}

async fn call(
    provider: &dyn Provider,
    standing: RefundState,
    back: &Return,
    calls: &mut Vec<Call>,
) -> Said {
    if standing == RefundState::Pending {
        let said = timed("ask_refund", provider.ask_refund(back), calls).await;
        if said.heard != Heard::NeverHeard {
            return said;
        }
    }
    timed("refund", provider.refund(back), calls).await
}

async fn settle(
    tx: &mut crate::tenant::TenantTx,
    refund: Uuid,
    said: &Said,
    now: domain::time::Instant,
) -> Result<(), DbError> {
    let Some(row) = db::lock(tx, refund).await? else {
        return Ok(());
    };
    let id = said.provider_id.as_deref();
    match hear_refund(row.state, row.asked, said.heard, now) {
        RefundStep::Rest => {}
        RefundStep::Wait(state, at) => {
            db::wait(tx, refund, state, id, &said.detail, at).await?;
        }
        RefundStep::Finish => {
            db::finish(tx, refund, id, None, now).await?;
            let account = row.provider.clearing();
            let account = account.ok_or_else(|| DbError::damaged("a refund's provider"))?;
            post(tx, &row, account, now).await?;
        }
        RefundStep::Fail => {
            let why = said.reason.as_deref().unwrap_or(NO_ANSWER);
            db::fail(tx, refund, id, why).await?;
            let body = json!({ "refund": refund, "booking": row.reference_of_booking,
                "state": "failed", "amount_minor": row.amount_minor.0,
                "currency": row.currency.as_str(), "reason": why });
            tell(tx, "refund.failed", refund, body, now).await?;
            tracing::warn!(%refund, why, "a refund failed: a person has to decide");
        }
    }
    Ok(())
}
