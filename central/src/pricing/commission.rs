//! What sellers earn per ticket.

use domain::ids::StopCode;
use domain::money::{Currency, Minor};
use domain::time::ServiceDate;

use super::db::commissions;
use super::rules::{Off, Validity};
use crate::db::DbError;
use crate::tenant::TenantTx;

/// Whom a rate is for; the nearer one counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RateFor {
    /// Whoever has no rate nearer.
    Company,
    /// Everybody who sells at this stop.
    Station(StopCode),
    /// One agent, by the name or number that its sales carry.
    Agent(String),
}

impl RateFor {
    /// `agent`, `station` or `company`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Company => "company",
            Self::Station(_) => "station",
            Self::Agent(_) => "agent",
        }
    }

    /// Who; empty for the company.
    pub fn who(&self) -> &str {
        match self {
            Self::Company => "",
            Self::Station(code) => &code.0,
            Self::Agent(name) => name,
        }
    }

    /// As stored.
    pub(super) fn read(kind: &str, who: String) -> Result<Self, DbError> {
        match kind {
            "company" => Ok(Self::Company),
            "station" => Ok(Self::Station(StopCode(who))),
            "agent" => Ok(Self::Agent(who)),
            _ => Err(DbError::damaged(format!("the commission of a {kind}"))),
        }
    }
}

/// What a seller earns per ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommissionRate {
    /// Whose.
    pub whose: RateFor,
    /// A part of the fare paid.
    pub part: Off,
    /// Business dates it holds on.
    pub valid: Validity,
    /// Of the row.
    pub version: i32,
}

impl CommissionRate {
    /// What one ticket earns: never less than nothing, never more than was paid.
    pub fn of(&self, paid: Minor, currency: Currency) -> Minor {
        self.part.of(paid, currency)
    }
}

/// The rate that counts on a day: the nearest to the seller, then the one that began last.
fn counting(rates: Vec<CommissionRate>, on: ServiceDate) -> Option<CommissionRate> {
    rates
        .into_iter()
        .filter(|rate| rate.valid.holds_on(on))
        .max_by(|a, b| {
            let near = a.whose.cmp(&b.whose);
            near.then(a.valid.from.cmp(&b.valid.from))
        })
}

/// What this seller earns per ticket on a business date. `seller` is the agent as its sales name
/// it (a person's or key's number, or the name signed in at a node); `station` the stop it sells
/// at.
pub async fn rate(
    tx: &mut TenantTx,
    seller: Option<&str>,
    station: Option<&StopCode>,
    on: ServiceDate,
) -> Result<Option<CommissionRate>, DbError> {
    let rates = commissions::for_seller(tx, seller, station).await?;
    Ok(counting(rates, on))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(whose: RateFor, bp: u16, from: Option<&str>) -> CommissionRate {
        CommissionRate {
            whose,
            part: Off::PercentBp(bp),
            valid: Validity {
                from: from.map(|day| day.parse().unwrap()),
                until: None,
            },
            version: 1,
        }
    }

    #[test]
    fn an_agents_own_rate_comes_before_its_stations_and_the_later_before_the_earlier() {
        let station = || RateFor::Station(StopCode("LUN".to_owned()));
        let agent = || RateFor::Agent("mary".to_owned());
        let rates = vec![
            rate(RateFor::Company, 100, None),
            rate(station(), 200, Some("2026-01-01")),
            rate(agent(), 300, None),
            rate(agent(), 400, Some("2026-06-01")),
        ];
        let on = |day: &str, rates: &[CommissionRate]| {
            let rate = counting(rates.to_vec(), day.parse().unwrap());
            rate.map(|r| r.of(Minor(10_000), Currency::ZMW).0)
        };
        assert_eq!(on("2026-05-31", &rates), Some(300));
        assert_eq!(on("2026-06-01", &rates), Some(400));
        assert_eq!(on("2026-06-01", &rates[..2]), Some(200));
        assert_eq!(on("2025-12-31", &rates[..2]), Some(100));
        assert_eq!(on("2025-12-31", &[]), None);
    }
}
