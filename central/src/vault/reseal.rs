//! Key rotation: what older masters have sealed is sealed anew by the newest one, a bounded piece
//! at a time, while the hub works.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::ids::CompanyId;
use uuid::Uuid;

use super::{Place, VaultError, db};
use crate::http::Api;
use crate::views;
use crate::worker::{Job, JobError, Progress};

/// So many values of one column in one transaction.
const BATCH: i64 = 200;
/// So many values of one column that cannot be opened, and its rest waits for a person.
const PASSED_OVER_MAX: usize = 20_000;
const LOOK_EVERY: Duration = Duration::from_mins(10);
/// Whose rows are the hub's own.
const HUB: CompanyId = CompanyId(Uuid::nil());

/// A sealed column.
#[derive(Debug, Clone, Copy)]
pub struct Sealed {
    /// Its table, as [`Place::table`] says it.
    pub table: &'static str,
    /// The bytes of [`Place::row`], in SQL.
    pub row: &'static str,
    /// As the database calls it.
    pub column: &'static str,
    /// As [`Place::column`] says it.
    pub said: &'static str,
    /// Whether the table is a company's; the others are the hub's.
    pub tenant: bool,
}

const fn hub(
    table: &'static str,
    row: &'static str,
    (column, said): (&'static str, &'static str),
) -> Sealed {
    Sealed {
        table,
        row,
        column,
        said,
        tenant: false,
    }
}

const fn tenant(
    table: &'static str,
    row: &'static str,
    (column, said): (&'static str, &'static str),
) -> Sealed {
    Sealed {
        table,
        row,
        column,
        said,
        tenant: true,
    }
}

const PERSON: &str = "uuid_send(person_id)";
const ENDPOINT: &str = "uuid_send(endpoint_id)";
const COUPON: &str = "uuid_send(booking_id) || int2send(coupon_no)";

/// Every column that lives longer than a master. A test compares it with the schema.
const SEALED: &[Sealed] = &[
    hub("person", PERSON, ("name_sealed", "name")),
    hub("person", PERSON, ("email_sealed", "email")),
    hub("person", PERSON, ("phone_sealed", "phone")),
    hub("person", PERSON, ("totp_sealed", "totp")),
    hub(
        "auth_key",
        "convert_to(kid, 'UTF8')",
        ("secret_sealed", "secret"),
    ),
    tenant("membership", PERSON, ("name_sealed", "name")),
    tenant("membership", PERSON, ("contact_sealed", "contact")),
    tenant(
        "booking",
        "uuid_send(booking_id)",
        ("contact_sealed", "contact"),
    ),
    tenant("coupon", COUPON, ("passenger_sealed", "passenger")),
    tenant(
        "passenger_correction",
        "uuid_send(correction_id)",
        ("before_sealed", "before"),
    ),
    tenant(
        "waiting_entry",
        "uuid_send(waiting_id)",
        ("contact_sealed", "contact"),
    ),
    tenant("notice", "uuid_send(notice_id)", ("text_sealed", "text")),
    tenant(
        "notice_delivery",
        "uuid_send(notice_id) || convert_to(channel, 'UTF8')",
        ("address_sealed", "address"),
    ),
    tenant(
        "payment",
        "uuid_send(payment_id)",
        ("payer_sealed", "payer_sealed"),
    ),
    tenant(
        "webhook_endpoint",
        ENDPOINT,
        ("secret_sealed", "secret_sealed"),
    ),
    // The secret before is moved as it is, so its place stays the one it was sealed for.
    tenant(
        "webhook_endpoint",
        ENDPOINT,
        ("secret_before_sealed", "secret_sealed"),
    ),
];

/// The jobs of key rotation.
pub fn jobs() -> Vec<Job> {
    vec![Job {
        name: "reseal",
        every: LOOK_EVERY,
        run: |api| Box::pin(async move { turn(&api).await }),
    }]
}

