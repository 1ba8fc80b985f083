//! All SQL of bookings.

mod look;
mod money;
mod sell;

pub(super) use look::{Shown, Which, find, list, of_person, of_reference, show};
pub(super) use money::{
    Before, BookingRow, CouponRow, Issued, before, confirm, coupons, end_unpaid, is_posted,
    lock_booking, set_expiry,
};
pub(super) use sell::{
    Named, NewRow, insert, name, plain_contacts, run_out, seal_contact, trip_facts, trip_for_sale,
};
