//! A law of the scan over everything that may or may not have arrived.

use proptest::prelude::*;

use super::*;

/// What has reached the validator about one seat, which was sold, voided and sold again.
#[derive(Debug, Clone)]
struct Arrived {
    voided: u8,
    newest_listed: bool,
    /// A voided sale whose void has not arrived, so that it still looks live.
    stale_listing: Option<u8>,
    revocations: bool,
}

fn arrived() -> impl Strategy<Value = Arrived> {
    (
        0_u8..4,
        any::<bool>(),
        any::<bool>(),
        0_u8..4,
        any::<bool>(),
    )
        .prop_map(
            |(voided, newest_listed, stale, which, revocations)| Arrived {
                voided,
                newest_listed,
                stale_listing: (stale && which < voided).then_some(which),
                revocations,
            },
        )
}

proptest! {
    #[test]
    fn a_live_ticket_is_let_on_whatever_has_not_arrived_and_no_voided_one_follows_it(
        seats in proptest::collection::vec(arrived(), 4),
        grant_arrived in any::<bool>(),
    ) {
        let sale = |seat: usize, nth: u8| TicketClaim {
            id: TicketId::from_bytes([seat as u8 * 16 + nth; 16]),
            seat: SeatNo(seat as u16 + 1),
            ordinal: SaleOrdinal(u16::from(nth) + 1),
            ..claim(0)
        };
        let mut view = view();
        if !grant_arrived {
            view.grants.clear();
        }
        for (seat, arrived) in seats.iter().enumerate() {
            if arrived.newest_listed {
                list(&mut view, &sale(seat, arrived.voided));
            }
            if let Some(nth) = arrived.stale_listing {
                list(&mut view, &sale(seat, nth));
            }
            if arrived.revocations {
                view.revoked.extend((0..arrived.voided).map(|nth| sale(seat, nth).id));
            }
        }
        for (seat, arrived) in seats.iter().enumerate() {
            let expected = if arrived.newest_listed {
                ScanAnswer::Valid
            } else {
                ScanAnswer::GoodButUnlisted
            };
            let decision = scan(&mut view, &qr(&sale(seat, arrived.voided)));
            prop_assert_eq!(decision.answer, expected, "{}", decision.reason);
            for nth in 0..arrived.voided {
                let expected = if arrived.revocations {
                    ScanAnswer::Invalid
                } else {
                    ScanAnswer::SeatConflict
                };
                let decision = scan(&mut view, &qr(&sale(seat, nth)));
                prop_assert_eq!(decision.answer, expected, "{}", decision.reason);
            }
        }
    }
}