/// Rows whose values no master opens, by company and place in the registry. They stay as they
/// are: whoever reads one hears the same.
#[derive(Debug, Default)]
pub struct PassedOver(BTreeMap<(CompanyId, usize), Vec<Vec<u8>>>);

impl PassedOver {
    /// How many there are in each column.
    fn counts(&self) -> BTreeMap<(&'static str, &'static str), usize> {
        let mut counts = BTreeMap::new();
        for ((_, place), rows) in &self.0 {
            if let Some(what) = SEALED.get(*place) {
                *counts.entry((what.table, what.column)).or_default() += rows.len();
            }
        }
        counts
    }
}

/// One batch of one column of one company, or nothing when nothing is left. What cannot be opened
/// is passed over, and counted in the log once all else is done.
async fn turn(api: &Api) -> Result<Progress, JobError> {
    // Without a second master there is nothing that another could have sealed.
    if api.vault.newest() <= 1 {
        return Ok(Progress::Idle);
    }
    let mut passed = api.passed_over.lock().await;
    let mut companies = vec![HUB];
    companies.extend(views::all_companies(&api.db).await?);
    for company in companies {
        let columns = SEALED.iter().enumerate();
        for (place, _) in columns.filter(|(_, s)| s.tenant == (company != HUB)) {
            let known = passed.0.entry((company, place)).or_default();
            if batch(api, company, place, known).await? {
                return Ok(Progress::More);
            }
        }
    }
    for ((table, column), left) in passed.counts().into_iter().filter(|(_, left)| *left > 0) {
        tracing::error!(
            table,
            column,
            left,
            "sealed values that no master key opens were passed over: is a key file missing?"
        );
    }
    passed.0.clear();
    Ok(Progress::Idle)
}

