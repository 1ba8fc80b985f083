//! What a signature is about. Every signature that the system makes covers one of these
//! numbers, so that a signed ticket can never be passed off as a signed grant.
//!
//! Below 24 each takes one byte. A number is never given a second meaning.

/// A ticket, as in its QR code.
pub const TICKET: u64 = 1;
/// An event of a node's log.
pub const EVENT: u64 = 2;
/// A grant of seats by the hub to a node.
pub const GRANT: u64 = 3;
/// The hub's receipt for the stored prefix of a log.
pub const RECEIPT: u64 = 4;
/// A list of revoked tickets.
pub const REVOCATIONS: u64 = 5;
/// A bundle of keys.
pub const KEY_BUNDLE: u64 = 6;
/// A line of a fiscal export.
pub const FISCAL_LINE: u64 = 7;
