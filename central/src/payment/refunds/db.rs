//! The rows of refunds.

use domain::money::{Currency, Minor};
use domain::time::Instant;
use uuid::Uuid;

use super::NewRefund;
use crate::db::DbError;
use crate::payment::db::actor_columns;
use crate::payment::kind::ProviderKind;
use crate::payment::provider::Return;
use crate::payment::rules::RefundState;
use crate::tenant::TenantTx;

/// What was paid for a booking and can still go back.
pub(in crate::payment) struct PaidFor {
    /// What the customer is told.
    pub(in crate::payment) reference: String,
    pub(in crate::payment) currency: Currency,
    /// The one that came last first.
    pub(in crate::payment) payments: Vec<Source>,
    /// Paid without a payment of this service.
    pub(in crate::payment) otherwise_minor: Minor,
}

/// A payment that money can go back to.
pub(in crate::payment) struct Source {
    pub(in crate::payment) id: Uuid,
    pub(in crate::payment) provider: ProviderKind,
    pub(in crate::payment) left_minor: Minor,
}

/// A refund.
#[derive(Debug, Clone)]
pub struct RefundRow {
    /// Its number.
    pub id: Uuid,
    /// What the booking's customer is told.
    pub reference_of_booking: String,
    /// The payment's number, where there was one.
    pub payment: Option<Uuid>,
    /// Which way.
    pub provider: ProviderKind,
    /// Where it stands.
    pub state: RefundState,
    /// How much.
    pub amount_minor: Minor,
    /// ISO 4217.
    pub currency: Currency,
    /// Why it was asked for.
    pub why: String,
    /// The provider's last word.
    pub failure: Option<String>,
    /// Of a person who paid by hand.
    pub note: Option<String>,
    /// How often it was tried.
    pub asked: u32,
    /// When it is tried next by itself.
    pub next_try_at: Option<Instant>,
    /// When it was asked for.
    pub created_at: Instant,
    /// When the money went back.
    pub done_at: Option<Instant>,
    /// Counts changes.
    pub version: i32,
}

pub(in crate::payment) fn currency(text: &str) -> Result<Currency, DbError> {
    text.parse()
        .map_err(|_| DbError::damaged(format!("the currency {text}")))
}

pub(in crate::payment) fn kind(text: &str) -> Result<ProviderKind, DbError> {
    ProviderKind::parse(text).ok_or_else(|| DbError::damaged(format!("the provider {text}")))
}

fn state(text: &str) -> Result<RefundState, DbError> {
    RefundState::parse(text).ok_or_else(|| DbError::damaged(format!("the state {text}")))
}

