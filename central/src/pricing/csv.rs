//! Fares, discounts, vouchers and commission rates as CSV.

use domain::time::Instant;

use super::fares::publish_touched;
use super::records::{
    ChannelWord, ClassWord, CommissionEntry, DiscountEntry, FareEntry, SellerKind, VoucherEntry,
};
use super::rules::Channel;
use crate::access::Permission;
use crate::audit::Actor;
use crate::company::records::{RecordList, all, put_all};
use crate::csvio::{Column, CsvList, Fault, Fields, Tally, word};
use crate::db::DbError;
use crate::tenant::TenantTx;
use domain::passenger::PassengerClass;

const CLASS: &str = "write adult, child, infant or prm";
const NUMBER: &str = "write a whole number";

fn shown<T: ToString>(value: Option<&T>) -> String {
    value.map(T::to_string).unwrap_or_default()
}

fn cell(fields: &Fields<'_>, column: &str) -> Option<String> {
    let text = fields.text(column);
    (!text.is_empty()).then(|| text.to_owned())
}

/// The words of a cell, with blanks between.
fn words<T>(
    fields: &Fields<'_>,
    column: &str,
    remedy: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Fault> {
    let words = fields.text(column).split_whitespace();
    let known: Option<Vec<T>> = words.map(read).collect();
    known.ok_or_else(|| Fault::new(column, "a word cannot be read", remedy))
}

fn class_text(class: ClassWord) -> String {
    PassengerClass::from(class).to_string()
}

fn joined(words: impl IntoIterator<Item = String>) -> String {
    words.into_iter().collect::<Vec<_>>().join(" ")
}

pub(crate) struct FareList;

impl CsvList for FareList {
    type Row = FareEntry;
    const NAME: &'static str = "fares";
    const COLUMNS: &'static [Column] = &[
        Column::needed("table", "the fare table, which has to be there"),
        Column::needed("from", "code of the stop to board at"),
        Column::needed("to", "code of the stop to leave at"),
        Column::needed("class", "adult, child, infant or prm"),
        Column::needed("fare_minor", "in minor units, like ngwee"),
        Column::needed("currency", "the table's, like ZMW"),
        Column::optional("valid_from", "first day of sale, like 2026-12-15"),
        Column::optional("valid_until", "last day of sale"),
    ];
    const WRITE: Permission = Permission::FaresWrite;

    async fn export(tx: &mut TenantTx) -> Result<Vec<Vec<String>>, DbError> {
        let row = |f: FareEntry| {
            vec![
                f.table,
                f.from,
                f.to,
                class_text(f.class),
                f.fare_minor.to_string(),
                f.currency,
                f.valid_from.unwrap_or_default(),
                f.valid_until.unwrap_or_default(),
            ]
        };
        Ok(all::<FareEntry>(tx).await?.into_values().map(row).collect())
    }

    fn parse(fields: &Fields<'_>) -> Result<FareEntry, Fault> {
        let class: PassengerClass = fields.parsed("class", CLASS)?;
        Ok(FareEntry {
            table: fields.needed("table")?.to_owned(),
            from: fields.needed("from")?.to_owned(),
            to: fields.needed("to")?.to_owned(),
            class: class.into(),
            fare_minor: fields.parsed("fare_minor", NUMBER)?,
            currency: fields.needed("currency")?.to_owned(),
            valid_from: cell(fields, "valid_from"),
            valid_until: cell(fields, "valid_until"),
        })
    }

    async fn apply(
        tx: &mut TenantTx,
        rows: Vec<(usize, FareEntry)>,
        tally: &mut Tally,
        by: Actor,
        now: Instant,
    ) -> Result<(), DbError> {
        let known = all(tx).await?;
        put_all(tx, known, rows, tally, (by, now)).await?;
        publish_touched(tx, now).await.map(|_| ())
    }
}

pub(crate) struct DiscountList;

