use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass::{self, Adult, Child};
use proptest::prelude::*;

use super::*;

fn day(text: &str) -> ServiceDate {
    text.parse().unwrap()
}

fn between(from: Option<&str>, until: Option<&str>) -> Validity {
    Validity {
        from: from.map(day),
        until: until.map(day),
    }
}

fn occasion() -> Occasion<'static> {
    Occasion {
        route: "LUN-LVI",
        weekday: 2,
        days_ahead: 10,
        channel: Channel::Online,
        sold_on: day("2026-11-24"),
    }
}

fn discount(code: &str, off: Off) -> Discount {
    Discount {
        code: code.to_owned(),
        name: code.to_lowercase(),
        off,
        classes: vec![],
        routes: vec![],
        weekdays: vec![],
        channels: vec![],
        days_ahead_min: None,
        days_ahead_max: None,
        valid: Validity::default(),
        combines: false,
    }
}

fn voucher(off: Off) -> Voucher {
    Voucher {
        code: "SUNNY".to_owned(),
        name: "Sunny".to_owned(),
        off,
        valid: between(Some("2026-11-01"), Some("2026-11-30")),
        uses_max: Some(3),
        uses_per_person_max: Some(1),
        used: 0,
        min_spend_minor: Minor(1_000),
        currency: Some(Currency::ZMW),
        active: true,
    }
}

fn off_in(discounts: &[Discount], fare: i64) -> Vec<(String, i64)> {
    discounts_of(Minor(fare), Currency::ZMW, Adult, discounts, &occasion())
        .into_iter()
        .map(|r| (r.code, r.amount_minor.0))
        .collect()
}

#[test]
fn the_fare_whose_period_began_last_counts_and_a_period_ends_after_its_last_day() {
    let fare = |minor, from, until| DatedFare {
        class: Adult,
        fare_minor: Minor(minor),
        valid: between(from, until),
    };
    let fares = [
        fare(200, Some("2026-12-20"), Some("2027-01-05")),
        fare(100, None, None),
        fare(150, Some("2026-06-01"), None),
    ];
    let on = |text| fare_on(&fares, Adult, day(text)).map(|f| f.0);
    assert_eq!(on("2026-05-31"), Some(100));
    assert_eq!(on("2026-06-01"), Some(150));
    assert_eq!(on("2026-12-20"), Some(200));
    assert_eq!(on("2027-01-05"), Some(200));
    assert_eq!(on("2027-01-06"), Some(150));
    assert_eq!(fare_on(&fares, Child, day("2026-12-20")), None);
}

#[test]
fn half_a_minor_unit_is_rounded_up_and_other_money_takes_nothing_off() {
    let off = |off: Off, whole| off.of(Minor(whole), Currency::ZMW).0;
    assert_eq!(off(Off::PercentBp(5_000), 3), 2);
    assert_eq!(off(Off::PercentBp(3_333), 100), 33);
    assert_eq!(off(Off::PercentBp(10_000), i64::MAX), i64::MAX);
    assert_eq!(off(Off::Amount(Minor(500), Currency::ZMW), 300), 300);
    let dollars = "USD".parse().unwrap();
    assert_eq!(off(Off::Amount(Minor(500), dollars), 300), 0);
}

#[test]
fn a_discount_asks_for_everything_it_names_and_nothing_else() {
    let given = |change: &dyn Fn(&mut Discount)| {
        let mut d = discount("X", Off::PercentBp(1_000));
        change(&mut d);
        d.applies(Adult, &occasion())
    };
    assert!(given(&|_| ()));
    assert!(given(&|d| d.routes = vec!["LUN-LVI".to_owned()]));
    assert!(given(&|d| d.weekdays = vec![1, 2]));
    assert!(given(&|d| d.days_ahead_min = Some(10)));
    assert!(given(&|d| d.days_ahead_max = Some(10)));
    assert!(!given(&|d| d.classes = vec![Child]));
    assert!(!given(&|d| d.routes = vec!["LUN-SOL".to_owned()]));
    assert!(!given(&|d| d.weekdays = vec![6, 7]));
    assert!(!given(&|d| d.channels = vec![Channel::Counter]));
    assert!(!given(&|d| d.days_ahead_min = Some(11)));
    assert!(!given(&|d| d.days_ahead_max = Some(9)));
    assert!(!given(&|d| d.valid = between(Some("2026-11-25"), None)));
    assert!(!given(&|d| d.valid = between(None, Some("2026-11-23"))));
}

#[test]
fn the_best_of_those_that_do_not_combine_is_added_to_those_that_do() {
    let combining = |code: &str, bp| Discount {
        combines: true,
        ..discount(code, Off::PercentBp(bp))
    };
    let discounts = [
        discount("A", Off::PercentBp(1_000)),
        discount("B", Off::PercentBp(2_000)),
        combining("C", 500),
        combining("D", 300),
    ];
    let found = off_in(&discounts, 10_000);
    let wanted = [("B", 2_000), ("C", 500), ("D", 300)];
    assert_eq!(found, wanted.map(|(c, m)| (c.to_owned(), m)));
}

