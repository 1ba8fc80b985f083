//! Who earns on a ticket, and how much.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{PartyId, TicketId};
use domain::time::ServiceDate;
use uuid::Uuid;

use crate::db::DbError;
use crate::tenant::TenantTx;

/// Hundredths of a percent in one.
const BASIS: i128 = 10_000;

/// One who sold a ticket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seller {
    pub party: PartyId,
    /// `station`, `agent`, `person` or `key`.
    pub kind: &'static str,
    pub name: String,
}

/// What each seller earns on tickets of which so much became revenue, in minor units.
pub(super) async fn earned(
    tx: &mut TenantTx,
    sold: &[(TicketId, i64)],
    on: ServiceDate,
) -> Result<BTreeMap<PartyId, i64>, DbError> {
    let mut base: BTreeMap<Seller, i128> = BTreeMap::new();
    let sellers = sellers(tx, sold).await?;
    for (ticket, amount) in sold {
        for seller in sellers.get(ticket).into_iter().flatten() {
            *base.entry(seller.clone()).or_default() += i128::from(*amount);
        }
    }
    let mut earned = BTreeMap::new();
    let mut parties = vec![];
    for (seller, amount) in base {
        let rate = rate(&seller, on);
        let share = share(amount, rate);
        if share != 0 {
            earned.insert(seller.party, share);
            parties.push(seller);
        }
    }
    keep_parties(tx, &parties).await?;
    Ok(earned)
}

/// A share in basis points, halves rounded away from nobody: towards zero.
fn share(amount_minor: i128, basis_points: u32) -> i64 {
    i64::try_from(amount_minor * i128::from(basis_points) / BASIS).unwrap_or(0)
}

/// The rate of a seller on a day, in basis points.
const fn rate(_seller: &Seller, _on: ServiceDate) -> u32 {
    0
}

/// The number of an agent that is known by name only.
pub(crate) fn agent_party(company: domain::ids::CompanyId, name: &str) -> PartyId {
    let name = name.trim().to_lowercase();
    PartyId(super::derived_id(&[
        b"agent",
        company.as_bytes(),
        name.as_bytes(),
    ]))
}

async fn sellers(
    tx: &mut TenantTx,
    sold: &[(TicketId, i64)],
) -> Result<BTreeMap<TicketId, BTreeSet<Seller>>, DbError> {
    let tickets: Vec<Uuid> = sold.iter().map(|(ticket, _)| ticket.0).collect();
    let company = tx.company();
    let rows = sqlx::query!(
        r#"SELECT k.ticket_id, k.issuer_node, n.name AS "node_name?", s.agent AS "agent?",
                  b.seller_kind AS "seller_kind?", b.seller_id
           FROM ticket k
           LEFT JOIN node n ON n.company_id = k.company_id AND n.node_id = k.issuer_node
           LEFT JOIN shift s ON s.company_id = k.company_id AND s.node_id = k.issuer_node
                            AND s.shift = k.shift
           LEFT JOIN booking b ON b.company_id = k.company_id AND b.booking_id = k.booking_id
           WHERE k.company_id = $1 AND k.ticket_id = ANY($2)"#,
        company.0,
        &tickets
    )
    .fetch_all(tx.conn())
    .await?;
    let mut sellers: BTreeMap<TicketId, BTreeSet<Seller>> = BTreeMap::new();
    for row in rows {
        let of = sellers.entry(TicketId(row.ticket_id)).or_default();
        if let Some(node) = row.issuer_node {
            of.insert(Seller {
                party: PartyId(node),
                kind: "station",
                name: row.node_name.unwrap_or_default(),
            });
        }
        if let Some(agent) = row.agent {
            of.insert(Seller {
                party: agent_party(company, &agent),
                kind: "agent",
                name: agent,
            });
        }
        let kind = match row.seller_kind.as_deref() {
            Some("person") => "person",
            Some("key") => "key",
            _ => continue,
        };
        if let Some(id) = row.seller_id {
            of.insert(Seller {
                party: PartyId(id),
                kind,
                name: format!("{kind} {id}"),
            });
        }
    }
    Ok(sellers)
}

async fn keep_parties(tx: &mut TenantTx, parties: &[Seller]) -> Result<(), DbError> {
    if parties.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = parties.iter().map(|p| p.party.0).collect();
    let kinds: Vec<&str> = parties.iter().map(|p| p.kind).collect();
    let names: Vec<&str> = parties.iter().map(|p| p.name.as_str()).collect();
    sqlx::query!(
        "INSERT INTO ledger_party (company_id, party_id, kind, name)
         SELECT $1, w.* FROM UNNEST($2::uuid[], $3::text[], $4::text[]) AS w(id, kind, name)
         ORDER BY w.id
         ON CONFLICT (company_id, party_id) DO NOTHING",
        tx.company().0,
        &ids,
        &kinds as _,
        &names as _
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_more_than_its_percentage() {
        assert_eq!(share(15_000, 500), 750);
        assert_eq!(share(199, 50), 0);
        assert_eq!(share(-15_000, 500), -750);
    }

    #[test]
    fn an_agent_is_the_same_party_however_the_name_is_typed() {
        let company = |n| domain::ids::CompanyId(Uuid::from_u128(n));
        let party = agent_party(company(1), "Mutinta");
        assert_eq!(agent_party(company(1), " mutinta "), party);
        assert_ne!(agent_party(company(2), "Mutinta"), party);
    }
}