impl RecordList for DiscountList {
    type Row = DiscountEntry;
    const NAME: &'static str = "discounts";
    const COLUMNS: &'static [Column] = &[
        Column::needed("code", "1 to 64 characters; never changes"),
        Column::needed("name", "for people, up to 120 characters"),
        Column::optional(
            "percent_bp",
            "hundredths of a percent; this or amount_minor",
        ),
        Column::optional("amount_minor", "off each fare, in minor units"),
        Column::optional("currency", "of amount_minor"),
        Column::optional("classes", "adult child infant prm; empty for all"),
        Column::optional("routes", "codes with blanks between; empty for all"),
        Column::optional("weekdays", "1 to 7 with blanks between; empty for all"),
        Column::optional("channels", "online counter partner; empty for all"),
        Column::optional("days_ahead_min", "days from sale to departure"),
        Column::optional("days_ahead_max", "days from sale to departure"),
        Column::optional("valid_from", "first day of sale"),
        Column::optional("valid_until", "last day of sale"),
        Column::optional("combines", "yes or no (when empty)"),
        Column::optional("active", "yes (when empty) or no"),
    ];
    const WRITE: Permission = Permission::FaresWrite;

    fn cells(d: DiscountEntry) -> Vec<String> {
        let channel = |c: ChannelWord| Channel::from(c).to_string();
        vec![
            d.code,
            d.name,
            shown(d.percent_bp.as_ref()),
            shown(d.amount_minor.as_ref()),
            d.currency.unwrap_or_default(),
            joined(d.classes.into_iter().map(class_text)),
            joined(d.routes),
            joined(d.weekdays.iter().map(ToString::to_string)),
            joined(d.channels.into_iter().map(channel)),
            shown(d.days_ahead_min.as_ref()),
            shown(d.days_ahead_max.as_ref()),
            d.valid_from.unwrap_or_default(),
            d.valid_until.unwrap_or_default(),
            word(d.combines),
            word(d.active),
        ]
    }

    fn parse(fields: &Fields<'_>) -> Result<DiscountEntry, Fault> {
        let class = |w: &str| w.parse::<PassengerClass>().ok().map(ClassWord::from);
        let channel = |w: &str| w.parse::<Channel>().ok().map(ChannelWord::from);
        let days = "write 1 for Monday to 7 for Sunday, with blanks between";
        let channels = "write online, counter or partner, with blanks between";
        Ok(DiscountEntry {
            code: fields.needed("code")?.to_owned(),
            name: fields.needed("name")?.to_owned(),
            percent_bp: fields.optional("percent_bp", NUMBER)?,
            amount_minor: fields.optional("amount_minor", NUMBER)?,
            currency: cell(fields, "currency"),
            classes: words(fields, "classes", CLASS, class)?,
            routes: words(fields, "routes", "", |w| Some(w.to_owned()))?,
            weekdays: words(fields, "weekdays", days, |w| w.parse().ok())?,
            channels: words(fields, "channels", channels, channel)?,
            days_ahead_min: fields.optional("days_ahead_min", NUMBER)?,
            days_ahead_max: fields.optional("days_ahead_max", NUMBER)?,
            valid_from: cell(fields, "valid_from"),
            valid_until: cell(fields, "valid_until"),
            combines: fields.yes_no("combines", false)?,
            active: fields.yes_no("active", true)?,
        })
    }
}

pub(crate) struct VoucherList;