#[test]
fn what_is_beyond_the_fare_is_cut_and_a_free_ticket_stays_free() {
    let combining = |code: &str, bp| Discount {
        combines: true,
        ..discount(code, Off::PercentBp(bp))
    };
    let found = off_in(&[combining("A", 8_000), combining("B", 7_000)], 1_000);
    assert_eq!(found, [("A".to_owned(), 800), ("B".to_owned(), 200)]);
    assert_eq!(off_in(&[combining("A", 8_000)], 0), []);
}

#[test]
fn a_voucher_says_why_it_takes_nothing_off() {
    let v = voucher(Off::PercentBp(1_000));
    let on = |v: &Voucher, text| v.usable(day(text));
    let code = || "SUNNY".to_owned();
    assert_eq!(on(&v, "2026-11-30"), Ok(()));
    assert_eq!(
        on(&v, "2026-12-01"),
        Err(VoucherRefusal::Over {
            code: code(),
            until: day("2026-11-30")
        })
    );
    assert_eq!(
        on(&v, "2026-10-31"),
        Err(VoucherRefusal::NotYet {
            code: code(),
            from: day("2026-11-01")
        })
    );
    let used = Voucher {
        used: 3,
        ..v.clone()
    };
    assert_eq!(on(&used, "2026-11-02"), Err(VoucherRefusal::UsedUp(code())));
    let stopped = Voucher {
        active: false,
        ..v.clone()
    };
    assert_eq!(
        on(&stopped, "2026-11-02"),
        Err(VoucherRefusal::Unknown(code()))
    );
    assert!(v.usable_by(0).is_ok());
    assert!(v.usable_by(1).is_err());
    let off = |total| v.off_booking(Minor(total), Currency::ZMW);
    assert!(matches!(off(999), Err(VoucherRefusal::SpendMore { .. })));
    assert_eq!(off(1_000), Ok(Minor(100)));
    let dollars = "USD".parse().unwrap();
    assert!(v.off_booking(Minor(5_000), dollars).is_err());
}

fn any_off() -> impl Strategy<Value = Off> {
    prop_oneof![
        (1_u16..=10_000).prop_map(Off::PercentBp),
        (1_i64..5_000_000).prop_map(|m| Off::Amount(Minor(m), Currency::ZMW)),
    ]
}

fn any_discounts() -> impl Strategy<Value = Vec<Discount>> {
    let one = (any_off(), any::<bool>());
    proptest::collection::vec(one, 0..6).prop_map(|list| {
        let numbered = list.into_iter().enumerate();
        let named = numbered.map(|(i, (off, combines))| Discount {
            combines,
            ..discount(&format!("D{i}"), off)
        });
        named.collect()
    })
}

proptest! {
    #[test]
    fn a_fare_never_goes_below_nothing_and_its_reasons_add_up(
        fare in 0_i64..10_000_000_000,
        discounts in any_discounts(),
    ) {
        let reasons =
            discounts_of(Minor(fare), Currency::ZMW, PassengerClass::Adult, &discounts, &occasion());
        let sum: i64 = reasons.iter().map(|r| r.amount_minor.0).sum();
        prop_assert!((0..=fare).contains(&sum));
        prop_assert!(reasons.iter().all(|r| r.amount_minor.0 > 0));
        let alone = reasons.iter().filter(|r| {
            discounts.iter().any(|d| d.code == r.code && !d.combines)
        });
        prop_assert!(alone.count() <= 1);
    }

    #[test]
    fn one_more_discount_never_makes_a_fare_dearer(
        fare in 0_i64..10_000_000,
        discounts in any_discounts(),
    ) {
        let sum = |list: &[Discount]| -> i64 {
            discounts_of(Minor(fare), Currency::ZMW, PassengerClass::Adult, list, &occasion())
                .iter()
                .map(|r| r.amount_minor.0)
                .sum()
        };
        let fewer = discounts.split_last().map_or(&discounts[..], |(_, rest)| rest);
        prop_assert!(sum(&discounts) >= sum(fewer));
    }

    #[test]
    fn shares_add_up_exactly_and_nobody_bears_more_than_they_can(
        amount in 0_i64..20_000_000,
        bearers in proptest::collection::vec(0_i64..3_000_000, 0..11),
    ) {
        let bearers: Vec<Minor> = bearers.into_iter().map(Minor).collect();
        let whole: i64 = bearers.iter().map(|b| b.0).sum();
        let shares = shared_out(Minor(amount), &bearers);
        prop_assert_eq!(shares.len(), bearers.len());
        prop_assert_eq!(shares.iter().map(|s| s.0).sum::<i64>(), amount.min(whole));
        for (share, bearer) in shares.iter().zip(&bearers) {
            prop_assert!(share.0 >= 0 && share.0 <= bearer.0);
        }
    }

    #[test]
    fn a_part_is_never_negative_and_never_more_than_the_whole(
        off in any_off(),
        whole in 0_i64..=i64::MAX,
    ) {
        let part = off.of(Minor(whole), Currency::ZMW).0;
        prop_assert!((0..=whole).contains(&part));
    }
}