/// Whether there was something to do; what could not be opened joins the known.
async fn batch(
    api: &Api,
    company: CompanyId,
    place: usize,
    known: &mut Vec<Vec<u8>>,
) -> Result<bool, JobError> {
    let Some(what) = SEALED.get(place).filter(|_| known.len() < PASSED_OVER_MAX) else {
        return Ok(false);
    };
    let mut tx = api.db.tenant(company).await?;
    let found = db::stale(&mut tx, what, api.vault.newest(), known, BATCH).await?;
    let some = !found.is_empty();
    for stale in found {
        let place = Place {
            company,
            table: what.table,
            row: &stale.row,
            column: what.said,
        };
        match api.vault.reseal(place, &stale.sealed) {
            Ok(sealed) => db::replace(&mut tx, what, &stale, &sealed).await?,
            Err(VaultError::Unopenable) => known.push(stale.row),
            Err(error @ VaultError::NoEntropy) => return Err(error.into()),
        }
    }
    tx.commit().await?;
    Ok(some)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::access::Role;
    use crate::keys::HubKeys;
    use crate::testing::{TestCompany, TestDb, token_for};
    use crate::vault::Vault;

    /// Sealed columns that no master outlives: they are gone within a day.
    const SHORT_LIVED: [(&str, &str); 2] = [
        ("one_use_code", "about_sealed"),
        ("one_use_code", "delivery_sealed"),
    ];

    #[tokio::test]
    async fn every_sealed_column_of_the_schema_is_in_the_registry() {
        let test = TestDb::new().await.unwrap();
        let mut owner = test.owner().await.unwrap();
        let there: Vec<(String, String)> = sqlx::query_as(
            "SELECT table_name::text, column_name::text FROM information_schema.columns
             WHERE table_schema = 'public' AND column_name LIKE '%\\_sealed'",
        )
        .fetch_all(&mut owner)
        .await
        .unwrap();
        let there: BTreeSet<(String, String)> = there.into_iter().collect();
        let named = SEALED
            .iter()
            .map(|s| (s.table.to_owned(), s.column.to_owned()))
            .chain(SHORT_LIVED.map(|(table, column)| (table.to_owned(), column.to_owned())));
        assert_eq!(there, named.collect());
    }

    #[tokio::test]
    async fn after_a_rotation_every_value_is_sealed_anew_and_means_the_same() {
        let test = TestDb::new().await.unwrap();
        let company = TestCompany::new(&test.db, 1).await.unwrap();
        let keys = HubKeys::from_bytes(&[7; 32], [8; 32]);
        let old = Vault::from_bytes([9; 32]);
        let before = Api::new(test.db.clone(), keys.clone(), old.clone());
        for role in [Role::Clerk, Role::Driver, Role::Customer] {
            token_for(&before, company.id, role).await.unwrap();
        }
        assert_eq!(turn(&before).await.unwrap(), Progress::Idle);
        let names = "SELECT count(*) FROM membership WHERE get_byte(name_sealed, 0) = 1";
        assert_eq!(test.number(names).await.unwrap(), 2);
        // A value copied to another row does not open there, so it is left as it is.
        let mut owner = test.owner().await.unwrap();
        sqlx::query(
            "UPDATE membership SET contact_sealed = (SELECT contact_sealed FROM membership
                 ORDER BY person_id LIMIT 1)",
        )
        .execute(&mut owner)
        .await
        .unwrap();

        let after = Api::new(test.db.clone(), keys, old.with_master([10; 32]));
        let mut turns = 0;
        while turn(&after).await.unwrap() == Progress::More {
            turns += 1;
            assert!(turns < 100, "it never ends");
        }
        assert!(turns >= 3);
        assert_eq!(test.number(names).await.unwrap(), 0);
        let people = "SELECT count(*) FROM person WHERE get_byte(name_sealed, 0) <> 2
                          OR get_byte(email_sealed, 0) <> 2";
        assert_eq!(test.number(people).await.unwrap(), 0);
        let moved = "SELECT count(*) FROM membership WHERE get_byte(contact_sealed, 0) = 1";
        assert_eq!(test.number(moved).await.unwrap(), 1);
        // The key that signs tokens opens still.
        token_for(&after, company.id, Role::Clerk).await.unwrap();
    }

    #[tokio::test]
    async fn more_values_than_a_batch_that_nobody_can_open_are_counted_and_keep_nothing_up() {
        const BROKEN: usize = 450;
        let test = TestDb::new().await.unwrap();
        let company = TestCompany::new(&test.db, 1).await.unwrap();
        let keys = HubKeys::from_bytes(&[7; 32], [8; 32]);
        let old = Vault::from_bytes([9; 32]);
        let mut owner = test.owner().await.unwrap();
        sqlx::query(
            "INSERT INTO person (person_id, name_sealed, email_blind, created_at_ms)
             SELECT gen_random_uuid(), '\\x01' || sha256(n::text::bytea), n::text::bytea, 0
             FROM generate_series(1, $1) AS n",
        )
        .bind(BROKEN as i32)
        .execute(&mut owner)
        .await
        .unwrap();
        let before = Api::new(test.db.clone(), keys.clone(), old.clone());
        token_for(&before, company.id, Role::Clerk).await.unwrap();
        let after = Api::new(test.db.clone(), keys, old.with_master([10; 32]));
        for _ in 0..2 {
            let mut most = BTreeMap::new();
            let mut turns = 0;
            while turn(&after).await.unwrap() == Progress::More {
                most = after.passed_over.lock().await.counts();
                most.retain(|_, left| *left > 0);
                turns += 1;
                assert!(turns < 100, "it never ends");
            }
            assert_eq!(most, BTreeMap::from([(("person", "name_sealed"), BROKEN)]));
        }
        let left = "SELECT count(*) FROM person WHERE get_byte(name_sealed, 0) = 1";
        assert_eq!(test.number(left).await.unwrap(), BROKEN as i64);
        let good = "SELECT count(*) FROM person WHERE get_byte(name_sealed, 0) = 2";
        assert_eq!(test.number(good).await.unwrap(), 1);
    }
}
