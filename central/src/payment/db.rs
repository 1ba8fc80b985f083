//! The rows of payments and of the calls made for them.

use domain::ids::CompanyId;
use domain::money::{Currency, Minor};
use domain::time::{Instant, Zone};
use uuid::Uuid;

use super::calls::Call;
use super::kind::ProviderKind;
use super::provider::Charge;
use super::refunds::db::{currency, kind};
use super::rules::{PaymentState, Standing};
use crate::audit::Actor;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// How an actor is written down.
pub(super) fn actor_columns(actor: Actor) -> (&'static str, Option<Uuid>) {
    match actor {
        Actor::Caller(identity) => (identity.kind(), identity.id()),
        Actor::System => ("system", None),
    }
}

pub(super) async fn company_zone(tx: &mut TenantTx) -> Result<Zone, DbError> {
    let zone = sqlx::query_scalar!(
        "SELECT zone FROM company WHERE company_id = $1",
        tx.company().0
    )
    .fetch_one(tx.conn())
    .await?;
    zone.parse()
        .map_err(|_| DbError::damaged(format!("the time zone {zone}")))
}

pub(super) async fn insert_call(
    tx: &mut TenantTx,
    call: &Call,
    payment: Option<Uuid>,
    refund: Option<Uuid>,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO provider_call (company_id, payment_id, refund_id, operation, answer, detail,
             at_ms, took_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        tx.company().0,
        payment,
        refund,
        call.operation.as_ref(),
        call.answer.as_ref(),
        call.detail,
        call.at.0,
        call.took_ms
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A payment.
#[derive(Debug, Clone)]
pub struct PaymentRow {
    /// Its number.
    pub id: Uuid,
    /// What the booking's customer is told.
    pub reference: String,
    /// Which way.
    pub provider: ProviderKind,
    /// Theirs, once they said it.
    pub provider_id: Option<String>,
    /// Where it stands.
    pub state: PaymentState,
    /// How much.
    pub amount_minor: Minor,
    /// ISO 4217.
    pub currency: Currency,
    /// The payer's last digits.
    pub payer_hint: Option<String>,
    /// Where the payer has to go first.
    pub action_url: Option<String>,
    /// Why it failed.
    pub reason: Option<String>,
    /// What it led to: `issued`, `seats_gone` or `already_paid`.
    pub outcome: Option<String>,
    /// What was asked back of it.
    pub refunded_minor: Minor,
    /// How often the provider was called.
    pub asked: u32,
    /// After it, it expires.
    pub deadline: Instant,
    /// When it was made.
    pub created_at: Instant,
    /// When it was captured, failed or expired.
    pub ended_at: Option<Instant>,
}

/// A payment to be stored.
#[derive(Debug, Clone)]
pub(super) struct NewPayment {
    pub(super) id: Uuid,
    pub(super) booking: Uuid,
    pub(super) provider: ProviderKind,
    pub(super) reference: Uuid,
    pub(super) amount_minor: Minor,
    pub(super) currency: Currency,
    pub(super) payer_sealed: Option<Vec<u8>>,
    pub(super) payer_hint: Option<String>,
    pub(super) deadline: Instant,
    pub(super) next_poll_at: Option<Instant>,
    pub(super) actor: Actor,
}

fn state(text: &str) -> Result<PaymentState, DbError> {
    PaymentState::parse(text).ok_or_else(|| DbError::damaged(format!("the state {text}")))
}

pub(super) async fn insert(
    tx: &mut TenantTx,
    new: &NewPayment,
    now: Instant,
) -> Result<(), DbError> {
    let (actor_kind, actor_id) = actor_columns(new.actor);
    sqlx::query!(
        "INSERT INTO payment (company_id, payment_id, booking_id, provider, provider_ref, state,
             amount_minor, currency, payer_sealed, payer_hint, next_poll_at_ms, deadline_ms,
             actor_kind, actor_id, created_at_ms)
         VALUES ($1, $2, $3, $4, $5, 'intent', $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        tx.company().0,
        new.id,
        new.booking,
        new.provider.as_str(),
        new.reference,
        new.amount_minor.0,
        new.currency.as_str(),
        new.payer_sealed,
        new.payer_hint,
        new.next_poll_at.map(|at| at.0),
        new.deadline.0,
        actor_kind,
        actor_id,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The payment of a booking that is under way.
pub(super) async fn live_of(tx: &mut TenantTx, booking: Uuid) -> Result<Option<Uuid>, DbError> {
    let found = sqlx::query_scalar!(
        "SELECT payment_id FROM payment
         WHERE company_id = $1 AND booking_id = $2 AND state IN ('intent', 'pending')",
        tx.company().0,
        booking
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found)
}

/// A payment taken for one turn.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) state: PaymentState,
    pub(super) provider: ProviderKind,
    /// How often the provider was called before this turn.
    pub(super) asked_before: u32,
    pub(super) deadline: Instant,
    pub(super) payer_sealed: Option<Vec<u8>>,
    /// Without its payer and callback.
    pub(super) charge: Charge,
}

/// Takes a due payment for a while, so that nobody else calls for it at the same time.
pub(super) async fn claim(
    tx: &mut TenantTx,
    payment: Uuid,
    until: Instant,
    now: Instant,
) -> Result<Option<Taken>, DbError> {
    let row = sqlx::query!(
        "UPDATE payment p SET next_poll_at_ms = $4, asked = p.asked + 1
         FROM booking b
         WHERE p.company_id = $1 AND p.payment_id = $2 AND p.next_poll_at_ms <= $3
             AND b.company_id = p.company_id AND b.booking_id = p.booking_id
         RETURNING p.state, p.provider, p.provider_ref, p.provider_id, p.amount_minor,
             p.currency, p.payer_sealed, p.deadline_ms, p.asked, b.reference",
        tx.company().0,
        payment,
        now.0,
        until.0
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|r| {
        Ok(Taken {
            state: state(&r.state)?,
            provider: kind(&r.provider)?,
            asked_before: (r.asked - 1) as u32,
            deadline: Instant(r.deadline_ms),
            payer_sealed: r.payer_sealed,
            charge: Charge {
                payment,
                reference: r.provider_ref,
                provider_id: r.provider_id,
                amount_minor: Minor(r.amount_minor),
                currency: currency(&r.currency)?,
                payer: String::new(),
                note: r.reference,
                callback: None,
            },
        })
    })
    .transpose()
}

/// Which booking a payment is for.
pub(super) async fn booking_of(tx: &mut TenantTx, payment: Uuid) -> Result<Option<Uuid>, DbError> {
    let found = sqlx::query_scalar!(
        "SELECT booking_id FROM payment WHERE company_id = $1 AND payment_id = $2",
        tx.company().0,
        payment
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found)
}

/// A payment's standing, its row locked. The booking's row is locked before.
pub(super) async fn lock(
    tx: &mut TenantTx,
    payment: Uuid,
) -> Result<Option<(Standing, ProviderKind, Minor)>, DbError> {
    let row = sqlx::query!(
        "SELECT state, asked, deadline_ms, provider, amount_minor FROM payment
         WHERE company_id = $1 AND payment_id = $2 FOR UPDATE",
        tx.company().0,
        payment
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|r| {
        let standing = Standing {
            state: state(&r.state)?,
            asked: r.asked as u32,
            deadline: Instant(r.deadline_ms),
        };
        Ok((standing, kind(&r.provider)?, Minor(r.amount_minor)))
    })
    .transpose()
}

/// How a payment goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) state: PaymentState,
    pub(super) next_poll_at: Option<Instant>,
    pub(super) provider_id: Option<&'a str>,
    pub(super) action_url: Option<&'a str>,
    pub(super) reason: Option<&'a str>,
    pub(super) outcome: Option<&'a str>,
}

pub(super) async fn turn(
    tx: &mut TenantTx,
    payment: Uuid,
    turn: &Turn<'_>,
    now: Instant,
) -> Result<(), DbError> {
    let ended = (!turn.state.is_live()).then_some(now.0);
    let captured = (turn.state == PaymentState::Captured).then_some(now.0);
    sqlx::query!(
        "UPDATE payment SET state = $3, next_poll_at_ms = $4,
             provider_id = COALESCE($5, provider_id), action_url = $6,
             reason = COALESCE($7, reason), outcome = COALESCE($8, outcome),
             ended_at_ms = COALESCE(ended_at_ms, $9), captured_at_ms = COALESCE($10, captured_at_ms)
         WHERE company_id = $1 AND payment_id = $2",
        tx.company().0,
        payment,
        turn.state.as_str(),
        turn.next_poll_at.map(|at| at.0),
        turn.provider_id,
        turn.action_url,
        turn.reason,
        turn.outcome,
        ended,
        captured
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Pulls the next question forward. A captured payment has nothing to ask.
pub(super) async fn hint(tx: &mut TenantTx, payment: Uuid, now: Instant) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "UPDATE payment SET next_poll_at_ms = LEAST(next_poll_at_ms, $3)
         WHERE company_id = $1 AND payment_id = $2 AND state <> 'captured'
             AND provider IN ('momo', 'card')",
        tx.company().0,
        payment,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Which payments.
#[derive(Debug, Clone, Default)]
pub struct Wanted<'a> {
    /// Only this one.
    pub payment: Option<Uuid>,
    /// Of this booking.
    pub booking: Option<Uuid>,
    /// In this state.
    pub state: Option<&'a str>,
    /// Of this way.
    pub provider: Option<&'a str>,
    /// Made at or after.
    pub from: Option<Instant>,
    /// Made before.
    pub until: Option<Instant>,
    /// Before this place in time: when and number.
    pub after: Option<(Instant, Uuid)>,
    /// At most so many.
    pub most: i64,
}

/// Payments, the latest first.
pub async fn list(tx: &mut TenantTx, wanted: &Wanted<'_>) -> Result<Vec<PaymentRow>, DbError> {
    let rows = sqlx::query!(
        "SELECT p.payment_id, b.reference, p.provider, p.provider_id, p.state,
             p.amount_minor, p.currency, p.payer_hint, p.action_url, p.reason, p.outcome,
             p.refunded_minor, p.asked, p.deadline_ms, p.created_at_ms, p.ended_at_ms
         FROM payment p
         JOIN booking b ON b.company_id = p.company_id AND b.booking_id = p.booking_id
         WHERE p.company_id = $1
             AND ($2::uuid IS NULL OR p.payment_id = $2)
             AND ($3::uuid IS NULL OR p.booking_id = $3)
             AND ($4::text IS NULL OR p.state = $4)
             AND ($5::text IS NULL OR p.provider = $5)
             AND ($6::bigint IS NULL OR p.created_at_ms >= $6)
             AND ($7::bigint IS NULL OR p.created_at_ms < $7)
             AND ($8::bigint IS NULL OR (p.created_at_ms, p.payment_id) < ($8, $9::uuid))
         ORDER BY p.created_at_ms DESC, p.payment_id DESC LIMIT $10",
        tx.company().0,
        wanted.payment,
        wanted.booking,
        wanted.state,
        wanted.provider,
        wanted.from.map(|at| at.0),
        wanted.until.map(|at| at.0),
        wanted.after.map(|(at, _)| at.0),
        wanted.after.map(|(_, id)| id),
        wanted.most
    )
    .fetch_all(tx.conn())
    .await?;
    let read = rows.into_iter().map(|r| {
        Ok(PaymentRow {
            id: r.payment_id,
            reference: r.reference,
            provider: kind(&r.provider)?,
            provider_id: r.provider_id,
            state: state(&r.state)?,
            amount_minor: Minor(r.amount_minor),
            currency: currency(&r.currency)?,
            payer_hint: r.payer_hint,
            action_url: r.action_url,
            reason: r.reason,
            outcome: r.outcome,
            refunded_minor: Minor(r.refunded_minor),
            asked: r.asked as u32,
            deadline: Instant(r.deadline_ms),
            created_at: Instant(r.created_at_ms),
            ended_at: r.ended_at_ms.map(Instant),
        })
    });
    read.collect()
}

/// Payments whose time has come, of any company.
pub(super) async fn due(
    pool: &sqlx::PgPool,
    now: Instant,
    most: i32,
) -> Result<Vec<(Uuid, Uuid)>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT company_id AS "company!", payment_id AS "payment!" FROM due_payments($1, $2)"#,
        now.0,
        most
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|r| (r.company, r.payment)).collect())
}

