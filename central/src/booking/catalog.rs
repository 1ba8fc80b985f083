//! What selling reads again and again and hardly ever changes, remembered per process.
//!
//! A trip is remembered with the version of its row, a price with the version of the company's
//! prices, both of which the locking statement gives; a layout never changes under its version.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use domain::fare::FareIndex;
use domain::ids::{CompanyId, StopCode, TripId};
use domain::layout::SeatLayout;
use domain::ledger::Account;
use domain::money::Currency;
use domain::passenger::PassengerClass;
use domain::time::{Instant, ServiceDate};
use domain::trip::Trip;

use super::decide::Price;
use super::search::Place;
use crate::pricing::Channel;

/// How long the stops that a text means are believed: a stop that is renamed is found by its new
/// name at once, by its old one so long.
const MEANING_LASTS: std::time::Duration = std::time::Duration::from_secs(2);
/// The most things of one kind that are remembered.
const REMEMBERED_MAX: usize = 20_000;

/// A trip as its row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TripFacts {
    /// The trip.
    pub trip: Trip,
    /// The company's code of its route.
    pub route_code: String,
    /// Per stop.
    pub boarding_closes: Vec<Instant>,
}

/// Everything that a price without a voucher depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PriceKey {
    /// Whose, and at which version of its prices.
    pub company: (CompanyId, i64),
    /// The fare table.
    pub table: String,
    /// The route's code.
    pub route: String,
    /// Where from.
    pub from: StopCode,
    /// Where to.
    pub to: StopCode,
    /// For whom.
    pub class: PassengerClass,
    /// Where it is sold.
    pub channel: Channel,
    /// Of departure; of sale where the bus leaves; of sale at the office.
    pub days: [Day; 3],
}

/// A day as a key.
pub type Day = (i16, i8, i8);

/// A day as a key; a moment beyond all calendars counts to no day.
pub fn day(date: Option<ServiceDate>) -> Day {
    date.map_or((0, 0, 0), |d| (d.0.year(), d.0.month(), d.0.day()))
}

#[derive(Debug, Clone)]
struct Versioned<T> {
    version: i64,
    value: Arc<T>,
}

/// An account of a company's books.
pub type AccountKey = (Account, Currency);

type LayoutKey = (CompanyId, String, u32);

#[derive(Debug, Default)]
struct Remembered {
    companies: HashMap<TripId, CompanyId>,
    currencies: HashMap<CompanyId, Currency>,
    trips: HashMap<(CompanyId, TripId), Versioned<TripFacts>>,
    layouts: HashMap<LayoutKey, Arc<SeatLayout>>,
    prices: HashMap<PriceKey, Price>,
    fares: HashMap<CompanyId, (i64, HashMap<String, Arc<FareIndex>>)>,
    accounts: HashMap<(CompanyId, AccountKey), i64>,
    meanings: HashMap<String, (std::time::Instant, Arc<Vec<Place>>)>,
}

/// What is remembered of one database.
#[derive(Debug, Default)]
pub struct Catalog(Mutex<Remembered>);

fn keep<K: Eq + Hash, V>(map: &mut HashMap<K, V>, key: K, value: V) {
    // Forgetting everything now and then costs less than knowing what to forget.
    if map.len() >= REMEMBERED_MAX {
        map.clear();
    }
    map.insert(key, value);
}

impl Catalog {
    fn open(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which company runs a trip: for ever the same.
    pub fn company_of(&self, trip: TripId) -> Option<CompanyId> {
        self.open().companies.get(&trip).copied()
    }

    /// Remembers which company runs a trip.
    pub fn keep_company(&self, trip: TripId, company: CompanyId) {
        keep(&mut self.open().companies, trip, company);
    }

    /// What a company is paid in.
    pub fn currency(&self, company: CompanyId) -> Option<Currency> {
        self.open().currencies.get(&company).copied()
    }

    /// Remembers what a company is paid in.
    pub fn keep_currency(&self, company: CompanyId, currency: Currency) {
        keep(&mut self.open().currencies, company, currency);
    }

    /// Forgets what a company's own settings say.
    pub fn forget_company(&self, company: CompanyId) {
        self.open().currencies.remove(&company);
    }

    /// The same of every company.
    pub fn forget_companies(&self) {
        self.open().currencies.clear();
    }

    /// The trip, where its row still has this version.
    pub fn trip(&self, company: CompanyId, trip: TripId, version: i64) -> Option<Arc<TripFacts>> {
        let known = self.open().trips.get(&(company, trip)).cloned()?;
        (known.version == version).then_some(known.value)
    }

    /// Remembers a trip.
    pub fn keep_trip(&self, company: CompanyId, version: i64, value: Arc<TripFacts>) {
        let key = (company, value.trip.id);
        keep(&mut self.open().trips, key, Versioned { version, value });
    }

    /// The layout of a trip.
    pub fn layout(&self, company: CompanyId, trip: &Trip) -> Option<Arc<SeatLayout>> {
        let key = (company, trip.layout.clone(), trip.layout_version.0);
        self.open().layouts.get(&key).cloned()
    }

    /// Remembers a layout.
    pub fn keep_layout(&self, company: CompanyId, layout: Arc<SeatLayout>) {
        let key = (company, layout.id.clone(), layout.version.0);
        keep(&mut self.open().layouts, key, layout);
    }

    /// The stops that a text means, where it was looked up a moment ago.
    pub(super) fn meaning(&self, text: &str) -> Option<Arc<Vec<Place>>> {
        let (since, places) = self.open().meanings.get(text).cloned()?;
        (since.elapsed() < MEANING_LASTS).then_some(places)
    }

    /// Remembers what a text means.
    pub(super) fn keep_meaning(&self, text: &str, places: Arc<Vec<Place>>) {
        let meaning = (std::time::Instant::now(), places);
        keep(&mut self.open().meanings, text.to_owned(), meaning);
    }

    /// The number of an account: for ever the same.
    pub fn account(&self, company: CompanyId, key: AccountKey) -> Option<i64> {
        self.open().accounts.get(&(company, key)).copied()
    }

    /// Remembers the numbers of accounts.
    pub fn keep_accounts(&self, company: CompanyId, numbers: HashMap<AccountKey, i64>) {
        if numbers.is_empty() {
            return;
        }
        let mut open = self.open();
        for (key, id) in numbers {
            keep(&mut open.accounts, (company, key), id);
        }
    }

    /// A price, where it was asked for before.
    pub fn price(&self, key: &PriceKey) -> Option<Price> {
        self.open().prices.get(key).copied()
    }

    /// A fare table at a version of its company's prices.
    pub fn fares(&self, (company, version): (CompanyId, i64), id: &str) -> Option<Arc<FareIndex>> {
        let open = self.open();
        let (known, tables) = open.fares.get(&company)?;
        tables.get(id).filter(|_| *known == version).cloned()
    }

    /// Remembers a fare table; what was known of other versions is forgotten.
    pub fn keep_fares(
        &self,
        (company, version): (CompanyId, i64),
        id: &str,
        table: Arc<FareIndex>,
    ) {
        let mut open = self.open();
        let (known, tables) = open.fares.entry(company).or_default();
        if *known != version {
            *known = version;
            tables.clear();
        }
        tables.insert(id.to_owned(), table);
    }

    /// Remembers a price.
    pub fn keep_price(&self, key: PriceKey, price: Price) {
        keep(&mut self.open().prices, key, price);
    }
}
