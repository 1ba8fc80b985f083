//! Who earns on a ticket, and how much.

use std::collections::BTreeMap;

use domain::ids::{PartyId, StopCode, TicketId};
use domain::ledger::{Account, Entry, EntryKind, Posting};
use domain::money::{Currency, Minor};
use domain::time::{Instant, ServiceDate, Zone};
use uuid::Uuid;

use super::NewEntry;
use crate::db::DbError;
use crate::pricing::commission::{self, CommissionRate, RateFor};
use crate::tenant::TenantTx;

/// One who earns on tickets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Earner {
    party: PartyId,
    /// `station`, `agent`, `person` or `key`.
    kind: &'static str,
    name: String,
}

/// Who sold a ticket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Sold {
    /// As rates name the seller.
    seller: Option<String>,
    agent: Option<Earner>,
    stop: Option<String>,
    station: Option<Earner>,
}

/// What each seller earns on tickets of which so much became revenue, in minor units.
pub(super) async fn earned(
    tx: &mut TenantTx,
    sold: &[(TicketId, i64)],
    currency: Currency,
    on: ServiceDate,
) -> Result<BTreeMap<PartyId, i64>, DbError> {
    let mut tickets: BTreeMap<Sold, Vec<i64>> = BTreeMap::new();
    let mut sellers = sellers(tx, sold).await?;
    for (ticket, amount) in sold {
        if let Some(by) = sellers.remove(ticket) {
            tickets.entry(by).or_default().push(*amount);
        }
    }
    let mut earned: BTreeMap<PartyId, i64> = BTreeMap::new();
    let mut earners = vec![];
    for (by, amounts) in tickets {
        let stop = by.stop.clone().map(StopCode);
        let rate = commission::rate(tx, by.seller.as_deref(), stop.as_ref(), on).await?;
        let Some(rate) = rate else { continue };
        let earner = match rate.whose {
            RateFor::Station(_) => by.station,
            RateFor::Agent(_) => by.agent,
            RateFor::Company => by.agent.or(by.station),
        };
        let Some(earner) = earner else { continue };
        let of_each = amounts.iter().map(|paid| share(&rate, *paid, currency));
        let sum = of_each.fold(0_i64, i64::saturating_add);
        if sum != 0 {
            let all = earned.entry(earner.party).or_default();
            *all = all.saturating_add(sum);
            earners.push(earner);
        }
    }
    keep_parties(tx, &earners).await?;
    Ok(earned)
}

/// The commission on tickets whose money became revenue after their trip had departed, as of a
/// sale that came late; where money ceased to be revenue, as of a refund, it is taken back. One
/// entry per day of departure and currency.
pub(super) async fn afterwards(
    tx: &mut TenantTx,
    entries: &[NewEntry],
    now: Instant,
) -> Result<Vec<NewEntry>, DbError> {
    let mut moved: BTreeMap<(Currency, TicketId), i64> = BTreeMap::new();
    for new in entries {
        let of_tickets = new.entry.postings().iter();
        for line in of_tickets.filter(|line| line.account == Account::Revenue) {
            if let Some(ticket) = line.ticket {
                *moved.entry((new.entry.currency(), ticket)).or_default() -= line.amount_minor.0;
            }
        }
    }
    moved.retain(|_, amount| *amount != 0);
    let Some(first) = entries.first().filter(|_| !moved.is_empty()) else {
        return Ok(vec![]);
    };
    let days = departures(tx, moved.keys().map(|(_, ticket)| ticket.0), now).await?;
    let mut sold: BTreeMap<(Currency, ServiceDate), Vec<(TicketId, i64)>> = BTreeMap::new();
    for ((currency, ticket), amount) in moved {
        if let Some(day) = days.get(&ticket) {
            let of_day = sold.entry((currency, *day)).or_default();
            of_day.push((ticket, amount));
        }
    }
    let mut found = vec![];
    for ((currency, day), sold) in sold {
        let earned = earned(tx, &sold, currency, day).await?;
        let kind = if earned.values().all(|amount| *amount < 0) {
            EntryKind::Reversal
        } else {
            EntryKind::Recognition
        };
        let postings: Vec<Posting> = earned.iter().flat_map(of_party).collect();
        if postings.is_empty() {
            continue;
        }
        let entry = Entry::new(kind, currency, day, postings)
            .map_err(|e| DbError::damaged(format!("the commission of {day}: {e}")))?;
        let id = super::derived_id(&[
            b"commission",
            first.id.as_bytes(),
            currency.as_str().as_bytes(),
            day.to_string().as_bytes(),
        ]);
        found.push(NewEntry { id, entry });
    }
    Ok(found)
}