/// Whose payment or refund it is.
pub(super) async fn company_of(
    pool: &sqlx::PgPool,
    what: &str,
    id: Uuid,
) -> Result<Option<CompanyId>, DbError> {
    let found = if what == "refund" {
        sqlx::query_scalar!("SELECT company_of_refund($1)", id)
            .fetch_one(pool)
            .await?
    } else {
        sqlx::query_scalar!("SELECT company_of_payment($1)", id)
            .fetch_one(pool)
            .await?
    };
    Ok(found.map(CompanyId))
}

/// A call of a provider, as it is shown.
#[derive(Debug)]
pub(super) struct CallRow {
    pub(super) call: Call,
    pub(super) refund: Option<Uuid>,
}

/// What the provider was asked for a payment and its refunds, the latest first.
pub(super) async fn calls(
    tx: &mut TenantTx,
    payment: Uuid,
    most: i64,
) -> Result<Vec<CallRow>, DbError> {
    let rows = sqlx::query!(
        "SELECT c.operation, c.answer, c.detail, c.at_ms, c.took_ms, c.refund_id
         FROM provider_call c
         WHERE c.company_id = $1 AND (c.payment_id = $2 OR c.refund_id IN (
             SELECT refund_id FROM refund WHERE company_id = $1 AND payment_id = $2))
         ORDER BY c.call_no DESC LIMIT $3",
        tx.company().0,
        payment,
        most
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| CallRow {
            call: Call {
                operation: r.operation.into(),
                answer: r.answer.into(),
                detail: r.detail,
                at: Instant(r.at_ms),
                took_ms: r.took_ms,
            },
            refund: r.refund_id,
        })
        .collect())
}