/// Locks the booking and its captured payments.
pub(super) async fn lock_paid(
    tx: &mut TenantTx,
    booking: Uuid,
) -> Result<Option<PaidFor>, DbError> {
    let company = tx.company().0;
    let known = sqlx::query!(
        "SELECT reference, currency, state, total_minor, paid_minor FROM booking
         WHERE company_id = $1 AND booking_id = $2 FOR UPDATE",
        company,
        booking
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(known) = known else {
        return Ok(None);
    };
    let rows = sqlx::query!(
        "SELECT payment_id, provider, amount_minor, refunded_minor, outcome FROM payment
         WHERE company_id = $1 AND booking_id = $2 AND state = 'captured'
         ORDER BY captured_at_ms DESC, payment_id DESC FOR UPDATE",
        company,
        booking
    )
    .fetch_all(tx.conn())
    .await?;
    let by_hand = sqlx::query_scalar!(
        r#"SELECT COALESCE(sum(amount_minor), 0)::bigint AS "sum!" FROM refund
           WHERE company_id = $1 AND booking_id = $2 AND payment_id IS NULL"#,
        company,
        booking
    )
    .fetch_one(tx.conn())
    .await?;
    // Only what bought the tickets counts into the booking's own sum.
    let bought: i64 = rows
        .iter()
        .filter(|r| r.outcome.as_deref() == Some("issued"))
        .map(|r| r.amount_minor)
        .sum();
    // A booking from before there were payments was paid when it was made.
    let old = rows.is_empty() && matches!(known.state.as_str(), "confirmed" | "cancelled");
    let paid = if old && known.paid_minor == 0 {
        known.total_minor
    } else {
        known.paid_minor
    };
    let payments = rows.into_iter().map(|r| {
        Ok(Source {
            id: r.payment_id,
            provider: kind(&r.provider)?,
            left_minor: Minor(r.amount_minor - r.refunded_minor),
        })
    });
    Ok(Some(PaidFor {
        reference: known.reference,
        currency: currency(&known.currency)?,
        payments: payments.collect::<Result<_, DbError>>()?,
        otherwise_minor: Minor((paid - bought - by_hand).max(0)),
    }))
}

/// Stores a refund and takes its part off what is left of the payment.
pub(in crate::payment) async fn insert(
    tx: &mut TenantTx,
    new: &NewRefund,
    now: Instant,
) -> Result<(), DbError> {
    let (actor_kind, actor_id) = actor_columns(new.actor);
    let company = tx.company().0;
    sqlx::query!(
        "INSERT INTO refund (company_id, refund_id, booking_id, payment_id, provider,
             provider_ref, state, amount_minor, currency, why, next_try_at_ms, actor_kind,
             actor_id, created_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, 'requested', $7, $8, $9, $10, $11, $12, $13)",
        company,
        new.id,
        new.booking,
        new.payment,
        new.provider.as_str(),
        new.reference,
        new.amount_minor.0,
        new.currency.as_str(),
        new.why,
        new.next_try_at.map(|at| at.0),
        actor_kind,
        actor_id,
        now.0
    )
    .execute(tx.conn())
    .await?;
    if let Some(payment) = new.payment {
        sqlx::query!(
            "UPDATE payment SET refunded_minor = refunded_minor + $3
             WHERE company_id = $1 AND payment_id = $2",
            company,
            payment,
            new.amount_minor.0
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

/// A refund, locked.
pub(super) async fn lock(tx: &mut TenantTx, refund: Uuid) -> Result<Option<RefundRow>, DbError> {
    let locked = sqlx::query_scalar!(
        r#"SELECT 1 AS "one!" FROM refund WHERE company_id = $1 AND refund_id = $2 FOR UPDATE"#,
        tx.company().0,
        refund
    )
    .fetch_optional(tx.conn())
    .await?;
    if locked.is_none() {
        return Ok(None);
    }
    Ok(list(tx, &Wanted::one(refund)).await?.pop())
}

/// Which refunds.
#[derive(Debug, Clone, Default)]
pub struct Wanted<'a> {
    /// Only this one.
    pub refund: Option<Uuid>,
    /// Of this booking.
    pub booking: Option<Uuid>,
    /// In this state.
    pub state: Option<&'a str>,
    /// Of this way.
    pub provider: Option<&'a str>,
    /// After this place: when and number.
    pub after: Option<(Instant, Uuid)>,
    /// At most so many; 0 is one more than any page.
    pub most: i64,
}

impl Wanted<'_> {
    /// One refund.
    pub fn one(refund: Uuid) -> Self {
        Self {
            refund: Some(refund),
            most: 1,
            ..Self::default()
        }
    }
}

/// Refunds, the latest first.
pub async fn list(tx: &mut TenantTx, wanted: &Wanted<'_>) -> Result<Vec<RefundRow>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT r.refund_id, b.reference, r.payment_id, r.provider, r.state,
               r.amount_minor, r.currency, r.why, r.failure, r.note, r.asked, r.next_try_at_ms,
               r.created_at_ms, r.done_at_ms, r.version
           FROM refund r
           JOIN booking b ON b.company_id = r.company_id AND b.booking_id = r.booking_id
           WHERE r.company_id = $1
               AND ($2::uuid IS NULL OR r.refund_id = $2)
               AND ($3::uuid IS NULL OR r.booking_id = $3)
               AND ($4::text IS NULL OR r.state = $4)
               AND ($5::text IS NULL OR r.provider = $5)
               AND ($6::bigint IS NULL OR (r.created_at_ms, r.refund_id) < ($6, $7::uuid))
           ORDER BY r.created_at_ms DESC, r.refund_id DESC LIMIT $8"#,
        tx.company().0,
        wanted.refund,
        wanted.booking,
        wanted.state,
        wanted.provider,
        wanted.after.map(|(at, _)| at.0),
        wanted.after.map(|(_, id)| id),
        wanted.most
    )
    .fetch_all(tx.conn())
    .await?;
    let read = rows.into_iter().map(|r| {
        Ok(RefundRow {
            id: r.refund_id,
            reference_of_booking: r.reference,
            payment: r.payment_id,
            provider: kind(&r.provider)?,
            state: state(&r.state)?,
            amount_minor: Minor(r.amount_minor),
            currency: currency(&r.currency)?,
            why: r.why,
            failure: r.failure,
            note: r.note,
            asked: r.asked as u32,
            next_try_at: r.next_try_at_ms.map(Instant),
            created_at: Instant(r.created_at_ms),
            done_at: r.done_at_ms.map(Instant),
            version: r.version,
        })
    });
    read.collect()
}

