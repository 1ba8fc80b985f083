//! Fares by stop pair and passenger class.

use std::collections::BTreeMap;

use crate::ids::StopCode;
use crate::money::{Currency, Minor};
use crate::passenger::PassengerClass;

/// One fare of a table.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct FareRow {
    /// Where the passenger boards.
    #[n(0)]
    pub from: StopCode,
    /// Where the passenger leaves.
    #[n(1)]
    pub to: StopCode,
    /// Who travels.
    #[n(2)]
    pub class: PassengerClass,
    /// What it costs.
    #[n(3)]
    pub fare_minor: Minor,
}

/// The fares that a set of trips is sold at.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct FareTable {
    /// The company's name for it.
    #[n(0)]
    pub id: String,
    /// What its fares are paid in.
    #[n(1)]
    pub currency: Currency,
    /// The fares; the last of two rows for one pair and class counts.
    #[n(2)]
    pub rows: Vec<FareRow>,
}

/// A fare table laid out for look-up.
#[derive(Debug, Clone, Default)]
pub struct FareIndex(BTreeMap<(StopCode, StopCode, PassengerClass), Minor>);

impl FareIndex {
    /// Lays out a table.
    pub fn new(table: &FareTable) -> Self {
        Self(
            table
                .rows
                .iter()
                .map(|r| ((r.from.clone(), r.to.clone(), r.class), r.fare_minor))
                .collect(),
        )
    }

    /// What one passenger pays, or `None` where the company has set no fare.
    pub fn fare(&self, from: &StopCode, to: &StopCode, class: PassengerClass) -> Option<Minor> {
        self.0.get(&(from.clone(), to.clone(), class)).copied()
    }
}