impl RecordList for VoucherList {
    type Row = VoucherEntry;
    const NAME: &'static str = "vouchers";
    const COLUMNS: &'static [Column] = &[
        Column::needed("code", "3 to 40 capitals, digits and dashes; never changes"),
        Column::needed("name", "for people, up to 120 characters"),
        Column::optional(
            "percent_bp",
            "hundredths of a percent; this or amount_minor",
        ),
        Column::optional("amount_minor", "off the booking, in minor units"),
        Column::optional("currency", "of amount_minor and min_spend_minor"),
        Column::optional("valid_from", "first day of sale"),
        Column::optional("valid_until", "last day of sale"),
        Column::optional("uses_max", "in all; empty for no limit"),
        Column::optional("uses_per_person_max", "by one person; empty for no limit"),
        Column::optional("min_spend_minor", "after discounts, in minor units"),
        Column::optional("active", "yes (when empty) or no"),
    ];
    const READ: Permission = Permission::FaresWrite;
    const WRITE: Permission = Permission::FaresWrite;

    fn cells(v: VoucherEntry) -> Vec<String> {
        vec![
            v.code,
            v.name,
            shown(v.percent_bp.as_ref()),
            shown(v.amount_minor.as_ref()),
            v.currency.unwrap_or_default(),
            v.valid_from.unwrap_or_default(),
            v.valid_until.unwrap_or_default(),
            shown(v.uses_max.as_ref()),
            shown(v.uses_per_person_max.as_ref()),
            v.min_spend_minor.to_string(),
            word(v.active),
        ]
    }

    fn parse(fields: &Fields<'_>) -> Result<VoucherEntry, Fault> {
        let least: Option<i64> = fields.optional("min_spend_minor", NUMBER)?;
        Ok(VoucherEntry {
            code: fields.needed("code")?.to_owned(),
            name: fields.needed("name")?.to_owned(),
            percent_bp: fields.optional("percent_bp", NUMBER)?,
            amount_minor: fields.optional("amount_minor", NUMBER)?,
            currency: cell(fields, "currency"),
            valid_from: cell(fields, "valid_from"),
            valid_until: cell(fields, "valid_until"),
            uses_max: fields.optional("uses_max", NUMBER)?,
            uses_per_person_max: fields.optional("uses_per_person_max", NUMBER)?,
            min_spend_minor: least.unwrap_or(0),
            active: fields.yes_no("active", true)?,
        })
    }
}

pub(crate) struct CommissionList;

impl RecordList for CommissionList {
    type Row = CommissionEntry;
    const NAME: &'static str = "commission_rates";
    const COLUMNS: &'static [Column] = &[
        Column::needed("kind", "agent, station or company"),
        Column::optional("seller", "the agent's name or the stop's code"),
        Column::optional(
            "percent_bp",
            "hundredths of a percent; this or amount_minor",
        ),
        Column::optional("amount_minor", "per ticket, in minor units"),
        Column::optional("currency", "of amount_minor"),
        Column::optional("valid_from", "first business date"),
        Column::optional("valid_until", "last business date"),
    ];
    const READ: Permission = Permission::FaresWrite;
    const WRITE: Permission = Permission::FaresWrite;

    fn cells(c: CommissionEntry) -> Vec<String> {
        vec![
            c.kind.as_str().to_owned(),
            c.seller,
            shown(c.percent_bp.as_ref()),
            shown(c.amount_minor.as_ref()),
            c.currency.unwrap_or_default(),
            c.valid_from.unwrap_or_default(),
            c.valid_until.unwrap_or_default(),
        ]
    }

    fn parse(fields: &Fields<'_>) -> Result<CommissionEntry, Fault> {
        let kind = match fields.needed("kind")? {
            "agent" => SellerKind::Agent,
            "station" => SellerKind::Station,
            "company" => SellerKind::Company,
            _ => {
                let wrong = "it is no kind of seller";
                return Err(Fault::new("kind", wrong, "write agent, station or company"));
            }
        };
        Ok(CommissionEntry {
            kind,
            seller: fields.text("seller").to_owned(),
            percent_bp: fields.optional("percent_bp", NUMBER)?,
            amount_minor: fields.optional("amount_minor", NUMBER)?,
            currency: cell(fields, "currency"),
            valid_from: cell(fields, "valid_from"),
            valid_until: cell(fields, "valid_until"),
        })
    }
}
