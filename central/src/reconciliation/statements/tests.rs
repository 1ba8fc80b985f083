//! Statements on a real database.

use domain::ledger::Account;
use domain::money::Currency;
use domain::time::Instant;
use uuid::Uuid;

use super::*;
use crate::ledger::tests::Till;

/// 2026-11-22, after the statement's lines.
const NOW: Instant = Instant(1_795_300_000_000);
/// 2026-11-20T08:15:00Z
const PAID: i64 = 1_795_162_500_000;

const MOMO: &str = "Id,External Transaction Id,Date,Status,Type,From,Amount,Fee\n\
    771,00000000-0000-0000-0000-000000000051,2026-11-20 10:15:00,Successful,Payment,260970000001,150.00,1.50\n\
    772,unknown,2026-11-20 11:15:00,Successful,Payment,260970000002,99.00,\n\
    773,,2026-11-21 02:00:00,Successful,Transfer,,148.50,\n";

impl Till {
    pub(in crate::reconciliation) async fn captured(&self, number: u128, amount: i64) {
        let mut owner = self.test.owner().await.unwrap();
        let id = Uuid::from_u128(number);
        sqlx::query(
            "INSERT INTO booking (company_id, booking_id, reference, trip_id, total_minor,
                 currency, created_at_ms)
             VALUES ($1, $2, $3, $4, $5, 'ZMW', 0)",
        )
        .bind(self.company.id.0)
        .bind(id)
        .bind(format!("REF-{number}"))
        .bind(self.trip.id.0 as i64)
        .bind(amount)
        .execute(&mut owner)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO payment (company_id, payment_id, booking_id, provider, provider_ref,
                 state, amount_minor, currency, deadline_ms, actor_kind, created_at_ms,
                 captured_at_ms)
             VALUES ($1, $2, $2, 'momo', $2, 'captured', $3, 'ZMW', 0, 'anonymous', $4, $4)",
        )
        .bind(self.company.id.0)
        .bind(id)
        .bind(amount)
        .bind(PAID)
        .execute(&mut owner)
        .await
        .unwrap();
    }

    async fn take_in(&self, csv: &str) -> Result<Imported, StatementError> {
        let mut tx = self.tx().await;
        let new = NewStatement {
            account: Account::MobileMoneyClearing,
            mapping: "mtn-momo",
            file_name: "november.csv",
            currency: Currency::ZMW,
            csv: csv.as_bytes(),
        };
        let vault = Vault::from_bytes([9; 32]);
        let done = import(&mut tx, &vault, self.staff(), &new, NOW).await?;
        tx.commit().await?;
        Ok(done)
    }
}

#[tokio::test]
async fn a_statement_is_matched_and_posted_once_however_often_it_comes() {
    let till = Till::new().await;
    till.captured(0x51, 15_000).await;
    till.captured(0x52, 7_000).await;
    let first = till.take_in(MOMO).await.unwrap();
    assert_eq!((first.lines, first.duplicates), (3, 0));
    assert_eq!((first.matched, first.posted), (1, 2), "{first:?}");
    assert_eq!(till.balance("provider_fees").await, 150);
    assert_eq!(till.balance("bank").await, 14_850);
    assert_eq!(till.balance("mobile_money_clearing").await, -15_000);
    let again = till.take_in(MOMO).await.unwrap();
    assert_eq!((again.lines, again.duplicates), (0, 3));
    assert_eq!(again.statement, None);
    assert_eq!(till.balance("bank").await, 14_850);
    let longer = format!("{MOMO}774,,2026-11-21 03:00:00,Successful,Fee,,2.00,\n");
    let more = till.take_in(&longer).await.unwrap();
    assert_eq!((more.lines, more.duplicates, more.posted), (1, 3, 1));
    assert_eq!(till.balance("provider_fees").await, 350);
    till.every_entry_sums_to_zero().await;
}

#[tokio::test]
async fn what_does_not_match_by_itself_is_paired_and_parted_by_hand() {
    let till = Till::new().await;
    till.captured(0x52, 9_900).await;
    let known = Uuid::from_u128(0x52);
    // Two payments of the same amount at the same time: nobody can tell which it is.
    till.captured(0x53, 9_900).await;
    assert_eq!(till.take_in(MOMO).await.unwrap().matched, 0);
    let find = "SELECT line_id FROM statement_line WHERE reference = '772'";
    let mut owner = till.test.owner().await.unwrap();
    let line: Uuid = sqlx::query_scalar(find)
        .fetch_one(&mut owner)
        .await
        .unwrap();
    let mut tx = till.tx().await;
    let staff = till.staff();
    let stranger = ("payment", Uuid::from_u128(9));
    let wrong = match_line(&mut tx, staff, line, stranger, NOW).await;
    assert!(matches!(
        wrong.unwrap_err(),
        StatementError::NoSuchMovement(_)
    ));
    match_line(&mut tx, staff, line, ("payment", known), NOW)
        .await
        .unwrap();
    let twice = match_line(&mut tx, staff, line, ("payment", known), NOW).await;
    assert!(matches!(twice.unwrap_err(), StatementError::WrongState(_)));
    let all = (Instant(0), Instant(i64::MAX));
    let account = Account::MobileMoneyClearing;
    let left = rows::ours(&mut tx, account, Currency::ZMW, all)
        .await
        .unwrap();
    assert_eq!(
        left.iter().map(|o| o.id.as_u128()).collect::<Vec<_>>(),
        [0x53]
    );
    unmatch_line(&mut tx, staff, line, NOW).await.unwrap();
    let left = rows::ours(&mut tx, account, Currency::ZMW, all)
        .await
        .unwrap();
    assert_eq!(left.len(), 2);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_changes_nothing() {
    let till = Till::new().await;
    let broken = MOMO.replace("99.00", "ninety");
    let refused = till.take_in(&broken).await.unwrap_err();
    let StatementError::Unreadable(faults) = refused else {
        panic!("{refused}");
    };
    assert_eq!(faults[0].line, 2, "{faults:?}");
    let lines = "SELECT count(*) FROM statement_line";
    assert_eq!(till.test.number(lines).await.unwrap(), 0);
}