/// Takes a due refund for a while, so that nobody else tries it at the same time.
pub(super) async fn claim(
    tx: &mut TenantTx,
    refund: Uuid,
    until: Instant,
    now: Instant,
) -> Result<Option<(RefundState, Return)>, DbError> {
    let row = sqlx::query!(
        r#"UPDATE refund r SET next_try_at_ms = $4, asked = r.asked + 1
           FROM payment p, booking b
           WHERE r.company_id = $1 AND r.refund_id = $2 AND r.next_try_at_ms <= $3
               AND r.state IN ('requested', 'pending')
               AND p.company_id = r.company_id AND p.payment_id = r.payment_id
               AND b.company_id = r.company_id AND b.booking_id = r.booking_id
           RETURNING r.state, r.provider_ref, r.provider_id, r.amount_minor, r.currency,
               p.provider_ref AS charge_ref, p.provider_id AS charge_id, b.reference, r.asked"#,
        tx.company().0,
        refund,
        now.0,
        until.0
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|r| {
        // A first try has nothing to ask about.
        let known = state(&r.state)?;
        let asked_before = r.asked > 1 || known == RefundState::Pending;
        let standing = if asked_before {
            RefundState::Pending
        } else {
            RefundState::Requested
        };
        let back = Return {
            refund,
            reference: r.provider_ref,
            provider_id: r.provider_id,
            amount_minor: Minor(r.amount_minor),
            currency: currency(&r.currency)?,
            charge_reference: r.charge_ref,
            charge_provider_id: r.charge_id,
            note: format!("Refund {}", r.reference),
        };
        Ok((standing, back))
    })
    .transpose()
}

/// Still under way.
pub(super) async fn wait(
    tx: &mut TenantTx,
    refund: Uuid,
    state: RefundState,
    provider_id: Option<&str>,
    failure: &str,
    at: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE refund SET state = $3, provider_id = COALESCE($4, provider_id), failure = $5,
             next_try_at_ms = $6, version = version + 1
         WHERE company_id = $1 AND refund_id = $2",
        tx.company().0,
        refund,
        state.as_str(),
        provider_id,
        failure,
        at.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The money went back.
pub(super) async fn finish(
    tx: &mut TenantTx,
    refund: Uuid,
    provider_id: Option<&str>,
    note: Option<&str>,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE refund SET state = 'done', provider_id = COALESCE($3, provider_id), note = $4,
             next_try_at_ms = NULL, done_at_ms = $5, version = version + 1
         WHERE company_id = $1 AND refund_id = $2",
        tx.company().0,
        refund,
        provider_id,
        note,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A person decides.
pub(super) async fn fail(
    tx: &mut TenantTx,
    refund: Uuid,
    provider_id: Option<&str>,
    failure: &str,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE refund SET state = 'failed', provider_id = COALESCE($3, provider_id),
             failure = $4, next_try_at_ms = NULL, version = version + 1
         WHERE company_id = $1 AND refund_id = $2",
        tx.company().0,
        refund,
        provider_id,
        failure
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// From failed back to requested, under another reference where the last was refused.
pub(super) async fn try_again(
    tx: &mut TenantTx,
    refund: Uuid,
    fresh: Option<Uuid>,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE refund SET state = 'requested', next_try_at_ms = $4, version = version + 1,
             provider_ref = COALESCE($3, provider_ref),
             provider_id = CASE WHEN $3::uuid IS NULL THEN provider_id END,
             asked = CASE WHEN $3::uuid IS NULL THEN 1 ELSE 0 END
         WHERE company_id = $1 AND refund_id = $2",
        tx.company().0,
        refund,
        fresh,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Refunds whose time has come, of any company.
pub(in crate::payment) async fn due(
    pool: &sqlx::PgPool,
    now: Instant,
    most: i32,
) -> Result<Vec<(Uuid, Uuid)>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT company_id AS "company!", refund_id AS "refund!" FROM due_refunds($1, $2)"#,
        now.0,
        most
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|r| (r.company, r.refund)).collect())
}

/// Pulls the next try of a refund under way forward.
pub(in crate::payment) async fn hint(
    tx: &mut TenantTx,
    refund: Uuid,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE refund SET next_try_at_ms = LEAST(next_try_at_ms, $3)
         WHERE company_id = $1 AND refund_id = $2 AND next_try_at_ms IS NOT NULL",
        tx.company().0,
        refund,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
