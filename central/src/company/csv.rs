//! The company's lists as CSV.

mod places;
mod routes;
mod seats;

use crate::csvio::{AnyList, Listed};
use crate::operations::csv::ScheduleList;
use crate::pricing::csv::{CommissionList, DiscountList, FareList, VoucherList};

/// Every list that comes and goes as CSV. A service adds its own here.
pub static LISTS: &[&dyn AnyList] = &[
    &Listed::<places::StopList>::ENTRY,
    &Listed::<places::StationList>::ENTRY,
    &Listed::<places::BusList>::ENTRY,
    &Listed::<seats::LayoutList>::ENTRY,
    &Listed::<routes::RouteList>::ENTRY,
    &Listed::<routes::RouteStopList>::ENTRY,
    &Listed::<FareList>::ENTRY,
    &Listed::<DiscountList>::ENTRY,
    &Listed::<VoucherList>::ENTRY,
    &Listed::<CommissionList>::ENTRY,
    &Listed::<ScheduleList>::ENTRY,
];

/// The list of this name.
pub fn list_named(name: &str) -> Option<&'static dyn AnyList> {
    LISTS.iter().copied().find(|list| list.name() == name)
}

/// The names of all lists, for people.
pub fn list_names() -> String {
    let names: Vec<&str> = LISTS.iter().map(|list| list.name()).collect();
    names.join(", ")
}