/// What a party has earned, less than nothing where it is taken back.
pub(super) fn of_party((party, amount): (&PartyId, &i64)) -> [Posting; 2] {
    let line = |account, amount| Posting {
        account,
        amount_minor: Minor(amount),
        ticket: None,
    };
    [
        line(Account::CommissionExpense, *amount),
        line(Account::CommissionPayable(*party), -amount),
    ]
}

/// The company's days on which the trips of some tickets departed, none of them after now.
async fn departures(
    tx: &mut TenantTx,
    tickets: impl Iterator<Item = Uuid>,
    now: Instant,
) -> Result<BTreeMap<TicketId, ServiceDate>, DbError> {
    let tickets: Vec<Uuid> = tickets.collect();
    let rows = sqlx::query!(
        r#"SELECT k.ticket_id, c.zone, t.departs_at_ms + t.delay_ms AS "departs_ms!"
           FROM ticket k
           JOIN trip t ON t.company_id = k.company_id AND t.trip_id = k.trip_id
           JOIN company c ON c.company_id = k.company_id
           WHERE k.company_id = $1 AND k.ticket_id = ANY($2)"#,
        tx.company().0,
        &tickets
    )
    .fetch_all(tx.conn())
    .await?;
    let days = rows.into_iter().map(|r| {
        let zone: Option<Zone> = r.zone.parse().ok();
        let day = zone.and_then(|zone| Instant(r.departs_ms.min(now.0)).local_date(&zone));
        let day = day.ok_or_else(|| DbError::damaged("the departure of a ticket's trip"))?;
        Ok((TicketId(r.ticket_id), day))
    });
    days.collect()
}

/// What one ticket earns; of money given back, what is taken back.
fn share(rate: &CommissionRate, paid_minor: i64, currency: Currency) -> i64 {
    let size = Minor(paid_minor.saturating_abs());
    rate.of(size, currency).0 * paid_minor.signum()
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
) -> Result<BTreeMap<TicketId, Sold>, DbError> {
    let tickets: Vec<Uuid> = sold.iter().map(|(ticket, _)| ticket.0).collect();
    let company = tx.company();
    let rows = sqlx::query!(
        r#"SELECT k.ticket_id, k.issuer_node, n.name AS "node_name?", n.stop_code,
                  s.agent AS "agent?", b.seller_kind AS "seller_kind?", b.seller_id
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
    let of = |kind, party, name| Earner { party, kind, name };
    let rows = rows.into_iter().map(|r| {
        let station = r
            .issuer_node
            .map(|node| of("station", PartyId(node), r.node_name.unwrap_or_default()));
        let kind = match r.seller_kind.as_deref() {
            Some("person") => Some("person"),
            Some("key") => Some("key"),
            _ => None,
        };
        let online = kind.zip(r.seller_id);
        let (seller, agent) = match (r.agent, online) {
            (Some(name), _) => {
                let earner = of("agent", agent_party(company, &name), name.clone());
                (Some(name), Some(earner))
            }
            (None, Some((kind, id))) => {
                let earner = of(kind, PartyId(id), format!("{kind} {id}"));
                (Some(id.to_string()), Some(earner))
            }
            (None, None) => (None, None),
        };
        let sold = Sold {
            seller,
            agent,
            stop: r.stop_code,
            station,
        };
        (TicketId(r.ticket_id), sold)
    });
    // Nobody earns on what the company sold by itself.
    Ok(rows
        .filter(|(_, sold)| sold.agent.is_some() || sold.station.is_some())
        .collect())
}

async fn keep_parties(tx: &mut TenantTx, parties: &[Earner]) -> Result<(), DbError> {
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
    fn an_agent_is_the_same_party_however_the_name_is_typed() {
        let company = |n| domain::ids::CompanyId(Uuid::from_u128(n));
        let party = agent_party(company(1), "Mutinta");
        assert_eq!(agent_party(company(1), " mutinta "), party);
        assert_ne!(agent_party(company(2), "Mutinta"), party);
    }
}
