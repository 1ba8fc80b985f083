//! What a journey costs: fares with their validity, discounts, vouchers, commissions.

pub mod http;
