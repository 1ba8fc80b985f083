//! The log of what providers were asked.

use std::borrow::Cow;
use std::time::Instant as Watch;

use domain::time::Instant;
use uuid::Uuid;

use super::db;
use super::provider::{Reply, Said};
use crate::clock;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// One call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) operation: Cow<'static, str>,
    pub(super) answer: Cow<'static, str>,
    pub(super) detail: String,
    pub(super) at: Instant,
    pub(super) took_ms: i32,
}

/// Makes a call and notes it.
pub(super) async fn timed(
    operation: &'static str,
    reply: Reply<'_>,
    calls: &mut Vec<Call>,
) -> Said {
    let (at, began) = (clock::now(), Watch::now());
    let said = reply.await;
    calls.push(Call {
        operation: operation.into(),
        answer: said.answer().into(),
        detail: said.detail.chars().take(200).collect(),
        at,
        took_ms: i32::try_from(began.elapsed().as_millis()).unwrap_or(i32::MAX),
    });
    said
}

impl Call {
    pub(super) async fn write(
        &self,
        tx: &mut TenantTx,
        payment: Option<Uuid>,
        refund: Option<Uuid>,
    ) -> Result<(), DbError> {
        db::insert_call(tx, self, payment, refund).await
    }
}
